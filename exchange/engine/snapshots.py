"""Snapshots of an engine on disk: where a restart begins.

A file holds a header (input offset, next event, place on `events`, chain), the engine's canonical
snapshot and a BLAKE2b-256 of both. It is written beside its name, synced and renamed, so a crash
leaves the old ones whole; a torn or altered file is passed over with a log line.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import structlog

_MAGIC = 0x46535843  # "CXSF"
_VERSION = 1
_HEADER = struct.Struct("<IIqqq32sq")
_HASH_SIZE = 32
_SUFFIX = ".snapshot"

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
        self._directory = directory
        self._kept = kept

    def save(self, snapshot: EngineSnapshot, *, writer: int) -> Path:
        """Writes the snapshot durably and removes the oldest above `kept`. Blocks. O(state).

        `writer` tells two engines of one directory apart while they write. Raises OSError.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"{snapshot.next_offset:020d}{_SUFFIX}"
        draft = path.with_suffix(f".{writer:x}.draft")
        with draft.open("wb") as file:
            file.write(encode(snapshot))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        for old in self._paths()[self._kept :]:
            old.unlink(missing_ok=True)
        return path

    def newest_first(self) -> Iterator[EngineSnapshot]:
        """Every sound snapshot, newest first; an unsound one is logged and passed over. Blocks."""
        for path in self._paths():
            try:
                snapshot = decode(path.read_bytes())
            except (OSError, ValueError) as error:
                log.warning("snapshot passed over", path=str(path), error=str(error))
                continue
            yield snapshot

    def _paths(self) -> list[Path]:
        return sorted(self._directory.glob(f"*{_SUFFIX}"), reverse=True)


def encode(snapshot: EngineSnapshot) -> bytes:
    """The bytes of a snapshot file. O(state)."""
    header = _HEADER.pack(_MAGIC, _VERSION, *snapshot[:4], len(snapshot.state))
    body = header + snapshot.state
    return body + hashlib.blake2b(body, digest_size=_HASH_SIZE).digest()


def decode(data: bytes) -> EngineSnapshot:
    """The snapshot in a file's bytes; ValueError says what is wrong with them. O(state)."""
    if len(data) < _HEADER.size + _HASH_SIZE:
        raise ValueError(f"{len(data)} bytes are no snapshot file")
    magic, version, next_offset, next_event, events_offset, chain, size = _HEADER.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        raise ValueError(f"not a snapshot file of version {_VERSION}")
    if len(data) != _HEADER.size + size + _HASH_SIZE:
        raise ValueError(f"{len(data)} bytes where {_HEADER.size + size + _HASH_SIZE} should be")
    body, written = data[:-_HASH_SIZE], data[-_HASH_SIZE:]
    if hashlib.blake2b(body, digest_size=_HASH_SIZE).digest() != written:
        raise ValueError("its hash is wrong")
    return EngineSnapshot(next_offset, next_event, events_offset, chain, body[_HEADER.size :])
