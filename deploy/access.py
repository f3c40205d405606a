"""Who may do what at Kafka and PostgreSQL: each process what it needs, from the map, no more.

    python -m deploy.access kafka-acls [--bootstrap HOST:PORT]   shell: a kafka-acls.sh a right
    python -m deploy.access kafka-users                          YAML: KafkaUser of Strimzi
    python -m deploy.access postgresql [--database NAME]         SQL: roles and their grants
    python -m deploy.access table                                the same to read

`exchange/topics.py` says who writes and reads each topic, TABLES below who the tables. Passwords
are none of this program's business: roles and users get theirs from whoever runs the servers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import NamedTuple

from exchange import topics
from exchange.database import registry_schema, schema
from exchange.database.schema import METADATA

PREFIX = "exchange-"  # of Kafka's users
ROLE_PREFIX = "exchange_"  # of PostgreSQL's roles
OWNER = "operations"  # creates topics and tables: `exchange bootstrap`
AUDIT = "audit"  # reads everything and writes nothing: `exchange verify`, `records`, ...
BROKER = "broker"
OF_PARTICIPANTS = (topics.INTAKE, topics.REPORTS)

_OPERATIONS_TABLES = {"gateway": (schema.opening_override,), "reconcile": (schema.reconciliation,)}
_REGISTRY = {
    name for name, table in METADATA.tables.items()
    if any(table is item for item in vars(registry_schema).values())
}  # fmt: skip
_OTHERS = {table.name for tables in _OPERATIONS_TABLES.values() for table in tables}
WRITES: dict[str, tuple[str, ...]] = {
    "settlement": tuple(sorted(METADATA.tables.keys() - _REGISTRY - _OTHERS)),
    "registry": tuple(sorted(_REGISTRY)),
    **{who: tuple(table.name for table in tables) for who, tables in _OPERATIONS_TABLES.items()},
}
"""Process -> tables that it writes (and reads)."""

READS_ALL = ("gateway", "reconcile", AUDIT)
"""Answers questions, compares, proves: these read every table."""

APPEND_ONLY = {table.name for table in schema.APPEND_ONLY}
VERSION_TABLE = "alembic_version"  # every process looks whether the tables are of its version


class Acl(NamedTuple):
    """One right of one user at Kafka: all of them are of topics."""

    user: str
    operation: str  # Read, Write, Describe, Create, Alter, DescribeConfigs
    topic: str
    is_prefix: bool = False


def processes() -> tuple[str, ...]:
    """Every process with a name of its own at the servers. O(topics)."""
    named = {who for topic in topics.TOPICS for who in (*topic.writers, *topic.readers)}
    return tuple(sorted(named - {BROKER} | {OWNER, AUDIT}))


def acls(participants: tuple[int, ...] = ()) -> list[Acl]:
    """The rights of every process, and of each participant with topics of its own. O(rights).

    Every process may ask which topics there are, for it looks before it makes any. The number that
    a producer needs comes with the right to write to any topic: who only reads gets none.
    """
    found = []
    for who in processes():
        user = PREFIX + who
        for topic in topics.TOPICS:
            is_prefix = topic in OF_PARTICIPANTS
            name = f"{topic.name}." if is_prefix else topic.name
            rights = ["Describe"]
            rights += ["Read"] if who in topic.readers or _is_audit(who, topic) else []
            rights += ["Write"] if who in topic.writers else []
            rights += ["Create", "Alter", "DescribeConfigs"] if who == OWNER else []
            found += [Acl(user, right, name, is_prefix) for right in rights]
    for number in participants:
        user = f"{PREFIX}{BROKER}-{number}"
        for topic in OF_PARTICIPANTS:
            right = "Write" if BROKER in topic.writers else "Read"
            found.append(Acl(user, right, f"{topic.name}.{number}"))
    return found


def _is_audit(who: str, topic: topics.Topic) -> bool:
    return who == AUDIT and topic in topics.MARKET_TOPICS


def kafka_acls(bootstrap: str, participants: tuple[int, ...] = ()) -> Iterator[str]:
    """Lines of a shell script."""
    yield "set -eu  # ADMIN.properties: how the administrator logs in"
    for acl in acls(participants):
        pattern = " --resource-pattern-type prefixed" if acl.is_prefix else ""
        yield (
            f"kafka-acls.sh --bootstrap-server {bootstrap} --command-config ADMIN.properties --add "
            f"--allow-principal User:{acl.user} --operation {acl.operation} --topic {acl.topic}"
            f"{pattern}"
        )


def kafka_users(cluster: str, participants: tuple[int, ...] = ()) -> Iterator[str]:
    """Lines of YAML, a document for each user."""
    rights: dict[str, list[Acl]] = {}
    for acl in acls(participants):
        rights.setdefault(acl.user, []).append(acl)
    for user, own in rights.items():
        yield from (
            "---",
            "apiVersion: kafka.strimzi.io/v1",
            "kind: KafkaUser",
            "metadata:",
            f"  name: {user}",
            "  labels:",
            f"    strimzi.io/cluster: {cluster}",
            "spec:",
            "  authentication:",
            "    type: scram-sha-512",
            "  authorization:",
            "    type: simple",
            "    acls:",
        )
        at: dict[tuple[str, bool], list[str]] = {}
        for acl in own:
            at.setdefault((acl.topic, acl.is_prefix), []).append(acl.operation)
        for (name, is_prefix), operations in at.items():
            yield "      - resource:"
            yield "          type: topic"
            yield f"          name: {name}"
            yield f"          patternType: {'prefix' if is_prefix else 'literal'}"
            yield f"        operations: [{', '.join(operations)}]"


def grants() -> dict[str, dict[str, tuple[str, ...]]]:
    """Process -> table -> what it may do there. O(tables)."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for who in (*WRITES, *READS_ALL):
        own = found.setdefault(who, {VERSION_TABLE: ("SELECT",)})
        if who in READS_ALL:
            own.update({name: ("SELECT",) for name in METADATA.tables if name not in own})
        for name in WRITES.get(who, ()):
            keeps = name in APPEND_ONLY or name in _OTHERS
            more = ("INSERT",) if keeps else ("INSERT", "UPDATE", "DELETE")
            own[name] = ("SELECT", *more)
    return found


def postgresql(database: str) -> Iterator[str]:
    """SQL statements; a superuser says them once, before and after `exchange bootstrap`.

    What the owner makes later is granted by saying them again.
    """
    owner = ROLE_PREFIX + OWNER
    for who in (OWNER, *grants()):
        role = ROLE_PREFIX + who
        yield (
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') "
            f"THEN CREATE ROLE {role} LOGIN; END IF; END $$"
        )
        yield f"GRANT CONNECT ON DATABASE {database} TO {role}"
    yield f"REVOKE ALL ON DATABASE {database} FROM PUBLIC"
    yield f"GRANT CREATE ON DATABASE {database} TO {owner}"  # the extension btree_gist
    yield "REVOKE ALL ON SCHEMA public FROM PUBLIC"
    yield f"GRANT USAGE, CREATE ON SCHEMA public TO {owner}"
    for who, tables in grants().items():
        role = ROLE_PREFIX + who
        yield f"GRANT USAGE ON SCHEMA public TO {role}"
        for name, rights in tables.items():
            yield (
                f"DO $$ BEGIN IF to_regclass('{name}') IS NOT NULL "
                f"THEN GRANT {', '.join(rights)} ON {name} TO {role}; END IF; END $$"
            )


def table() -> Iterator[str]:
    """Markdown: what each process may do."""
    yield "| process | reads | writes | tables it writes | tables it reads |"
    yield "|---|---|---|---|---|"
    rights, given = acls(), grants()
    for who in processes():
        user, own = PREFIX + who, given.get(who, {})
        columns = [
            ", ".join(f"`{a.topic}`" for a in rights if (a.user, a.operation) == (user, operation))
            for operation in ("Read", "Write")
        ]
        writes = ", ".join(f"`{name}`" for name, r in own.items() if len(r) > 1)
        reads = "all" if who in READS_ALL else "those" if own else ""
        if who == OWNER:
            columns[1] += "; makes topics"
            writes, reads = "all: it makes and migrates them", "all"
        yield f"| {who} | {columns[0]} | {columns[1]} | {writes} | {reads} |"


def main(argv: list[str] | None = None) -> int:
    """Prints one of them."""
    parser = argparse.ArgumentParser(prog="python -m deploy.access", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=["kafka-acls", "kafka-users", "postgresql", "table"])
    parser.add_argument("--bootstrap", default="kafka:9094", help="of Kafka")
    parser.add_argument("--cluster", default="carbon-exchange", help="of Strimzi")
    parser.add_argument("--database", default="exchange", help="of PostgreSQL")
    parser.add_argument(
        "--participant", type=int, action="append", default=[], help="with topics of its own"
    )
    given = parser.parse_args(argv)
    participants = tuple(given.participant)
    lines = {
        "kafka-acls": lambda: kafka_acls(given.bootstrap, participants),
        "kafka-users": lambda: kafka_users(given.cluster, participants),
        "postgresql": lambda: (f"{line};" for line in postgresql(given.database)),
        "table": table,
    }[given.what]()
    for line in lines:
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
