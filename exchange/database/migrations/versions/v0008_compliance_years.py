"""Compliance years in steps instead of an obligation that somebody sets."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

YEAR = ("market", "account", "scheme", "year")


def upgrade() -> None:
    """Makes the tables; what was owed becomes verified emissions of as much."""
    op.create_table(
        "compliance_year",
        sa.Column("market", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("account", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("scheme", sa.String(32), primary_key=True, autoincrement=False),
        sa.Column("year", sa.Integer, primary_key=True, autoincrement=False),
        _value("sector", sa.Text),
        _maybe("reported"),
        _value("reported_by", sa.Text),
        _maybe("verified"),
        _maybe("provisional"),
        _maybe("final"),
        _value("deducted"),
        _value("carried_in"),
        _value("added"),
        _maybe("shortfall"),
        _value("closed"),
        _value("deduction"),
        _value("conditional"),
        sa.CheckConstraint(
            "reported >= 0 AND verified >= 0 AND provisional >= 0 AND final >= 0 "
            "AND shortfall >= 0",
            name=op.f("compliance_year_figures"),
        ),
        sa.CheckConstraint(
            "deducted >= 0 AND carried_in >= 0 AND added >= 0 AND closed >= 0 AND deduction >= 0 "
            "AND conditional >= 0",
            name=op.f("compliance_year_not_negative"),
        ),
        sa.CheckConstraint(
            "verified IS NULL OR reported IS NOT NULL",
            name=op.f("compliance_year_reported_first"),
        ),
        sa.PrimaryKeyConstraint(*YEAR, name=op.f("compliance_year_key")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO compliance_year (market, account, scheme, year, sector, reported, "
        "reported_by, verified, deducted, carried_in, added, closed, deduction, conditional) "
        "SELECT market, account, scheme, year, '', quantity, '', quantity, 0, 0, 0, 0, 0, 0 "
        "FROM obligation"
    )
    op.drop_table("obligation")
    if op.get_bind().dialect.name == "sqlite":
        _remake_surrender()
    else:
        op.add_column(
            "surrender", sa.Column("is_late", sa.SmallInteger, nullable=False, server_default="0")
        )
        op.alter_column("surrender", "is_late", server_default=None)
    _steps()
    _carry_over()


def _remake_surrender() -> None:
    """SQLite writes an added column into the table's text where nobody else would."""
    op.execute("ALTER TABLE surrender RENAME TO surrender_before")
    op.execute("DROP INDEX surrender_market_account_scheme_year")
    _create(
        "surrender",
        _value("account"),
        _value("instrument_id", sa.Integer),
        *_of_year()[1:],
        _value("rule", sa.String(64)),
        _value("quantity"),
        _value("time_ns"),
        _value("is_late", sa.SmallInteger),
        sa.CheckConstraint("quantity > 0", name=op.f("surrender_positive")),
        keep=False,
    )
    op.execute("INSERT INTO surrender SELECT *, 0 FROM surrender_before")
    op.execute("DROP TABLE surrender_before")
    _keep("surrender")
    _index("surrender", YEAR, unique=False)


def _steps() -> None:
    _create(
        "emissions",
        _value("kind", sa.SmallInteger),
        *_of_year(),
        _value("quantity"),
        _value("given_by", sa.Text),
        _value("participant"),
        _value("is_late", sa.SmallInteger),
        _value("time_ns"),
        sa.CheckConstraint("quantity >= 0", name=op.f("emissions_not_negative")),
    )
    _index("emissions", YEAR, unique=False)
    _create(
        "allocation",
        _value("account"),
        _value("instrument_id", sa.Integer),
        *_of_year()[1:],
        _value("stage", sa.String(16)),
        _value("method", sa.String(32)),
        _value("sector", sa.Text),
        *(_value(name) for name in ("base", "quantity", "relief", "deducted")),
        *(_value(name) for name in ("issued", "returned", "added")),
        _value("rule", sa.String(64)),
        _value("given_by", sa.Text),
        _value("is_late", sa.SmallInteger),
        _value("time_ns"),
        sa.CheckConstraint(
            "quantity >= 0 AND issued >= 0 AND returned >= 0",
            name=op.f("allocation_not_negative"),
        ),
    )
    _index("allocation", (*YEAR, "stage"), unique=True)
    _create(
        "assessment",
        *_of_year(),
        *(_value(name) for name in ("obligation", "surrendered", "shortfall")),
        *(_value(name) for name in ("average_price", "fine_min", "fine_max")),
        *(_value(name) for name in ("carried", "instruments_due", "forced", "deduction")),
        _value("condition", sa.Text),
        _value("consequence", sa.Text),
        _value("due", sa.String(10)),
        _value("rule", sa.String(64)),
        _value("given_by", sa.Text),
        _value("time_ns"),
        sa.CheckConstraint(
            "shortfall >= 0 AND fine_min <= fine_max", name=op.f("assessment_sound")
        ),
    )
    _index("assessment", YEAR, unique=True)


def _carry_over() -> None:
    _create(
        "carry_over_application",
        _value("account"),
        _value("instrument_id", sa.Integer),
        *(_value(name) for name in ("quantity", "most", "sold", "bought", "position")),
        _value("process_by", sa.String(10)),
        _value("rule", sa.String(64)),
        _value("given_by", sa.Text),
        _value("time_ns"),
        sa.CheckConstraint(
            "quantity > 0 AND quantity <= most", name=op.f("carry_over_application_within")
        ),
    )
    _create(
        "carry_over",
        _value("application_id"),
        _value("account"),
        _value("instrument_id", sa.Integer),
        _value("quantity"),
        _value("given_by", sa.Text),
        _value("is_late", sa.SmallInteger),
        _value("time_ns"),
        sa.CheckConstraint("quantity > 0", name=op.f("carry_over_positive")),
    )
    _index("carry_over", ("market", "application_id"), unique=True)


def _value(name: str, kind: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _maybe(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=True)


def _of_year() -> tuple[sa.Column[Any], ...]:
    return (_value("account"), _value("scheme", sa.String(32)), _value("year", sa.Integer))


def _index(table: str, columns: tuple[str, ...], *, unique: bool) -> None:
    name = op.f(f"{table}_{'_'.join(columns)}")
    op.create_index(name, table, list(columns), unique=unique)


def _create(table: str, *parts: Any, keep: bool = True) -> None:
    op.create_table(
        table,
        sa.Column("market", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("instruction_id", sa.BigInteger, primary_key=True, autoincrement=False),
        *parts,
        sa.PrimaryKeyConstraint("market", "instruction_id", name=op.f(f"{table}_key")),
        sqlite_with_rowid=False,
    )
    if keep:
        _keep(table)


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
