"""The compliance scene through the real gateway, and what every book says afterwards."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exchange.database import open_database
from exchange.log import open_log
from exchange.messages.instructions import CancelUnits, SurrenderUnits
from exchange.messages.reasons import RegistryReason
from exchange.settings import Settings
from exchange.simulation.proof import prove
from exchange.simulation.scene import OBLIGATION_T, OFFSET_CAP_T, Scene
from gateway.cli.demo import TEMPLATE
from gateway.client import RegistryRefusedError
from gateway.demo.demo_keys import AUTHORITY, VENUE_FILE, YANGTZE
from gateway.demo.demonstration import Demonstration
from gateway.demo.members import EMITTER_ACCOUNT


class ClockAt:
    """The machine's clock, moved to another day: the rulebook goes by the date of the act."""

    def __init__(self, day: datetime) -> None:
        self._shift_ns = int(day.timestamp()) * 10**9 - time.time_ns()

    def now_ns(self) -> int:
        return time.time_ns() + self._shift_ns

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


def settings_for(data: Path) -> Settings:
    return Settings(data=data, venue=data / VENUE_FILE, http_port=0, websocket_port=0)


async def check_refused_tonne(scene: Scene) -> None:
    report = scene.refused
    assert report.reason == RegistryReason.OFFSET_CAP_EXCEEDED
    assert report.rule == "cn-2025-2026-ccer"
    assert "61729 t of CCER refused" in report.text
    assert "61728 t = 500 basis points of surrender_obligation 1234567 t" in report.text
    assert "Order 19" in report.source
    assert "Article 29" in report.source


async def check_nothing_more_can_be_given(demo: Demonstration) -> None:
    emitter = await demo.client(YANGTZE)
    with pytest.raises(RegistryRefusedError) as above:
        await emitter.instruct(
            SurrenderUnits(ref=0, symbol="CCER", account=EMITTER_ACCOUNT, quantity=1, year=2025)
        )
    assert above.value.reason in (
        RegistryReason.OFFSET_CAP_EXCEEDED,
        RegistryReason.SURRENDER_ABOVE_OBLIGATION,
    )
    # the tonne left over has another use
    cancelled = await emitter.instruct(
        CancelUnits(
            ref=0,
            symbol="CCER",
            account=EMITTER_ACCOUNT,
            quantity=1,
            beneficiary="Yangtze Power",
            reason="voluntary",
        )
    )
    assert cancelled.status == "DONE"


async def test_emitter_buys_and_surrenders_and_the_tonne_above_the_cap_is_refused(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path)
    said: list[str] = []
    clock = ClockAt(datetime(2026, 10, 15, 3, tzinfo=UTC))
    async with Demonstration.opened(settings, TEMPLATE, clock) as demo:
        assert (await demo.find()).is_first
        await demo.endow()
        await demo.open_markets()
        scene = await demo.play_scene(said.append)
        assert scene is not None
        await check_refused_tonne(scene)
        assert scene.bought == {"CCER": 61_729, "CEA-2025": 1_172_839}
        assert [report.quantity for report in scene.surrendered] == [
            OFFSET_CAP_T,
            1_172_839,
        ]
        assert scene.refused_vintage.reason == RegistryReason.UNIT_NOT_ELIGIBLE
        assert scene.refused_vintage.rule.startswith("cn-2025-2026")
        assert "these are of 2024" in scene.refused_vintage.text
        authority = await demo.client(AUTHORITY)
        (owed,) = (await authority.holdings("CN")).obligations
        assert (owed.account, owed.year, owed.obligation) == (EMITTER_ACCOUNT, 2025, OBLIGATION_T)
        assert sum(owed.surrendered.values()) == OBLIGATION_T
        assert owed.surrendered["CCER"] == OFFSET_CAP_T
        await check_nothing_more_can_be_given(demo)
        assert await demo.play_scene(said.append) is None
    assert any("refused" in line and "Source" in line for line in said)
    await check_books(settings)


async def check_books(settings: Settings) -> None:
    log, database = open_log(settings), open_database(settings.database, settings.data)
    await log.start()
    try:
        for market in (0, 1):
            checks = await prove(log, database, market)
            assert [check for check in checks if not check.ok] == []
        conserved = next(check for check in checks if check.name == "units conserved")
        assert conserved.figures == (
            "issued 12000000 t = held 10765432 + surrendered 1234567 + cancelled 1"
        )
    finally:
        await log.close()
        await database.close()
