"""Surrenders and cancellations undone by two persons, and an index to what they took."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds `reversal_proposal` and `reversal`, which the database keeps as they are."""
    _create(
        "reversal_proposal",
        _value("original"),
        _value("account"),
        _value("instrument_id", sa.Integer),
        _value("quantity"),
        _value("proposed_by", sa.Text),
        _value("reason", sa.Text),
        _value("time_ns"),
    )
    _create(
        "reversal",
        _value("original"),
        _value("proposal"),
        _value("account"),
        _value("instrument_id", sa.Integer),
        _value("quantity"),
        _value("proposed_by", sa.Text),
        _value("approved_by", sa.Text),
        _value("reason", sa.Text),
        _value("time_ns"),
        sa.CheckConstraint("proposed_by <> approved_by", name=op.f("reversal_by_two")),
    )
    op.create_index(
        op.f("reversal_market_original"), "reversal", ["market", "original"], unique=True
    )
    op.create_index(
        op.f("block_history_market_cause_id"),
        "block_history",
        ["market", "cause_id"],
        sqlite_where=sa.text("kind IN (4, 5)"),
        postgresql_where=sa.text("kind IN (4, 5)"),
    )


def _value(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _create(table: str, *parts: Any) -> None:
    op.create_table(
        table,
        sa.Column("market", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("instruction_id", sa.BigInteger, primary_key=True, autoincrement=False),
        *parts,
        sa.PrimaryKeyConstraint("market", "instruction_id", name=op.f(f"{table}_key")),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_append_only_on_{action} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    else:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
            f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
