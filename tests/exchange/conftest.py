"""A log in memory with faults on demand, and random market flow, for the tests of this folder."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence

import pytest

from exchange import topics
from exchange.clock import SystemClock
from exchange.log.protocol import Partition, Record, UnknownPartitionError
from exchange.messages.frames import (
    Command,
    Instruction,
    OrderType,
    Parameter,
    Phase,
    Side,
    TimeInForce,
    build_commands,
    command,
    notes,
)

Fault = Callable[[Partition, Sequence[bytes]], tuple[int, Exception] | None]


class MemoryReader:
    def __init__(self, log: MemoryLog, partition: Partition, offset: int) -> None:
        self._log, self._partition, self.position = log, partition, offset

    async def read(self, records_max: int = 1024, wait_s: float = 1.0) -> list[Record]:
        rows = self._log.rows[self._partition]
        if len(rows) <= self.position:
            waiter = self._log.waiter()
            try:
                async with asyncio.timeout(wait_s):
                    while len(rows) <= self.position:
                        await waiter.wait()
                        waiter = self._log.waiter()
            except TimeoutError:
                return []
        else:
            await asyncio.sleep(0)
        found = rows[self.position : self.position + records_max]
        self.position += len(found)
        return found

    async def close(self) -> None:
        pass


class MemoryLog:
    """`fault(partition, values)` may give (how many values are taken, error to raise)."""

    def __init__(self) -> None:
        self.rows: dict[Partition, list[Record]] = {}
        self.fault: Fault | None = None
        self.clock = SystemClock()
        self._waiter = asyncio.Event()

    def waiter(self) -> asyncio.Event:
        return self._waiter

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def create(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self.rows.setdefault(partition, [])

    async def append(self, partition: Partition, values: Sequence[bytes]) -> list[int]:
        if partition not in self.rows:
            raise UnknownPartitionError(str(partition))
        await asyncio.sleep(0)
        fault = self.fault(partition, values) if self.fault else None
        offsets = self.take(partition, values if fault is None else values[: fault[0]])
        if fault is not None:
            raise fault[1]
        return offsets

    def take(self, partition: Partition, values: Sequence[bytes]) -> list[int]:
        rows = self.rows[partition]
        first, now = len(rows), self.clock.now_ns()
        rows += [Record(first + i, now, value) for i, value in enumerate(values)]
        waiter, self._waiter = self._waiter, asyncio.Event()
        waiter.set()
        return list(range(first, len(rows)))

    async def begin(self, partition: Partition) -> int:
        return 0

    async def end(self, partition: Partition) -> int:
        return len(self.rows[partition])

    async def open_reader(self, partition: Partition, offset: int) -> MemoryReader:
        return MemoryReader(self, partition, offset)


@pytest.fixture
async def memory_log() -> MemoryLog:
    log = MemoryLog()
    await log.create(topics.of_market(0))
    return log


class Flow:
    """Seeded frames of `orders`: three instruments, six accounts, everything that may happen."""

    ACCOUNTS = tuple(range(1, 7))
    INSTRUMENTS = (1, 2, 3)

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.refs = dict.fromkeys((1000, 1001, 1002), 0)
        self.labels = 0
        self.offset = 0  # of the next frame, as long as this flow is the only writer
        self.orders: list[int] = []
        self.date = 20260101
        self.batch = 0

    def frame(self, records: list[bytes], time_ns: int = 1) -> bytes:
        self.batch += 1
        self.offset += 1
        return build_commands(records, writer=9, batch=self.batch, time_ns=time_ns)

    def opening(self) -> bytes:
        records = []
        for instrument in self.INSTRUMENTS:
            records.append(command(Command.INSTRUMENT_OPEN, instrument_id=instrument))
            given = {
                Parameter.TICK_SIZE: instrument,
                Parameter.BAND_BP: 0 if instrument == 1 else 2_000,
                Parameter.MAKER_FEE_BP: 3,
                Parameter.TAKER_FEE_BP: 7,
                Parameter.RESALE_NEXT_DAY: int(instrument == 2),
            }
            records += [
                command(
                    Command.INSTRUMENT_PARAMETER,
                    instrument_id=instrument,
                    order_type=parameter,
                    quantity=value,
                )
                for parameter, value in given.items()
            ]
            records.append(command(Command.REFERENCE_PRICE, instrument_id=instrument, price=600))
        for account in self.ACCOUNTS:
            records.append(command(Command.ACCOUNT_OPEN, account_id=account, order_id=account))
            records.append(command(Command.CASH_DEPOSIT, account_id=account, quantity=5_000_000))
            records += [
                command(
                    Command.UNITS_DEPOSIT,
                    account_id=account,
                    instrument_id=instrument,
                    quantity=4_000,
                )
                for instrument in self.INSTRUMENTS
            ]
        records.append(command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS))
        return self.frame(records)

    def random_frame(self) -> bytes:
        chance = self.random.random()
        if chance < 0.01:
            self.offset += 1
            return self.random.randbytes(self.random.randrange(200))
        if chance < 0.03:
            return self.frame(self._day())
        if chance < 0.06:
            return self.frame([command(Command.CLOCK_TICK)])
        if chance < 0.10:
            return self.frame(self._movements())
        if chance < 0.12:
            return self.frame(
                [
                    command(
                        Command.INSTRUCTION,
                        order_type=Instruction.CANCEL,
                        account_id=1,
                        instrument_id=1,
                        quantity=3,
                    ),
                    *notes("a beneficiary\na reason longer than forty bytes of text"),
                ]
            )
        count = self.random.randrange(1, 12)
        return self.frame([self._order(index) for index in range(count)])

    def frames(self, count: int) -> list[bytes]:
        return [self.opening(), *(self.random_frame() for _ in range(count))]

    def _day(self) -> list[bytes]:
        self.date += 1
        opening = command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS)
        if self.random.random() < 0.3:
            return [command(Command.PHASE_CHANGE, order_type=Phase.HALT), opening]
        return [
            command(Command.PHASE_CHANGE, order_type=Phase.CLOSED),
            command(Command.DAY_ROLL, quantity=self.date),
            command(Command.REFERENCE_PRICE, instrument_id=3, price=self._price(3)),
            opening,
        ]

    def _movements(self) -> list[bytes]:
        kinds = (
            Command.CASH_DEPOSIT,
            Command.CASH_WITHDRAW,
            Command.UNITS_DEPOSIT,
            Command.UNITS_RELEASE,
        )
        return [
            command(
                kind,
                account_id=self.random.randrange(1, 8),
                instrument_id=self.random.choice(self.INSTRUMENTS),
                quantity=self.random.randrange(0, 900),
                order_id=self.random.randrange(99),
            )
            for kind in kinds
        ]

    def _price(self, instrument: int) -> int:
        return self.random.randrange(580, 621) // instrument * instrument

    def _order(self, index: int) -> bytes:
        session = self.random.choice(list(self.refs))
        self.refs[session] += self.random.choice((1, 1, 1, 1, 1, 1, 1, 1, 0, 2))
        account = self.random.choice(self.ACCOUNTS)
        common = {"account_id": account, "session_id": session, "ref": self.refs[session]}
        chance = self.random.random()
        if self.orders and chance < 0.2:
            return command(
                Command.CANCEL_ORDER, order_id=self.random.choice(self.orders[-60:]), **common
            )
        instrument = self.random.choice(self.INSTRUMENTS)
        if self.orders and chance < 0.35:
            return command(
                Command.REPLACE_ORDER,
                order_id=self.random.choice(self.orders[-60:]),
                quantity=self.random.randrange(1, 60),
                price=self._price(instrument),
                **common,
            )
        self.orders.append(self.offset << 16 | index)
        self.labels += 1
        is_market = chance > 0.93
        tif = (TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)
        return command(
            Command.NEW_ORDER,
            side=self.random.choice((Side.BUY, Side.SELL)),
            order_type=OrderType.MARKET if is_market else OrderType.LIMIT,
            time_in_force=self.random.choice(tif[3:] if is_market else tif),
            instrument_id=instrument,
            quantity=self.random.randrange(0, 60),
            price=0 if is_market else self._price(instrument),
            client_order_id=b"L%d" % self.labels if self.random.random() < 0.5 else b"",
            **common,
        )


@pytest.fixture
def make_flow() -> type[Flow]:
    return Flow
