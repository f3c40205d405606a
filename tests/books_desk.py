"""Engine, settlement and registry in steps, and what must hold after each, for tests."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from exchange import topics
from exchange.clock import Clock
from exchange.database import Database, table_hash
from exchange.ledger import CASH
from exchange.messages.frames import Instruction, notes
from exchange.messages.registry import (
    InstructionRefused,
    RegistryItem,
    RegistryRecord,
    TransferWaits,
)
from exchange.registry import RegistryService
from exchange.registry import queries as registry_queries
from exchange.rulebook import Rulebook
from exchange.settlement import SettlementService
from exchange.settlement.queries import ledger_balances, prove_ledger
from tests.books_venue import (
    CEA_2024,
    MARKET,
    VENUE,
    YEAR,
    EnginePump,
    instruction,
    opening,
)

CN = MARKET.partition
ORDERS, SETTLEMENTS, REGISTRY = topics.orders(CN), topics.settlements(CN), topics.registry(CN)
decode = msgspec.msgpack.Decoder(RegistryRecord).decode


class Desk:
    """The whole way in steps: engine, settlement, registry, until nothing moves any more."""

    def __init__(
        self,
        log: Any,
        books: Database,
        *,
        rulebook: Rulebook | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.log, self.books, self.pump = log, books, EnginePump(log)
        self.settlement = SettlementService(
            log, MARKET, books, instruments=VENUE.instruments_of(MARKET.code)
        )
        self.registry = RegistryService(log, MARKET, VENUE, books, rulebook=rulebook, clock=clock)
        self.stop = asyncio.Event()

    async def open(self) -> None:
        await self.settlement.load()
        await self.registry.load()
        await self.act(*opening())

    async def act(self, *records: bytes) -> list[RegistryItem]:
        """Sends one frame, lets all happen that follows; what the registry said."""
        before = len(self.log.rows[REGISTRY])
        if records:
            await self.pump.send(*records)
        while await self.pump.pump():
            await self.settlement.settle(
                self.log.rows[self.pump.events][self.settlement.position.topic_offset :], self.stop
            )
            rows = self.log.rows[SETTLEMENTS][self.registry.position.topic_offset :]
            await self.registry.register([(row.offset, row.value) for row in rows], self.stop)
        return [
            item for row in self.log.rows[REGISTRY][before:] for item in decode(row.value).items
        ]

    async def both(
        self, kind: Instruction, account: int, instrument: int, quantity: int, text: str
    ) -> list[RegistryItem]:
        """What two persons of an office decide; what is said when the second one approves."""
        (waits,) = await self.act(
            *act_of(kind, account, instrument, quantity, text=f"{text}\noperator")
        )
        assert isinstance(waits, TransferWaits), waits
        told = (account, instrument, quantity, waits.instruction_id)
        return await self.act(*act_of(Instruction.APPROVE_TRANSFER, *told, "second\noperator"))

    async def refused(self, *records: bytes) -> InstructionRefused:
        before = await table_hash(self.books, CN, without_refusals())
        said = await self.act(*records)
        assert await table_hash(self.books, CN, without_refusals()) == before
        assert len(said) == 1
        assert isinstance(said[0], InstructionRefused)
        return said[0]

    async def close(self) -> None:
        await self.settlement.close()


def without_refusals() -> Any:
    from exchange.database.schema import REGISTRY_TABLES, refusal

    return tuple(table for table in REGISTRY_TABLES if table is not refusal)


async def check(desk: Desk) -> None:
    """What must hold at any time."""
    assert await registry_queries.prove_blocks(desk.books, CN) == []
    assert [proof for proof in await prove_ledger(desk.books, CN) if not proof.is_ok] == []
    ledger = await ledger_balances(desk.books, CN)
    trading = await registry_queries.position_totals(desk.books, CN)
    assert trading == {
        key: amount for key, amount in ledger.items() if key[0] >= 0 and key[1] != CASH
    }
    for totals in (await registry_queries.unit_totals(desk.books, CN)).values():
        assert totals.issued == sum(totals[1:])


def reported(account: int, year: int, quantity: int) -> list[bytes]:
    """What an emitter reports."""
    return act_of(Instruction.REPORT_EMISSIONS, account, CEA_2024, quantity, year, f"key-{account}")


def verified(account: int, year: int, quantity: int) -> list[bytes]:
    """What a verifier says of it."""
    text = "verifier\nparticipant 5"
    return act_of(Instruction.VERIFY_EMISSIONS, account, CEA_2024, quantity, year, text)


def owed(account: int, year: int, quantity: int) -> list[bytes]:
    """Emissions reported and verified: as much is owed."""
    return reported(account, year, quantity) + verified(account, year, quantity)


def act_of(
    kind: Instruction,
    account: int,
    instrument: int,
    quantity: int,
    argument: int = 0,
    text: str = "",
) -> list[bytes]:
    """An instruction with its text."""
    fields = {"account_id": account, "instrument_id": instrument, "quantity": quantity}
    return [instruction(kind, price=argument, **fields), *notes(text)]


def surrender(account: int, instrument: int, quantity: int, year: int = YEAR) -> bytes:
    return instruction(
        Instruction.SURRENDER,
        account_id=account,
        instrument_id=instrument,
        price=year,
        quantity=quantity,
    )
