"""An account's compliance year: every figure, and every step with its day and source."""

from __future__ import annotations

import datetime as dt

import msgspec

from exchange.decimals import from_minor
from exchange.messages.frames import Instruction
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Key, Market
from exchange.registry import year_queries
from exchange.registry.year_queries import YearBooks
from exchange.registry.years import FINE_NOT_KNOWN
from exchange.rulebook.selection import rules_of_group
from exchange.rulebook.shapes import ComplianceRules
from exchange.rulebook.year import (
    FINAL,
    PROVISIONAL,
    REPORT,
    STEPS,
    SURRENDER,
    VERIFICATION,
    due,
    rules_of_year,
)
from exchange.settings import YEAR_MAX
from gateway.access.roles import VERIFIERS
from gateway.context import Context
from gateway.refusal import Refused
from gateway.replies.years import AssessmentRow, ComplianceYearReply, StepRow
from gateway.routes.books import ask_books
from gateway.routes.table import Call, Reply, Route
from gateway.views.headroom import group_of, period_in, rulebook


class YearQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose year in which scheme."""

    account: int
    scheme: str
    year: int


async def get_compliance_year(call: Call) -> Reply:
    """The figures of a year and where its steps stand."""
    query: YearQuery = call.query
    if not 1 <= query.year <= YEAR_MAX:
        raise Refused(EdgeReason.INVALID_FIELD, f"year: {query.year} is outside 1..{YEAR_MAX}")
    market = _market(call.context, call.key, query)
    books = await ask_books(
        call,
        lambda database: year_queries.year_of(
            database, market.partition, query.account, query.scheme, query.year
        ),
    )
    today = rulebook().local_date(query.scheme, call.context.clock.now_ns())
    found = books or YearBooks(year_queries.NOTHING, [], [], [], None)
    holdings = call.context.views[market.code].holdings
    whose = (query.account, query.scheme)
    rules = rules_of_group(rulebook(), query.scheme, query.year, today, group_of(holdings, *whose))
    period = period_in(holdings, *whose, query.year, rules)
    return Reply(_reply(market, query, found, today, period))


def _market(context: Context, key: Key, query: YearQuery) -> Market:
    """The market of the scheme in which the key sees the account."""
    known = dict.fromkeys(item.scheme for item in context.venue.instrument)
    if query.scheme not in known:
        what = f"scheme: the venue has no {query.scheme[:40]!r}; known are {', '.join(known)}"
        raise Refused(EdgeReason.INVALID_FIELD, what)
    for market in context.venue.market:
        schemes = {item.scheme for item in context.venue.instruments_of(market.code)}
        accounts = {item.id for item in context.venue.accounts_of(market.code)}
        is_seen = key.role in VERIFIERS or query.account in context.visible_accounts(
            key, market.code
        )
        if query.scheme in schemes and query.account in accounts and is_seen:
            return market
    raise Refused(EdgeReason.NOT_FOUND, f"account {query.account} in {query.scheme[:40]}")


def _reply(
    market: Market, query: YearQuery, books: YearBooks, today: dt.date, period: dict[str, int]
) -> ComplianceYearReply:
    figures = books.figures
    rules = rules_of_year(rulebook(), query.scheme, query.year, today)
    given = sum(row.quantity for row in books.surrenders)
    return ComplianceYearReply(
        market=market.code,
        account=query.account,
        scheme=query.scheme,
        year=query.year,
        sector=figures.sector,
        currency=market.currency,
        reported=figures.reported,
        verified=figures.verified,
        provisional=figures.provisional,
        final=figures.final,
        deducted=figures.deducted,
        carried_in=figures.carried_in,
        added=figures.added,
        obligation=figures.obligation,
        surrendered=given,
        offsets=sum(row.quantity for row in books.surrenders if row.rule),
        closed=figures.closed,
        owed=figures.owed(given),
        deduction=figures.deductible(given),
        bases=figures.bases | period,
        steps=_steps(query, books, rules, today),
        assessment=_assessment(market, books),
        rule=rules.id if rules else "",
        source=rulebook().citation(rules) if rules else "",
    )


def _steps(
    query: YearQuery, books: YearBooks, rules: ComplianceRules | None, today: dt.date
) -> list[StepRow]:
    rows = []
    for step in STEPS:
        last = due(rulebook(), query.scheme, rules, query.year, step, books.figures.sector)
        done = _done(step, books)
        if done is None and step == PROVISIONAL and last.day is None:
            continue
        if done is None:
            is_over = last.day is not None and today > last.day
            done = ("OVERDUE" if is_over else "OPEN", 0, None, "", "")
        status, time_ns, quantity, by, detail = done
        day = last.day.isoformat() if last.day else ""
        rows.append(StepRow(step, status, day, time_ns, quantity, by, detail, last.source))
    return rows


_Done = tuple[str, int, int | None, str, str]  # status, time, tonnes, by, detail


def _done(step: str, books: YearBooks) -> _Done | None:
    """What was done of a step, None when it is still to do."""
    if step in (REPORT, VERIFICATION):
        kind = Instruction.REPORT_EMISSIONS if step == REPORT else Instruction.VERIFY_EMISSIONS
        stated = [row for row in books.emissions if row.kind == kind]
        if not stated:
            return None
        row = stated[-1]
        return _status(bool(row.is_late)), row.time_ns, row.quantity, row.given_by, ""
    if step in (PROVISIONAL, FINAL):
        stage = "provisional" if step == PROVISIONAL else "final"
        for item in books.allocations:
            if item.stage == stage:
                parts = [item.method]
                for name in ("relief", "deducted", "issued", "returned", "added"):
                    parts += [f"{name} {getattr(item, name):,} t"] * bool(getattr(item, name))
                status = _status(bool(item.is_late))
                return status, item.time_ns, item.quantity, item.given_by, ", ".join(parts)
        return None
    given = sum(row.quantity for row in books.surrenders)
    obligation = books.figures.obligation
    if step != SURRENDER or obligation is None or books.figures.owed(given):
        return None
    is_late = any(row.is_late for row in books.surrenders)
    time_ns = max((row.time_ns for row in books.surrenders), default=0)
    return _status(is_late), time_ns, given, "", ""


def _status(is_late: bool) -> str:
    return "LATE" if is_late else "DONE"


def _assessment(market: Market, books: YearBooks) -> AssessmentRow | None:
    row = books.assessment
    if row is None:
        return None
    return AssessmentRow(
        row.shortfall,
        from_minor(row.average_price, market.minor_digits),
        _fine(row.fine_min, market),
        _fine(row.fine_max, market),
        row.carried,
        row.instruments_due,
        row.forced,
        row.deduction,
        row.condition,
        row.consequence,
        row.rule,
        row.given_by,
        row.time_ns,
    )


def _fine(minor: int, market: Market) -> str:
    return "" if minor == FINE_NOT_KNOWN else from_minor(minor, market.minor_digits)


ROUTES: tuple[Route, ...] = (
    Route("GET", "/compliance-year", "A compliance year and its steps", get_compliance_year,
          ComplianceYearReply, query=YearQuery),
)  # fmt: skip
