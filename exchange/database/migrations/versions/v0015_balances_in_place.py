"""Balances change in the page where they are: room is left beside each."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Leaves room on the pages of balances; SQLite changes a row where it is."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE balance SET (fillfactor = 40)")
