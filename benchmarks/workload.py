"""Seeded order flow for the engine, as frames: built with numpy before any clock runs.

Of the commands 60 % are new orders, a third of which cross, 35 % cancels and 5 % replaces, around
10,000 resting orders on one instrument. An order id is a place on the log, so a cancel can name its
order when the flow is made; an order that has traded by then is answered UNKNOWN_ORDER, as on a
real venue.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt

from matching.layout import (
    COMMAND,
    HEADER,
    INDEX_BITS,
    MAGIC,
    VERSION,
    Command,
    FrameKind,
    OrderType,
    Parameter,
    Phase,
    Side,
    TimeInForce,
)

Commands = npt.NDArray[np.void]

ACCOUNTS = 5_000
CASH = 10**14
UNITS = 10**9
MID = 7_000
DEPTH = 50  # ticks on each side that resting orders spread over
START_NS = 1_700_000_000_000_000_000
FRAME_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Workload:
    """Frames of the log from offset 0: a market made ready, then the flow."""

    opening: list[bytes]
    flow: list[bytes]
    commands: int

    def append_ns(self, offset: int) -> int:
        """When the log took the record."""
        return START_NS + offset * FRAME_NS


def frame(commands: Commands, offset: int = 0) -> bytes:
    """The commands as one frame. O(commands)."""
    records = commands.tobytes()
    header = np.zeros(1, HEADER)
    header["magic"], header["version"], header["kind"] = MAGIC, VERSION, FrameKind.COMMANDS
    header["count"], header["checksum"] = len(commands), crc32(records)
    header["time_ns"] = START_NS + offset * FRAME_NS
    return header.tobytes() + records


def opening(maker_fee_bp: int, taker_fee_bp: int) -> list[bytes]:
    """One instrument in CONTINUOUS and funded accounts. O(accounts)."""
    market = np.zeros(4, COMMAND)
    market["kind"] = [Command.INSTRUMENT_OPEN, *[Command.INSTRUMENT_PARAMETER] * 2, 0]
    market["kind"][3] = Command.PHASE_CHANGE
    market["instrument_id"] = 1
    market["order_type"] = [0, Parameter.MAKER_FEE_BP, Parameter.TAKER_FEE_BP, Phase.CONTINUOUS]
    market["quantity"] = [0, maker_fee_bp, taker_fee_bp, 0]
    accounts = np.zeros((ACCOUNTS, 3), COMMAND)
    accounts["kind"] = [Command.ACCOUNT_OPEN, Command.CASH_DEPOSIT, Command.UNITS_DEPOSIT]
    accounts["instrument_id"] = [0, 0, 1]
    accounts["quantity"] = [0, CASH, UNITS]
    accounts["account_id"] = np.arange(1, ACCOUNTS + 1)[:, None]
    parts = np.array_split(accounts.reshape(-1), 5)
    return [frame(part) for part in (market, *parts)]


def steady(
    frames: int, *, batch: int = 64, resting: int = 10_000, seed: int = 1, labels: bool = True
) -> Workload:
    """A book of `resting` orders and `frames` frames of `batch` commands. O(commands)."""
    random = np.random.default_rng(seed)
    opened = opening(5, 10)
    # First the book, then the flow, in one table, so that cancels can look back.
    fill = -(-resting // batch)
    total = (fill + frames) * batch
    first = len(opened)
    table = np.zeros(total, COMMAND)
    place = np.arange(total)
    position = (first + place // batch).astype(np.uint64) << np.uint64(INDEX_BITS)
    position |= (place % batch).astype(np.uint64)
    _new_orders(table, random, is_book=place < fill * batch)
    _changes(table, random, position, fill * batch)
    table["session_id"] = table["account_id"]
    table["ref"] = place + 1
    if labels:
        is_labelled = table["kind"] != Command.CANCEL_ORDER
        table["client_order_id"][is_labelled] = np.char.mod("%016d", place[is_labelled])
    made = [frame(part, first + at) for at, part in enumerate(np.split(table, fill + frames))]
    return Workload(opened + made[:fill], made[fill:], frames * batch)


def _new_orders(
    table: Commands, random: np.random.Generator, is_book: npt.NDArray[np.bool]
) -> None:
    total = len(table)
    table["kind"] = Command.NEW_ORDER
    table["instrument_id"] = 1
    table["account_id"] = random.integers(1, ACCOUNTS + 1, total)
    table["side"] = random.integers(Side.BUY, Side.SELL + 1, total)
    table["order_type"] = OrderType.LIMIT
    table["time_in_force"] = TimeInForce.GTC
    away = random.integers(1, DEPTH + 1, total)
    is_crossing = (random.random(total) < 1 / 3) & ~is_book
    away[is_crossing] = -random.integers(1, 4, is_crossing.sum())
    table["quantity"] = random.integers(1, 101, total)
    table["price"] = np.where(table["side"] == Side.BUY, MID - away, MID + away)
    # What crosses does not stay to be crossed itself: the book keeps its depth.
    table["time_in_force"][is_crossing] = TimeInForce.IOC


def _changes(
    table: Commands, random: np.random.Generator, position: npt.NDArray[np.uint64], begin: int
) -> None:
    """Turn two fifths of the flow into cancels and replaces of orders that were sent before."""
    kind = random.random(len(table))
    live = list(range(begin))
    for at in range(begin, len(table)):
        if kind[at] >= 0.4:
            if table["time_in_force"][at] == TimeInForce.GTC:
                live.append(at)
            continue
        pick = int(random.integers(len(live)))
        order = live[pick]
        row = table[at]
        row["kind"] = Command.CANCEL_ORDER if kind[at] < 0.35 else Command.REPLACE_ORDER
        row["order_id"] = position[order]
        row["account_id"] = table["account_id"][order]
        if kind[at] < 0.35:
            live[pick] = live[-1]
            live.pop()
        else:
            away = int(random.integers(1, DEPTH + 1))
            is_buy = table["side"][order] == Side.BUY
            row["price"] = MID - away if is_buy else MID + away
            row["quantity"] = table["quantity"][order]
