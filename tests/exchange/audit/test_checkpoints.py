"""Checkpoints: made, kept, gone on from; each way of altering the log is found by them."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from exchange import topics
from exchange.audit import against
from exchange.audit.checkpoints import CHECKED, CheckpointError, CheckpointService
from exchange.audit.signed_note import Signer, make_key
from exchange.audit.vault import Vault, VaultError, publish_key
from exchange.clock import SystemClock
from exchange.log.embedded import EmbeddedLog
from exchange.log.protocol import Log, LogError, LogUnavailableError, Partition
from exchange.log.sqlite_file import OFFSET_BITS
from exchange.messages.checkpoints import FIRST, Checkpoint, TreeHead, parse_checkpoint
from exchange.messages.frames import Event, seal_events
from exchange.reference.venue import Market, Venue
from matching.layout import EVENT

EU = Market(code="EU", partition=0, currency="EUR")
VENUE = Venue(name="test venue", market=(EU,), instrument=())
BATCHES = (40, 1, 23)  # records of a topic between two checkpoints
SIZE = sum(BATCHES)


class World(NamedTuple):
    """A log's file and the vault of its checkpoints."""

    log: Path
    vault: Path
    signer: Signer


def service(log: Log, vault: Path, signer: Signer, *, every_s: float = 60) -> CheckpointService:
    return CheckpointService(
        log, VENUE.name, EU, Vault(vault, "EU"), signer, SystemClock(), every_s
    )


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(path, SystemClock())
    await log.start()
    await log.create(topics.of_market(0))
    try:
        yield log
    finally:
        await log.close()


async def fill(log: Log, count: int, mark: str) -> None:
    for topic in CHECKED:
        values = [f"{topic.name} {mark} {number}".encode() for number in range(count)]
        await log.append(Partition(topic.name, 0), values)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("sound")
    world = World(
        folder / "log.sqlite", folder / "vault", make_key(folder / "checkpoint.key", "test")
    )

    async def make() -> None:
        publish_key(world.vault, world.signer.verifier)
        async with opened(world.log) as log:
            for number, count in enumerate(BATCHES, 1):
                await fill(log, count, f"batch {number}")
                newest = await service(log, world.vault, world.signer).once()
                assert newest.number == number
                assert {tree.size for tree in newest.trees} == {sum(BATCHES[:number])}
            await fill(log, 5, "not under a checkpoint yet")

    asyncio.run(make())
    return world


@pytest.fixture
def world(sound: World, tmp_path: Path) -> World:
    shutil.copytree(sound.log.parent, tmp_path / "copy")
    return sound._replace(log=tmp_path / "copy" / "log.sqlite", vault=tmp_path / "copy" / "vault")


async def findings(world: World, path: Path | None = None, *, hashes: bool = True) -> list[str]:
    """What `verify --against` would tell, without what is in order."""
    path = path or world.vault
    vaults = [Vault(world.vault, "EU")] if hashes else []
    found = []
    async with opened(world.log) as log:
        for notes in against.open_notes(path, world.signer.verifier, VENUE):
            if not notes.market:
                found += notes.problems
                continue
            checks = await against.compare(log, EU, notes, vaults, None)
            assert len(checks) == 1 + len(CHECKED) * bool(notes.paths)
            found += [f"{check.name}: {check.figures}" for check in checks if not check.ok]
    return found


class Rows:
    """The records of one topic in the file, as somebody with an editor sees them."""

    def __init__(self, path: Path, topic: str) -> None:
        self._connection = sqlite3.connect(path)
        (number,) = self._connection.execute(
            "SELECT id FROM partition WHERE topic = ?", (topic,)
        ).fetchone()
        self._base = number << OFFSET_BITS
        self.rows: list[tuple[int, bytes]] = self._connection.execute(
            "SELECT append_ns, value FROM record WHERE position BETWEEN ? AND ? ORDER BY position",
            (self._base, self._base + (1 << OFFSET_BITS) - 1),
        ).fetchall()

    def write(self, *, gap: int | None = None) -> None:
        """The rows as they are now, renumbered without a gap, or with one."""
        last = self._base + (1 << OFFSET_BITS) - 1
        with self._connection as connection:
            connection.execute(
                "DELETE FROM record WHERE position BETWEEN ? AND ?", (self._base, last)
            )
            connection.executemany(
                "INSERT INTO record VALUES (?, ?, ?)",
                [
                    (self._base + at + (gap is not None and at >= gap), *row)
                    for at, row in enumerate(self.rows)
                ],
            )
        self._connection.close()


def change(rows: Rows) -> None:
    time_ns, value = rows.rows[17]
    rows.rows[17] = (time_ns, value[:-1] + b"!")
    rows.write()


def before_all_time(rows: Rows) -> None:
    _, value = rows.rows[17]
    rows.rows[17] = (-5, value)
    rows.write()


def retime(rows: Rows) -> None:
    time_ns, value = rows.rows[17]
    rows.rows[17] = (time_ns + 1, value)
    rows.write()


def drop(rows: Rows) -> None:
    del rows.rows[17]
    rows.write()


def drop_and_leave_a_gap(rows: Rows) -> None:
    del rows.rows[17]
    rows.write(gap=17)


def insert(rows: Rows) -> None:
    rows.rows.insert(17, (rows.rows[17][0], b"slipped in"))
    rows.write()


def swap(rows: Rows) -> None:
    rows.rows[17], rows.rows[29] = rows.rows[29], rows.rows[17]
    rows.write()


def truncate(rows: Rows) -> None:
    del rows.rows[SIZE - 3 :]
    rows.write()


def cut_and_go_on(rows: Rows) -> None:
    rows.rows[SIZE - 3 :] = [(1 << 60, b"another history %d" % at) for at in range(20)]
    rows.write()


BETWEEN = "one of the records 0 to 63 is altered, dropped, inserted or swapped"
WAYS: list[tuple[Callable[[Rows], None], str, str]] = [
    (change, "record 17 is altered", BETWEEN),
    (retime, "record 17 is altered", BETWEEN),
    (before_all_time, "record 17 is altered", BETWEEN),
    (drop, "record 17 is missing: 1 dropped", BETWEEN),
    (drop_and_leave_a_gap, "record 17 is missing: dropped", "record 17 is missing: dropped"),
    (insert, "record 17 was inserted: 1 not of this log", BETWEEN),
    (swap, "record 17 and record 29 are swapped", BETWEEN),
    (truncate, "it ends at 61: records 61 to 63 are gone, cut at the end",
     "it ends at 61, but checkpoint 3 covers 64 records: cut"),
    (cut_and_go_on, "record 61 is altered, and so is what follows", BETWEEN),
]  # fmt: skip
"""Way, what is told with the vault's hashes, and what from the one note that somebody kept."""


async def test_a_sound_log_is_what_its_checkpoints_signed(world: World) -> None:
    (world.vault / "a folder.note").mkdir()
    assert await findings(world) == []
    for number in (1, 2, 3):
        assert await findings(world, Vault(world.vault, "EU").note_path(number)) == []


@pytest.mark.parametrize("topic", [topic.name for topic in CHECKED])
@pytest.mark.parametrize(("way", "exact", "rough"), WAYS, ids=lambda w: getattr(w, "__name__", ""))
async def test_each_way_of_altering_is_found_and_named(
    world: World, topic: str, way: Callable[[Rows], None], exact: str, rough: str
) -> None:
    way(Rows(world.log, topic))
    (told,) = await findings(world)
    assert told.startswith(f"EU {topic} is what checkpoint 3 signed: ")
    assert exact in told
    kept = world.log.with_name("kept-by-a-member.note")
    shutil.copy(Vault(world.vault, "EU").note_path(3), kept)
    (told,) = await findings(world, kept, hashes=False)
    assert told.startswith(f"EU {topic} is what checkpoint 3 signed: ")
    assert rough in told


def drop_many(rows: Rows) -> None:
    del rows.rows[17:35]
    rows.write()


def insert_many(rows: Rows) -> None:
    rows.rows[17:17] = [(rows.rows[17][0], b"slipped in %d" % at) for at in range(20)]
    rows.write()


def swap_with_the_last(rows: Rows) -> None:
    rows.rows[17], rows.rows[SIZE - 1] = rows.rows[SIZE - 1], rows.rows[17]
    rows.write()


@pytest.mark.parametrize(
    ("way", "told"),
    [
        (drop_many, "record 17 is missing: 18 dropped"),
        (insert_many, "record 17 was inserted: 20 not of this log"),
        (swap_with_the_last, "record 17 and record 63 are swapped"),
    ],
)
async def test_a_way_is_named_however_far_it_reaches(
    world: World, monkeypatch: pytest.MonkeyPatch, way: Callable[[Rows], None], told: str
) -> None:
    monkeypatch.setattr(against, "WINDOW", 4)
    way(Rows(world.log, "orders"))
    assert told in (await findings(world))[0]


async def test_without_hashes_a_note_names_where_between(world: World) -> None:
    change(Rows(world.log, "orders"))
    for number, between in ((1, "0 to 31"), (2, "0 to 31"), (3, "0 to 63")):
        path = Vault(world.vault, "EU").note_path(number)
        (told,) = await findings(world, path, hashes=False)
        assert f"one of the records {between} is altered" in told
    (told,) = await findings(world, hashes=False)
    assert "one of the records 0 to 31 is altered" in told


async def test_truncation_is_seen_only_by_a_checkpoint_that_was_kept(
    world: World, tmp_path: Path
) -> None:
    kept = shutil.copy(Vault(world.vault, "EU").note_path(3), tmp_path / "kept.note")
    for topic in CHECKED:
        truncate(Rows(world.log, topic.name))
    for number in (2, 3):
        Vault(world.vault, "EU").note_path(number).unlink()
    told = await findings(world)  # the log's own topic still has what was signed
    assert len(told) == len(CHECKED)
    assert all("cut at the end" in text for text in told)
    topic = Rows(world.log, topics.checkpoints(0).topic)
    del topic.rows[1:]  # who owns log, topic and vault cuts all three
    topic.write()
    assert await findings(world) == []
    told = await findings(world, Path(kept), hashes=False)
    assert len(told) == len(CHECKED)
    assert all(f"checkpoint 3 covers {SIZE} records: cut" in text for text in told)


async def test_a_folder_that_lacks_a_note_or_has_one_elsewhere(world: World) -> None:
    vault = Vault(world.vault, "EU")
    note = vault.note_path(2).read_text()
    vault.note_path(2).unlink()
    (told,) = await findings(world)
    assert "checkpoints 2 to 2 are not in the folder: taken from it" in told
    vault.note_path(2).write_text(vault.note(3))
    (told,) = await findings(world)
    assert "notes/000000/0000000002.note holds checkpoint 3 of EU: it was put there" in told
    vault.note_path(2).write_text(note)
    elsewhere = Vault(world.vault, "CN").note_path(2)
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_text(note)
    (told,) = await findings(world)
    assert "CN/notes/000000/0000000002.note holds checkpoint 2 of EU: it was put there" in told


async def test_a_topic_of_checkpoints_that_says_otherwise(world: World, tmp_path: Path) -> None:
    shutil.copy(world.log, tmp_path / "sound.sqlite")
    topic = Rows(world.log, topics.checkpoints(0).topic)
    time_ns, note = topic.rows[1]
    topic.rows[1] = (time_ns, note.replace(b"cause request", b"cause day"))
    topic.write()
    (told,) = await findings(world)
    assert "record 1 of the topic checkpoints: the signature of test" in told
    other = note.decode().rpartition("\n\n")[0].replace("cause request", "cause day") + "\n"
    topic = Rows(world.log, topics.checkpoints(0).topic)
    topic.rows[1] = (time_ns, world.signer.sign(other).encode())
    topic.write()
    (told,) = await findings(world)
    assert "the log's checkpoint 2 is not the one kept" in told
    shutil.copy(tmp_path / "sound.sqlite", world.log)
    topic = Rows(world.log, topics.checkpoints(0).topic)
    del topic.rows[1:]
    topic.write()
    (told,) = await findings(world)
    assert "lacks 1 checkpoints that are kept, the first 2: taken from it" in told


async def test_a_forged_note_and_one_of_another_venue(world: World, tmp_path: Path) -> None:
    path = Vault(world.vault, "EU").note_path(3)
    note = path.read_text()
    path.write_text(note.replace("cause request", "cause day"))
    (told,) = await findings(world)
    assert "0000000003.note: the signature of test" in told
    assert "forged or altered" in told
    other = make_key(tmp_path / "other.key", "test")
    path.write_text(other.sign(note.rpartition("\n\n")[0] + "\n"))
    (told,) = await findings(world)
    assert f"signed by test {other.verifier.key_id.hex()}, not by test" in told
    assert "another venue's checkpoint" in told
    text = note.rpartition("\n\n")[0].replace("venue test venue", "venue elsewhere") + "\n"
    path.write_text(world.signer.sign(text))
    (told,) = await findings(world)
    assert "another venue's checkpoint: market EU of 'elsewhere'" in told


async def test_another_venues_log_under_the_same_name(world: World, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.sqlite"
    async with opened(elsewhere) as log:
        await fill(log, SIZE, "other")
    chained, *told = await findings(world._replace(log=elsewhere))
    assert "lacks 2 checkpoints that are kept, the first 1" in chained
    assert len(told) == len(CHECKED)
    assert all("or another venue's log" in text for text in told)


async def test_a_signer_who_says_different_things_is_found(world: World, tmp_path: Path) -> None:
    """Two histories under one key: whoever holds a note of each sees it."""
    kept = tmp_path / "kept"
    shutil.copytree(world.vault / "EU" / "notes", kept)
    paths = sorted(kept.rglob("*.note"))
    second = parse_checkpoint(paths[1].read_text().rpartition("\n\n")[0] + "\n")
    lie = world.signer.sign(second.text().replace(f"time_ns {second.time_ns}", "time_ns 7"))
    (kept / "from-another-member.note").write_text(lie)
    (told,) = await findings(world, kept)
    assert "two checkpoints have number 2" in told
    (kept / "from-another-member.note").unlink()
    paths[1].write_text(lie)
    (told,) = await findings(world, kept)
    assert "checkpoint 3 does not name checkpoint 2" in told


async def test_damaged_hashes_are_not_believed(world: World) -> None:
    change(Rows(world.log, "events"))
    path = Vault(world.vault, "EU").leaves_path("events")
    path.write_bytes(bytes(64) + path.read_bytes()[64:])
    (told,) = await findings(world)
    assert "one of the records 0 to 31" in told


GOLDEN = """carbon-exchange checkpoint v1
venue Grüne Tonne 碳
market CN
number 7
time_ns 1796083200000000000
trading_date 20261201
cause day
previous 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
tree orders 3 4d8a5f2b
edge orders 01 02
tree events 0 e3b0
edge events
"""


def test_the_text_of_a_checkpoint_never_changes() -> None:
    """Whoever kept one must be able to read it for ever."""
    trees = (
        TreeHead("orders", 3, bytes.fromhex("4d8a5f2b"), (b"\x01", b"\x02")),
        TreeHead("events", 0, bytes.fromhex("e3b0"), ()),
    )
    made = Checkpoint(
        "Grüne Tonne 碳", "CN", 7, 1_796_083_200 * 10**9, 20261201, "day", bytes(range(32)), trees
    )
    assert made.text() == GOLDEN
    assert parse_checkpoint(GOLDEN) == made
    assert (made.size_of("orders"), made.size_of("registry")) == (3, 0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("checkpoint v1", "checkpoint v2", "its first line is not"),
        ("number 7", "number seven", "line 13 of the checkpoint is wrong"),
        ("number 7", "number 07", "not written as its fields are"),
        ("edge orders", "edge events", "line 9 of the checkpoint is wrong"),
        ("time_ns", "when", "'time_ns'"),
        ("edge events\n", "", "is wrong"),
    ],
)
def test_what_is_no_checkpoint_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_checkpoint(GOLDEN.replace(old, new))


# -- the writer -----------------------------------------------------------------------------------


async def notes_on(log: Log) -> list[str]:
    reader = await log.open_reader(topics.checkpoints(0), 0)
    found = await reader.read(1_000, 0)
    await reader.close()
    return [record.value.decode() for record in found]


async def test_checkpoints_are_chained_published_and_kept_alike(world: World) -> None:
    vault = Vault(world.vault, "EU")
    async with opened(world.log) as log:
        told = await notes_on(log)
    assert told == [vault.note(number) for number in (1, 2, 3)]
    previous = FIRST
    for note in told:
        found = parse_checkpoint(world.signer.verifier.open(note))
        assert found.previous == previous
        previous = found.digest()


async def test_nothing_new_makes_no_checkpoint(world: World) -> None:
    async with opened(world.log) as log:
        assert (await service(log, world.vault, world.signer).once()).number == 4
        assert (await service(log, world.vault, world.signer).once()).number == 4


async def test_a_writer_that_died_between_note_and_topic_goes_on(world: World) -> None:
    vault = Vault(world.vault, "EU")
    async with opened(world.log) as log:
        await service(log, world.vault, world.signer).once()
        (told,) = (await notes_on(log))[3:]
    with sqlite3.connect(world.log) as connection:  # the note never reached the topic
        connection.execute("DELETE FROM record WHERE value = ?", (told.encode(),))
    connection.close()
    with vault.leaves_path("orders").open("ab") as file:  # nor did a note count these hashes
        file.write(bytes(77))
    async with opened(world.log) as log:
        await fill(log, 2, "later")
        newest = await service(log, world.vault, world.signer).once()
        assert (await notes_on(log))[3:] == [told, vault.note(5)]
    assert newest.number == 5
    assert await findings(world) == []


async def test_a_lost_folder_is_made_anew_from_topic_and_log(world: World) -> None:
    shutil.rmtree(world.vault / "EU")
    async with opened(world.log) as log:
        newest = await service(log, world.vault, world.signer).once()
    assert newest.number == 4
    assert await findings(world) == []
    assert Vault(world.vault, "EU").leaves("events") == SIZE + 5


async def test_a_new_key_goes_on_with_the_numbers(world: World, tmp_path: Path) -> None:
    signer, vault = make_key(tmp_path / "new.key", "test-2"), tmp_path / "vault-2"
    async with opened(world.log) as log:
        newest = await service(log, vault, signer).once()
    old = parse_checkpoint(world.signer.verifier.open(Vault(world.vault, "EU").note(3)))
    assert (newest.number, newest.previous) == (4, old.digest())
    assert await findings(world._replace(vault=vault, signer=signer)) == []
    with pytest.raises(VaultError, match="begin another folder for another key"):
        publish_key(world.vault, signer.verifier)


@pytest.mark.parametrize("lost_hashes", [False, True])
@pytest.mark.parametrize(
    ("way", "message"),
    [(truncate, "the log was cut"), (cut_and_go_on, "altered|do not give the root")],
)
async def test_a_writer_refuses_a_log_that_is_not_what_it_signed(
    world: World, way: Callable[[Rows], None], message: str, lost_hashes: bool
) -> None:
    way(Rows(world.log, "registry"))
    if lost_hashes:
        Vault(world.vault, "EU").leaves_path("registry").unlink()
    async with opened(world.log) as log:
        with pytest.raises(CheckpointError, match=message):
            await service(log, world.vault, world.signer).once()


async def test_one_folder_has_one_writer_and_one_market(world: World) -> None:
    holder = Vault(world.vault, "EU").writing()
    async with opened(world.log) as log:
        with pytest.raises(VaultError, match="another process writes"):
            await service(log, world.vault, world.signer).once()
        holder.close()
        other = CheckpointService(
            log, "elsewhere", EU, Vault(world.vault, "EU"), world.signer, SystemClock(), 60
        )
        with pytest.raises(VaultError, match="of market EU of test venue"):
            await other.once()


def day_frame(date: int) -> bytes:
    row = bytearray(EVENT.itemsize)
    row[0] = Event.DAY_STARTED
    at = EVENT.fields["quantity"][1]  # type: ignore[index]
    row[at : at + 8] = date.to_bytes(8, "little")
    (part,), _ = seal_events(
        bytes(row), input_offset=0, first_event=0, epoch=0, time_ns=1, chain=bytes(32)
    )
    return part


async def test_a_running_writer_sees_each_day_and_an_outage(
    memory_log: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.audit.checkpoints.CHECKPOINT_LOOK_S", 0.01)
    signer = make_key(tmp_path / "k", "test")
    running, stop = service(memory_log, tmp_path / "vault", signer), asyncio.Event()
    end, outages = memory_log.end, 3

    async def away(partition: Partition) -> int:
        nonlocal outages
        if outages:
            outages -= 1
            raise LogUnavailableError("away")
        return int(await end(partition))

    memory_log.end = away
    memory_log.take(topics.orders(0), [b"one"])
    task = asyncio.create_task(running.run(stop))

    async def until(number: int) -> None:
        async with asyncio.timeout(20):
            while running.newest is None or running.newest.number < number:
                await asyncio.sleep(0.01)

    await until(1)
    memory_log.take(topics.events(0), [day_frame(20260102)])
    await until(2)
    assert running.newest is not None
    assert (running.newest.cause, running.newest.trading_date) == ("day", 20260102)
    assert running.is_ready
    memory_log.take(topics.events(0), [b"no frame", day_frame(20260105)])
    await until(3)
    memory_log.take(topics.orders(0), [b"the last"])
    stop.set()
    await task
    assert (running.newest.number, running.newest.size_of("orders")) == (4, 2)
    assert not outages
    assert len(memory_log.rows[topics.checkpoints(0)]) == 4


async def test_an_outage_of_the_topic_loses_no_note(memory_log: Any, tmp_path: Path) -> None:
    signer = make_key(tmp_path / "k", "test")
    memory_log.take(topics.orders(0), [b"one"])
    memory_log.fault = lambda partition, values: (0, LogUnavailableError("away"))
    with pytest.raises(LogUnavailableError):
        await service(memory_log, tmp_path / "vault", signer).once()
    memory_log.fault = None
    memory_log.take(topics.orders(0), [b"two"])
    await service(memory_log, tmp_path / "vault", signer).once()
    vault = Vault(tmp_path / "vault", "EU")
    rows = memory_log.rows[topics.checkpoints(0)]
    assert [row.value.decode() for row in rows] == [vault.note(1), vault.note(2)]


def test_the_errors_end_a_process() -> None:
    assert issubclass(CheckpointError, LogError)
    assert issubclass(VaultError, ValueError)
