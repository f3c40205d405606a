"""Who holds which serial numbers: a pure projection of `registry`.

A holding is (account, instrument, position) and a set of serial ranges of one programme, neighbours
joined. The position is REGISTRY, TRADING, FROZEN, PENDING or, with the lender's account, PLEDGED.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from exchange.messages.executions import UnitRange
from exchange.messages.registry import (
    AllocationReturned,
    CreditLot,
    CreditsExchanged,
    CreditsHeld,
    EncumbranceChanged,
    EntitlementSet,
    OffsetReversalChanged,
    OffsetSurrenderChanged,
    ProjectRegistered,
    Range,
    RegistryItem,
    ReversalProposed,
    TransferEnded,
    TransferWaits,
    UnitsAllocated,
    UnitsCancelled,
    UnitsCarriedOver,
    UnitsIssued,
    UnitsMoved,
    UnitsReversed,
    UnitsSurrendered,
    YearFigures,
)
from exchange.settings import REVERSAL_DAYS_MAX

_DAY_NS = 86_400 * 1_000_000_000
REGISTRY = "REGISTRY"
TRADING = "TRADING"
FROZEN = "FROZEN"
PLEDGED = "PLEDGED"
PENDING = "PENDING"

MOVES: dict[str, tuple[str, str]] = {
    "TRADE": (TRADING, TRADING),
    "TRADE_CANCEL": (TRADING, TRADING),
    "DEPOSIT": (REGISTRY, TRADING),
    "RELEASE": (TRADING, REGISTRY),
    "TRANSFER": (REGISTRY, REGISTRY),
    "HOLD_FOR": (REGISTRY, FROZEN),  # a province, for an entity at risk
    "FORCED_SURRENDER": (FROZEN, REGISTRY),  # from there, and then surrendered
    "RELEASE_HELD": (FROZEN, REGISTRY),  # what is left of it, or is taken back
    "SURRENDER_FOR": (REGISTRY, REGISTRY),  # for another, and then surrendered
}
"""Cause of a UnitsMoved -> (position it leaves, position it enters)."""

ENCUMBRANCES: dict[str, tuple[str, str]] = {
    "FREEZE": (REGISTRY, FROZEN),
    "UNFREEZE": (FROZEN, REGISTRY),
    "PLEDGE": (REGISTRY, PLEDGED),
    "RELEASE_PLEDGE": (PLEDGED, REGISTRY),
    "ENFORCE_PLEDGE": (PLEDGED, REGISTRY),
}
"""Kind of an EncumbranceChanged -> (position it leaves, position it enters)."""


class HoldingKey(NamedTuple):
    """Whose units of what, and where."""

    account: int
    instrument_id: int
    position: str
    lender: int = 0


class Made(NamedTuple):
    """Which reductions credits stand for, or of which year allowances are, as issued.

    Zeros where nothing is stated.
    """

    project: int
    period_from: int  # YYYYMMDD
    vintage: int = 0


class SerialSet:
    """Disjoint inclusive ranges of integers, joined where they touch."""

    def __init__(self) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        self.total = 0

    def add(self, first: int, last: int) -> None:
        """Adds a range which must not overlap what is there. O(ranges)."""
        at = bisect_right(self._first, first)
        overlaps = (at > 0 and self._last[at - 1] >= first) or (
            at < len(self._first) and self._first[at] <= last
        )
        if overlaps:
            raise ValueError(f"serials {first}-{last} are held already")
        self.total += last - first + 1
        if at < len(self._first) and self._first[at] == last + 1:
            last = self._last[at]
            del self._first[at], self._last[at]
        if at > 0 and self._last[at - 1] == first - 1:
            self._last[at - 1] = last
        else:
            self._first.insert(at, first)
            self._last.insert(at, last)

    def remove(self, first: int, last: int) -> None:
        """Takes out a range which must be there. O(ranges)."""
        at = bisect_right(self._first, first) - 1
        if at < 0 or self._last[at] < last:
            raise ValueError(f"serials {first}-{last} are not held")
        low, high = self._first[at], self._last[at]
        del self._first[at], self._last[at]
        for left, right in ((last + 1, high), (low, first - 1)):
            if left <= right:
                self._first.insert(at, left)
                self._last.insert(at, right)
        self.total -= last - first + 1

    def ranges(self) -> list[tuple[int, int]]:
        """First and last of each range, ascending."""
        return list(zip(self._first, self._last, strict=True))


class Holdings:
    """All holdings of a market, and what was surrendered and is to be surrendered."""

    def __init__(self) -> None:
        self._serials: dict[HoldingKey, dict[str, SerialSet]] = {}
        self.years: dict[tuple[int, str, int], YearFigures] = {}  # (account, scheme, year)
        self.groups: dict[tuple[int, str], str] = {}  # of accounts in a scheme, where stated
        self.surrendered: dict[tuple[int, int, int], int] = {}  # (account, year, instrument)
        self.used: dict[tuple[int, int, int], dict[int, int]] = {}  # as surrendered, by project
        self.proposals: dict[int, ReversalProposed] = {}  # reversals not approved, by instruction
        self.projects: dict[int, ProjectRegistered] = {}
        self._made: dict[str, tuple[list[int], list[Made]]] = {}  # by first serial issued
        self.foreign: dict[tuple[int, int], CreditLot] = {}  # projects elsewhere, by instrument
        self._counted: set[int] = set()  # open surrenders over two registries that count already
        self._undone: set[int] = set()  # those whose reversal is not over yet

    def apply(self, item: RegistryItem) -> None:
        """One item of a registry record; ValueError if it contradicts what came before."""
        if isinstance(item, UnitsIssued):
            self._note_made(item.ranges, Made(item.project, item.period_from, item.vintage))
        elif isinstance(item, UnitsAllocated):
            self._note_made(item.ranges, Made(0, 0, item.year))
        elif isinstance(item, CreditsExchanged):
            self._note_made(item.ranges, Made(0, 0, item.vintage))
        elif isinstance(item, UnitsCarriedOver):  # into an instrument of one vintage
            self._note_made(item.ranges, Made(0, 0))
        if isinstance(item, UnitsIssued | UnitsAllocated):
            self._put(HoldingKey(item.account_id, item.instrument_id, REGISTRY), item.ranges)
        elif isinstance(item, UnitsMoved):
            left, entered = MOVES[item.cause]
            self._take(HoldingKey(item.from_account, item.instrument_id, left), item.ranges)
            self._put(HoldingKey(item.to_account, item.instrument_id, entered), item.ranges)
        elif isinstance(item, EncumbranceChanged):
            left, entered = ENCUMBRANCES[item.kind]
            heir = item.lender_id if item.kind == "ENFORCE_PLEDGE" else item.account_id
            lender = {REGISTRY: 0, FROZEN: 0, PLEDGED: item.lender_id}
            what = item.instrument_id
            self._take(HoldingKey(item.account_id, what, left, lender[left]), item.ranges)
            self._put(HoldingKey(heir, what, entered, lender[entered]), item.ranges)
        elif isinstance(item, UnitsSurrendered):
            self._take(HoldingKey(item.account_id, item.instrument_id, REGISTRY), item.ranges)
            key = (item.account_id, item.year, item.instrument_id)
            self.surrendered[key] = self.surrendered.get(key, 0) + item.quantity
            self._use(key, item.ranges, 1)
        elif isinstance(item, ProjectRegistered):
            self.projects[item.project] = item
        elif isinstance(item, ReversalProposed):
            self._propose(item)
        elif isinstance(item, UnitsReversed):
            self._undo(item)
        elif isinstance(item, UnitsCancelled | AllocationReturned):
            self._take(HoldingKey(item.account_id, item.instrument_id, REGISTRY), item.ranges)
        elif isinstance(item, CreditsExchanged):
            self._take(HoldingKey(item.account_id, item.instrument_id, REGISTRY), item.cancelled)
            self._put(HoldingKey(item.account_id, item.allowance_id, REGISTRY), item.ranges)
        elif isinstance(item, UnitsCarriedOver):
            self._take(HoldingKey(item.account_id, item.from_instrument, REGISTRY), item.cancelled)
            self._put(HoldingKey(item.account_id, item.instrument_id, REGISTRY), item.ranges)
        elif isinstance(item, EntitlementSet):
            self.groups[item.account_id, item.scheme] = item.group
        elif isinstance(item, YearFigures):
            self.years[item.account_id, item.scheme, item.year] = item
        elif isinstance(item, TransferWaits | TransferEnded | CreditsHeld):
            self._pend(item)
        elif isinstance(item, OffsetSurrenderChanged):
            self._count(item)
        elif isinstance(item, OffsetReversalChanged):
            self._uncount(item)

    def given(self, account: int, year: int, instruments: Iterable[int]) -> int:
        """Tonnes of these instruments that an account surrendered for a year. O(instruments)."""
        return sum(self.surrendered.get((account, year, item), 0) for item in instruments)

    def given_by_all(self, year: int, instruments: Collection[int]) -> int:
        """Tonnes of these instruments that all accounts surrendered for a year. O(surrenders)."""
        return sum(
            quantity
            for (_, of_year, instrument), quantity in self.surrendered.items()
            if of_year == year and instrument in instruments
        )

    def _pend(self, item: TransferWaits | TransferEnded | CreditsHeld) -> None:
        """Units go into the pending position, or out of it."""
        free = HoldingKey(item.account_id, item.instrument_id, REGISTRY)
        pending = free._replace(position=PENDING)
        state = item.state if isinstance(item, CreditsHeld) else ""
        if isinstance(item, TransferWaits) or state == "FROZEN":
            self._take(free, item.ranges)
            self._put(pending, item.ranges)
            return
        if state == "RESTORED":
            self._put(pending, item.ranges)
            return
        self._take(pending, item.ranges)
        if isinstance(item, TransferEnded):
            heir = item.to_account if item.outcome == "DONE" else item.account_id
            self._put(free._replace(account=heir), item.ranges)
        elif state in ("RELEASED", "RETURNED"):
            self._put(free, item.ranges)

    def _count(self, item: OffsetSurrenderChanged) -> None:
        """A surrender over two registries counts from now on, or no longer."""
        was_counted = item.instruction_id in self._counted
        key = (item.account_id, item.year, item.instrument_id)
        change = item.quantity * (item.is_counted - was_counted)
        if change:
            self._use_lots(key, item.credits, item.is_counted - was_counted)
        if item.is_counted and item.state != "DONE":
            self._counted.add(item.instruction_id)
        else:
            self._counted.discard(item.instruction_id)

    def _uncount(self, item: OffsetReversalChanged) -> None:
        """A surrender over two registries is undone: it counts no longer, and nobody can again."""
        is_undone = item.original_id in self._undone
        if item.state == "UNDONE":
            self._undone.add(item.original_id)
        else:
            self._undone.discard(item.original_id)
        if is_undone or item.state not in ("UNDONE", "DONE"):
            return
        self._use_lots((item.account_id, item.year, item.instrument_id), item.credits, -1)
        self._forget_proposals(item.original_id)

    def _use_lots(self, key: tuple[int, int, int], lots: tuple[CreditLot, ...], sign: int) -> None:
        used = self.used.setdefault(key, {})
        for lot in lots:
            self.foreign.setdefault((key[2], lot.project), lot)
            used[lot.project] = used.get(lot.project, 0) + sign * lot.quantity
            self.surrendered[key] = self.surrendered.get(key, 0) + sign * lot.quantity

    def _forget_proposals(self, original_id: int) -> None:
        for proposal in list(self.proposals.values()):
            if proposal.original_id == original_id:
                del self.proposals[proposal.instruction_id]

    def _propose(self, item: ReversalProposed) -> None:
        """Takes up a proposal, and forgets those which nobody can approve any more."""
        now_ns = item.expires_ns - REVERSAL_DAYS_MAX * _DAY_NS
        self.proposals = {i: p for i, p in self.proposals.items() if p.expires_ns >= now_ns}
        self.proposals[item.instruction_id] = item

    def _undo(self, item: UnitsReversed) -> None:
        self._put(HoldingKey(item.account_id, item.instrument_id, REGISTRY), item.ranges)
        if item.year:
            key = (item.account_id, item.year, item.instrument_id)
            self.surrendered[key] -= item.quantity
            self._use(key, item.ranges, -1)
        self._forget_proposals(item.original_id)

    def quantity(self, key: HoldingKey) -> int:
        """Tonnes of a holding. O(programmes)."""
        return sum(serials.total for serials in self._serials.get(key, {}).values())

    def ranges(self, key: HoldingKey) -> tuple[UnitRange, ...]:
        """Serial ranges of a holding, ascending. O(ranges)."""
        return tuple(
            UnitRange(programme, first, last)
            for programme, serials in sorted(self._serials.get(key, {}).items())
            for first, last in serials.ranges()
        )

    def parts(self, ranges: Iterable[UnitRange | Range]) -> dict[Made, int]:
        """Tonnes of serial ranges by what they were issued for. O(issuances in the ranges)."""
        found: dict[Made, int] = {}
        for item in ranges:
            firsts, made = self._made[item.programme]
            at = bisect_right(firsts, item.first) - 1
            first = item.first
            while first <= item.last:
                following = firsts[at + 1] if at + 1 < len(firsts) else item.last + 1
                last = min(item.last, following - 1)
                found[made[at]] = found.get(made[at], 0) + last - first + 1
                first, at = last + 1, at + 1
        return found

    def _note_made(self, ranges: tuple[Range, ...], told: Made) -> None:
        for serials in ranges:
            firsts, made = self._made.setdefault(serials.programme, ([], []))
            if not made or made[-1] != told:  # serials are given out in rising order
                firsts.append(serials.first)
                made.append(told)

    def _use(self, key: tuple[int, int, int], ranges: tuple[Range, ...], sign: int) -> None:
        used = self.used.setdefault(key, {})
        for made, quantity in self.parts(ranges).items():
            used[made.project] = used.get(made.project, 0) + sign * quantity

    def keys(self) -> list[HoldingKey]:
        """Every holding that is not empty, by account, instrument, position."""
        return sorted(key for key in self._serials if self.quantity(key))

    def _put(self, key: HoldingKey, ranges: tuple[Range, ...]) -> None:
        for item in ranges:
            serials = self._serials.setdefault(key, {}).setdefault(item.programme, SerialSet())
            serials.add(item.first, item.last)

    def _take(self, key: HoldingKey, ranges: tuple[Range, ...]) -> None:
        for item in ranges:
            serials: Any = self._serials.get(key, {}).get(item.programme)
            if serials is None:
                raise ValueError(f"{key} holds no {item.programme}")
            serials.remove(item.first, item.last)
