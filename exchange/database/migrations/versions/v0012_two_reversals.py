"""Credits of surrenders over two registries by project, and undoing such a surrender."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

COUNTED = "state = 3 OR is_counted = CASE WHEN state IN (2, 4) THEN 1 ELSE 0 END"


def upgrade() -> None:
    """Adds the columns, makes the tables, and keeps what other registries told from changing."""
    if op.get_bind().dialect.name == "sqlite":
        _remake_surrenders()
        _remake_holds()
    else:
        _add("offset_surrender", "project", sa.Integer, "0")
        _add("offset_surrender", "credits", sa.Text, "")
        _add("credit_hold", "retired_id", sa.BigInteger, "0")
        _add("credit_hold", "credits", sa.Text, "")
    _create_reversals()
    _create_returns()
    _create(
        "foreign_project",
        ("programme", "project"),
        _value("project_type", sa.Text),
        _value("region", sa.Text),
        _value("flags", sa.Text),
    )
    _guard("foreign_project")


def _add(table: str, name: str, kind: Any, default: str) -> None:
    op.add_column(table, sa.Column(name, kind, nullable=False, server_default=default))
    op.alter_column(table, name, server_default=None)


def _remake_surrenders() -> None:
    """SQLite writes an added column into the table's text where nobody else would."""
    table = "offset_surrender"
    op.drop_index(op.f(f"{table}_market"), table)
    op.rename_table(table, f"{table}_before")
    _create(
        table,
        ("instruction_id",),
        _value("account"),
        _value("instrument_id", sa.Integer),
        _value("scheme", sa.String(32)),
        _value("year", sa.Integer),
        _value("rule", sa.String(64)),
        _value("quantity"),
        _value("credit_market", sa.Text),
        _value("credit_account"),
        _value("state", sa.SmallInteger),
        _value("is_counted", sa.SmallInteger),
        _value("reason", sa.Integer),
        _value("text", sa.Text),
        _value("deadline_ns"),
        _value("time_ns"),
        _value("project", sa.Integer),
        _value("credits", sa.Text),
        sa.CheckConstraint("quantity > 0", name=op.f(f"{table}_positive")),
        sa.CheckConstraint(COUNTED, name=op.f(f"{table}_counted")),
    )
    op.execute(f"INSERT INTO {table} SELECT *, 0, '' FROM {table}_before")  # noqa: S608
    op.drop_table(f"{table}_before")
    _some(table, "state IN (1, 2, 3)")


def _remake_holds() -> None:
    table = "credit_hold"
    op.drop_index(op.f(f"{table}_market"), table)
    op.rename_table(table, f"{table}_before")
    _create(
        table,
        ("origin", "surrender_id"),
        *_held(),
        _value("retired_id"),
        _value("credits", sa.Text),
    )
    op.execute(f"INSERT INTO {table} SELECT *, 0, '' FROM {table}_before")  # noqa: S608
    op.drop_table(f"{table}_before")
    _some(table, "state = 1")


def _held() -> list[sa.Column[Any]]:
    return [
        _value("surrender_account"),
        _value("surrender_instrument", sa.Integer),
        _value("account"),
        _value("instrument_id", sa.Integer),
        _value("quantity"),
        _value("state", sa.SmallInteger),
        _value("hold_id"),
        _value("reason", sa.Integer),
        _value("text", sa.Text),
        _value("time_ns"),
    ]


def _create_reversals() -> None:
    table = "offset_reversal"
    _create(
        table,
        ("instruction_id",),
        _value("original"),
        _value("proposal"),
        _value("account"),
        _value("instrument_id", sa.Integer),
        _value("scheme", sa.String(32)),
        _value("year", sa.Integer),
        _value("quantity"),
        _value("credit_market", sa.Text),
        _value("credit_account"),
        _value("credits", sa.Text),
        _value("proposed_by", sa.Text),
        _value("approved_by", sa.Text),
        _value("why", sa.Text),
        _value("state", sa.SmallInteger),
        _value("reason", sa.Integer),
        _value("text", sa.Text),
        _value("deadline_ns"),
        _value("time_ns"),
        sa.CheckConstraint("quantity > 0", name=op.f(f"{table}_positive")),
        sa.CheckConstraint("proposed_by <> approved_by", name=op.f(f"{table}_by_two")),
    )
    _some(table, "state IN (1, 2, 3)")


def _create_returns() -> None:
    _create("credit_return", ("origin", "reversal_id"), _value("surrender_id"), *_held())
    _some("credit_return", "state = 1")


def _guard(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_append_only_on_{action} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
        f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def _key(name: str) -> sa.Column[Any]:
    kinds: dict[str, Any] = {
        "market": sa.SmallInteger,
        "origin": sa.String(16),
        "programme": sa.String(16),
        "project": sa.Integer,
    }
    return sa.Column(name, kinds.get(name, sa.BigInteger), primary_key=True, autoincrement=False)


def _value(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _create(table: str, keys: tuple[str, ...], *parts: Any) -> None:
    op.create_table(
        table,
        *(_key(name) for name in ("market", *keys)),
        *parts,
        sa.PrimaryKeyConstraint("market", *keys, name=op.f(f"{table}_key")),
        sqlite_with_rowid=False,
    )


def _some(table: str, condition: str) -> None:
    op.create_index(
        op.f(f"{table}_market"),
        table,
        ["market"],
        sqlite_where=sa.text(condition),
        postgresql_where=sa.text(condition),
    )
