"""A Kafka that encrypts, asks for names and passwords, and allows what `deploy.access` says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trustme
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from deploy.access import PREFIX, acls, processes
from deploy.local.kafka import KafkaServer, build_class_archive
from exchange import topics
from exchange.log import open_log
from exchange.log.kafka import KafkaLog
from exchange.settings import Settings

OPERATIONS = {
    "Read": 3, "Write": 4, "Create": 5, "Alter": 7, "Describe": 8, "DescribeConfigs": 10,
}  # fmt: skip
TOPIC, LITERAL, PREFIXED, ALLOW = 2, 3, 4, 3
WRITERS = {who for topic in topics.TOPICS for who in topic.writers}
PARTICIPANT = 9  # none of the demonstration


class Secured(NamedTuple):
    """The broker, its authority's certificate, and a folder with a password file for each user."""

    server: KafkaServer
    authority: Path
    folder: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.listener_ports['SASL_SSL']}"

    def settings(self, user: str, **changed: object) -> Settings:
        """The settings of a process (by its name) or of a broker's user."""
        given: dict[str, object] = {
            "log": f"kafka:{self.address}",
            "kafka_protocol": "SASL_SSL",
            "kafka_ca_file": str(self.authority),
            "kafka_user": f"{PREFIX}{user}",
            "kafka_password_file": str(self.folder / f"{user}.password"),
        }
        return Settings(**(given | changed))  # type: ignore[arg-type]

    def log(self, user: str, *, writes: bool | None = None, **changed: object) -> KafkaLog:
        """As its process opens it: with a producer if it writes anything."""
        does = user in WRITERS or user not in processes()
        found = open_log(self.settings(user, **changed), writes=does if writes is None else writes)
        assert isinstance(found, KafkaLog)
        return found

    async def set_rights(self) -> None:
        """What kafka-acls.sh would do with the lines of `python -m deploy.access kafka-acls`."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.server.bootstrap)
        await admin.start()
        try:
            for acl in acls((PARTICIPANT,)):
                request = CreateAclsRequest(
                    TOPIC, acl.topic, PREFIXED if acl.is_prefix else LITERAL,
                    f"User:{acl.user}", "*", OPERATIONS[acl.operation], ALLOW,
                )  # fmt: skip
                node = admin._client.get_random_node()
                reply = await admin._client.send(node, request)
                assert [code for code, _ in reply.creation_responses] == [0], reply
        finally:
            await admin.close()


def issue(authority: trustme.CA, folder: Path, name: str, *hosts: str, **more: object) -> Path:
    """A certificate with its key in one PEM file, as Kafka's brokers take it."""
    made = authority.issue_cert(*hosts, **more)  # type: ignore[arg-type]
    path = folder / f"{name}.pem"
    key = load_pem_private_key(made.private_key_pem.bytes(), None)
    chain = b"".join(part.bytes() for part in made.cert_chain_pems)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain)
    path.chmod(0o600)
    return path


@contextmanager
def secured_kafka(folder: Path, certificate: Path, authority: Path) -> Iterator[Secured]:
    """One broker. Its plain listener is the administrator's: nobody else's, on loopback."""
    build_class_archive()
    users = [*processes(), f"broker-{PARTICIPANT}"]
    for user in users:
        path = folder / f"{user}.password"
        path.write_text(f"password-of-{user}\n")
        path.chmod(0o600)
    server = KafkaServer(
        folder / "kafka",
        fast_start=True,
        listeners=("SASL_SSL",),
        scram={f"{PREFIX}{user}": f"password-of-{user}" for user in users},
        settings={
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL"
            ),
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(certificate),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "false",
        },
    )
    try:
        yield Secured(server.start(), authority, folder)
    finally:
        server.kill()
