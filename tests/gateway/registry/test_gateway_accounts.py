"""Types, trusted lists, blocks and waiting transfers over REST and the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from exchange.clock import SystemClock
from exchange.messages.instructions import (
    AppointRepresentative,
    ApproveTransfer,
    BindAccount,
    BlockAccount,
    CancelTransfer,
    FreezeUnits,
    Instruction,
    IssueUnits,
    ProposeTrust,
    SetAccountType,
    SurrenderUnits,
    TransferUnits,
    UnblockAccount,
)
from exchange.messages.reasons import RegistryReason
from gateway.cli import build
from gateway.client import (
    BadRequestError,
    Client,
    PermissionDeniedError,
    RefusedError,
    RegistryRefusedError,
    save_key,
)
from tests.gateway.conftest import House, owe
from tests.gateway.registry.test_gateway_registry import ClockOnDay, whole_house

WEDNESDAY = datetime(2026, 10, 14, 12, tzinfo=UTC)  # 14:00 in Brussels
HOUR_NS = 3_600 * 10**9
EUA = {"ref": 0, "symbol": "EUA", "account": 103}


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[House]:
    async with whole_house(tmp_path, ClockOnDay(WEDNESDAY)) as house:
        yield house


async def reason_of(client: Client, instruction: Instruction) -> int:
    with pytest.raises(RefusedError) as refused:
        await client.instruct(instruction)
    return refused.value.reason


async def settle_account(operator: Client) -> None:
    """Account 103 becomes an operator's, with two representatives and 1,000 t."""
    await operator.instruct(IssueUnits(**EUA, quantity=1_000, year=2025))
    await operator.instruct(SetAccountType(**EUA, account_type="100-7", needs_two=True))
    for key in ("yangtze", "deputy"):
        await operator.instruct(AppointRepresentative(**EUA, representative=key))


async def test_two_representatives_trust_and_transfer(whole: House) -> None:
    async with (
        whole.client("operator") as operator,
        whole.client("yangtze") as yangtze,
        whole.client("deputy") as deputy,
        whole.client("northern") as northern,
    ):
        await settle_account(operator)
        (row,) = (await yangtze.accounts("EU")).accounts
        assert (row.account, row.account_type, row.eutl_code) == (103, "operator_holding", "100-7")
        assert (row.needs_two, row.representatives) == (True, ["deputy", "yangtze"])
        move = TransferUnits(**EUA, quantity=400, to_account=101)
        assert await reason_of(yangtze, move) == 653
        await yangtze.instruct(ProposeTrust(**EUA, trusted_account=101))
        (row,) = (await deputy.accounts("EU")).accounts
        (proposed,) = row.trusted
        assert (proposed.account, proposed.effective_ns, proposed.proposed_by) == (
            101, 0, "yangtze"
        )  # fmt: skip
        with pytest.raises(PermissionDeniedError):
            await northern.instruct(ProposeTrust(**EUA, trusted_account=101))
        await operator.instruct(SetAccountType(**EUA, account_type="100-12", needs_two=True))
        sent = await yangtze.instruct(move)
        assert (sent.kind, sent.status, sent.due_ns > 0) == ("TRANSFER", "PENDING", True)
        approval = ApproveTransfer(**EUA, quantity=400, transfer_id=sent.instruction_id)
        assert await reason_of(yangtze, approval) == 618
        approved = await deputy.instruct(approval)
        assert (approved.kind, approved.status) == ("APPROVE_TRANSFER", "DONE")
        (waiting,) = (await northern.transfers()).transfers  # the receiver sees it too
        assert (waiting.state, waiting.given_by, waiting.approved_by) == (
            "WAITING", "yangtze", "deputy"
        )  # fmt: skip
        noon = int(WEDNESDAY.timestamp()) * 10**9 - 2 * HOUR_NS  # 12:00 in Brussels
        assert waiting.due_ns == noon + 48 * HOUR_NS
        assert waiting.cancel_until_ns == noon + 46 * HOUR_NS
        again = await yangtze.instruction(sent.instruction_id, "EU")
        assert (again.status, again.due_ns) == ("PENDING", waiting.due_ns)


async def test_two_representatives_surrender(tmp_path: Path) -> None:
    async with (
        whole_house(tmp_path, ClockOnDay(WEDNESDAY), emitter=103) as whole,
        whole.client("operator") as operator,
        whole.client("verifier") as verifier,
        whole.client("yangtze") as yangtze,
        whole.client("deputy") as deputy,
    ):
        await settle_account(operator)
        await owe(yangtze, verifier, 2025, 100, "EUA", 103)
        sent = await yangtze.instruct(SurrenderUnits(**EUA, quantity=60, year=2025))
        assert (sent.kind, sent.status, sent.due_ns > 0) == ("SURRENDER", "PENDING", True)
        (waiting,) = (await deputy.transfers()).transfers
        assert (waiting.kind, waiting.year, waiting.state) == ("SURRENDER", 2025, "PROPOSED")
        held = {row.position: row.quantity for row in (await yangtze.holdings("EU")).holdings}
        assert held == {"REGISTRY": 940, "PENDING": 60}
        approval = ApproveTransfer(**EUA, quantity=60, transfer_id=sent.instruction_id)
        assert await reason_of(yangtze, approval) == 618
        assert await reason_of(operator, approval) == 688
        await deputy.instruct(approval)
        done = await yangtze.instruction(sent.instruction_id, "EU")
        assert (done.status, done.due_ns, done.ranges[0].last) == ("DONE", 0, 60)
        (owed,) = (await yangtze.holdings("EU")).obligations
        assert owed.surrendered == {"EUA": 60}
        assert (await deputy.transfers()).transfers == []
        again = await yangtze.instruct(SurrenderUnits(**EUA, quantity=40, year=2025))
        await deputy.instruct(CancelTransfer(**EUA, transfer_id=again.instruction_id))
        back = await yangtze.instruction(again.instruction_id, "EU")
        assert (back.status, back.reason, back.text) == ("REFUSED", 664, "CANCELLED")


async def test_blocks_and_what_the_edge_refuses(whole: House) -> None:
    async with whole.client("operator") as operator, whole.client("yangtze") as yangtze:
        await settle_account(operator)
        before = await whole.ends()
        assert await reason_of(operator, BlockAccount(**EUA, reference=" ")) == 615
        for body in (
            SetAccountType(**EUA, account_type="100-12"),
            AppointRepresentative(**EUA, representative="yangtze"),
            BlockAccount(**EUA, reference="x"),
            UnblockAccount(**EUA, reference="x", block_id=1),
            BindAccount(**EUA, bound_account=0, bound_market="CN"),
        ):
            with pytest.raises(PermissionDeniedError):
                await yangtze.instruct(body)
        for wrong in (
            ProposeTrust(**EUA, trusted_account=999),
            ApproveTransfer(**EUA, quantity=1, transfer_id=-1),
        ):
            with pytest.raises((BadRequestError, RefusedError)):
                await yangtze.instruct(wrong)
        with pytest.raises(BadRequestError, match="none of"):
            await operator.instruct(BindAccount(**EUA, bound_account=203, bound_market="XX"))
        assert await whole.ends() == before
        await operator.instruct(BlockAccount(**EUA, reference="file 7"))
        (row,) = (await yangtze.accounts("EU")).accounts
        assert row.block == "file 7"
        await operator.instruct(BlockAccount(**EUA, reference="file 9"))
        (row,) = (await yangtze.accounts("EU")).accounts
        assert [block.reference for block in row.blocks] == row.block.split("; ")
        assert [(block.set_by, block.time_ns > 0) for block in row.blocks] == [
            ("operator", True)
        ] * 2
        end = UnblockAccount(**EUA, reference="x")
        assert await reason_of(operator, end) == RegistryReason.BLOCK_NOT_NAMED
        last = msgspec.structs.replace(end, block_id=row.blocks[1].block_id)
        await operator.instruct(last)
        (waiting,) = (await operator.transfers("EU")).transfers
        assert (waiting.block_id, waiting.year) == (last.block_id, 0)
        async with whole.client("controller") as controller:
            await controller.instruct(
                ApproveTransfer(**EUA, quantity=0, transfer_id=waiting.transfer_id)
            )
        (row,) = (await yangtze.accounts("EU")).accounts
        assert row.block == "file 7"
        move = TransferUnits(**EUA, quantity=1, to_account=101)
        with pytest.raises(RegistryRefusedError, match="file 7") as refused:
            await yangtze.instruct(move)
        assert refused.value.reason == 654
        await operator.instruct(BindAccount(**EUA, bound_account=203, bound_market="CN"))
        (row,) = (await yangtze.accounts("EU")).accounts
        assert (row.bound_market, row.bound_account) == ("CN", 203)


async def test_a_surrender_over_two_registries(tmp_path: Path) -> None:
    ccer = {"ref": 0, "symbol": "CCER"}
    async with (
        whole_house(tmp_path, ClockOnDay(WEDNESDAY)) as house,
        house.client("operator") as operator,
        house.client("verifier") as verifier,
        house.client("yangtze") as yangtze,
    ):
        await owe(yangtze, verifier, 2025, 1_000)
        surrender = SurrenderUnits(**ccer, account=203, quantity=10, year=2025)
        assert await reason_of(yangtze, surrender) == 601  # unbound: it has none itself
        await operator.instruct(IssueUnits(**ccer, account=202, quantity=100, year=2025))
        await operator.instruct(
            SetAccountType(**ccer, account=202, account_type="ccer_general_holding")
        )
        for account, other in ((202, 203), (203, 202)):
            await operator.instruct(
                BindAccount(**ccer, account=account, bound_account=other, bound_market="CN")
            )
        done = await yangtze.instruct(surrender)
        assert (done.kind, done.status, done.quantity) == ("SURRENDER", "DONE", 10)
        (owed,) = (await yangtze.holdings()).obligations
        assert owed.surrendered == {"CCER": 10}
        held = {row.position: row.quantity for row in (await operator.holdings("CN")).holdings}
        assert held == {"REGISTRY": 90}
        too_many = SurrenderUnits(**ccer, account=203, quantity=40, year=2025)
        await operator.instruct(FreezeUnits(**ccer, account=202, quantity=80, reference="(2026) 7"))
        with pytest.raises(RegistryRefusedError, match="80 t are frozen") as refused:
            await yangtze.instruct(too_many)
        assert refused.value.reason == 610  # the reason of the other registry


def terminal(house: House, folder: Path) -> Callable[..., Awaitable[str]]:
    """Runs a command with the key of a name; what it printed."""
    files = {}
    for name in ("operator", "controller", "yangtze", "deputy"):
        files[name] = str(folder / f"{name}.key")
        save_key(Path(files[name]), house.keys[name]._replace(url=house.url))

    async def run(name: str, *arguments: str, code: int = 0) -> str:
        given = [*arguments, "--key-file", files[name]]
        done = await asyncio.to_thread(CliRunner(env={"COLUMNS": "240"}).invoke, build(), given)
        assert done.exit_code == code, (arguments, done.output, done.exception)
        return done.output

    return run


def instruction_in(said: str) -> str:
    return said.split("instruction ")[1].split(",")[0].strip()


async def test_the_command_line(tmp_path: Path) -> None:
    async with whole_house(tmp_path, SystemClock()) as house:
        run = terminal(house, tmp_path)
        mine = ("--account", "103")
        assert "DONE: SET_ACCOUNT_TYPE" in await run(
            "operator", "account", "type", "EUA", "100-12", "--needs-two", *mine
        )
        for key in ("yangtze", "deputy"):
            await run("operator", "account", "appoint", "EUA", key, *mine)
        year = str(datetime.now(UTC).year)
        assert "DONE: CONFIRM_ACCOUNT" in await run(
            "yangtze", "account", "confirm", "EUA", year, *mine
        )
        assert year in (await run("yangtze", "accounts")).split("bound to")[1]
        assert "QUANTITY_OUT_OF_RANGE (607)" in await run(
            "yangtze", "account", "confirm", "EUA", "2020", *mine, code=1
        )
        said = await run("operator", "issue", "EUA", "500", "2025", *mine)
        assert "PENDING: ISSUE 500 t EUA" in said
        number = instruction_in(said)
        listed = await run("yangtze", "transfers")
        assert all(word in listed for word in (number, "ISSUE", "2025", "PROPOSED", "operator"))
        approval = ("approve-transfer", "EUA", "500", number, *mine)
        assert "SAME_PERSON (618)" in await run("operator", *approval, code=1)
        assert "OTHER_SIDE_DECIDES (688)" in await run("deputy", *approval, code=1)
        assert "DONE: APPROVE_TRANSFER" in await run("controller", *approval)
        async with house.client("operator") as operator:
            done = await operator.instruction(int(number), "EU")
        assert (done.kind, done.status, done.ranges[0].last) == ("ISSUE", "DONE", 500)
        await run("yangtze", "trust", "propose", "EUA", "102", *mine)
        assert "102 proposed by yangtze" in await run("deputy", "accounts", "--market", "EU")
        assert "SAME_PERSON (618)" in await run(
            "yangtze", "trust", "approve", "EUA", "102", *mine, code=1
        )
        await run("deputy", "trust", "approve", "EUA", "102", *mine)
        assert "102 from 20" in await run("deputy", "accounts")
        await run("yangtze", "trust", "remove", "EUA", "102", *mine)
        said = await run("yangtze", "transfer", "EUA", "20", "101", *mine)
        assert all(words in said for words in ("PENDING: TRANSFER 20 t EUA", "waits until"))
        number = instruction_in(said)
        listed = await run("yangtze", "transfers")
        assert number in listed
        assert "PROPOSED" in listed
        await run("deputy", "approve-transfer", "EUA", "20", number, *mine)
        assert "WAITING" in await run("yangtze", "transfers")
        said = await run("operator", "account", "block", "EUA", *mine, "--reference", "file 7")
        assert "ACCOUNT_BLOCKED (654)" in await run(
            "yangtze", "transfer", "EUA", "20", "101", *mine, code=1
        )
        block, end = instruction_in(said), ("unblock", "EUA", *mine, "--reference", "x", "--block")
        assert f"{block} file 7" in await run("operator", "accounts", "--market", "EU")
        wrong = await run("operator", "account", *end, number, code=1)
        assert "ACCOUNT_NOT_BLOCKED" in wrong
        said = await run("operator", "account", *end, block)
        waits = ("approve-transfer", "EUA", "0", instruction_in(said), *mine)
        assert "SAME_PERSON" in await run("operator", *waits, code=1)
        await run("controller", *waits)
        assert "file 7" not in await run("operator", "accounts", "--market", "EU")
        assert "DONE: CANCEL_TRANSFER" in await run(
            "yangtze", "cancel-transfer", "EUA", number, *mine
        )
        await run("operator", "account", "bind", "EUA", "203", "CN", *mine)
        await run("operator", "account", "dismiss", "EUA", "deputy", *mine)
        assert "CN 203" in await run("yangtze", "accounts", "--market", "EU")
