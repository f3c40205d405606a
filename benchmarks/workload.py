"""Seeded order flow for the engine, as frames: built with numpy before any clock runs.

A `Plan` holds the commands of a flow one row each; `Plan.framed` cuts them into frames. An order id
is a place on the log, so a cancel can name its order when the flow is made.

| plan | flow |
|---|---|
| `steady` | 60 % new orders, a third of which meet somebody, 35 % cancels, 5 % replaces |
| `deep` | a book that only grows: nine new orders for each cancel |
| `sweeping` | a deep book, then orders that each take about fifty resting ones |
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.flow import BUY, CANCEL, NEW, Maker
from matching.layout import (
    COMMAND,
    COUNT_MAX,
    HEADER_SIZE,
    INDEX_BITS,
    MAGIC,
    RECORD_SIZE,
    VERSION,
    Command,
    FrameKind,
    OrderType,
    Parameter,
    Phase,
    Side,
    TimeInForce,
)

Commands = NDArray[np.void]
Places = NDArray[np.int64]

CASH = 10**13
UNITS = 10**9
MID = 100_000
START_NS = 1_700_000_000_000_000_000
FRAME_NS = 1_000_000
MAKER_FEE_BP, TAKER_FEE_BP = 5, 10

_HEADER = struct.Struct("<IHBBIIqqqII32s")
assert _HEADER.size == HEADER_SIZE


@dataclass(frozen=True, slots=True)
class Workload:
    """Frames of the log from offset 0: a market made ready, then the flow."""

    opening: list[bytes]
    flow: list[bytes]
    commands: int  # in `flow`
    orders: int = 0  # that may rest at once
    labels: int = 0  # client order ids of all of it

    def append_ns(self, offset: int) -> int:
        """When the log took the record."""
        return START_NS + offset * FRAME_NS


@dataclass(frozen=True, slots=True)
class Plan:
    """A market's opening and the commands after it; `named` is the row a command speaks of, or -1.

    The first `book` rows fill the book, before any clock runs.
    """

    opening: Commands
    table: Commands
    named: Places
    book: int = 0
    trades: int = 0  # that price-time priority must make of it
    resting: int = 0  # orders that it may leave at once

    def framed(self, batch: int, commands: int | None = None) -> Workload:
        """The flow, or its first commands, in frames of `batch`. O(commands)."""
        opened = _frames(self.opening, 0, COUNT_MAX)
        end = len(self.table) if commands is None else self.book + commands
        table = self.table[:end].copy()
        place = np.arange(end)
        is_flow = place >= self.book
        within = np.where(is_flow, place - self.book, place)
        size = np.where(is_flow, batch, COUNT_MAX)
        first = np.where(is_flow, len(opened) + -(-self.book // COUNT_MAX), len(opened))
        position = (first + within // size).astype(np.uint64) << np.uint64(INDEX_BITS)
        position |= (within % size).astype(np.uint64)
        named = self.named[:end]
        table["order_id"] = np.where(named >= 0, position[named], 0)
        opened += _frames(table[: self.book], len(opened), COUNT_MAX)
        flow = _frames(table[self.book :], len(opened), batch)
        labels = int(np.sum(table["client_order_id"] != b""))
        return Workload(opened, flow, end - self.book, self.resting, labels)


def frame(records: bytes, offset: int = 0) -> bytes:
    """Command records as one frame, 80 + 64 n bytes. O(records)."""
    return (
        _HEADER.pack(
            MAGIC,
            VERSION,
            FrameKind.COMMANDS,
            0,
            len(records) // RECORD_SIZE,
            0,
            START_NS + offset * FRAME_NS,
            0,
            0,
            0,
            crc32(records),
            b"",
        )
        + records
    )


def _frames(table: Commands, offset: int, batch: int) -> list[bytes]:
    data = table.tobytes()
    step = batch * RECORD_SIZE
    starts = range(0, len(data), step)
    return [frame(data[at : at + step], offset + n) for n, at in enumerate(starts)]


def opening(instruments: int, accounts: int, held: int = 1) -> Commands:
    """Instruments in CONTINUOUS; accounts with cash and units of `held` instruments each.

    O(instruments + accounts x held).
    """
    market = np.zeros((instruments, 4), COMMAND)
    market["kind"] = [Command.INSTRUMENT_OPEN, *[Command.INSTRUMENT_PARAMETER] * 2, 0]
    market["kind"][:, 3] = Command.PHASE_CHANGE
    market["instrument_id"] = np.arange(1, instruments + 1)[:, None]
    market["order_type"] = [0, Parameter.MAKER_FEE_BP, Parameter.TAKER_FEE_BP, Phase.CONTINUOUS]
    market["quantity"] = [0, MAKER_FEE_BP, TAKER_FEE_BP, 0]
    people = np.zeros((accounts, 2 + held), COMMAND)
    people["kind"] = [Command.ACCOUNT_OPEN, Command.CASH_DEPOSIT, *[Command.UNITS_DEPOSIT] * held]
    people["quantity"] = [0, CASH, *[UNITS] * held]
    people["account_id"] = np.arange(1, accounts + 1)[:, None]
    for nth in range(held):
        people["instrument_id"][:, 2 + nth] = _instrument(
            np.arange(1, accounts + 1), np.full(accounts, nth), instruments
        )
    return np.concatenate([market.reshape(-1), people.reshape(-1)])


def _account(place: Places, instruments: int, accounts: int) -> Places:
    """Accounts of which each may trade instrument `place % instruments + 1`, in turn."""
    step = pow(7, -1, instruments) * (place % instruments) % instruments
    lap = place // instruments % (accounts // instruments)
    account = step + lap * instruments
    return np.where(account == 0, instruments, account)


def _instrument(account: Places, nth: Places, instruments: int) -> Places:
    """Which instrument is the nth that an account trades."""
    return (account * 7 + nth * 331) % instruments + 1


def _orders(
    random: np.random.Generator, total: int, instruments: int, accounts: int, held: int
) -> Commands:
    """New limit orders, GTC, labelled and numbered by session; prices are the caller's."""
    table = np.zeros(total, COMMAND)
    table["kind"] = Command.NEW_ORDER
    table["account_id"] = random.integers(1, accounts + 1, total)
    nth = random.integers(0, held, total)
    table["instrument_id"] = _instrument(table["account_id"].astype(np.int64), nth, instruments)
    table["side"] = random.integers(Side.BUY, Side.SELL + 1, total)
    table["order_type"] = OrderType.LIMIT
    table["time_in_force"] = TimeInForce.GTC
    table["quantity"] = random.integers(1, 101, total)
    table["ref"] = np.arange(1, total + 1)
    return table


def _away(table: Commands, ticks: Places) -> Places:
    """Prices so many ticks behind the middle; negative crosses it."""
    return np.where(table["side"] == Side.BUY, MID - ticks, MID + ticks)


def _label(table: Commands) -> None:
    """A client order id for every new order and replace, and a session for every command."""
    is_labelled = table["kind"] != Command.CANCEL_ORDER
    table["client_order_id"][is_labelled] = np.char.mod("%016d", np.flatnonzero(is_labelled))
    table["session_id"] = table["account_id"]


def _cancel(random: np.random.Generator, table: Commands, begin: int, share: float) -> Places:
    """Turns a share of the rows from `begin` on into cancels of orders before; who is named."""
    total = len(table)
    is_cancel = ((random.random(total) < share) & (np.arange(total) >= begin)).tolist()
    pick = random.random(total).tolist()
    live = list(range(begin))
    named = np.full(total, -1)
    for at in range(begin, total):
        if not is_cancel[at]:
            live.append(at)
            continue
        spot = int(pick[at] * len(live))
        named[at] = live[spot]
        live[spot] = live[-1]
        live.pop()
    rows = named >= 0
    table["kind"][rows] = Command.CANCEL_ORDER
    table["account_id"][rows] = table["account_id"][named[rows]]
    for field in ("side", "order_type", "time_in_force", "quantity", "price"):
        table[field][rows] = 0
    return named


@cache
def steady(
    commands: int,
    *,
    resting: int = 10_000,
    instruments: int = 1,
    accounts: int = 5_000,
    labels: bool = True,
    seed: int = 1,
) -> Plan:
    """The flow of `benchmarks.peers.flow`, on each instrument one; a replace keeps its order id.

    Made once, so nobody may change it. O(commands).
    """
    random = np.random.default_rng(seed)
    held = min(instruments, 3)
    total = resting + commands
    table = _orders(random, total, instruments, accounts, held)
    named = np.full(total, -1)
    depth = resting // instruments
    flows = [_Flow(Maker(seed + at, depth)) for at in range(instruments)]
    if instruments > 1:  # first each book to its depth
        table["instrument_id"][:resting] = np.arange(resting) % instruments + 1
        table["account_id"][:resting] = _account(np.arange(resting), instruments, accounts)
    rows: list[tuple[int, ...]] = []
    for at, instrument in enumerate(table["instrument_id"].tolist()):
        flow = flows[instrument - 1]
        kind, side, price, quantity, row = flow.next(at, at < resting)
        rows.append((kind, side, price, quantity))
        named[at] = row
    for column, field in enumerate(("kind", "side", "price", "quantity")):
        table[field] = [row[column] for row in rows]
    is_named = named >= 0
    table["account_id"][is_named] = table["account_id"][named[is_named]]
    for field in ("order_type", "time_in_force"):
        table[field][is_named] = 0
    if labels:
        _label(table)
    trades = sum(flow.trades() for flow in flows)
    most = 2 * resting
    return Plan(opening(instruments, accounts, held), table, named, resting, trades, most)


class _Flow:
    """One instrument's flow in the terms of the engine."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker
        self._rows = [0]  # by the maker's id: the row of the order, which a replace keeps
        self._sizes = [0]  # by the maker's id: quantity at first, without what was done before
        self._done: dict[int, int] = {}  # by row: quantity done before the last replace

    def trades(self) -> int:
        """How many there have been."""
        return len(self._maker.book.trades)

    def next(self, at: int, is_filling: bool) -> tuple[int, int, int, int, int]:
        """Kind, side, price, quantity, and the row it speaks of or -1."""
        maker = self._maker
        kind, side, order, price, quantity, old = maker.passive() if is_filling else maker.next()
        side = Side.BUY if side == BUY else Side.SELL
        if kind == CANCEL:
            return Command.CANCEL_ORDER, 0, 0, 0, self._rows[order]
        self._sizes.append(quantity)
        if kind == NEW:
            self._rows.append(at)
            return Command.NEW_ORDER, side, price, quantity, -1
        row = self._rows[old]
        self._rows.append(row)
        done = self._done.get(row, 0) + self._sizes[old] - maker.left
        self._done[row] = done
        return Command.REPLACE_ORDER, side, price, quantity + done, row


def deep(
    resting: int,
    levels: int,
    *,
    cancels: float = 0.1,
    labels: bool = True,
    is_book: bool = False,
    seed: int = 2,
) -> Plan:
    """A book that grows to about `resting` orders over `levels` prices. O(commands).

    The first `levels` orders stand one at each price. With `is_book` the whole of it comes before
    the clock.
    """
    random = np.random.default_rng(seed)
    total = int(resting / (1 - 2 * cancels))
    table = _orders(random, total, 1, 5_000, 1)
    half = levels // 2
    place = np.arange(total)
    table["side"][:levels] = np.where(place[:levels] < half, Side.BUY, Side.SELL)
    away = random.integers(1, half + 1, total)
    away[:levels] = place[:levels] % half + 1
    table["price"] = _away(table, away)
    named = _cancel(random, table, levels, cancels)
    if labels:
        _label(table)
    book = total if is_book else 0
    return Plan(opening(1, 5_000), table, named, book, resting=int(resting * 1.1))


def sweeping(resting: int, levels: int, sweeps: int, *, seed: int = 3) -> Plan:
    """A book of `resting` orders, then `sweeps` IOC orders, 2,500 t each, of turning sides."""
    plan = deep(resting, levels, cancels=0, is_book=True, seed=seed)
    random = np.random.default_rng(seed)
    table = _orders(random, sweeps, 1, 5_000, 1)
    table["side"] = np.where(np.arange(sweeps) % 2 == 0, Side.BUY, Side.SELL)
    table["time_in_force"] = TimeInForce.IOC
    table["quantity"] = 2_500
    table["price"] = _away(table, np.full(sweeps, -levels))
    table["ref"] += len(plan.table)
    table["session_id"] = table["account_id"]
    whole = np.concatenate([plan.table, table])
    named = np.concatenate([plan.named, np.full(sweeps, -1)])
    return Plan(plan.opening, whole, named, len(plan.table), resting=plan.resting)
