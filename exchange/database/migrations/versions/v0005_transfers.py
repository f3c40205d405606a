"""Transfers: when cash and units came in or went out, and for which instruction.

Trades have carried their time from the first version; deposits, withdrawals and releases were only
postings, so that no statement could say on which day they fell. Books made before this version
lack the rows of their earlier transfers: whoever needs them makes the books anew from the log.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table and keeps its rows from being changed."""
    op.create_table(
        "transfer",
        sa.Column("market", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("event_number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("account", sa.BigInteger, nullable=False),
        sa.Column("asset", sa.Integer, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("transfer_id", sa.BigInteger, nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.CheckConstraint("amount <> 0", name=op.f("transfer_not_empty")),
        sa.PrimaryKeyConstraint("market", "event_number", name=op.f("transfer_key")),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER transfer_append_only_on_{action} BEFORE {action} ON transfer "
                "BEGIN SELECT RAISE(ABORT, 'transfer is append-only'); END"
            )
        return
    op.execute(
        "CREATE TRIGGER transfer_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transfer "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
