"""A small venue for tests of the books: the real engine, driven frame by frame over a log."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from exchange import topics
from exchange.messages.frames import (
    GENESIS,
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
    order_id_of,
    seal_events,
)
from exchange.reference.venue import Market, Venue, load_venue
from matching import Engine

VENUE: Venue = load_venue(Path(__file__).parents[1] / "deploy/venue/demo.toml")
MARKET: Market = VENUE.market_of("CN")
CEA_2023, CEA_2024, CCER = 11, 12, 21
NORTHERN, HUADONG, YANGTZE = 201, 202, 203
ACCOUNTS = (NORTHERN, HUADONG, YANGTZE)
INSTRUMENTS = (CEA_2023, CEA_2024, CCER)
ACT_NS = 1_795_000_000 * 10**9  # 2026-11-18: rules for the emission years 2025 and 2026
YEAR = 2025
EMISSIONS = 1_234_567
CAP = 61_728


class EnginePump:
    """Applies what stands on `orders` with the real engine and puts the answer on `events`."""

    def __init__(self, log: Any, time_ns: int = ACT_NS, market: Market = MARKET) -> None:
        self.log, self.engine, self.chain = log, Engine(), GENESIS
        self.orders = topics.orders(market.partition)
        self.events = topics.events(market.partition)
        self.time_ns = time_ns
        self.batch = 0
        self.sessions: dict[int, int] = {}

    async def send(self, *records: bytes) -> int:
        """Appends a frame to `orders`; its offset."""
        self.batch += 1
        frame = build_commands(records, writer=7, batch=self.batch, time_ns=self.time_ns)
        return (await self.log.append(self.orders, [frame]))[0]

    async def instruct(self, kind: Instruction, text: str = "", **fields: Any) -> int:
        """Appends an instruction; its id."""
        records = [command(Command.INSTRUCTION, order_type=kind, **fields), *notes(text)]
        return order_id_of(await self.send(*records), 0)

    async def pump(self) -> int:
        """Lets the engine answer all that is waiting; how many records that were."""
        count = 0
        reader = await self.log.open_reader(self.orders, self.engine.next_offset)
        while records := await reader.read(1024, 0):
            for offset, _, value in records:
                first, epoch = self.engine.next_event, self.engine.epoch
                events = self.engine.apply(offset, self.time_ns, value)
                parts, self.chain = seal_events(
                    events,
                    input_offset=offset,
                    first_event=first,
                    epoch=epoch,
                    time_ns=self.engine.time_ns,
                    chain=self.chain,
                )
                await self.log.append(self.events, parts)
                count += 1
        await reader.close()
        return count


def opening(cash: int = 10**12) -> list[bytes]:
    """Accounts with cash and three open instruments."""
    records = []
    for instrument in INSTRUMENTS:
        records.append(command(Command.INSTRUMENT_OPEN, instrument_id=instrument))
        for parameter, value in (
            (Parameter.TICK_SIZE, 1),
            (Parameter.LOT_SIZE, 1),
            (Parameter.QUANTITY_MAX, 10**10),
            (Parameter.VALUE_MAX, 9 * 10**15),
            (Parameter.MAKER_FEE_BP, 3),
            (Parameter.TAKER_FEE_BP, 5),
        ):
            records.append(
                command(
                    Command.INSTRUMENT_PARAMETER,
                    instrument_id=instrument,
                    order_type=parameter,
                    quantity=value,
                )
            )
    for account in ACCOUNTS:
        records.append(command(Command.ACCOUNT_OPEN, account_id=account, order_id=account))
        records.append(
            command(Command.CASH_DEPOSIT, account_id=account, quantity=cash, order_id=account)
        )
    records.append(command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS))
    return records


def issue(account: int, instrument: int, quantity: int, vintage: int = 0) -> bytes:
    return instruction(
        Instruction.ISSUE,
        account_id=account,
        instrument_id=instrument,
        quantity=quantity,
        price=vintage,
    )


def deposit(account: int, instrument: int, quantity: int) -> bytes:
    return instruction(
        Instruction.DEPOSIT, account_id=account, instrument_id=instrument, quantity=quantity
    )


def release(account: int, instrument: int, quantity: int, transfer_id: int = 0) -> bytes:
    return command(
        Command.UNITS_RELEASE,
        account_id=account,
        instrument_id=instrument,
        quantity=quantity,
        order_id=transfer_id,
    )


def instruction(kind: Instruction, **fields: Any) -> bytes:
    return command(Command.INSTRUCTION, order_type=kind, **fields)


def order(account: int, instrument: int, side: Side, quantity: int, price: int) -> bytes:
    return command(
        Command.NEW_ORDER,
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        instrument_id=instrument,
        account_id=account,
        quantity=quantity,
        price=price,
    )


def cross(
    seller: int, buyer: int, instrument: int, quantity: int, price: int = 8_000
) -> Iterable[bytes]:
    """A trade between two accounts."""
    yield order(seller, instrument, Side.SELL, quantity, price)
    yield order(buyer, instrument, Side.BUY, quantity, price)
