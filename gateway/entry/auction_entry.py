"""Requests of operators about primary auctions become commands: openings and ends.

As in `gateway.entry.order_entry`: form and names are checked here, and that the format knows such
an auction; everything that depends on the market is judged by the engine.
"""

from __future__ import annotations

from functools import cache

from exchange.clock import random_id
from exchange.messages import operations
from exchange.messages.frames import Command, pack_command
from exchange.messages.reasons import EdgeReason, SupplyReason
from exchange.reference.venue import Instrument, Key
from exchange.rulebook import AuctionFormats, RulebookError, load_auction_formats, terms
from gateway.entry.decimals import INT64_MAX, to_minor
from gateway.entry.fields import label, order_number, tonnes
from gateway.entry.order_entry import Desk, OrderEntry, Prepared
from gateway.refusal import Refused


def prepare_auction(entry: OrderEntry, key: Key, request: operations.AuctionOperation) -> Prepared:
    """The command of an operator; Refused where the format knows no such auction. O(1)."""
    instrument = entry.instrument(request.symbol)
    desk = entry.desks[instrument.market]
    ref = entry.checked_ref(request.ref)
    if isinstance(request, operations.AuctionOpen):
        opening = _opening(entry, key, request, instrument, desk)
        return Prepared(desk, key.session, request.ref, opening)
    if isinstance(request, operations.AuctionClear):
        command = pack_command(
            Command.AUCTION_CLEAR,
            instrument_id=instrument.id,
            session_id=key.session,
            ref=ref,
            order_id=order_number("auction_id", request.auction_id),
            quantity=random_id(),
            price=_reserve(request.reserve, desk),
        )
    else:
        command = pack_command(
            Command.AUCTION_CANCEL,
            instrument_id=instrument.id,
            session_id=key.session,
            ref=ref,
            order_id=order_number("auction_id", request.auction_id),
        )
    return Prepared(desk, key.session, request.ref, [command])


def _opening(
    entry: OrderEntry, key: Key, request: operations.AuctionOpen, instrument: Instrument, desk: Desk
) -> list[bytes]:
    account = entry.account(desk.market, request.account)
    if not request.label:
        raise Refused(EdgeReason.INVALID_FIELD, "label: the calendar's name of the auction")
    offered = tonnes(request.quantity)
    try:
        opening = terms(
            formats().format_of(request.format),
            offered,
            reserve=_reserve(request.price, desk),
            pricing=request.pricing,
        )
    except RulebookError as error:
        raise Refused(SupplyReason.AUCTION_NOT_OF_FORMAT, str(error)) from None
    if not 0 <= request.closes_ns <= INT64_MAX:
        raise Refused(EdgeReason.INVALID_FIELD, "closes_ns: 0 or a moment in ns UTC")
    opened = pack_command(
        Command.AUCTION_OPEN,
        instrument_id=instrument.id,
        account_id=account.id,
        session_id=key.session,
        ref=request.ref,
        client_order_id=label(request.label),
        **opening._asdict(),
    )
    # One half of the seed is drawn before there is a bid, the other when all have come: nobody who
    # knows one of them can fit bids to it, or it to bids.
    drawn = pack_command(Command.AUCTION_TERMS, quantity=request.closes_ns, price=random_id())
    return [opened, drawn]


@cache
def formats() -> AuctionFormats:
    """The formats of the package, read once. O(formats) the first time."""
    return load_auction_formats()


def _reserve(text: str, desk: Desk) -> int:
    if not text:
        return 0
    reserve = to_minor(text, desk.market.minor_digits, "reserve")
    if reserve <= 0:
        raise Refused(EdgeReason.INVALID_FIELD, f"reserve: {text} is not above zero")
    return reserve
