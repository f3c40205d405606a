"""Formats of auctions and rules of venues, run through both engines."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from exchange.messages.frames import (
    Command,
    Event,
    EventRow,
    Liquidity,
    OrderType,
    Parameter,
    Phase,
    Reason,
    Side,
    TimeInForce,
    build_commands,
    event_rows,
    pack_command,
)
from exchange.rulebook import RulebookError, carried, load_auction_formats, terms
from exchange.rulebook.auctions import parse_auction_formats
from exchange.rulebook.vectors import read_vectors
from matching import compiled, reference
from matching.layout import Policy, TradeMethod
from matching.protocol import EngineProtocol

FORMATS = load_auction_formats()
TEXT = (Path(__file__).parents[3] / "exchange/rulebook/auction_formats.toml").read_text("utf-8")
OWN = tomllib.loads((Path(__file__).parent / "market_vectors.toml").read_text("utf-8"))["vector"]
OF_PACKAGE: dict[str, dict[str, Any]] = {
    "auction-eu-uniform": {},
    "auction-eu-undersubscribed": {},
    "auction-cn-uniform-time-priority": {"pricing": "UNIFORM"},
    "auction-cn-pay-as-bid": {"pricing": "PAY_AS_BID"},
    "auction-gd-2024-undersubscribed": {},
    "price-limit-cneeex-listed": {"of": "orders"},
    "price-limit-cneeex-block": {"of": "blocks"},
    "band-half-rounds-up": {"of": "orders"},
    "band-in-ticks-of-five": {"of": "orders"},
    "gd-close-normal": {"volume_min_t": 100},
    "gd-close-101-tonnes": {"volume_min_t": 100},
    "gd-close-100-tonnes": {"volume_min_t": 100},
    "national-close-without-a-trade": {"volume_min_t": 0},
    "national-close-rounds-half-up": {"volume_min_t": 0},
    "uk-redistribution-cap": {"format": "uk-primary"},
}
"""Vectors of the package that the engines run too, with what only they ask for."""
ENGINES: dict[str, type[EngineProtocol]] = {
    "reference": reference.Engine,
    "compiled": compiled.Engine,
}
EMITTER, FIRST_BIDDER = 1, 2


def vectors(function: str) -> list[Any]:
    package = [item for item in read_vectors()[1] if item.id in OF_PACKAGE]
    assert len(package) == len(OF_PACKAGE)
    found = [
        (item.id, item.input | OF_PACKAGE[item.id], item.expected)
        for item in package
        if item.function == function
    ]
    found += [
        (item["id"], item["input"], item["expected"])
        for item in OWN
        if item["function"] == function
    ]
    return [pytest.param(given, expected, id=name) for name, given, expected in found]


@pytest.fixture(params=sorted(ENGINES))
def venue(request: pytest.FixtureRequest) -> Venue:
    """A venue with means for everybody, on each engine in turn."""
    return Venue(ENGINES[request.param])


class Venue:
    """One engine, spoken to record by record."""

    def __init__(self, engine_type: type[EngineProtocol]) -> None:
        self.engine = engine_type()
        self.say(Command.INSTRUMENT_OPEN)
        for account_id in range(1, 7):
            self.say(Command.ACCOUNT_OPEN, account_id=account_id)
            self.say(Command.CASH_DEPOSIT, account_id=account_id, quantity=10**14)
            self.say(Command.UNITS_DEPOSIT, account_id=account_id, quantity=10**9)

    def say(self, kind: Command, **fields: Any) -> list[EventRow]:
        """The events of one command."""
        record = pack_command(kind, **({"instrument_id": 1} | fields))
        offset = self.engine.next_offset
        frame = build_commands([record], writer=0, batch=0, time_ns=offset)
        return list(event_rows(self.engine.apply(offset, offset, frame)))

    def set(self, **parameters: int) -> None:
        """Parameters of the instrument by their names in small letters."""
        for name, value in parameters.items():
            fields = {"order_type": Parameter[name.upper()], "quantity": value}
            assert self.say(Command.INSTRUMENT_PARAMETER, **fields)[0].reason == 0

    def trade(self, price: int, quantity: int) -> None:
        """Two orders that meet, or a listing that is picked."""
        of_both = {"price": price, "quantity": quantity}
        listed = self.say(
            Command.NEW_ORDER,
            account_id=1,
            side=Side.SELL,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.DAY,
            **of_both,
        )
        picked = {"order_id": listed[0].order_id, "side": Side.BUY, "account_id": 2}
        heard = self.say(Command.PICK_ORDER, **picked, **of_both)
        assert [e.kind for e in heard] == [Event.ACCEPTED, Event.FILL, Event.FILL]


@pytest.mark.parametrize(("given", "expected"), vectors("auction"))
def test_auction(venue: Venue, given: dict[str, Any], expected: dict[str, Any]) -> None:
    auction = FORMATS.format_of(given["format"])
    asked = {"reserve": given.get("reserve_minor", 0), "pricing": given.get("pricing", "")}
    opening = terms(auction, given["offered_t"], **asked)
    opened = venue.say(Command.AUCTION_OPEN, account_id=EMITTER, **opening._asdict())
    auction_id = opened[0].order_id
    names = {}
    for place, bid in enumerate(sorted(given["bids"], key=lambda bid: bid.get("seq", 0))):
        accepted = venue.say(
            Command.AUCTION_BID,
            account_id=FIRST_BIDDER + place,
            side=Side.BUY,
            quantity=bid["qty_t"],
            price=bid["price_minor"],
            order_id=auction_id,
        )
        assert accepted[0].kind == Event.ACCEPTED
        names[accepted[0].order_id] = bid["id"]
    heard = venue.say(Command.AUCTION_CLEAR, order_id=auction_id)
    carried_on = [e for e in heard if e.kind == Event.AUCTION_CARRIED]
    won = [e for e in heard if e.kind == Event.FILL and e.order_type == Liquidity.TAKER]
    assert (heard[0].kind == Event.AUCTION_CANCELLED) == expected["cancelled"]
    if expected["cancelled"]:
        assert len(carried_on) == expected["redistribute_over_next_auctions"]
        assert sum(e.quantity for e in carried_on) == given["offered_t"]
        assert not won
        return
    paid = expected.get("paid_minor") or [expected["clearing_price_minor"]] * len(won)
    assert heard[0].price == paid[-1]
    assert [e.price for e in won] == paid
    assert [{"id": names[e.order_id], "qty_t": e.quantity} for e in won] == expected["fills"]
    assert {e.reason for e in won} == {TradeMethod.AUCTION_TRADE}
    assert venue.engine.self_check() == []


@pytest.mark.parametrize(("given", "expected"), vectors("price_band"))
def test_price_band(venue: Venue, given: dict[str, Any], expected: dict[str, Any]) -> None:
    is_block = given["of"] == "blocks"
    width = {"block_band_bp" if is_block else "band_bp": given["limit_bp"]}
    venue.set(tick_size=given["tick_minor"], block_open=1, **width)
    venue.say(Command.REFERENCE_PRICE, price=given["previous_close_minor"])
    venue.say(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS)
    fields: dict[str, Any] = {"account_id": 2, "side": Side.BUY, "quantity": 100}
    if is_block:
        fields |= {"order_id": 3}
    else:
        fields |= {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.DAY}
    kind = Command.BLOCK_PROPOSE if is_block else Command.NEW_ORDER
    for price, reason in (
        (expected["low_minor"] - given["tick_minor"], Reason.PRICE_BELOW_BAND),
        (expected["low_minor"], Reason.NONE),
        (expected["high_minor"], Reason.NONE),
        (expected["high_minor"] + given["tick_minor"], Reason.PRICE_ABOVE_BAND),
    ):
        assert venue.say(kind, price=price, **fields)[0].reason == reason


@pytest.mark.parametrize(("given", "expected"), vectors("close_price"))
def test_close(venue: Venue, given: dict[str, Any], expected: dict[str, Any]) -> None:
    """The listed markets: a thin day keeps the price it opened with (Guangdong: up to 100 t)."""
    venue.set(policy=Policy.LISTED, close_volume_min=given["volume_min_t"])
    venue.say(Command.REFERENCE_PRICE, price=given["open_minor"])
    venue.say(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS)
    for trade in given["trades"]:
        venue.trade(trade["price_minor"], trade["qty_t"])
    venue.say(Command.PHASE_CHANGE, order_type=Phase.CLOSED)
    closed = venue.say(Command.DAY_ROLL, quantity=20_180_731)[0]
    assert (closed.kind, closed.price) == (Event.DAY_CLOSED, expected["close_minor"])


@pytest.mark.parametrize(("given", "expected"), vectors("redistribute"))
def test_redistribution(venue: Venue, given: dict[str, Any], expected: dict[str, Any]) -> None:
    auction = FORMATS.format_of(given["format"])
    opening = terms(auction, given["cancelled_t"])
    venue.say(Command.AUCTION_OPEN, account_id=EMITTER, **opening._asdict())
    heard = venue.say(Command.AUCTION_CANCEL)
    pieces = [e.quantity for e in heard if e.kind == Event.AUCTION_CARRIED]
    added, excess = carried(pieces, given["next_first_proposed_t"], auction.carry_cap_bp)
    assert added == expected["added_t"]
    assert excess == expected["to_stability_account_t"]


@pytest.mark.parametrize("auction", FORMATS.auction_format, ids=lambda auction: auction.id)
def test_every_format_opens_and_clears(venue: Venue, auction: Any) -> None:
    has_reserve = auction.reserve in ("public", "both")
    for pricing in auction.pricings:
        opening = terms(auction, 200_000, reserve=2_000 * has_reserve, pricing=pricing)
        opened = venue.say(Command.AUCTION_OPEN, account_id=EMITTER, **opening._asdict())
        assert [e.kind for e in opened] == [Event.ACCEPTED, Event.AUCTION_OPENED]
        is_whole = "WHOLE_LOT" in auction.flags
        for account_id, price in ((2, 2_100), (3, 2_050), (4, 2_000), (5, 2_000), (6, 2_000)):
            bid = venue.say(
                Command.AUCTION_BID,
                account_id=account_id,
                side=Side.BUY + Side.SELL - opening.side,
                quantity=200_000 if is_whole else 50_000,
                price=price if auction.side == "SELL" else 4_000 - price,
                order_id=opened[0].order_id,
            )
            assert bid[0].kind == Event.ACCEPTED
        cleared = venue.say(Command.AUCTION_CLEAR)[0]
        assert (cleared.kind, cleared.quantity) == (Event.AUCTION_CLEARED, 200_000)
        assert cleared.price == (2_100 if is_whole else 2_000)
        assert venue.engine.self_check() == []


@pytest.mark.parametrize(
    ("format_id", "offered", "more", "words"),
    [
        ("eu-primary", 501, {}, "multiples of 500 t, not 501"),
        ("eu-primary", 500, {"reserve": 1}, "no public reserve"),
        ("eu-primary", 500, {"pricing": "PAY_AS_BID"}, "UNIFORM, not PAY_AS_BID"),
        ("cn-one-way", 99_999, {}, "100000 t or more"),
        ("au-reverse", 1_000, {}, "highest price"),
    ],
)
def test_terms_refuse(format_id: str, offered: int, more: dict[str, Any], words: str) -> None:
    with pytest.raises(RulebookError, match=words):
        terms(FORMATS.format_of(format_id), offered, **more)


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(RulebookError, match="known: eu-primary, uk-primary"):
        FORMATS.format_of("eu-primry")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('tie_break = "PRO_RATA"', 'tie_break = "BY_LUCK"', "ca-joint: unknown TieBreak BY_LUCK"),
        ('"WHOLE_LOT"]', '"WHOLE"]', "unknown AuctionFlag WHOLE"),
        ('pricings = ["UNIFORM", "PAY_AS_BID"]', "pricings = []", "pricings is empty"),
        ("bid_max_bp = 2500", "bid_max_bp = 10001", "bid_max_bp is outside 0..10000"),
        ('id = "uk-primary"', 'id = "eu-primary"', "id eu-primary stands twice"),
        ('reserve = "both"', 'reserve = "secret"', "who buys needs a public reserve"),
        ('sources = ["ca-95911", "knowledge"]', 'sources = ["ca"]', "unknown source ca"),
        ("carry = 4", "carry = 4.5", "Expected `int`"),
        ("schema_version = 1", "schema_version = ", "Invalid value"),
    ],
)
def test_an_unsound_table_is_refused(old: str, new: str, words: str) -> None:
    assert old in TEXT
    with pytest.raises(RulebookError, match=words):
        parse_auction_formats(TEXT.replace(old, new), "formats.toml")
