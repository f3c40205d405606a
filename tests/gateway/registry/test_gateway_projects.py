"""Projects of credits from registration to a plan, by the client and from the terminal."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from exchange.clock import SystemClock
from exchange.messages.instructions import IssueUnits, ProjectAsked, RegisterProject, SurrenderUnits
from exchange.messages.reasons import RegistryReason
from gateway.cli import build
from gateway.cli.plans import print_plan
from gateway.client import PermissionDeniedError, RefusedError, VenueError, save_key
from tests.gateway.conftest import House, owe
from tests.gateway.registry.test_gateway_registry import WHEN, ClockOnDay, whole_house

WIND = ProjectAsked(name="Helan wind", project_type="wind", region="CN-NX")
ROOF = ProjectAsked(name="Plant roof", project_type="solar", covered_by="scheme")
CREDITS = {"symbol": "CCER", "account": 203}


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[House]:
    async with whole_house(tmp_path, ClockOnDay(WHEN)) as house:
        yield house


def batch(project: int, quantity: int) -> IssueUnits:
    first, last = dt.date(2025, 1, 1), dt.date(2025, 12, 31)
    return IssueUnits(
        ref=0, **CREDITS, quantity=quantity, year=2025,
        project=project, period_from=first, period_to=last,
    )  # fmt: skip


async def test_a_plan_names_the_project_and_leaves_what_no_rule_takes(whole: House) -> None:
    async with (
        whole.client("operator") as operator,
        whole.client("authority") as authority,
        whole.client("verifier") as verifier,
        whole.client("yangtze") as yangtze,
    ):
        for number, details in ((7, WIND), (8, ROOF)):
            await authority.instruct(
                RegisterProject(ref=0, **CREDITS, project=number, details=details)
            )
        await operator.instruct(batch(8, 30))
        await operator.instruct(batch(7, 30))
        await operator.instruct(batch(8, 20))
        await owe(yangtze, verifier, 2025, 1_000)
        plan = await yangtze.surrender_plan(203, 2025)
        assert [(row.symbol, row.quantity, row.project) for row in plan.surrender] == [
            ("CCER", 30, 7)
        ]
        (left,) = plan.left
        assert (left.quantity, left.project) == (50, 8)
        assert "inside the covered entities" in left.reason
        out = StringIO()
        print_plan(Console(file=out, width=140), plan)
        assert "exchange surrender CCER 30 2025 --account 203 --project 7" in out.getvalue()
        await yangtze.instruct(SurrenderUnits(ref=0, **CREDITS, quantity=10, year=2025, project=7))
        plan = await yangtze.surrender_plan(203, 2025)
        assert [(row.quantity, row.project) for row in plan.surrender] == [(20, 7)]
        rows = (await yangtze.projects("CN")).projects
        assert [(row.project, row.details.name) for row in rows] == [(7, WIND.name), (8, ROOF.name)]
        assert rows[0].details.region == WIND.region
        assert [row.project for row in (await yangtze.projects(after=7)).projects] == [8]


async def test_the_door_refuses_what_no_project_can_be(whole: House) -> None:
    async with whole.client("operator") as operator, whole.client("yangtze") as yangtze:
        register = RegisterProject(ref=0, **CREDITS, project=7, details=WIND)
        with pytest.raises(PermissionDeniedError):
            await yangtze.instruct(register)
        for project in (-1, 2**31):
            with pytest.raises(RefusedError, match="project: outside 0"):
                await operator.instruct(
                    RegisterProject(ref=0, **CREDITS, project=project, details=WIND)
                )
        with pytest.raises(RefusedError, match=r"details: 4\d\d bytes as JSON, the limit is 400"):
            await operator.instruct(
                RegisterProject(ref=0, **CREDITS, project=7, details=ProjectAsked(name="x" * 401))
            )
        half = IssueUnits(ref=0, **CREDITS, quantity=1, year=2025, project=7)
        with pytest.raises(VenueError) as caught:
            await operator.instruct(half)
        assert caught.value.reason == RegistryReason.PROJECT_INVALID


async def test_the_command_line_registers_issues_and_lists(tmp_path: Path) -> None:
    async with whole_house(tmp_path, SystemClock()) as house:
        await by_command_line(house, tmp_path)


async def by_command_line(whole: House, tmp_path: Path) -> None:
    file = tmp_path / "operator.key"
    save_key(file, whole.keys["operator"]._replace(url=whole.url))
    runner = CliRunner()

    async def run(*arguments: str, code: int = 0) -> str:
        given = [*arguments, "--key-file", str(file)]
        done = await asyncio.to_thread(runner.invoke, build(), given)
        assert done.exit_code == code, (arguments, done.output, done.exception)
        return done.output

    named = ("register-project", "CCER", "7", "--account", "203", "--details")
    assert "unknown field" in await run(*named, '{"name": "x", "kind": "wind"}', code=2)
    assert "DONE" in await run(
        *named, '{"name": "Helan wind", "project_type": "wind", "region": "CN-NX"}'
    )
    issued = await run(
        "issue", "CCER", "5", "2025", "--account", "203", "--project", "7",
        "--period-from", "2025-01-01", "--period-to", "2025-06-30",
    )  # fmt: skip
    assert "1-5" in issued or "1..5" in issued
    assert "Helan wind" in await run("projects")
