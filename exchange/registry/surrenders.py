"""What a surrender for a compliance year is checked against: vintages, caps, days.

Allowances go oldest first, those of vintages that do not count left where they are. A surrender
after the last day is taken and marked late; offsets after the last day to apply for their use are
refused where the rules name one.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

from exchange.messages.reasons import RegistryReason
from exchange.messages.settlement import InstructionPassed
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Block, Position, tonnes
from exchange.registry.holdings import Holdings
from exchange.registry.projects import choose, choose_eligible, credit_of, project_wanted
from exchange.registry.refusals import RefusalError, require_free
from exchange.registry.rows import Cause, Place
from exchange.registry.saga_texts import Wanted
from exchange.registry.years import Account, Figures
from exchange.rulebook import (
    OffsetRule,
    Rulebook,
    check_surrender,
    check_vintage,
    offset_cap,
)
from exchange.rulebook.allocation import borrowing
from exchange.rulebook.eligibility import Credit, unfit_all
from exchange.rulebook.offsets import BP, cap_text, exceeded
from exchange.rulebook.selection import (
    VintageVerdict,
    check_mixed_vintage,
    is_exchange,
    not_surrendered_by,
    rules_in_force,
    rules_of_group,
)
from exchange.rulebook.shapes import ComplianceRules
from exchange.rulebook.vintages import is_among
from exchange.rulebook.year import (
    SURRENDER,
    cap_years,
    due,
    ends_ns,
    period_base,
    rules_of_year,
)


class _Asked(TypedDict):
    scheme_id: str
    emission_year: int
    on: dt.date


class SurrenderChecks:
    """What a surrender asks of the rulebook and of a market's holdings."""

    def __init__(
        self, holdings: Holdings, instruments: Mapping[int, Instrument], rulebook: Rulebook
    ) -> None:
        self._holdings = holdings
        self._instruments = instruments
        self._rulebook = rulebook

    def check_fit(
        self,
        account: Account,
        figures: Figures,
        cause: Cause,
        undone: Mapping[tuple[str, int], int] | None = None,
    ) -> None:
        """RefusalError when figures, or what is undone, leave more offsets than the limits let.

        `undone` is what would be given back, by product and project. O(rules + credits used).
        """
        on = self._rulebook.local_date(account[1], cause.time_ns)
        rules = self._rules(account, on)
        if rules is None:
            return
        used = self._used_credits(account, cap_years(rules, account[2]), undone)
        if not used:
            return
        bases = self._bases(account, figures, rules)
        try:
            over = exceeded(rules, emission_year=account[2], bases=bases, used=used)
        except KeyError:  # a base that is not known yet: nothing can be said
            return
        for limit in over:
            rule = next(rule for rule in rules.offset if rule.id == limit.rule_id)
            text = f"{limit.name} would be {limit.limit_t} t, {-limit.left_t} t less than is used"
            if limit.kind == "rule":
                text = (
                    f"with {rule.cap_base} of {bases[rule.cap_base]} t rule {rule.id} "
                    f"would cap them at {limit.limit_t} t"
                )
            raise RefusalError(
                RegistryReason.OFFSET_CAP_EXCEEDED,
                f"offsets are surrendered already for {account[2]}; {text}",
                rule.id,
                self._rulebook.citation(rule),
            )

    def admit_offset(
        self,
        item: InstructionPassed,
        instrument: Instrument,
        cause: Cause,
        figures: Figures,
        held: Sequence[Credit] = (),
    ) -> str:
        """The rule that takes credits which another registry keeps, or RefusalError. O(rules).

        Of credits that are not `held` there yet no more is known than what the instrument says;
        what they are is for that registry to check, and how many of them pass, again then.
        """
        account = (item.account_id, instrument.scheme, item.argument)
        rules, rule, on = self._rule_for(item, instrument, cause)
        source = self._rulebook.citation(rule)
        unfit = unfit_all(
            rule, instrument.product, on, generation=instrument.generation,
            project_types=instrument.project_types, regions=instrument.regions,
        )  # fmt: skip
        if unfit:
            text = f"{item.quantity} t of {instrument.product} refused: {unfit}"
            raise RefusalError(RegistryReason.UNIT_NOT_ELIGIBLE, text, rule.id, source)
        used, own, by_others = self._use(account, rules, rule)
        bases = self._bases(account, figures, rules)
        asked = held or [Credit(instrument.product, item.quantity)]
        try:
            over = exceeded(
                rules, emission_year=item.argument, bases=bases, used=[*used, *asked],
                scheme_used_t=by_others,
            )  # fmt: skip
        except KeyError as error:
            text = f"rule {rule.id}: {error.args[0]}"
            raise RefusalError(RegistryReason.UNIT_NOT_ELIGIBLE, text, rule.id, source) from None
        for limit in over:
            if not held and limit.kind not in ("rule", "group", "scheme"):
                continue
            text, left_t = f"{limit.name}: {limit.limit_t} t", max(0, limit.left_t + item.quantity)
            if limit.kind == "rule":
                base_t = bases[rule.cap_base]
                text = cap_text(rule, instrument.product, item.argument, base_t)
                text += f"; used {own} t"
            raise RefusalError(
                RegistryReason.OFFSET_CAP_EXCEEDED,
                f"{item.quantity} t of {instrument.product} refused: {text}, headroom {left_t} t",
                limit.rule_id,
                source,
            )
        return rule.id

    def choose_held(
        self, wanted: Wanted, account: int, instrument: Instrument, quantity: int
    ) -> dict[int, int]:
        """Tonnes of each block, by id, that another registry's rules take for what they are.

        RefusalError when there are fewer. O(blocks).
        """
        on = self._rulebook.local_date(wanted.scheme, wanted.asked_ns)
        rules = rules_in_force(self._rulebook, wanted.scheme, wanted.year, on)
        if rules is None:
            raise RefusalError(
                RegistryReason.UNIT_NOT_ELIGIBLE,
                f"no rules of {wanted.scheme[:40]} for {wanted.year} are known of {on}",
            )
        lots = self._lots(account, instrument, quantity, wanted.project)
        choice = choose_eligible(rules, lots, quantity, on)
        if choice.refusal:
            source = self._rulebook.citation(rules)
            raise RefusalError(
                RegistryReason.UNIT_NOT_ELIGIBLE, choice.refusal, choice.rule_id, source
            )
        return choice.taken

    def _rule_for(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> tuple[ComplianceRules, OffsetRule, dt.date]:
        """The rules of the day, and that for the credit; RefusalError where none lets it be."""
        account = (item.account_id, instrument.scheme, item.argument)
        self.check_application(account, cause)
        on = self._rulebook.local_date(instrument.scheme, cause.time_ns)
        rules = self._rules(account, on)
        offsets = rules.offset if rules is not None else ()
        rule = next((rule for rule in offsets if instrument.product in rule.credit_types), None)
        if rule is None or rules is None:
            raise self._no_rule(item, instrument, on)
        if is_exchange(rule):
            raise RefusalError(
                RegistryReason.UNIT_NOT_ELIGIBLE,
                f"under rule {rule.id} {instrument.product} is exchanged for allowances, and not "
                "surrendered",
                rule.id,
                self._rulebook.citation(rule),
            )
        return rules, rule, on

    def choose_offsets(
        self,
        item: InstructionPassed,
        instrument: Instrument,
        cause: Cause,
        figures: Figures,
        held: Place | None = None,
    ) -> tuple[str, dict[int, int]]:
        """The rule that takes the credits, and tonnes of each block, by id. O(blocks).

        Of those that are `held` for it, or else of the free ones.
        """
        account = (item.account_id, instrument.scheme, item.argument)
        rules, rule, on = self._rule_for(item, instrument, cause)
        source = self._rulebook.citation(rule)
        used, _, by_others = self._use(account, rules, rule)
        try:
            choice = choose(
                rules,
                self._lots(
                    item.account_id, instrument, item.quantity, project_wanted(item.notes), held
                ),
                item.quantity,
                emission_year=item.argument,
                on=on,
                bases=self._bases(account, figures, rules),
                used=used,
                scheme_used_t=by_others,
            )
        except KeyError as error:
            raise RefusalError(
                RegistryReason.UNIT_NOT_ELIGIBLE,
                f"rule {rule.id}: {error.args[0]}",
                rule.id,
                source,
            ) from None
        if choice.refusal:
            reason = (
                RegistryReason.OFFSET_CAP_EXCEEDED
                if choice.is_eligible
                else RegistryReason.UNIT_NOT_ELIGIBLE
            )
            raise RefusalError(reason, choice.refusal, choice.rule_id, source)
        return choice.rule_id, choice.taken

    def _no_rule(
        self, item: InstructionPassed, instrument: Instrument, on: dt.date
    ) -> RefusalError:
        verdict = check_surrender(
            self._rulebook,
            scheme_id=instrument.scheme,
            emission_year=item.argument,
            on=on,
            product=instrument.product,
            generation=instrument.generation,
            quantity_t=item.quantity,
            bases={},
            used_t=0,
        )
        return RefusalError(
            RegistryReason.UNIT_NOT_ELIGIBLE, verdict.refusal, verdict.rule_id, verdict.source
        )

    def _lots(
        self,
        account: int,
        instrument: Instrument,
        quantity: int,
        wanted: int,
        held: Place | None = None,
    ) -> list[tuple[Block, Credit]]:
        """The blocks that may be taken, oldest first, as credits; RefusalError: too few."""
        if held is None:
            require_free(self._holdings, account, instrument, quantity)
        place = held or Place(account, Position.REGISTRY, instrument.id)
        lots = [
            (block, self._credit(instrument, block.project, block.quantity, block.period_from))
            for block in self._holdings.lying(place)
            if wanted in (0, block.project)
        ]
        if tonnes(block for block, _ in lots) < quantity:
            raise RefusalError(
                RegistryReason.NOT_ENOUGH_UNITS,
                f"account {account} has less than {quantity} t of project {wanted}",
            )
        return lots

    def _credit(
        self, instrument: Instrument, number: int, quantity: int, period_from: int = 0
    ) -> Credit:
        if instrument.kept_by:
            details = self._holdings.foreign.get((instrument.product, number))
            return credit_of(instrument, details, quantity, period_from)
        project = self._holdings.projects.get(number)
        return credit_of(instrument, project.details if project else None, quantity, period_from)

    def _rules(self, account: Account, on: dt.date) -> ComplianceRules | None:
        """The rules in force, with the offsets of the account's group where it has its own."""
        entitlement = self._holdings.entitlements.get(account[:2])
        group = entitlement.applies_to if entitlement is not None else ""
        return rules_of_group(self._rulebook, account[1], account[2], on, group)

    def _bases(self, account: Account, figures: Figures, rules: ComplianceRules) -> dict[str, int]:
        """The amounts that caps name, with the figures of the account's year as given."""
        owner, scheme, year = account
        verified = {
            one: self._holdings.years.get((owner, scheme, one), Figures()).verified
            for one in cap_years(rules, year)
        }
        return figures.bases | period_base(rules, year, verified | {year: figures.verified})

    def _use(
        self, account: Account, rules: ComplianceRules, rule: OffsetRule
    ) -> tuple[list[Credit], int, int]:
        """The credits that caps count already, how many of the rule's, and how many of others."""
        years = cap_years(rules, account[2])
        used = self._used_credits(account, years)
        own = sum(credit.quantity_t for credit in used if credit.unit in rule.credit_types)
        by_all = sum(
            self._holdings.used_of_scheme(account[1], year, rule.credit_types) for year in years
        )
        return used, own, by_all - own

    def _used_credits(
        self,
        account: Account,
        years: Iterable[int],
        undone: Mapping[tuple[str, int], int] | None = None,
    ) -> list[Credit]:
        by_product = {item.product: item for item in self._instruments.values()}
        total: dict[tuple[str, int], int] = defaultdict(int)
        for year in years:
            for what, quantity in self._holdings.credits.get((*account[:2], year), {}).items():
                total[what] += quantity
        for what, quantity in (undone or {}).items():
            total[what] -= quantity
        return [
            self._credit(by_product[product], project, quantity)
            for (product, project), quantity in total.items()
            if quantity > 0
        ]

    def use_bp(self, account: Account, product: str, time_ns: int) -> int:
        """How much of the cap on a credit an account has used, basis points. O(rules + credits)."""
        rules = self._rules(account, self._rulebook.local_date(account[1], time_ns))
        for rule in rules.offset if rules is not None else ():
            if rules is None or product not in rule.credit_types:
                continue
            figures = self._holdings.years.get(account, Figures())
            base_t = self._bases(account, figures, rules).get(rule.cap_base, 0)
            cap_t = offset_cap(rule, base_t, account[2])
            return self._use(account, rules, rule)[1] * BP // cap_t if cap_t else 0
        return 0

    def check_application(self, account: Account, cause: Cause) -> None:
        """Offsets are applied for until a day, where the rules name one."""
        on = self._rulebook.local_date(account[1], cause.time_ns)
        rules = rules_in_force(self._rulebook, account[1], account[2], on)
        last = rules.surrender.ccer_application_due if rules and rules.surrender else None
        if rules is not None and last is not None and on > last:
            raise RefusalError(
                RegistryReason.OFFSET_APPLICATION_CLOSED,
                f"the use of offsets for {account[2]} was to be applied for until {last}; it is "
                f"{on}",
                rules.id,
                self._rulebook.citation(rules),
            )

    def vintages(
        self,
        item: InstructionPassed,
        instrument: Instrument,
        cause: Cause,
        figures: Figures,
        place: Place,
    ) -> frozenset[int] | None:
        """The vintages at a place that count, None for an instrument of one, which does."""
        self._check_reserved(item, instrument, cause)
        if instrument.vintage:
            verdict = check_vintage(
                self._rulebook, **_asked(item, instrument, self._day(instrument, cause)),
                vintage=instrument.vintage,
            )  # fmt: skip
            if verdict.refusal:
                raise _not_eligible(item, instrument, verdict)
            if verdict.is_borrowed:
                self._check_borrowing(item, instrument, cause, figures)
            return None
        counting, barred = set(), None
        held = 0
        for vintage, quantity in self._holdings.vintages(place).items():
            verdict = check_mixed_vintage(
                self._rulebook, **_asked(item, instrument, self._day(instrument, cause)),
                vintage=vintage,
            )  # fmt: skip
            if verdict.refusal:
                barred = barred or verdict
                continue
            counting.add(vintage)
            held += quantity
        if barred is None:
            return None
        if held < item.quantity <= self._holdings.held(*place):
            raise _not_eligible(item, instrument, barred)
        return frozenset(counting)

    def _check_reserved(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> None:
        """RefusalError for units that accounts of another type surrender. O(rules)."""
        on = self._day(instrument, cause)
        rules = rules_in_force(self._rulebook, instrument.scheme, item.argument, on)
        kind = self._holdings.standings.of(item.account_id).kind
        why = not_surrendered_by(rules, instrument.product, kind)
        if why and rules is not None:
            raise RefusalError(
                RegistryReason.UNIT_NOT_ELIGIBLE,
                f"{item.quantity} t of {instrument.symbol} refused: {why}",
                rules.id,
                self._rulebook.citation(rules),
            )

    def _day(self, instrument: Instrument, cause: Cause) -> dt.date:
        return self._rulebook.local_date(instrument.scheme, cause.time_ns)

    def _check_borrowing(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause, figures: Figures
    ) -> None:
        """RefusalError for more of a later vintage than the shortage lets be borrowed. O(rules)."""
        account = (item.account_id, instrument.scheme, item.argument)
        on = self._day(instrument, cause)
        rules = rules_in_force(self._rulebook, account[1], account[2], on)
        if rules is None:  # nothing is borrowed where no rules are in force
            return
        used_t = sum(
            self._holdings.surrendered_of.get((account, other.id), 0)
            for other in self._instruments.values()
            if other.kind == "allowance" and is_among(other.vintage, rules.borrowed_vintages)
        )
        found = borrowing(rules, figures.verified, figures.final, used_t)
        if item.quantity <= found.left_t:
            return
        known = "is not known yet" if figures.final is None else f"is {figures.final} t"
        raise RefusalError(
            RegistryReason.BORROWING_ABOVE_LIMIT,
            f"{item.quantity} t of {instrument.symbol} refused: the final allocation {known}, so "
            f"rule {rules.id} lets {found.limit_t} t be borrowed for {item.argument}; "
            f"used {used_t} t, headroom {found.left_t} t",
            rules.id,
            self._rulebook.citation(rules),
        )

    def is_late(self, account: Account, cause: Cause) -> bool:
        """Whether the last day to surrender for a year is over. O(rules)."""
        _, scheme, year = account
        on = self._rulebook.local_date(scheme, cause.time_ns)
        rules = rules_of_year(self._rulebook, scheme, year, on)
        last = due(self._rulebook, scheme, rules, year, SURRENDER).day
        return last is not None and cause.time_ns >= ends_ns(
            self._rulebook, scheme, rules, year, last
        )


def _asked(item: InstructionPassed, instrument: Instrument, on: dt.date) -> _Asked:
    return {"scheme_id": instrument.scheme, "emission_year": item.argument, "on": on}


def _not_eligible(
    item: InstructionPassed, instrument: Instrument, verdict: VintageVerdict
) -> RefusalError:
    return RefusalError(
        RegistryReason.UNIT_NOT_ELIGIBLE,
        f"{item.quantity} t of {instrument.symbol} refused: {verdict.refusal}",
        verdict.rule_id,
        verdict.source,
    )
