"""What `deploy.access` prints for Kafka, read back, is what the map says."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable

import pytest
import yaml

from deploy import access
from deploy.access import Acl

PARTICIPANTS = (2, 17)


def printed(capsys: pytest.CaptureFixture[str], what: str, *more: str) -> str:
    named = [word for number in PARTICIPANTS for word in ("--participant", str(number))]
    assert access.main([what, *more, *named]) == 0
    return capsys.readouterr().out


def of_script(lines: Iterable[str]) -> list[Acl]:
    """The rights that `kafka-acls.sh` would be told; a word that it does not know fails."""
    parser = argparse.ArgumentParser("kafka-acls.sh", exit_on_error=False, allow_abbrev=False)
    for name in ("bootstrap-server", "command-config", "allow-principal", "operation"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--resource-pattern-type", choices=["prefixed"])
    found = []
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "kafka-acls.sh"
        given = parser.parse_args(words)
        assert given.bootstrap_server == "kafka.example:9094"
        kind, user = given.allow_principal.split(":")
        assert kind == "User"
        is_prefix = given.resource_pattern_type == "prefixed"
        found.append(Acl(user, given.operation, given.topic, is_prefix))
    return found


def of_users(text: str) -> list[Acl]:
    """The rights in documents of Strimzi's KafkaUser."""
    found = []
    for document in yaml.safe_load_all(text):
        assert document["kind"] == "KafkaUser"
        assert document["metadata"]["labels"] == {"strimzi.io/cluster": "venue"}
        assert document["spec"]["authentication"] == {"type": "scram-sha-512"}
        assert document["spec"]["authorization"]["type"] == "simple"
        for rule in document["spec"]["authorization"]["acls"]:
            resource = dict(rule["resource"])
            name, pattern = resource.pop("name"), resource.pop("patternType")
            assert (resource.pop("type"), pattern) in (("topic", "literal"), ("topic", "prefix"))
            assert (resource, rule.keys()) == ({}, {"resource", "operations"})
            found += [
                Acl(document["metadata"]["name"], operation, name, pattern == "prefix")
                for operation in rule["operations"]
            ]
    return found


def test_the_script_gives_the_rights_of_the_map(capsys: pytest.CaptureFixture[str]) -> None:
    first, *lines = printed(
        capsys, "kafka-acls", "--bootstrap", "kafka.example:9094"
    ).splitlines()  # fmt: skip
    assert first.startswith("set -eu")
    assert of_script(lines) == access.acls(PARTICIPANTS)


def test_the_users_have_the_rights_of_the_map(capsys: pytest.CaptureFixture[str]) -> None:
    found = of_users(printed(capsys, "kafka-users", "--cluster", "venue"))
    wanted = access.acls(PARTICIPANTS)
    assert len(found) == len(set(found))
    assert set(found) == set(wanted)
    assert len(wanted) == len(set(wanted))


def test_only_what_belongs_to_all_participants_is_a_prefix() -> None:
    found = access.acls(PARTICIPANTS)
    assert {acl.topic for acl in found if acl.is_prefix} == {
        f"{topic.name}." for topic in access.OF_PARTICIPANTS
    }
    brokers = [acl for acl in found if acl.user.startswith(f"{access.PREFIX}{access.BROKER}-")]
    assert {(acl.user, acl.operation, acl.topic, acl.is_prefix) for acl in brokers} == {
        (f"exchange-broker-{number}", right, f"{topic}.{number}", False)
        for number in PARTICIPANTS
        for right, topic in (("Write", "intake"), ("Read", "reports"))
    }
