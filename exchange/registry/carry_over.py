"""Old allowances that become new ones: an account applies, the authority carries it out.

How much follows from the trades of a window and from the position at an instant, both of the
books. So before a record of `settlements` with an application is applied, the service looks them
up, with all earlier records written. The old units are cancelled, as many new ones issued, and the
history of each serial number says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import CarryOverApplied, RegistryItem, UnitsCarriedOver
from exchange.messages.settlement import InstructionPassed, SettlementItem
from exchange.reference.venue import Instrument
from exchange.registry.blocks import HistoryKind, Position, State, runs, tonnes
from exchange.registry.compliance_year import given
from exchange.registry.holdings import Holdings
from exchange.registry.refusals import RefusalError, require_account
from exchange.registry.rows import Cause, Place
from exchange.registry.years import Application, CarriedOver
from exchange.rulebook import Rulebook
from exchange.rulebook.allocation import carry_over, carry_over_processed_by
from exchange.rulebook.shapes import CarryOver
from exchange.rulebook.vintages import vintage_years


class Dealings(NamedTuple):
    """What an account sold and bought in the window, and had at the instant, tonnes."""

    sold: int = 0
    bought: int = 0
    position: int = 0


Applicant = tuple[int, int]  # account, instrument of the new vintage


def applicants(items: Iterable[SettlementItem]) -> frozenset[Applicant]:
    """Who applies in a record, and for what. O(items)."""
    return frozenset(
        (item.account_id, item.instrument_id)
        for item in items
        if isinstance(item, InstructionPassed) and item.kind == Instruction.APPLY_CARRY_OVER
    )


def old_instruments(
    rule: CarryOver, scheme: str, instruments: Iterable[Instrument]
) -> list[Instrument]:
    """Allowances of a scheme, of the vintages that are carried over, oldest first. O(n log n)."""
    years = {year for label in rule.from_vintages for year in vintage_years(label)}
    found = [
        item
        for item in instruments
        if (item.kind, item.scheme) == ("allowance", scheme) and item.vintage in years
    ]
    return sorted(found, key=lambda item: (item.vintage, item.id))


class CarryOvers:
    """What applications and their carrying out do to a market's holdings."""

    def __init__(
        self, holdings: Holdings, instruments: Mapping[int, Instrument], rulebook: Rulebook
    ) -> None:
        self.past: Mapping[Applicant, Dealings] = {}  # set before each record with applications
        self._holdings = holdings
        self._instruments = instruments
        self._rulebook = rulebook

    def rule_of(self, instrument: Instrument | None) -> CarryOver | None:
        """The rule by which units become those of an instrument. O(schemes)."""
        scheme = self._rulebook.scheme_of(instrument.scheme) if instrument else None
        rule = scheme.carry_over if scheme else None
        if rule is None or instrument is None or instrument.kind != "allowance":
            return None
        return rule if instrument.vintage in vintage_years(rule.to_vintage) else None

    def apply(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """APPLY_CARRY_OVER into `instrument`, of the vintage `argument`. O(applications)."""
        told = given(item, ())
        require_account(self._holdings, item.account_id)
        rule = self.rule_of(instrument)
        if rule is None or item.argument != instrument.vintage:
            raise RefusalError(
                RegistryReason.NO_CARRY_OVER,
                f"no rule carries units over into {instrument.symbol} as vintage {item.argument}",
            )
        source = self._rulebook.citation(rule)
        on = self._rulebook.local_date(instrument.scheme, cause.time_ns)
        by = carry_over_processed_by(rule, on)
        opens_ns = int(rule.position_snapshot.timestamp()) * 10**9
        if by is None or on > rule.application_until or cause.time_ns <= opens_ns:
            raise RefusalError(
                RegistryReason.CARRY_OVER_CLOSED,
                f"applications are taken after {rule.position_snapshot} until "
                f"{rule.application_until}; it is {on}",
                rule.id,
                source,
            )
        self._check_surrendered(item.account_id, instrument.scheme, rule)
        past = self.past[item.account_id, instrument.id]
        most = carry_over(rule, *past)
        asked = self._asked(item.account_id, instrument.id)
        if asked + item.quantity > most:
            raise RefusalError(
                RegistryReason.CARRY_OVER_ABOVE_LIMIT,
                f"{item.quantity} t and {asked} t applied for before are above {most} t: sold "
                f"{past.sold} t, bought {past.bought} t, position {past.position} t",
                rule.id,
                source,
            )
        whose = (item.instruction_id, item.account_id, instrument.id, item.quantity)
        told_all = (*whose, most, *past, by.isoformat())
        row = Application(*told_all, rule.id, told.by, cause.time_ns)
        self._holdings.changes.applications.append(row)
        self._holdings.applications[row.instruction_id] = row
        return [CarryOverApplied(*told_all, told.by, rule.id, source)]

    def _asked(self, account: int, instrument: int) -> int:
        return sum(
            row.quantity
            for row in self._holdings.applications.values()
            if (row.account, row.instrument_id) == (account, instrument)
        )

    def _check_surrendered(self, account: int, scheme: str, rule: CarryOver) -> None:
        """In full, for each of the years that the account has any figure of."""
        for year in rule.requires_full_surrender_of:
            key = (account, scheme, year)
            figures = self._holdings.years.get(key)
            if figures is None:
                continue
            missing = (figures.obligation or 0) - self._holdings.surrendered.get(key, 0)
            if figures.verified is None or missing > 0:
                raise RefusalError(
                    RegistryReason.YEARS_NOT_SURRENDERED,
                    f"{scheme} {year} of account {account}: verified {figures.verified} t, "
                    f"not surrendered {missing} t",
                    rule.id,
                    self._rulebook.citation(rule),
                )

    def carry_out(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """CARRY_OVER of the application `argument`: oldest vintages first. O(blocks x log)."""
        told = given(item, ())
        row = self._holdings.applications.get(item.argument)
        whose = (item.account_id, instrument.id, item.quantity)
        rule = self.rule_of(instrument)
        is_done = item.argument in self._holdings.carried_over
        if row is None or rule is None or is_done or row[1:4] != whose:
            raise RefusalError(
                RegistryReason.UNKNOWN_APPLICATION,
                f"no application {item.argument} of account {item.account_id} for "
                f"{item.quantity} t of {instrument.symbol} waits",
            )
        self._check_surrendered(item.account_id, instrument.scheme, rule)
        old = old_instruments(rule, instrument.scheme, self._instruments.values())
        free = {i.id: self._holdings.held(row.account, Position.REGISTRY, i.id) for i in old}
        if sum(free.values()) < row.quantity:
            raise RefusalError(
                RegistryReason.NOT_ENOUGH_UNITS,
                f"account {row.account} has {sum(free.values())} t of old allowances in its "
                f"registry position, not {row.quantity} t",
            )
        on = self._rulebook.local_date(instrument.scheme, cause.time_ns)
        is_late = on.isoformat() > row.process_by
        items, missing = [], row.quantity
        for each in old:
            part = min(free[each.id], missing)
            missing -= part
            if part:
                items += self._exchange(item, each, instrument, part, told.by, is_late, cause)
        self._holdings.carried_over.add(row.instruction_id)
        self._holdings.changes.carried_over.append(
            CarriedOver(
                item.instruction_id, row.instruction_id, *whose, told.by, int(is_late),
                cause.time_ns,
            )
        )  # fmt: skip
        return items

    def _exchange(
        self,
        item: InstructionPassed,
        old: Instrument,
        new: Instrument,
        quantity: int,
        by: str,
        is_late: bool,
        cause: Cause,
    ) -> list[RegistryItem]:
        source = Place(item.account_id, Position.REGISTRY, old.id)
        gone = self._holdings.retire(
            source, State.CANCELLED, quantity, cause, kind=HistoryKind.CARRIED_OVER
        )
        items: list[RegistryItem] = []
        for run in runs(gone):
            count = tonnes(run)
            block = self._holdings.issue(
                new.product, new.id, new.vintage, item.account_id, count, cause
            )
            told = (item.instruction_id, item.argument, item.account_id, old.id, new.id, count)
            ranges = tuple(each.range for each in run)
            items.append(UnitsCarriedOver(*told, by, is_late, ranges, (block.range,)))
        return items
