"""Every limit that a sender meets, told before it is met."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from exchange import settings as limits
from exchange.messages.frames import AccountParameter, Parameter
from exchange.reference.venue import Instrument
from gateway.context import Context
from gateway.limits import INSTRUMENT_LIMITS
from gateway.order_ratio import Counts, excesses, limit_of, ratio_of
from gateway.roles import sees_all_accounts
from gateway.routes.accounts import views
from gateway.routes.table import Call, Reply, Route
from gateway.venue_view import MarketView

SHOWN: dict[str, Parameter] = {
    "TICK_SIZE": Parameter.TICK_SIZE,
    "LOT_SIZE": Parameter.LOT_SIZE,
    **{str(word): parameter for word, parameter in INSTRUMENT_LIMITS.items()},
}


class ParticipantLimits(msgspec.Struct, frozen=True):
    """What holds for all accounts of a participant in one market; 0 = no limit."""

    market: str
    participant: int
    is_suspended: bool
    order_rate: int  # orders a second of engine time
    position_max: int  # tonnes of all instruments


class AccountLimits(msgspec.Struct, frozen=True):
    """What holds for one account; 0 = no limit. The participant's and the instrument's hold too."""

    market: str
    account: int
    is_suspended: bool
    order_rate: int
    position_max: int
    holding_max: dict[str, int]  # by symbol, tonnes, where the account has one of its own


class InstrumentLimits(msgspec.Struct, frozen=True):
    """What holds for every order in an instrument, by the names that `SetLimit` uses."""

    market: str
    symbol: str
    phase: str
    reference_price: int  # minor units
    limits: dict[str, int]


class LimitsReply(msgspec.Struct, frozen=True):
    """The limits that a sender meets."""

    orders_per_second: int
    cancels_per_second: int
    reads_per_second: int
    body_bytes_max: int
    json_depth_max: int
    session_batch_max: int
    client_order_id_bytes_max: int
    receive_window_ms: int
    receive_window_ms_max: int
    clock_ahead_ms_max: int
    page_max: int
    wait_ms_max: int
    session_per_second: int  # of the key's own session, at most `orders_per_second`
    address_per_second: int  # of one address, before it says who it is
    headers_max: int
    header_bytes_max: int
    body_timeout_s: int
    is_session_killed: bool
    scopes: list[str]
    participants: list[ParticipantLimits]
    accounts: list[AccountLimits]
    instruments: list[InstrumentLimits]


async def get_limits(call: Call) -> Reply:
    """The limits in force for the key, its accounts and what they trade."""
    context, key = call.context, call.key
    participant, session = context.rates(key)
    views = context.views.values()
    killed = any(key.session in view.acts.killed_sessions for view in views)
    accounts = [row for view in views for row in _accounts(call, view)]
    seen = {(row.market, row.account) for row in accounts}
    owners = {item.participant for item in context.venue.account if (item.market, item.id) in seen}
    return Reply(
        LimitsReply(
            participant,
            context.throttle.per_second,
            participant,
            limits.BODY_BYTES_MAX,
            limits.JSON_DEPTH_MAX,
            limits.SESSION_BATCH_MAX,
            limits.CLIENT_ORDER_ID_BYTES_MAX,
            limits.RECEIVE_WINDOW_MS,
            limits.RECEIVE_WINDOW_MS_MAX,
            limits.CLOCK_AHEAD_MS_MAX,
            limits.PAGE_MAX,
            limits.WAIT_MS_MAX,
            min(session, participant),
            context.throttle.address_per_second,
            limits.HEADERS_MAX,
            limits.HEADER_BYTES_MAX,
            limits.BODY_TIMEOUT_S,
            killed,
            list(key.scopes),
            [_participant(view, owner) for view in views for owner in sorted(owners)],
            accounts,
            [row for view in views for row in _instruments(context, view)],
        )
    )


def _participant(view: MarketView, number: int) -> ParticipantLimits:
    of = view.controls.of_participant
    return ParticipantLimits(
        view.market.code,
        number,
        bool(of(number, AccountParameter.SUSPENDED)),
        of(number, AccountParameter.ORDER_RATE),
        of(number, AccountParameter.POSITION_MAX),
    )


def _accounts(call: Call, view: MarketView) -> Iterator[AccountLimits]:
    code, of = view.market.code, view.controls.of_account
    instruments = call.context.venue.instruments_of(code)
    for number in sorted(call.context.visible_accounts(call.key, code)):
        own = {
            item.symbol: of(number, AccountParameter.INSTRUMENT_HOLDING_MAX, item.id)
            for item in instruments
        }
        yield AccountLimits(
            code,
            number,
            bool(of(number, AccountParameter.SUSPENDED)),
            of(number, AccountParameter.ORDER_RATE),
            of(number, AccountParameter.POSITION_MAX),
            {symbol: value for symbol, value in own.items() if value},
        )


def _instruments(context: Context, view: MarketView) -> Iterator[InstrumentLimits]:
    for item in context.venue.instruments_of(view.market.code):
        known = view.positions.instruments.get(item.id)
        if known is not None:
            values = {word: known.parameters[parameter] for word, parameter in SHOWN.items()}
            yield InstrumentLimits(
                view.market.code, item.symbol, known.phase.name, known.reference_price, values
            )


class RatioQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One market, or all; of the day so far, or of the one that was closed last."""

    market: str = ""
    day: Literal["today", "closed"] = "today"


class RatioRow(msgspec.Struct, frozen=True):
    """Orders to trades of a member in an instrument, as RTS 9 counts; a limit of 0 is none."""

    market: str
    participant: int
    symbol: str
    messages: int  # orders, changes and cancels that it asked for
    ordered: int  # their tonnes
    trades: int
    traded: int  # tonnes
    number_ratio: int
    volume_ratio: int
    number_limit: int
    volume_limit: int
    is_exceeded: bool  # it is slowed down


class RatioList(msgspec.Struct, frozen=True):
    """The members that the key sees, the highest ratio first."""

    ratios: list[RatioRow]


async def get_ratios(call: Call) -> Reply:
    """Orders to trades of the day so far, or of the day before."""
    rows = []
    for view in views(call.context, call.query.market):
        ratios = view.controls.ratios
        counts = ratios.closed if call.query.day == "closed" else ratios.today
        named = {item.id: item for item in call.context.venue.instruments_of(view.market.code)}
        is_all = sees_all_accounts(call.key)
        rows += [
            _ratio(view, participant, named[instrument], counts)
            for participant, instrument in counts
            if instrument in named and (is_all or participant == call.key.participant)
        ]
    rows.sort(key=lambda row: (not row.is_exceeded, -row.number_ratio, row.participant, row.symbol))
    return Reply(RatioList(rows[: limits.PAGE_MAX]))


def _ratio(view: MarketView, participant: int, item: Instrument, counts: Counts) -> RatioRow:
    count, set_ = counts[participant, item.id], view.acts.ratio_limits
    return RatioRow(
        view.market.code,
        participant,
        item.symbol,
        count.messages,
        count.ordered,
        count.trades,
        count.traded,
        ratio_of(count, "ORDER_TRADE_RATIO"),
        ratio_of(count, "VOLUME_TRADE_RATIO"),
        limit_of(set_, "ORDER_TRADE_RATIO", participant, item.symbol),
        limit_of(set_, "VOLUME_TRADE_RATIO", participant, item.symbol),
        any(excesses(counts, set_, (item,), participant)),
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/limits", "Limits in force", get_limits, LimitsReply),
    Route("GET", "/order-to-trade", "Orders to trades of members, as RTS 9 counts", get_ratios,
          RatioList, query=RatioQuery),
)  # fmt: skip
