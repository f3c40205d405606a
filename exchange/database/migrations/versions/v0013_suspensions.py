"""Who is suspended, so that settlement does not deliver to them."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def _key(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _value(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    """Makes both tables."""
    op.create_table(
        "settlement_account",
        _key("market", sa.SmallInteger),
        _key("account"),
        _value("participant"),
        _value("is_suspended", sa.SmallInteger),
        sa.PrimaryKeyConstraint("market", "account", name=op.f("settlement_account_key")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "settlement_participant",
        _key("market", sa.SmallInteger),
        _key("participant"),
        _value("is_suspended", sa.SmallInteger),
        sa.PrimaryKeyConstraint("market", "participant", name=op.f("settlement_participant_key")),
        sqlite_with_rowid=False,
    )
    op.execute(  # who was suspended before is not in the books: an operator says it again
        "INSERT INTO settlement_account (market, account, participant, is_suspended) "
        "SELECT market, account, participant, 0 FROM registry_account"
    )
