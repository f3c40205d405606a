"""A surrender undone by two keys of the authority, over REST and the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exchange.clock import SystemClock
from exchange.messages.instructions import (
    ApproveReversal,
    CancelUnits,
    Instruction,
    IssueUnits,
    ProposeReversal,
    SurrenderUnits,
)
from gateway.cli import build
from gateway.client import (
    BadRequestError,
    Client,
    PermissionDeniedError,
    RegistryRefusedError,
    save_key,
)
from tests.gateway.conftest import House, owe
from tests.gateway.registry.test_gateway_registry import WHEN, ClockOnDay, whole_house

CEA = {"ref": 0, "symbol": "CEA-2025", "account": 203}


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[House]:
    async with whole_house(tmp_path, ClockOnDay(WHEN)) as house:
        yield house


async def reason_of(client: Client, instruction: Instruction) -> int:
    with pytest.raises(RegistryRefusedError) as refused:
        await client.instruct(instruction)
    return refused.value.reason


async def test_a_surrender_is_undone_by_operator_and_authority(whole: House) -> None:
    async with (
        whole.client("operator") as operator,
        whole.client("authority") as authority,
        whole.client("verifier") as verifier,
        whole.client("yangtze") as yangtze,
    ):
        await owe(yangtze, verifier, 2025, 1_000)
        await operator.instruct(IssueUnits(**CEA, quantity=600, year=2025))
        given = await yangtze.instruct(SurrenderUnits(**CEA, quantity=500, year=2025))
        proposal = await operator.instruct(
            ProposeReversal(
                **CEA, quantity=500, original_id=given.instruction_id, reason="wrong year"
            )
        )
        assert (proposal.kind, proposal.status) == ("PROPOSE_REVERSAL", "DONE")
        (row,) = (await authority.reversals()).reversals
        assert (row.proposal_id, row.original_id) == (proposal.instruction_id, given.instruction_id)
        assert (row.symbol, row.quantity, row.reason) == ("CEA-2025", 500, "wrong year")
        assert row.proposed_by == operator.key.id
        approval = ApproveReversal(**CEA, quantity=500, proposal_id=row.proposal_id)
        assert await reason_of(operator, approval) == 618
        with pytest.raises(PermissionDeniedError):
            await yangtze.instruct(approval)
        with pytest.raises(PermissionDeniedError):
            await yangtze.reversals()
        done = await authority.instruct(approval)
        assert (done.kind, done.status) == ("APPROVE_REVERSAL", "DONE")
        assert done.ranges == given.ranges
        assert (await authority.reversals()).reversals == []
        found = await yangtze.holdings("CN")
        assert [(h.position, h.quantity) for h in found.holdings] == [("REGISTRY", 600)]
        assert found.obligations[0].surrendered == {"CEA-2025": 0}
        assert await reason_of(authority, approval) == 616


async def test_what_the_edge_refuses(whole: House) -> None:
    before = await whole.ends()
    async with whole.client("operator") as operator:
        silent = ProposeReversal(**CEA, quantity=1, original_id=1, reason=" ")
        assert await reason_of(operator, silent) == 615
        for number in (-1, 2**63):
            for wrong in (
                ProposeReversal(**CEA, quantity=1, original_id=number, reason="x"),
                ApproveReversal(**CEA, quantity=1, proposal_id=number),
            ):
                with pytest.raises(BadRequestError, match="no id of an instruction"):
                    await operator.instruct(wrong)
    assert await whole.ends() == before


async def test_the_command_line_undoes_a_cancellation(tmp_path: Path) -> None:
    async with whole_house(tmp_path, SystemClock()) as house:
        files = {}
        for name in ("operator", "authority"):
            files[name] = str(tmp_path / f"{name}.key")
            save_key(Path(files[name]), house.keys[name]._replace(url=house.url))
        async with house.client("operator") as operator, house.client("northern") as northern:
            await operator.instruct(
                IssueUnits(ref=0, symbol="EUA", account=101, quantity=100, year=2024)
            )
            gone = await northern.instruct(
                CancelUnits(ref=0, symbol="EUA", account=101, quantity=30, beneficiary="a",
                            reason="b")
            )  # fmt: skip

        async def run(name: str, *arguments: str, code: int = 0) -> str:
            given = [*arguments, "--key-file", files[name]]
            done = await asyncio.to_thread(CliRunner().invoke, build(), given)
            assert done.exit_code == code, (arguments, done.output, done.exception)
            return done.output

        what = ("EUA", "30", str(gone.instruction_id), "--account", "101")
        said = await run("operator", "propose-reversal", *what, "--reason", "a slip")
        assert "DONE: PROPOSE_REVERSAL 30 t EUA" in said
        number = said.split("instruction ")[1].split()[0]
        assert "a slip" in await run("authority", "reversals")
        approve = ("approve-reversal", "EUA", "30", number, "--account", "101")
        assert "SAME_PERSON (618)" in await run("operator", *approve, code=1)
        assert "DONE: APPROVE_REVERSAL 30 t EUA" in await run("authority", *approve)
