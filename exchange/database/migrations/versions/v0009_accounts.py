"""Accounts and what waits: acts, waiting transfers, surrenders over two registries.

SQLite cannot change a constraint of a table, so `block` is made anew there. O(blocks).
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

HELD_FOR = "(position IN (4, 5)) = (lender <> 0)"


def upgrade() -> None:
    """Adds the four tables and the outbox, and lets a pending block name what holds it."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        _remake_block()
        _remake_position()
    else:
        op.drop_constraint(op.f("block_pledged"), "block")
        op.create_check_constraint(op.f("block_pledged"), "block", HELD_FOR)
        for name in ("message_ref", "messages_sent"):
            op.add_column(
                "registry_position",
                sa.Column(name, sa.BigInteger, nullable=False, server_default="0"),
            )
            op.alter_column("registry_position", name, server_default=None)
    _create_acts()
    _create_transfers()
    _create_offsets()
    _create_messages()


def _create_acts() -> None:
    _create(
        "account_act",
        ("instruction_id",),
        _value("kind", sa.SmallInteger),
        _value("account"),
        _value("other"),
        _value("given_by", sa.Text),
        _value("text", sa.Text),
        _value("eutl_code", sa.String(16)),
        _value("effective_ns"),
        _value("time_ns"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER account_act_append_only_on_{action} BEFORE {action} "
                "ON account_act BEGIN SELECT RAISE(ABORT, 'account_act is append-only'); END"
            )
    else:
        op.execute(
            "CREATE TRIGGER account_act_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
            "ON account_act FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def _create_transfers() -> None:
    table = "waiting_transfer"
    _create(
        table,
        ("instruction_id",),
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
        sa.CheckConstraint("quantity > 0", name=op.f(f"{table}_positive")),
        sa.CheckConstraint(
            "approved_by = '' OR approved_by <> given_by", name=op.f(f"{table}_by_two")
        ),
    )
    _some(table, "state IN (1, 2)")


def _create_offsets() -> None:
    table = "offset_surrender"
    _create(
        table,
        ("instruction_id",),
        _value("account"),
        _value("instrument_id", sa.Integer),
        _value("scheme", sa.String(32)),
        _value("year", sa.Integer),
        _value("rule", sa.String(64)),
        _value("quantity"),
        _value("credit_market", sa.Text),
        _value("credit_account"),
        _value("state", sa.SmallInteger),
        _value("is_counted", sa.SmallInteger),
        _value("reason", sa.Integer),
        _value("text", sa.Text),
        _value("deadline_ns"),
        _value("time_ns"),
        sa.CheckConstraint("quantity > 0", name=op.f(f"{table}_positive")),
        sa.CheckConstraint(
            "state = 3 OR is_counted = CASE WHEN state IN (2, 4) THEN 1 ELSE 0 END",
            name=op.f(f"{table}_counted"),
        ),
    )
    _some(table, "state IN (1, 2, 3)")
    _create(
        "credit_hold",
        ("origin", "surrender_id"),
        _value("surrender_account"),
        _value("surrender_instrument", sa.Integer),
        _value("account"),
        _value("instrument_id", sa.Integer),
        _value("quantity"),
        _value("state", sa.SmallInteger),
        _value("hold_id"),
        _value("reason", sa.Integer),
        _value("text", sa.Text),
        _value("time_ns"),
    )
    _some("credit_hold", "state = 1")


def _create_messages() -> None:
    _create(
        "registry_message",
        ("ref",),
        _value("target", sa.SmallInteger),
        _value("kind", sa.SmallInteger),
        _value("account"),
        _value("instrument_id", sa.Integer),
        _value("quantity"),
        _value("argument"),
        _value("notes", sa.Text),
    )


def _key(name: str) -> sa.Column[Any]:
    kinds: dict[str, Any] = {"market": sa.SmallInteger, "origin": sa.String(16)}
    kind = kinds.get(name, sa.BigInteger)
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _value(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _create(table: str, keys: tuple[str, ...], *parts: Any) -> None:
    op.create_table(
        table,
        *(_key(name) for name in ("market", *keys)),
        *parts,
        sa.PrimaryKeyConstraint("market", *keys, name=op.f(f"{table}_key")),
        sqlite_with_rowid=False,
    )


def _some(table: str, condition: str) -> None:
    op.create_index(
        op.f(f"{table}_market"),
        table,
        ["market"],
        sqlite_where=sa.text(condition),
        postgresql_where=sa.text(condition),
    )


def _remake_position() -> None:
    op.rename_table("registry_position", "registry_position_before")
    names = (
        "topic_offset", "settlement_number", "number", "published", "deposit_ref", "block_id",
        "sequence", "time_ns", "message_ref", "messages_sent",
    )  # fmt: skip
    op.create_table(
        "registry_position",
        _key("market"),
        *(_value(name) for name in names),
        sa.PrimaryKeyConstraint("market", name=op.f("registry_position_key")),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO registry_position SELECT *, 0, 0 FROM registry_position_before")
    op.drop_table("registry_position_before")


def _remake_block() -> None:
    connection = op.get_bind()
    parts = sa.text(
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 'block' AND sql IS NOT NULL"
    )
    rows = connection.execute(parts).all()
    (table,) = (made for kind, _, made in rows if kind == "table")
    others = [(kind, name, made) for kind, name, made in rows if kind != "table"]
    for kind, name, _ in others:
        op.execute(f"DROP {kind} {name}")
    op.rename_table("block", "block_before")
    op.execute(table.replace("(position = 4) = (lender <> 0)", HELD_FOR))
    op.execute("INSERT INTO block SELECT * FROM block_before")
    op.drop_table("block_before")
    for _, _, made in others:
        connection.exec_driver_sql(made)
