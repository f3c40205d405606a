"""SurveillanceService: every alert once, through restarts, faults and other limits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from benchmarks.surveillance.abuse import ABUSE
from benchmarks.surveillance.ordinary import Ordinary
from benchmarks.surveillance.stage import Stage
from exchange import topics
from exchange.clock import SystemClock
from exchange.log.embedded import EmbeddedLog
from exchange.log.protocol import AppendUncertainError, LogUnavailableError, UnknownPartitionError
from exchange.messages.alerts import Alert, AlertRecord
from exchange.messages.frames import ChainBrokenError
from exchange.reference.venue import Instrument, Market, Venue
from exchange.surveillance import Monitor, SurveillanceService, load_limits
from exchange.surveillance.limits import Limits
from exchange.surveillance.records import (
    AlertFollower,
    AlertsBrokenError,
    compare,
    decode_record,
    encode_record,
)
from tests.matching import flows
from tests.matching.flows import Flow

EVENTS, ALERTS = topics.events(0), topics.alerts(0)
MARKET = Market(code="XX", partition=0, currency="EUR")
EUA = Instrument(1, "XX", "EUA", "EUA", "eu-ets", "allowance")
VENUE = Venue("Test", (MARKET,), (EUA,))
LIMITS = load_limits()
KINDS = ("WASH_TRADE", "LAYERING", "CIRCULAR_TRADING", "BLOCK_OFF_MARKET", "SPOOFING")


@pytest.fixture(scope="module")
def stage() -> Stage:
    stage = Stage(LIMITS)
    day = Ordinary(stage, 5)
    for kind in KINDS:
        ABUSE[kind](stage, day, 1)
        day.steps(5)
    assert len(stage.alerts) >= len(KINDS)
    return stage


def service_of(log: Any, limits: Limits = LIMITS) -> SurveillanceService:
    return SurveillanceService(log, MARKET, VENUE, limits, SystemClock())


async def run_until(service: SurveillanceService, inputs: int) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop))
    async with asyncio.timeout(20):
        while not (service.is_ready and service.input_offset >= inputs) and not task.done():
            await asyncio.sleep(0.005)
    stop.set()
    await task


def read(log: Any) -> list[AlertRecord]:
    follower = AlertFollower()
    return [r for row in log.rows[ALERTS] if (r := follower.accept(row.value)) is not None]


def told(log: Any) -> list[Alert]:
    return [alert for record in read(log) for alert in record.alerts]


async def test_it_tells_every_alert_once_through_restarts(memory_log: Any, stage: Stage) -> None:
    third = len(stage.parts) // 3
    for until in (third, 2 * third, len(stage.parts)):
        memory_log.take(EVENTS, stage.parts[len(memory_log.rows[EVENTS]) : until])
        await run_until(service_of(memory_log), until)
    assert told(memory_log) == stage.alerts
    found = await compare(memory_log, MARKET, monitor(LIMITS), LIMITS.digest())
    assert found.differences == ()
    assert (found.alerts, found.unsaid, found.other_limits) == (len(stage.alerts), 0, 0)


async def test_alerts_are_no_warnings_of_the_process(memory_log: Any, stage: Stage) -> None:
    """They would stand between the lines of a demonstration and of a class, on its wall."""
    memory_log.take(EVENTS, stage.parts)
    with capture_logs() as entries:
        await run_until(service_of(memory_log), len(stage.parts))
    levels = {entry["log_level"] for entry in entries if entry["event"] == "alert"}
    assert levels == {"info"}


async def test_uncertain_appends_lose_and_double_nothing(memory_log: Any, stage: Stage) -> None:
    rolls = Flow(2).random

    def fault(partition: Any, values: Any) -> tuple[int, Exception] | None:
        if partition != ALERTS or rolls.random() > 0.6:
            return None
        if rolls.random() < 0.3:
            return 0, LogUnavailableError("no")
        return rolls.randrange(len(values) + 1), AppendUncertainError("timed out")

    memory_log.fault = fault
    memory_log.take(EVENTS, stage.parts)
    await run_until(service_of(memory_log), len(stage.parts))
    assert told(memory_log) == stage.alerts


async def test_two_services_at_once_are_harmless(memory_log: Any, stage: Stage) -> None:
    memory_log.take(EVENTS, stage.parts)
    both = [service_of(memory_log) for _ in range(2)]
    await asyncio.gather(*(run_until(s, len(stage.parts)) for s in both))
    assert told(memory_log) == stage.alerts


async def test_other_limits_leave_what_was_told(memory_log: Any, stage: Stage) -> None:
    half = len(stage.parts) // 2
    memory_log.take(EVENTS, stage.parts[:half])
    await run_until(service_of(memory_log), half)
    before = told(memory_log)
    wash = LIMITS["WASH_TRADE"]
    figures = wash.figures | {"trades_min": 1, "quantity_min_t": 1}
    kinds = LIMITS.kinds | {"WASH_TRADE": msgspec.structs.replace(wash, figures=figures)}
    other = msgspec.structs.replace(LIMITS, kinds=kinds)
    memory_log.take(EVENTS, stage.parts[half:])
    await run_until(service_of(memory_log, other), len(stage.parts))
    after = told(memory_log)
    assert before
    assert after[: len(before)] == before
    assert [alert.number for alert in after] == list(range(1, len(after) + 1))
    found = await compare(memory_log, MARKET, monitor(other), other.digest())
    assert found.differences == ()
    assert found.other_limits == len(before)
    assert found.compared == len(read(memory_log)) - len(before)


async def test_an_altered_alert_a_missing_one_and_one_too_many_are_found(
    memory_log: Any, stage: Stage
) -> None:
    memory_log.take(EVENTS, stage.parts)
    await run_until(service_of(memory_log), len(stage.parts))
    rows, victim = memory_log.rows[ALERTS], memory_log.rows[ALERTS][1]
    record = decode_record(victim.value)

    async def differences(value: AlertRecord) -> tuple[str, ...]:
        rows[1] = victim._replace(value=encode_record(value))
        found = await compare(memory_log, MARKET, monitor(LIMITS), LIMITS.digest())
        return found.differences

    assert await differences(record) == ()
    milder = msgspec.structs.replace(record.alerts[0], score=1)
    assert len(await differences(msgspec.structs.replace(record, alerts=(milder,)))) == 1
    moved = msgspec.structs.replace(record, input_offset=record.input_offset - 1)
    assert len(await differences(moved)) == 2
    del rows[1]
    with pytest.raises(AlertsBrokenError, match="expected record 1, found 2"):
        await compare(memory_log, MARKET, monitor(LIMITS), LIMITS.digest())


async def test_an_altered_event_stops_it(memory_log: Any, stage: Stage, capsys: Any) -> None:
    memory_log.take(EVENTS, stage.parts)
    rows = memory_log.rows[EVENTS]
    altered = rows[30].value[:120] + bytes([rows[30].value[120] ^ 1]) + rows[30].value[121:]
    rows[30] = rows[30]._replace(value=altered)
    with pytest.raises(ChainBrokenError, match="events record 30"):
        await run_until(service_of(memory_log), len(stage.parts))
    assert "stops: events are broken" in "".join(capsys.readouterr())


def monitor(limits: Limits) -> Monitor:
    return Monitor.of(VENUE, MARKET, limits)


@pytest.mark.parametrize("seed", range(2))
def test_it_follows_whatever_an_engine_can_be_asked_to_do(seed: int) -> None:
    stage, flow = Stage(LIMITS), Flow(seed)
    stage.engine = type(stage.engine)()
    stage.monitor = Monitor("XX", LIMITS, {})
    stage._follower, stage._chain = type(stage._follower)(), bytes(32)
    for offset, append_ns, frame in (
        *flow.opening(),
        *flow.frames(60, flows.everything),
        *flow.frames(60, flows.trading),
    ):
        flow.hear(stage.take_frame(offset, append_ns, frame))
    assert stage.monitor.next_event == stage.engine.next_event > 1_000


async def test_a_log_from_before_surveillance_has_nothing_told(
    tmp_path: Path, stage: Stage
) -> None:
    log = EmbeddedLog(tmp_path / "log.sqlite", SystemClock())
    await log.start()
    try:
        await log.create([EVENTS])
        await log.append(EVENTS, stage.parts)
        found = await compare(log, MARKET, monitor(LIMITS), LIMITS.digest())
        assert (found.alerts, found.unsaid) == (len(stage.alerts), len(stage.alerts))
        assert (found.compared, found.differences) == (0, ())
        with pytest.raises(UnknownPartitionError):
            await log.end(ALERTS)  # a proof makes nothing
    finally:
        await log.close()
