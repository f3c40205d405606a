"""Entitlements to exchange credits for allowances, and exchanges."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def _key(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _value(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    """Makes both tables and keeps their rows from being changed."""
    op.create_table(
        "credit_entitlement",
        _key("market", sa.SmallInteger),
        _key("instruction_id"),
        _value("account"),
        _value("scheme", sa.String(32)),
        _value("applies_to", sa.String(32)),
        _value("base"),
        _value("given_by", sa.Text),
        _value("time_ns"),
        sa.CheckConstraint("base >= 0", name=op.f("credit_entitlement_not_negative")),
        sa.PrimaryKeyConstraint("market", "instruction_id", name=op.f("credit_entitlement_key")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "credit_exchange",
        _key("market", sa.SmallInteger),
        _key("instruction_id"),
        _key("project", sa.Integer),
        _value("account"),
        _value("scheme", sa.String(32)),
        _value("instrument_id", sa.Integer),
        _value("allowance_id", sa.Integer),
        _value("vintage", sa.Integer),
        _value("quantity"),
        _value("rule", sa.String(64)),
        _value("given_by", sa.Text),
        _value("time_ns"),
        sa.CheckConstraint("quantity > 0", name=op.f("credit_exchange_positive")),
        sa.PrimaryKeyConstraint(
            "market", "instruction_id", "project", name=op.f("credit_exchange_key")
        ),
        sqlite_with_rowid=False,
    )
    for table in ("credit_entitlement", "credit_exchange"):
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
