"""The rule of the rulebook behind a refusal: the one that it names, or the one that governs it.

Who finds units over a cap knows the rule, and names it. Who finds an account blocked or a block of
units frozen knows the state of the books only: what makes that state forbid anything is a rule of
the registry, of the year, or of units as such, and is found here.
"""

from __future__ import annotations

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.settlement import InstructionPassed
from exchange.reference.venue import Instrument
from exchange.registry.refusals import RefusalError
from exchange.rulebook import Rulebook
from exchange.rulebook.book import UNIT_BLOCK
from exchange.rulebook.year import rules_of_year

USES = (Instruction.SURRENDER, Instruction.CANCEL, Instruction.EXCHANGE)
OF_REGISTRY = frozenset({  # the operating rule of the registry that keeps the scheme's units
    RegistryReason.NOT_ENOUGH_UNITS,
    RegistryReason.UNITS_FROZEN,
    RegistryReason.UNITS_PLEDGED,
    RegistryReason.NOT_FROZEN,
    RegistryReason.NOT_PLEDGED,
    RegistryReason.SAME_PERSON,
    RegistryReason.ACCOUNT_NOT_TRUSTED,
    RegistryReason.ACCOUNT_BLOCKED,
    RegistryReason.TOO_FEW_REPRESENTATIVES,
    RegistryReason.NOT_A_REPRESENTATIVE,
    RegistryReason.TRUSTED_ALREADY,
    RegistryReason.NOT_ON_TRUSTED_LIST,
    RegistryReason.TRANSFER_PAST_CANCELLING,
    RegistryReason.OTHER_SIDE_DECIDES,
    RegistryReason.ACCOUNT_NOT_CONFIRMED,
})  # fmt: skip
OF_UNITS = frozenset({RegistryReason.NOT_REVERSIBLE})
OF_YEAR = frozenset({  # what its scheme rules for the year that the instruction names
    RegistryReason.NO_OBLIGATION,
    RegistryReason.SURRENDER_ABOVE_OBLIGATION,
    RegistryReason.EMISSIONS_NOT_REPORTED,
    RegistryReason.EMISSIONS_SETTLED,
    RegistryReason.VERIFIER_IS_EMITTER,
    RegistryReason.EMISSIONS_NOT_VERIFIED,
    RegistryReason.YEAR_ASSESSED,
    RegistryReason.YEAR_NOT_OVER,
    RegistryReason.ALLOCATED_ALREADY,
    RegistryReason.NOT_FOR_ANOTHER,
})  # fmt: skip


def governing_rule(
    rulebook: Rulebook,
    refusal: RefusalError,
    item: InstructionPassed,
    instrument: Instrument | None,
    time_ns: int,
) -> tuple[str, str]:
    """The id of the rule behind a refusal, and its source in words. O(rules).

    ("", "") where no rule decides, but the form of what was asked (a word that is missing, a number
    out of range), or where the rulebook has none: no text on the pilots' registries is known.
    """
    rule = refusal.rule
    if not rule and instrument is not None:
        rule = _found(rulebook, refusal.reason, item, instrument, time_ns)
    return rule, refusal.source or rulebook.citation_of(rule)


def _found(
    rulebook: Rulebook,
    reason: RegistryReason,
    item: InstructionPassed,
    instrument: Instrument,
    time_ns: int,
) -> str:
    if reason in OF_UNITS:
        return UNIT_BLOCK
    if reason == RegistryReason.NOT_ENOUGH_UNITS and item.kind not in USES:
        return ""  # a plain shortage: what is used once is the registry's rule, no more
    if reason in OF_REGISTRY:
        kept = (rule.id for rule in rulebook.registry_rule if instrument.scheme in rule.schemes)
        return next(kept, "")
    if reason in OF_YEAR:
        on = rulebook.local_date(instrument.scheme, time_ns)
        rules = rules_of_year(rulebook, instrument.scheme, item.argument, on)
        return rules.id if rules is not None else ""
    return ""
