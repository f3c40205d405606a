"""A refusal names the rule that governs it, and its source, though who refused knew no rule."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.settlement import InstructionPassed
from exchange.registry.governing import OF_REGISTRY, OF_UNITS, OF_YEAR, governing_rule
from exchange.registry.refusals import RefusalError
from exchange.rulebook import load_rulebook
from tests.books_years import BY_SYMBOL, EMITTER, at

BOOK = load_rulebook()
NOW_NS = at("2025-03-01")
NOTHING = ("", "")
OF_FORM = frozenset({  # no rule decides: a word, a number or a name is not what it must be
    RegistryReason.QUANTITY_OUT_OF_RANGE,
    RegistryReason.REFERENCE_MISSING,
    RegistryReason.UNKNOWN_REGISTRY_ACCOUNT,
    RegistryReason.WORDS_NOT_READABLE,
    RegistryReason.REGISTRY_LIST_FULL,
})  # fmt: skip


def governed(symbol: str, error: RefusalError, year: int = 2024) -> tuple[str, str]:
    instrument = BY_SYMBOL[symbol]
    item = InstructionPassed(1, Instruction.SURRENDER, EMITTER, instrument.id, 1, year, "", "")
    return governing_rule(BOOK, error, item, instrument, NOW_NS)


@pytest.mark.parametrize("reason", sorted(OF_REGISTRY | OF_UNITS | OF_YEAR | OF_FORM))
@pytest.mark.parametrize(
    ("symbol", "registry", "of_year"),
    [
        ("EUA", "union-registry", "eu-ets-phase-4b"),
        ("CEA-2024", "cn-registry", "cn-2024"),
        ("GDEA", "", "gd-2016"),  # no text on a pilot's registry is known
    ],
)
def test_the_rule_of_the_registry_of_the_year_or_of_units(
    reason: RegistryReason, symbol: str, registry: str, of_year: str
) -> None:
    rule, source = governed(symbol, RefusalError(reason, "no"))
    expected = {OF_REGISTRY: registry, OF_UNITS: "unit_block", OF_YEAR: of_year, OF_FORM: ""}
    assert rule == next(name for group, name in expected.items() if reason in group)
    assert bool(source) == bool(rule)
    assert source == BOOK.citation_of(rule)


def test_no_reason_is_governed_by_two() -> None:
    groups = (OF_REGISTRY, OF_UNITS, OF_YEAR, OF_FORM)
    counts = Counter(reason for group in groups for reason in group)
    assert set(counts.values()) == {1}


def test_a_plain_shortage_is_no_matter_of_law() -> None:
    error = RefusalError(RegistryReason.NOT_ENOUGH_UNITS, "no")
    item = InstructionPassed(1, Instruction.DEPOSIT, EMITTER, BY_SYMBOL["EUA"].id, 1, 0, "", "")
    assert governing_rule(BOOK, error, item, BY_SYMBOL["EUA"], NOW_NS) == NOTHING


def test_what_a_refusal_names_itself_stays() -> None:
    named = RefusalError(RegistryReason.NOT_ENOUGH_UNITS, "no", "cn-2024-ccer", "page 7")
    assert governed("EUA", named) == ("cn-2024-ccer", "page 7")
    cited = RefusalError(RegistryReason.NOT_ENOUGH_UNITS, "no", "cn-2024-ccer")
    assert governed("EUA", cited) == (
        "cn-2024-ccer", BOOK.citation_of("cn-2024-ccer"),
    )  # fmt: skip


def test_a_year_or_an_instrument_without_rules_names_none() -> None:
    error = RefusalError(RegistryReason.NO_OBLIGATION, "no")
    assert governed("CEA-2024", error, 1999) == NOTHING
    item = InstructionPassed(1, Instruction.SURRENDER, EMITTER, 999, 1, 2024, "", "")
    assert governing_rule(BOOK, error, item, None, NOW_NS) == NOTHING
    elsewhere = msgspec.structs.replace(BY_SYMBOL["EUA"], scheme="moon")
    blocked = RefusalError(RegistryReason.ACCOUNT_BLOCKED, "no")
    assert governing_rule(BOOK, blocked, item, elsewhere, NOW_NS) == NOTHING


def test_no_id_of_a_rule_means_two() -> None:
    assert [
        key for key, count in Counter(key for key, _ in BOOK.rules()).items() if count > 1
    ] == []
