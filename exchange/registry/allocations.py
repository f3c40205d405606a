"""Allowances given to an account for a year: provisional first, then final, by the rules of it.

Units are issued from the scheme's allowance of that vintage. The final allocation gives what the
provisional one left, less what a shortfall of the year before takes; or takes back what was too
much. What is gone of that is owed with the year's emissions: no rule lets an entity keep tonnes
that it was not given, and one that must surrender as many more has none left over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import AllocationReturned, Range, RegistryItem, UnitsAllocated
from exchange.messages.settlement import InstructionPassed
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Block, HistoryKind, Position, State, runs, tonnes
from exchange.registry.compliance_year import Given, figures_item, given, open_year, require_sector
from exchange.registry.encumbrances import Signature
from exchange.registry.holdings import Holdings
from exchange.registry.others import Others, held_for, taken_back
from exchange.registry.refusals import RefusalError
from exchange.registry.rows import Cause, Place
from exchange.registry.years import Account, Allocation, Figures
from exchange.rulebook import Rulebook, RulebookError
from exchange.rulebook.allocation import (
    BP,
    capped_by,
    intensity_allocation,
    scheme_cap,
    share,
    shortage_top_up,
)
from exchange.rulebook.provisional import provisional_base
from exchange.rulebook.selection import scheme_named
from exchange.rulebook.shapes import ComplianceRules
from exchange.rulebook.vintages import vintage_years
from exchange.rulebook.year import FINAL, GAS, PROVISIONAL, due, has_sector, is_new_sector
from exchange.settings import UNITS_ISSUED_MAX

WORDS = ("stage", "method", "sector", "base", "balance", "intensity", "held_by")
STAGES = {"provisional": PROVISIONAL, "final": FINAL}
METHODS = ("grandfathering", "benchmarking", "equal_to_emissions", "intensity")


Waits = Callable[[InstructionPassed, Instrument, Cause, Signature], list[RegistryItem]]
"""What is said when the act waits for a second person; [] when it is done at once."""


class _Case(NamedTuple):
    # What is decided, for whom, under which rules.
    item: InstructionPassed
    instrument: Instrument
    cause: Cause
    told: Given
    account: Account
    figures: Figures
    rules: ComplianceRules | None
    stage: str
    method: str
    sector: str
    province: int  # which holds them for the account; 0: they go to the account


class _Effect(NamedTuple):
    # What comes of it, tonnes, and the figures after it.
    after: Figures
    base: int = 0
    relief: int = 0
    deducted: int = 0
    issued: int = 0
    too_much: int = 0  # to be taken back
    previous: Figures | None = None  # of the year before, where they change


class Allocations:
    """What ALLOCATE does to a market's holdings. O(blocks x log + years of the market)."""

    def __init__(
        self,
        holdings: Holdings,
        rulebook: Rulebook,
        check_fit: Callable[[Account, Figures, Cause], None],
        others: Others,
        waits: Waits,
    ) -> None:
        self._waits = waits
        self._check_fit = check_fit
        self._others = others
        self._holdings = holdings
        self._rulebook = rulebook

    def allocate(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """ALLOCATE `quantity` for the year `argument`, provisionally or finally."""
        case, effect = self._judge(item, instrument, cause)
        by = Signature(case.told.by, "authority")
        return self._waits(item, instrument, cause, by) or self._carry_out(case, effect)

    def allocate_approved(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """ALLOCATE that a second person approved."""
        return self._carry_out(*self._judge(item, instrument, cause))

    def _judge(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> tuple[_Case, _Effect]:
        """What is decided and what comes of it; RefusalError where the rules do not let it be."""
        told = given(item, WORDS)
        account, figures, rules = open_year(self._holdings, self._rulebook, item, instrument, cause)
        stage, method = told.words.get("stage", ""), told.words.get("method", "")
        if stage not in STAGES or method not in METHODS:
            raise RefusalError(
                RegistryReason.WORDS_NOT_READABLE,
                f"stage {stage!r}, method {method!r}: known are {', '.join(STAGES)} and "
                f"{', '.join(METHODS)}",
            )
        sector = told.words.get("sector", "") or figures.sector
        require_sector(self._rulebook, account, rules, sector)
        province = told.number("held_by")
        if province:
            self._others.require_province(province, account[0], rules, cause)
        case = _Case(
            item, instrument, cause, told, account, figures, rules, stage, method, sector, province
        )
        self._check_allowance(case)
        self._check_sector(case)
        if figures.final is not None or (
            stage == "provisional" and figures.provisional is not None
        ):
            raise RefusalError(
                RegistryReason.ALLOCATED_ALREADY,
                f"{account[1]} {account[2]} of account {account[0]}: provisional "
                f"{figures.provisional} t, final {figures.final} t",
            )
        effect = self._provisional(case) if stage == "provisional" else self._final(case)
        self._check_caps(case, effect)
        self._check_fit(account, effect.after, cause)
        return case, effect

    # -- what may be decided ----------------------------------------------------------------------

    def _check_allowance(self, case: _Case) -> None:
        """The instrument is an allowance of the year, or one that keeps vintages together."""
        year, vintage = case.account[2], case.instrument.vintage
        labels = case.rules.usable_vintages if case.rules else ()
        is_shared = any({year, vintage} <= set(vintage_years(label)) for label in labels)
        if case.instrument.kind != "allowance" or not (vintage in (0, year) or is_shared):
            raise RefusalError(
                RegistryReason.NOT_ALLOWANCE_OF_YEAR,
                f"{case.instrument.symbol} is {case.instrument.kind} of vintage {vintage}, not an "
                f"allowance of {year}",
            )

    def _check_sector(self, case: _Case) -> None:
        """What the rules say of the sector: no advance, no more than emissions, nothing free."""
        rules, sector, quantity = case.rules, case.sector, case.item.quantity
        scheme, year = case.account[1:]
        why = ""
        if rules is None:
            return
        if case.stage == "provisional" and not has_sector(self._rulebook, scheme, year, sector):
            why = f"gives {sector} no provisional allocation for {year}"
        is_equal = rules.new_sectors_allocation == "equal_to_verified_emissions" and is_new_sector(
            self._rulebook, scheme, rules, sector
        )
        if is_equal and case.stage == "final" and quantity != case.figures.verified:
            why = f"gives {sector} its verified emissions, {case.figures.verified} t"
        if rules.power_auction_share_bp == BP and sector == "power" and quantity:
            why = "auctions all allowances for power"
        if case.method == "intensity" and not why:
            why = self._against_intensity(case, rules)
        if why:
            raise RefusalError(
                RegistryReason.ALLOCATION_AGAINST_RULE,
                f"{quantity} t for account {case.account[0]}: rule {rules.id} {why}",
                rules.id,
                self._rulebook.citation(rules),
            )

    @staticmethod
    def _against_intensity(case: _Case, rules: ComplianceRules) -> str:
        verified, balance = case.figures.verified, case.told.number("balance")
        if rules.intensity_coefficient is None:
            return "knows no allocation by intensity"
        if verified is None or not balance:
            return "allocates by intensity from verified emissions and the sector's balance"
        figure = intensity_allocation(rules, verified, balance, case.told.number("intensity"))
        if figure.allocation_t == case.item.quantity:
            return ""
        return f"gives {figure.allocation_t} t: {figure.alpha_bp} basis points on {verified} t"

    def _check_caps(self, case: _Case, effect: _Effect) -> None:
        """The scheme's cap of the year over all that is issued, and the part that is free."""
        scheme, year = case.account[1:]
        serial = self._holdings.next_serial.get(case.instrument.product, 1) - 1 + effect.issued
        if serial > UNITS_ISSUED_MAX:
            raise RefusalError(
                RegistryReason.QUANTITY_OUT_OF_RANGE,
                f"{serial} t of {case.instrument.product} would have been issued; the limit is "
                f"{UNITS_ISSUED_MAX} t",
            )
        cap = cap_of(self._rulebook, scheme, year)
        vintage = case.instrument.vintage or year
        check_cap(self._holdings, self._rulebook, case.instrument, vintage, year, effect.issued)
        rules = case.rules
        if cap is None or rules is None or not rules.auction_share_bp:
            return
        free = sum(
            figures.annual or 0
            for key, figures in self._holdings.years.items()
            if key[1:] == (scheme, year) and key != case.account
        )
        free_cap = share(cap, BP - rules.auction_share_bp)
        self._refuse_above(case, "of free allocation", free + (effect.after.annual or 0), free_cap)

    def _refuse_above(self, case: _Case, name: str, amount: int, cap: int) -> None:
        if amount > cap:
            raise RefusalError(
                RegistryReason.ALLOCATION_ABOVE_CAP,
                f"{amount} t of {case.account[2]} would be above the cap {name}, {cap} t",
                case.rules.id if case.rules else "",
                self._rulebook.citation(case.rules) if case.rules else "",
            )

    # -- provisional ------------------------------------------------------------------------------

    def _provisional(self, case: _Case) -> _Effect:
        quantity, base = case.item.quantity, 0
        if not quantity:
            raise RefusalError(
                RegistryReason.QUANTITY_OUT_OF_RANGE, "a provisional allocation is at least 1 t"
            )
        rules = case.rules
        if rules is not None and rules.provisional_allocation_bp is not None:
            base = self._base(case, rules)
            most = share(base, rules.provisional_allocation_bp)
            if quantity > most:
                raise RefusalError(
                    RegistryReason.ALLOCATION_ABOVE_PROVISIONAL,
                    f"{quantity} t are above {most} t = {rules.provisional_allocation_bp} basis "
                    f"points of {base} t, {rules.provisional_base}",
                    rules.id,
                    self._rulebook.citation(rules),
                )
        after = case.figures._replace(sector=case.sector, provisional=quantity)
        return _Effect(after, base=base, issued=quantity)

    def _base(self, case: _Case, rules: ComplianceRules) -> int:
        """The base that the rules name: the registry's own figure where it has one, else given."""
        account, scheme, year = case.account
        rested_on = provisional_base(rules.provisional_base)
        known = None
        if rested_on is not None and rested_on.is_verified:
            of_year = (account, scheme, rested_on.year_of(year))
            known = self._holdings.years.get(of_year, Figures()).verified
        stated = case.told.number("base")
        base = known or stated
        if not base or (known and stated and stated != known):
            raise RefusalError(
                RegistryReason.ALLOCATION_BASE_UNKNOWN,
                f"rule {rules.id} rests on {rules.provisional_base}: the registry has {known} t, "
                f"given are {stated} t",
                rules.id,
                self._rulebook.citation(rules),
            )
        return base

    # -- final ------------------------------------------------------------------------------------

    def _final(self, case: _Case) -> _Effect:
        relief = self._relief(case)
        total = case.item.quantity + relief
        deducted, left, previous = self._deduction(case, total)
        had = case.figures.provisional or 0
        after = case.figures._replace(
            sector=case.sector,
            final=total,
            deducted=deducted,
            deduction=case.figures.deduction + left,
        )
        return _Effect(
            after,
            relief=relief,
            deducted=deducted,
            issued=max(0, total - deducted - had),
            too_much=max(0, had + deducted - total),
            previous=previous,
        )

    def _relief(self, case: _Case) -> int:
        """What lifts the allocation to the least share of verified emissions."""
        rules = case.rules
        if rules is None or rules.shortage_cap_bp_of_verified is None:
            return 0
        if case.figures.verified is None:
            raise RefusalError(
                RegistryReason.EMISSIONS_NOT_VERIFIED,
                f"the final allocation of {case.account[2]} rests on verified emissions: nobody is "
                f"short of more than {rules.shortage_cap_bp_of_verified} basis points of them",
                rules.id,
                self._rulebook.citation(rules),
            )
        is_exempt = rules.gas_units_exempt and case.sector == GAS
        most_bp = 0 if is_exempt else rules.shortage_cap_bp_of_verified
        return shortage_top_up(case.figures.verified, case.item.quantity, most_bp).top_up_t

    def _deduction(self, case: _Case, total: int) -> tuple[int, int, Figures | None]:
        """For a shortfall of the year before: what is taken, what is left to take, its figures."""
        before = (case.account[0], case.account[1], case.account[2] - 1)
        previous = self._holdings.years.get(before)
        if previous is None or not previous.deduction + previous.conditional:
            return 0, 0, None
        surrendered = self._holdings.surrendered.get(before, 0)
        pending = previous.deductible(surrendered)
        taken = min(pending, total)
        is_assessed = previous.shortfall is not None  # else this is left of an earlier year's
        closed = previous.closed + previous.owed(surrendered) * is_assessed
        after = previous._replace(deduction=0, conditional=0, closed=closed)
        return taken, pending - taken, after

    # -- carrying out -----------------------------------------------------------------------------

    def _carry_out(self, case: _Case, effect: _Effect) -> list[RegistryItem]:
        account, instrument, cause = case.account, case.instrument, case.cause
        returned, said = self._take_back(case, effect.too_much)
        gone = effect.too_much - tonnes(returned)
        after = effect.after._replace(added=effect.after.added + gone)
        instruction_id = case.item.instruction_id
        items: list[RegistryItem] = []
        if effect.previous is not None:
            before = (account[0], account[1], account[2] - 1)
            self._holdings.set_year(before, effect.previous)
            items.append(figures_item(instruction_id, before, effect.previous))
        self._holdings.set_year(account, after)
        items += [figures_item(instruction_id, account, after), *said]
        items += [
            AllocationReturned(
                instruction_id, account[0], instrument.id, account[2], tonnes(run),
                tuple(block.range for block in run),
            )
            for run in runs(returned)
        ]  # fmt: skip
        ranges: tuple[Range, ...] = ()
        held: list[RegistryItem] = []
        if effect.issued:
            vintage = instrument.vintage or account[2]
            block = self._holdings.issue(
                instrument.product, instrument.id, vintage, account[0], effect.issued, cause
            )
            ranges = (block.range,)
            if case.province:
                held = self._others.hold(block, case.province, instruction_id, cause)
        row = self._row(case, effect, tonnes(returned), gone)
        self._holdings.changes.allocations.append(row)
        items.append(_told(row, ranges))
        return items + held

    def _row(self, case: _Case, effect: _Effect, returned: int, gone: int) -> Allocation:
        return Allocation(
            case.item.instruction_id,
            case.account[0],
            case.instrument.id,
            case.account[1],
            case.account[2],
            case.stage,
            case.method,
            case.sector,
            effect.base,
            case.item.quantity,
            effect.relief,
            effect.deducted,
            effect.issued,
            returned,
            gone,
            case.rules.id if case.rules else "",
            case.told.by,
            int(self._is_late(case)),
            case.cause.time_ns,
        )

    def _take_back(self, case: _Case, quantity: int) -> tuple[list[Block], list[RegistryItem]]:
        """Cancels what was too much: held by a province, then free in the registry position."""
        gone: list[Block] = []
        said: list[RegistryItem] = []
        if not quantity:
            return gone, said
        entity = case.account[0]
        vintages = frozenset({case.instrument.vintage or case.account[2]})
        held = held_for(self._holdings, entity, case.instrument.id)
        for source in (*held, Place(entity, Position.REGISTRY, case.instrument.id)):
            taken = min(quantity - tonnes(gone), self._holdings.held_of(source, vintages))
            if not taken:
                continue
            blocks = self._holdings.retire(
                source, State.CANCELLED, taken, case.cause, vintages=vintages,
                kind=HistoryKind.RETURNED, entity=entity,
            )  # fmt: skip
            gone += blocks
            if source.account != entity:
                said += taken_back(case.item.instruction_id, source.account, entity, blocks)
        return gone, said

    def _is_late(self, case: _Case) -> bool:
        _, scheme, year = case.account
        on = self._rulebook.local_date(scheme, case.cause.time_ns)
        last = due(self._rulebook, scheme, case.rules, year, STAGES[case.stage], case.sector).day
        return last is not None and on > last


def cap_of(rulebook: Rulebook, scheme: str, year: int) -> int | None:
    """How many allowances a scheme issues for a year, tonnes; None: not known. O(rules)."""
    try:
        return scheme_cap(scheme_named(rulebook, scheme), year)
    except RulebookError:
        return None


def check_cap(
    holdings: Holdings,
    rulebook: Rulebook,
    instrument: Instrument,
    vintage: int,
    year: int,
    quantity: int,
) -> None:
    """RefusalError when allowances of a vintage would be more than the scheme's cap of a year.

    Over all that was ever issued of the vintage, except for credits given up. O(rules).
    """
    try:
        rules, cap = capped_by(scheme_named(rulebook, instrument.scheme), year)
    except RulebookError:
        return
    issued = holdings.issued_of(instrument.id, vintage) + quantity
    issued -= holdings.beside_cap(instrument.id, vintage)
    if issued > cap and quantity:
        raise RefusalError(
            RegistryReason.ALLOCATION_ABOVE_CAP,
            f"{issued} t of {year} would be above the cap of the scheme, {cap} t by {rules.id}",
            rules.id,
            rulebook.citation(rules),
        )


def _told(row: Allocation, ranges: tuple[Range, ...]) -> UnitsAllocated:
    return UnitsAllocated(
        row.instruction_id,
        row.account,
        row.instrument_id,
        row.scheme,
        row.year,
        row.stage,
        row.method,
        row.quantity,
        row.relief,
        row.deducted,
        row.issued,
        row.returned,
        row.added,
        row.given_by,
        bool(row.is_late),
        ranges,
    )
