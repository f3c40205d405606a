"""MarketDataService: every change once, through restarts and uncertain appends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from exchange import topics
from exchange.clock import SystemClock
from exchange.log.protocol import AppendUncertainError, LogUnavailableError
from exchange.marketdata.book import MarketBooks
from exchange.marketdata.depth import Depth
from exchange.marketdata.service import MarketDataService
from exchange.messages.frames import GENESIS, ChainBrokenError, seal_events
from exchange.reference.venue import Market
from matching import Engine

EVENTS, MARKETDATA = topics.events(0), topics.marketdata(0)
MARKET = Market(code="XX", partition=0, currency="EUR")


class Source:
    """Writes the events of a flow onto the log, as an engine would."""

    def __init__(self, log: Any) -> None:
        self.log, self.engine, self.chain = log, Engine(), GENESIS

    def write(self, frames: list[bytes]) -> None:
        for frame in frames:
            engine, offset, first = self.engine, self.engine.next_offset, self.engine.next_event
            events = engine.apply(offset, offset, frame)
            parts, self.chain = seal_events(
                events,
                input_offset=offset,
                first_event=first,
                epoch=0,
                time_ns=engine.time_ns,
                chain=self.chain,
            )
            self.log.take(EVENTS, parts)


@pytest.fixture
def source(memory_log: Any) -> Source:
    return Source(memory_log)


async def run_until(service: MarketDataService, fact: Any) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop))
    async with asyncio.timeout(10):
        while not fact() and not task.done():
            await asyncio.sleep(0.005)
    stop.set()
    await task


def read(log: Any) -> tuple[list[int], MarketBooks]:
    books = MarketBooks()
    accepted = [books.apply(row.value) for row in log.rows[MARKETDATA]]
    return [record.number for record in accepted if record is not None], books


def service_of(log: Any) -> MarketDataService:
    return MarketDataService(log, MARKET, SystemClock())


def is_said(log: Any, service: MarketDataService, end: int) -> bool:
    return service._follower.input_offset >= end and service._said >= service.depth.next_number


def assert_whole(log: Any, depth: Depth) -> None:
    numbers, books = read(log)
    assert numbers == list(range(depth.next_number))
    for instrument in depth.instruments:
        assert books.book(instrument).bids == depth.levels(instrument, 1)
        assert books.book(instrument).asks == depth.levels(instrument, 2)


async def test_it_says_every_change_once_through_restarts(memory_log, source, make_flow):
    frames = make_flow(1).frames(120)
    for at in (0, 40, 80):
        source.write(frames[at : at + 40])
        service = service_of(memory_log)
        done = lambda s=service, n=at + 40: s.is_ready and is_said(memory_log, s, n)  # noqa: E731
        await run_until(service, done)
        assert_whole(memory_log, service.depth)
    assert len(memory_log.rows[MARKETDATA]) == service.depth.next_number


async def test_it_says_what_is_there_when_it_is_told_to_stop(memory_log, source, make_flow):
    source.write(make_flow(1).frames(120))
    service, stop = service_of(memory_log), asyncio.Event()
    stop.set()
    await service.run(stop)
    assert is_said(memory_log, service, 120)
    assert_whole(memory_log, service.depth)
    assert service.depth.next_number > 0


async def test_uncertain_appends_lose_and_double_nothing_for_readers(memory_log, source, make_flow):
    flow = make_flow(2)
    rolls = flow.random

    def fault(partition: Any, values: Any) -> tuple[int, Exception] | None:
        if partition != MARKETDATA or rolls.random() > 0.5:
            return None
        if rolls.random() < 0.2:
            return 0, LogUnavailableError("no")
        return rolls.randrange(len(values) + 1), AppendUncertainError("timed out")

    memory_log.fault = fault
    source.write(flow.frames(400))
    service = service_of(memory_log)
    await run_until(service, lambda: is_said(memory_log, service, 401))
    assert_whole(memory_log, service.depth)


async def test_two_services_at_once_are_harmless(memory_log, source, make_flow):
    source.write(make_flow(3).frames(50))
    both = [service_of(memory_log) for _ in range(2)]
    await asyncio.gather(*(run_until(s, lambda s=s: is_said(memory_log, s, 51)) for s in both))
    assert_whole(memory_log, both[0].depth)


async def test_an_altered_event_stops_it(memory_log, source, make_flow, capsys):
    source.write(make_flow(4).frames(20))
    rows = memory_log.rows[EVENTS]
    victim = next(r for r in rows if len(r.value) > 200)
    altered = victim.value[:150] + bytes([victim.value[150] ^ 1]) + victim.value[151:]
    rows[victim.offset] = victim._replace(value=altered)
    service = service_of(memory_log)
    with pytest.raises(ChainBrokenError, match=f"events record {victim.offset}"):
        await run_until(service, lambda: False)
    assert "stops: events are broken" in "".join(capsys.readouterr())
