"""A frozen block may name the account for which a province holds it.

SQLite cannot change a constraint of a table, so `block` is made anew there. O(blocks).
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

BEFORE = "(position IN (4, 5)) = (lender <> 0)"
HELD_FOR = "position = 3 OR (position IN (4, 5)) = (lender <> 0)"


def upgrade() -> None:
    """Lets a frozen block name for whom it is held."""
    if op.get_bind().dialect.name == "sqlite":
        _remake_block()
        return
    op.drop_constraint(op.f("block_pledged"), "block")
    op.create_check_constraint(op.f("block_pledged"), "block", HELD_FOR)


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
    op.execute(table.replace(BEFORE, HELD_FOR).replace('"block_before"', "block"))
    op.execute("INSERT INTO block SELECT * FROM block_before")
    op.drop_table("block_before")
    for _, _, made in others:
        connection.exec_driver_sql(made)
