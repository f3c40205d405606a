"""Load for a venue that is being killed: orders and instructions, and what was said of each."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import msgspec

from exchange.messages.executions import ExecutionReport
from exchange.messages.instructions import DepositUnits, ReleaseUnits
from exchange.messages.orders import NewOrderSingle, OrderCancelRequest, OrderRequest, SideWord
from gateway.client import Client, VenueError
from gateway.client.client import NOTHING_DONE
from gateway.client.session import Waiting
from gateway.demo.simulated import money

OUTSTANDING_MAX = 200
ANSWER_S = 60.0


class Member:
    """One client that sends orders at a steady rate and keeps every promise it was made."""

    def __init__(
        self,
        client: Client,
        accounts: dict[str, int],
        prices: dict[str, int],
        *,
        answer_s: float = ANSWER_S,
    ) -> None:
        """`answer_s` is longer than anything that the venue goes through."""
        self._answer_s = answer_s
        self.acknowledged: dict[tuple[str, int], str] = {}  # (market, position): label
        self.answered: dict[str, ExecutionReport] = {}  # by label
        self.unanswered: set[str] = set()
        self.resent = 0
        self.refused: Counter[str] = Counter()
        self._client = client
        self._accounts = accounts  # symbol: account
        self._prices = prices
        self._rng = random.Random(client.key.id)
        self._open: list[tuple[str, int, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent = 0

    @property
    def sent(self) -> int:
        return self._sent

    async def run(self, rate: int, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await asyncio.sleep(1 / rate)
            if len(self._tasks) < OUTSTANDING_MAX:
                task = asyncio.create_task(self._send(self._next()))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        async with asyncio.timeout(self._answer_s):
            while self._tasks:
                await asyncio.gather(*self._tasks)

    def _next(self) -> OrderRequest:
        self._sent += 1
        symbol = self._rng.choice(sorted(self._accounts))
        account = self._accounts[symbol]
        label = f"{self._client.key.id[:4]}{self._sent}"
        if self._open and self._rng.random() < 0.25:
            symbol, account, original = self._open.pop(self._rng.randrange(len(self._open)))
            return OrderCancelRequest(
                ref=0, symbol=symbol, account=account, original_client_order_id=original
            )
        side: SideWord = "BUY" if self._rng.random() < 0.5 else "SELL"
        self._open.append((symbol, account, label))
        return NewOrderSingle(
            ref=0,
            symbol=symbol,
            account=account,
            side=side,
            quantity=self._rng.randint(1, 50),
            price=money(self._prices[symbol] + self._rng.randint(-20, 20)),
            client_order_id=label,
            valid_ms=0,
        )

    async def _send(self, request: OrderRequest) -> None:
        label = getattr(request, "client_order_id", "") or f"cancel {self._sent}"
        self.unanswered.add(label)
        while True:
            try:
                waiting = await self._client.send(request)
                await asyncio.wait_for(waiting.taken, self._answer_s)
                self._note(waiting, label)
                report = await asyncio.wait_for(waiting.answered, self._answer_s)
            except VenueError as error:
                self.refused[error.title] += 1
                if error.title in ("NO_ANSWER", "VENUE_BUSY", "THROTTLED", "STATUS_UNKNOWN"):
                    await asyncio.sleep(0.2)
                    continue
                self.unanswered.discard(label)
                return
            if report.reason in NOTHING_DONE:
                self.resent += 1  # the venue never heard that number
                continue
            self.acknowledged.setdefault((report.market, report.request_id), label)
            self.answered[label] = report
            self.unanswered.discard(label)
            return

    def _note(self, waiting: Waiting, label: str) -> None:
        if waiting.pending is not None:
            pending = waiting.pending
            self.acknowledged[pending.market, pending.request_id] = label


class Registrant:
    """Moves units out of the venue and back, so that registry and settlement have work too."""

    def __init__(self, client: Client, symbol: str, account: int) -> None:
        self.done = 0
        self._client = client
        self._body = ReleaseUnits(ref=0, symbol=symbol, account=account, quantity=10)

    async def run(self, stop: asyncio.Event) -> None:
        fields = msgspec.structs.asdict(self._body)
        while not stop.is_set():
            for kind in (ReleaseUnits, DepositUnits):
                try:
                    report = await self._client.instruct(kind(**fields), wait_s=ANSWER_S)
                    assert report.status == "DONE", report
                    self.done += 1
                except VenueError:
                    await asyncio.sleep(0.2)  # the gateway is down: the next round comes
            await asyncio.sleep(0.1)
