"""From a FIX message to the venue's order requests: pure, one function a message type."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from exchange.messages.orders import (
    AuctionBid,
    BlockConfirmation,
    BlockProposal,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderMassCancelRequest,
    OrderRequest,
    PickOrder,
    Quote,
)
from exchange.messages.reasons import EdgeReason
from exchange.settings import RECEIVE_WINDOW_MS
from gateway.entry.decimals import whole_number
from gateway.fix.codec import Message
from gateway.fix.dictionary import FIELDS
from gateway.refusal import Refused

SIDE = {"1": "BUY", "2": "SELL"}
ORDER_TYPE = {"1": "MARKET", "2": "LIMIT", "3": "STOP", "4": "STOP_LIMIT"}
TIME_IN_FORCE = {
    "0": "DAY", "1": "GTC", "2": "AT_THE_OPENING", "3": "IOC", "4": "FOK", "6": "GTD",
    "7": "AT_THE_CLOSE",
}  # fmt: skip
SELF_TRADE = FIELDS[7928].values
_NOT_OF_A_BID = (18, 99, 110, 111, 432, 7928, 20003, 20004)


def new_order(message: Message, ref: int, markets: Sequence[str]) -> list[OrderRequest]:
    """D; with AuctionID a sealed bid, with ListingID it picks a listing."""
    if message.get(20008):
        return [_bid(message, ref)]
    if message.get(20004):
        return [_made(
            PickOrder, message, ref, listing_id=_number(message, 20004), quantity=_tonnes(message),
            price=message.get(44), client_order_id=message.get(11),
        )]  # fmt: skip
    instructions = _instructions(message)
    return [_made(
        NewOrderSingle,
        message,
        ref,
        quantity=_tonnes(message),
        price=message.get(44),
        order_type=ORDER_TYPE[message.get(40)],
        time_in_force=TIME_IN_FORCE[message.get(59) or "0"],
        client_order_id=message.get(11),
        post_only=_post_only(message, instructions),
        self_trade_prevention=SELF_TRADE.get(message.get(7928), ""),
        is_persistent="K" not in instructions,
        **_terms(message),
    )]  # fmt: skip


def _bid(message: Message, ref: int) -> AuctionBid:
    """A bid has a price and no terms: what a sealed auction does not know is refused here."""
    given = [FIELDS[tag].name for tag in _NOT_OF_A_BID if message.get(tag)]
    if given or message.get(40) != "2" or message.get(59) not in ("", "0"):
        what = f"not {given[0]}" if given else "OrdType 2 and TimeInForce 0"
        raise Refused(EdgeReason.INVALID_FIELD, f"with AuctionID: {what}")
    made: AuctionBid = _made(
        AuctionBid, message, ref, auction_id=_number(message, 20008), quantity=_tonnes(message),
        price=message.get(44), client_order_id=message.get(11),
    )  # fmt: skip
    return made


def cancel(message: Message, ref: int, markets: Sequence[str]) -> list[OrderRequest]:
    """F: by OrderID where it is given, else by OrigClOrdID."""
    return [OrderCancelRequest(
        ref=ref, symbol=message.get(55), account=_number(message, 1), **_named(message)
    )]  # fmt: skip


def replace(message: Message, ref: int, markets: Sequence[str]) -> list[OrderRequest]:
    """G: new total quantity, price and terms."""
    return [OrderCancelReplaceRequest(
        ref=ref,
        symbol=message.get(55),
        account=_number(message, 1),
        quantity=_tonnes(message),
        price=message.get(44),
        client_order_id=message.get(11),
        valid_ms=_valid_ms(message),
        **_named(message),
        **_terms(message),
    )]  # fmt: skip


def mass_cancel(message: Message, ref: int, markets: Sequence[str]) -> list[OrderRequest]:
    """q: one request for each market that it names; `markets`: of Symbol, or all."""
    wanted = message.get(530)
    if wanted == "1" and not message.get(55):
        raise Refused(EdgeReason.MISSING_FIELD, "Symbol is needed with MassCancelRequestType 1")
    if wanted == "6":
        if message.get(336) not in markets:
            raise Refused(
                EdgeReason.INVALID_FIELD, f"TradingSessionID is one of {', '.join(markets)}"
            )
        markets = [message.get(336)]
    return [
        OrderMassCancelRequest(
            ref=ref,
            market=market,
            symbol=message.get(55),
            account=_number(message, 1) if message.get(1) else 0,
            side=SIDE.get(message.get(54), ""),  # type: ignore[arg-type]
            own_session=message.get(20006) == "Y",
            client_order_id=message.get(11),
        )
        for market in markets
    ]


def quote(message: Message, ref: int, markets: Sequence[str]) -> list[OrderRequest]:
    """S: both sides of a quote."""
    return [Quote(
        ref=ref,
        symbol=message.get(55),
        account=_number(message, 1),
        bid_quantity=_tonnes(message, 134),
        bid_price=message.get(132),
        offer_quantity=_tonnes(message, 135),
        offer_price=message.get(133),
        post_only="REFUSE" if "6" in _instructions(message) else "",
        self_trade_prevention=SELF_TRADE.get(message.get(7928), ""),  # type: ignore[arg-type]
        valid_ms=_valid_ms(message),
    )]  # fmt: skip


def block(message: Message, ref: int, markets: Sequence[str]) -> list[OrderRequest]:
    """AE: a block is proposed, confirmed, or declined and withdrawn by TradeReportRefID."""
    sides = message.groups[552]
    if len(sides) != 1:
        raise Refused(EdgeReason.INVALID_FIELD, "NoSides is 1: the sender's own")
    own = message._replace(fields={**message.fields, **sides[0]})
    wanted = own.get(856)
    if wanted == "0":
        return [_made(
            BlockProposal, own, ref, quantity=_tonnes(own, 32), price=own.get(31),
            counterparty_account=_number(own, 20005), client_order_id=own.get(571),
        )]  # fmt: skip
    proposal = _number(own, 572)
    if wanted == "2":
        return [_made(
            BlockConfirmation, own, ref, quantity=_tonnes(own, 32), price=own.get(31),
            proposal_id=proposal, client_order_id=own.get(571),
        )]  # fmt: skip
    if wanted == "3":
        return [OrderCancelRequest(
            ref=ref, symbol=own.get(55), account=_number(own, 1), order_id=proposal
        )]  # fmt: skip
    raise Refused(EdgeReason.INVALID_FIELD, "TradeReportType is 0, 2 or 3 from a client")


Translator = Callable[[Message, int, Sequence[str]], list[OrderRequest]]
TRANSLATORS: dict[str, Translator] = {
    "D": new_order,
    "F": cancel,
    "G": replace,
    "q": mass_cancel,
    "S": quote,
    "AE": block,
}
"""What becomes requests to the engine; H and g are answered by the gateway alone."""


def _made(kind: type, message: Message, ref: int, **fields: Any) -> Any:
    return kind(
        ref=ref,
        symbol=message.get(55),
        account=_number(message, 1),
        side=SIDE[message.get(54)],
        valid_ms=_valid_ms(message),
        **fields,
    )


def _named(message: Message) -> dict[str, Any]:
    if message.get(37):
        return {"order_id": _number(message, 37)}
    return {"original_client_order_id": message.get(41)}


def _terms(message: Message) -> dict[str, Any]:
    day = message.get(432)
    try:
        expire = dt.date(int(day[:4]), int(day[4:6]), int(day[6:])) if day else None
    except ValueError:
        raise Refused(EdgeReason.INVALID_FIELD, f"ExpireDate: {day} is no day") from None
    return {
        "stop_price": message.get(99),
        "display_quantity": _tonnes(message, 111),
        "minimum_quantity": _tonnes(message, 110),
        "expire_date": expire,
    }


def _instructions(message: Message) -> list[str]:
    found = message.get(18).split()
    unknown = [word for word in found if word not in FIELDS[18].values]
    if unknown:
        raise Refused(EdgeReason.INVALID_FIELD, f"ExecInst: {unknown[0]} is none of 6, K")
    return found


def _post_only(message: Message, instructions: list[str]) -> str:
    if "6" in instructions:
        return "REPRICE" if message.get(20003) == "Y" else "REFUSE"
    if message.get(20003) == "Y":
        raise Refused(EdgeReason.INVALID_FIELD, "PostOnlyReprice goes with ExecInst 6")
    return ""


def _number(message: Message, tag: int) -> int:
    text = message.get(tag)
    number = whole_number(text)
    if number is None:
        name = FIELDS[tag].name
        raise Refused(EdgeReason.INVALID_FIELD, f"{name}: {text[:40]!r} is no number of the venue")
    return number


def _tonnes(message: Message, tag: int = 38) -> str | int:
    """Whole tonnes; the decoder lets nothing but zeros stand after a point."""
    return message.get(tag).partition(".")[0] or 0


def _valid_ms(message: Message) -> int:
    text = message.get(20002)
    return int(text) if text else RECEIVE_WINDOW_MS
