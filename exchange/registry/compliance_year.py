"""The compliance year as a process: reported, verified, and assessed after its last day.

Who owes what follows from verified emissions. A step after its day is taken and marked late; what
the rules do not let be done is refused. Instructions carry their words as lines of notes: the key
that gave it, then a name and a value each.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    EmissionsStated,
    RegistryItem,
    UnitsSurrendered,
    YearAssessed,
    YearFigures,
)
from exchange.messages.settlement import InstructionPassed
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Position, State, runs, tonnes
from exchange.registry.encumbrances import notes_of
from exchange.registry.holdings import Holdings
from exchange.registry.refusals import RefusalError, require_account, require_year
from exchange.registry.rows import Cause, Place, Surrender
from exchange.registry.years import FINE_NOT_KNOWN, Account, Assessment, Emissions, Figures
from exchange.rulebook import Rulebook
from exchange.rulebook.allocation import share
from exchange.rulebook.penalties import Penalty, penalty
from exchange.rulebook.shapes import ComplianceRules
from exchange.rulebook.year import (
    REPORT,
    SURRENDER,
    VERIFICATION,
    due,
    ends_ns,
    partial,
    rules_of_year,
    sectors_of,
)

DUE_YEARS_MAX = 20  # the last day of a year lies no later after it
_STORED = 2**63 - 1


class Given(NamedTuple):
    """Who gave an instruction, and its words by name."""

    by: str
    words: dict[str, str]

    def number(self, name: str) -> int:
        """A word that is a whole number; 0 when it is not there. RefusalError for another."""
        text = self.words.get(name, "0")
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise RefusalError(
                RegistryReason.WORDS_NOT_READABLE, f"{name} {text!r} is no whole number"
            )
        return int(text)


def given(item: InstructionPassed, names: Collection[str]) -> Given:
    """The words of an instruction's notes. RefusalError without a key, or for other names."""
    by, text = notes_of(item)
    words = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        words[name] = value.strip()
    if not by or not words.keys() <= set(names):
        raise RefusalError(
            RegistryReason.WORDS_NOT_READABLE,
            f"{Instruction(item.kind).name} says its key, then any of {', '.join(names)}",
        )
    return Given(by, words)


class _Act(NamedTuple):
    # An assessment: as messages number it, as the books do, by whom, at what price, and why.
    number: int
    row_id: int
    by: str
    price: int
    cause: Cause


class ComplianceYears:
    """What reports, verifications and assessments do to a market's holdings. Each O(blocks moved).

    `check_fit` raises RefusalError when a figure of verified emissions leaves more offsets
    surrendered than their caps; `force_held` surrenders what lies with a province for a year that
    has ended, as of its last instant.
    """

    def __init__(
        self,
        holdings: Holdings,
        instruments: Mapping[int, Instrument],
        rulebook: Rulebook,
        check_fit: Callable[[Account, Figures, Cause], None],
        force_held: Callable[[Account, int, Cause], list[RegistryItem]],
    ) -> None:
        self._force_held = force_held
        self._holdings = holdings
        self._rulebook = rulebook
        self._check_fit = check_fit
        self._ends: dict[tuple[str, int], int | None] = {}
        self._allowances: dict[str, Instrument] = {}  # the first of each scheme
        allowances = [item for item in instruments.values() if item.kind == "allowance"]
        for instrument in sorted(allowances, key=lambda item: item.id):
            self._allowances.setdefault(instrument.scheme, instrument)
        self._oldest_first = sorted(allowances, key=lambda item: (item.vintage, item.id))
        for account, figures in holdings.years.items():
            if figures.verified is not None and figures.shortfall is None:
                self._watch(account, holdings.loaded_ns)

    def report(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """REPORT_EMISSIONS of the year `argument`; again until they are verified."""
        told = given(item, ("sector",))
        account, figures, rules = self._year(item, instrument, cause)
        on = self._rulebook.local_date(instrument.scheme, cause.time_ns)
        if on.year <= item.argument:
            raise RefusalError(
                RegistryReason.YEAR_NOT_OVER,
                f"emissions of {item.argument} are reported from {item.argument + 1}-01-01 on; "
                f"it is {on}",
            )
        if figures.verified is not None:
            raise RefusalError(
                RegistryReason.EMISSIONS_SETTLED,
                f"emissions of {item.argument} are verified already: {figures.verified} t",
            )
        sector = told.words.get("sector", figures.sector)
        require_sector(self._rulebook, account, rules, sector)
        after = figures._replace(sector=sector, reported=item.quantity, reported_by=told.by)
        is_late = self._is_late(account, rules, REPORT, sector, on)
        return self._stated(item, account, after, told.by, 0, is_late, cause)

    def verify(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """VERIFY_EMISSIONS: confirms or corrects what was reported; this is what is owed.

        A verifier may correct its figure until the year is assessed, or an allocation rests on it.
        """
        told = given(item, ("participant",))
        account, figures, rules = self._year(item, instrument, cause)
        if figures.reported is None:
            raise RefusalError(
                RegistryReason.EMISSIONS_NOT_REPORTED,
                f"account {account[0]} reported no emissions of {item.argument}",
            )
        participant = told.number("participant")
        owner = self._holdings.accounts[account[0]]
        if told.by == figures.reported_by or participant in (0, owner):
            raise RefusalError(
                RegistryReason.VERIFIER_IS_EMITTER,
                f"{told.by} of participant {participant} cannot verify what {figures.reported_by} "
                f"reported for account {account[0]} of participant {owner}",
            )
        if figures.final is not None and rules is not None and rules.shortage_cap_bp_of_verified:
            raise RefusalError(
                RegistryReason.EMISSIONS_SETTLED,
                f"the final allocation of {item.argument} rests on {figures.verified} t",
                rules.id,
                self._rulebook.citation(rules),
            )
        after = figures._replace(verified=item.quantity)
        surrendered = self._holdings.surrendered.get(account, 0)
        if (after.obligation or 0) < surrendered:
            raise RefusalError(
                RegistryReason.QUANTITY_OUT_OF_RANGE,
                f"{surrendered} t are surrendered for {item.argument} already, more than "
                f"{after.obligation} t",
            )
        self._check_fit(account, after, cause)
        on = self._rulebook.local_date(instrument.scheme, cause.time_ns)
        is_late = self._is_late(account, rules, VERIFICATION, figures.sector, on)
        self._watch(account, cause.time_ns)
        return self._stated(item, account, after, told.by, participant, is_late, cause)

    def _stated(
        self,
        item: InstructionPassed,
        account: Account,
        after: Figures,
        by: str,
        participant: int,
        is_late: bool,
        cause: Cause,
    ) -> list[RegistryItem]:
        self._holdings.set_year(account, after)
        row = (item.instruction_id, item.kind, *account, item.quantity, by, participant)
        self._holdings.changes.emissions.append(Emissions(*row, int(is_late), cause.time_ns))
        stated = EmissionsStated(
            item.instruction_id, cause.name, *account, item.quantity, by, is_late
        )
        return [figures_item(item.instruction_id, account, after), stated]

    def assess(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """ASSESS the year `argument`: shortfall, penalty, and what goes on to the next year."""
        told = given(item, ("price", "due"))
        account, figures, rules = self._year(item, instrument, cause)
        if figures.verified is None:
            raise RefusalError(
                RegistryReason.EMISSIONS_NOT_VERIFIED,
                f"emissions of account {account[0]} for {account[2]} are not verified",
            )
        last = self._last_day(account, rules, told, cause)
        act = _Act(item.instruction_id, item.instruction_id, told.by, told.number("price"), cause)
        return self._assess(act, instrument, account, figures, rules, last)

    def come_due(self, account: Account, cause: Cause) -> list[RegistryItem]:
        """The last day to surrender for a year is over: what ASSESS does, by itself. O(rules).

        What a province holds for the entity is surrendered first. No assessment where it was done,
        or takes an authority: for a price, or while a surrender asked in time or a reversal waits
        for another registry; when the last of these ends, both are done then.
        """
        figures = self._holdings.years.get(account, Figures())
        allowance = self._allowances.get(account[1])
        is_open = figures.verified is not None and figures.shortfall is None
        if allowance is None or not is_open or self._holdings.standings.waits_for_other(account):
            return []
        on = self._rulebook.local_date(account[1], cause.time_ns)
        rules = rules_of_year(self._rulebook, account[1], account[2], on)
        end_ns = self._end_ns(account)
        forced = [] if end_ns is None else self._force_held(account, end_ns - 1, cause)
        act = _Act(0, self._holdings.assessed_by_time - 1, "", 0, cause)
        try:
            last = self._last_day(account, rules, Given("", {}), cause)
            said = self._assess(act, allowance, account, figures, rules, last)
        except RefusalError:
            return forced
        self._holdings.assessed_by_time = act.row_id
        return forced + said

    def saga_ended(self, account: Account, asked_ns: int, cause: Cause) -> list[RegistryItem]:
        """A surrender or reversal over two registries ended; the year may have waited for it."""
        end_ns = self._end_ns(account)
        if end_ns is None or not asked_ns < end_ns <= cause.time_ns:
            return []
        return self.come_due(account, cause)

    def require_no_wait(self, account: Account, cause: Cause) -> None:
        """RefusalError while a year that is over waits for another registry. O(1)."""
        end_ns = self._end_ns(account)
        is_over = end_ns is not None and cause.time_ns >= end_ns
        if is_over and self._holdings.standings.waits_for_other(account):
            raise RefusalError(
                RegistryReason.YEAR_WAITS,
                f"{account[1]} {account[2]} of account {account[0]} is assessed when another "
                "registry has answered",
            )

    def _watch(self, account: Account, time_ns: int) -> None:
        """Puts the end of a year, if it is to come, on the agenda. O(log n)."""
        end_ns, allowance = self._end_ns(account), self._allowances.get(account[1])
        if end_ns is not None and end_ns > time_ns and allowance is not None:
            self._holdings.standings.note_year(end_ns, account, allowance.id)

    def _end_ns(self, account: Account) -> int | None:
        """The first instant after the last day to surrender for a year; None: not known.

        By the last rules that name the year, so that it does not depend on when it is asked. O(1)
        but for the first of a year.
        """
        _, scheme, year = account
        if (scheme, year) not in self._ends:
            rules = rules_of_year(self._rulebook, scheme, year, dt.date.max)
            last = due(self._rulebook, scheme, rules, year, SURRENDER).day
            self._ends[scheme, year] = (
                None if last is None else ends_ns(self._rulebook, scheme, rules, year, last)
            )
        return self._ends[scheme, year]

    def _assess(
        self,
        act: _Act,
        instrument: Instrument,
        account: Account,
        figures: Figures,
        rules: ComplianceRules | None,
        last: dt.date,
    ) -> list[RegistryItem]:
        before = self._holdings.surrendered.get(account, 0)
        shortfall, rest, end = _due_part(figures, before, rules, account[2])
        on = self._rulebook.local_date(account[1], act.cause.time_ns)
        found = self._penalty(rules, shortfall, account, act.price, on)
        said = self._force(act, account, found.forced_deduction_t)
        after = figures._replace(
            shortfall=shortfall,
            closed=figures.closed + found.carried_obligation_t + rest,
            added=figures.added + max(0, found.instruments_due_t - shortfall),
            deduction=figures.deduction + found.next_year_deduction_t * (not found.condition),
            conditional=found.next_year_deduction_t * bool(found.condition),
        )
        self._holdings.set_year(account, after)
        items: list[RegistryItem] = [figures_item(act.number, account, after)]
        for year, carried in ((account[2] + 1, found.carried_obligation_t), (end, rest)):
            if carried:
                items.append(self._carry(act, (account[0], account[1], year), carried))
        row = Assessment(
            act.row_id,
            *account,
            figures.obligation or 0,
            before,
            shortfall,
            act.price,
            found.fine_min_minor if found.fine_is_known else FINE_NOT_KNOWN,
            found.fine_max_minor if found.fine_is_known else FINE_NOT_KNOWN,
            found.carried_obligation_t + rest,
            found.instruments_due_t,
            found.forced_deduction_t,
            found.next_year_deduction_t,
            found.condition,
            found.consequence,
            last.isoformat(),
            rules.id if rules else "",
            act.by,
            act.cause.time_ns,
        )
        self._holdings.changes.assessments.append(row)
        source = self._rulebook.citation(rules) if rules else ""
        assessed = YearAssessed(act.number, *row[1:17], act.by, row.rule, source)
        return [*items, *said, assessed]

    def _carry(self, act: _Act, account: Account, quantity: int) -> YearFigures:
        """Makes tonnes owed with a later year."""
        figures = self._holdings.years.get(account, Figures())
        figures = figures._replace(carried_in=figures.carried_in + quantity)
        self._holdings.set_year(account, figures)
        return figures_item(act.number, account, figures)

    def _last_day(
        self, account: Account, rules: ComplianceRules | None, told: Given, cause: Cause
    ) -> dt.date:
        """The last day for surrender, which must be over."""
        _, scheme, year = account
        known = due(self._rulebook, scheme, rules, year, SURRENDER).day
        text = told.words.get("due", "")
        try:
            stated = dt.date.fromisoformat(text) if text else None
        except ValueError:
            raise RefusalError(RegistryReason.WORDS_NOT_READABLE, f"due {text!r}") from None
        last = known or stated
        is_near = last is not None and year <= last.year <= year + DUE_YEARS_MAX
        if last is None or not is_near or (stated is not None and stated != last):
            raise RefusalError(
                RegistryReason.DUE_DAY_UNKNOWN,
                f"{scheme} {year}: the rulebook's last day is {known}, given is {stated}",
                rules.id if rules else "",
            )
        if cause.time_ns < ends_ns(self._rulebook, scheme, rules, year, last):
            raise RefusalError(
                RegistryReason.DUE_DAY_NOT_OVER,
                f"the last day to surrender for {year} in {scheme} is {last}",
                rules.id if rules else "",
            )
        return last

    def _penalty(
        self,
        rules: ComplianceRules | None,
        shortfall: int,
        account: Account,
        price: int,
        on: dt.date,
    ) -> Penalty:
        if rules is None or rules.penalty is None:
            return Penalty(consequence="not known to the rulebook" if shortfall else "")
        held = sum(self._holdings.held(*place) for place in self._takable(account))
        try:
            found = penalty(
                rules.penalty,
                shortfall,
                year=account[2],
                average_price_minor=price,
                held_t=held,
                on=on,
            )
        except ValueError as error:
            raise RefusalError(
                RegistryReason.AVERAGE_PRICE_MISSING,
                f"{shortfall} t short: {error}",
                rules.id,
                self._rulebook.citation(rules),
            ) from None
        if found.fine_max_minor > _STORED:
            raise RefusalError(
                RegistryReason.QUANTITY_OUT_OF_RANGE,
                f"a fine for {shortfall} t at {price} a tonne does not fit 64 bits",
            )
        return found

    def _takable(self, account: Account) -> list[Place]:
        """From where a rule takes by force: free allowances, oldest first. O(instruments).

        Those of later years stay: what is still missing comes off the next allocation.
        """
        entity, scheme, year = account
        return [
            Place(entity, Position.REGISTRY, item.id)
            for item in self._oldest_first
            if item.scheme == scheme and item.vintage <= year
        ]

    def _force(self, act: _Act, account: Account, quantity: int) -> list[RegistryItem]:
        """Surrenders by force, late as it is, what the rule takes of the registry position.

        Each instrument is a surrender of its own; the first has the number of the assessment.
        """
        said: list[RegistryItem] = []
        entity, scheme, year = account
        number, cause = act.row_id, act.cause
        products = {item.id: item.product for item in self._oldest_first}
        for place in self._takable(account):
            taken = min(quantity, self._holdings.held(*place))
            if not taken:
                continue
            quantity -= taken
            if said:
                number = self._holdings.assessed_by_time = self._holdings.assessed_by_time - 1
            blocks = self._holdings.retire(place, State.SURRENDERED, taken, cause)
            told = (entity, place.instrument_id)
            row = Surrender(number, *told, scheme, year, "", taken, cause.time_ns, 1)
            self._holdings.add_surrender(row, products[place.instrument_id], blocks)
            said += [
                UnitsSurrendered(
                    act.number, *told, year, tonnes(run), tuple(b.range for b in run), is_late=True
                )
                for run in runs(blocks)
            ]
        return said

    def _year(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> tuple[Account, Figures, ComplianceRules | None]:
        return open_year(self._holdings, self._rulebook, item, instrument, cause)

    def _is_late(
        self, account: Account, rules: ComplianceRules | None, step: str, sector: str, on: dt.date
    ) -> bool:
        last = due(self._rulebook, account[1], rules, account[2], step, sector).day
        return last is not None and on > last


def _due_part(
    figures: Figures, surrendered: int, rules: ComplianceRules | None, year: int
) -> tuple[int, int, int]:
    """What is missing, what is due later and for which year: of a period, a share each year."""
    owed = figures.owed(surrendered)
    part = partial(rules, year)
    if part is None:
        return owed, 0, 0
    share_bp, end = part
    shortfall = max(0, share(figures.obligation or 0, share_bp) - surrendered)
    return shortfall, owed - shortfall, end


def open_year(
    holdings: Holdings,
    rulebook: Rulebook,
    item: InstructionPassed,
    instrument: Instrument,
    cause: Cause,
) -> tuple[Account, Figures, ComplianceRules | None]:
    """The year that an instruction names, its figures and rules. RefusalError once assessed."""
    require_year("compliance year", item.argument, least=1)
    require_account(holdings, item.account_id)
    if instrument.kind != "allowance":
        raise RefusalError(
            RegistryReason.NOT_ALLOWANCE_OF_YEAR,
            f"{instrument.symbol} is no allowance: a year is named by one of its scheme",
        )
    account = (item.account_id, instrument.scheme, item.argument)
    figures = holdings.years.get(account, Figures())
    on = rulebook.local_date(instrument.scheme, cause.time_ns)
    rules = rules_of_year(rulebook, instrument.scheme, item.argument, on)
    require_unassessed(account, figures)
    return account, figures, rules


def require_sector(
    rulebook: Rulebook, account: Account, rules: ComplianceRules | None, sector: str
) -> None:
    """RefusalError for a sector that the rules of the year do not know, which has no days. O(1)."""
    known = sectors_of(rulebook, account[1], rules, account[2])
    if sector and known and sector not in known:
        raise RefusalError(
            RegistryReason.UNKNOWN_SECTOR,
            f"{account[1]} {account[2]} knows no sector {sector[:40]!r}; known are "
            f"{', '.join(known)}",
            rules.id if rules is not None else "",
        )


def require_unassessed(account: Account, figures: Figures) -> None:
    """RefusalError when a year was assessed. O(1)."""
    if figures.shortfall is not None:
        raise RefusalError(
            RegistryReason.YEAR_ASSESSED,
            f"{account[1]} {account[2]} of account {account[0]} was assessed: shortfall "
            f"{figures.shortfall} t",
        )


def figures_item(instruction_id: int, account: Account, figures: Figures) -> YearFigures:
    """A year's figures as the topic tells them. O(1)."""
    return YearFigures(
        instruction_id,
        *account,
        figures.sector,
        figures.reported,
        figures.verified,
        figures.provisional,
        figures.final,
        figures.deducted,
        figures.carried_in,
        figures.added,
        figures.obligation,
        figures.closed,
        figures.shortfall,
        figures.deduction + figures.conditional,
    )
