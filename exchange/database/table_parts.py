"""What tables are made of: names of constraints, columns, indexes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, MetaData, Table, text

METADATA = MetaData(
    naming_convention={
        "pk": "%(table_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
        "ix": "%(table_name)s_%(column_0_N_name)s",
    }
)


def key(name: str, kind: Any = BigInteger) -> Column[Any]:
    """A column of the primary key."""
    return Column(name, kind, primary_key=True, autoincrement=False)


def value(name: str, kind: Any = BigInteger) -> Column[Any]:
    """A column that is never NULL."""
    return Column(name, kind, nullable=False)


def maybe(name: str) -> Column[Any]:
    """A whole number, or NULL: not yet."""
    return Column(name, BigInteger, nullable=True)


def by_two(one: str, other: str, unless: str = "") -> tuple[CheckConstraint, ...]:
    """Two columns name two persons with two keys, as `exchange.reference.signers` writes them.

    Each dialect has its own word for where a text lies in another.
    """
    made = []
    for dialect, find in (("sqlite", "instr"), ("postgresql", "strpos")):
        keys = f"{_key(find, one)} <> {_key(find, other)}"
        persons = f"{_person(find, one)} <> {_person(find, other)}"
        check = CheckConstraint(f"{unless}{keys} AND {persons}", name="by_two")
        made.append(check.ddl_if(dialect=dialect))
    return tuple(made)


def _key(find: str, name: str) -> str:
    at = f"{find}({name}, ' (')"
    return f"CASE WHEN {at} > 0 THEN substr({name}, 1, {at} - 1) ELSE {name} END"


def _person(find: str, name: str) -> str:
    at = f"{find}({name}, ' (')"
    return f"CASE WHEN {at} > 0 THEN substr({name}, {at} + 2) ELSE {name} || ')' END"


def table(name: str, *parts: Any) -> Table:
    """A table; without a rowid a SQLite table is its primary key's tree: one insert, not two."""
    return Table(name, METADATA, *parts, sqlite_with_rowid=False)


def some(condition: str, *columns: str) -> Index:
    """An index to the rows for which the condition holds; a query has to say it literally."""
    return Index(None, *columns, sqlite_where=text(condition), postgresql_where=text(condition))
