"""A stand brings back what was kept, and nothing that is not sound, of this build and this log."""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import signal
import sys
import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sortedcontainers import SortedDict

from exchange import derived, stands, topics
from exchange.auctions import Auctions
from exchange.clock import SystemClock
from exchange.log.protocol import LogUnavailableError
from exchange.marketdata.service import MarketDataService
from exchange.messages.market_data import TradeTick
from exchange.positions import InstrumentState
from exchange.settings import STAND_RECORDS_MIN, STAND_SHARE
from exchange.simulation.faults.stands import InlineStands
from exchange.stands import FileStands, Keeper, decode, encode
from exchange.surveillance import SurveillanceService, load_limits
from matching.layout import Parameter
from tests.exchange.conftest import MemoryLog
from tests.exchange.marketdata.test_marketdata_service import (
    EVENTS,
    MARKET,
    MARKETDATA,
    Source,
    assert_whole,
    is_said,
    read,
    run_until,
    service_of,
)
from tests.exchange.surveillance.test_surveillance_service import VENUE


@pytest.fixture
def source(memory_log: Any) -> Source:
    return Source(memory_log)


class Evil:
    """What a stand must not be able to do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


@pytest.mark.parametrize(
    "state",
    [
        {"a": [1, 2.5, b"x", None], "b": (True, {3}, frozenset("ab"), bytearray(b"y"))},
        OrderedDict(a=deque([1], maxlen=3)),
        SortedDict({2: "b", 1: "a"}),
        TradeTick(1, 2, 3, 4, 5, 6, 7),
        defaultdict(partial(defaultdict, list), {1: defaultdict(list, {2: [3]})}),
    ],
    ids=lambda state: type(state).__name__,
)
def test_a_state_comes_back(state: Any) -> None:
    found = decode(encode(state))
    assert (type(found), found) == (type(state), state)


def test_an_instrument_comes_back_with_what_it_computes_from() -> None:
    state = InstrumentState(7)
    state.set_parameter(Parameter.MAKER_FEE_BP, 12)
    state.last_price, state.day_volume = 7_125, 30
    found = decode(encode(state))
    assert (found.instrument_id, found.last_price, found.day_volume) == (7, 7_125, 30)
    assert found.parameters == state.parameters
    assert found.fee(1, 12, 100, 712_500) == state.fee(1, 12, 100, 712_500) > 0


def test_a_method_comes_back_as_that_of_the_object_beside_it() -> None:
    owner = Auctions()
    found, method = decode(encode((owner, owner.apply)))
    assert (type(found), method.__self__, method.__name__) == (Auctions, found, "apply")


@pytest.mark.parametrize("state", [Evil(), os.system, pickle.loads, [Evil()], {"a": os.getpid}])
def test_nothing_but_the_venues_own_is_made(state: Any) -> None:
    with pytest.raises(ValueError, match="it would make"):
        decode(encode(state))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("exchange.forked", "asyncio.base_subprocess.subprocess.Popen"),
        ("exchange.messages.frames", "EventFollower.__init__"),
        ("exchange.positions", "msgspec.json.decode"),
        ("exchange.forked", "Child"),
        ("exchange.stands", "FileStands"),
        ("this", "s"),
        ("exchange.surveillance.limits", "Path"),
    ],
)
def test_no_other_name_is_reached(module: str, name: str) -> None:
    sys.modules.pop("this", None)
    body = pickle.PROTO + b"\x05" + b"".join(
        pickle.SHORT_BINUNICODE + bytes([len(word)]) + word.encode() for word in (module, name)
    ) + pickle.STACK_GLOBAL + pickle.STOP  # fmt: skip
    with pytest.raises(ValueError, match=f"it would make {module}.{name}"):
        stands._Loader(io.BytesIO(body)).load()
    assert "this" not in sys.modules


def test_the_build_is_that_of_when_it_was_made(tmp_path: Path) -> None:
    """Not of what was installed in its place while the process ran."""
    stands.build_digest.cache_clear()
    kept = FileStands(tmp_path, "one")
    assert stands.build_digest.cache_info().currsize == 1
    assert kept.load() is None


@pytest.mark.parametrize("at", [0, 10, 50, 80, 110])
def test_every_byte_counts(at: int) -> None:
    data = bytearray(encode(list(range(100))))
    data[at] ^= 1
    with pytest.raises(ValueError, match=r"no stand|another build|torn or altered"):
        decode(bytes(data))
    with pytest.raises(ValueError, match=r"no stand|torn or altered"):
        decode(bytes(data[:at]))


def test_of_another_build_it_is_passed_over(tmp_path: Path, monkeypatch, capsys) -> None:
    kept = FileStands(tmp_path, "one")
    assert kept.load() is None
    kept.save({"a": 1})
    assert kept.load() == {"a": 1}
    assert kept.path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(stands, "build_digest", lambda: bytes(32))
    assert kept.load() is None
    assert "of another build" in "".join(capsys.readouterr())


@pytest.mark.parametrize("inline", [False, True])
async def test_a_draft_keeps_the_state_as_it_was_when_it_was_begun(
    tmp_path: Path, inline: bool
) -> None:
    """Not as it is when the loop comes around: places were noted before, and would be behind."""
    kept: FileStands = FileStands(tmp_path, "one", every=1)
    if inline:
        kept = InlineStands(tmp_path, "one", 1, Counter())
    keeper, state = Keeper(kept), [1, 2]
    assert keeper.is_due(1)
    keeper.draft(state, 1)
    state.append(3)
    assert not keeper.is_due(2)
    async with asyncio.timeout(20):
        while kept.load() is None:
            await asyncio.sleep(0.01)
    assert kept.load() == [1, 2]
    await keeper.close(None, 1)
    assert [path.name for path in kept.path.parent.iterdir()] == ["one.stand"]


async def test_what_cannot_be_kept_is_logged(tmp_path: Path, capsys) -> None:
    kept = FileStands(tmp_path, "one")
    await kept.draft(lambda: None)
    kept.save(lambda: None)
    (tmp_path / "stands").mkdir(exist_ok=True)
    assert list((tmp_path / "stands").iterdir()) == []
    assert "".join(capsys.readouterr()).count("stand not kept") == 2


class Unsure(FileStands):
    """Whose drafts fail, or take as long as one likes."""

    def __init__(self, data: Path, *, fails: bool) -> None:
        super().__init__(data, "one", every=1)
        self.go_on, self._fails = asyncio.Event(), fails

    def draft(self, state: Any) -> Coroutine[Any, Any, bool]:
        return self._slowly(list(state))

    async def _slowly(self, state: Any) -> bool:
        await self.go_on.wait()
        if not self._fails:
            self.save(state)
        return not self._fails


@pytest.mark.parametrize("fails", [True, False])
async def test_the_last_state_is_kept_whatever_became_of_its_draft(tmp_path, fails: bool) -> None:
    kept = Unsure(tmp_path, fails=fails)
    keeper = Keeper(kept)
    keeper.draft([1, 2], 2)
    asyncio.get_running_loop().call_later(0.05, kept.go_on.set)
    await keeper.close([1, 2], 2)  # nothing came since the draft was begun
    assert kept.load() == [1, 2]


async def test_a_reader_of_a_quiet_topic_keeps_one_each_minute(tmp_path: Path) -> None:
    """Else one that is killed reads all that came since it began."""
    now = [100.0]
    keeper = Keeper(FileStands(tmp_path, "one", every=1_000_000, every_s=60.0), lambda: now[0])
    keeper.begins(50)
    enough = 50 + STAND_RECORDS_MIN
    assert not keeper.is_due(enough)
    now[0] += 60
    assert not keeper.is_due(enough - 1)
    assert keeper.is_due(enough)
    keeper.draft([1], enough)
    await asyncio.sleep(0)
    now[0] += 90
    assert not keeper.is_due(2 * enough)  # the draft is on its way
    await keeper.close(None, enough)
    now[0] += 90 * STAND_SHARE - 1
    assert not keeper.is_due(2 * enough)  # a draft that takes long is due seldom
    now[0] += 1
    assert keeper.is_due(2 * enough)


def test_where_time_does_not_count_only_records_do(tmp_path: Path) -> None:
    now = [0.0]
    keeper = Keeper(FileStands(tmp_path, "one", every=10_000, every_s=0.0), lambda: now[0])
    now[0] = 1e9
    assert (keeper.is_due(9_999), keeper.is_due(10_000)) == (False, True)


async def test_a_draft_that_is_given_up_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    kept = FileStands(tmp_path, "one", every=1)
    slow = tmp_path / "slow"
    monkeypatch.setattr(stands, "_write", lambda file, _: (slow.touch(), time.sleep(20)))
    keeper = Keeper(kept)
    keeper.draft([1], 1)
    async with asyncio.timeout(10):
        while not slow.exists():
            await asyncio.sleep(0.01)
    monkeypatch.undo()
    await keeper.close([1, 2], 2)
    assert kept.load() == [1, 2]
    assert [path.name for path in kept.path.parent.iterdir()] == ["one.stand"]


async def test_where_the_system_keeps_no_account_of_children(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        kept = FileStands(tmp_path, "one")
        assert await kept.draft([1])
        assert kept.load() == [1]
        assert not await kept.draft(lambda: None)
    finally:
        signal.signal(signal.SIGCHLD, before)


async def new_log() -> MemoryLog:
    log = MemoryLog()
    await log.create(topics.of_market(MARKET.partition))
    return log


def with_stands(log: Any, folder: Path, every: int = 1_000_000) -> MarketDataService:
    return MarketDataService(log, MARKET, SystemClock(), FileStands(folder, "md", every))


async def test_a_restart_reads_on_from_where_it_stood(memory_log, source, make_flow, tmp_path):
    frames = make_flow(1).frames(120)
    whole = Source(await new_log())
    whole.write(frames)
    for at in (0, 60, 120):
        source.write(frames[at : at + 60])
        end = len(memory_log.rows[EVENTS])
        service = with_stands(memory_log, tmp_path)
        await run_until(service, lambda s=service, n=end: s.events_read >= n)
        assert_whole(memory_log, service.depth)
    await run_until(scratch := service_of(whole.log), lambda: is_said(whole.log, scratch, 121))
    assert [r.value for r in memory_log.rows[MARKETDATA]] == [
        r.value for r in whole.log.rows[MARKETDATA]
    ]


async def begun_at(log: Any, folder: Path) -> list[int]:
    """Where a service with stands opens `events`."""
    begun: list[int] = []
    open_reader = log.open_reader

    async def noted(partition: Any, offset: int) -> Any:
        if partition == EVENTS:
            begun.append(offset)
        return await open_reader(partition, offset)

    log.open_reader = noted
    service = with_stands(log, folder)
    await run_until(service, lambda: service.is_ready)
    log.open_reader = open_reader
    return begun


@pytest.mark.parametrize("repeats", [0, 2])
async def test_it_begins_at_the_stand(
    repeats: int, memory_log, source, make_flow, tmp_path
) -> None:
    """Behind it may lie what a leader said twice, which is no news."""
    source.write(make_flow(1).frames(60))
    end = len(memory_log.rows[EVENTS])
    memory_log.take(EVENTS, [row.value for row in memory_log.rows[EVENTS][-3:][:repeats]])
    first = with_stands(memory_log, tmp_path)
    await run_until(first, lambda: first.events_read >= end + repeats)
    # the record that proves it, and what comes next
    assert await begun_at(memory_log, tmp_path) == [end - 1, end]


async def test_a_stop_while_the_topic_is_away_keeps_the_stand_before(
    memory_log, source, make_flow, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(derived, "DERIVED_RETRY_S", 0.01)
    flow = make_flow(1)
    source.write(flow.frames(60))
    end = len(memory_log.rows[EVENTS])
    first = with_stands(memory_log, tmp_path)
    await run_until(first, lambda: first.events_read >= end)
    service, stop = with_stands(memory_log, tmp_path), asyncio.Event()
    running = asyncio.create_task(service.run(stop))
    async with asyncio.timeout(20):
        while not service.is_ready:
            await asyncio.sleep(0.01)
        away = (0, LogUnavailableError("away"))
        memory_log.fault = lambda at, _: away if at == MARKETDATA else None
        source.write(flow.frames(30))
        while service._follower.position < len(memory_log.rows[EVENTS]):
            await asyncio.sleep(0.01)
        stop.set()
        await running
    memory_log.fault = lambda *_: None
    assert await begun_at(memory_log, tmp_path) == [end - 1, end]


async def test_stands_are_drafted_on_the_way(memory_log, source, make_flow, tmp_path) -> None:
    source.write(make_flow(1).frames(200))
    service = with_stands(memory_log, tmp_path, every=50)
    stop = asyncio.Event()
    running = asyncio.create_task(service.run(stop))
    path = tmp_path / "stands" / "md.stand"
    async with asyncio.timeout(20):
        while not path.exists():
            await asyncio.sleep(0.01)
    stood, _ = FileStands(tmp_path, "md").load()
    assert 50 <= stood.offset <= len(memory_log.rows[EVENTS])
    assert await stood.follows(memory_log, EVENTS)
    stop.set()
    await running


@pytest.mark.parametrize("damage", ["other log", "shorter log", "topic lost", "torn"])
async def test_where_it_does_not_fit_all_is_read(
    damage: str, memory_log, source, make_flow, tmp_path
) -> None:
    source.write(make_flow(1).frames(80))
    end = len(memory_log.rows[EVENTS])
    await run_until(first := with_stands(memory_log, tmp_path), lambda: first.events_read >= end)
    if damage == "other log":
        other = Source(await new_log())
        other.write(make_flow(2).frames(80))
        memory_log = other.log
    elif damage == "shorter log":
        del memory_log.rows[EVENTS][end // 2 :]
        del memory_log.rows[MARKETDATA][3:]
    elif damage == "topic lost":
        del memory_log.rows[MARKETDATA][3:]
    else:
        path = tmp_path / "stands" / "md.stand"
        path.write_bytes(path.read_bytes()[:-1])
    service = with_stands(memory_log, tmp_path)
    await run_until(service, lambda: service.is_ready)
    numbers, _ = read(memory_log)
    assert numbers == list(range(service.depth.next_number))
    assert_whole(memory_log, service.depth)


async def test_surveillance_with_other_limits_reads_all(memory_log, source, make_flow, tmp_path):
    source.write(make_flow(1).frames(80))
    limits = load_limits()

    def watching(of: Any) -> SurveillanceService:
        kept = FileStands(tmp_path, "alerts")
        return SurveillanceService(
            memory_log, MARKET, VENUE, of, service_of(memory_log)._clock, kept
        )

    first = watching(limits)
    await run_until(first, lambda: first.is_ready)  # type: ignore[arg-type]
    assert first.monitor.next_event > 0
    same = watching(limits)
    await same._read_said()
    await same._stand_up()
    assert (same.events_read, same.monitor.next_event) == (
        first.events_read, first.monitor.next_event,
    )  # fmt: skip
    changed = tmp_path / "limits.toml"
    changed.write_text("[WASH_TRADE]\nwindow_s = 7\n")
    other = watching(load_limits(changed))
    await other._read_said()
    await other._stand_up()
    assert (other.events_read, other.monitor.next_event) == (0, 0)
