"""Frozen and pledged units: to whom a block is pledged, and every act.

SQLite cannot add a constraint to a table, so `block` is made anew there. O(blocks).
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PLEDGED = "(position = 4) = (lender <> 0)"
OVERLAP = """
CREATE TRIGGER block_no_overlap_on_{action} BEFORE {action_words} ON block
WHEN (SELECT last_serial FROM block
      WHERE programme = NEW.programme AND first_serial <= NEW.last_serial
        {not_itself}ORDER BY first_serial DESC LIMIT 1) >= NEW.first_serial
BEGIN SELECT RAISE(ABORT, 'block_no_overlap: serial numbers are in another block'); END
"""


def upgrade() -> None:
    """Adds `lender` to `block`, then the table `encumbrance`."""
    if op.get_bind().dialect.name == "sqlite":
        _remake_block()
    else:
        op.add_column(
            "block", sa.Column("lender", sa.BigInteger, nullable=False, server_default="0")
        )
        op.alter_column("block", "lender", server_default=None)
        op.create_check_constraint(op.f("block_pledged"), "block", PLEDGED)
    op.create_table(
        "encumbrance",
        _key("market", sa.SmallInteger),
        _key("instruction_id", sa.BigInteger),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("account", sa.BigInteger, nullable=False),
        sa.Column("lender", sa.BigInteger, nullable=False),
        sa.Column("instrument_id", sa.Integer, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("given_by", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("encumbrance_positive")),
        sa.PrimaryKeyConstraint("market", "instruction_id", name=op.f("encumbrance_key")),
        sqlite_with_rowid=False,
    )
    _keep("encumbrance")


def _key(name: str, kind: type[sa.types.TypeEngine[int]]) -> sa.Column[int]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _keep(table: str) -> None:
    """Has the database refuse changes to rows of `table`."""
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


def _remake_block() -> None:
    for action in ("insert", "update"):
        op.execute(f"DROP TRIGGER block_no_overlap_on_{action}")
    op.drop_index(op.f("block_programme_first_serial"), "block")
    op.rename_table("block", "block_before")
    op.create_table(
        "block",
        _key("market", sa.SmallInteger),
        _key("block_id", sa.BigInteger),
        sa.Column("programme", sa.String(16), nullable=False),
        sa.Column("first_serial", sa.BigInteger, nullable=False),
        sa.Column("last_serial", sa.BigInteger, nullable=False),
        sa.Column("instrument_id", sa.Integer, nullable=False),
        sa.Column("vintage", sa.Integer, nullable=False),
        sa.Column("account", sa.BigInteger, nullable=False),
        sa.Column("position", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("acquired", sa.BigInteger, nullable=False),
        sa.Column("lender", sa.BigInteger, nullable=False),
        sa.CheckConstraint(
            "first_serial >= 1 AND first_serial <= last_serial", name=op.f("block_range")
        ),
        sa.CheckConstraint(PLEDGED, name=op.f("block_pledged")),
        sa.PrimaryKeyConstraint("market", "block_id", name=op.f("block_key")),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO block SELECT *, 0 FROM block_before")
    op.drop_table("block_before")
    op.create_index(
        op.f("block_programme_first_serial"), "block", ["programme", "first_serial"], unique=True
    )
    op.execute(OVERLAP.format(action="insert", action_words="INSERT", not_itself=""))
    op.execute(
        OVERLAP.format(
            action="update",
            action_words="UPDATE OF market, block_id, programme, first_serial, last_serial",
            not_itself="AND (market, block_id) <> (OLD.market, OLD.block_id) ",
        )
    )
