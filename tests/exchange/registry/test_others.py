"""What a province holds for an entity at risk, and who surrenders for another."""

from __future__ import annotations

import pytest

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    AllocationReturned,
    InstructionRefused,
    RegistryItem,
    UnitsAllocated,
    UnitsMoved,
    UnitsSurrendered,
    YearAssessed,
)
from exchange.messages.settlement import AccountOpened
from exchange.registry.blocks import Position
from exchange.registry.rows import Cause, Place
from gateway.views.holdings import HoldingKey
from gateway.views.holdings import Holdings as Shown
from tests.books_years import BY_SYMBOL, EMITTER, OTHER, Office, allocation

ALLOCATE, SURRENDER = Instruction.ALLOCATE, Instruction.SURRENDER
UNFREEZE, SET_TYPE = Instruction.UNFREEZE, Instruction.SET_ACCOUNT_TYPE
CEA, PROVINCE, YEAR = "CEA-2024", 205, 2024
HELD = Place(PROVINCE, Position.FROZEN, BY_SYMBOL[CEA].id, EMITTER)
FREE = Place(EMITTER, Position.REGISTRY, BY_SYMBOL[CEA].id)
BY_PROVINCE = f"\nheld_by {PROVINCE}"
OF_THE_ENTITY = f"for {EMITTER}"


class Registry(Office):
    """An office whose every word a gateway follows, too."""

    def __init__(self, day: str) -> None:
        self.shown = Shown()
        super().__init__(day)

    def act(self, *args: object, **named: object) -> list:  # type: ignore[override, type-arg]
        said = super().act(*args, **named)  # type: ignore[arg-type]
        for item in said:
            self.shown.apply(item)
        return said

    def held(self, place: Place) -> int:
        """Tonnes at a place; the gateway shows as many."""
        total = self.holdings.held(*place)
        key = HoldingKey(place.account, place.instrument_id, Position(place.position).name)
        assert self.shown.quantity(key) == total
        return total


@pytest.fixture
def office() -> Registry:
    """Nothing is owed yet; there is a province's account."""
    office = Registry("2025-04-01")
    office.registrar.apply(AccountOpened(PROVINCE, 7), 0, office.time_ns)
    office.act(SET_TYPE, CEA, text="office\ncn_provincial_authority", account=PROVINCE)
    return office


def given(office: Registry, quantity: int, owed: int, stage: str = "final") -> None:
    """The entity owes, and the province has its allowances."""
    office.owe(CEA, owed, YEAR)
    office.on("2025-08-20").done(
        UnitsAllocated, ALLOCATE, CEA, quantity, YEAR, allocation(stage) + BY_PROVINCE
    )


def test_allowances_of_an_entity_at_risk_lie_with_its_province(office: Registry) -> None:
    office.owe(CEA, 100, YEAR)
    said = office.act(ALLOCATE, CEA, 120, YEAR, allocation("final") + BY_PROVINCE)
    granted, moved = said[-2:]
    assert isinstance(granted, UnitsAllocated)
    assert isinstance(moved, UnitsMoved)
    assert (granted.account_id, granted.issued) == (EMITTER, 120)
    assert (moved.cause, moved.from_account, moved.to_account) == ("HOLD_FOR", EMITTER, PROVINCE)
    assert moved.ranges == granted.ranges
    assert (office.held(HELD), office.held(FREE)) == (120, 0)
    assert office.figures(CEA, YEAR).final == 120  # the entity's own, wherever they lie
    # Neither the province nor the entity disposes of them; the courts' door is not theirs.
    for account in (PROVINCE, EMITTER):
        for kind, argument in ((Instruction.TRANSFER, OTHER), (Instruction.DEPOSIT, 0)):
            refusal = office.refused(kind, CEA, 1, argument, "ann\nx", account=account)
            assert refusal.reason == RegistryReason.NOT_ENOUGH_UNITS
    refusal = office.refused(UNFREEZE, CEA, 1, 0, "ann\nx", account=PROVINCE)
    assert refusal.reason == RegistryReason.NOT_FROZEN


def test_forced_surrender_first_then_the_rest_is_released(office: Registry) -> None:
    given(office, 120, 100)
    early = office.refused(UNFREEZE, CEA, 20, EMITTER, "ann\nrest", account=PROVINCE)
    assert (early.reason, early.rule) == (RegistryReason.NOT_RELEASED_YET, "cn-2024")
    assert "100 t are still owed for 2024" in early.text
    for quantity, words in ((101, "the 100 t still owed"), (121, "holds 120 t for account 203")):
        refusal = office.refused(SURRENDER, CEA, quantity, YEAR, OF_THE_ENTITY, account=PROVINCE)
        assert words in refusal.text
    office.done(UnitsSurrendered, SURRENDER, CEA, 99, YEAR, OF_THE_ENTITY, account=PROVINCE)
    early = office.refused(UNFREEZE, CEA, 20, EMITTER, "ann\nrest", account=PROVINCE)
    assert "1 t are still owed for 2024" in early.text
    said = office.act(SURRENDER, CEA, 1, YEAR, OF_THE_ENTITY, account=PROVINCE)
    moved, forced = said
    assert isinstance(moved, UnitsMoved)
    assert isinstance(forced, UnitsSurrendered)
    assert (moved.cause, forced.account_id) == ("FORCED_SURRENDER", EMITTER)
    assert office.shown.given(EMITTER, YEAR, [BY_SYMBOL[CEA].id]) == 100
    assert office.holdings.surrendered[EMITTER, "cn-national", YEAR] == 100
    above = office.refused(UNFREEZE, CEA, 21, EMITTER, "ann\nrest", account=PROVINCE)
    assert above.reason == RegistryReason.NOT_FROZEN
    nobody = office.refused(UNFREEZE, CEA, 20, EMITTER, "ann", account=PROVINCE)
    assert nobody.reason == RegistryReason.REFERENCE_MISSING
    office.done(UnitsMoved, UNFREEZE, CEA, 20, EMITTER, "ann\nrest", account=PROVINCE)
    assert (office.held(HELD), office.held(FREE)) == (0, 20)


def year_ends(office: Registry) -> list[RegistryItem]:
    """Midnight after the last day to surrender for 2024, in China."""
    said = office.pass_time("2025-12-31T16:00:00")
    for item in said:
        office.shown.apply(item)
    return said


@pytest.mark.parametrize(
    ("held", "owed", "taken"), [(120, 100, 100), (100, 100, 100), (99, 100, 99), (80, 100, 80)]
)
def test_what_a_province_holds_is_surrendered_without_being_asked(
    office: Registry, held: int, owed: int, taken: int
) -> None:
    given(office, held, owed)
    assert office.pass_time("2025-12-31T15:59:59") == []
    moved, forced, *rest = year_ends(office)
    assert isinstance(moved, UnitsMoved)
    assert isinstance(forced, UnitsSurrendered)
    assert (moved.cause, moved.cause_id, moved.from_account) == ("FORCED_SURRENDER", 0, PROVINCE)
    assert (forced.account_id, forced.quantity, forced.is_late) == (EMITTER, taken, False)
    assert (office.held(HELD), office.held(FREE)) == (held - taken, 0)
    assert office.shown.given(EMITTER, YEAR, [BY_SYMBOL[CEA].id]) == taken
    assessed = [item for item in rest if isinstance(item, YearAssessed)]
    assert [item.shortfall for item in assessed] == ([0] if taken == owed else [])  # else a price
    left = office.holdings.years[EMITTER, "cn-national", YEAR]
    assert left.owed(office.holdings.surrendered[EMITTER, "cn-national", YEAR]) == owed - taken
    assert office.pass_time("2026-01-02") == []
    if held > taken:
        office.done(UnitsMoved, UNFREEZE, CEA, held - taken, EMITTER, "ann\nrest", account=PROVINCE)


def test_what_was_given_before_is_not_taken_again(office: Registry) -> None:
    given(office, 120, 100)
    office.done(UnitsSurrendered, SURRENDER, CEA, 70, YEAR, OF_THE_ENTITY, account=PROVINCE)
    forced = [item for item in year_ends(office) if isinstance(item, UnitsSurrendered)]
    assert [item.quantity for item in forced] == [30]
    assert office.held(HELD) == 20


def test_a_vintage_that_does_not_count_stays_with_the_province(office: Registry) -> None:
    office.owe(CEA, 50, YEAR)
    office.issue("CEA-2025", 40, 2025)  # 2025 cannot pay for 2024
    source = FREE._replace(instrument_id=BY_SYMBOL["CEA-2025"].id)
    cause = Cause(office.number, office.time_ns, "HOLD_FOR", 0)
    office.holdings.move(source, PROVINCE, Position.FROZEN, 40, cause, lender=EMITTER)
    assert not [item for item in year_ends(office) if isinstance(item, UnitsSurrendered)]
    later = HELD._replace(instrument_id=BY_SYMBOL["CEA-2025"].id)
    assert office.holdings.held(*later) == 40


def test_nothing_is_released_before_emissions_are_verified(office: Registry) -> None:
    office.on("2024-04-01").owe("CEA-2023", 200, 2023)
    office.issue("CEA-2023", 200)
    office.done(UnitsSurrendered, SURRENDER, "CEA-2023", 200, 2023)
    text = allocation("provisional") + BY_PROVINCE
    office.on("2025-04-20").done(UnitsAllocated, ALLOCATE, CEA, 140, YEAR, text)
    refusal = office.refused(UNFREEZE, CEA, 1, EMITTER, "ann\nrest", account=PROVINCE)
    assert refusal.reason == RegistryReason.NOT_RELEASED_YET
    assert "the emissions of 2024 are not verified" in refusal.text
    # The final allocation is lower: what is too much is taken from where it lies.
    office.owe(CEA, 100, YEAR)
    back = office.done(AllocationReturned, ALLOCATE, CEA, 90, YEAR, allocation("final"))
    assert (back.quantity, back.account_id) == (50, EMITTER)
    assert office.held(HELD) == 90
    assert office.figures(CEA, YEAR).added == 0


@pytest.mark.parametrize(
    ("symbol", "year", "holder", "words"),
    [
        (CEA, 2024, OTHER, "the account is of no type"),
        (CEA, 2024, EMITTER, "give them to a cn_provincial_authority"),
        ("EUA", 2024, PROVINCE, "give allowances to nobody but the entity itself"),
    ],
)
def test_who_holds_no_allowances_of_others(
    office: Registry, symbol: str, year: int, holder: int, words: str
) -> None:
    office.owe(symbol, 100, year)
    text = allocation("final") + f"\nheld_by {holder}"
    refusal = office.refused(ALLOCATE, symbol, 50, year, text)
    assert refusal.reason == RegistryReason.NOT_HELD_FOR_OTHERS
    assert words in refusal.text
    assert refusal.rule


def test_a_province_holds_for_each_entity_apart(office: Registry) -> None:
    given(office, 100, 100)
    office.owe(CEA, 100, YEAR, account=OTHER)
    for what, argument, text in ((SURRENDER, YEAR, f"for {OTHER}"), (UNFREEZE, OTHER, "a\nb")):
        refusal = office.refused(what, CEA, 1, argument, text, account=PROVINCE)
        assert "holds 0 t for account 204" in refusal.text
    own = office.refused(SURRENDER, CEA, 1, YEAR, account=PROVINCE)
    assert own.reason == RegistryReason.TYPE_MAY_NOT_SURRENDER
    unknown = office.refused(SURRENDER, CEA, 1, YEAR, "for 999", account=PROVINCE)
    assert unknown.reason == RegistryReason.UNKNOWN_REGISTRY_ACCOUNT
    for text in ("for ", "for x", "for -203", "for " + "1" * 19):
        refusal = office.refused(SURRENDER, CEA, 1, YEAR, text, account=PROVINCE)
        assert refusal.reason == RegistryReason.WORDS_NOT_READABLE


# -- for an entity that is frozen ------------------------------------------------------------------


@pytest.mark.parametrize(("frozen", "is_taken"), [("", False), ("account", True), ("units", True)])
def test_another_surrenders_for_an_entity_that_is_frozen(
    office: Registry, frozen: str, is_taken: bool
) -> None:
    office.owe(CEA, 100, YEAR)
    office.issue(CEA, 60, account=OTHER)
    office.issue(CEA, 1)
    if frozen == "account":
        office.act(Instruction.BLOCK_ACCOUNT, CEA, text="court\nbank account frozen")
    if frozen == "units":
        office.act(Instruction.FREEZE, CEA, 1, text="court\nclaim")
    said = office.act(SURRENDER, CEA, 60, YEAR, OF_THE_ENTITY, account=OTHER)
    owed = 100 - office.holdings.surrendered.get((EMITTER, "cn-national", YEAR), 0)
    if not is_taken:
        (refusal,) = said
        assert isinstance(refusal, InstructionRefused)
        assert (refusal.reason, refusal.rule) == (RegistryReason.NOT_FOR_ANOTHER, "cn-2024")
        assert "let another surrender for an entity that is frozen; it is not" in refusal.text
        assert owed == 100
        return
    moved, given_up = said
    assert isinstance(moved, UnitsMoved)
    assert isinstance(given_up, UnitsSurrendered)
    assert (moved.cause, moved.from_account, moved.to_account) == ("SURRENDER_FOR", OTHER, EMITTER)
    assert (given_up.account_id, given_up.quantity, owed) == (EMITTER, 60, 40)
    short = office.refused(SURRENDER, CEA, 1, YEAR, OF_THE_ENTITY, account=OTHER)
    assert short.reason == RegistryReason.NOT_ENOUGH_UNITS


def test_nobody_surrenders_for_another_where_no_rule_lets_it(office: Registry) -> None:
    office.owe("CEA-2022", 100, 2022)
    office.issue("CEA-2022", 60, account=OTHER)
    office.act(Instruction.BLOCK_ACCOUNT, CEA, text="court\nfrozen")
    refusal = office.refused(SURRENDER, "CEA-2022", 60, 2022, OF_THE_ENTITY, account=OTHER)
    assert (refusal.reason, refusal.rule) == (RegistryReason.NOT_FOR_ANOTHER, "cn-2021-2022")
    # Nor with credits, for itself, from a blocked account, or with a vintage that does not count.
    office.owe(CEA, 100, YEAR)
    office.issue("CCER", 5, account=OTHER)
    for symbol, account in (("CCER", OTHER), (CEA, EMITTER)):
        refusal = office.refused(SURRENDER, symbol, 1, YEAR, OF_THE_ENTITY, account=account)
        assert refusal.reason == RegistryReason.NOT_FOR_ANOTHER
    office.issue("CEA-2025", 5, account=OTHER)
    refusal = office.refused(SURRENDER, "CEA-2025", 1, YEAR, OF_THE_ENTITY, account=OTHER)
    assert refusal.reason == RegistryReason.UNIT_NOT_ELIGIBLE
    office.act(Instruction.BLOCK_ACCOUNT, CEA, text="court\nfrozen", account=OTHER)
    refusal = office.refused(SURRENDER, "CEA-2022", 1, YEAR, OF_THE_ENTITY, account=OTHER)
    assert refusal.reason == RegistryReason.ACCOUNT_BLOCKED
