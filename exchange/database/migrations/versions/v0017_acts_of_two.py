"""Issuances, allocations and surrenders wait for a second person beside transfers.

SQLite cannot change a constraint of a table, so `waiting_transfer` is made anew there. O(rows).
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLE = "waiting_transfer"
TRANSFER = 3


def _value(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    """Says of what waits which instruction it is; what waited before is a transfer."""
    if op.get_bind().dialect.name == "sqlite":
        _remake()
        return
    for name, kind, default in (
        ("kind", sa.SmallInteger, str(TRANSFER)),
        ("argument", sa.BigInteger, "0"),
        ("notes", sa.Text, ""),
        ("office", sa.String(16), ""),
    ):
        op.add_column(TABLE, sa.Column(name, kind, nullable=False, server_default=default))
        op.alter_column(TABLE, name, server_default=None)
    op.drop_constraint(op.f(f"{TABLE}_positive"), TABLE)
    op.create_check_constraint(op.f(f"{TABLE}_not_negative"), TABLE, "quantity >= 0")


def _remake() -> None:
    before = f"{TABLE}_before"
    op.drop_index(op.f(f"{TABLE}_market"), TABLE)
    op.rename_table(TABLE, before)
    op.create_table(
        TABLE,
        sa.Column("market", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("instruction_id", sa.BigInteger, primary_key=True, autoincrement=False),
        _value("account"),
        _value("to_account"),
        _value("instrument_id", sa.Integer),
        _value("quantity"),
        _value("state", sa.SmallInteger),
        _value("given_by", sa.Text),
        _value("approved_by", sa.Text),
        _value("due_ns"),
        _value("cancel_until_ns"),
        _value("text", sa.Text),
        _value("time_ns"),
        _value("ended_ns"),
        _value("kind", sa.SmallInteger),
        _value("argument"),
        _value("notes", sa.Text),
        _value("office", sa.String(16)),
        sa.CheckConstraint("quantity >= 0", name=op.f(f"{TABLE}_not_negative")),
        sa.CheckConstraint(
            "approved_by = '' OR approved_by <> given_by", name=op.f(f"{TABLE}_by_two")
        ),
        sa.PrimaryKeyConstraint("market", "instruction_id", name=op.f(f"{TABLE}_key")),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO waiting_transfer SELECT *, 3, 0, '', '' FROM waiting_transfer_before")
    op.drop_table(before)
    op.create_index(
        op.f(f"{TABLE}_market"), TABLE, ["market"],
        sqlite_where=sa.text("state IN (1, 2)"), postgresql_where=sa.text("state IN (1, 2)"),
    )  # fmt: skip
