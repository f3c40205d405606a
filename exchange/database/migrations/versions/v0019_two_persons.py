"""What two persons decide is given by two persons, not by two keys of one."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

PROPOSED = ("", "proposed_by", "approved_by")
WAITING = ("approved_by = '' OR ", "given_by", "approved_by")
TABLES = {
    "reversal": ("proposed_by <> approved_by", PROPOSED),
    "offset_reversal": ("proposed_by <> approved_by", PROPOSED),
    "trade_cancel_approval": ("proposed_by <> approved_by", PROPOSED),
    "waiting_transfer": ("approved_by = '' OR approved_by <> given_by", WAITING),
}
"""What each table asked for, and the columns that name two persons."""


def upgrade() -> None:
    """A text is `KEY` or `KEY (PERSON)`: keys and persons differ both."""
    for table, (before, columns) in TABLES.items():
        if op.get_bind().dialect.name == "sqlite":
            _remake(table, before, _by_two("instr", *columns))
            continue
        name = op.f(f"{table}_by_two")
        op.drop_constraint(name, table)
        op.create_check_constraint(name, table, _by_two("strpos", *columns))


def _by_two(find: str, unless: str, one: str, other: str) -> str:
    keys, persons = (
        " <> ".join(part(find, name) for name in (one, other)) for part in (_key, _person)
    )
    return f"{unless}{keys} AND {persons}"


def _key(find: str, name: str) -> str:
    at = f"{find}({name}, ' (')"
    return f"CASE WHEN {at} > 0 THEN substr({name}, 1, {at} - 1) ELSE {name} END"


def _person(find: str, name: str) -> str:
    at = f"{find}({name}, ' (')"
    return f"CASE WHEN {at} > 0 THEN substr({name}, {at} + 2) ELSE {name} || ')' END"


def _remake(table: str, before: str, after: str) -> None:
    """SQLite changes no constraint: the table is made again, with its indexes and triggers."""
    found = op.get_bind().execute(
        sa.text("SELECT type, name, sql FROM sqlite_master WHERE tbl_name = :table AND sql <> ''"),
        {"table": table},
    )
    parts = [tuple(row) for row in found]
    (made,) = (sql for kind, _, sql in parts if kind == "table")
    others = [(kind, name, sql) for kind, name, sql in parts if kind != "table"]
    for kind, name, _ in others:
        op.execute(f"DROP {kind} {name}")
    op.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
    op.get_bind().exec_driver_sql(made.replace(f"CHECK ({before})", f"CHECK ({after})"))
    op.execute(f"INSERT INTO {table} SELECT * FROM {table}_before")  # noqa: S608
    op.execute(f"DROP TABLE {table}_before")
    for _, _, sql in others:
        op.get_bind().exec_driver_sql(sql)
