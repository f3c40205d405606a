"""What to surrender for a compliance year: the cheapest plan that the rules allow."""

from __future__ import annotations

import msgspec

from exchange.compliance import Lot, PlanError, SurrenderPlan, plan_surrender
from exchange.decimals import from_minor
from exchange.messages.reasons import EdgeReason
from exchange.messages.registry import ProjectDetails
from exchange.reference.venue import Instrument
from exchange.registry.projects import credit_of
from exchange.rulebook import RulebookError
from exchange.rulebook.eligibility import Credit
from exchange.rulebook.selection import rules_in_force, surrender_deadline
from exchange.rulebook.shapes import ComplianceRules
from exchange.settings import YEAR_MAX
from gateway.headroom import bases_of, offset_room, rulebook
from gateway.holdings import FROZEN, PENDING, PLEDGED, REGISTRY, TRADING, Made
from gateway.refusal import Refused
from gateway.routes.table import Call, Reply, Route
from gateway.venue_view import MarketView

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


class PlannedRow(msgspec.Struct, frozen=True):
    """Tonnes of an instrument to surrender, what one would fetch, and the rule that takes it."""

    symbol: str
    quantity: int
    price: str
    rule: str
    project: int = 0  # of credits; 0 = not stated


class LeftRow(msgspec.Struct, frozen=True):
    """Tonnes of an instrument that are not in the plan, and why."""

    symbol: str
    quantity: int
    reason: str
    project: int = 0


class LimitRow(msgspec.Struct, frozen=True):
    """A limit of the rules, and what the plan leaves of it, tonnes."""

    rule: str
    name: str
    limit: int
    left: int


class SurrenderPlanReply(msgspec.Struct, frozen=True):
    """A plan. Nothing is done by it: each row is a SurrenderUnits instruction to give."""

    market: str
    account: int
    scheme: str
    year: int
    due: str  # the last day, ISO; "" where the rulebook does not know it
    currency: str
    obligation: int
    surrendered: int
    owed: int
    cost: str
    missing: int
    surrender: list[PlannedRow]
    left: list[LeftRow]
    limits: list[LimitRow]
    source: str


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
    rules = rules_in_force(rulebook(), scheme, query.year, on)
    if rules is None:
        raise Refused(EdgeReason.NOT_FOUND, f"a rule of {scheme} for {query.year} in force on {on}")
    given = {
        item.id: view.holdings.surrendered.get((query.account, query.year, item.id), 0)
        for item in instruments
    }
    surrendered = sum(given.values())
    credits_ = [item for item in instruments if item.kind == "offset"]
    used = [
        _credit(view, item, Made(project, 0), quantity)
        for item in credits_
        for project, quantity in view.holdings.used.get(
            (query.account, query.year, item.id), {}
        ).items()
        if quantity
    ]
    lots = _lots(view, query.account, instruments)
    try:
        plan = plan_surrender(
            rules,
            lots,
            owed_t=max(0, obligation - figures.closed - surrendered),
            emission_year=query.year,
            on=on,
            bases=bases_of(figures),
            used=used,
            scheme_used_t=view.holdings.given_by_all(query.year, {i.id for i in credits_})
            - sum(item.quantity_t for item in used),
        )
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
            (obligation, surrendered, figures.closed),
            {i.id: i for i in instruments},
        )
    )


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


def _lots(view: MarketView, account: int, instruments: list[Instrument]) -> list[Lot]:
    named = {item.id: item for item in instruments}
    lots = []
    for key in view.holdings.keys():  # noqa: SIM118 - no mapping
        item = named.get(key.instrument_id)
        if item is None or key.account != account:
            continue
        state = view.positions.instruments.get(item.id)
        price = (state.last_price or state.reference_price) if state else 0
        price = price or item.reference_price
        held = HELD[key.position].format(lender=key.lender)
        if item.kind != "offset":
            quantity = view.holdings.quantity(key)
            lots.append(Lot(item.id, quantity, price, item.vintage, None, held))
            continue
        for made, quantity in view.holdings.parts(view.holdings.ranges(key)).items():
            credit = _credit(view, item, made, 0)
            told = (item.id, quantity, price, item.vintage, credit, held)
            lots.append(Lot(*told, made.project))
    return lots


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


class YearRow(msgspec.Struct, frozen=True):
    """What the base of an emission year leaves of the offset, tonnes."""

    year: int
    base: int
    base_name: str
    cap: int
    used: int
    left: int
    rule: str
    source: str
    elsewhere: int | None = None  # left of credits from elsewhere, if the offset has no others


class OffsetHeadroomReply(msgspec.Struct, frozen=True):
    """How much more of an offset an account could use: what is left, less what it has, tonnes."""

    market: str
    account: int
    symbol: str
    years: list[YearRow]
    held: int
    buying: int
    room: int
    is_enforced: bool  # a buy beyond it is refused


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
