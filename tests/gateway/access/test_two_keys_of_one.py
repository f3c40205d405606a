"""Two keys of one person are one person wherever registry and settlement ask for two."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exchange.messages.executions import InstructionReport
from exchange.messages.instructions import (
    AllocateUnits,
    AppointRepresentative,
    ApproveReversal,
    ApproveTradeCancel,
    ApproveTransfer,
    ApproveTrust,
    CancelUnits,
    DepositUnits,
    Instruction,
    IssueUnits,
    ProposeReversal,
    ProposeTradeCancel,
    ProposeTrust,
    SetAccountType,
    SurrenderUnits,
    TransferUnits,
)
from exchange.messages.reasons import RegistryReason, SettlementReason
from exchange.settings import NOTE_BYTES_MAX
from gateway.client import RefusedError
from tests.gateway.conftest import House, owe
from tests.gateway.registry.test_gateway_registry import ClockOnDay, Seat, whole_house

WEDNESDAY = datetime(2026, 10, 14, 12, tzinfo=UTC)  # 14:00 in Brussels
SEATS: tuple[Seat, ...] = (
    ("operator", 1, "operator", "Li Wei"), ("clerk", 1, "operator", "Li Wei"),
    ("authority", 1, "authority", "Li Wei"), ("registrar", 1, "authority", "Li Wei"),
    ("ministry", 1, "authority", ""),
    ("yangtze", 4, "participant", "Wang (Fang)"), ("deputy", 4, "participant", "Wang (Fang)"),
    ("third", 4, "participant", ""),
)  # fmt: skip
EUA = {"ref": 0, "symbol": "EUA", "account": 103}

Say = Callable[[str, Instruction], Awaitable[InstructionReport]]
Proposed = tuple[str, Instruction]
"""Who gave it, and the approval of it."""


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[House]:
    """Account 103 has 1,000 t, asks for two persons, and three keys may act for it."""
    clock = ClockOnDay(WEDNESDAY)
    async with whole_house(tmp_path, clock, emitter=103, seats=SEATS) as house:
        async with house.client("operator") as operator:
            await operator.instruct(IssueUnits(**EUA, quantity=1_000, year=2025))
            await operator.instruct(SetAccountType(**EUA, account_type="100-7", needs_two=True))
            for key in ("yangtze", "deputy", "third"):
                await operator.instruct(AppointRepresentative(**EUA, representative=key))
        yield house


async def say(house: House, name: str, instruction: Instruction) -> InstructionReport:
    async with house.client(name) as client:
        return await client.instruct(instruction)


def waiting(sent: InstructionReport, quantity: int) -> ApproveTransfer:
    assert sent.status == "PENDING", sent
    return ApproveTransfer(**EUA, quantity=quantity, transfer_id=sent.instruction_id)


async def reversal(house: House) -> Proposed:
    what = {"ref": 0, "symbol": "EUA", "account": 101, "quantity": 30}
    await say(house, "operator", IssueUnits(**what, year=2025))
    gone = await say(house, "northern", CancelUnits(**what, beneficiary="a", reason="b"))
    proposal = ProposeReversal(**what, original_id=gone.instruction_id, reason="a slip")
    sent = await say(house, "operator", proposal)
    return "authority", ApproveReversal(**what, proposal_id=sent.instruction_id)


async def trade_cancel(house: House) -> Proposed:
    mine = {"ref": 0, "symbol": "EUA", "account": 101}
    theirs = {**mine, "account": 102, "quantity": 250}
    await say(house, "operator", IssueUnits(**mine, quantity=600, year=2025))
    await say(house, "northern", DepositUnits(**mine, quantity=600))
    async with (
        house.client("operator") as operator,
        house.client("northern") as northern,
        house.client("huadong") as huadong,
    ):
        await operator.deposit_cash("EU", 102, "100000.00")
        await operator.set_phase("EU", "CONTINUOUS")
        await northern.new_order("EUA", 101, "SELL", 250, "71.25")
        await huadong.new_order("EUA", 102, "BUY", 250, "71.25")

        async def is_known() -> bool:
            return bool((await huadong.trades("EUA")).trades)

        await house.until(is_known)
        trade = (await huadong.trades("EUA")).trades[-1].trade_id
    proposal = ProposeTradeCancel(**theirs, trade_id=trade, reason="wrong price")
    sent = await say(house, "operator", proposal)
    return "authority", ApproveTradeCancel(**theirs, proposal_id=sent.instruction_id)


async def transfer(house: House) -> Proposed:
    await say(house, "operator", SetAccountType(**EUA, account_type="100-12", needs_two=True))
    sent = await say(house, "yangtze", TransferUnits(**EUA, quantity=400, to_account=101))
    return "deputy", waiting(sent, 400)


async def trust(house: House) -> Proposed:
    await say(house, "yangtze", ProposeTrust(**EUA, trusted_account=101))
    return "deputy", ApproveTrust(**EUA, trusted_account=101)


async def issuance(house: House) -> Proposed:
    sent = await say(house, "operator", IssueUnits(**EUA, quantity=500, year=2025))
    return "clerk", waiting(sent, 500)


async def allocation(house: House) -> Proposed:
    await say(house, "operator", SetAccountType(**EUA, account_type="100-7"))
    async with house.client("yangtze") as yangtze, house.client("verifier") as verifier:
        await owe(yangtze, verifier, 2025, 100, "EUA", 103)
    await say(house, "operator", SetAccountType(**EUA, account_type="100-7", needs_two=True))
    given = AllocateUnits(
        **EUA, quantity=80, year=2026, stage="final", method="benchmarking", sector="cement"
    )
    return "registrar", waiting(await say(house, "authority", given), 80)


async def surrender(house: House) -> Proposed:
    async with house.client("yangtze") as yangtze, house.client("verifier") as verifier:
        await owe(yangtze, verifier, 2025, 100, "EUA", 103)
    sent = await say(house, "yangtze", SurrenderUnits(**EUA, quantity=60, year=2025))
    return "deputy", waiting(sent, 60)


@pytest.mark.parametrize(("act", "other"), [
    (reversal, "ministry"), (trade_cancel, "ministry"), (transfer, "third"), (trust, "third"),
    (issuance, "controller"), (allocation, "ministry"), (surrender, "third"),
])  # fmt: skip
async def test_the_second_person_is_not_the_first_with_another_key(
    whole: House, act: Callable[[House], Awaitable[Proposed]], other: str
) -> None:
    again, approval = await act(whole)
    with pytest.raises(RefusedError) as refused:
        await say(whole, again, approval)
    is_trade = isinstance(approval, ApproveTradeCancel)
    wanted = SettlementReason.SAME_PERSON_CANCELS if is_trade else RegistryReason.SAME_PERSON
    assert refused.value.reason == wanted, refused.value
    assert again in str(refused.value)
    assert (await say(whole, other, approval)).status == "DONE"


async def test_who_signed_is_told_with_the_person(whole: House) -> None:
    _, approval = await transfer(whole)
    await say(whole, "third", approval)
    async with whole.client("yangtze") as yangtze:
        (row,) = (await yangtze.transfers()).transfers
    assert (row.given_by, row.approved_by) == ("yangtze (Wang (Fang))", "third")
    assert len(row.given_by) < NOTE_BYTES_MAX
