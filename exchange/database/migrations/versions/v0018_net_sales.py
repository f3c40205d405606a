"""What accounts sold less what they bought, where the rules cap it."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table. What was sold before is not counted: no rule was kept then."""
    op.create_table(
        "net_sale",
        sa.Column("market", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("account", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("instrument_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("market", "account", "instrument_id", name=op.f("net_sale_key")),
        sqlite_with_rowid=False,
    )
