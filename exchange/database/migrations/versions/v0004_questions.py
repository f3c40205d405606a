"""What the registry's questions need: the tonnes at each place over time, and indexes.

`holding` is filled from the history: O(n log n) in its rows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FILL = """
INSERT INTO holding
SELECT market, account, instrument_id, position, time_ns, settlement_number,
       SUM(change) OVER (PARTITION BY market, account, instrument_id, position
                         ORDER BY settlement_number)
FROM (
    SELECT market, account, instrument_id, position, MAX(time_ns) AS time_ns, settlement_number,
           CAST(SUM(change) AS BIGINT) AS change
    FROM (
        SELECT market, settlement_number, time_ns, from_account AS account,
               from_position AS position, first_serial - last_serial - 1 AS change,
               (SELECT instrument_id FROM block
                WHERE block.programme = block_history.programme
                  AND block.first_serial <= block_history.first_serial
                ORDER BY block.first_serial DESC LIMIT 1) AS instrument_id
        FROM block_history WHERE kind <> 2 AND from_position <> 0
        UNION ALL
        SELECT market, settlement_number, time_ns, to_account,
               to_position, last_serial - first_serial + 1,
               (SELECT instrument_id FROM block
                WHERE block.programme = block_history.programme
                  AND block.first_serial <= block_history.first_serial
                ORDER BY block.first_serial DESC LIMIT 1)
        FROM block_history WHERE kind <> 2 AND to_position <> 0
    ) AS moves
    GROUP BY market, account, instrument_id, position, settlement_number
) AS changes
WHERE change <> 0
"""


def upgrade() -> None:
    """Adds `holding` with its rows, and the indexes of `block_history`."""
    op.drop_index(op.f("block_history_programme_first_serial"), "block_history")
    op.create_index(op.f("block_history_block_id"), "block_history", ["block_id"])
    for condition, columns in (
        ("kind = 1", ["programme", "first_serial"]),
        ("left_block <> 0", ["left_block"]),
    ):
        op.create_index(
            op.f("_".join(["block_history", *columns])),
            "block_history",
            columns,
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )
    op.create_table(
        "holding",
        _key("market", sa.SmallInteger),
        _key("account", sa.BigInteger),
        _key("instrument_id", sa.Integer),
        _key("position", sa.SmallInteger),
        _key("time_ns", sa.BigInteger),
        _key("settlement_number", sa.BigInteger),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.CheckConstraint("quantity >= 0", name=op.f("holding_not_negative")),
        sa.PrimaryKeyConstraint(
            "market", "account", "instrument_id", "position", "time_ns", "settlement_number",
            name=op.f("holding_key"),
        ),
        sqlite_with_rowid=False,
    )  # fmt: skip
    op.execute(FILL)
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER holding_append_only_on_{action} BEFORE {action} ON holding "
                "BEGIN SELECT RAISE(ABORT, 'holding is append-only'); END"
            )
    else:
        op.execute(
            "CREATE TRIGGER holding_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
            "ON holding FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def _key(name: str, kind: type[sa.types.TypeEngine[int]]) -> sa.Column[int]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)
