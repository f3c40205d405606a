"""A compliance year over REST and the command line: who may give which step, and what is shown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from exchange.clock import SystemClock
from exchange.messages.instructions import (
    AllocateUnits,
    ApplyCarryOver,
    AssessYear,
    CarryOver,
    Instruction,
    ReportEmissions,
    SurrenderUnits,
    VerifyEmissions,
)
from exchange.messages.reasons import EdgeReason, Reason
from exchange.messages.registry import YearFigures
from gateway.cli import build
from gateway.cli.plans import print_year
from gateway.client import (
    BadRequestError,
    Client,
    OrderNotFoundError,
    PermissionDeniedError,
    RegistryRefusedError,
    VenueError,
    save_key,
)
from gateway.replies.years import ComplianceYearReply
from gateway.views.headroom import bases_of
from tests.gateway.conftest import House, owe
from tests.gateway.registry.test_gateway_registry import whole_house

CEA = {"ref": 0, "symbol": "CEA-2025", "account": 203, "year": 2025}
REPORT = ReportEmissions(**CEA, quantity=10_000, sector="power")
VERIFY = VerifyEmissions(**CEA, quantity=10_000)
FINAL = AllocateUnits(**CEA, quantity=7_000, stage="final", method="benchmarking", sector="power")
ASSESS = AssessYear(**CEA, price="74.63")


class Calendar:
    """The machine's clock, on a day that a test turns to."""

    def __init__(self, day: datetime) -> None:
        self.shift_ns = 0
        self.turn_to(day)

    def turn_to(self, day: datetime) -> None:
        self.shift_ns = int(day.timestamp()) * 10**9 - time.time_ns()

    def now_ns(self) -> int:
        return time.time_ns() + self.shift_ns

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


@pytest.fixture
def clock() -> Calendar:
    return Calendar(datetime(2026, 3, 31, 3, tzinfo=UTC))


@pytest.fixture
async def whole(tmp_path: Path, clock: Calendar) -> AsyncIterator[House]:
    async with whole_house(tmp_path, clock) as house:
        yield house


async def refused(client: Client, instruction: Instruction) -> int:
    with pytest.raises(VenueError) as found:
        await client.instruct(instruction)
    return found.value.reason


async def test_a_year_from_report_to_assessment(whole: House, clock: Calendar) -> None:
    async with (
        whole.client("authority") as authority,
        whole.client("verifier") as verifier,
        whole.client("yangtze") as yangtze,
    ):
        empty = await yangtze.compliance_year(203, "cn-national", 2025)
        assert (empty.obligation, empty.owed, empty.bases) == (None, 0, {})
        assert {row.status for row in empty.steps} == {"OPEN"}
        assert (await yangtze.instruct(REPORT)).kind == "REPORT_EMISSIONS"
        with pytest.raises(RegistryRefusedError) as early:
            await authority.instruct(FINAL)
        assert (early.value.reason, early.value.report.rule) == (623, "cn-2025-2026-draft")
        assert early.value.report.source
        assert (await verifier.instruct(VERIFY)).status == "DONE"
        clock.turn_to(datetime(2026, 10, 1, 3, tzinfo=UTC))
        given = await authority.instruct(FINAL)
        (block,) = given.ranges
        assert block.last - block.first + 1 == 8_000  # lifted to 80 percent of what was verified
        await yangtze.instruct(SurrenderUnits(**CEA, quantity=8_000))
        found = await verifier.compliance_year(203, "cn-national", 2025)
        assert (found.reported, found.verified, found.final) == (10_000, 10_000, 8_000)
        assert (found.obligation, found.surrendered, found.owed) == (10_000, 8_000, 2_000)
        assert (found.sector, found.rule) == ("power", "cn-2025-2026-draft")
        assert found.bases["shortfall_before_offsets"] == 2_000
        steps = {row.step: (row.status, row.due, row.quantity, row.by) for row in found.steps}
        assert steps == {
            "report": ("DONE", "2026-03-31", 10_000, "yangtze"),
            "verification": ("DONE", "2026-06-30", 10_000, "verifier"),
            "provisional_allocation": ("OVERDUE", "2026-06-30", None, ""),
            "final_allocation": ("LATE", "2026-09-30", 7_000, "authority"),
            "surrender": ("OPEN", "2026-12-31", None, ""),
        }
        assert all(row.source for row in found.steps)
        assert await refused(authority, ASSESS) == 632
        clock.turn_to(datetime(2027, 1, 1, 3, tzinfo=UTC))
        assert await refused(authority, msgspec.structs.replace(ASSESS, price="")) == 634
        await authority.instruct(ASSESS)
        done = await yangtze.compliance_year(203, "cn-national", 2025)
        assert done.assessment is not None
        assert (done.assessment.shortfall, done.assessment.average_price) == (2_000, "74.63")
        assert done.assessment.fine_min == f"{2_000 * 5 * 74.63:.2f}"
        assert done.steps[-1].status == "OVERDUE"
        headroom = await yangtze.offset_headroom(203, "CCER")
        assert headroom.years == []  # the year is over
    check_print(done)


def check_print(found: ComplianceYearReply) -> None:
    plain, shown = StringIO(), StringIO()
    print_year(Console(file=plain), found)
    assert "cn-national, emission year 2025, account 203" in plain.getvalue()
    assert "Figures\nfigure\ttonnes\n" in plain.getvalue()
    assert "obligation\t10000\n" in plain.getvalue()
    assert "Steps\nstep\tstatus\tdue\ttonnes\tdone (UTC)\tby\tdetail\n" in plain.getvalue()
    assert "report\tDONE\t2026-03-31\t10000\t2026-03-31\tyangtze\t" in plain.getvalue()
    print_year(Console(file=shown, force_terminal=True, width=120, highlight=False), found)
    for text in (
        "emission year 2025",
        "OVERDUE",
        "shortfall 2,000 t",
        "746300.00 to 1492600.00 CNY",
    ):
        assert text in shown.getvalue()
    why, unknown = "the fine is not known: it is indexed", StringIO()
    assert found.assessment is not None
    told = msgspec.structs.replace(
        found.assessment, fine_min="", fine_max="", carried=2_000, consequence=why
    )
    print_year(Console(file=unknown), msgspec.structs.replace(found, assessment=told))
    words = f"shortfall 2,000 t, carried to the next year 2,000 t, {why}"
    assert words in unknown.getvalue()


async def test_each_step_has_its_own_role(whole: House) -> None:
    apply = ApplyCarryOver(**CEA, quantity=1)
    carry = CarryOver(ref=0, symbol="CEA-2025", account=203, quantity=1, application_id=7)
    may = {
        "yangtze": (REPORT, apply),
        "verifier": (VERIFY,),
        "authority": (FINAL, ASSESS, carry),
        "operator": (),
        "northern": (REPORT, apply),  # by its role; the account is another's
    }
    for name, allowed in may.items():
        async with whole.client(name) as client:
            for step in (REPORT, VERIFY, FINAL, ASSESS, apply, carry):
                if step not in allowed:
                    with pytest.raises(PermissionDeniedError) as denied:
                        await client.instruct(step)
                    assert denied.value.reason == 514, (name, step)
    async with whole.client("northern") as northern:
        with pytest.raises(VenueError, match="203"):
            await northern.instruct(REPORT)
        trading = msgspec.structs.replace(REPORT, account=201)
        assert await refused(northern, trading) == 603


async def test_a_verifier_sees_years_and_nothing_else_of_an_account(whole: House) -> None:
    async with (
        whole.client("yangtze") as yangtze,
        whole.client("verifier") as verifier,
        whole.client("northern") as northern,
    ):
        assert await refused(verifier, VERIFY) == 620
        await owe(yangtze, verifier, 2025, 500)
        reported = await yangtze.instruct(msgspec.structs.replace(REPORT, year=2024))
        assert (await verifier.instruction(reported.instruction_id, "CN")).quantity == 10_000
        assert (await verifier.compliance_year(203, "cn-national", 2025)).verified == 500
        await owe(yangtze, verifier, 2023, 0)  # none is a figure too
        none = await yangtze.compliance_year(203, "cn-national", 2023)
        assert (none.verified, none.obligation, none.owed) == (0, 0, 0)
        assert none.steps[-1].status == "DONE"
        for question in (verifier.holdings, verifier.positions, verifier.orders):
            with pytest.raises(PermissionDeniedError):
                await question()
        with pytest.raises(PermissionDeniedError):
            await verifier.surrender_plan(203, 2025)
        with pytest.raises(OrderNotFoundError, match="account 203 in cn-national"):
            await northern.compliance_year(203, "cn-national", 2025)
        with pytest.raises(OrderNotFoundError, match="account 203 in eu-ets"):
            await yangtze.compliance_year(203, "eu-ets", 2025)
        with pytest.raises(BadRequestError, match="year: 0 is outside"):
            await yangtze.compliance_year(203, "cn-national", 0)
        with pytest.raises(BadRequestError, match=r"no 'cn-nation'; known are .*cn-national"):
            await yangtze.compliance_year(203, "cn-nation", 2025)
        with pytest.raises(BadRequestError, match="no 'cn-nation'; known are cn-national"):
            await yangtze.surrender_plan(203, 2025, scheme="cn-nation")


async def test_words_that_no_note_can_carry_are_refused(whole: House) -> None:
    wrong: list[tuple[dict[str, str | int], int]] = [
        ({"sector": "po\nwer"}, EdgeReason.INVALID_FIELD),
        ({"sector": "x" * 400}, EdgeReason.INVALID_FIELD),
        ({"base": -1}, EdgeReason.INVALID_FIELD),
        ({"balance": 2**62}, EdgeReason.INVALID_FIELD),
        ({"quantity": -1}, Reason.QUANTITY_NOT_POSITIVE),
    ]
    async with whole.client("authority") as authority:
        for changes, reason in wrong:
            assert await refused(authority, msgspec.structs.replace(FINAL, **changes)) == reason
        priced = msgspec.structs.replace(ASSESS, price="a lot")
        assert await refused(authority, priced) == EdgeReason.INVALID_FIELD


async def test_on_the_command_line(tmp_path: Path) -> None:
    async with whole_house(tmp_path, SystemClock()) as house:
        await type_a_year(house, tmp_path)


async def type_a_year(whole: House, tmp_path: Path) -> None:
    """A year whose days are long over, whenever this runs."""
    files = {}
    for name in ("yangtze", "verifier", "authority"):
        files[name] = str(tmp_path / f"{name}.key")
        save_key(Path(files[name]), whole.keys[name]._replace(url=whole.url))

    async def run(name: str, *arguments: str, code: int = 0) -> str:
        given = [*arguments, "--key-file", files[name]]
        done = await asyncio.to_thread(CliRunner().invoke, build(), given)
        assert done.exit_code == code, (arguments, done.output, done.exception)
        return done.output

    what = ("CEA-2025", "1000", "2020")
    whose = ("--account", "203")
    said = await run("yangtze", "report-emissions", *what, *whose, "--sector", "power")
    assert "DONE: REPORT_EMISSIONS 1,000 t CEA-2025" in said
    assert "DONE: VERIFY_EMISSIONS" in await run("verifier", "verify-emissions", *what, *whose)
    given = ("allocate", "CEA-2025", "900", "2020", "final", *whose, "--method", "intensity")
    assert "NOT_ALLOWANCE_OF_YEAR (631)" in await run("authority", *given, code=1)
    due = ("assess", "CEA-2025", "2020", *whose, "--due", "2021-12-30")
    assert "DUE_DAY_UNKNOWN (633)" in await run("authority", *due, code=1)
    assessed = await run("authority", "assess", "CEA-2025", "2020", *whose, "--due", "2021-12-31")
    assert "DONE: ASSESS" in assessed
    shown = await run("yangtze", "year", "203", "cn-national", "2020")
    assert "report\tDONE\t\t1000\t" in shown
    assert "surrender\tOVERDUE\t2021-12-31\t" in shown
    assert "shortfall 1,000 t, fine 20000.00 to 30000.00 CNY" in shown
    assert "source: " in shown
    applied = ("apply-carry-over", "CEA-2025", "1", "2024", *whose)
    assert "NO_CARRY_OVER (635)" in await run("yangtze", *applied, code=1)
    carried = ("carry-over", "CEA-2025", "1", "77", *whose)
    assert "UNKNOWN_APPLICATION (639)" in await run("authority", *carried, code=1)


def test_bases_as_the_registry_knows_them() -> None:
    blank = YearFigures(1, 203, "x", 2025, "", None, None, None, None, 0, 0, 0, None, 0, None, 0)
    assert bases_of(None) == bases_of(blank) == {}
    early = msgspec.structs.replace(blank, verified=10, provisional=4, carried_in=3)
    assert bases_of(early) == {
        "verified_emissions": 10,
        "verified_emissions_by_emission_year": 10,
        "surrender_obligation": 10,
        "initial_allocation": 4,
        "annual_allocation": 4,
        "shortfall_before_offsets": 6,
    }
    final = bases_of(msgspec.structs.replace(early, final=9, deducted=2))
    assert (final["initial_allocation"], final["annual_allocation"]) == (4, 7)
    alone = bases_of(msgspec.structs.replace(blank, final=9))
    assert alone == {"initial_allocation": 9, "annual_allocation": 9}
