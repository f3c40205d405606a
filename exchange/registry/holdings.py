"""The state of a market's registry in memory, and the rows which its changes make.

Living blocks lie in one queue for each place (`places`), first in, first out by (number acquired,
first serial). Every change is noted in `Changes`, which the store writes in one
transaction; whoever cannot write them loads the state again. Memory: one entry a place, and the
blocks that were wanted lately.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping

from exchange.messages.registry import ProjectDetails
from exchange.registry.blocks import Block, HistoryKind, Position, State, node_of, split
from exchange.registry.places import Places
from exchange.registry.rows import (
    Cause,
    CreditExchange,
    Deposit,
    Encumbrance,
    Entitlement,
    ForeignProject,
    Issuance,
    NetSale,
    Place,
    Project,
    Proposal,
    RegistryPosition,
    Reversal,
    Surrender,
)
from exchange.registry.sales import Sales
from exchange.registry.standings import (
    Act,
    CreditHold,
    CreditReturn,
    OffsetReversal,
    OffsetSurrender,
    Outgoing,
    Standings,
    WaitingTransfer,
)
from exchange.registry.years import (
    Account,
    Allocation,
    Application,
    Assessment,
    CarriedOver,
    Emissions,
    Figures,
)


class Changes:
    """Rows to write, as they are after `market`."""

    def __init__(self) -> None:
        self.new: dict[int, Block] = {}
        self.moved: dict[int, Block] = {}
        self.gone: list[int] = []
        self.history: list[tuple[int | str, ...]] = []
        self.accounts: list[tuple[int, int, int]] = []
        self.projects: list[Project] = []
        self.entitlements: list[Entitlement] = []
        self.exchanges: list[CreditExchange] = []
        self.programmes: dict[str, int] = {}
        self.deposits: dict[int, Deposit] = {}
        self.confirmed: list[int] = []
        self.years: dict[Account, Figures] = {}
        self.emissions: list[Emissions] = []
        self.allocations: list[Allocation] = []
        self.assessments: list[Assessment] = []
        self.applications: list[Application] = []
        self.carried_over: list[CarriedOver] = []
        self.surrenders: list[Surrender] = []
        self.credits: list[tuple[int, int, int]] = []  # instruction, project, tonnes
        self.cancellations: list[tuple[int, int, int, int, str, str, int]] = []
        self.encumbrances: list[Encumbrance] = []
        self.proposals: list[Proposal] = []
        self.reversals: list[Reversal] = []
        self.holdings: list[tuple[int, int, int, int, int, int]] = []
        self.refusals: list[tuple[int, int, int, str, str, str, int]] = []
        self.acts: list[Act] = []
        self.transfers: dict[int, WaitingTransfer] = {}
        self.offsets: dict[int, OffsetSurrender] = {}
        self.holds: dict[tuple[str, int], CreditHold] = {}
        self.undoing: dict[int, OffsetReversal] = {}
        self.returns: dict[tuple[str, int], CreditReturn] = {}
        self.foreign: list[ForeignProject] = []
        self.messages: list[Outgoing] = []
        self.net_sales: list[NetSale] = []

    def put(self, block: Block) -> None:
        """Notes a block as it is now."""
        (self.new if block.block_id in self.new else self.moved)[block.block_id] = block

    def end(self, block: Block) -> None:
        """Notes that a block was split."""
        if self.new.pop(block.block_id, None) is None:
            self.moved.pop(block.block_id, None)
            self.gone.append(block.block_id)


class Holdings:
    """Who holds which blocks where, and what each account owes. Made by `store.load`."""

    def __init__(self, position: RegistryPosition) -> None:
        self.deposit_ref = position.deposit_ref
        self.block_id = position.block_id
        self.sequence = position.sequence
        self.message_ref = position.message_ref
        self.loaded_ns = position.time_ns  # of the last record in the books
        self.assessed_by_time = 0  # lowest number given to what happened without an instruction
        self.standings = Standings()
        self.sales = Sales()
        self.accounts: dict[int, int] = {}  # account: participant
        self.next_serial: dict[str, int] = {}
        self.issued: dict[int, int] = defaultdict(int)  # instrument: tonnes ever
        self._issued_of: dict[tuple[int, int], int] = defaultdict(int)  # instrument, vintage
        self.places = Places()
        self.pending: dict[int, Deposit] = {}  # instruction id: not yet confirmed
        self.years: dict[Account, Figures] = {}
        self.applications: dict[int, Application] = {}  # by instruction id
        self.carried_over: set[int] = set()  # applications that were carried out
        self.surrendered: dict[Account, int] = defaultdict(int)
        self.surrendered_of: dict[tuple[Account, int], int] = defaultdict(int)  # by instrument
        self.credits: dict[Account, dict[tuple[str, int], int]] = {}  # by product and project
        self.scheme_offsets: dict[tuple[str, int, str], int] = defaultdict(int)  # of all accounts
        self.projects: dict[int, Project] = {}
        self.foreign: dict[tuple[str, int], ProjectDetails] = {}  # of registries that keep credits
        self.entitlements: dict[tuple[int, str], Entitlement] = {}  # by account and scheme
        self._exchanged: dict[tuple[int, str], dict[tuple[int, int], int]] = {}
        self._beside_cap: dict[tuple[int, int], int] = defaultdict(int)  # instrument, vintage
        self.changes = Changes()
        self._before: dict[tuple[int, int, int], int] = {}  # places touched by this record

    @property
    def blocks(self) -> int:
        """Number of living blocks. O(1)."""
        return self.places.count

    @property
    def totals(self) -> dict[Place, int]:
        """Tonnes of every place where something lies. O(1)."""
        return self.places.totals

    def take_changes(self) -> Changes:
        """The changes since the last call, to be written. O(1)."""
        changes, self.changes = self.changes, Changes()
        changes.net_sales = self.sales.take_changes()
        return changes

    def load_issued(self, instrument_id: int, vintage: int, quantity: int) -> None:
        """Counts tonnes that were issued of a vintage. O(1)."""
        self.issued[instrument_id] += quantity
        self._issued_of[instrument_id, vintage] += quantity

    def issued_of(self, instrument_id: int, vintage: int) -> int:
        """Tonnes ever issued of a vintage. O(1)."""
        return self._issued_of.get((instrument_id, vintage), 0)

    def held_of(self, place: Place, vintages: frozenset[int]) -> int:
        """Tonnes at a place that are of some vintages. O(its blocks)."""
        blocks = self.places.heap(place, None)
        return sum(block.quantity for _, _, block in blocks if block.vintage in vintages)

    def vintages(self, place: Place) -> dict[int, int]:
        """Tonnes at a place by vintage, rising. O(its blocks)."""
        found: dict[int, int] = defaultdict(int)
        for _, _, block in self.places.heap(place, None):
            found[block.vintage] += block.quantity
        return dict(sorted(found.items()))

    def held(self, account: int, position: int, instrument_id: int, lender: int = 0) -> int:
        """Tonnes at a place. O(1)."""
        return self.totals.get(Place(account, position, instrument_id, lender), 0)

    def pledges(self, account: int, instrument_id: int) -> list[Place]:
        """Places with what an account has pledged, by lender. O(lenders)."""
        return self._places(account, Position.PLEDGED, instrument_id)

    def under_way(self, account: int, instrument_id: int) -> list[Place]:
        """Places with what of an account is on its way, by instruction. O(instructions)."""
        return self._places(account, Position.PENDING, instrument_id)

    def pending_tonnes(self, account: int, instrument_id: int) -> int:
        """Tonnes of an account that are on their way. O(instructions that hold them)."""
        return self._of_all_lenders(account, Position.PENDING, instrument_id)

    def _places(self, account: int, position: int, instrument_id: int) -> list[Place]:
        lenders = self.places.lenders(account, position, instrument_id)
        return [Place(account, position, instrument_id, lender) for lender in lenders]

    def oldest(self, place: Place) -> Block:
        """The block which leaves a place first; IndexError when it is empty. O(1)."""
        return self.places.heap(place, 1)[0][2]

    def end_record(self, settlement_number: int, time_ns: int) -> None:
        """Notes the tonnes of each place that the settlement record changed. O(places)."""
        for (account, position, instrument_id), before in self._before.items():
            tonnes = self._of_all_lenders(account, position, instrument_id)
            if tonnes != before:
                self.changes.holdings.append(
                    (account, instrument_id, int(position), time_ns, settlement_number, tonnes)
                )
        self._before.clear()

    def _of_all_lenders(self, account: int, position: int, instrument_id: int) -> int:
        held = self.held(account, position, instrument_id)
        if position in (Position.FROZEN, Position.PLEDGED, Position.PENDING):
            places = self._places(account, position, instrument_id)
            held += sum(self.totals[place] for place in places)
        return held

    def _touch(self, place: Place) -> None:
        key = place[:3]
        if key not in self._before:
            self._before[key] = self._of_all_lenders(*key)

    def open_account(self, account: int, participant: int, settlement_number: int) -> None:
        """Opens a registry account; opening it again changes nothing. O(1)."""
        if account not in self.accounts:
            self.accounts[account] = participant
            self.changes.accounts.append((account, participant, settlement_number))

    def issue(
        self,
        programme: str,
        instrument_id: int,
        vintage: int,
        account: int,
        quantity: int,
        cause: Cause,
        made: Issuance = Issuance(),  # noqa: B008 - a tuple
    ) -> Block:
        """New serials, following the last of the programme, in a registry position. O(log n)."""
        first = self.next_serial.get(programme, 1)
        self.next_serial[programme] = self.changes.programmes[programme] = first + quantity
        self.block_id += 1
        block = Block(
            self.block_id,
            programme,
            first,
            first + quantity - 1,
            instrument_id,
            vintage,
            account,
            Position.REGISTRY,
            State.HELD,
            cause.settlement_number,
            0,
            *made,
        )
        self.load_issued(instrument_id, vintage, quantity)
        self.changes.new[block.block_id] = block
        self._arrive(block)
        self._note(HistoryKind.ISSUED, block, (0, Position.NONE), (account, block.position), cause)
        return block

    def move(
        self,
        source: Place,
        account: int,
        position: int,
        quantity: int,
        cause: Cause,
        *,
        lender: int = 0,
        chosen: Mapping[int, int] | None = None,
        vintages: frozenset[int] | None = None,
    ) -> list[Block]:
        """Moves the oldest `quantity` tonnes of a place to another. O(blocks x log blocks).

        The caller has made sure that they are there (ValueError). With `chosen`, so many tonnes of
        each of these blocks, which make up the quantity; `vintages` leaves others where they are.
        """
        moved = []
        self.sales.note(source, account, quantity, cause.name)
        for block in self._take(source, quantity, cause, chosen, vintages):
            after = block._replace(
                account=account,
                position=position,
                acquired=cause.settlement_number,
                lender=lender,
            )
            self.changes.put(after)
            self._arrive(after)
            self._note(HistoryKind.MOVED, block, source[:2], (account, position), cause)
            moved.append(after)
        return moved

    def retire(
        self,
        source: Place,
        state: State,
        quantity: int,
        cause: Cause,
        *,
        chosen: Mapping[int, int] | None = None,
        vintages: frozenset[int] | None = None,
        kind: HistoryKind | None = None,
        entity: int = 0,
    ) -> list[Block]:
        """Surrenders or cancels the oldest `quantity` tonnes of a place, for good; like `move`.

        With `chosen`, so many tonnes of each of these blocks, which make up the quantity;
        `vintages` leaves others where they are; `kind` says more than the state does; `entity` is
        the account for which they go, 0 = that of the place.
        """
        kind = (
            kind
            or {
                State.SURRENDERED: HistoryKind.SURRENDERED,
                State.CANCELLED: HistoryKind.CANCELLED,
            }[state]
        )
        retired = []
        for block in self._take(source, quantity, cause, chosen, vintages):
            after = block._replace(
                account=entity or block.account,
                position=Position.NONE,
                state=state,
                acquired=cause.settlement_number,
                lender=0,
            )
            self.changes.put(after)
            self._note(kind, block, source[:2], (0, Position.NONE), cause)
            retired.append(after)
        return retired

    def restore(
        self,
        blocks: Iterable[Block],
        cause: Cause,
        position: int = Position.REGISTRY,
        lender: int = 0,
    ) -> list[Block]:
        """Brings retired blocks back to a position of their accounts. O(blocks x log)."""
        restored = []
        for block in blocks:
            after = block._replace(
                position=position,
                state=State.HELD,
                acquired=cause.settlement_number,
                lender=lender,
            )
            self.changes.put(after)
            self._arrive(after)
            target = (after.account, after.position)
            self._note(HistoryKind.REVERSED, block, (0, Position.NONE), target, cause)
            restored.append(after)
        return restored

    def add_deposit(
        self, instruction_id: int, account: int, instrument_id: int, quantity: int
    ) -> Deposit:
        """Numbers a deposit; it waits for the engine's word. O(1)."""
        self.deposit_ref += 1
        deposit = Deposit(self.deposit_ref, instruction_id, account, instrument_id, quantity)
        self.pending[instruction_id] = self.changes.deposits[deposit.ref] = deposit
        return deposit

    def confirm_deposit(self, deposit: Deposit) -> None:
        """The engine has the units of a deposit. O(1)."""
        del self.pending[deposit.instruction_id]
        if deposit.ref in self.changes.deposits:
            self.changes.deposits[deposit.ref] = deposit._replace(confirmed=1)
        else:
            self.changes.confirmed.append(deposit.ref)

    def set_year(self, account: Account, figures: Figures) -> None:
        """The figures of a compliance year. O(1)."""
        self.years[account] = self.changes.years[account] = figures

    def add_project(self, project: Project) -> None:
        """Takes up a project; the caller has made sure that its number is free. O(1)."""
        self.projects[project.number] = project
        self.changes.projects.append(project)

    def add_entitlement(self, row: Entitlement) -> None:
        """Takes up an entitlement in the place of an earlier one. O(1)."""
        self.load_entitlement(row)
        self.changes.entitlements.append(row)

    def load_entitlement(self, row: Entitlement) -> None:
        """Takes up an entitlement from the books, in their order. O(1)."""
        self.entitlements[row.account, row.scheme] = row

    def add_exchange(self, row: CreditExchange) -> None:
        """Counts an exchange of credits. O(1)."""
        self.load_exchange(row)
        self.changes.exchanges.append(row)

    def load_exchange(self, row: CreditExchange) -> None:
        """Takes up an exchange from the books. O(1)."""
        mine = self._exchanged.setdefault((row.account, row.scheme), {})
        what = (row.instrument_id, row.project)
        mine[what] = mine.get(what, 0) + row.quantity
        self._beside_cap[row.allowance_id, row.vintage] += row.quantity

    def exchanged_by(self, account: int, scheme: str) -> Mapping[tuple[int, int], int]:
        """Tonnes that an account exchanged, by instrument and project. O(1)."""
        return self._exchanged.get((account, scheme), {})

    def beside_cap(self, instrument_id: int, vintage: int) -> int:
        """Allowances issued for credits, which no cap counts, tonnes. O(1)."""
        return self._beside_cap.get((instrument_id, vintage), 0)

    def add_surrender(self, surrender: Surrender, product: str, blocks: Iterable[Block]) -> None:
        """Counts a surrender against the obligation, and offsets against their cap. O(blocks)."""
        by_project = projects_of(blocks) if surrender.rule else {}
        self.load_surrender(surrender, product, by_project)
        self.changes.surrenders.append(surrender)
        self.changes.credits += [
            (surrender.instruction_id, project, quantity)
            for project, quantity in by_project.items()
        ]

    def load_surrender(
        self, surrender: Surrender, product: str, by_project: Mapping[int, int]
    ) -> None:
        """Takes up a surrender, and its offsets by project. O(projects)."""
        self._count_surrender(surrender, product, by_project, 1)

    def undo_surrender(self, surrender: Surrender, product: str, blocks: Iterable[Block]) -> None:
        """Takes a surrender off the obligation, and its offsets off their cap. O(blocks)."""
        self.unload_surrender(surrender, product, projects_of(blocks) if surrender.rule else {})

    def unload_surrender(
        self, surrender: Surrender, product: str, by_project: Mapping[int, int]
    ) -> None:
        """The contrary of `load_surrender`. O(projects)."""
        self._count_surrender(surrender, product, by_project, -1)

    def _count_surrender(
        self, surrender: Surrender, product: str, by_project: Mapping[int, int], sign: int
    ) -> None:
        account = (surrender.account, surrender.scheme, surrender.year)
        self.surrendered[account] += sign * surrender.quantity
        self.surrendered_of[account, surrender.instrument_id] += sign * surrender.quantity
        used = self.credits.setdefault(account, {}) if by_project else {}
        for project, quantity in by_project.items():
            used[product, project] = used.get((product, project), 0) + sign * quantity
            self.scheme_offsets[account[1], account[2], product] += sign * quantity

    def put_transfer(self, transfer: WaitingTransfer) -> None:
        """Takes up a waiting transfer as it is now, to be written. O(log n)."""
        self.standings.put_transfer(transfer)
        self.changes.transfers[transfer.instruction_id] = transfer

    def put_offset(self, surrender: OffsetSurrender) -> None:
        """Takes up a surrender of another registry's credits as it is now. O(log n)."""
        self.standings.put_surrender(surrender)
        self.changes.offsets[surrender.instruction_id] = surrender

    def put_reversal(self, reversal: OffsetReversal) -> None:
        """Takes up a reversal over two registries as it is now. O(log n)."""
        self.standings.put_reversal(reversal)
        self.changes.undoing[reversal.instruction_id] = reversal

    def put_return(self, row: CreditReturn) -> None:
        """Takes up what comes back for another registry's reversal as it is now. O(1)."""
        self.standings.put_return(row)
        self.changes.returns[row.origin, row.reversal_id] = row

    def meet_project(self, project: ForeignProject) -> None:
        """Takes up what another registry told of a project, the first time. O(1)."""
        if (project.programme, project.project) not in self.foreign:
            self.load_foreign(project)
            self.changes.foreign.append(project)

    def load_foreign(self, project: ForeignProject) -> None:
        """Takes up a project of another registry from the books. O(flags)."""
        flags = tuple(project.flags.split(",")) if project.flags else ()
        self.foreign[project.programme, project.project] = ProjectDetails(
            name="", project_type=project.project_type, region=project.region, flags=flags
        )

    def put_hold(self, hold: CreditHold) -> None:
        """Takes up what is held for another registry's surrender as it is now. O(1)."""
        self.standings.put_hold(hold)
        self.changes.holds[hold.origin, hold.surrender_id] = hold

    def send(self, message: Outgoing) -> None:
        """Numbers a message to a registry; it goes out when it is written. O(1)."""
        self.message_ref += 1
        self.changes.messages.append(message._replace(ref=self.message_ref))

    def used(self, account: Account, products: Iterable[str]) -> int:
        """Offset credits of these products surrendered by an account for a year, tonnes."""
        counted = set(products)
        used = self.credits.get(account, {}).items()
        return sum(quantity for (product, _), quantity in used if product in counted)

    def lying(self, place: Place) -> list[Block]:
        """The blocks at a place, oldest first. O(n log n)."""
        return [block for _, _, block in sorted(self.places.heap(place, None))]

    def used_of_scheme(self, scheme: str, year: int, products: Iterable[str]) -> int:
        """Offset credits of these products surrendered by all accounts for a year, tonnes."""
        return sum(self.scheme_offsets.get((scheme, year, product), 0) for product in products)

    def _take(
        self,
        source: Place,
        quantity: int,
        cause: Cause,
        chosen: Mapping[int, int] | None = None,
        vintages: frozenset[int] | None = None,
    ) -> list[Block]:
        held = self.totals.get(source, 0) if vintages is None else self.held_of(source, vintages)
        if not 0 < quantity <= held:
            raise ValueError(f"{quantity} t are not at {source}, only {held}")
        self._touch(source)
        is_front = chosen is None and vintages is None
        queue = self.places.heap(source, quantity if is_front else None)
        before, taken, missing = len(queue), [], quantity
        passed: list[tuple[int, int, Block]] = []
        while missing:
            entry = heapq.heappop(queue)
            block = entry[2]
            wanted = missing if chosen is None else chosen.get(block.block_id, 0)
            if not wanted or (vintages is not None and block.vintage not in vintages):
                passed.append(entry)
                continue
            if block.quantity > wanted:
                block, right = self._split(block, wanted, cause)
                heapq.heappush(queue, (right.acquired, right.first_serial, right))
            taken.append(block)
            missing -= block.quantity
        for entry in passed:
            heapq.heappush(queue, entry)
        self.places.taken(source, quantity, before)
        return taken

    def _split(self, block: Block, quantity: int, cause: Cause) -> tuple[Block, Block]:
        left, right = split(block, quantity, self.block_id + 1, self.block_id + 2)
        self.block_id += 2
        self.changes.end(block)
        self.changes.new[left.block_id], self.changes.new[right.block_id] = left, right
        here = (block.account, block.position)
        self._note(HistoryKind.SPLIT, block, here, here, cause, left.block_id, right.block_id)
        return left, right

    def _arrive(self, block: Block) -> None:
        place = place_of(block)
        self._touch(place)
        self.places.push(place, block)

    def _note(
        self,
        kind: HistoryKind,
        block: Block,
        source: tuple[int, int],
        target: tuple[int, int],
        cause: Cause,
        left: int = 0,
        right: int = 0,
    ) -> None:
        self.sequence += 1
        self.changes.history.append(
            (
                self.sequence,
                cause.settlement_number,
                cause.time_ns,
                int(kind),
                block.block_id,
                block.programme,
                block.first_serial,
                block.last_serial,
                *map(int, source),
                *map(int, target),
                cause.name,
                cause.id,
                left,
                right,
                node_of(block.first_serial, block.last_serial),
            )
        )


def counted(surrender: OffsetSurrender) -> Surrender:
    """An open surrender of another registry's credits as it counts for its obligation. O(1)."""
    return Surrender(*surrender[:7], surrender.time_ns)


def projects_of(blocks: Iterable[Block]) -> dict[int, int]:
    """Tonnes by project, 0 where it is not stated. O(blocks)."""
    found: dict[int, int] = defaultdict(int)
    for block in blocks:
        found[block.project] += block.quantity
    return dict(found)


def place_of(block: Block) -> Place:
    """Where a living block lies. O(1)."""
    return Place(block.account, block.position, block.instrument_id, block.lender)
