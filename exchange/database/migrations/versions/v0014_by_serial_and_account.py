"""The history of a serial by its range, and the blocks of an account, each by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

NODE = (
    "CASE "
    + " ".join(
        f"WHEN last_serial >> {bit} << {bit} >= first_serial THEN last_serial >> {bit} << {bit}"
        for bit in range(62, 0, -1)
    )
    + " ELSE last_serial END"
)
"""The number of a range that the highest power of two divides; as `registry.blocks.node_of`."""

BY_FIRST = "block_history_by_first"
BY_LAST = "block_history_by_last"


def upgrade() -> None:
    """Adds the node of each row of history, its indexes in the place of two, and that of blocks."""
    if op.get_bind().dialect.name == "sqlite":
        _remake_history()
    else:
        for column in ("block_id", "left_block"):
            op.drop_index(op.f(f"block_history_{column}"), "block_history")
        # What is generated is filled in without the rows being updated, which is refused.
        op.execute(
            f"ALTER TABLE block_history ADD COLUMN node BIGINT NOT NULL "
            f"GENERATED ALWAYS AS ({NODE}) STORED"
        )
        op.execute("ALTER TABLE block_history ALTER COLUMN node DROP EXPRESSION")
    op.create_index(BY_FIRST, "block_history", ["programme", "node", "first_serial", "sequence"])
    op.create_index(
        BY_LAST, "block_history", ["programme", "node", "last_serial", sa.text("sequence DESC")]
    )
    condition = sa.text("state = 1")
    op.create_index(
        "block_by_place",
        "block",
        ["account", "market", "position", "instrument_id", "acquired", "first_serial"],
        sqlite_where=condition,
        postgresql_where=condition,
    )


def _remake_history() -> None:
    connection = op.get_bind()
    parts = sa.text(
        "SELECT type, name, sql FROM sqlite_master "
        "WHERE tbl_name = 'block_history' AND sql IS NOT NULL"
    )
    rows = connection.execute(parts).all()
    (table,) = (made for kind, _, made in rows if kind == "table")
    others = [(kind, name, made) for kind, name, made in rows if kind != "table"]
    for kind, name, _ in others:
        op.execute(f"DROP {kind} {name}")
    op.rename_table("block_history", "block_history_before")
    last = "right_block BIGINT NOT NULL, "
    op.execute(table.replace(last, f"{last}\n\tnode BIGINT NOT NULL, "))
    op.execute(f"INSERT INTO block_history SELECT *, {NODE} FROM block_history_before")  # noqa: S608
    op.drop_table("block_history_before")
    gone = ("block_history_block_id", "block_history_left_block")
    for _, name, made in others:
        if name not in gone:
            connection.exec_driver_sql(made)
