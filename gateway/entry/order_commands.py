"""From an order request to its 64-byte commands: pure, one function a kind of request.

Form alone is judged here: that texts are numbers and numbers fit their fields. Which terms go with
which type, and everything that depends on the market, is the engine's (`matching/RULES.md`).
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable
from typing import Any

from exchange.messages import orders as body
from exchange.messages.frames import (
    SELF_TRADE_SHIFT,
    Command,
    ExecInst,
    OrderType,
    SelfTrade,
    Side,
    TimeInForce,
    pack_command,
)
from exchange.messages.reasons import EdgeReason, Reason
from exchange.reference.venue import Market
from gateway.entry.decimals import INT64_MAX, to_minor, to_tonnes
from gateway.entry.fields import label, limit_price, order_number, tonnes, valid_ms
from gateway.refusal import Refused

SIDE = {side.name: side.value for side in Side}
ORDER_TYPE = {kind.name: kind.value for kind in OrderType}
TIME_IN_FORCE = {tif.name: tif.value for tif in TimeInForce}
POST_ONLY = {
    "": 0,
    "REFUSE": int(ExecInst.POST_ONLY),
    "REPRICE": int(ExecInst.POST_ONLY_REPRICE),
}
SELF_TRADE = {"": 0} | {
    mode.name: mode.value << SELF_TRADE_SHIFT for mode in SelfTrade if mode != SelfTrade.ALLOWED
}
_PRICED = frozenset({"LIMIT", "STOP_LIMIT"})
_OFFER = struct.Struct("<qq")  # of a QUOTE: tonnes and price to sell

Who = dict[str, int]
"""The fields of every command of a request: session_id, ref, account_id, instrument_id."""


def new_order(request: body.NewOrderSingle, who: Who, market: Market) -> list[bytes]:
    """NEW_ORDER, with its ORDER_TERMS where it has terms or instructions. O(1)."""
    price = 0
    if request.order_type in _PRICED:
        price = limit_price(request.price, market)
    elif request.price:
        raise Refused(Reason.MARKET_ORDER_HAS_PRICE, f"price {request.price}")
    instructions = 0
    if request.post_only or request.self_trade_prevention or not request.is_persistent:
        instructions = (
            POST_ONLY[request.post_only]
            | SELF_TRADE[request.self_trade_prevention]
            | (0 if request.is_persistent else ExecInst.NON_PERSISTENT)
        )
    order = pack_command(
        Command.NEW_ORDER,
        side=SIDE[request.side],
        order_type=ORDER_TYPE[request.order_type],
        time_in_force=TIME_IN_FORCE[request.time_in_force],
        valid_ms=valid_ms(request.valid_ms),
        quantity=tonnes(request.quantity),
        price=price,
        order_id=instructions,
        client_order_id=label(request.client_order_id),
        **who,
    )
    # instructions alone bring terms too, so that the engine repeats them in its answer
    return [order, *_terms(request, market, is_asked=bool(instructions))]


def replace_order(
    request: body.OrderCancelReplaceRequest, order_id: int, who: Who, market: Market
) -> list[bytes]:
    """REPLACE_ORDER of a known order, with its ORDER_TERMS where it has terms. O(1)."""
    replace = pack_command(
        Command.REPLACE_ORDER,
        valid_ms=valid_ms(request.valid_ms),
        quantity=tonnes(request.quantity),
        price=limit_price(request.price, market) if request.price else 0,
        order_id=order_id,
        client_order_id=label(request.client_order_id),
        **who,
    )
    return [replace, *_terms(request, market)]


def mass_cancel(request: body.OrderMassCancelRequest, participant: int, who: Who) -> list[bytes]:
    """MASS_CANCEL inside the participant's own accounts. O(1)."""
    return [pack_command(
        Command.MASS_CANCEL,
        side=SIDE.get(request.side, 0),
        order_id=participant,
        quantity=who["session_id"] if request.own_session else 0,
        client_order_id=label(request.client_order_id),
        **who,
    )]  # fmt: skip


def quote(request: body.Quote, who: Who, market: Market) -> list[bytes]:
    """QUOTE: both sides, an empty one with quantity and price 0. O(1)."""
    bid = _quoted("bid", request.bid_quantity, request.bid_price, market)
    offer = _quoted("offer", request.offer_quantity, request.offer_price, market)
    return [pack_command(
        Command.QUOTE,
        order_type=POST_ONLY[request.post_only] | SELF_TRADE[request.self_trade_prevention],
        valid_ms=valid_ms(request.valid_ms),
        quantity=bid[0],
        price=bid[1],
        client_order_id=_OFFER.pack(*offer),
        **who,
    )]  # fmt: skip


def pick(request: body.PickOrder, who: Who, market: Market) -> list[bytes]:
    """PICK_ORDER of a listing. O(1)."""
    listing = order_number("listing_id", request.listing_id)
    return [_taken(Command.PICK_ORDER, request, listing, who, market)]


def propose_block(
    request: body.BlockProposal, counterparty: int, who: Who, market: Market
) -> list[bytes]:
    """BLOCK_PROPOSE to an account that is known. O(1)."""
    return [_taken(Command.BLOCK_PROPOSE, request, counterparty, who, market)]


def confirm_block(request: body.BlockConfirmation, who: Who, market: Market) -> list[bytes]:
    """BLOCK_CONFIRM of a proposal. O(1)."""
    proposal = order_number("proposal_id", request.proposal_id)
    return [_taken(Command.BLOCK_CONFIRM, request, proposal, who, market)]


def bid(request: body.AuctionBid, who: Who, market: Market) -> list[bytes]:
    """AUCTION_BID in an auction that is named by its id. O(1)."""
    auction = order_number("auction_id", request.auction_id)
    return [_taken(Command.AUCTION_BID, request, auction, who, market)]


def _taken(
    kind: Command,
    request: body.PickOrder | body.BlockProposal | body.BlockConfirmation | body.AuctionBid,
    named: int,
    who: Who,
    market: Market,
) -> bytes:
    return pack_command(
        kind,
        side=SIDE[request.side],
        valid_ms=valid_ms(request.valid_ms),
        quantity=tonnes(request.quantity),
        price=limit_price(request.price, market),
        order_id=named,
        client_order_id=label(request.client_order_id),
        **who,
    )


def _terms(
    request: body.NewOrderSingle | body.OrderCancelReplaceRequest,
    market: Market,
    *,
    is_asked: bool = False,
) -> list[bytes]:
    if not (
        is_asked
        or request.stop_price
        or request.display_quantity
        or request.minimum_quantity
        or request.expire_date
    ):
        return []
    stop = to_minor(request.stop_price, market.minor_digits, "stop_price") if (
        request.stop_price
    ) else 0  # fmt: skip
    if stop < 0:
        raise Refused(Reason.STOP_PRICE_OUT_OF_RANGE, f"stop_price {request.stop_price}")
    return [pack_command(
        Command.ORDER_TERMS,
        ref=stop,
        quantity=_fitting("display_quantity", request.display_quantity),
        price=_fitting("minimum_quantity", request.minimum_quantity),
        order_id=_date(request.expire_date),
    )]  # fmt: skip


def _quoted(side: str, quantity: int | str, price: str, market: Market) -> tuple[int, int]:
    asked = _fitting(f"{side}_quantity", quantity)
    if not asked:
        if price:
            raise Refused(Reason.INVALID_TERMS, f"{side}_price {price} without {side}_quantity")
        return 0, 0
    return tonnes(asked), limit_price(price, market)


def _fitting(field: str, value: int | str) -> int:
    number = to_tonnes(value, field)
    if not -INT64_MAX <= number <= INT64_MAX:
        raise Refused(EdgeReason.INVALID_FIELD, f"{field}: {value} does not fit 64 bits")
    return number


def _date(day: dt.date | None) -> int:
    return 0 if day is None else day.year * 10_000 + day.month * 100 + day.day


Packer = Callable[[Any, Who, Market], list[bytes]]
PACKERS: dict[type, Packer] = {
    body.NewOrderSingle: new_order,
    body.Quote: quote,
    body.PickOrder: pick,
    body.BlockConfirmation: confirm_block,
    body.AuctionBid: bid,
}
"""Requests whose commands need nothing but the request, its sender and its market."""
