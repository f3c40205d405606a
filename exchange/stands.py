"""Where a projection of the log stood: kept on disk, so that a restart reads on from there.

Who is a pure function of a topic can always read it from its first record; that takes longer with
each day. A stand is that reader's state behind a record, and never the truth: one of another build,
one that was torn or altered, one that the log as it is now did not lead to (`Stood.follows`) is
passed over, and all is read again. It is Python's own form of the objects, in which nothing but the
venue's own classes and containers is made when it is loaded.
"""

from __future__ import annotations

import asyncio
import copyreg
import hashlib
import io
import os
import pickle
import time
from collections.abc import Coroutine
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, NamedTuple, Protocol

import structlog

from exchange.forked import Child
from exchange.log.protocol import Log, Partition, read_at
from exchange.messages.frames import EventFollower, chain_of_part
from exchange.settings import STAND_EVERY_RECORDS

FOLDER = "stands"
DRAFT_AGE_S_MAX = 3_600  # then its writer was killed
PACKAGES = ("exchange", "gateway", "matching")
_MAGIC = b"CXSTAND1"
_HASH_SIZE = 32
_OTHERS = frozenset({
    ("array", "array"), ("array", "_array_reconstructor"), ("builtins", "bytearray"),
    ("builtins", "dict"), ("builtins", "frozenset"), ("builtins", "int"), ("builtins", "list"),
    ("builtins", "set"), ("builtins", "tuple"),
    ("collections", "OrderedDict"), ("collections", "defaultdict"), ("collections", "deque"),
    ("collections", "Counter"), ("functools", "partial"),
    ("msgspec._utils", "rebuild"),
    ("sortedcontainers.sorteddict", "SortedDict"),
    ("sortedcontainers.sortedlist", "SortedList"), ("sortedcontainers.sortedlist", "SortedKeyList"),
})  # fmt: skip
"""What of other packages a stand may hold."""

log = structlog.get_logger(__name__)


class Stands(Protocol):
    """Where the stands of one reader are kept: `FileStands`, or a double of the simulation."""

    every: int
    """After so many records one is due."""

    def load(self) -> Any | None:
        """The state that was kept last; None when there is none that can be used. Blocks."""

    def save(self, state: Any) -> None:
        """Keeps a state; a failure is logged. Blocks. O(state)."""

    def draft(self, state: Any) -> Coroutine[Any, Any, None]:
        """Begins to keep a state as it is now, at the call; to be awaited while it goes on to
        change. A failure is logged."""


class FileStands:
    """The newest stand of one reader, in one file of the process's data folder.

    One is due each `every` records.
    """

    def __init__(self, data: Path, name: str, every: int = STAND_EVERY_RECORDS) -> None:
        self.every = every
        self.path = data / FOLDER / f"{name}.stand"
        self._say = log.bind(path=str(self.path))

    def load(self) -> Any | None:
        """See `Stands`."""
        try:
            return decode(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever is wrong with it, the log is there
            self._say.warning("stand passed over: all is read again", error=repr(error)[:200])
            return None

    def save(self, state: Any) -> None:
        """See `Stands`."""
        try:
            self.write(encode(state))
        except Exception as error:
            self._say.warning("stand not kept: a restart takes longer", error=repr(error)[:200])

    def draft(self, state: Any) -> Coroutine[Any, Any, None]:
        """See `Stands`. Forks: the state is the child's to write."""
        try:
            return self._drafted(Child(lambda: self.write(encode(state))))
        except OSError as error:
            return self._drafted(None, str(error))

    async def _drafted(self, child: Child | None, failure: str | None = None) -> None:
        if child is not None:
            failure = await child.ended()
        if failure is not None:
            self._say.warning("stand not kept: a restart takes longer", error=failure)

    def write(self, data: bytes) -> None:
        """Puts a file in the place of the last one, durably. Blocks. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(f".{os.getpid()}.draft")
        self._tidy()
        try:
            with open(draft, "wb", opener=_for_its_owner) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def _tidy(self) -> None:
        for draft in self.path.parent.glob(f"{self.path.stem}.*.draft"):
            with suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > DRAFT_AGE_S_MAX:
                    draft.unlink()


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def encode(state: Any) -> bytes:
    """A state as its file holds it. O(state)."""
    written = io.BytesIO()
    pickler = pickle.Pickler(written, protocol=5)
    pickler.dispatch_table = copyreg.dispatch_table | {MethodType: _reduce_method}
    pickler.dump(state)
    body = written.getbuffer()
    head = _MAGIC + build_digest()
    digest = hashlib.blake2b(head, digest_size=_HASH_SIZE)
    digest.update(body)
    return b"".join((head, digest.digest(), body))


def decode(data: bytes) -> Any:
    """The state in a file's bytes; ValueError when they are not sound, or another build's."""
    head, size = _MAGIC + build_digest(), len(_MAGIC) + 2 * _HASH_SIZE
    if len(data) < size or data[: len(_MAGIC)] != _MAGIC:
        raise ValueError("no stand")
    if not data.startswith(head):
        raise ValueError("of another build")
    body = memoryview(data)[size:]
    digest = hashlib.blake2b(head, digest_size=_HASH_SIZE)
    digest.update(body)
    if digest.digest() != data[len(head) : size]:
        raise ValueError("torn or altered")
    return _Loader(io.BytesIO(body)).load()


class _Loader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A class of the venue's own, or what `_OTHERS` names."""
        found = super().find_class(module, name)
        is_own = module.split(".")[0] in PACKAGES and (
            isinstance(found, type) or name.startswith("__pyx_unpickle_") or found is _method
        )
        if not is_own and (module, name) not in _OTHERS:
            raise ValueError(f"it would make {module}.{name}")
        return found


def _reduce_method(method: MethodType) -> tuple[Any, ...]:
    return _method, (method.__self__, method.__name__)


def _method(of: Any, name: str) -> MethodType:
    """A method of an object of the venue's own."""
    function = getattr(type(of), name)
    if type(of).__module__.split(".")[0] not in PACKAGES or not isinstance(function, FunctionType):
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

    offset: int  # of `events`: the next record
    follower: EventFollower

    @property
    def is_whole(self) -> bool:
        """Whether the output of the last record of `orders` is in it to its end. O(1)."""
        return self.follower.part == 0

    async def follows(self, log_: Log, events: Partition) -> bool:
        """Whether `events` as it is now led to it: the record before has its chain. O(1).

        Raises LogUnavailableError.
        """
        if not self.offset:
            return self.follower.next_event == 0
        if await log_.end(events) < self.offset or await log_.begin(events) >= self.offset:
            return False
        found = await read_at(log_, events, self.offset - 1, self.offset)
        return bool(found) and chain_of_part(found[0].value) == self.follower.chain


class Keeper:
    """Keeps the stands of one reader: one each so many records, and one when it ends."""

    def __init__(self, stands: Stands | None) -> None:
        """None: nothing is kept, and all is read at each start."""
        self._stands = stands
        self._last = 0
        self._drafting: asyncio.Task[None] | None = None

    async def load(self) -> Any | None:
        """See `Stands`."""
        return None if self._stands is None else await asyncio.to_thread(self._stands.load)

    def begins(self, count: int) -> None:
        """So many records are in the state from which the reader goes on. O(1)."""
        self._last = count

    def is_due(self, count: int) -> bool:
        """Whether a stand should be drafted, now that so many records were read. O(1)."""
        if self._stands is None or (self._drafting is not None and not self._drafting.done()):
            return False
        return count - self._last >= self._stands.every

    def draft(self, state: Any, count: int) -> None:
        """Begins to keep a state, as it is now. O(1) for who calls, but for the fork."""
        if self._stands is not None:
            self._last = count
            self._drafting = asyncio.create_task(self._stands.draft(state))

    async def close(self, state: Any | None, count: int) -> None:
        """Ends a draft, and keeps the last state, if there is one and it is news."""
        if self._drafting is not None:
            await asyncio.sleep(0)  # one that has only just begun waits for its child
            self._drafting.cancel()
            await asyncio.gather(self._drafting, return_exceptions=True)
        if self._stands is not None and state is not None and count != self._last:
            await asyncio.to_thread(self._stands.save, state)
