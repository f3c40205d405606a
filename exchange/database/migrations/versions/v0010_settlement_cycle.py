"""Trades that are settled later, fail, or are cancelled, each move kept; the engine's steps."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

APPEND_ONLY = ("settlement_act", "trade_cancel_proposal", "trade_cancel_approval")
OPEN = "state IN (1, 2, 4, 6, 8)"


def upgrade() -> None:
    """Makes the tables, and lets a cause whose first leg is a step's be posted once only."""
    _create("settlement_instrument", _key("instrument_id", sa.Integer),
            _value("resale", sa.SmallInteger))  # fmt: skip
    _create(
        "trade_settlement",
        _key("trade_id"),
        _value("state", sa.SmallInteger),
        _value("due_ns"),
        _value("is_late", sa.SmallInteger),
        _value("since_ns"),
        _value("ref"),
        _value("instruction_id"),
        _value("account"),
        _value("acts", sa.Integer),
        sa.CheckConstraint(
            "ref <> 0 OR state NOT IN (2, 6, 8)", name=op.f("trade_settlement_in_flight")
        ),
    )
    op.create_index(
        op.f("trade_settlement_market_state"),
        "trade_settlement",
        ["market", "state"],
        sqlite_where=sa.text(OPEN),
        postgresql_where=sa.text(OPEN),
    )
    op.create_index(
        op.f("trade_settlement_market_ref"),
        "trade_settlement",
        ["market", "ref"],
        unique=True,
        sqlite_where=sa.text("ref <> 0"),
        postgresql_where=sa.text("ref <> 0"),
    )
    _kept()
    _guard()


def _kept() -> None:
    _create(
        "settlement_act",
        _key("trade_id"),
        _key("number", sa.Integer),
        _value("message", sa.SmallInteger),
        _value("state_before", sa.SmallInteger),
        _value("state_after", sa.SmallInteger),
        _value("instruction_id"),
        _value("event_number"),
        _value("given_by", sa.Text),
        _value("reason", sa.Text),
        _value("time_ns"),
    )
    op.create_index(op.f("settlement_act_market_time_ns"), "settlement_act", ["market", "time_ns"])
    op.create_index(
        op.f("settlement_act_market_event_number"),
        "settlement_act",
        ["market", "event_number"],
        sqlite_where=sa.text("event_number <> 0"),
        postgresql_where=sa.text("event_number <> 0"),
    )
    _create(
        "trade_cancel_proposal",
        _key("instruction_id"),
        _value("trade_id"),
        _value("proposed_by", sa.Text),
        _value("reason", sa.Text),
        _value("time_ns"),
    )
    _create(
        "trade_cancel_approval",
        _key("instruction_id"),
        _value("trade_id"),
        _value("proposal"),
        _value("proposed_by", sa.Text),
        _value("approved_by", sa.Text),
        _value("reason", sa.Text),
        _value("time_ns"),
        sa.CheckConstraint("proposed_by <> approved_by", name=op.f("trade_cancel_approval_by_two")),
    )


def _key(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _value(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _create(table: str, *parts: Any) -> None:
    keys = [part.name for part in parts if isinstance(part, sa.Column) and part.primary_key]
    op.create_table(
        table,
        _key("market", sa.SmallInteger),
        *parts,
        sa.PrimaryKeyConstraint("market", *keys, name=op.f(f"{table}_key")),
        sqlite_with_rowid=False,
    )


def _guard() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in APPEND_ONLY:
            for action in ("update", "delete"):
                op.execute(
                    f"CREATE TRIGGER {table}_append_only_on_{action} BEFORE {action} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
        return
    op.execute("DROP INDEX posting_once")
    op.execute(
        "CREATE UNIQUE INDEX posting_once ON posting (market, event_number) WHERE leg IN (0, 7, 9)"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
            f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
