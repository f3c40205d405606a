"""Signed checkpoints of a market's log: made while the venue runs, kept on another disk.

Every `checkpoint_every_s` seconds, and when a trading day begins, the writer hashes what came on
each topic of `CHECKED` since the last time, signs the size and Merkle root of each, writes the note
into the vault and puts it on topic `checkpoints`, from which gateways show it to everybody. It
holds no more than the edge of each tree; after a restart it goes on from its newest note.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import numpy as np
import structlog

from exchange import metrics, topics
from exchange.audit.merkle import Tree, leaf_hash
from exchange.audit.signed_note import OtherKeyError, Signer, split
from exchange.audit.vault import Vault, VaultError
from exchange.clock import Clock
from exchange.log.protocol import (
    AppendUncertainError,
    Log,
    LogError,
    LogUnavailableError,
    Partition,
    Reader,
    Record,
    records,
)
from exchange.messages.checkpoints import FIRST, Cause, Checkpoint, TreeHead, parse_checkpoint
from exchange.messages.frames import EVENT, HEADER_SIZE, RECORD_SIZE, Event
from exchange.reference.venue import Market
from exchange.settings import CHECKPOINT_LOOK_S, READ_RECORDS_MAX

CHECKED = (topics.ORDERS, topics.EVENTS, topics.SETTLEMENTS, topics.REGISTRY, topics.ALERTS)
"""What a checkpoint covers. `marketdata` follows from `events` (`exchange rebuild-marketdata`)."""

READ_WAIT_S = 0.5
EMPTY_READS_MAX = 60  # then the log does not give what it says it holds
TIME_BYTES = 8


class CheckpointError(LogError):
    """The log is not what its checkpoints say: a human must look; `exchange verify --against`."""


def record_leaf(record: Record) -> bytes:
    """The leaf of a record: SHA-256(0x00, append time as 8 bytes big-endian, value). O(bytes).

    The append time is in it because the engine's time comes from it; the offset is not, for the
    place in the tree says it.
    """
    time = record.append_ns % (1 << 8 * TIME_BYTES)  # a log that was altered may have any
    return leaf_hash(time.to_bytes(TIME_BYTES, "big") + record.value)


class CheckpointService:
    """Makes the checkpoints of one market."""

    def __init__(
        self,
        log: Log,
        venue: str,
        market: Market,
        vault: Vault,
        signer: Signer,
        clock: Clock,
        every_s: float,
    ) -> None:
        self.name = f"checkpoints-{market.code}"
        self.newest: Checkpoint | None = None
        self.is_ready = False  # once what was there at the start is under a checkpoint
        self._log = log
        self._venue = venue
        self._market = market
        self._vault = vault
        self._signer = signer
        self._clock = clock
        self._every_s = every_s
        self._partition = topics.checkpoints(market.partition)
        self._trees: dict[str, Tree] = {}
        self._readers: dict[str, Reader] = {}
        self._is_open = False
        self._trading_date = 0
        self._published = 0
        self._say = structlog.get_logger().bind(service=self.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Makes checkpoints until `stop`, a last one then.

        Raises CheckpointError when the log lacks or contradicts what was signed, LogError,
        VaultError and OSError when the folder cannot be used.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with AsyncExitStack() as stack:
            while True:
                is_last = stop.is_set()
                try:
                    await self._open(stack)
                    await self._catch_up()
                    is_day = self.newest is not None and self._is_new_day(self.newest)
                    if is_last or is_day or loop.time() >= due:
                        await self._checkpoint("day" if is_day else "interval")
                        self.is_ready, due = True, loop.time() + self._every_s
                except (LogUnavailableError, AppendUncertainError) as error:
                    self._say.warning("log_unavailable", error=str(error))
                if is_last:
                    return
                await _wait(stop, min(CHECKPOINT_LOOK_S, self._every_s))

    async def once(self) -> Checkpoint:
        """One checkpoint of the log as it is now. Raises as `run`, LogUnavailableError too."""
        async with AsyncExitStack() as stack:
            await self._open(stack)
            await self._catch_up()
            await self._checkpoint("request")
        if self.newest is None:  # pragma: no cover - `_checkpoint` makes one
            raise CheckpointError("no checkpoint was made")
        return self.newest

    def _is_new_day(self, newest: Checkpoint) -> bool:
        return newest.trading_date != self._trading_date

    # -- where it goes on from ------------------------------------------------------------------

    async def _open(self, stack: AsyncExitStack) -> None:
        if not self._is_open:
            self._vault.writing()
            stack.callback(self._vault.close)
            self._is_open = True
        if not self._trees:
            await self._resume()
        for topic in CHECKED:
            if topic.name in self._readers:
                continue
            tree = self._trees[topic.name]
            reader = await self._log.open_reader(self._of(topic.name), tree.size)
            stack.push_async_callback(reader.close)
            self._readers[topic.name] = reader

    async def _resume(self) -> None:
        """The newest note of vault or topic, its trees, and the last record of each again."""
        number, told = self._vault.newest(), await self._last_told()
        found = self._opened(self._vault.note(number)) if number else None
        if told:
            other = self._opened(told)
            self._published = other.number
            if found is None or other.number > found.number:
                found = other
                if self._is_ours(told):
                    self._vault.put(other.number, told)
        if found and (found.venue, found.market) != (self._venue, self._market.code):
            raise VaultError(f"these are checkpoints of market {found.market} of {found.venue}")
        heads = {tree.topic: tree for tree in found.trees} if found else {}
        number = found.number if found else 0
        trees = {}
        for topic in CHECKED:
            head = heads.get(topic.name, TreeHead(topic.name, 0, b"", ()))
            await self._restore(head, number)
            trees[topic.name] = Tree(head.size, head.edge)
        self.newest, self._trees = found, trees
        self._trading_date = found.trading_date if found else 0

    def _opened(self, note: str) -> Checkpoint:
        """A note of ours; or one of the key before, whose numbers go on: roots are compared."""
        try:
            return parse_checkpoint(self._signer.verifier.open(note))
        except OtherKeyError as error:
            self._say.warning("key_changed", error=str(error))
            return parse_checkpoint(split(note)[0])

    def _is_ours(self, note: str) -> bool:
        try:
            self._signer.verifier.open(note)
        except OtherKeyError:
            return False
        return True

    async def _restore(self, head: TreeHead, number: int) -> None:
        """The vault's hashes up to the newest note; those that are lost, from the log."""
        partition, end = self._of(head.topic), await self._log.end(self._of(head.topic))
        if end < head.size:
            raise CheckpointError(
                f"{head.topic} ends at {end}, but checkpoint {number} covers {head.size} records: "
                "the log was cut"
            )
        self._vault.cut(head.topic, head.size)
        have = self._vault.leaves(head.topic)
        if have < head.size:
            self._say.warning("hashes_restored", topic=head.topic, begin=have, end=head.size)
            async for record in records(self._log, partition, have, head.size):
                self._vault.append(head.topic, [record_leaf(record)])
            self._vault.sync()
            if self._vault.tree(head.topic, 0, head.size).edge != head.edge:
                raise CheckpointError(
                    f"{head.topic}: its first {head.size} records do not give the root of "
                    f"checkpoint {number}: exchange verify --against says where"
                )
        if head.size:
            kept = next(self._vault.read_leaves(head.topic, head.size - 1, head.size))
            async for record in records(self._log, partition, head.size - 1, head.size):
                if record_leaf(record) != kept:
                    raise CheckpointError(
                        f"{head.topic} record {record.offset} is not the one of checkpoint "
                        f"{number}: altered, or another venue's log"
                    )

    async def _last_told(self) -> str:
        end = await self._log.end(self._partition)
        async for record in records(self._log, self._partition, max(end - 1, 0), end):
            return record.value.decode()
        return ""

    # -- one round ------------------------------------------------------------------------------

    async def _catch_up(self) -> None:
        """Hashes what came on every topic."""
        for topic, reader in self._readers.items():
            tree, end = self._trees[topic], await self._log.end(self._of(topic))
            empty = 0
            while tree.size < end:
                rows = await reader.read(READ_RECORDS_MAX, READ_WAIT_S)
                leaves = [record_leaf(row) for row in rows]
                for leaf in leaves:
                    tree.push(leaf)
                self._vault.append(topic, leaves)
                if topic == topics.EVENTS.name:
                    for row in rows:
                        self._trading_date = _day_in(row.value) or self._trading_date
                empty = 0 if rows else empty + 1
                if empty == EMPTY_READS_MAX:
                    raise LogUnavailableError(f"{topic} record {tree.size} cannot be read")

    async def _checkpoint(self, cause: Cause) -> None:
        """Signs, keeps and publishes where the trees stand, unless nothing came since."""
        last = self.newest
        trees = tuple(
            TreeHead(topic, tree.size, tree.root(), tree.edge)
            for topic, tree in self._trees.items()
        )
        if last is None or last.trees != trees:
            made = Checkpoint(
                venue=self._venue,
                market=self._market.code,
                number=last.number + 1 if last else 1,
                time_ns=self._clock.now_ns(),
                trading_date=self._trading_date,
                cause=cause,
                previous=last.digest() if last else FIRST,
                trees=trees,
            )
            note = self._signer.sign(made.text())
            await asyncio.to_thread(self._keep, made.number, note)
            self.newest = made
        await self._publish()
        metrics.CHECKPOINT_TIME.labels(self._market.code).set(self._clock.now_ns() / 1_000_000_000)

    def _keep(self, number: int, note: str) -> None:
        self._vault.sync()
        self._vault.put(number, note)

    async def _publish(self) -> None:
        """Puts notes that are in the vault and not on the topic there, in order."""
        newest = self.newest.number if self.newest else 0
        while self._published < newest:
            note = self._vault.note(self._published + 1)
            await self._log.append(self._partition, [note.encode()])
            self._published += 1

    def _of(self, topic: str) -> Partition:
        return Partition(topic, self._market.partition)


def _day_in(value: bytes) -> int:
    """The trading date that begins in a record of `events`, 0 when none does. O(events)."""
    body = value[HEADER_SIZE:]
    if len(body) % RECORD_SIZE:
        return 0
    rows = np.frombuffer(body, EVENT)
    dates = rows["quantity"][rows["kind"] == Event.DAY_STARTED]
    return int(dates[-1]) if len(dates) else 0


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
