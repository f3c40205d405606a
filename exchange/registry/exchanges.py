"""Credits exchanged for allowances, as in the EU's third phase: given up for good, one for one.

A rule whose use is an exchange lets no credit be surrendered. The authority states for each account
its group and the base of its entitlement; what the rules for the group let pass is retired, and as
many allowances of the scheme are issued, beside its cap. Entitlements are of a whole period.
Sources: Directive 2003/87/EC Article 11a; Regulation (EU) 389/2013 on the transaction; Regulation
(EU) 1123/2013 on the entitlements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import CreditsExchanged, EntitlementSet, RegistryItem
from exchange.messages.settlement import InstructionPassed
from exchange.reference.venue import Instrument
from exchange.registry.blocks import HistoryKind, Position, State, runs, tonnes
from exchange.registry.compliance_year import given
from exchange.registry.holdings import Holdings, projects_of
from exchange.registry.projects import Choice, choose, credit_of
from exchange.registry.refusals import RefusalError, require_account, require_free
from exchange.registry.rows import Cause, CreditExchange, Entitlement, Place
from exchange.registry.years import Account, Figures
from exchange.rulebook import OffsetRule, Rulebook
from exchange.rulebook.eligibility import Credit
from exchange.rulebook.offsets import exceeded
from exchange.rulebook.selection import groups_of, is_exchange, rules_in_force
from exchange.rulebook.shapes import ComplianceRules
from exchange.rulebook.year import rules_of_year

ENTITLEMENT = "phase2_free_allocation_or_phase2_entitlement"
EMITTED = "verified_emissions_2013_2020"
_PERIOD = range(2013, 2021)


class Exchanges:
    """What entitlements and exchanges do to a market's holdings."""

    def __init__(
        self,
        holdings: Holdings,
        instruments: Mapping[int, Instrument],
        rulebook: Rulebook,
        check_fit: Callable[[Account, Figures, Cause], None],
    ) -> None:
        self._check_fit = check_fit
        self._holdings = holdings
        self._instruments = instruments
        self._rulebook = rulebook

    def entitle(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """SET_ENTITLEMENT: the group of an account and the base of its entitlement, t. O(rules).

        The caps on what it surrenders are those of its group, too. A later one takes the place of
        an earlier one, but leaves what was exchanged counted.
        """
        told = given(item, ("group",))
        require_account(self._holdings, item.account_id)
        group = told.words.get("group", "")
        known = groups_of(self._rulebook, instrument.scheme)
        if group not in known:
            raise RefusalError(
                RegistryReason.ENTITLEMENT_UNKNOWN,
                f"group {group[:20]!r} of {instrument.scheme} is none of {', '.join(known)}",
            )
        row = Entitlement(
            item.instruction_id, item.account_id, instrument.scheme, group, item.quantity, told.by,
            cause.time_ns,
        )  # fmt: skip
        self._holdings.add_entitlement(row)
        return [EntitlementSet(*row[:-1])]

    def exchange(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """EXCHANGE of credits for allowances of instrument `argument`. O(blocks of the account)."""
        told = given(item, ())
        allowance = self._allowance(item, instrument)
        entitlement = self._holdings.entitlements.get((item.account_id, instrument.scheme))
        if entitlement is None:
            raise RefusalError(
                RegistryReason.ENTITLEMENT_UNKNOWN,
                f"no entitlement of account {item.account_id} in {instrument.scheme} is stated",
            )
        on = self._rulebook.local_date(instrument.scheme, cause.time_ns)
        rules = rules_in_force(self._rulebook, instrument.scheme, on.year, on)
        rule = _rule(rules, instrument, entitlement.applies_to)
        if rules is None or rule is None:
            raise RefusalError(
                RegistryReason.UNIT_NOT_ELIGIBLE,
                f"no rule of {instrument.scheme} lets {entitlement.applies_to} accounts exchange "
                f"{instrument.product} on {on}",
            )
        require_free(self._holdings, item.account_id, instrument, item.quantity)
        place = Place(item.account_id, Position.REGISTRY, instrument.id)
        lots = [
            (block, self._credit(instrument, block.project, block.quantity, block.period_from))
            for block in self._holdings.lying(place)
        ]
        choice = choose(
            rules,
            lots,
            item.quantity,
            emission_year=on.year,
            on=on,
            bases=self._bases(item.account_id, entitlement),
            used=self._used(item.account_id, instrument.scheme),
            scheme_used_t=0,
            applies_to=entitlement.applies_to,
        )
        if choice.refusal:
            reason = (
                RegistryReason.OFFSET_CAP_EXCEEDED
                if choice.is_eligible
                else RegistryReason.UNIT_NOT_ELIGIBLE
            )
            source = self._rulebook.citation(rule)
            raise RefusalError(reason, choice.refusal, choice.rule_id, source)
        return self._carry_out(item, instrument, allowance, choice, told.by, cause)

    def check_verified(self, account: Account, figures: Figures, cause: Cause) -> None:
        """RefusalError when verified emissions leave too much surrendered, or exchanged.

        O(rules + years of the period + credits used).
        """
        self._check_fit(account, figures, cause)
        number, scheme, year = account
        entitlement = self._holdings.entitlements.get((number, scheme))
        used = self._used(number, scheme)
        if year not in _PERIOD or entitlement is None or not used:
            return
        on = self._rulebook.local_date(scheme, cause.time_ns)
        rules = rules_of_year(self._rulebook, scheme, year, on)
        if rules is None:
            return
        bases = self._bases(number, entitlement, {year: figures})
        try:
            over = exceeded(
                rules, emission_year=year, bases=bases, used=used,
                applies_to=entitlement.applies_to,
            )  # fmt: skip
        except KeyError:  # a base that the rules of a group do not name
            return
        for limit in over:
            rule = next(rule for rule in rules.offset if rule.id == limit.rule_id)
            raise RefusalError(
                RegistryReason.OFFSET_CAP_EXCEEDED,
                f"credits are exchanged already; with {rule.cap_base} of "
                f"{bases[rule.cap_base]} t {limit.name} would be {limit.limit_t} t, "
                f"{-limit.left_t} t less than were",
                rule.id,
                self._rulebook.citation(rule),
            )

    def _carry_out(
        self,
        item: InstructionPassed,
        instrument: Instrument,
        allowance: Instrument,
        choice: Choice,
        by: str,
        cause: Cause,
    ) -> list[RegistryItem]:
        place = Place(item.account_id, Position.REGISTRY, instrument.id)
        gone = self._holdings.retire(
            place, State.CANCELLED, item.quantity, cause,
            chosen=choice.taken, kind=HistoryKind.EXCHANGED,
        )  # fmt: skip
        on = self._rulebook.local_date(instrument.scheme, cause.time_ns)
        vintage = allowance.vintage or on.year
        for project, quantity in projects_of(gone).items():
            whose = (item.account_id, instrument.scheme, instrument.id, allowance.id)
            row = CreditExchange(
                item.instruction_id, project, *whose, vintage, quantity, choice.rule_id, by,
                cause.time_ns,
            )  # fmt: skip
            self._holdings.add_exchange(row)
        items: list[RegistryItem] = []
        for run in runs(gone):
            block = self._holdings.issue(
                allowance.product, allowance.id, vintage, item.account_id,
                tonnes(run), cause,
            )  # fmt: skip
            named = (item.instruction_id, item.account_id, instrument.id, allowance.id)
            ranges = tuple(each.range for each in run)
            told = (*named, tonnes(run), choice.rule_id, by, ranges, (block.range,))
            items.append(CreditsExchanged(*told, vintage))
        return items

    def _allowance(self, item: InstructionPassed, instrument: Instrument) -> Instrument:
        found = self._instruments.get(item.argument)
        fits = found is not None and (found.kind, found.scheme) == ("allowance", instrument.scheme)
        if found is None or not fits or instrument.kind != "offset":
            raise RefusalError(
                RegistryReason.NOT_ALLOWANCE_OF_YEAR,
                f"{instrument.symbol} is exchanged for an allowance of {instrument.scheme}; "
                f"instrument {item.argument} is none",
            )
        return found

    def _bases(
        self, account: int, entitlement: Entitlement, changed: Mapping[int, Figures] = {}
    ) -> dict[str, int]:
        """The amounts that caps name, with the figures of some years as they would be."""
        emitted = 0
        for year in _PERIOD:
            key = (account, entitlement.scheme, year)
            figures = changed.get(year) or self._holdings.years.get(key, Figures())
            emitted += figures.verified or 0
        return {ENTITLEMENT: entitlement.base, EMITTED: emitted}

    def _used(self, account: int, scheme: str) -> list[Credit]:
        return [
            self._credit(self._instruments[instrument], project, quantity)
            for (instrument, project), quantity in self._holdings.exchanged_by(
                account, scheme
            ).items()
        ]

    def _credit(
        self, instrument: Instrument, number: int, quantity: int, period_from: int = 0
    ) -> Credit:
        project = self._holdings.projects.get(number)
        return credit_of(instrument, project.details if project else None, quantity, period_from)


def _rule(
    rules: ComplianceRules | None, instrument: Instrument, applies_to: str
) -> OffsetRule | None:
    for rule in rules.offset if rules is not None else ():
        is_for = instrument.product in rule.credit_types and rule.applies_to == applies_to
        if is_for and is_exchange(rule):
            return rule
    return None
