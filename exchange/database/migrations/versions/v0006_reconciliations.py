"""Reconciliations and the openings that went past one: a day opens on books that agree."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = ("reconciliation", "opening_override")


def upgrade() -> None:
    """Makes both tables and keeps their rows from being changed."""
    op.create_table(
        "reconciliation",
        sa.Column("market", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("time_ns", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("check_name", sa.String(64), primary_key=True, autoincrement=False),
        sa.Column("trading_date", sa.Integer, nullable=False),
        sa.Column("input_offset", sa.BigInteger, nullable=False),
        sa.Column("breaks", sa.BigInteger, nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
        sa.CheckConstraint("breaks >= 0", name=op.f("reconciliation_not_negative")),
        sa.PrimaryKeyConstraint("market", "time_ns", "check_name", name=op.f("reconciliation_key")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "opening_override",
        sa.Column("market", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("time_ns", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("trading_date", sa.Integer, nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("ref", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("refused", sa.Integer, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("market", "time_ns", name=op.f("opening_override_key")),
        sqlite_with_rowid=False,
    )
    for table in TABLES:
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
