"""Freezes and pledges through the gateway: who may give which, and who sees what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from exchange.clock import SystemClock
from exchange.messages.instructions import (
    ApproveTransfer,
    DepositUnits,
    EnforcePledge,
    FreezeUnits,
    Instruction,
    IssueUnits,
    PledgeUnits,
    ReleasePledge,
    TransferUnits,
    UnfreezeUnits,
)
from exchange.messages.reasons import RegistryReason
from gateway.cli import build
from gateway.client import (
    BadRequestError,
    Client,
    PermissionDeniedError,
    RegistryRefusedError,
    save_key,
)
from tests.gateway.conftest import House
from tests.gateway.registry.test_gateway_registry import whole_house

UNITS = {"ref": 0, "symbol": "EUA"}
FREEZE = FreezeUnits(**UNITS, account=101, quantity=300, reference="(2026) 沪02民初 17号")


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[House]:
    async with whole_house(tmp_path, SystemClock()) as house:
        yield house


async def positions(client: Client) -> dict[tuple[int, str, int], int]:
    rows = (await client.holdings("EU")).holdings
    return {(row.account, row.position, row.lender): row.quantity for row in rows}


async def reason_of(client: Client, instruction: Instruction) -> int:
    with pytest.raises(RegistryRefusedError) as refused:
        await client.instruct(instruction)
    return refused.value.reason


async def test_units_are_frozen_pledged_released_and_enforced(whole: House) -> None:
    async with (
        whole.client("operator") as operator,
        whole.client("authority") as authority,
        whole.client("northern") as northern,
        whole.client("huadong") as huadong,
    ):
        await operator.instruct(IssueUnits(**UNITS, account=101, quantity=1_000, year=2024))
        frozen = await authority.instruct(FREEZE)
        assert (frozen.kind, frozen.status) == ("FREEZE", "DONE")
        assert (frozen.ranges[0].first, frozen.ranges[0].last) == (1, 300)
        pledged = await northern.instruct(
            PledgeUnits(**UNITS, account=101, quantity=500, lender_account=102, reference="loan 9")
        )
        assert (pledged.kind, pledged.argument) == ("PLEDGE", 102)
        mine = {(101, "REGISTRY", 0): 200, (101, "FROZEN", 0): 300, (101, "PLEDGED", 102): 500}
        assert await positions(northern) == mine
        assert await positions(huadong) == {(101, "PLEDGED", 102): 500}
        assert await reason_of(northern, DepositUnits(**UNITS, account=101, quantity=500)) == 610
        move = TransferUnits(**UNITS, account=101, quantity=501, to_account=102)
        assert await reason_of(northern, move) == 611
        release = ReleasePledge(**UNITS, account=102, quantity=501, owner_account=101)
        assert await reason_of(huadong, release) == 613
        await huadong.instruct(ReleasePledge(**UNITS, account=102, quantity=100, owner_account=101))
        await huadong.instruct(
            EnforcePledge(
                **UNITS, account=102, quantity=400, owner_account=101, reference="default"
            )
        )
        assert await positions(huadong) == {(102, "REGISTRY", 0): 400}
        thaw = UnfreezeUnits(**UNITS, account=101, quantity=300, reference="(2026) 18")
        waiting = await authority.instruct(thaw)  # of which there is one key
        assert (waiting.kind, waiting.status, waiting.due_ns > 0) == ("UNFREEZE", "PENDING", True)
        approval = ApproveTransfer(
            **UNITS, account=101, quantity=300, transfer_id=waiting.instruction_id
        )
        assert await reason_of(authority, approval) == RegistryReason.SAME_PERSON
        assert await reason_of(northern, approval) == RegistryReason.OTHER_SIDE_DECIDES
        frozen_ones = {(101, "REGISTRY", 0): 300, (101, "FROZEN", 0): 300}
        assert await positions(northern) == frozen_ones
        await operator.instruct(approval)
        assert await positions(northern) == {(101, "REGISTRY", 0): 600}


async def test_each_kind_has_its_givers(whole: House) -> None:
    before = await whole.ends()
    pledge = PledgeUnits(**UNITS, account=101, quantity=1, lender_account=102)
    release = ReleasePledge(**UNITS, account=102, quantity=1, owner_account=101)
    enforce = EnforcePledge(**UNITS, account=102, quantity=1, owner_account=101, reference="x")
    thaw = UnfreezeUnits(**UNITS, account=101, quantity=1, reference="x")
    refused: tuple[tuple[str, Instruction], ...] = (
        ("northern", FREEZE),
        ("northern", thaw),
        ("huadong", pledge),  # not its account
        ("operator", pledge),
        ("authority", pledge),
        ("northern", release),  # the owner cannot release
        ("northern", enforce),
        ("operator", release),
        ("authority", enforce),
    )
    for name, instruction in refused:
        async with whole.client(name) as client:
            with pytest.raises(PermissionDeniedError):
                await client.instruct(instruction)
    async with whole.client("operator") as operator:
        empty = FreezeUnits(**UNITS, account=101, quantity=1, reference=" ")
        assert await reason_of(operator, empty) == 615
        for reference in ("a\nb", "x" * 400):
            wrong = FreezeUnits(**UNITS, account=101, quantity=1, reference=reference)
            with pytest.raises(BadRequestError, match="reference"):
                await operator.instruct(wrong)
    assert await whole.ends() == before


async def test_the_command_line_freezes_and_pledges(whole: House, tmp_path: Path) -> None:
    files = {}
    for name in ("operator", "controller", "northern", "huadong"):
        files[name] = str(tmp_path / f"{name}.key")
        save_key(Path(files[name]), whole.keys[name]._replace(url=whole.url))
    async with whole.client("operator") as operator:
        await operator.instruct(IssueUnits(**UNITS, account=101, quantity=1_000, year=2024))

    async def run(name: str, *arguments: str, code: int = 0) -> str:
        given = [*arguments, "--key-file", files[name]]
        done = await asyncio.to_thread(CliRunner().invoke, build(), given)
        assert done.exit_code == code, (arguments, done.output, done.exception)
        return done.output

    order = ("--account", "101", "--reference", "court 7")
    assert "DONE: FREEZE 300 t EUA" in await run("operator", "freeze", "EUA", "300", *order)
    waiting = await run("operator", "unfreeze", "EUA", "50", *order)
    assert "UNFREEZE 50 t EUA" in waiting
    listed = msgspec.json.decode(await run("controller", "transfers", "--json"))
    assert (listed["kind"], listed["state"]) == ("UNFREEZE", "PROPOSED")
    number = str(listed["transfer_id"])
    assert number in waiting
    await run("controller", "approve-transfer", "EUA", "50", number, "--account", "101")
    assert "DONE: PLEDGE 400 t EUA" in await run(
        "northern", "pledge", "EUA", "400", "102", "--account", "101"
    )
    refused = await run("northern", "deposit", "EUA", "351", "--account", "101", code=1)
    assert "UNITS_FROZEN (610)" in refused
    assert "250 t are frozen, first of them EUA-000000000051..000000000300" in refused
    shown = await run("huadong", "holdings")
    assert "PLEDGED to 102" in shown
    lent = ("101", "--account", "102")
    assert "DONE: RELEASE_PLEDGE 100 t EUA" in await run(
        "huadong", "release-pledge", "EUA", "100", *lent
    )
    assert "DONE: ENFORCE_PLEDGE 300 t EUA" in await run(
        "huadong", "enforce-pledge", "EUA", "300", *lent, "--reference", "default"
    )
