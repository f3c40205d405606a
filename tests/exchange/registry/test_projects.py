"""Credits of projects: what their blocks carry, and which of them a rule takes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from exchange.messages.frames import Instruction, notes
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    InstructionRefused,
    IssuanceDetails,
    ProjectDetails,
    ProjectRegistered,
    UnitsIssued,
    UnitsReversed,
    UnitsSurrendered,
)
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Block, Position, State
from exchange.registry.projects import choose, credit_of, issuance, project_details
from exchange.registry.refusals import RefusalError
from exchange.registry.rows import Issuance, Project
from exchange.registry.store import RegistryStore
from exchange.rulebook import load_rulebook
from exchange.rulebook.eligibility import Credit
from exchange.rulebook.offsets import headroom, offset_plan
from exchange.rulebook.selection import rules_in_force
from exchange.rulebook.shapes import BASES, ComplianceRules
from exchange.settings import PROJECT_NUMBER_MAX
from tests.books_desk import CN, Desk, owed
from tests.books_venue import CCER, CEA_2024, VENUE, YANGTZE, YEAR, instruction
from tests.books_years import Office

WIND = ProjectDetails(name="Helan wind", project_type="wind", region="CN-NX", gas="CO2")
INSIDE = ProjectDetails(name="Plant roof", project_type="solar", covered_by="scheme")
BOOK = load_rulebook()
GOLD = Instrument(
    9, "CN", "CCER-W", "CCER", "cn-national", "offset",
    generation="new_registered_from_2024-01-22", project_types=("wind",), regions=("CN-NX",),
)  # fmt: skip


def register(number: int, details: ProjectDetails | str, instrument: int = CCER) -> list[bytes]:
    told = details if isinstance(details, str) else msgspec.json.encode(details).decode()
    fields = {"account_id": YANGTZE, "instrument_id": instrument, "price": number}
    return [instruction(Instruction.REGISTER_PROJECT, **fields), *notes(told)]


def issue(quantity: int, project: int, first: str, last: str, year: int = YEAR) -> list[bytes]:
    told = IssuanceDetails(project, dt.date.fromisoformat(first), dt.date.fromisoformat(last))
    fields = {"account_id": YANGTZE, "instrument_id": CCER, "quantity": quantity, "price": year}
    return [
        instruction(Instruction.ISSUE, **fields),
        *notes(msgspec.json.encode(told).decode()),
    ]


def surrender(quantity: int, project: int = 0) -> list[bytes]:
    fields = {"account_id": YANGTZE, "instrument_id": CCER, "quantity": quantity, "price": YEAR}
    return [
        instruction(Instruction.SURRENDER, **fields),
        *(notes(str(project)) if project else []),
    ]


async def test_credits_carry_their_project_and_the_rule_takes_those_that_fit(desk: Desk) -> None:
    said = await desk.act(*register(7, WIND))
    assert said == [ProjectRegistered(said[0].instruction_id, YANGTZE, "CCER", 7, WIND)]  # type: ignore[union-attr]
    await desk.act(*register(8, INSIDE))
    issued = (await desk.act(*issue(40, 8, "2025-01-01", "2025-12-31")))[0]
    assert isinstance(issued, UnitsIssued)
    assert (issued.project, issued.period_from, issued.period_to) == (8, 20250101, 20251231)
    await desk.act(*issue(60, 7, "2025-03-01", "2025-09-30"))
    await desk.act(*owed(YANGTZE, YEAR, 1_000))

    inside = await desk.refused(*surrender(1, project=8))
    assert inside.reason == RegistryReason.UNIT_NOT_ELIGIBLE
    assert "covered entities of the scheme" in inside.text
    assert inside.rule == "cn-2025-2026-ccer"
    # the older block is not taken: the first that fits is
    done = (await desk.act(*surrender(30)))[0]
    assert isinstance(done, UnitsSurrendered)
    assert [(r.first, r.last) for r in done.ranges] == [(41, 70)]
    over = await desk.refused(*surrender(21))
    assert over.reason == RegistryReason.OFFSET_CAP_EXCEEDED
    assert "used 30 t, headroom 20 t" in over.text
    few = await desk.refused(*surrender(31, project=7))
    assert few.reason == RegistryReason.NOT_ENOUGH_UNITS
    async with desk.books.reading() as connection:
        rows = (
            await connection.execute(
                text("SELECT first_serial, project, period_from, state FROM block "
                     "WHERE programme = 'CCER' ORDER BY first_serial")
            )
        ).all()  # fmt: skip
        credits_ = (
            await connection.execute(text("SELECT project, quantity FROM surrender_credit"))
        ).all()
    assert [tuple(row) for row in rows] == [
        (1, 8, 20250101, State.HELD),
        (41, 7, 20250301, State.SURRENDERED),
        (71, 7, 20250301, State.HELD),
    ]
    assert [tuple(row) for row in credits_] == [(7, 30)]
    # what was used comes back from the books, and is given back by a reversal
    instruments = {item.id: item for item in VENUE.instruments_of("CN")}
    loaded = (await RegistryStore(desk.books, CN, instruments).load()).holdings
    assert loaded.projects == desk.registry.holdings.projects
    assert loaded.credits == desk.registry.holdings.credits
    assert loaded.scheme_offsets == {("cn-national", YEAR, "CCER"): 30}
    whose = {"account_id": YANGTZE, "instrument_id": CCER, "quantity": 30}
    proposal = await desk.act(
        instruction(Instruction.PROPOSE_REVERSAL, price=done.instruction_id, **whose),
        *notes("first\nwrong year"),
    )
    approval = await desk.act(
        instruction(
            Instruction.APPROVE_REVERSAL,
            price=proposal[0].instruction_id,  # type: ignore[union-attr]
            **whose,
        ),
        *notes("second\n"),
    )
    assert isinstance(approval[0], UnitsReversed)
    assert isinstance((await desk.act(*surrender(50)))[0], UnitsSurrendered)


@pytest.mark.parametrize(
    ("records", "reason", "words"),
    [
        (register(0, WIND), RegistryReason.PROJECT_INVALID, "outside 1.."),
        (register(7, "{}"), RegistryReason.PROJECT_INVALID, "name"),
        (register(7, WIND), RegistryReason.PROJECT_EXISTS, "Helan wind"),
        (register(9, WIND, CEA_2024), RegistryReason.PROJECT_INVALID, "no credit"),
        (issue(1, 9, "2025-01-01", "2025-12-31"), RegistryReason.PROJECT_UNKNOWN, "project 9"),
        (issue(1, 7, "2025-02-01", "2025-01-31"), RegistryReason.PROJECT_INVALID, "2025-02-01"),
        (issue(1, 7, "2024-12-31", "2025-01-31"), RegistryReason.PROJECT_INVALID, "year 2025"),
        (issue(1, 7, "2025-12-31", "2026-01-01"), RegistryReason.PROJECT_INVALID, "year 2025"),
        (
            [instruction(Instruction.ISSUE, account_id=YANGTZE, instrument_id=CCER, quantity=1,
                         price=YEAR), *notes("7")],
            RegistryReason.PROJECT_INVALID, "CCER",
        ),
        (
            [surrender(1)[0], *notes("seven")], RegistryReason.PROJECT_INVALID, "seven",
        ),
        (
            [instruction(Instruction.SURRENDER, account_id=YANGTZE, instrument_id=CEA_2024,
                         quantity=1, price=YEAR), *notes("7")],
            RegistryReason.PROJECT_INVALID, "no credit of a project",
        ),
    ],
)  # fmt: skip
async def test_refusals_leave_the_books_as_they_were(
    desk: Desk, records: list[bytes], reason: RegistryReason, words: str
) -> None:
    await desk.act(*register(7, WIND))
    await desk.act(*issue(5, 7, "2025-01-01", "2025-12-31"))
    await desk.act(*owed(YANGTZE, YEAR, 1_000))
    refusal = await desk.refused(*records)
    assert refusal.reason == reason
    assert words in refusal.text


async def test_credits_issued_before_their_reductions_were_certified(desk: Desk) -> None:
    await desk.act(*register(7, msgspec.structs.replace(WIND, flags=("pre_issued",))))
    await desk.act(*register(8, WIND))
    for project in (7, 8):
        await desk.act(*issue(5, project, "2025-01-01", "2025-12-31"))
    await desk.act(*owed(YANGTZE, YEAR, 1_000))
    refusal = await desk.refused(*surrender(5, 7))
    assert refusal.reason == RegistryReason.UNIT_NOT_ELIGIBLE
    assert "takes no CCER that were issued before their reductions were certified" in refusal.text
    (done,) = await desk.act(*surrender(5, 8))
    assert isinstance(done, UnitsSurrendered)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("name", "two\nlines"),
        ("project_type", "wind power"),
        ("gas", "x" * 41),
        ("host", "the moon"),
        ("region", "Beijing"),
        ("region", "cn-bj"),
        ("flags", ("a",) * 9),
        ("flags", ("not a word",)),
        ("flags", ("Pre_CDM",)),  # what a rule excludes is not spelled around
        ("flags", ("",)),
        ("covered_by", "Scheme"),
        ("covered_by", "pilot"),
        ("co2_ch4_share_bp", 10_001),
        ("co2_ch4_share_bp", -1),
    ],
)
def test_details_that_no_rule_could_read_are_refused(field: str, value: Any) -> None:
    told = {**msgspec.to_builtins(WIND), field: value}
    with pytest.raises(RefusalError) as caught:
        project_details(1, msgspec.json.encode(told).decode())
    assert caught.value.reason == RegistryReason.PROJECT_INVALID


def test_numbers_of_projects_end_where_the_books_do() -> None:
    told = msgspec.json.encode(WIND).decode()
    assert project_details(PROJECT_NUMBER_MAX, told) == WIND
    with pytest.raises(RefusalError, match=str(PROJECT_NUMBER_MAX)):
        project_details(PROJECT_NUMBER_MAX + 1, told)


@pytest.mark.parametrize(
    ("details", "words"),
    [
        (WIND, ""),
        (msgspec.structs.replace(WIND, region="CN-NX:poor"), ""),
        (msgspec.structs.replace(WIND, region="CN-NM"), "CN-NX; project 1 is in CN-NM"),
        (msgspec.structs.replace(WIND, region=""), "a region not stated"),
        (msgspec.structs.replace(WIND, project_type="hydro"), "takes wind; project 1 is hydro"),
        (msgspec.structs.replace(WIND, generation="old_filed_before_2017-03-14"), "generation old"),
    ],
)
def test_an_instrument_takes_units_of_its_projects_only(
    details: ProjectDetails, words: str
) -> None:
    projects = {1: Project(1, "CCER", YANGTZE, 5, details, 0)}
    told = IssuanceDetails(1, dt.date(2025, 1, 1), dt.date(2025, 12, 31))
    text_ = msgspec.json.encode(told).decode()
    if not words:
        assert issuance(GOLD, projects, 2025, text_) == Issuance(1, 20250101, 20251231)
        return
    with pytest.raises(RefusalError, match=words) as caught:
        issuance(GOLD, projects, 2025, text_)
    assert caught.value.reason == RegistryReason.PROJECT_NOT_DELIVERABLE
    with pytest.raises(RefusalError, match="name their project"):
        issuance(GOLD, projects, 2025, "")


PILOTS = [
    ("cn-pilot-beijing", 2015, dt.date(2016, 6, 15)),
    ("cn-pilot-shanghai", 2022, dt.date(2023, 9, 30)),
    ("cn-pilot-guangdong", 2017, dt.date(2018, 6, 20)),
    ("cn-pilot-hubei", 2014, dt.date(2015, 6, 30)),
    ("cn-pilot-chongqing", 2022, dt.date(2023, 6, 20)),
    ("ca-qc", 2025, dt.date(2026, 11, 1)),
]
UNITS = {"cn-pilot-chongqing": "CQCER", "ca-qc": "ARBOC"}
KINDS = st.builds(
    ProjectDetails,
    name=st.just("x"),
    project_type=st.sampled_from(["forestry", "wind", "rural_biogas", "hydro"]),
    gas=st.sampled_from(["CO2", "HFC23", ""]),
    co2_ch4_share_bp=st.sampled_from([None, 4_999, 10_000]),
    region=st.sampled_from(["CN-BJ", "CN-GD", "CN-CQ", "CN-HB", "CN-SH", "CN-XJ", ""]),
    flags=st.sampled_from([(), ("partner",), ("direct_environmental_benefit_in_state",)]),
)


def rules_of(scheme: str, year: int, on: dt.date) -> ComplianceRules:
    rules = rules_in_force(BOOK, scheme, year, on)
    assert rules is not None
    return rules


@pytest.mark.parametrize(("scheme", "year", "on"), PILOTS, ids=[case[0] for case in PILOTS])
@given(
    held=st.lists(st.tuples(KINDS, st.integers(1, 9_000)), min_size=1, max_size=10),
    base=st.integers(0, 10**6),
    wanted=st.integers(1, 30_000),
)
def test_what_is_chosen_passes_every_limit_and_nothing_less_is_refused(
    scheme: str,
    year: int,
    on: dt.date,
    held: list[tuple[ProjectDetails, int]],
    base: int,
    wanted: int,
) -> None:
    rules, bases = rules_of(scheme, year, on), dict.fromkeys(BASES, base)
    unit = Instrument(1, "CN", "X", UNITS.get(scheme, "CCER"), scheme, "offset")
    lots: list[tuple[Block, Credit]] = []
    for at, (details, quantity) in enumerate(held, 1):
        block = Block(
            at, unit.product, at * 10_000, at * 10_000 + quantity - 1, 1, year, 1,
            Position.REGISTRY, State.HELD, 0, 0, at, 20150601,
        )  # fmt: skip
        lots.append((block, credit_of(unit, details, quantity, 20150601)))
    told = {"emission_year": year, "on": on, "bases": bases, "scheme_used_t": 0}
    choice = choose(rules, lots, wanted, used=(), **told)  # type: ignore[arg-type]
    most = sum(
        answer.accepted_t
        for answer in offset_plan(rules, [credit for _, credit in lots], **told)  # type: ignore[arg-type]
    )
    assert bool(choice.refusal) == (most < wanted)
    if choice.refusal:
        assert not choice.taken
        return
    assert sum(choice.taken.values()) == wanted
    spent = [
        credit._replace(quantity_t=choice.taken[block.block_id])
        for block, credit in lots
        if choice.taken.get(block.block_id)
    ]
    answers = offset_plan(rules, spent, **told)  # type: ignore[arg-type]
    assert [answer.accepted_t for answer in answers] == [credit.quantity_t for credit in spent]
    told.pop("on")
    for limit in headroom(rules, used=spent, **told):  # type: ignore[arg-type]
        assert limit.left_t >= 0


@pytest.mark.parametrize(
    ("symbol", "started", "first", "words"),
    [
        # programme ccer-new: projects from 2012-11-08, reductions from 2020-09-22, five years old
        ("CCER", "2012-11-07", "2024-01-01", "projects that started from 2012-11-08"),
        ("CCER", "2012-11-08", "2020-09-21", "reductions from 2020-09-22; these begin on 2020-09"),
        ("CCER", "2012-11-08", "2020-09-22", ""),
        ("CCER", "2012-11-08", "2021-02-28", ""),
        ("CCER-OLD", "2005-02-16", "2013-01-01", ""),
    ],
)
def test_a_programme_issues_what_it_was_made_for(
    symbol: str, started: str, first: str, words: str
) -> None:
    office = Office("2025-09-22")
    begin = dt.date.fromisoformat(first)
    details = ProjectDetails(name="wind", in_operation_from=dt.date.fromisoformat(started))
    told = msgspec.json.encode(details).decode()
    office.done(ProjectRegistered, Instruction.REGISTER_PROJECT, symbol, 0, 7, told)
    period = IssuanceDetails(7, begin, begin.replace(month=12, day=31))
    act = (Instruction.ISSUE, symbol, 10, begin.year, msgspec.json.encode(period).decode())
    if not words:
        office.done(UnitsIssued, *act)
        office.on("2026-03-01")
        aged = begin < dt.date(2021, 3, 1) and symbol == "CCER"
        assert isinstance(office.act(*act)[0], InstructionRefused) == aged
        return
    refusal = office.refused(*act)
    assert (refusal.reason, refusal.rule) == (RegistryReason.UNIT_NOT_ELIGIBLE, "ccer-new")
    assert words in refusal.text
    assert "Voluntary GHG Emission Reduction Trading" in refusal.source
