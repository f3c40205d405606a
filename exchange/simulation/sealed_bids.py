"""One sealed-bid auction on the engine alone: what a vector of the rulebook names `auction`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exchange.messages.frames import (
    Command,
    Event,
    EventRow,
    Liquidity,
    Side,
    build_commands,
    event_rows,
    pack_command,
)
from exchange.rulebook import Rulebook, RulebookError, load_auction_formats, terms
from matching import compiled

EMITTER, FIRST_BIDDER, INSTRUMENT = 1, 2, 1
BIDS_MAX = 1_000
MEANS, STOCK = 10**15, 10**11
_PRICINGS = {
    "uniform_clearing_price": "UNIFORM",
    "uniform_lowest_accepted_bid": "UNIFORM",
    "pay_as_bid": "PAY_AS_BID",
}


def auction(
    rulebook: Rulebook,
    format: str,  # noqa: A002 - a word of the file
    offered_t: int,
    bids: Sequence[Mapping[str, Any]],
    pricing: str = "",
    reserve_minor: int = 0,
    seed: int = 1,
) -> dict[str, Any]:
    """Opens, bids, clears: whether it was cancelled, the price, and what each bid won.

    A bid is `{id, price_minor, qty_t}` and, where time decides, `seq`. RulebookError where the
    format knows no such auction, or a bid is refused. O(bids log bids).
    """
    if len(bids) > BIDS_MAX:
        raise RulebookError(f"{len(bids)} bids, a vector has at most {BIDS_MAX}")
    shape = load_auction_formats().format_of(format)
    opening = terms(
        shape, offered_t, reserve=reserve_minor, pricing=_PRICINGS.get(pricing, pricing)
    )
    venue = _Venue(len(bids))
    opened = venue.say(
        Command.AUCTION_OPEN,
        account_id=EMITTER,
        **opening._asdict(),
        terms=pack_command(Command.AUCTION_TERMS, price=seed),
    )
    names = {}
    for place, bid in enumerate(sorted(bids, key=lambda bid: bid.get("seq", 0))):
        answer = venue.say(
            Command.AUCTION_BID,
            account_id=FIRST_BIDDER + place,
            side=Side.BUY + Side.SELL - opening.side,
            quantity=bid["qty_t"],
            price=bid["price_minor"],
            order_id=opened[0].order_id,
        )[0]
        if answer.kind != Event.ACCEPTED:
            raise RulebookError(f"bid {bid['id']} is refused, reason {answer.reason}")
        names[answer.order_id] = bid["id"]
    heard = venue.say(Command.AUCTION_CLEAR, order_id=opened[0].order_id)
    won = [row for row in heard if row.kind == Event.FILL and row.order_type == Liquidity.TAKER]
    return {
        "cancelled": heard[0].kind == Event.AUCTION_CANCELLED,
        "clearing_price_minor": heard[0].price,
        "fills": [{"id": names[row.order_id], "qty_t": row.quantity} for row in won],
        "paid_minor": [row.price for row in won],
        "redistribute_over_next_auctions": sum(row.kind == Event.AUCTION_CARRIED for row in heard),
    }


class _Venue:
    def __init__(self, bidders: int) -> None:
        self._engine = compiled.Engine()
        self.say(Command.INSTRUMENT_OPEN)
        for account_id in range(EMITTER, FIRST_BIDDER + bidders):
            self.say(Command.ACCOUNT_OPEN, account_id=account_id)
            self.say(Command.CASH_DEPOSIT, account_id=account_id, quantity=MEANS)
            self.say(Command.UNITS_DEPOSIT, account_id=account_id, quantity=STOCK)

    def say(self, kind: Command, *, terms: bytes = b"", **fields: Any) -> list[EventRow]:
        record = pack_command(kind, **({"instrument_id": INSTRUMENT} | fields))
        records = [record, terms] if terms else [record]
        offset = self._engine.next_offset
        frame = build_commands(records, writer=0, batch=0, time_ns=offset)
        return list(event_rows(self._engine.apply(offset, offset, frame)))
