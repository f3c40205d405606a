"""Real auctions held again: the primary auctions of EEX, with bids made from what EEX published.

`python -m benchmarks.auctions FILE [--seed N] [--blind] [--pure]` reads a CSV with one auction a
row: date, price_eur, min_bid_eur, max_bid_eur, mean_bid_eur, median_bid_eur, volume_t,
bid_volume_t, bids, bidders. Each is run as an `eu-primary` auction through the engine, and the
table says how many clear at the price of the row, next to it (one cent), or off it, and how many
cancel that were cancelled.

No one publishes the bids themselves. They are made so that their number, lowest, highest, median
and mean price (to the cent, over the bids) and their volume are those of the row; where the number
is not published, four a bidder. That alone does not fix where the sum of the bids passes the offer.
So one bid stands at the price of the row, the bids above it sum to less than the offer, and with it
they reach it: what is tested is the engine (order of bids, clearing price, cut of the last bid,
holds, conservation), not the market. With `--blind` the price of the row is not used: volumes are
drawn over the same bids, and the distances say how much the published figures leave open.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

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
from exchange.rulebook import load_auction_formats, terms
from matching import compiled, reference
from matching.protocol import EngineProtocol

RESULTS = Path(__file__).parent / "results" / "auctions.json"
FORMAT = load_auction_formats().format_of("eu-primary")
MULTIPLE = FORMAT.bid_multiple_t
BIDS_A_BIDDER = 4  # where their number is not published
EMITTER = 1
CASH = 10**16  # minor units, of each bidder
UNITS = 10**11


class Row(NamedTuple):
    """What was published of one auction: cents, tonnes."""

    date: str
    is_cancelled: bool
    price: int
    lowest: int
    highest: int
    mean: int
    median: int
    offered: int
    asked: int
    bids: int
    bidders: int


class Made(NamedTuple):
    """A bid: cents, tonnes."""

    price: int
    quantity: int


def read(path: Path) -> tuple[list[Row], int]:
    """The rows with a volume on offer, and how many have none."""
    rows, empty = [], 0
    with path.open(encoding="utf-8", newline="") as file:
        for said in csv.DictReader(file):
            if not said["volume_t"]:
                empty += 1
                continue
            price, lowest, highest, mean, middle = (
                int(Decimal(said[f"{name}_eur"] or "0") * 100)
                for name in ("price", "min_bid", "max_bid", "mean_bid", "median_bid")
            )
            bidders = int(said["bidders"])
            rows.append(
                Row(
                    said["date"],
                    not said["price_eur"],
                    price,
                    lowest,
                    highest,
                    mean,
                    middle,
                    offered=int(said["volume_t"]),
                    asked=int(said["bid_volume_t"]),
                    bids=int(said["bids"] or BIDS_A_BIDDER * bidders),
                    bidders=bidders,
                )
            )
    return rows, empty


# -- bids made of a row ----------------------------------------------------------------------------


def prices_of(row: Row, random: Random, price: int | None) -> list[int]:
    """Prices with the row's number, lowest, highest, median and mean; one is `price`, if given."""
    half = row.bids // 2
    fixed = [row.lowest, row.highest, *[row.median] * (2 - row.bids % 2)]
    below, above = half - 2 + row.bids % 2, half - 2 + row.bids % 2
    if price is not None and price not in fixed:
        fixed.append(price)
        if price < row.median:
            below -= 1
        else:
            above -= 1
    low = [row.median - _near(random, row.median - row.lowest) for _ in range(max(below, 0))]
    high = [row.median + _near(random, row.highest - row.median) for _ in range(max(above, 0))]
    missing = row.mean * row.bids - sum(low) - sum(high) - sum(fixed)
    missing = _shift(low, missing, row.lowest, row.median)
    _shift(high, missing, row.median, row.highest)
    return sorted(low + high + fixed, reverse=True)


def _near(random: Random, room: int) -> int:
    """A distance within the room, mostly a small one."""
    return int(room * random.random() ** 4)


def _shift(prices: list[int], missing: int, low: int, high: int) -> int:
    """Moves prices between the bounds towards a sum that is `missing` more; what is left."""
    for rest in range(len(prices), 0, -1):
        at = rest - 1
        step = -(-missing // rest) if missing > 0 else missing // rest
        moved = min(max(prices[at] + step, low), high)
        missing -= moved - prices[at]
        prices[at] = moved
    for at, price in enumerate(prices):
        moved = min(max(price + missing, low), high)
        missing -= moved - price
        prices[at] = moved
    return missing


def share(total: int, parts: int, random: Random) -> list[int]:
    """`total` tonnes in so many random parts, each a multiple and at least one."""
    units = total // MULTIPLE - parts
    cuts = sorted(random.randint(0, units) for _ in range(parts - 1))
    edges = zip([0, *cuts], [*cuts, units], strict=True)
    return [(end - start + 1) * MULTIPLE for start, end in edges]


def bids_of(row: Row, random: Random, *, is_blind: bool) -> list[Made]:
    """Bids in the order in which they come: none that a real auction is known to have had."""
    if row.is_cancelled:
        made = [Made(10_000, quantity) for quantity in share(row.asked, row.bids, random)]
    elif is_blind:
        prices = prices_of(row, random, None)
        quantities = share(row.asked, len(prices), random)
        made = [Made(*bid) for bid in zip(prices, quantities, strict=True)]
    else:
        made = _through_the_price(row, random)
    random.shuffle(made)
    return made


def _through_the_price(row: Row, random: Random) -> list[Made]:
    """The bids above the row's price leave some of the offer, those at the price take it."""
    prices = prices_of(row, random, row.price)
    above = [price for price in prices if price > row.price]
    at = [price for price in prices if price == row.price]
    below = [price for price in prices if price < row.price]
    least_at, least_below = len(at) * MULTIPLE, len(below) * MULTIPLE
    taken_above = 0
    if above:
        most = min(row.offered - MULTIPLE, row.asked - least_below - least_at)
        least = min(max(len(above) * MULTIPLE, row.offered * 4 // 5), most)
        taken_above = random.randint(least // MULTIPLE, most // MULTIPLE) * MULTIPLE
    taken_at = max(row.offered - taken_above, least_at)
    rest = row.asked - taken_above - taken_at - least_below
    taken_at += rest if not below else random.randint(0, rest // MULTIPLE // 4) * MULTIPLE
    taken_below = row.asked - taken_above - taken_at
    quantities = [
        quantity
        for group, total in ((above, taken_above), (at, taken_at), (below, taken_below))
        if group
        for quantity in share(total, len(group), random)
    ]
    return [Made(*bid) for bid in zip(prices, quantities, strict=True)]


def is_faithful(row: Row, made: list[Made]) -> bool:
    """Whether the bids have the figures of the row: the mean to the cent."""
    prices = [bid.price for bid in made]
    return (
        (min(prices), max(prices), len(prices)) == (row.lowest, row.highest, row.bids)
        and int(median(prices)) == row.median
        and abs(sum(prices) - row.mean * row.bids) < row.bids
        and sum(bid.quantity for bid in made) == row.asked
    )


# -- auctions --------------------------------------------------------------------------------------


class House:
    """One engine that holds the auctions one after the other."""

    def __init__(self, engine_type: type[EngineProtocol], bidders: int) -> None:
        self.engine = engine_type()
        self.bidders = bidders
        opening = [
            pack_command(Command.INSTRUMENT_OPEN, instrument_id=1),
            pack_command(Command.ACCOUNT_OPEN, account_id=EMITTER),
            pack_command(
                Command.UNITS_DEPOSIT, account_id=EMITTER, instrument_id=1, quantity=UNITS
            ),
        ]
        for account_id in range(EMITTER + 1, EMITTER + 1 + bidders):
            opening.append(pack_command(Command.ACCOUNT_OPEN, account_id=account_id))
            opening.append(pack_command(Command.CASH_DEPOSIT, account_id=account_id, quantity=CASH))
        self._say(opening)

    def _say(self, records: list[bytes]) -> list[EventRow]:
        offset = self.engine.next_offset
        frame = build_commands(records, writer=0, batch=0, time_ns=offset)
        heard = list(event_rows(self.engine.apply(offset, offset, frame)))
        refused = [e for e in heard if e.kind == Event.REJECTED]
        assert not refused, refused[0]
        return heard

    def hold(self, row: Row, made: list[Made], seed: int) -> list[EventRow]:
        """What an auction of these bids ends with."""
        opening = terms(FORMAT, row.offered)._asdict()
        opened = self._say(
            [
                pack_command(Command.AUCTION_OPEN, account_id=EMITTER, instrument_id=1, **opening),
                pack_command(Command.AUCTION_TERMS, price=seed),
            ]
        )
        records = [
            pack_command(
                Command.AUCTION_BID,
                account_id=EMITTER + 1 + place % min(row.bidders, self.bidders),
                instrument_id=1,
                side=Side.BUY,
                quantity=bid.quantity,
                price=bid.price,
                order_id=opened[0].order_id,
            )
            for place, bid in enumerate(made)
        ]
        records.append(pack_command(Command.AUCTION_CLEAR, instrument_id=1))
        return self._say(records)


def conserves(row: Row, heard: list[EventRow], sold: int) -> bool:
    """Whether the offer is sold once, to the bids, and the rest given back."""
    fills = [e for e in heard if e.kind == Event.FILL]
    bought = sum(e.quantity for e in fills if e.order_type == Liquidity.TAKER)
    given = sum(e.quantity for e in fills if e.order_type == Liquidity.MAKER)
    return bought == given == sold == row.offered


def measure(path: Path, seed: int, *, is_blind: bool, is_pure: bool) -> dict[str, int]:
    """Every row of the file, and how its auction ended."""
    rows, empty = read(path)
    house = House(
        reference.Engine if is_pure else compiled.Engine, max(row.bidders for row in rows)
    )
    count: Counter[str] = Counter(rows=len(rows) + empty, without_volume=empty)
    off: list[int] = []
    for place, row in enumerate(rows):
        random = Random(seed * 1_000_003 + place)
        made = bids_of(row, random, is_blind=is_blind)
        heard = house.hold(row, made, random.getrandbits(62))
        said = next(e for e in heard if e.kind in (Event.AUCTION_CLEARED, Event.AUCTION_CANCELLED))
        count["bids"] += len(made)
        if row.is_cancelled:
            count["cancelled"] += 1
            count["cancelled_here_too"] += said.kind == Event.AUCTION_CANCELLED
            continue
        distance = abs(said.price - row.price)
        count["cleared"] += said.kind == Event.AUCTION_CLEARED
        count["faithful"] += is_faithful(row, made)
        count["conserved"] += conserves(row, heard, said.quantity)
        count["at_the_price"] += distance == 0
        count["next_to_it"] += distance == 1
        count["off_it"] += distance > 1
        off.append(distance * 10_000 // row.price)
    assert not house.engine.self_check()
    off.sort()
    return dict(count) | {"off_bp_median": off[len(off) // 2], "off_bp_worst": off[-1]}


def main() -> int:
    """Prints the table; 1 when an auction did not end as its row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.auctions", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", type=Path, help="CSV of auctions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blind", action="store_true", help="do not use the price of the row")
    parser.add_argument("--pure", action="store_true", help="on the reference engine")
    chosen = parser.parse_args()
    found = measure(chosen.file, chosen.seed, is_blind=chosen.blind, is_pure=chosen.pure)
    table = Table(title=f"{chosen.file.name}, seed {chosen.seed}")
    table.add_column("auctions")
    table.add_column("", justify="right")
    for name, value in found.items():
        table.add_row(name.replace("_", " "), f"{value:,}")
    Console().print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    held = found["rows"] - found["without_volume"] - found["cancelled"]
    is_right = (
        found["cancelled_here_too"] == found["cancelled"]
        and found["conserved"] == found["cleared"] == held
        and (chosen.blind or found["at_the_price"] == held)
    )
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
