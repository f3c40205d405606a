"""What the books say of a surrender or a cancellation, down to the serial numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from exchange.database import Database
from exchange.database import schema as tables
from exchange.messages.reasons import RegistryReason, reason_text
from exchange.messages.registry import ProjectDetails
from exchange.registry.blocks import HistoryKind

SURRENDER = "SURRENDER"
CANCELLATION = "CANCELLATION"


class CertificateRefusedError(Exception):
    """There is nothing to certify: `reason` is the number, the message says why."""

    def __init__(self, reason: RegistryReason, detail: str) -> None:
        self.reason = reason
        super().__init__(f"{int(reason)} {reason.name}: {detail}. {reason_text(reason).text}")


class Units(NamedTuple):
    """A run of serial numbers of one vintage and project; zeros and None: not stated."""

    programme: str
    first: int
    last: int
    vintage: int
    project: int
    details: ProjectDetails | None
    period_from: int  # YYYYMMDD, first and last day of the reductions
    period_to: int

    @property
    def quantity(self) -> int:
        """Tonnes."""
        return self.last - self.first + 1


class Certificate(NamedTuple):
    """A surrender (scheme, year and, of credits, the rule) or a cancellation (for whom, why)."""

    market: int
    instruction_id: int
    kind: str  # SURRENDER or CANCELLATION
    account: int
    instrument_id: int
    quantity: int
    time_ns: int
    beneficiary: str
    reason: str
    scheme: str
    year: int
    rule: str
    units: tuple[Units, ...]  # by serial number, neighbours alike joined


async def certificate_of(database: Database, market: int, instruction_id: int) -> Certificate:
    """The facts of an instruction. O(its blocks x log).

    Raises CertificateRefusedError when it retired nothing or was undone.
    """
    async with database.reading() as connection:
        told = await _told(connection, market, instruction_id)
        undone = tables.reversal
        query = select(undone.c.instruction_id).where(
            undone.c.market == market, undone.c.original == instruction_id
        )
        reversal = await connection.scalar(query)
        if reversal is not None:
            raise CertificateRefusedError(
                RegistryReason.RETIREMENT_UNDONE,
                f"instruction {instruction_id} was undone by instruction {reversal}",
            )
        units = await _units(connection, market, instruction_id)
    return told._replace(units=tuple(_joined(units)))


async def _told(connection: AsyncConnection, market: int, instruction_id: int) -> Certificate:
    for table, kind in ((tables.surrender, SURRENDER), (tables.cancellation, CANCELLATION)):
        query = select(table).where(
            table.c.market == market, table.c.instruction_id == instruction_id
        )
        row = (await connection.execute(query)).first()
        if row is not None:
            found = row._mapping
            return Certificate(
                market,
                instruction_id,
                kind,
                row.account,
                row.instrument_id,
                row.quantity,
                row.time_ns,
                found.get("beneficiary", ""),
                found.get("reason", ""),
                found.get("scheme", ""),
                found.get("year", 0),
                found.get("rule", ""),
                (),
            )
    raise CertificateRefusedError(
        RegistryReason.NOT_RETIRED, f"instruction {instruction_id} retired nothing"
    )


async def _units(connection: AsyncConnection, market: int, instruction_id: int) -> list[Units]:
    history, block, project = tables.block_history, tables.block, tables.project
    query = (
        select(block, project.c.details)
        .join(history, (block.c.market == history.c.market) & _same_block)
        .outerjoin(
            project, (project.c.market == block.c.market) & (project.c.project == block.c.project)
        )
        .where(
            history.c.market == market,
            history.c.cause_id == instruction_id,
            history.c.kind.in_((int(HistoryKind.SURRENDERED), int(HistoryKind.CANCELLED))),
        )
        .order_by(block.c.programme, block.c.first_serial)
    )
    return [_read(row) for row in (await connection.execute(query)).all()]


_same_block = tables.block.c.block_id == tables.block_history.c.block_id


def _read(row: Row[Any]) -> Units:
    details = msgspec.json.decode(row.details, type=ProjectDetails) if row.details else None
    return Units(
        row.programme,
        row.first_serial,
        row.last_serial,
        row.vintage,
        row.project,
        details,
        row.period_from,
        row.period_to,
    )


def _joined(units: Iterable[Units]) -> list[Units]:
    found: list[Units] = []
    for item in units:
        before = found[-1] if found else None
        alike = before is not None and before[3:] == item[3:] and before[0] == item[0]
        if before is not None and alike and before.last + 1 == item.first:
            found[-1] = before._replace(last=item.last)
        else:
            found.append(item)
    return found
