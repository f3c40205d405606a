"""What tables are made of: names of constraints, columns, indexes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, text

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


def table(name: str, *parts: Any) -> Table:
    """A table; without a rowid a SQLite table is its primary key's tree: one insert, not two."""
    return Table(name, METADATA, *parts, sqlite_with_rowid=False)


def some(condition: str, *columns: str) -> Index:
    """An index to the rows for which the condition holds; a query has to say it literally."""
    return Index(None, *columns, sqlite_where=text(condition), postgresql_where=text(condition))
