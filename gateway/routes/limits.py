"""Every limit that a sender meets, told before it is met."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from exchange import settings as limits
from exchange.decimals import from_minor
from exchange.messages.frames import AccountParameter, Parameter
from exchange.reference.venue import Instrument
from gateway.access.roles import sees_all_accounts
from gateway.context import Context
from gateway.control.limits import INSTRUMENT_LIMITS
from gateway.replies.limits import (
    AccountLimits,
    InstrumentLimits,
    LimitsReply,
    ParticipantLimits,
    RatioList,
    RatioRow,
)
from gateway.routes.accounts import views
from gateway.routes.table import Call, Reply, Route
from gateway.views.order_ratio import Counts, excesses, limit_of, ratio_of
from gateway.views.venue_view import MarketView

SHOWN: dict[str, Parameter] = {
    "TICK_SIZE": Parameter.TICK_SIZE,
    "LOT_SIZE": Parameter.LOT_SIZE,
    **{str(word): parameter for word, parameter in INSTRUMENT_LIMITS.items()},
}


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
            reference = from_minor(known.reference_price, view.market.minor_digits)
            yield InstrumentLimits(
                view.market.code, item.symbol, known.phase.name, reference, values
            )


class RatioQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One market, or all; of the day so far, or of the one that was closed last."""

    market: str = ""
    day: Literal["today", "closed"] = "today"


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
