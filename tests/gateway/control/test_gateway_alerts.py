"""Alerts from an order to an operator's screen, the proofs over them, and order records."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.local.venue import TEMPLATE
from exchange.messages.executions import OperationReport
from exchange.messages.frames import Command, Phase, command
from exchange.messages.operations import HandleAlert
from exchange.messages.reasons import AccessReason, EdgeReason
from exchange.metrics import ALERTS_HANDLED
from exchange.surveillance import SurveillanceService, load_limits
from gateway.cli import build
from gateway.client import (
    BadRequestError,
    Client,
    PermissionDeniedError,
    VenueError,
    save_key,
)
from tests.gateway.conftest import House


@pytest.fixture
async def watched(house: House) -> House:
    await house.endow()
    for market in house.venue.market:
        house.run(SurveillanceService(house.log, market, house.venue, load_limits(), house.clock))
    return house


async def wash(northern: Client, symbol: str, account: int, price: str) -> None:
    for _ in range(3):
        await northern.new_order(symbol, account, "SELL", 50, price)
        await northern.new_order(symbol, account, "BUY", 50, price)


async def command_line(*words: str) -> tuple[int, str]:
    done = await asyncio.to_thread(CliRunner().invoke, build(words[0]), list(words))
    return done.exit_code, done.output


async def test_from_orders_to_alerts_and_records(
    watched: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = watched
    async with house.client("northern") as northern, house.client("operator") as operator:
        await wash(northern, "EUA", 101, "71.25")
        await wash(northern, "CCER", 201, "83.50")

        async def both_told() -> bool:
            return len((await operator.alerts()).alerts) == 2

        await house.until(both_told)
        newest, oldest = (await operator.alerts()).alerts
        assert (oldest.id, oldest.kind, oldest.symbol) == ("EU-1", "WASH_TRADE", "EUA")
        assert (newest.id, newest.market, newest.symbol) == ("CN-1", "CN", "CCER")
        assert (oldest.accounts, oldest.participants, oldest.score) == ([101], [2], 10_000)
        assert oldest.figures == {"trades": 3, "quantity": 150}
        assert oldest.events[0] < oldest.events[1]
        assert oldest.from_ns < oldest.to_ns
        assert [a.id for a in (await operator.alerts("EU")).alerts] == ["EU-1"]
        assert [a.id for a in (await operator.alerts(limit=1)).alerts] == ["CN-1"]
        assert (await operator.alerts("EU", after=1)).alerts == []
        assert (await operator.alerts(kind="LAYERING")).alerts == []
        for name in ("northern", "verifier"):
            async with house.client(name) as other:
                with pytest.raises(PermissionDeniedError):
                    await other.alerts()
        with pytest.raises(BadRequestError):
            await operator.alerts(limit=0)
        async with house.client("authority") as authority:
            assert len((await authority.alerts()).alerts) == 2
        await check_handling(house, operator, tmp_path)
    await house.append(0, [command(Command.PHASE_CHANGE, order_type=Phase.HALT)])
    monkeypatch.delenv("EXCHANGE_LOG", raising=False)
    monkeypatch.setenv("EXCHANGE_VENUE", str(TEMPLATE))
    key = house.keys["operator"]._replace(url=house.url)
    save_key(tmp_path / "operator.key", key)
    code, text = await command_line("alerts", "--key-file", str(tmp_path / "operator.key"))
    assert code == 0
    assert "EU-1" in text
    await check_surveil(tmp_path)
    await check_records(tmp_path)


async def check_handling(house: House, operator: Client, data: Path) -> None:
    """Open, taken, closed, open again: who may, what is refused, and what a new gateway reads."""

    async def handle(client: Client, number: int, state: Any, reason: str = "") -> OperationReport:
        body = HandleAlert(ref=0, market="EU", number=number, state=state, reason=reason)
        return await client.operate("/operations/alert", body)

    async def stands(client: Client) -> tuple[str, str, str]:
        (row,) = (await client.alerts("EU")).alerts
        return row.state, row.handled_by, row.handled_reason

    assert await stands(operator) == ("OPEN", "", "")
    for number, state, reason, refused in (
        (1, "OPEN", "again", AccessReason.ALERT_NOT_OPEN),
        (1, "CLOSED", "", EdgeReason.INVALID_FIELD),
        (2, "TAKEN", "", EdgeReason.NOT_FOUND),
        (0, "TAKEN", "", EdgeReason.NOT_FOUND),
    ):
        with pytest.raises(VenueError) as caught:
            await handle(operator, number, state, reason)
        assert caught.value.reason == refused
    async with house.client("northern") as other:
        with pytest.raises(PermissionDeniedError):
            await handle(other, 1, "TAKEN")
    assert (await handle(operator, 1, "TAKEN")).status == "DONE"
    assert await stands(operator) == ("TAKEN", "operator", "")
    async with house.client("authority") as authority:
        await handle(authority, 1, "CLOSED", "one owner's two desks")
    closed = ("CLOSED", "authority", "one owner's two desks")
    assert await stands(operator) == closed
    with pytest.raises(VenueError, match="is CLOSED by authority"):
        await handle(operator, 1, "TAKEN")
    told = {state: [a.id for a in (await operator.alerts(state=state)).alerts]
            for state in ("OPEN", "TAKEN", "CLOSED")}  # fmt: skip
    assert told == {"OPEN": ["CN-1"], "TAKEN": [], "CLOSED": ["EU-1"]}
    await house.stop("gateway")  # what people did stands on the log
    await house.open_gateway()
    async with house.client("operator") as again:
        assert await stands(again) == closed
        gauge = ALERTS_HANDLED.labels("EU", "CLOSED")._value
        await house.until(lambda: gauge.get() == 1)
        save_key(data / "again.key", house.keys["operator"]._replace(url=house.url))
        words = ("--key-file", str(data / "again.key"))
        assert (await command_line("handle-alert", "EU-1", "OPEN", *words))[0] == 1
        code, text = await command_line("handle-alert", "EU-1", "OPEN", "--reason", "new", *words)
        assert (code, text) == (0, "DONE: alert EU-1 is OPEN\n")
        code, text = await command_line("alerts", "--market", "EU", "--json", *words)
        assert json.loads(text)["state"] == "OPEN"
        code, text = await command_line("alerts", "--state", "OPEN", "--market", "EU", *words)
        title, names, *rows = [line.split("\t") for line in text.splitlines()]
        assert (title, len(rows)) == (["Alerts"], 1)
        row = dict(zip(names, rows[0], strict=True))
        assert (row["alert"], row["state"], row["by"]) == ("EU-1", "OPEN", "operator")
        assert (await command_line("alerts", "--state", "LOST", *words))[0] == 2
        assert (await command_line("handle-alert", "EU", "TAKEN", *words))[0] == 2


async def check_surveil(data: Path) -> None:
    code, text = await command_line("surveil", "--data", str(data), "--format", "jsonl")
    assert code == 0, text
    told = [json.loads(line) for line in text.splitlines()]
    assert [(a["market"], a["number"], a["kind"]) for a in told] == [
        ("EU", 1, "WASH_TRADE"),
        ("CN", 1, "WASH_TRADE"),
    ]
    assert (code, text) == await command_line("surveil", "--data", str(data), "--format", "jsonl")
    code, text = await command_line("surveil", "--data", str(data), "--market", "EU")
    assert code == 0
    assert "1 alerts in EU" in text
    code, text = await command_line("surveil", "--data", str(data), "--check")
    assert code == 0, text
    assert "1 alerts made anew, 1 records compared" in text
    limits = data / "narrow.toml"
    limits.write_text("[WASH_TRADE]\ntrades_min = 4\n")
    code, text = await command_line(
        "surveil", "--data", str(data), "--limits", str(limits), "--format", "jsonl"
    )
    assert (code, text) == (0, "")
    limits.write_text("[WASH]\ntrades_min = 4\n")
    code, text = await command_line("surveil", "--data", str(data), "--limits", str(limits))
    assert code == 2
    assert "[WASH] is no kind" in text


async def check_records(data: Path) -> None:
    code, text = await command_line("records", "--data", str(data), "--account", "101")
    assert code == 0, text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["market"] for row in rows} == {"EU"}
    assert {row["order_book_code"] for row in rows} == {"EUA"}
    assert [row["event"] for row in rows] == ["NEWO", "NEWO", "FILL", "FILL"] * 3
    fill = rows[2]
    assert (fill["transaction_price"], fill["traded_quantity"]) == ("71.25", "50")
    assert (fill["side"], fill["passive_or_aggressive"]) == ("SELL", "PASV")
    order = fill["order_id"]
    code, text = await command_line(
        "records", "--data", str(data), "--market", "EU", "--order", order, "--format", "jsonl"
    )
    told = [json.loads(line) for line in text.splitlines()]
    assert code == 0
    assert [(row["event"], str(row["order_id"])) for row in told] == [
        ("NEWO", order),
        ("FILL", order),
    ]
    code, text = await command_line("records", "--data", str(data), "--to", "2001-01-01")
    assert (code, len(text.splitlines())) == (0, 2)
    code, text = await command_line(
        "records", "--data", str(data), "--market", "EU", "--order", "1"
    )
    assert (code, text.splitlines()[0]) == (0, "exchange: no record of EU fits, order 1")
    code, text = await command_line("records", "--data", str(data), "--from", "soon")
    assert code == 2
    assert "--from 'soon': write YYYY-MM-DD" in text


@pytest.mark.parametrize("name", ["surveil", "records"])
def test_a_folder_without_a_log_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("EXCHANGE_LOG", raising=False)
    done = CliRunner().invoke(build(name), [name, "--data", str(tmp_path)])
    assert done.exit_code == 2
    assert "no log.sqlite there" in done.output
    assert list(tmp_path.iterdir()) == []
