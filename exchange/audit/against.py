"""A log held against its signed checkpoints: which record was altered, dropped, inserted, swapped.

The notes are checked first (signature, chain), then the records of each topic: wherever a note
says what the tree was, it must be that. Where it is not, the hashes that the vault keeps of every
record say which one and how; without them a note alone still says between which two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from exchange import topics
from exchange.audit.checkpoints import CHECKED, record_leaf
from exchange.audit.merkle import Tree, starts
from exchange.audit.reconciliation import Check
from exchange.audit.signed_note import NoteError, OtherKeyError, Verifier
from exchange.audit.vault import NOTES, Vault, read_note
from exchange.log.protocol import Log, LogError, LogUnavailableError, Partition, records
from exchange.messages.checkpoints import Checkpoint, TreeHead, parse_checkpoint
from exchange.reference.venue import Market, Venue

WINDOW = 256  # records that must be the same again behind what was dropped or inserted

Progress = Callable[[int, int], None]


class Mark(NamedTuple):
    """What the tree of a topic was at a size, and which checkpoint says so."""

    size: int
    edge: tuple[bytes, ...]
    number: int


class Notes(NamedTuple):
    """Sound notes of one market by number, and what is wrong with the others."""

    market: str
    paths: list[Path]
    problems: list[str]
    verifier: Verifier


def open_notes(
    path: Path, verifier: Verifier, venue: Venue, progress: Progress | None = None
) -> list[Notes]:
    """The notes of a file or of every file below a folder, by market. O(notes).

    Of each its signature, its venue and, where the one before it is there, the chain are checked.
    OSError; ValueError when there are none.
    """
    files = (item for item in path.rglob("*.note") if item.is_file())
    paths = sorted(files) if path.is_dir() else [path]
    if not paths:
        raise ValueError(f"{path}: no checkpoint (*.note) there")
    by_market: dict[str, Notes] = {}
    last: dict[str, Checkpoint] = {}
    codes = {market.code for market in venue.market}
    for done, item in enumerate(_by_number(paths)):
        if progress is not None and done % WINDOW == 0:
            progress(done, len(paths))
        try:
            found = parse_checkpoint(verifier.open(read_note(item)))
        except (NoteError, ValueError) as error:
            other = "; another venue's checkpoint" if isinstance(error, OtherKeyError) else ""
            notes = by_market.setdefault("", Notes("", [], [], verifier))
            notes.problems.append(f"{item.name}: {error}{other}")
            continue
        notes = by_market.setdefault(found.market, Notes(found.market, [], [], verifier))
        notes.problems.extend(_misplaced(item, found))
        if found.venue != venue.name or found.market not in codes:
            notes.problems.append(
                f"{item.name} is another venue's checkpoint: market {found.market} of "
                f"{found.venue!r}, not of {venue.name!r}"
            )
            continue
        before = last.get(found.market)
        notes.problems.extend(_chain(before, found))
        if before is not None and _is_in_vault(item) and _is_in_vault(notes.paths[-1]):
            notes.problems.extend(_gap(before.number, found.number))
        last[found.market] = found
        notes.paths.append(item)
    return list(by_market.values())


def _by_number(paths: Sequence[Path]) -> list[Path]:
    """Notes of a vault are named by number; others are read to know it, if they can be."""

    def number(path: Path) -> int:
        if path.stem.isdecimal():
            return int(path.stem)
        try:
            return parse_checkpoint(read_note(path).rpartition("\n\n")[0] + "\n").number
        except (OSError, ValueError):
            return 0

    return sorted(paths, key=number)


def _is_in_vault(path: Path) -> bool:
    return path.parent.parent.name == NOTES


def _misplaced(path: Path, found: Checkpoint) -> Iterator[str]:
    """A vault keeps a note under its market and its number; others lie where somebody put them."""
    if not _is_in_vault(path):
        return
    if path.parents[2].name != found.market or path.stem != f"{found.number:010}":
        yield (
            f"{'/'.join(path.parts[-4:])} holds checkpoint {found.number} of {found.market}: it "
            "was put there"
        )


def _gap(before: int, after: int) -> Iterator[str]:
    if after - before > 1:
        yield f"checkpoints {before + 1} to {after - 1} are not in the folder: taken from it"


def _chain(before: Checkpoint | None, after: Checkpoint) -> Iterator[str]:
    if before is None:
        return
    if before.number == after.number and before != after:
        yield f"two checkpoints have number {after.number}: their signer said different things"
    if before.number + 1 == after.number and after.previous != before.digest():
        yield f"checkpoint {after.number} does not name checkpoint {before.number}: another history"
    for tree in before.trees:
        if after.size_of(tree.topic) < tree.size:
            yield (
                f"checkpoint {after.number} covers {after.size_of(tree.topic)} records of "
                f"{tree.topic}, but {before.number} covered {tree.size}"
            )


async def compare(
    log: Log, market: Market, notes: Notes, vaults: Sequence[Vault], progress: Progress | None
) -> list[Check]:
    """Every topic against the notes, one check each. O(log x topics of the notes), memory bounded.

    Beside the notes stand those that the log's own topic has: what both have must be the same, and
    a newer one counts. Raises LogUnavailableError; what is missing in the log is a finding.
    """
    problems, later = [*notes.problems], None
    if notes.paths:
        beside, later = await _beside(log, market, notes)
        problems += beside
    checks = [
        Check(
            f"{market.code} checkpoints are signed and chained",
            len(problems),
            "; ".join([f"{len(notes.paths)} read", *problems[:10]]),
        )
    ]
    if not notes.paths:
        return checks
    known: list[Path | Checkpoint] = [*notes.paths, *([later] if later else [])]
    newest = _checkpoint(known[-1])
    made = f"{datetime.fromtimestamp(newest.time_ns // 10**9, UTC):%Y-%m-%dT%H:%M:%SZ}"
    for topic in CHECKED:
        head = _head(newest, topic.name)
        walk = _Walk(log, Partition(topic.name, market.partition), vaults)
        wrong = await walk.run(known, head.size, progress)
        figures = f"{head.size} records, root {head.root.hex()[:16]}, {newest.number} of {made}"
        name = f"{market.code} {topic.name} is what checkpoint {newest.number} signed"
        checks.append(Check(name, int(bool(wrong)), f"{figures}; {wrong}" if wrong else figures))
    return checks


async def _beside(log: Log, market: Market, notes: Notes) -> tuple[list[str], Checkpoint | None]:
    """What the log's topic of checkpoints says otherwise; its newest, if later. O(notes)."""
    partition = topics.checkpoints(market.partition)
    kept = {found.number: found for found in map(_checkpoint, notes.paths)}
    problems: list[str] = []
    newest: Checkpoint | None = None
    told: set[int] = set()
    try:
        async for record in records(log, partition, 0, await log.end(partition)):
            try:
                found = parse_checkpoint(notes.verifier.open(record.value.decode()))
            except OtherKeyError:  # of the key before
                continue
            except (NoteError, ValueError) as error:
                problems.append(f"record {record.offset} of the topic checkpoints: {error}")
                continue
            told.add(found.number)
            if kept.get(found.number, found) != found:
                problems.append(f"the log's checkpoint {found.number} is not the one kept")
            problems.extend(_chain(newest, found))
            newest = found
    except LogUnavailableError:
        raise
    except LogError as error:
        problems.append(f"the topic checkpoints: {error}")
    last = max(kept)  # may be on its way to the topic
    lacking = [number for number in sorted(kept) if number not in told and number < last]
    if lacking:
        problems.append(
            f"the log's topic lacks {len(lacking)} checkpoints that are kept, the first "
            f"{lacking[0]}: taken from it"
        )
    return problems, newest if newest is not None and newest.number > last else None


def _checkpoint(known: Path | Checkpoint) -> Checkpoint:
    if isinstance(known, Checkpoint):
        return known
    return parse_checkpoint(read_note(known).rpartition("\n\n")[0] + "\n")


def _head(checkpoint: Checkpoint, topic: str) -> TreeHead:
    found = [tree for tree in checkpoint.trees if tree.topic == topic]
    return found[0] if found else TreeHead(topic, 0, b"", ())


class _Walk:
    """One topic from its first record to where the newest note ends."""

    def __init__(self, log: Log, partition: Partition, vaults: Sequence[Vault]) -> None:
        self._log = log
        self._partition = partition
        self._topic = partition.topic
        self._vaults = vaults

    async def run(
        self, paths: Sequence[Path | Checkpoint], size: int, progress: Progress | None
    ) -> str:
        """What is wrong, "" when nothing is."""
        held = await self._log.end(self._partition)
        tree, good = Tree(), 0
        marks = self._marks(paths)
        mark = next(marks, None)
        while mark is not None and mark.size == 0:
            mark = next(marks, None)
        try:
            async for record in records(self._log, self._partition, 0, min(held, size)):
                tree.push(record_leaf(record))
                while mark is not None and mark.size == tree.size:
                    if mark.edge != tree.edge:
                        return await self._name(paths, good, mark, held)
                    good, mark = mark.size, next(marks, None)
                if progress is not None and tree.size % WINDOW == 0:
                    progress(tree.size, size)
        except LogUnavailableError:
            raise
        except LogError:
            return await self._hole(tree.size, mark)
        if mark is not None:
            return await self._name(paths, good, mark, held)
        return ""

    def _marks(self, paths: Sequence[Path | Checkpoint]) -> Iterator[Mark]:
        """What is known of the tree, by size: at each note, and inside it at each subtree's end."""
        at = 0
        for path in paths:
            checkpoint = _checkpoint(path)
            head = _head(checkpoint, self._topic)
            for count, (_, end) in enumerate(pairwise([*starts(head.size), head.size]), 1):
                if end >= at:
                    yield Mark(end, head.edge[:count], checkpoint.number)
                    at = end

    async def _hole(self, at: int, mark: Mark | None) -> str:
        """The offset that the log lacks, though it has later ones."""
        reader = await self._log.open_reader(self._partition, at)
        try:
            while await reader.read(1, 0.5):
                at = reader.position
        except LogError:
            pass
        finally:
            await reader.close()
        number = mark.number if mark is not None else 0
        return f"record {at} is missing: dropped, though checkpoint {number} covers it"

    async def _name(
        self, paths: Sequence[Path | Checkpoint], good: int, mark: Mark, held: int
    ) -> str:
        newest = _checkpoint(paths[-1])
        head = _head(newest, self._topic)
        for vault in self._vaults:
            if vault.tree(self._topic, 0, head.size).edge == head.edge:
                return await self._first_bad(vault, good, head.size, held)
        if held < mark.size:
            return (
                f"it ends at {held}, but checkpoint {mark.number} covers {mark.size} records: cut, "
                f"or records from {good} on dropped"
            )
        other = ", or another venue's log" if good == 0 else ""
        return (
            f"one of the records {good} to {mark.size - 1} is altered, dropped, inserted or "
            f"swapped{other}: checkpoint {mark.number} has other hashes"
        )

    async def _first_bad(self, vault: Vault, good: int, size: int, held: int) -> str:
        kept = vault.read_leaves(self._topic, good, size)
        async for record in records(self._log, self._partition, good, min(held, size)):
            if record_leaf(record) == next(kept):
                continue
            return await self._difference(vault, record.offset, size, held)
        return f"it ends at {held}: records {held} to {size - 1} are gone, cut at the end"

    async def _difference(self, vault: Vault, at: int, size: int, held: int) -> str:
        """How the log differs from what the vault keeps, at `at` already. O(records from there)."""
        (kept,) = vault.read_leaves(self._topic, at, at + 1)
        found = [leaf async for leaf in self._leaves(at, at + 2, held)]
        place = _place(found[0], vault.read_leaves(self._topic, at, size))
        if place is not None:
            there = [leaf async for leaf in self._leaves(at + place, at + place + 1, held)]
            if there == [kept]:
                return f"record {at} and record {at + place} are swapped"
            if await self._goes_on(vault, at + place, at, size, held):
                return f"record {at} is missing: {place} dropped"
        count = 0
        async for leaf in self._leaves(at, held, held):
            if leaf == kept and await self._goes_on(vault, at, at + count, size, held):
                return f"record {at} was inserted: {count} not of this log"
            count += 1
        if list(vault.read_leaves(self._topic, at + 1, min(at + 2, size))) == found[1:]:
            return f"record {at} is altered"
        other = ", or another venue's log" if at == 0 else ""
        return f"record {at} is altered, and so is what follows{other}"

    async def _goes_on(self, vault: Vault, kept: int, found: int, size: int, held: int) -> bool:
        """Whether the log from `found` on is the vault from `kept` on. O(WINDOW)."""
        theirs = vault.read_leaves(self._topic, kept, min(kept + WINDOW, size))
        async for leaf in self._leaves(found, found + WINDOW, held):
            if next(theirs, leaf) != leaf:
                return False
        return True

    async def _leaves(self, begin: int, end: int, held: int) -> AsyncIterator[bytes]:
        """Of the log, as far as it goes. O(end - begin)."""
        async for record in records(self._log, self._partition, begin, min(end, held)):
            yield record_leaf(record)


def _place(wanted: bytes, leaves: Iterator[bytes]) -> int | None:
    """Where a leaf stands first. O(leaves)."""
    return next((place for place, leaf in enumerate(leaves) if leaf == wanted), None)
