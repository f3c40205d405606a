"""Questions to the registry's books: a serial's history, an account at an instant, duplicates.

They are read from the database, not from the gateway's projections, which know only the present.
The books follow the market by a moment: what was just settled may not be there yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from exchange.database.connection import Database
from exchange.messages.executions import UnitRange
from exchange.messages.reasons import EdgeReason
from exchange.messages.registry import Range
from exchange.registry import issuance_audit, queries
from exchange.settings import PAGE_MAX
from gateway.entry.decimals import INT64_MAX
from gateway.refusal import Refused
from gateway.replies.books import (
    DuplicateList,
    DuplicateRow,
    HoldingsAt,
    IssuanceRow,
    PeriodRow,
    RegistrationRow,
    SerialEvent,
    SerialHistory,
    TonnesRow,
    TwiceRow,
)
from gateway.routes.table import Call, NoQuery, Reply, Route, page_limit

RETRY_MS = 1_000
_T = TypeVar("_T")


class SerialQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One serial number; `before`: events below that sequence, 0 = the last ones."""

    programme: str
    serial: int
    before: int = 0
    limit: int = PAGE_MAX


class InstantQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account of a market at an instant, ns UTC of engine time; 0 = now."""

    market: str
    account: int
    time_ns: int = 0


async def get_serial(call: Call) -> Reply:
    """What happened to one unit."""
    query: SerialQuery = call.query
    limit = page_limit(query.limit)
    if query.programme not in {item.product for item in call.context.venue.instrument}:
        known = sorted({item.product for item in call.context.venue.instrument})
        raise Refused(
            EdgeReason.NOT_FOUND,
            f"no programme {query.programme[:40]!r} gives out serial numbers here; those that do: "
            f"{', '.join(known)[:200]}",
        )
    for name, value in (("serial", query.serial), ("before", query.before)):
        if not 0 <= value <= INT64_MAX:
            raise Refused(EdgeReason.INVALID_FIELD, f"{name}: {value} is no such number")
    rows = await ask_books(
        call,
        lambda books: queries.serial_history(
            books, query.programme, query.serial, limit=limit, before=query.before
        ),
    )
    if not rows and not query.before:
        raise Refused(
            EdgeReason.NOT_FOUND, f"no unit of {query.programme} has serial number {query.serial}"
        )
    events = [
        SerialEvent(
            row.sequence,
            row.settlement_number,
            row.time_ns,
            row.kind.name,
            _unit_range(row.range),
            row.from_account,
            row.from_position.name,
            row.to_account,
            row.to_position.name,
            row.cause,
            row.cause_id,
        )
        for row in rows
    ]
    return Reply(SerialHistory(query.programme, query.serial, events))


async def get_holdings_at(call: Call) -> Reply:
    """What an account had at an instant."""
    query: InstantQuery = call.query
    market = call.context.entry.desk(query.market).market
    if query.account not in call.context.visible_accounts(call.key, market.code):
        raise Refused(EdgeReason.NOT_OWN_ACCOUNT, f"account {query.account}")
    time_ns = query.time_ns or call.context.clock.now_ns()
    if not 0 < time_ns <= INT64_MAX:
        raise Refused(EdgeReason.INVALID_FIELD, f"time_ns: {time_ns} is no time")
    symbols = {item.id: item.symbol for item in call.context.venue.instruments_of(market.code)}
    rows = await ask_books(
        call,
        lambda books: queries.tonnes_at(books, market.partition, query.account, symbols, time_ns),
    )
    held = [
        TonnesRow(symbols[row.instrument_id], row.position.name, row.quantity, row.since_ns)
        for row in rows
    ]
    return Reply(HoldingsAt(market.code, query.account, time_ns, held))


async def get_duplicates(call: Call) -> Reply:
    """Issuances that overlap, and projects registered twice, of the whole venue."""
    codes = {market.partition: market.code for market in call.context.venue.market}
    rows = await ask_books(call, queries.duplicate_issuances)
    found = await ask_books(call, issuance_audit.audit)

    def issuance(market: int, instruction_id: int, block: Range) -> IssuanceRow:
        return IssuanceRow(codes.get(market, str(market)), instruction_id, _unit_range(block))

    def project(row: issuance_audit.Registered) -> RegistrationRow:
        return RegistrationRow(codes.get(row.market, str(row.market)), *row[1:])

    return Reply(
        DuplicateList(
            [DuplicateRow(issuance(*row[:3]), issuance(*row[3:])) for row in rows[:PAGE_MAX]],
            [
                PeriodRow(issuance(*one[:3]), *one[3:], issuance(*other[:3]), *other[3:])
                for one, other in found.periods[:PAGE_MAX]
            ],
            [TwiceRow(project(one), project(two)) for one, two in found.projects[:PAGE_MAX]],
        )
    )


async def ask_books(call: Call, question: Callable[[Database], Awaitable[_T]]) -> _T:
    """The answer of the books; Refused (VENUE_BUSY) when they cannot be read now.

    The answer takes as long as the question: see `exchange.registry.queries`.
    """
    books = call.context.books
    if books is None:
        raise Refused(EdgeReason.NOT_FOUND, "this gateway has no books")
    try:
        return await question(books)
    except (OSError, SQLAlchemyError) as error:
        structlog.get_logger().warning("books_unreadable", error=str(error))
        raise Refused(
            EdgeReason.VENUE_BUSY, "the books cannot be read now", retry_after_ms=RETRY_MS
        ) from None


def _unit_range(block: Range) -> UnitRange:
    return UnitRange(block.programme, block.first, block.last)


ROUTES: tuple[Route, ...] = (
    Route("GET", "/serials", "History of a serial number", get_serial, SerialHistory,
          query=SerialQuery),
    Route("GET", "/holdings/at", "Units of an account at an instant", get_holdings_at, HoldingsAt,
          query=InstantQuery),
    Route("GET", "/issuances/duplicates", "Issuances that overlap", get_duplicates, DuplicateList,
          query=NoQuery),
)  # fmt: skip
