"""Snapshots of an engine on disk: where a restart begins.

A file holds a header (input offset, next event, place on `events`, chain), the engine's canonical
snapshot and a BLAKE2b-256 of both. It is written beside its name, synced and renamed, so a crash
leaves the old ones whole; a torn or altered file is passed over with a log line.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from exchange.fault_points import reached
from exchange.settings import SNAPSHOTS_KEPT

_MAGIC = 0x46535843  # "CXSF"
_VERSION = 1
_HEADER = struct.Struct("<IIqqq32sq")
_HASH_SIZE = 32
_SUFFIX = ".snapshot"
_DRAFT = ".draft"
DRAFT_AGE_S_MAX = 3_600  # then its writer was killed

log = structlog.get_logger(__name__)


class EngineSnapshot(NamedTuple):
    """The engine's state after every record of `orders` below `next_offset`."""

    next_offset: int
    next_event: int
    events_offset: int  # of `events`, right after the last part of input next_offset - 1
    chain: bytes  # after that part
    state: bytes  # `Engine.snapshot()`


class SnapshotStore:
    """The newest `kept` snapshots of one market, in one directory."""

    def __init__(self, directory: Path, *, kept: int) -> None:
        self.directory = directory
        self._kept = kept

    def save(self, snapshot: EngineSnapshot, *, writer: int) -> Path:
        """Writes the snapshot durably; removes the oldest others above `kept`. Blocks. O(state).

        `writer` tells two engines of one directory apart while they write. Raises OSError.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"{snapshot.next_offset:020d}{_SUFFIX}"
        draft = path.with_suffix(f".{writer:x}{_DRAFT}")
        reached("engine.snapshot.before")
        try:
            with draft.open("wb") as file:
                for piece in encode(snapshot):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        directory = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self._tidy(path)
        reached("engine.snapshot.after")
        return path

    def newest_first(self) -> list[Path]:
        """The files that are there; whether one is sound, `load` says. O(files)."""
        return sorted(self.directory.glob(f"*{_SUFFIX}"), reverse=True)

    def newest(self) -> EngineSnapshot | None:
        """The newest sound snapshot; an unsound one is logged and passed over. Blocks. O(state)."""
        for path in self.newest_first():
            try:
                return load(path)
            except (OSError, ValueError) as error:
                log.warning("snapshot passed over", path=str(path), error=str(error))
        return None

    def _tidy(self, written: Path) -> None:
        for old in self.newest_first()[self._kept :]:
            if old != written:  # what has higher names may be unsound, or of another log
                old.unlink(missing_ok=True)
        for draft in self.directory.glob(f"*{_DRAFT}"):
            with suppress(FileNotFoundError):  # another engine of this directory was faster
                if time.time() - draft.stat().st_mtime > DRAFT_AGE_S_MAX:
                    draft.unlink()


def snapshots_of(data: Path, market: str) -> SnapshotStore:
    """The snapshots of a market under a process's data folder."""
    return SnapshotStore(data / "snapshots" / market, kept=SNAPSHOTS_KEPT)


def load(path: Path) -> EngineSnapshot:
    """The snapshot in a file; OSError, and ValueError if it is not sound. Blocks. O(state)."""
    return decode(path.read_bytes())


def encode(snapshot: EngineSnapshot) -> Sequence[bytes]:
    """The pieces of a snapshot file, in order. O(state)."""
    header = _HEADER.pack(_MAGIC, _VERSION, *snapshot[:4], len(snapshot.state))
    digest = hashlib.blake2b(header, digest_size=_HASH_SIZE)
    digest.update(snapshot.state)
    return header, snapshot.state, digest.digest()


def decode(data: bytes) -> EngineSnapshot:
    """The snapshot in a file's bytes; ValueError says what is wrong with them. O(state)."""
    if len(data) < _HEADER.size + _HASH_SIZE:
        raise ValueError(f"{len(data)} bytes are no snapshot file")
    magic, version, next_offset, next_event, events_offset, chain, size = _HEADER.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        raise ValueError(f"not a snapshot file of version {_VERSION}")
    if len(data) != _HEADER.size + size + _HASH_SIZE:
        raise ValueError(f"{len(data)} bytes where {_HEADER.size + size + _HASH_SIZE} should be")
    body, written = memoryview(data)[:-_HASH_SIZE], data[-_HASH_SIZE:]
    if hashlib.blake2b(body, digest_size=_HASH_SIZE).digest() != written:
        raise ValueError("its hash is wrong")
    state = bytes(body[_HEADER.size :])
    return EngineSnapshot(next_offset, next_event, events_offset, chain, state)
