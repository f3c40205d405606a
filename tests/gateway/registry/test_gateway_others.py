"""What a province holds for an entity at risk, over REST and the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from exchange.messages.instructions import (
    AllocateUnits,
    SetAccountType,
    SurrenderUnits,
    UnfreezeUnits,
)
from gateway.cli import build
from gateway.client import BadRequestError, Client, save_key
from tests.gateway.conftest import House, owe
from tests.gateway.registry.test_gateway_registry import whole_house
from tests.gateway.registry.test_gateway_years import Calendar, refused

PROVINCE, ENTITY = 201, 203
CEA = {"ref": 0, "symbol": "CEA-2025"}
FINAL = AllocateUnits(
    **CEA, account=ENTITY, year=2025, quantity=1_000, stage="final", method="benchmarking",
    sector="power", held_by=PROVINCE,
)  # fmt: skip
FORCED = SurrenderUnits(**CEA, account=PROVINCE, quantity=900, year=2025, for_account=ENTITY)
REST = UnfreezeUnits(**CEA, account=PROVINCE, quantity=100, reference="rest", held_for=ENTITY)


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[House]:
    async with whole_house(tmp_path, Calendar(datetime(2026, 9, 1, 3, tzinfo=UTC))) as house:
        yield house


async def held(client: Client) -> dict[tuple[int, str], int]:
    rows = (await client.holdings("CN")).holdings
    return {(row.account, row.position): row.quantity for row in rows}


async def test_held_forced_and_released(whole: House, tmp_path: Path) -> None:
    async with (
        whole.client("authority") as authority,
        whole.client("verifier") as verifier,
        whole.client("yangtze") as yangtze,
    ):
        await owe(yangtze, verifier, 2025, 900)
        assert await refused(authority, FINAL) == 676
        kind = SetAccountType(**CEA, account=PROVINCE, account_type="cn_provincial_authority")
        await authority.instruct(kind)
        given = await authority.instruct(FINAL)
        assert (given.status, given.ranges[0].last) == ("DONE", 1_000)
        assert await held(authority) == {(PROVINCE, "FROZEN"): 1_000}
        assert await refused(yangtze, SurrenderUnits(**CEA, account=ENTITY, quantity=1, year=2025))
        assert await refused(authority, REST) == 678
        for wrong in ({"for_account": -1}, {"project": 7}):
            with pytest.raises(BadRequestError):
                await authority.instruct(msgspec.structs.replace(FORCED, **wrong))
        await authority.instruct(msgspec.structs.replace(FORCED, quantity=400))
        name = str(tmp_path / "authority.key")
        save_key(Path(name), whole.keys["authority"]._replace(url=whole.url))
        for line in (
            "surrender CEA-2025 500 2025 --account 201 --for-account 203 --yes",
            "unfreeze CEA-2025 99 --account 201 --reference rest --held-for 203",
        ):
            words = [*line.split(), "--key-file", name]
            done = await asyncio.to_thread(CliRunner().invoke, build(), words)
            assert done.exit_code == 0, done.output
        assert await held(authority) == {(PROVINCE, "FROZEN"): 1, (ENTITY, "REGISTRY"): 99}
        year = await yangtze.compliance_year(ENTITY, "cn-national", 2025)
        assert (year.final, year.surrendered, year.owed) == (1_000, 900, 0)
