"""The registry's books: loading a market's state, and writing a batch of changes in one go.

A batch is one SQL transaction: what changed, the position in `settlements`, the records for
`registry` and the deposits for `orders`.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from exchange.database import Database
from exchange.database import schema as tables
from exchange.fault_points import reached
from exchange.messages.registry import ProjectDetails
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Block, State
from exchange.registry.holdings import Changes, Holdings, counted
from exchange.registry.places import Gap
from exchange.registry.refusals import RegistryBrokenError
from exchange.registry.reversals import Named, Past, Retirement
from exchange.registry.rows import (
    CreditExchange,
    Deposit,
    Entitlement,
    ForeignProject,
    NetSale,
    Place,
    Project,
    Proposal,
    RegistryPosition,
    Surrender,
)
from exchange.registry.saga import AllowanceState, CreditState, ReturnState, UndoState
from exchange.registry.standings import (
    TRANSFERS_OPEN,
    Act,
    CreditHold,
    CreditReturn,
    OffsetReversal,
    OffsetSurrender,
    Outgoing,
    Recalled,
    WaitingTransfer,
)
from exchange.registry.two_registries import by_project
from exchange.registry.years import Application, Figures
from exchange.settings import REGISTRY_READ_BLOCKS

NumberedValue = tuple[int, bytes]
_ROWS_AT_ONCE = 10_000


class RegistryMovedError(Exception):
    """Another process wrote this market's registry since: nothing was written; load again."""


class Loaded(NamedTuple):
    """The state in the books; deposits not confirmed and messages not sent yet, by number."""

    position: RegistryPosition
    holdings: Holdings
    unconfirmed: list[Deposit]
    unsent: list[Outgoing]


class RegistryStore:
    """The books of one market as the registry writes them."""

    def __init__(
        self, database: Database, market: int, instruments: Mapping[int, Instrument]
    ) -> None:
        self._database = database
        self._market = market
        self._instruments = instruments

    async def load(self) -> Loaded:
        """Everything the registry keeps in memory; blocks stay in the books until `read_blocks`.

        The database adds up the blocks, O(blocks); here it is O(places + surrenders).
        """
        async with self._database.writing() as connection:
            position = await self._position(connection)
            holdings = Holdings(position)
            await self._load_places(connection, holdings, position.settlement_number)
            await self._load_figures(connection, holdings)
            waiting = await self._rows(connection, tables.deposit, confirmed=0)
            unconfirmed = sorted(Deposit(*row) for row in waiting)
            holdings.pending = {deposit.instruction_id: deposit for deposit in unconfirmed}
            await self._load_standings(connection, holdings)
            messages = await self._rows(connection, tables.registry_message)
            unsent = sorted(Outgoing(*row) for row in messages)
        return Loaded(position, holdings, unconfirmed, unsent)

    async def position(self) -> RegistryPosition:
        """How far the books are. O(1)."""
        async with self._database.writing() as connection:
            return await self._position(connection)

    async def _position(self, connection: AsyncConnection) -> RegistryPosition:
        of_market = {"of_market": self._market}
        row = (await connection.execute(_POSITION, of_market)).first()
        if row is None:
            table = tables.registry_position
            # Another process may be as early as this one: then its row is the one.
            first = {"market": self._market, **RegistryPosition()._asdict()}
            await connection.execute(
                text(
                    f"INSERT INTO {table.name} ({', '.join(first)}) "  # noqa: S608
                    f"VALUES ({', '.join(f':{name}' for name in first)}) ON CONFLICT DO NOTHING"
                ),
                first,
            )
            row = (await connection.execute(_POSITION, of_market)).one()
        return RegistryPosition(*row[1:])

    async def _rows(
        self, connection: AsyncConnection, table: Table, **equal: Any
    ) -> list[tuple[Any, ...]]:
        """Rows of a table without their market."""
        query = _selecting(table, tuple(equal))
        rows = await connection.execute(query, {"market": self._market} | equal)
        return [tuple(row)[1:] for row in rows.all()]

    async def _load_places(
        self, connection: AsyncConnection, holdings: Holdings, until: int
    ) -> None:
        of_market = {"market": self._market}
        for *place, quantity, blocks in (await connection.execute(_BY_PLACE, of_market)).all():
            holdings.places.leave(Place(*place), int(quantity), blocks, until)
        for instrument, vintage, quantity in (await connection.execute(_ISSUED, of_market)).all():
            holdings.load_issued(instrument, vintage, int(quantity))

    async def read_blocks(
        self, holdings: Holdings, wanted: Mapping[Place, int | None], before: RegistryPosition
    ) -> None:
        """Takes up the wanted tonnes of places, None = all, where they are not in memory yet.

        Raises RegistryMovedError when the books are not at `before`, and RegistryBrokenError when
        they have not what they had. O(blocks read), a search in an index for each place.
        """
        lacking = holdings.places.lacking
        places = [place for place, tonnes in wanted.items() if lacking(place, tonnes)]
        if not places:
            return
        async with self._database.reading() as connection:
            found = await connection.execute(_MARK, {"of_market": self._market})
            self._require_unmoved(tuple(found.one()), before)
            for place in places:
                most = REGISTRY_READ_BLOCKS if wanted[place] is not None else _ROWS_AT_ONCE
                while (gap := lacking(place, wanted[place])) is not None:
                    await self._read_gap(connection, holdings, gap, most)
                    most = min(most * 2, _ROWS_AT_ONCE)

    async def _read_gap(
        self, connection: AsyncConnection, holdings: Holdings, gap: Gap, most: int
    ) -> None:
        place, (acquired, first), until = gap
        values = {"market": self._market, "until": until, "acquired": acquired, "first": first}
        values |= {name: int(number) for name, number in place._asdict().items()} | {"most": most}
        rows = (await connection.execute(_NEXT_BLOCKS, values)).all()
        try:
            holdings.places.take_up(gap, [Block(*tuple(row)[1:]) for row in rows])
        except ValueError as error:
            raise RegistryBrokenError(f"market {self._market}: {error}") from error

    def _require_unmoved(self, found: tuple[int, ...], before: RegistryPosition) -> None:
        if found != before[1:3]:
            raise RegistryMovedError(
                f"market {self._market}: the registry's books are at settlement {found[0]}, not "
                f"{before.settlement_number}"
            )

    async def _load_figures(self, connection: AsyncConnection, holdings: Holdings) -> None:
        programmes = select(tables.programme.c.programme, tables.programme.c.next_serial).where(
            tables.programme.c.market == self._market
        )
        for programme, next_serial in (await connection.execute(programmes)).all():
            holdings.next_serial[programme] = next_serial
        for row in await self._rows(connection, tables.registry_account):
            holdings.accounts[row[0]] = row[1]
        for *told, details, time_ns in await self._rows(connection, tables.project):
            known = msgspec.json.decode(details, type=ProjectDetails)
            holdings.projects[told[0]] = Project._make((*told, known, time_ns))
        for row in await self._rows(connection, tables.foreign_project):
            holdings.load_foreign(ForeignProject(*row))
        for row in sorted(await self._rows(connection, tables.credit_entitlement)):
            holdings.load_entitlement(Entitlement(*row))
        for row in await self._rows(connection, tables.credit_exchange):
            holdings.load_exchange(CreditExchange(*row))
        for account, scheme, year, *figures in await self._rows(connection, tables.compliance_year):
            holdings.years[account, scheme, year] = Figures(*figures)
        for table in (tables.assessment, tables.surrender):  # by time: numbered from -1 down
            first = select(func.min(table.c.instruction_id)).where(table.c.market == self._market)
            lowest = await connection.scalar(first) or 0
            holdings.assessed_by_time = min(holdings.assessed_by_time, lowest)
        for row in await self._rows(connection, tables.carry_over_application):
            holdings.applications[row[0]] = Application(*row)
        holdings.carried_over |= {row[1] for row in await self._rows(connection, tables.carry_over)}
        of_projects: dict[int, dict[int, int]] = defaultdict(dict)
        for instruction, project, quantity in await self._rows(connection, tables.surrender_credit):
            of_projects[instruction][project] = quantity
        reversed_ones = {row[1] for row in await self._rows(connection, tables.reversal)}
        for row in await self._rows(connection, tables.surrender):
            surrender = Surrender(*row)
            if surrender.instruction_id not in reversed_ones:
                product = self._instruments[surrender.instrument_id].product
                credits_ = of_projects.get(surrender.instruction_id, {})
                holdings.load_surrender(surrender, product, credits_)

    async def _load_standings(self, connection: AsyncConnection, holdings: Holdings) -> None:
        standings = holdings.standings
        for act in sorted(Act(*row) for row in await self._rows(connection, tables.account_act)):
            standings.apply(act)
        for row in await self._rows(connection, tables.net_sale):
            holdings.sales.load(NetSale(*row))
        for row in await self._open(connection, tables.waiting_transfer, TRANSFERS_OPEN):
            standings.put_transfer(WaitingTransfer(*row))
        for row in await self._open(connection, tables.offset_surrender, _SURRENDERS_OPEN):
            standings.put_surrender(surrender := OffsetSurrender(*row))
            if surrender.is_counted:
                product = self._instruments[surrender.instrument_id].product
                holdings.load_surrender(counted(surrender), product, by_project(surrender))
        for row in await self._open(connection, tables.offset_reversal, _REVERSALS_OPEN):
            standings.put_reversal(OffsetReversal(*row))
        for row in await self._open(connection, tables.credit_return, (ReturnState.RESTORED,)):
            standings.put_return(CreditReturn(*row))
        for row in await self._open(connection, tables.credit_hold, (CreditState.FROZEN,)):
            standings.put_hold(CreditHold(*row))

    async def _open(
        self, connection: AsyncConnection, table: Table, states: Collection[int]
    ) -> list[tuple[Any, ...]]:
        """Rows of a table, without their market, that have not ended. O(them)."""
        literal = ", ".join(str(int(state)) for state in sorted(states))
        is_open = text(f"state IN ({literal})" if len(states) > 1 else f"state = {literal}")
        query = select(table).where(table.c.market == self._market, is_open)
        return [tuple(row)[1:] for row in (await connection.execute(query)).all()]

    async def recalled(self, numbers: Collection[int]) -> Recalled:
        """What messages about these surrenders and reversals name, ended or not. O(names x log)."""
        async with self._database.reading() as connection:
            surrenders = await self._among(
                connection, tables.offset_surrender, "instruction_id", numbers
            )
            holds = await self._among(connection, tables.credit_hold, "surrender_id", numbers)
            reversals = await self._among(
                connection, tables.offset_reversal, "instruction_id", numbers
            )
            returns = await self._among(connection, tables.credit_return, "reversal_id", numbers)
            held = [CreditHold(*row) for row in holds]
            asked = {hold.retired_id for hold in held if hold.state == CreditState.RETIRED}
            retired = await self._retired_blocks(connection, asked)
        return Recalled(
            [OffsetSurrender(*row) for row in surrenders],
            held,
            [OffsetReversal(*row) for row in reversals],
            [CreditReturn(*row) for row in returns],
            retired,
        )

    async def past(self, named: Named) -> Past:
        """What proposals and approvals name, as the books have it. O(blocks of it x log)."""
        async with self._database.reading() as connection:
            proposals = {
                row[0]: Proposal(*row)
                for row in await self._among(
                    connection, tables.reversal_proposal, "instruction_id", named.proposals
                )
            }
            approved = {proposal.original for proposal in proposals.values()}
            wanted = named.originals | approved
            done = await self._among(connection, tables.reversal, "original", wanted)
            wanted -= {row[1] for row in done}
            elsewhere = {}  # the units lie in another registry's books
            for row in await self._among(
                connection, tables.offset_surrender, "instruction_id", wanted
            ):
                elsewhere[row[0]] = OffsetSurrender(*row)
            retirements = {}
            for row in await self._among(connection, tables.surrender, "instruction_id", wanted):
                given = Surrender(*row)
                told = (given.account, given.instrument_id, given.quantity)
                retirements[row[0]] = Retirement(
                    row[0], State.SURRENDERED, *told, given, elsewhere.get(row[0])
                )
            for row in await self._among(connection, tables.cancellation, "instruction_id", wanted):
                account, instrument, quantity = row[1:4]
                retirements[row[0]] = Retirement(
                    row[0], State.CANCELLED, account, instrument, quantity, None
                )
            here = (approved & retirements.keys()) - elsewhere.keys()
            blocks = await self._retired_blocks(connection, here)
        return Past(proposals, retirements, blocks)

    async def _among(
        self, connection: AsyncConnection, table: Table, name: str, values: Collection[int]
    ) -> list[tuple[Any, ...]]:
        """Rows of a table, without their market, whose column `name` has one of the values."""
        if not values:
            return []
        query = select(table).where(table.c.market == self._market, table.c[name].in_(values))
        return [tuple(row)[1:] for row in (await connection.execute(query)).all()]

    async def _retired_blocks(
        self, connection: AsyncConnection, originals: Collection[int]
    ) -> dict[int, list[Block]]:
        """The blocks that each of these instructions surrendered or cancelled, by serial."""
        history, block = tables.block_history, tables.block
        query = (
            select(history.c.cause_id, block)
            .join(block, (block.c.market == history.c.market) & _same_block)
            .where(history.c.cause_id == bindparam("original"), text(tables.RETIRED))
            .order_by(block.c.first_serial)
        )
        found: dict[int, list[Block]] = {}
        for original in originals:
            values = {"original": original, "market": self._market}
            rows = (await connection.execute(query, values)).all()
            found[original] = [Block(*tuple(row)[2:]) for row in rows]
        return found

    async def write(
        self,
        before: RegistryPosition,
        after: RegistryPosition,
        changes: Changes,
        outbox: list[NumberedValue],
    ) -> None:
        """Writes all of it or nothing.

        Raises RegistryMovedError when the books are not at `before`, and the database's own error
        when it refuses (overlapping serials).
        """
        async with self._database.writing() as connection:
            found = await self._position(connection)
            self._require_unmoved(found[1:3], before)
            await self._write_blocks(connection, changes)
            await self._write_figures(connection, changes)
            await self._add(connection, tables.registry_outbox, outbox)
            if _has_over(before.published, after.published, outbox):
                over = {"market": self._market, "next": after.published}
                await connection.execute(_PUBLISHED, over)
            await self._add(connection, tables.registry_message, changes.messages)
            if _has_over(before.messages_sent, after.messages_sent, changes.messages):
                over = {"market": self._market, "last": after.messages_sent}
                await connection.execute(_SENT, over)
            await connection.execute(_MOVE, {"of_market": self._market, **after._asdict()})
            reached("registry.commit.before")

    async def _add(self, connection: AsyncConnection, table: Table, rows: list[Any]) -> None:
        if rows:
            statement, names = _inserting(table)
            await connection.execute(
                statement, [dict(zip(names, (self._market, *row), strict=True)) for row in rows]
            )

    async def _write_blocks(self, connection: AsyncConnection, changes: Changes) -> None:
        # Split blocks go first: the database refuses an overlap even inside a transaction.
        if changes.gone:
            await connection.execute(
                _GONE, [{"of_market": self._market, "gone": gone} for gone in changes.gone]
            )
        if changes.moved:
            await connection.execute(
                _MOVED,
                [
                    {"of_market": self._market, "block": block.block_id}
                    | {f"new_{name}": int(getattr(block, name)) for name in _MOVING}
                    for block in changes.moved.values()
                ],
            )
        await self._add(connection, tables.block, [_plain(block) for block in changes.new.values()])
        await self._add(connection, tables.block_history, changes.history)
        await self._add(connection, tables.holding, changes.holdings)

    async def _write_figures(self, connection: AsyncConnection, changes: Changes) -> None:
        for programme, next_serial in changes.programmes.items():
            await self._put(
                connection,
                tables.programme,
                {"programme": programme},
                {"market": self._market, "next_serial": next_serial},
            )
        for (account, scheme, year), figures in changes.years.items():
            await self._put(
                connection,
                tables.compliance_year,
                {"market": self._market, "account": account, "scheme": scheme, "year": year},
                figures._asdict(),
            )
        await self._add(connection, tables.registry_account, changes.accounts)
        await self._add(connection, tables.deposit, list(changes.deposits.values()))
        await self._add(
            connection,
            tables.project,
            [
                (*project[:4], msgspec.json.encode(project.details).decode(), project.time_ns)
                for project in changes.projects
            ],
        )
        await self._add(connection, tables.credit_entitlement, changes.entitlements)
        await self._add(connection, tables.credit_exchange, changes.exchanges)
        await self._add(connection, tables.emissions, changes.emissions)
        await self._add(connection, tables.allocation, changes.allocations)
        await self._add(connection, tables.assessment, changes.assessments)
        await self._add(connection, tables.surrender, changes.surrenders)
        await self._add(connection, tables.surrender_credit, changes.credits)
        await self._add(connection, tables.carry_over_application, changes.applications)
        await self._add(connection, tables.carry_over, changes.carried_over)
        await self._add(connection, tables.cancellation, changes.cancellations)
        await self._add(connection, tables.encumbrance, changes.encumbrances)
        await self._add(connection, tables.reversal_proposal, changes.proposals)
        await self._add(connection, tables.reversal, changes.reversals)
        await self._add(connection, tables.refusal, changes.refusals)
        await self._add(connection, tables.account_act, changes.acts)
        await self._put_rows(connection, tables.waiting_transfer, changes.transfers.values())
        await self._put_rows(connection, tables.offset_surrender, changes.offsets.values())
        await self._put_rows(connection, tables.credit_hold, changes.holds.values())
        await self._put_rows(connection, tables.offset_reversal, changes.undoing.values())
        await self._put_rows(connection, tables.credit_return, changes.returns.values())
        await self._add(connection, tables.foreign_project, changes.foreign)
        await self._put_rows(connection, tables.net_sale, changes.net_sales)
        if changes.confirmed:
            await connection.execute(
                _CONFIRMED,
                [{"of_market": self._market, "of_ref": ref} for ref in changes.confirmed],
            )

    async def _put_rows(
        self, connection: AsyncConnection, table: Table, rows: Iterable[tuple[Any, ...]]
    ) -> None:
        """Writes rows as they are now, new or not."""
        keys = [column.name for column in table.primary_key.columns]
        names = [column.name for column in table.columns]
        for row in rows:
            values = dict(zip(names, (self._market, *row), strict=True))
            key = {name: values.pop(name) for name in keys}
            await self._put(connection, table, key, values)

    async def _put(
        self,
        connection: AsyncConnection,
        table: Table,
        key: dict[str, Any],
        values: dict[str, Any],
    ) -> None:
        statement = _changing(table, tuple(key), tuple(values))
        of_key = {f"of_{name}": value for name, value in key.items()}
        done = await connection.execute(statement, of_key | values)
        if done.rowcount == 0:
            await connection.execute(_inserting(table)[0], key | values)

    async def outbox(self, number: int, count: int) -> list[NumberedValue]:
        """Up to `count` values not yet known to be published, from `number` on, in order."""
        table = tables.registry_outbox
        query = (
            select(table.c.number, table.c.value)
            .where(table.c.market == self._market, table.c.number >= number)
            .order_by(table.c.number)
            .limit(count)
        )
        async with self._database.reading() as connection:
            return [(row[0], row[1]) for row in (await connection.execute(query)).all()]


_position = tables.registry_position
_of_market = _position.c.market == bindparam("of_market")
_POSITION = select(_position).where(_of_market).with_for_update()
_MOVE = (
    update(_position)
    .where(_of_market)
    .values({name: bindparam(name) for name in RegistryPosition._fields})
)
_MARK = select(_position.c.settlement_number, _position.c.number).where(_of_market)
_PUBLISHED = text("DELETE FROM registry_outbox WHERE market = :market AND number < :next")
_SENT = text("DELETE FROM registry_message WHERE market = :market AND ref <= :last")
_BY_PLACE = text(
    "SELECT account, position, instrument_id, lender, SUM(last_serial - first_serial + 1), "
    "COUNT(*) FROM block WHERE market = :market AND block.state = 1 "
    "GROUP BY account, position, instrument_id, lender"
)
_ISSUED = text(
    "SELECT instrument_id, vintage, SUM(last_serial - first_serial + 1) FROM block "
    "WHERE market = :market GROUP BY instrument_id, vintage"
)
_NEXT_BLOCKS = text(
    "SELECT * FROM block WHERE account = :account AND market = :market AND position = :position "
    "AND instrument_id = :instrument_id AND lender = :lender AND block.state = 1 "
    "AND (acquired, first_serial) > (:acquired, :first) AND acquired < :until "
    "ORDER BY acquired, first_serial LIMIT :most"
)
_SURRENDERS_OPEN = (AllowanceState.ASKED, AllowanceState.BOOKED, AllowanceState.RELEASING)
_REVERSALS_OPEN = (UndoState.ASKED, UndoState.UNDONE, UndoState.KEEPING)
_same_block = tables.block.c.block_id == tables.block_history.c.block_id
_MOVING = ("account", "position", "state", "acquired", "lender")
_blocks = tables.block.c.market == bindparam("of_market")
_GONE = delete(tables.block).where(_blocks, tables.block.c.block_id == bindparam("gone"))
_MOVED = (
    update(tables.block)
    .where(_blocks, tables.block.c.block_id == bindparam("block"))
    .values({name: bindparam(f"new_{name}") for name in _MOVING})
)
_CONFIRMED = (
    update(tables.deposit)
    .where(
        tables.deposit.c.market == bindparam("of_market"),
        tables.deposit.c.ref == bindparam("of_ref"),
    )
    .values(confirmed=1)
)


# Statements are made once: making one takes longer than SQLite takes to run it.


@functools.cache
def _inserting(table: Table) -> tuple[Insert, tuple[str, ...]]:
    return insert(table), tuple(column.name for column in table.columns)


@functools.cache
def _selecting(table: Table, columns: tuple[str, ...]) -> Select[Any]:
    """The rows of a market of which columns have the values of the parameters of their names."""
    query = select(table).where(table.c.market == bindparam("market"))
    return query.where(*(table.c[name] == bindparam(name) for name in columns))


@functools.cache
def _changing(table: Table, key: tuple[str, ...], values: tuple[str, ...]) -> Update:
    """The row of a key, each column of it given as `of_` and its name, gets new values."""
    where = [table.c[name] == bindparam(f"of_{name}") for name in key]
    return update(table).where(*where).values({name: bindparam(name) for name in values})


def _has_over(before: int, after: int, added: Sequence[tuple[Any, ...]]) -> bool:
    # Whether rows may stand there that are done with: else nothing is asked of the database.
    return after > before or (bool(added) and added[0][0] <= after)


def _plain(block: Block) -> tuple[Any, ...]:
    return tuple(int(value) if isinstance(value, int) else value for value in block)
