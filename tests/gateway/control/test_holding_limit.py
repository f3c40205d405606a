"""The holding limit of California's rule, set by an operator and kept by the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from exchange.messages.reasons import Reason
from exchange.reference.venue import Instrument
from exchange.rulebook import load_rulebook
from gateway.cli import build
from gateway.cli.operators import holding_request
from gateway.client import Client, SigningKey, VenueError
from gateway.client.keys import save_key
from gateway.replies.limits import LimitsReply
from tests.gateway.conftest import House, demo_venue

NUMBER, SYMBOL = 90, "CCA-2026"


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The demonstration venue with allowances and offsets of California in its first market."""
    venue, keys = demo_venue()
    like = next(item for item in venue.instrument if item.market == "EU")
    parameters = like.parameters | {"quantity_max": 10**9, "value_max": 0}
    more = [
        msgspec.structs.replace(
            like, id=number, symbol=symbol, product=product, scheme=scheme, kind=kind,
            parameters=parameters,
        )
        for number, symbol, product, scheme, kind in (
            (NUMBER, SYMBOL, "CA-ALLOWANCE", "ca-qc", "allowance"),
            (91, "ARBOC", "ARBOC", "ca-qc", "offset"),
            (92, "BEA", "BEA", "cn-pilot-beijing", "allowance"),
        )
    ]  # fmt: skip
    venue = msgspec.structs.replace(venue, instrument=(*venue.instrument, *more))
    made = House(tmp_path / "venue", venue, keys)
    await made.start()
    await made.endow()
    try:
        yield made
    finally:
        await made.close()


async def refused(client: Client, quantity: int, symbol: str = SYMBOL, account: int = 103) -> None:
    with pytest.raises(VenueError) as error:
        await client.new_order(symbol, account, "BUY", quantity, "71.00")
    assert error.value.reason == Reason.HOLDING_ABOVE_MAX, error.value.text


async def test_the_rule_becomes_the_limit_of_every_account(house: House, tmp_path: Path) -> None:
    key = house.keys["operator"]
    save_key(tmp_path / "key.toml", SigningKey(key.id, key.private, house.url))

    async def run(*words: str) -> Any:
        asked = ["holding-limit", *words, "--key-file", str(tmp_path / "key.toml")]
        return await asyncio.to_thread(CliRunner().invoke, build(asked[0]), asked)

    done = await run("EU", SYMBOL, "300000000")
    assert done.exit_code == 0, (done.output, done.exception)
    # a tenth of 25 Mt and a fortieth of the other 275 Mt
    assert "9,375,000 t: holding limit of ca-qc for a budget of 300000000 t, by" in done.output
    assert "DONE" in done.output
    async with house.client("yangtze") as client:
        told = await client.rest.get("/limits", LimitsReply)
        row = next(item for item in told.instruments if item.symbol == SYMBOL)
        assert row.limits["HOLDING_MAX"] == 9_375_000
        await refused(client, 9_375_001)
        assert (await client.new_order(SYMBOL, 103, "BUY", 9_375_000, "71.00")).exec_type == "NEW"
        await refused(client, 1)
    # a larger budget is a looser limit: another operator approves it
    looser = await run("EU", SYMBOL, "300000040")
    assert "9,375,001 t" in looser.output
    assert "PROPOSED" in looser.output
    for words, text in (
        (("EU", "EUA", "300000000"), "no holding limit for EUA of eu-ets"),
        (("EU", "ARBOC", "300000000"), "no holding limit for ARBOC of ca-qc"),
        (("CN", SYMBOL, "300000000"), "market CN has no instrument"),
        (("EU", SYMBOL, "24999999"), "is under the base 25000000 t"),
    ):
        wrong = await run(*words)
        assert wrong.exit_code == 2
        assert text in wrong.output


async def test_beijing_bounds_the_covered_by_their_allocation(house: House, tmp_path: Path) -> None:
    for name in ("operator", "controller"):
        key = house.keys[name]
        save_key(tmp_path / f"{name}.toml", SigningKey(key.id, key.private, house.url))

    async def run(*words: str, by: str = "operator") -> str:
        asked = [*words, "--key-file", str(tmp_path / f"{by}.toml")]
        done = await asyncio.to_thread(CliRunner().invoke, build(asked[0]), asked)
        assert done.exit_code == 0, (done.output, done.exception)
        return str(done.output)

    others = await run("holding-limit", "EU", "BEA")
    assert "1,000,000 t: position limit of bj-public for who is not covered" in others
    assert "published above 500000 t" in others
    covered = await run("holding-limit", "EU", "BEA", "800000", "--account", "103")
    assert "1,800,000 t: position limit of bj-public for account 103 with 800000 t" in covered
    assert "published above 1300000 t" in covered
    if "PROPOSED" in covered:
        number = covered.split("PROPOSED")[1].split()[0].strip(":,")
        await run("approve", "EU", number, by="controller")
    async with house.client("yangtze") as client:
        await refused(client, 1_800_001, "BEA")
        done = await client.new_order("BEA", 103, "BUY", 1_800_000, "71.00")
        assert done.exec_type == "NEW"
        await refused(client, 1, "BEA")
    async with house.client("northern") as client:
        await refused(client, 1_000_001, "BEA", 101)
        done = await client.new_order("BEA", 101, "BUY", 1_000_000, "71.00")
        assert done.exec_type == "NEW"


@pytest.mark.parametrize(
    ("symbol", "scheme", "budget", "account", "told"),
    [
        ("BEA", "cn-pilot-beijing", 5, 0, "give --account, for BEA"),
        ("BEA", "cn-pilot-beijing", -1, 103, "an allocation of -1 t is below 0"),
        ("CA-ALLOWANCE", "ca-qc", 25_000_000, 103, "is one for all: leave --account out"),
    ],
)
def test_what_the_rules_do_not_say(
    symbol: str, scheme: str, budget: int, account: int, told: str
) -> None:
    row: Any = Instrument(NUMBER, "EU", symbol, symbol, scheme, "allowance")
    with pytest.raises(ValueError, match=told):
        holding_request(load_rulebook(), row, budget, account)


@pytest.mark.parametrize(
    ("budget", "limit"),
    [(25_000_000, 2_500_000), (25_000_039, 2_500_000), (25_000_040, 2_500_001)],
)
def test_the_limit_for_a_budget(budget: int, limit: int) -> None:
    row: Any = Instrument(NUMBER, "EU", SYMBOL, "CA-ALLOWANCE", "ca-qc", "allowance")
    request = holding_request(load_rulebook(), row, budget)
    assert (request.parameter, request.symbol, request.value) == ("HOLDING_MAX", SYMBOL, limit)
    with pytest.raises(ValueError, match="under the base"):
        holding_request(load_rulebook(), row, 24_999_999)
