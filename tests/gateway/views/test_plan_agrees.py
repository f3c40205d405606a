"""What a plan proposes the registry takes, tonne for tonne; one more of it, it refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.messages.frames import Instruction
from exchange.messages.registry import (
    CreditsExchanged,
    InstructionRefused,
    Range,
    RegistryItem,
    UnitsIssued,
    UnitsSurrendered,
)
from exchange.reference.venue import Instrument
from exchange.rulebook.selection import rules_of_group
from gateway.routes.compliance import PlanQuery, make_plan
from gateway.views.headroom import group_of, rulebook
from gateway.views.holdings import Holdings
from gateway.views.standings import Standings
from tests.books_years import EMITTER, INSTRUMENTS, OTHER, Office, allocation

SURRENDER = Instruction.SURRENDER


class Watched(Office):
    """An office of which a gateway sees all that the registry says."""

    def __init__(self, day: str) -> None:
        self.seen = Holdings()
        self.accounts = Standings()
        super().__init__(day)

    def act(self, *args: Any, **named: Any) -> list[RegistryItem]:
        said = super().act(*args, **named)
        for item in said:
            self.seen.apply(item)
            self.accounts.apply(item)
        return said

    def pass_time(self, day: str) -> list[RegistryItem]:
        said = super().pass_time(day)
        for item in said:
            self.seen.apply(item)
            self.accounts.apply(item)
        return said

    def plan(self, scheme: str, year: int) -> tuple[list[tuple[Instrument, int]], int]:
        """What the plan of today would surrender, and what is missing then."""
        on = rulebook().local_date(scheme, self.time_ns)
        rules = rules_of_group(rulebook(), scheme, year, on, group_of(self.seen, EMITTER, scheme))
        assert rules is not None
        view: Any = SimpleNamespace(
            holdings=self.seen, positions=SimpleNamespace(instruments={}), standings=self.accounts
        )
        mine = [item for item in INSTRUMENTS.values() if item.scheme == scheme]
        plan = make_plan(view, PlanQuery(EMITTER, year), mine, rules, on)
        found: dict[int, int] = {}
        for item in plan.chosen:
            found[item.lot.lot_id] = found.get(item.lot.lot_id, 0) + item.quantity_t
        return [(INSTRUMENTS[number], quantity) for number, quantity in found.items()], plan.short_t

    def follow(self, scheme: str, year: int) -> tuple[dict[str, int], int]:
        """Does what the plan says; every part must be carried out, and nothing is left to plan."""
        planned, short_t = self.plan(scheme, year)
        for instrument, quantity in planned:
            said = self.act(SURRENDER, instrument.symbol, quantity, year)
            assert all(isinstance(item, UnitsSurrendered) for item in said), said
        again, missing = self.plan(scheme, year)
        assert (again, missing) == ([], short_t)
        if short_t:  # then not one tonne more of anything is taken
            for instrument in INSTRUMENTS.values():
                if instrument.scheme == scheme:
                    (said,) = self.act(SURRENDER, instrument.symbol, 1, year)
                    assert isinstance(said, InstructionRefused), said
        return {instrument.symbol: quantity for instrument, quantity in planned}, short_t


def test_with_what_china_lends() -> None:
    office = Watched("2023-03-01")
    office.owe("CEA-2022", 10_000, 2022, sector="power")
    office.act(Instruction.ALLOCATE, "CEA-2022", 8_000, 2022, allocation("final"))
    office.on("2023-10-01").issue("CEA-2023", 9_000)
    office.issue("CEA-2024", 9_000)
    office.issue("CCER-OLD", 9_000)
    assert office.follow("cn-national", 2022) == (
        {"CEA-2022": 8_000, "CEA-2023": 1_000, "CCER-OLD": 500},
        500,
    )


@pytest.mark.parametrize(("group", "later"), [("", 400), ("quebec", 1_600)])
def test_with_a_cap_of_a_period(group: str, later: int) -> None:
    office = Watched("2015-09-01")
    office.issue("ARBOC", 9_000)
    if group:
        office.act(Instruction.SET_ENTITLEMENT, "CALIFORNIA", 0, 0, f"authority\ngroup {group}")
    office.owe("CALIFORNIA", 1_000, 2013)
    office.owe("CALIFORNIA", 1_000, 2014)
    assert office.follow("ca-qc", 2013) == ({"ARBOC": 160}, 840)  # of the emissions of both
    assert office.follow("ca-qc", 2014) == ({}, 1_000)
    # then half of 4 percent, the credits being without benefits in the state, or 8 percent
    office.on("2025-09-01").owe("CALIFORNIA", 20_000, 2024)
    assert office.follow("ca-qc", 2024) == ({"ARBOC": later}, 20_000 - later)


@pytest.mark.parametrize(
    ("day", "year", "held", "planned", "short"),
    [
        ("2009-04-01", 2008, {2007: 60, 2008: 70}, 70, 30),  # nothing banked out of phase I
        ("2013-04-01", 2012, {2012: 40, 2013: 60}, 40, 60),  # nothing borrowed of phase III
        ("2021-04-01", 2020, {2012: 10, 2020: 20, 2021: 900}, 30, 70),
        ("2022-04-01", 2021, {2012: 10, 2020: 20, 2021: 70}, 100, 0),
        ("2021-04-01", 2020, {2021: 900}, 0, 100),
        ("2021-04-01", 2020, {0: 55, 2021: 900}, 55, 45),  # of no stated period: every year's
    ],
)
def test_units_of_several_periods_in_one_instrument(
    day: str, year: int, held: dict[int, int], planned: int, short: int
) -> None:
    office = Watched(day)
    office.owe("EUA", 100, year)
    for vintage, quantity in held.items():
        office.issue("EUA", quantity, vintage)
    expected = {"EUA": planned} if planned else {}
    assert office.follow("eu-ets", year) == (expected, short)


def test_credits_whose_base_nobody_knows() -> None:
    office = Watched("2013-03-01")
    office.owe("EUA", 100, 2012)
    office.issue("CER", 50)
    office.issue("EUA", 60, 2012)
    assert office.follow("eu-ets", 2012) == ({"EUA": 60}, 40)  # the rest of the year goes on


def test_units_that_moved_keep_their_period() -> None:
    office = Watched("2021-02-01")
    office.owe("EUA", 100, 2020)
    for vintage, quantity in ((2021, 50), (2020, 30), (2021, 50)):
        office.issue("EUA", quantity, vintage, OTHER)
    office.act(Instruction.TRANSFER, "EUA", 100, EMITTER, account=OTHER)  # the oldest first
    office.pass_time("2021-02-10")
    assert office.holdings.held(EMITTER, 1, INSTRUMENTS[1].id) == 100
    assert office.follow("eu-ets", 2020) == ({"EUA": 30}, 70)


def test_allocated_and_exchanged_units_are_of_a_year() -> None:
    office = Watched("2021-03-01")
    office.act(Instruction.ALLOCATE, "EUA", 40, 2021, allocation("final"))
    office.owe("EUA", 100, 2020)
    assert office.follow("eu-ets", 2020) == ({}, 100)
    told = CreditsExchanged(1, EMITTER, 2, 1, 5, "r", "k", (), (Range(9, "EUA", 41, 45),), 2020)
    office.seen.apply(told)
    assert [item.vintage for item in office.seen.parts((Range(9, "EUA", 40, 45),))] == [2021, 2020]


@pytest.mark.parametrize(("item", "fields"), [(UnitsIssued, 8), (CreditsExchanged, 10)])
def test_records_from_before_vintages_are_read(item: type[msgspec.Struct], fields: int) -> None:
    whole = {
        UnitsIssued: UnitsIssued(1, 2, 3, (Range(1, "EUA", 1, 9),), 0, 0, 0, 2020),
        CreditsExchanged: CreditsExchanged(1, 2, 3, 4, 5, "r", "k", (), (), 2020),
    }[item]  # type: ignore[index]
    raw = msgspec.msgpack.decode(msgspec.msgpack.encode(whole))
    assert (len(raw), raw[-1]) == (fields + 1, 2020)
    old: Any = msgspec.msgpack.decode(msgspec.msgpack.encode(raw[:-1]), type=item)
    assert (old.vintage, old.instruction_id) == (0, 1)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([2007, 2008, 2012, 2013, 2020, 2021, 2024]),
    st.lists(
        st.tuples(st.sampled_from([0, 2005, 2007, 2008, 2012, 2013, 2020, 2021, 2025]),
                  st.integers(1, 80)),
        max_size=8,
    ),
)  # fmt: skip
def test_any_mix_of_periods(year: int, issues: list[tuple[int, int]]) -> None:
    office = Watched(f"{year + 1}-04-01")
    office.owe("EUA", 200, year)
    for vintage, quantity in issues:
        office.issue("EUA", quantity, vintage)
    office.follow("eu-ets", year)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(2015, 2017), st.integers(0, 3_000)), min_size=1, max_size=3),
    st.booleans(),
    st.integers(0, 500),
)
def test_any_order_of_a_period(
    steps: list[tuple[int, int]], is_quebec: bool, credits_: int
) -> None:
    office = Watched("2018-09-01")
    if is_quebec:
        office.act(Instruction.SET_ENTITLEMENT, "CALIFORNIA", 0, 0, "authority\ngroup quebec")
    if credits_:
        office.issue("ARBOC", credits_)
    owed: dict[int, int] = {}
    for year, emitted in steps:
        if year not in owed:
            owed[year] = emitted
            office.owe("CALIFORNIA", emitted, year)
        office.follow("ca-qc", year)
        used = sum(office.holdings.used((EMITTER, "ca-qc", one), ("ARBOC",)) for one in owed)
        assert used <= sum(owed.values()) * 800 // 10_000
