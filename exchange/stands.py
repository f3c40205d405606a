"""Where a projection of the log stood: kept on disk, so that a restart reads on from there.

Who is a pure function of a topic can always read it from its first record; that takes longer with
each day. A stand is that reader's state behind a record, and never the truth: one of another build,
one that was torn or altered, one that the log as it is now did not lead to (`Stood.follows`) is
passed over, and all is read again. It is Python's own form of the objects, in which nothing but the
classes of the venue's projections and containers is made when it is loaded.
"""

from __future__ import annotations

import asyncio
import copyreg
import hashlib
import io
import os
import pickle
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FunctionType, MethodType
from typing import IO, Any, NamedTuple, Protocol

import structlog

from exchange.forked import Child
from exchange.log.protocol import Log, Partition, read_at
from exchange.messages.frames import EventFollower, chain_of_part
from exchange.settings import (
    STAND_EVERY_RECORDS,
    STAND_EVERY_S,
    STAND_RECORDS_MIN,
    STAND_SHARE,
)

FOLDER = "stands"
DRAFT_AGE_S_MAX = 3_600  # then its writer was killed
PACKAGES = ("exchange", "gateway", "matching")
PROJECTIONS = (
    "exchange.auctions", "exchange.engine.bootstrap", "exchange.marketdata", "exchange.messages",
    "exchange.positions", "exchange.surveillance", "gateway.control.moved_alone", "gateway.views",
    "matching.layout",
)  # fmt: skip
"""The modules, and packages of modules, whose classes a stand may hold."""
_MAGIC = b"CXSTAND1"
_HASH_SIZE = 32
_PIECE = 1 << 20  # bytes
_OTHERS = frozenset({
    ("exchange.stands", "Stood"), ("exchange.stands", "_method"),
    ("array", "array"), ("array", "_array_reconstructor"), ("builtins", "bytearray"),
    ("builtins", "dict"), ("builtins", "frozenset"), ("builtins", "int"), ("builtins", "list"),
    ("builtins", "set"), ("builtins", "tuple"),
    ("collections", "OrderedDict"), ("collections", "defaultdict"), ("collections", "deque"),
    ("collections", "Counter"), ("functools", "partial"),
    ("msgspec._utils", "rebuild"),
    ("sortedcontainers.sorteddict", "SortedDict"),
    ("sortedcontainers.sortedlist", "SortedList"), ("sortedcontainers.sortedlist", "SortedKeyList"),
})  # fmt: skip
"""What else a stand may hold."""

log = structlog.get_logger(__name__)


class Stands(Protocol):
    """Where the stands of one reader are kept: `FileStands`, or a double of the simulation."""

    every: int
    """After so many records one is due,"""
    every_s: float
    """or after so many seconds, if STAND_RECORDS_MIN were read; 0: by records only."""

    def load(self) -> Any | None:
        """The state that was kept last; None when there is none that can be used. Blocks."""

    def save(self, state: Any) -> None:
        """Keeps a state; a failure is logged. Blocks. O(state)."""

    def draft(self, state: Any) -> Coroutine[Any, Any, bool]:
        """Begins to keep a state as it is now, at the call; to be awaited while it goes on to
        change. Whether it is kept then; a failure is logged."""


class FileStands:
    """The newest stand of one reader, in one file of the process's data folder.

    One is due each `every` records, or `every_s` seconds.
    """

    def __init__(
        self,
        data: Path,
        name: str,
        every: int = STAND_EVERY_RECORDS,
        every_s: float = STAND_EVERY_S,
    ) -> None:
        self.every, self.every_s = every, every_s
        self.path = data / FOLDER / f"{name}.stand"
        self._say = log.bind(path=str(self.path))
        build_digest()  # of the code as this process has it, whatever stands there later

    def load(self) -> Any | None:
        """See `Stands`."""
        try:
            with self.path.open("rb") as file:
                return _read(file)
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever is wrong with it, the log is there
            self._say.warning("stand passed over: all is read again", error=repr(error)[:200])
            return None

    def save(self, state: Any) -> None:
        """See `Stands`."""
        try:
            self.put(lambda file: _write(file, state))
        except Exception as error:
            self._say.warning("stand not kept: a restart takes longer", error=repr(error)[:200])

    def draft(self, state: Any) -> Coroutine[Any, Any, bool]:
        """See `Stands`. Forks: the state is the child's to write."""
        try:
            return self._drafted(Child(lambda: self.put(lambda file: _write(file, state))))
        except OSError as error:
            return self._drafted(None, str(error))

    async def _drafted(self, child: Child | None, failure: str | None = None) -> bool:
        try:
            if child is not None:
                failure = await child.ended()
        except asyncio.CancelledError:
            if child is not None:
                self._draft_of(child.pid).unlink(missing_ok=True)
            raise
        if failure is not None:
            self._say.warning("stand not kept: a restart takes longer", error=failure)
        return failure is None

    def _draft_of(self, pid: int) -> Path:
        return self.path.with_suffix(f".{pid}.draft")

    def put(self, fill: Callable[[IO[bytes]], object]) -> None:
        """Puts a file in the place of the last one, durably. Blocks. Raises as `fill` does."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._draft_of(os.getpid())
        self._tidy()
        try:
            with open(draft, "wb", opener=_for_its_owner) as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise

    def _tidy(self) -> None:
        for draft in self.path.parent.glob(f"{self.path.stem}.*.draft"):
            with suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > DRAFT_AGE_S_MAX:
                    draft.unlink()


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _Hashed(io.RawIOBase):
    """Writes on to a file, and hashes what it writes."""

    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self._file, self._digest = file, digest

    def write(self, piece: Any) -> int:
        """As of a file."""
        self._digest.update(piece)
        return self._file.write(piece)


def _write(file: IO[bytes], state: Any) -> None:
    """A state into a file: what it is, a digest, and the state. O(state)."""
    head = _MAGIC + build_digest()
    digest = hashlib.blake2b(head, digest_size=_HASH_SIZE)
    file.write(head + bytes(_HASH_SIZE))
    pickler = pickle.Pickler(_Hashed(file, digest), protocol=5)
    pickler.dispatch_table = copyreg.dispatch_table | {MethodType: _reduce_method}
    pickler.dump(state)
    file.seek(len(head))
    file.write(digest.digest())


def _read(file: IO[bytes]) -> Any:
    """The state in a file; ValueError when it is not sound, or another build's. O(its bytes)."""
    head = _MAGIC + build_digest()
    found = file.read(len(head) + _HASH_SIZE)
    if len(found) < len(head) + _HASH_SIZE or not found.startswith(_MAGIC):
        raise ValueError("no stand")
    if not found.startswith(head):
        raise ValueError("of another build")
    digest = hashlib.blake2b(head, digest_size=_HASH_SIZE)
    while piece := file.read(_PIECE):
        digest.update(piece)
    if digest.digest() != found[len(head) :]:
        raise ValueError("torn or altered")
    file.seek(len(found))
    return _Loader(file).load()


def encode(state: Any) -> bytes:
    """A state as its file holds it. O(state)."""
    file = io.BytesIO()
    _write(file, state)
    return file.getvalue()


def decode(data: bytes) -> Any:
    """The state in a file's bytes; ValueError when they are not sound, or another build's."""
    return _read(io.BytesIO(data))


class _Loader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A class of the venue's projections, or what `_OTHERS` names; ValueError: another."""
        if (module, name) not in _OTHERS and not (_is_own(module) and "." not in name):
            raise ValueError(f"it would make {module}.{name}")
        found = super().find_class(module, name)
        is_made = isinstance(found, type) and _is_own(found.__module__)
        if (module, name) in _OTHERS or is_made or name.startswith("__pyx_unpickle_"):
            return found
        raise ValueError(f"it would make {module}.{name}")


def _is_own(module: str) -> bool:
    return any(module == own or module.startswith(f"{own}.") for own in PROJECTIONS)


def _reduce_method(method: MethodType) -> tuple[Any, ...]:
    return _method, (method.__self__, method.__name__)


def _method(of: Any, name: str) -> MethodType:
    """A method of an object of the venue's own."""
    function = getattr(type(of), name)
    if not _is_own(type(of).__module__) or not isinstance(function, FunctionType):
        raise ValueError(f"it would call {name} of {type(of)}")
    return MethodType(function, of)


@cache
def build_digest() -> bytes:
    """Of all the code whose objects a stand may hold. O(its bytes), once a process."""
    content = hashlib.blake2b(digest_size=_HASH_SIZE)
    root = Path(__file__).parents[1]
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in (".py", ".so"):
                content.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return content.digest()


class Stood(NamedTuple):
    """Where a reader of `events` stands: at the end of the output of one record of `orders`."""

    follower: EventFollower

    @property
    def offset(self) -> int:
        """Of `events`: where it reads on. O(1)."""
        return self.follower.position

    @property
    def is_whole(self) -> bool:
        """Whether the output of the last record of `orders` is in it to its end. O(1)."""
        return self.follower.part == 0

    async def follows(self, log_: Log, events: Partition) -> bool:
        """Whether `events` as it is now led to it: the record before has its chain. O(1).

        Raises LogError.
        """
        if not self.offset:
            return self.follower.next_event == 0
        found = await _before(log_, events, self.offset)
        return found is not None and chain_of_part(found) == self.follower.chain


async def leads_to(log_: Log, partition: Partition, position: int, last: bytes) -> bool:
    """Whether a topic has `last` as the record before `position`. O(1). Raises LogError.

    At 0 nothing was read, and every log leads there.
    """
    return not position or await _before(log_, partition, position) == last


async def _before(log_: Log, partition: Partition, position: int) -> bytes | None:
    if await log_.end(partition) < position or await log_.begin(partition) >= position:
        return None
    found = await read_at(log_, partition, position - 1, position)
    return found[0].value if found else None


class Keeper:
    """Keeps the stands of one reader: each so many records or seconds, and when it ends.

    So one that is killed has to read again what came in a minute or so, however long it lived; it
    spends a tenth of a core at most on drafts that are due by time.
    """

    def __init__(self, stands: Stands | None, clock: Callable[[], float] = time.monotonic) -> None:
        """None: nothing is kept, and all is read at each start. `clock` in seconds."""
        self._stands, self._clock = stands, clock
        self._kept = self._begun = 0  # how many records are in the last one, and in the last draft
        self._wait(0.0)
        self._drafting: asyncio.Task[None] | None = None

    async def load(self) -> Any | None:
        """See `Stands`."""
        return None if self._stands is None else await asyncio.to_thread(self._stands.load)

    def begins(self, count: int) -> None:
        """So many records are in the state from which the reader goes on. O(1)."""
        self._kept = self._begun = count
        self._wait(0.0)

    def _wait(self, took_s: float) -> None:
        every_s = self._stands.every_s if self._stands is not None else 0.0
        self._by_time = self._clock() + max(every_s, STAND_SHARE * took_s)

    def is_due(self, count: int) -> bool:
        """Whether a stand should be drafted, now that so many records were read. O(1)."""
        if self._stands is None or (self._drafting is not None and not self._drafting.done()):
            return False
        new = count - self._begun
        if new >= self._stands.every:
            return True
        is_late = self._stands.every_s > 0 and self._clock() >= self._by_time
        return is_late and new >= STAND_RECORDS_MIN

    def draft(self, state: Any, count: int) -> None:
        """Begins to keep a state, as it is now. O(1) for who calls, but for the fork."""
        if self._stands is not None:
            self._begun = count
            self._drafting = asyncio.create_task(self._draft(self._stands.draft(state), count))

    async def _draft(self, drafted: Coroutine[Any, Any, bool], count: int) -> None:
        begun = self._clock()
        if await drafted:
            self._kept = count
        self._wait(self._clock() - begun)

    async def close(self, state: Any | None, count: int) -> None:
        """Ends a draft, and keeps the last state, if there is one and it is news."""
        if self._drafting is not None:
            await asyncio.sleep(0)  # one that has only just begun waits for its child
            if count != self._begun and state is not None:  # that of now takes its place
                self._drafting.cancel()
            await asyncio.gather(self._drafting, return_exceptions=True)
        if self._stands is not None and state is not None and count != self._kept:
            await asyncio.to_thread(self._stands.save, state)
