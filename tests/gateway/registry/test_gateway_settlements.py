"""A trade cancelled by two keys of the authority, over REST, the feed and the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exchange.clock import SystemClock
from exchange.messages.instructions import (
    ApproveTradeCancel,
    DepositUnits,
    FailSettlement,
    IssueUnits,
    ObjectToTrade,
    ProposeTradeCancel,
)
from exchange.messages.reasons import SettlementReason
from gateway.cli import build
from gateway.client import (
    BadRequestError,
    Client,
    PermissionDeniedError,
    SettlementRefusedError,
    save_key,
)
from tests.gateway.conftest import House
from tests.gateway.registry.test_gateway_registry import whole_house

EUA = {"ref": 0, "symbol": "EUA", "account": 102, "quantity": 250}


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[House]:
    async with whole_house(tmp_path, SystemClock()) as house:
        yield house


async def traded(house: House, operator: Client, northern: Client, huadong: Client) -> int:
    """A trade of 250 EUA from Northern to Huadong; its id."""
    await operator.instruct(IssueUnits(ref=0, symbol="EUA", account=101, quantity=1_000, year=2024))
    await northern.instruct(DepositUnits(ref=0, symbol="EUA", account=101, quantity=600))
    await operator.deposit_cash("EU", 102, "100000.00")
    await operator.set_phase("EU", "CONTINUOUS")
    await northern.new_order("EUA", 101, "SELL", 250, "71.25")
    await huadong.new_order("EUA", 102, "BUY", 250, "71.25")

    async def is_known() -> bool:
        return bool((await huadong.trades("EUA")).trades)

    await house.until(is_known)
    return (await huadong.trades("EUA")).trades[-1].trade_id


async def test_a_settled_trade_is_cancelled_by_two(whole: House, tmp_path: Path) -> None:
    async with (
        whole.client("operator") as operator,
        whole.client("authority") as authority,
        whole.client("northern") as northern,
        whole.client("huadong") as huadong,
    ):
        trade = await traded(whole, operator, northern, huadong)
        propose = ProposeTradeCancel(**EUA, trade_id=trade, reason="wrong price")
        for client in (northern, huadong):
            with pytest.raises(PermissionDeniedError):
                await client.instruct(propose)
        with pytest.raises(SettlementRefusedError) as late:
            await huadong.instruct(ObjectToTrade(**EUA, trade_id=trade, reason="not ours"))
        assert late.value.reason == SettlementReason.TRADE_NOT_DUE
        with pytest.raises(SettlementRefusedError) as silent:
            await operator.instruct(FailSettlement(**EUA, trade_id=trade, reason=" "))
        assert silent.value.reason == SettlementReason.WORDS_MISSING
        told = await operator.instruct(propose)
        assert (told.kind, told.status) == ("PROPOSE_TRADE_CANCEL", "DONE")
        (row,) = (await authority.settlements("EU")).proposals
        assert (row.trade_id, row.reason) == (trade, "wrong price")
        assert (await huadong.settlements("EU")).proposals == []
        files = {}
        for name in ("operator", "authority"):
            files[name] = str(tmp_path / f"{name}.key")
            save_key(Path(files[name]), whole.keys[name]._replace(url=whole.url))

        async def run(name: str, *arguments: str, code: int = 0) -> str:
            given = [*arguments, "--key-file", files[name]]
            done = await asyncio.to_thread(CliRunner().invoke, build(), given)
            assert done.exit_code == code, (arguments, done.output, done.exception)
            return done.output

        what = ("EUA", "250", str(row.proposal_id), "--account", "102")
        same = await run("operator", "cancel-trade", "approve", *what, code=1)
        assert "SAME_PERSON_CANCELS (728)" in same
        done = await run("authority", "cancel-trade", "approve", *what)
        assert "DONE: APPROVE_TRADE_CANCEL 250 t EUA" in done
        assert "CANCELL" in await run("operator", "settlements", "--market", "EU")

        async def is_left_out() -> bool:
            return not (await huadong.trades("EUA")).trades

        await whole.until(is_left_out)
        (seen,) = (await huadong.settlements("EU", state="CANCELLED")).trades
        assert (seen.trade_id, seen.buyer_account, seen.seller_account) == (trade, 102, 0)
        assert (await huadong.settlements("EU", state="DUE")).trades == []
        (position,) = (await huadong.positions("EU")).positions
        assert (position.cash.available, position.units) == ("100000.00", [])
        with pytest.raises(SettlementRefusedError) as again:
            await operator.instruct(propose)
        assert again.value.reason == SettlementReason.TRADE_ALREADY_CANCELLED
        with pytest.raises(BadRequestError, match="state"):
            await huadong.settlements("EU", state="GONE")
        with pytest.raises(BadRequestError, match="no id of an instruction"):
            await authority.instruct(ApproveTradeCancel(**EUA, proposal_id=-1))
