"""What to surrender for a compliance year: the cheapest plan that the rules allow."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping

import msgspec

from exchange.compliance import Lot, PlanError, SurrenderPlan, plan_surrender
from exchange.decimals import from_minor
from exchange.messages.reasons import EdgeReason
from exchange.messages.registry import ProjectDetails, YearFigures
from exchange.reference.venue import Instrument
from exchange.registry.projects import credit_of
from exchange.rulebook import RulebookError, check_vintage
from exchange.rulebook.allocation import Borrowing, borrowing
from exchange.rulebook.eligibility import Credit
from exchange.rulebook.offsets import missing_base
from exchange.rulebook.selection import (
    check_mixed_vintage,
    not_surrendered_by,
    rules_in_force,
    rules_of_group,
    surrender_deadline,
)
from exchange.rulebook.shapes import ComplianceRules
from exchange.rulebook.vintages import is_among
from exchange.rulebook.year import cap_years
from exchange.settings import YEAR_MAX
from gateway.refusal import Refused
from gateway.replies.compliance import (
    LeftRow,
    LimitRow,
    OffsetHeadroomReply,
    PlannedRow,
    SurrenderPlanReply,
    YearRow,
)
from gateway.routes.table import Call, Reply, Route
from gateway.views.headroom import bases_in, group_of, offset_room, rulebook
from gateway.views.holdings import FROZEN, PENDING, PLEDGED, REGISTRY, TRADING, HoldingKey, Made
from gateway.views.venue_view import MarketView

HELD = {
    REGISTRY: "",
    TRADING: "in the trading position: release it first",
    FROZEN: "frozen by the authority",
    PLEDGED: "pledged to account {lender}: only the lender releases it",
    PENDING: "on their way to another account or to be surrendered in another registry",
}
"""Why units in a position cannot be surrendered; "" = they can."""


class PlanQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose obligation of which emission year; `scheme` where the market has several."""

    account: int
    year: int
    scheme: str = ""


async def get_surrender_plan(call: Call) -> Reply:
    """The cheapest admissible surrender for what is still owed, at the last prices."""
    query = call.query
    view = _view(call, query.account)
    if not 1 <= query.year <= YEAR_MAX:
        raise Refused(EdgeReason.INVALID_FIELD, f"year: {query.year} is outside 1..{YEAR_MAX}")
    instruments = _instruments(call, view.market.code, query.scheme)
    scheme = instruments[0].scheme
    figures = view.holdings.years.get((query.account, scheme, query.year))
    obligation = figures.obligation if figures is not None else None
    if figures is None or obligation is None:
        what = f"an obligation of account {query.account} for {query.year}"
        raise Refused(EdgeReason.NOT_FOUND, what)
    on = rulebook().local_date(scheme, call.context.clock.now_ns())
    group = group_of(view.holdings, query.account, scheme)
    rules = rules_of_group(rulebook(), scheme, query.year, on, group)
    if rules is None:
        raise Refused(EdgeReason.NOT_FOUND, f"a rule of {scheme} for {query.year} in force on {on}")
    try:
        plan = make_plan(view, query, instruments, rules, on)
    except KeyError as error:
        raise Refused(EdgeReason.NOT_FOUND, f"a base: {error.args[0]}") from None
    except PlanError as error:
        raise Refused(EdgeReason.INVALID_FIELD, str(error)) from None
    return Reply(
        _reply(
            view,
            query,
            rules,
            plan,
            (obligation, sum(_given(view, query, instruments).values()), figures.closed),
            {i.id: i for i in instruments},
        )
    )


def make_plan(
    view: MarketView,
    query: PlanQuery,
    instruments: list[Instrument],
    rules: ComplianceRules,
    on: dt.date,
) -> SurrenderPlan:
    """The plan for what an account owes still of a year, by the rules of its group on a day.

    `instruments` are those of the scheme. Raises what `plan_surrender` does. O(holdings).
    """
    holdings, account = view.holdings, query.account
    scheme = instruments[0].scheme
    figures = holdings.years[account, scheme, query.year]
    given = _given(view, query, instruments)
    credits_ = [item for item in instruments if item.kind == "offset"]
    years = cap_years(rules, query.year)
    used = [
        _credit(view, item, Made(project, 0), quantity)
        for item in credits_
        for year in years
        for project, quantity in holdings.used.get((account, year, item.id), {}).items()
        if quantity
    ]
    by_all = sum(holdings.given_by_all(year, {i.id for i in credits_}) for year in years)
    amounts = bases_in(holdings, account, scheme, query.year, rules)
    rules, unknown = _with_known_bases(rules, amounts)
    lots = _lots(view, query, instruments, on)
    lots = [_set_apart(lot, unknown.get(lot.credit.unit if lot.credit else "", "")) for lot in lots]
    return plan_surrender(
        rules,
        lots,
        owed_t=max(0, (figures.obligation or 0) - figures.closed - sum(given.values())),
        emission_year=query.year,
        on=on,
        bases=amounts,
        used=used,
        scheme_used_t=by_all - sum(item.quantity_t for item in used),
        borrowing=_borrowing(rules, figures, instruments, given),
    )


def _with_known_bases(
    rules: ComplianceRules, amounts: Mapping[str, int]
) -> tuple[ComplianceRules, dict[str, str]]:
    """The rules without offsets of which a base is not known, and why those are refused, by unit.

    So does the registry: it takes allowances all the same. O(rules).
    """
    known, reasons = [], dict[str, str]()
    for rule in rules.offset:
        base = missing_base(rule, amounts)
        why = f"rule {rule.id} caps by {base}, which is not known of the account" if base else ""
        for unit in () if rule.applies_to else rule.credit_types:
            reasons.setdefault(unit, why)  # the first rule for a unit is the one that counts
        known += [] if base else [rule]
    return msgspec.structs.replace(rules, offset=tuple(known)), reasons


def _set_apart(lot: Lot, why: str) -> Lot:
    return lot._replace(held=lot.held or why)


def _given(view: MarketView, query: PlanQuery, instruments: list[Instrument]) -> dict[int, int]:
    """Tonnes of each instrument that are surrendered for the year. O(instruments)."""
    return {
        item.id: view.holdings.surrendered.get((query.account, query.year, item.id), 0)
        for item in instruments
    }


def _view(call: Call, account: int) -> MarketView:
    for code, view in call.context.views.items():
        if account in call.context.visible_accounts(call.key, code):
            return view
    raise Refused(EdgeReason.NOT_FOUND, f"account {account}")


def _instruments(call: Call, market: str, scheme: str) -> list[Instrument]:
    found = call.context.venue.instruments_of(market)
    schemes = sorted({item.scheme for item in found})
    if not scheme and len(schemes) != 1:
        raise Refused(EdgeReason.INVALID_FIELD, f"scheme: give one of {', '.join(schemes)}")
    mine = [item for item in found if item.scheme == (scheme or schemes[0])]
    if not mine:
        what = f"scheme: market {market} has no {scheme[:40]!r}; known are {', '.join(schemes)}"
        raise Refused(EdgeReason.INVALID_FIELD, what)
    return mine


def _credit(view: MarketView, instrument: Instrument, made: Made, quantity: int) -> Credit:
    if instrument.kept_by:
        lot = view.holdings.foreign.get((instrument.id, made.project))
        told = ProjectDetails(
            name="",
            project_type=lot.project_type if lot else "",
            region=lot.region if lot else "",
            flags=lot.flags if lot else (),
        )
        return credit_of(instrument, told, quantity, made.period_from)
    project = view.holdings.projects.get(made.project)
    return credit_of(instrument, project.details if project else None, quantity, made.period_from)


def _lots(
    view: MarketView, query: PlanQuery, instruments: list[Instrument], on: dt.date
) -> list[Lot]:
    named = {item.id: item for item in instruments}
    lots = []
    for key in view.holdings.keys():  # noqa: SIM118 - no mapping
        item = named.get(key.instrument_id)
        if item is None or key.account != query.account:
            continue
        state = view.positions.instruments.get(item.id)
        price = (state.last_price or state.reference_price) if state else 0
        price = price or item.reference_price
        held = HELD[key.position].format(lender=key.lender)
        if item.kind != "offset":
            for why, (quantity, vintage) in _allowances(view, key, item, query.year, on).items():
                lots.append(Lot(item.id, quantity, price, vintage, None, held or why))
            continue
        credits_: dict[Made, int] = defaultdict(int)
        for made, quantity in view.holdings.parts(view.holdings.ranges(key)).items():
            credits_[made._replace(vintage=0)] += quantity
        for made, quantity in credits_.items():
            credit = _credit(view, item, made, 0)
            told = (item.id, quantity, price, item.vintage, credit, held)
            lots.append(Lot(*told, made.project))
    return lots


def _allowances(
    view: MarketView, key: HoldingKey, item: Instrument, year: int, on: dt.date
) -> dict[str, tuple[int, int]]:
    """Tonnes of a holding, and a vintage, by why the registry would not take them; "" = it would.

    Of an instrument that keeps vintages together it takes those that count. O(ranges + rules).
    """
    standing = view.standings.accounts.get(key.account)
    kind = standing.account_type if standing is not None else ""
    rules = rules_in_force(rulebook(), item.scheme, year, on)
    reserved = not_surrendered_by(rules, item.product, kind)
    if reserved:
        return {reserved: (view.holdings.quantity(key), item.vintage)}
    if item.vintage:
        why = _barred(item, item.vintage, year, on)
        return {why: (view.holdings.quantity(key), item.vintage)}
    found: dict[str, tuple[int, int]] = {}
    for made, quantity in view.holdings.parts(view.holdings.ranges(key)).items():
        why = _barred(item, made.vintage, year, on)
        found[why] = (found.get(why, (0, 0))[0] + quantity, made.vintage)
    return found


def _borrowing(
    rules: ComplianceRules,
    figures: YearFigures,
    instruments: list[Instrument],
    given: Mapping[int, int],
) -> Borrowing:
    """What the account may borrow of a later vintage, and what it did. O(instruments)."""
    used_t = sum(
        given[item.id]
        for item in instruments
        if item.kind != "offset" and is_among(item.vintage, rules.borrowed_vintages)
    )
    return borrowing(rules, figures.verified, figures.final, used_t)


def _barred(item: Instrument, vintage: int, year: int, on: dt.date) -> str:
    """Why the registry would not take an allowance for its vintage; "" = it would. O(rules)."""
    check = check_vintage if item.vintage else check_mixed_vintage
    verdict = check(rulebook(), scheme_id=item.scheme, emission_year=year, on=on, vintage=vintage)
    return verdict.refusal


def _reply(
    view: MarketView,
    query: PlanQuery,
    rules: ComplianceRules,
    plan: SurrenderPlan,
    done: tuple[int, int, int],
    instruments: dict[int, Instrument],
) -> SurrenderPlanReply:
    digits = view.market.minor_digits
    scheme = next(iter(instruments.values())).scheme
    try:
        due = surrender_deadline(rules, query.year).isoformat()
    except RulebookError:
        due = ""
    return SurrenderPlanReply(
        market=view.market.code,
        account=query.account,
        scheme=scheme,
        year=query.year,
        due=due,
        currency=view.market.currency,
        obligation=done[0],
        surrendered=done[1],
        owed=max(0, done[0] - done[1] - done[2]),
        cost=from_minor(plan.cost_minor, digits),
        missing=plan.short_t,
        surrender=[
            PlannedRow(
                instruments[item.lot.lot_id].symbol,
                item.quantity_t,
                from_minor(item.lot.price_minor, digits),
                item.rule_id,
                item.lot.project,
            )
            for item in plan.chosen
        ],
        left=[
            LeftRow(
                instruments[item.lot.lot_id].symbol,
                item.quantity_t,
                item.reason,
                item.lot.project,
            )
            for item in plan.refused
        ],
        limits=[LimitRow(i.rule_id, i.name, i.limit_t, i.left_t) for i in plan.limits],
        source=rulebook().citation(rules),
    )


class HeadroomQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose room for which offset."""

    account: int
    symbol: str


async def get_offset_headroom(call: Call) -> Reply:
    """The room of an account for an offset, year by year."""
    query = call.query
    view = _view(call, query.account)
    instrument = call.context.entry.instrument(query.symbol)
    if instrument.market != view.market.code or instrument.kind != "offset":
        what = f"symbol: {query.symbol} is no offset of market {view.market.code}"
        raise Refused(EdgeReason.INVALID_FIELD, what)
    on = rulebook().local_date(instrument.scheme, call.context.clock.now_ns())
    alike = call.context.venue.instruments_of(view.market.code)
    found = offset_room(view, alike, instrument, query.account, on)
    rows = [
        YearRow(
            year.year,
            year.base,
            year.rule.cap_base,
            year.cap,
            year.used,
            year.left,
            year.rule.id,
            rulebook().citation(year.rule),
            year.elsewhere,
        )
        for year in found.years
    ]
    return Reply(
        OffsetHeadroomReply(
            view.market.code,
            query.account,
            instrument.symbol,
            rows,
            found.held,
            found.buying,
            found.room,
            instrument.offset_headroom == "enforce",
        )
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/offset-headroom", "How much more of an offset an account could use",
          get_offset_headroom, OffsetHeadroomReply, query=HeadroomQuery),
    Route("GET", "/surrender-plan", "The cheapest surrender that the rules allow",
          get_surrender_plan, SurrenderPlanReply, query=PlanQuery),
)  # fmt: skip
