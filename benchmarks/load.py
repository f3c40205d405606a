"""Load on a venue that runs, whoever's it is: requests at a rate, their times, what became of each.

    python -m benchmarks.load --member KEYFILE:ACCOUNT [--member ...] [--url URL] [--symbol EUA]
        [--rate 1000] [--seconds 10] [--array 1] [--resting 1000] [--seed 1]

Each member has a socket of its own and takes its turn. Of a hundred requests forty are orders
behind the best price, twenty cross to the other side (IOC), five replace and thirty-five cancel an
order of the member; more than `--resting` orders are not kept. Open loop: a time counts from the
planned sending, however late this program or the venue is; with `--array` that many go in one
message, once the last of them is due. Requests beyond a throttle are refused by the venue, and
counted so: GET /limits says where it is; `EXCHANGE_THROTTLE_PER_SECOND` sets it at a venue of your
own.

Checked: every request is answered; each fill heard is among GET /executions, as far back as the
venue remembers, of the same price, quantity and fee; no order is left at the end. Exit code 1
otherwise. Results go to results/load.json. It is real trading: give it accounts made for it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figures, Target, wide
from exchange.decimals import from_minor
from exchange.messages.executions import (
    Closing,
    ExecutionReport,
    Gap,
    LoggedOn,
    Logon,
    Reject,
)
from exchange.messages.orders import (
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
)
from gateway.access.identity import sign
from gateway.client import Client, SigningKey, VenueError, load_key
from gateway.client.feed import socket_url
from gateway.entry.decimals import to_minor

RATE_MAX, SECONDS_MAX = 200_000, 3_600
REQUESTS_MAX = 20_000_000  # of a run: their times are kept
ANSWER_S = 30.0
LOOK_S = 0.5  # how often the best prices are asked for
BEHIND_MAX, THROUGH = 20, 5  # ticks
QUANTITY_MAX = 5  # lots
AT_ONCE = 100  # cancels of the end in a message
PERCENTILES = (50, 90, 99, 99.9, 100)
LOG, WORD = "to the log", "to the engine's word"


def _name(until: str, percentile: float) -> str:
    return f"{until}, {'longest' if percentile == 100 else f'p{percentile:g}'}"


TARGETS = (
    Target("sent", "requests/s"),
    Target("answered", "requests/s"),
    *(Target(_name(u, p), "ms", is_ceiling=True) for u in (LOG, WORD) for p in PERCENTILES),
)

Request = NewOrderSingle | OrderCancelReplaceRequest | OrderCancelRequest
Message = ExecutionReport | Reject | LoggedOn | Gap | Closing
ENDED = frozenset({"FILLED", "CANCELLED", "EXPIRED"})

_messages = msgspec.json.Decoder(list[Message])
_encode = msgspec.json.Encoder().encode


class LoadError(Exception):
    """The load cannot go on, or a check failed; the text says what to do."""


class Market(NamedTuple):
    """Where orders go: the symbol, its tick and lot, and the best prices in minor units."""

    symbol: str
    code: str
    digits: int
    tick: int
    lot: int
    bid: int
    ask: int

    def text(self, minor: int) -> str:
        """A price as the venue writes it."""
        return from_minor(max(minor, self.tick) // self.tick * self.tick, self.digits)


async def market_of(client: Client, symbol: str) -> Market:
    """The instrument and its best prices; LoadError if there is none or no price."""
    rows = (await client.instruments()).instruments
    row = next((row for row in rows if row.symbol == symbol), None)
    if row is None:
        raise LoadError(f"no instrument {symbol}; there are {', '.join(r.symbol for r in rows)}")
    book, digits = await client.book(symbol, limit=1), row.minor_digits
    last = row.last_price or row.reference_price
    best = [side[0].price if side else last for side in (book.bids, book.asks)]
    if not all(best):
        raise LoadError(f"{symbol} has no price yet: open the market and trade once")
    tick = to_minor(str(row.parameters["tick_size"]), digits)
    bid, ask = (to_minor(price, digits) for price in best)
    return Market(symbol, row.market, digits, tick, int(row.parameters["lot_size"]), bid, ask)


class Times:
    """Nanoseconds of each request: planned, on the log, answered by the engine; 0 = not yet."""

    def __init__(self, count: int) -> None:
        self.planned, self.taken, self.spoken = (np.zeros(count, np.int64) for _ in range(3))

    def took_ms(self, until: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """From the planned sending, of those that came so far. O(requests)."""
        came = until > 0
        return (until[came] - self.planned[came]) / 1e6


class Member(WSListener):
    """One key on one account: its socket, its orders, and what it was told."""

    def __init__(self, key: SigningKey, account: int, times: Times, seed: int) -> None:
        self.key, self.account = key, account
        self.outcomes: Counter[str] = Counter()
        self.fills: dict[tuple[int, int], ExecutionReport] = {}  # by trade and order
        self.resting: dict[int, None] = {}  # numbers of orders, the oldest first
        self.open: set[int] = set()  # the same, and those whose cancel is on its way
        self.waiting: dict[int, int] = {}  # number of each request by its ref, until it is taken
        self.taken: dict[int, int] = {}  # and by its place on the log, until the engine spoke
        self.logged_on: asyncio.Future[LoggedOn] = asyncio.get_running_loop().create_future()
        self.ref = 0
        self._wire: WSTransport | None = None
        self._times, self._random = times, random.Random(seed)
        self._prefix = f"L{time.time_ns() // 10**6 % 36**4:x}-"

    async def open_socket(self, url: str) -> None:
        """Connects and logs on; LoadError if the venue does not let this key in."""
        address = await socket_url(url, "/orders")
        wire, _ = await ws_connect(lambda: self, address, max_frame_size=1 << 26)
        self._wire, now = wire, time.time_ns()
        signed = sign(self.key.private, self.key.id, "LOGON", "", b"", timestamp_ns=now)
        wire.send(WSMsgType.TEXT, _encode(Logon(self.key.id, now, signed.signature)))
        async with asyncio.timeout(ANSWER_S):
            known = await self.logged_on
        self.ref = max([time.time_ns(), *known.last_ref.values()])

    def close(self) -> None:
        """Ends the connection, if there is one."""
        if self._wire is not None:
            self._wire.disconnect()

    def send(self, requests: list[Request]) -> None:
        """One message; LoadError if the venue hung up."""
        if self._wire is None or self._wire.is_disconnected:
            raise LoadError(f"{self.key.id}: the venue hung up")
        data = _encode(requests if len(requests) > 1 else requests[0])
        self._wire.send(WSMsgType.TEXT, data)

    # -- what is asked ----------------------------------------------------------------------------

    def next(self, number: int, market: Market, resting_max: int) -> Request:
        """The request of a number. O(1)."""
        self.ref += 1
        self.waiting[self.ref] = number
        draw = self._random.random()
        if self.resting and (draw >= 0.65 or len(self.resting) >= resting_max):
            return self.cancel(next(iter(self.resting)), market)
        if self.resting and draw >= 0.60:
            return self._replace(market)
        return self._order(number, market, is_crossing=draw < 0.20)

    def cancel(self, number: int, market: Market) -> OrderCancelRequest:
        """Of an order of its own."""
        self.resting.pop(number, None)
        return OrderCancelRequest(
            ref=self.ref, symbol=market.symbol, account=self.account,
            original_client_order_id=self._label(number),
        )  # fmt: skip

    def _replace(self, market: Market) -> OrderCancelReplaceRequest:
        number = next(iter(self.resting))
        behind = self._random.randrange(BEHIND_MAX) * market.tick
        price = market.bid - behind if number % 2 else market.ask + behind
        return OrderCancelReplaceRequest(
            ref=self.ref, symbol=market.symbol, account=self.account, valid_ms=0,
            original_client_order_id=self._label(number),
            quantity=market.lot * self._random.randint(1, QUANTITY_MAX), price=market.text(price),
        )  # fmt: skip

    def _order(self, number: int, market: Market, *, is_crossing: bool) -> NewOrderSingle:
        # Odd numbers buy, even ones sell: so a cancel need not know more than the number.
        ticks = THROUGH if is_crossing else -self._random.randrange(BEHIND_MAX)
        near = (market.ask if is_crossing else market.bid) if number % 2 else (
            market.bid if is_crossing else market.ask
        )  # fmt: skip
        price = near + (ticks if number % 2 else -ticks) * market.tick
        return NewOrderSingle(
            ref=self.ref, symbol=market.symbol, account=self.account, valid_ms=0,
            side="BUY" if number % 2 else "SELL", price=market.text(price),
            quantity=market.lot * self._random.randint(1, QUANTITY_MAX),
            time_in_force="IOC" if is_crossing else "DAY", client_order_id=self._label(number),
        )  # fmt: skip

    def _label(self, number: int) -> str:
        return f"{self._prefix}{number}"

    # -- what is heard ----------------------------------------------------------------------------

    @property
    def unanswered(self) -> int:
        """Requests that wait for the log or for the engine."""
        return len(self.waiting) + len(self.taken)

    def is_mine(self, report: ExecutionReport) -> bool:
        """Whether it is of an order of this run."""
        return report.client_order_id.startswith(self._prefix)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Messages, in order."""
        if frame.msg_type != WSMsgType.TEXT:
            return
        now = time.monotonic_ns()
        for message in _messages.decode(frame.get_payload_as_bytes()):
            if isinstance(message, ExecutionReport):
                self._reported(message, now)
            elif isinstance(message, Reject):
                self._refused(message, now)
            elif isinstance(message, LoggedOn):
                self.logged_on.set_result(message)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """What is still waited for will not come."""
        if not self.logged_on.done():
            self.logged_on.set_exception(LoadError(f"{self.key.id}: the venue hung up"))

    def _reported(self, report: ExecutionReport, now: int) -> None:
        mine = self.is_mine(report)
        if report.exec_type == "TRADE" and mine:
            self.fills[report.trade_id, report.order_id] = report
        if mine:
            self._follow(int(report.client_order_id.removeprefix(self._prefix)), report)
        if report.exec_type == "PENDING":
            number = self.waiting.pop(report.ref, None)
            if number is not None:
                self._times.taken[number] = now
                self.taken[report.request_id] = number
            return
        number = self.taken.pop(report.request_id, None)
        if number is not None:
            self._times.spoken[number] = now
            self.outcomes[_outcome(report)] += 1

    def _follow(self, number: int, report: ExecutionReport) -> None:
        if report.order_status in ENDED:
            self.resting.pop(number, None)
            self.open.discard(number)
        elif report.exec_type == "NEW" and report.time_in_force != "IOC":
            self.resting[number] = None
            self.open.add(number)

    def _refused(self, reject: Reject, now: int) -> None:
        if not self.logged_on.done():
            self.logged_on.set_exception(LoadError(f"{self.key.id}: {reject.text}"))
            return
        number = self.waiting.pop(reject.ref, None)
        if number is not None:
            self._times.taken[number] = self._times.spoken[number] = now
            self.outcomes[f"refused: {reject.reason} {reject.title}"] += 1


def _outcome(report: ExecutionReport) -> str:
    if report.exec_type == "REJECTED":
        return f"{report.exec_type}: {report.reason} {report.title}"
    return report.exec_type


class Plan(NamedTuple):
    """What is asked of a run."""

    symbol: str
    rate: int
    seconds: int
    array: int
    resting: int


async def look(client: Client, plan: Plan, seen: list[Market]) -> None:
    """Keeps the best prices in `seen[0]` fresh."""
    while True:
        await asyncio.sleep(LOOK_S)
        seen[0] = await market_of(client, plan.symbol)


async def drive(members: list[Member], plan: Plan, times: Times, seen: list[Market]) -> float:
    """Every request at its time; seconds until the last was sent."""
    count, begin = len(times.planned), time.monotonic_ns() + 10_000_000
    times.planned[:] = begin + np.arange(count, dtype=np.int64) * 10**9 // plan.rate
    sent = 0
    while sent < count:
        due = min((time.monotonic_ns() - begin) * plan.rate // 10**9 + 1, count)
        while sent + plan.array <= due or (due == count and sent < count):
            member = members[sent // plan.array % len(members)]
            last = min(sent + plan.array, count)
            requests = (member.next(number, seen[0], plan.resting) for number in range(sent, last))
            member.send(list(requests))
            sent = last
        await asyncio.sleep(0.001)
    return (time.monotonic_ns() - begin) / 1e9


async def until_quiet(left: Callable[[], int]) -> None:
    """Waits until nothing is left; gives up when ANSWER_S pass in which it does not change."""
    before, since = -1, time.monotonic()
    while (now := left()) > 0:
        if now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > ANSWER_S:
            return
        await asyncio.sleep(0.01)


async def tidy(members: list[Member], plan: Plan, market: Market) -> None:
    """Cancels what rests, at the rate of the run; gives up after ANSWER_S."""
    for member in members:
        outcomes = member.outcomes.copy()
        numbers = sorted(member.open)
        for at in range(0, len(numbers), AT_ONCE):
            requests: list[Request] = []
            for number in numbers[at : at + AT_ONCE]:
                member.ref += 1
                requests.append(member.cancel(number, market))
            member.send(requests)
            await asyncio.sleep(len(requests) / plan.rate)
        await until_quiet(partial(len, member.open))
        member.outcomes = outcomes


async def wrong_with(member: Member, url: str, market: Market) -> list[str]:
    """What does not agree with the venue's own records, in words."""
    found = []
    if member.unanswered:
        found.append(f"{member.unanswered} requests were never answered")
    async with Client(url, member.key) as client:
        left = [row for row in await client.orders(market.code) if member.is_mine(row)]
        known = await client.executions(market.code)
        rows = [row async for row in client.all_executions(market.code)]
    if left:
        found.append(f"{len(left)} orders are left, the first {left[0].order_id}")
    listed = {(row.trade_id, row.order_id): _terms(row) for row in rows}
    heard = {trade: fill for trade, fill in member.fills.items()
             if fill.sequence >= known.first_sequence}  # fmt: skip
    wrong = [trade for trade, fill in heard.items() if listed.get(trade) != _terms(fill)]
    if wrong:
        found.append(f"{len(wrong)} fills are not as listed, the first trade {wrong[0][0]}")
    return [f"{member.key.id}, account {member.account}: {what}" for what in found]


def _terms(fill: ExecutionReport) -> tuple[str, int, str]:
    return fill.last_price, fill.last_quantity, fill.fee


class Ran(NamedTuple):
    """What a run gave: figures, what became of requests, and what is wrong, in words."""

    figures: Figures
    outcomes: Counter[str]
    fills: int
    wrong: list[str]


async def run(plan: Plan, holders: list[tuple[SigningKey, int]], url: str, seed: int = 1) -> Ran:
    """Connects, drives, waits, tidies, checks; LoadError where it cannot begin."""
    times = Times(plan.rate * plan.seconds)
    members = [Member(*holder, times, seed + at) for at, holder in enumerate(holders)]
    wrong: list[str] = []
    async with Client(url, holders[0][0]) as client:
        seen = [await market_of(client, plan.symbol)]
        looking = asyncio.create_task(look(client, plan, seen))
        try:
            for member in members:
                await member.open_socket(url)
            sending_s = await drive(members, plan, times, seen)
            await until_quiet(lambda: sum(member.unanswered for member in members))
            figures = figures_of(times, sending_s)
            await tidy(members, plan, seen[0])
            for member in members:
                wrong += await wrong_with(member, url, seen[0])
        finally:
            looking.cancel()
            for member in members:
                member.close()
    outcomes = sum((member.outcomes for member in members), Counter[str]())
    return Ran(figures, outcomes, sum(len(member.fills) for member in members), wrong)


def figures_of(times: Times, sending_s: float) -> Figures:
    """Rates and percentiles. O(requests log requests)."""
    figures, first = Figures("load", TARGETS), int(times.planned[0])
    answering_s = (max(int(times.spoken.max()), first + 1) - first) / 1e9
    answered = int(np.count_nonzero(times.spoken))
    figures.add({"sent": len(times.planned) / sending_s, "answered": answered / answering_s})
    for until, name in ((times.taken, LOG), (times.spoken, WORD)):
        took = times.took_ms(until)
        if len(took):
            values = np.percentile(took, PERCENTILES).tolist()
            figures.add({_name(name, p): v for p, v in zip(PERCENTILES, values, strict=True)})
    return figures


def show(ran: Ran, console: Console) -> None:
    """Times, and what became of the requests."""
    ran.figures.show(console)
    table = Table(box=SIMPLE_HEAD)
    table.add_column("first word about a request")
    table.add_column("requests", justify="right")
    for outcome, count in ran.outcomes.most_common():
        table.add_row(outcome, f"{count:,}")
    table.add_row("fills heard", f"{ran.fills:,}")
    console.print(table)


def member_of(text: str) -> tuple[Path, int]:
    """KEYFILE:ACCOUNT, for argparse."""
    path, _, account = text.rpartition(":")
    if not path or not account.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not KEYFILE:ACCOUNT")
    return Path(path), int(account)


def bounded(least: int, most: int) -> Any:
    """A whole number within bounds, for argparse."""

    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not in {least} to {most:,}")
        return value

    return number


def main() -> int:
    """Reads the words, runs; 2 for what cannot be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--member", action="append", type=member_of, required=True,
                        metavar="KEYFILE:ACCOUNT")  # fmt: skip
    parser.add_argument("--url", default="", help="else the one in the first key file")
    parser.add_argument("--symbol", default="EUA")
    parser.add_argument("--rate", type=bounded(1, RATE_MAX), default=1_000)
    parser.add_argument("--seconds", type=bounded(1, SECONDS_MAX), default=10)
    parser.add_argument("--array", type=bounded(1, 1_000), default=1)
    parser.add_argument("--resting", type=bounded(0, 100_000), default=1_000, help="of a member")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.rate * chosen.seconds > REQUESTS_MAX:
        parser.error(f"more than {REQUESTS_MAX:,} requests in a run: fewer seconds or a lower rate")
    plan = Plan(chosen.symbol, chosen.rate, chosen.seconds, chosen.array, chosen.resting)
    try:
        holders = [(load_key(path), account) for path, account in chosen.member]
        ran = uvloop.run(run(plan, holders, chosen.url or holders[0][0].url, chosen.seed))
    except (LoadError, OSError, ValueError, VenueError) as error:
        print(error, file=sys.stderr)
        return 2
    show(ran, wide())
    ran.figures.save({**plan._asdict(), "outcomes": ran.outcomes, "wrong": ran.wrong}, keep=False)
    for line in ran.wrong:
        print(line, file=sys.stderr)
    return int(bool(ran.wrong))


if __name__ == "__main__":
    sys.exit(main())
