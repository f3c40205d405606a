"""Projects of credits: what was reduced, where, how and when goes with each block."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = ("project", "surrender_credit")
COLUMNS = ("project", "period_from", "period_to")


def upgrade() -> None:
    """Makes both tables, keeps their rows from being changed, and widens the blocks."""
    if op.get_bind().dialect.name == "sqlite":
        _remake_block()
    else:
        for name in COLUMNS:
            op.add_column("block", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
            op.alter_column("block", name, server_default=None)
    op.create_table(
        "project",
        sa.Column("market", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("programme", sa.String(16), nullable=False),
        sa.Column("account", sa.BigInteger, nullable=False),
        sa.Column("instruction_id", sa.BigInteger, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("market", "project", name=op.f("project_key")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "surrender_credit",
        sa.Column("market", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("instruction_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("project", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("surrender_credit_positive")),
        sa.PrimaryKeyConstraint(
            "market", "instruction_id", "project", name=op.f("surrender_credit_key")
        ),
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


def _remake_block() -> None:
    """SQLite adds no column in the midst of a table: a new table takes the old one's rows."""
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
    last = "lender BIGINT NOT NULL, "
    op.execute(table.replace(last, last + "".join(f"\n\t{n} INTEGER NOT NULL, " for n in COLUMNS)))
    op.execute("INSERT INTO block SELECT *, 0, 0, 0 FROM block_before")
    op.drop_table("block_before")
    for _, _, made in others:
        connection.exec_driver_sql(made)
