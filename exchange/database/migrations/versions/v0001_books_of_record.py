"""The books of record: ledger, serial blocks, compliance.

A released migration never changes: it spells out what `schema` and `guards` said in its version.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("trade", "posting", "block_history", "surrender", "cancellation", "refusal")

OVERLAP = """
CREATE TRIGGER block_no_overlap_on_{action} BEFORE {action_words} ON block
WHEN (SELECT last_serial FROM block
      WHERE programme = NEW.programme AND first_serial <= NEW.last_serial
        {not_itself}ORDER BY first_serial DESC LIMIT 1) >= NEW.first_serial
BEGIN SELECT RAISE(ABORT, 'block_no_overlap: serial numbers are in another block'); END
"""


def upgrade() -> None:
    """Makes every table, then what the database itself refuses."""
    _create_settlement()
    _create_registry()
    _create_compliance()
    if op.get_bind().dialect.name == "sqlite":
        _guard_sqlite()
    else:
        _guard_postgresql()


def _create(name: str, *parts: Any) -> None:
    keys = [part.name for part in parts if isinstance(part, sa.Column) and part.primary_key]
    primary = sa.PrimaryKeyConstraint(*keys, name=op.f(f"{name}_key"))
    op.create_table(name, *parts, primary, sqlite_with_rowid=False)


def _key(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _value(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _create_settlement() -> None:
    _create(
        "settlement_position",
        _key("market", sa.SmallInteger),
        _value("topic_offset"),
        _value("input_offset"),
        _value("part", sa.Integer),
        _value("next_event"),
        _value("chain", sa.LargeBinary),
        _value("carry", sa.LargeBinary),
        _value("number"),
        _value("published"),
        _value("time_ns"),
    )
    _create(
        "trade",
        _key("market", sa.SmallInteger),
        _key("trade_id"),
        _value("instrument_id", sa.Integer),
        _value("quantity"),
        _value("price"),
        _value("buyer_account"),
        _value("seller_account"),
        _value("buyer_fee"),
        _value("seller_fee"),
        _value("buyer_order_id"),
        _value("seller_order_id"),
        _value("time_ns"),
        sa.CheckConstraint("quantity > 0 AND price > 0", name=op.f("trade_positive")),
    )
    _create(
        "posting",
        _key("market", sa.SmallInteger),
        _key("event_number"),
        _key("leg", sa.SmallInteger),
        _value("account"),
        _value("asset", sa.Integer),
        _value("amount"),
        sa.CheckConstraint("amount <> 0", name=op.f("posting_not_empty")),
    )
    _create(
        "balance",
        _key("market", sa.SmallInteger),
        _key("account"),
        _key("asset", sa.Integer),
        _value("amount"),
        sa.CheckConstraint("account < 0 OR amount >= 0", name=op.f("balance_not_overdrawn")),
    )
    _create(
        "settlement_outbox",
        _key("market", sa.SmallInteger),
        _key("number"),
        _value("value", sa.LargeBinary),
    )


def _create_registry() -> None:
    _create(
        "registry_position",
        _key("market", sa.SmallInteger),
        _value("topic_offset"),
        _value("settlement_number"),
        _value("number"),
        _value("published"),
        _value("deposit_ref"),
        _value("block_id"),
        _value("sequence"),
        _value("time_ns"),
    )
    _create(
        "programme",
        _key("programme", sa.String(16)),
        _value("market", sa.SmallInteger),
        _value("next_serial"),
    )
    _create(
        "registry_account",
        _key("market", sa.SmallInteger),
        _key("account"),
        _value("participant"),
        _value("settlement_number"),
    )
    _create(
        "block",
        _key("market", sa.SmallInteger),
        _key("block_id"),
        _value("programme", sa.String(16)),
        _value("first_serial"),
        _value("last_serial"),
        _value("instrument_id", sa.Integer),
        _value("vintage", sa.Integer),
        _value("account"),
        _value("position", sa.SmallInteger),
        _value("state", sa.SmallInteger),
        _value("acquired"),
        sa.CheckConstraint(
            "first_serial >= 1 AND first_serial <= last_serial", name=op.f("block_range")
        ),
    )
    op.create_index(
        op.f("block_programme_first_serial"), "block", ["programme", "first_serial"], unique=True
    )
    _create(
        "block_history",
        _key("market", sa.SmallInteger),
        _key("sequence"),
        _value("settlement_number"),
        _value("time_ns"),
        _value("kind", sa.SmallInteger),
        _value("block_id"),
        _value("programme", sa.String(16)),
        _value("first_serial"),
        _value("last_serial"),
        _value("from_account"),
        _value("from_position", sa.SmallInteger),
        _value("to_account"),
        _value("to_position", sa.SmallInteger),
        _value("cause", sa.String(16)),
        _value("cause_id"),
        _value("left_block"),
        _value("right_block"),
    )
    op.create_index(
        op.f("block_history_programme_first_serial"), "block_history", ["programme", "first_serial"]
    )


def _create_compliance() -> None:
    _create(
        "deposit",
        _key("market", sa.SmallInteger),
        _key("ref"),
        _value("instruction_id"),
        _value("account"),
        _value("instrument_id", sa.Integer),
        _value("quantity"),
        _value("confirmed", sa.SmallInteger),
    )
    _create(
        "obligation",
        _key("market", sa.SmallInteger),
        _key("account"),
        _key("scheme", sa.String(32)),
        _key("year", sa.Integer),
        _value("quantity"),
        sa.CheckConstraint("quantity >= 0", name=op.f("obligation_not_negative")),
    )
    _create(
        "surrender",
        _key("market", sa.SmallInteger),
        _key("instruction_id"),
        _value("account"),
        _value("instrument_id", sa.Integer),
        _value("scheme", sa.String(32)),
        _value("year", sa.Integer),
        _value("rule", sa.String(64)),
        _value("quantity"),
        _value("time_ns"),
        sa.CheckConstraint("quantity > 0", name=op.f("surrender_positive")),
    )
    op.create_index(
        op.f("surrender_market_account_scheme_year"),
        "surrender",
        ["market", "account", "scheme", "year"],
    )
    _create(
        "cancellation",
        _key("market", sa.SmallInteger),
        _key("instruction_id"),
        _value("account"),
        _value("instrument_id", sa.Integer),
        _value("quantity"),
        _value("beneficiary", sa.Text),
        _value("reason", sa.Text),
        _value("time_ns"),
        sa.CheckConstraint("quantity > 0", name=op.f("cancellation_positive")),
    )
    _create(
        "refusal",
        _key("market", sa.SmallInteger),
        _key("instruction_id"),
        _value("account"),
        _value("reason", sa.Integer),
        _value("text", sa.Text),
        _value("rule", sa.String(64)),
        _value("source", sa.Text),
        _value("time_ns"),
    )
    _create(
        "registry_outbox",
        _key("market", sa.SmallInteger),
        _key("number"),
        _value("value", sa.LargeBinary),
    )


def _guard_sqlite() -> None:
    op.execute(OVERLAP.format(action="insert", action_words="INSERT", not_itself=""))
    op.execute(
        OVERLAP.format(
            action="update",
            action_words="UPDATE OF market, block_id, programme, first_serial, last_serial",
            not_itself="AND (market, block_id) <> (OLD.market, OLD.block_id) ",
        )
    )
    for table in APPEND_ONLY:
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_append_only_on_{action} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _guard_postgresql() -> None:
    op.execute("ALTER TABLE posting DROP CONSTRAINT posting_key")
    op.execute(
        "CREATE UNIQUE INDEX posting_once ON posting (market, event_number) WHERE leg IN (0, 7)"
    )
    op.execute("CREATE INDEX posting_event ON posting USING brin (market, event_number)")
    for outbox in ("settlement_outbox", "registry_outbox"):
        op.execute(f"ALTER TABLE {outbox} ALTER COLUMN value SET STORAGE EXTERNAL")
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
    op.execute(
        "ALTER TABLE block ADD CONSTRAINT block_no_overlap EXCLUDE USING gist "
        "(programme WITH =, int8range(first_serial, last_serial, '[]') WITH &&)"
    )
    op.execute(
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
            f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
