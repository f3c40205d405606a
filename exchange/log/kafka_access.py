"""How a process shows itself to Kafka and knows it: TLS, and a name with a password (SCRAM).

Certificates, keys and passwords come from files, are read at the start, and are in no message.
"""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError

from exchange.settings import APPEND_TIMEOUT_S, KAFKA_PASSWORD_BYTES_MAX, Settings

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISM = "SCRAM-SHA-512"


class KafkaAccess(NamedTuple):
    """What every client of aiokafka is given; the default speaks plain text to anybody."""

    protocol: str = "PLAINTEXT"
    context: ssl.SSLContext | None = None
    user: str = ""
    password: str = ""

    def options(self) -> dict[str, Any]:
        """Keywords of aiokafka's clients. O(1)."""
        given: dict[str, Any] = {"security_protocol": self.protocol}
        if self.context is not None:
            given["ssl_context"] = self.context
        if self.user:
            given["sasl_mechanism"] = MECHANISM
            given["sasl_plain_username"] = self.user
            given["sasl_plain_password"] = self.password
        return given

    def __repr__(self) -> str:
        """Without the password."""
        return f"KafkaAccess({self.protocol}, user={self.user!r})"

    async def fault(self, bootstrap: str) -> str:
        """Why no broker of `bootstrap` lets us in, in words; "" when one does or does not say.

        The client itself says only that it could not connect.
        """
        faults = []
        for address in bootstrap.split(","):
            host, _, port = address.rpartition(":")
            try:
                link = await create_conn(
                    host, int(port), request_timeout_ms=APPEND_TIMEOUT_S * 1000, **self.options()
                )
            except (OSError, KafkaError, TimeoutError, ValueError) as error:
                faults.append(f"{address}: {_words(error)}")
                continue
            link.close()
            return ""
        return "; ".join(faults)


PLAIN = KafkaAccess()


def load_access(settings: Settings) -> KafkaAccess:
    """The access that the settings name; ValueError and OSError say which file or setting is wrong.

    A password's file and a private key's may be read by their owner only.
    """
    protocol = settings.kafka_protocol
    if protocol not in PROTOCOLS:
        raise ValueError(f"EXCHANGE_KAFKA_PROTOCOL {protocol!r}: one of {', '.join(PROTOCOLS)}")
    files = (settings.kafka_ca_file, settings.kafka_certificate_file, settings.kafka_key_file)
    if any(files) and not protocol.endswith("SSL"):
        raise ValueError(f"EXCHANGE_KAFKA_PROTOCOL {protocol} has no TLS: write SSL or SASL_SSL")
    wants_name = protocol.startswith("SASL")
    if wants_name != bool(settings.kafka_user and settings.kafka_password_file):
        raise ValueError(
            "EXCHANGE_KAFKA_USER and EXCHANGE_KAFKA_PASSWORD_FILE go with SASL_SSL (or "
            f"SASL_PLAINTEXT), and only with it; EXCHANGE_KAFKA_PROTOCOL is {protocol}"
        )
    password = _password(Path(settings.kafka_password_file)) if wants_name else ""
    context = _context(*files) if protocol.endswith("SSL") else None
    return KafkaAccess(protocol, context, settings.kafka_user, password)


def _context(ca_file: str, certificate_file: str, key_file: str) -> ssl.SSLContext:
    """TLS 1.2 or later; the broker's certificate must be of the authority and name its host."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as error:
        raise ValueError(f"{ca_file}: no certificates (PEM): {error.reason}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if bool(certificate_file) != bool(key_file):
        raise ValueError("EXCHANGE_KAFKA_CERTIFICATE_FILE and EXCHANGE_KAFKA_KEY_FILE go together")
    if certificate_file:
        _only_owner(Path(key_file))
        try:
            context.load_cert_chain(certificate_file, key_file)
        except ssl.SSLError as error:
            raise ValueError(
                f"{certificate_file}, {key_file}: no certificate with its key: {error.reason}"
            ) from None
    return context


def _password(path: Path) -> str:
    _only_owner(path)
    text = path.read_text("utf-8").strip()
    if not 0 < len(text.encode()) <= KAFKA_PASSWORD_BYTES_MAX:
        raise ValueError(f"{path}: a password has 1 to {KAFKA_PASSWORD_BYTES_MAX} bytes")
    return text


def _only_owner(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ValueError(f"{path}: others may read it; chmod 600 {path}")


def _words(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {cause.reason or cause}"
    return repr(error)
