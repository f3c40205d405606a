"""The folder of a venue's checkpoints, kept on another disk than the log.

    public.key                          the line of the key that signs
    MARKET/notes/000000/0000000017.note one checkpoint; ten thousand in a folder
    MARKET/TOPIC.leaves                 the hash of each record, 32 bytes at offset * 32

A note is whole or not there. Hashes are written and synced before the note that counts them; what
lies behind the newest note is cut off when the folder is opened for writing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Self

from exchange.audit.merkle import HASH_BYTES, Tree
from exchange.audit.signed_note import Verifier, parse_verifier

CHECKPOINTS_FOLDER = "checkpoints"  # in the data folder, where no other is set
PUBLIC_KEY = "public.key"
NOTES = "notes"
LOCK = "lock"
NOTES_IN_A_FOLDER = 10_000
NOTE_BYTES_MAX = 1 << 20
LEAVES_READ = 1 << 14  # hashes read at once


class VaultError(ValueError):
    """The folder is not what it should be; the message says what and what to do."""


def publish_key(folder: Path, verifier: Verifier) -> None:
    """Writes the public half where it is missing; VaultError when another key stands there."""
    path = folder / PUBLIC_KEY
    if path.exists():
        standing = parse_verifier(path.read_text("utf-8"))
        if standing != verifier:
            raise VaultError(
                f"{path} is the key {standing.name} {standing.key_id.hex()}, not "
                f"{verifier.name} {verifier.key_id.hex()}: begin another folder for another key"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    _write(path, verifier.line() + "\n")


class Vault:
    """One market's part of the folder. Reading makes nothing; `writing` takes the lock."""

    def __init__(self, folder: Path, market: str) -> None:
        self.path = folder / market
        self._files: dict[str, BinaryIO] = {}
        self._lock: BinaryIO | None = None

    def writing(self) -> Self:
        """Takes the folder for one writer; VaultError when another process has it."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / LOCK).open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise VaultError(f"{self.path}: another process writes checkpoints there") from None
        return self

    def close(self) -> None:
        """Lets the files go; idempotent."""
        for file in (*self._files.values(), *([self._lock] if self._lock else [])):
            file.close()
        self._files.clear()
        self._lock = None

    # -- notes ----------------------------------------------------------------------------------

    def newest(self) -> int:
        """The number of the newest note, 0 when there is none. O(notes of one folder)."""
        return max((int(p.stem) for p in self._last_folder().glob("*.note")), default=0)

    def note_path(self, number: int) -> Path:
        """Where a note lies. O(1)."""
        return self.path / NOTES / f"{number // NOTES_IN_A_FOLDER:06}" / f"{number:010}.note"

    def note(self, number: int) -> str:
        """A note; OSError."""
        return read_note(self.note_path(number))

    def put(self, number: int, note: str) -> None:
        """Writes a note, whole and synced; OSError."""
        path = self.note_path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, note)

    def _last_folder(self) -> Path:
        folders = [path for path in (self.path / NOTES).glob("*") if any(path.glob("*.note"))]
        return max(folders, default=self.path / NOTES)

    # -- hashes of records ----------------------------------------------------------------------

    def leaves_path(self, topic: str) -> Path:
        """Where a topic's hashes lie. O(1)."""
        return self.path / f"{topic}.leaves"

    def leaves(self, topic: str) -> int:
        """How many hashes are there. O(1)."""
        path = self.leaves_path(topic)
        return path.stat().st_size // HASH_BYTES if path.exists() else 0

    def cut(self, topic: str, size: int) -> None:
        """Drops hashes behind the first `size`. O(1)."""
        file = self._file(topic)
        file.truncate(min(size, self.leaves(topic)) * HASH_BYTES)
        file.seek(0, os.SEEK_END)

    def append(self, topic: str, leaves: Sequence[bytes]) -> None:
        """Adds hashes, not synced yet. O(hashes)."""
        self._file(topic).write(b"".join(leaves))

    def sync(self) -> None:
        """Hashes appended are on the disk when this returns."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())

    def read_leaves(self, topic: str, begin: int, end: int) -> Iterator[bytes]:
        """Hashes begin to end - 1, as far as there are any. O(end - begin), memory bounded."""
        path = self.leaves_path(topic)
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(begin * HASH_BYTES)
            left = end - begin
            while left > 0:
                data = file.read(min(left, LEAVES_READ) * HASH_BYTES)
                whole = len(data) // HASH_BYTES
                for at in range(0, whole * HASH_BYTES, HASH_BYTES):
                    yield data[at : at + HASH_BYTES]
                left = left - whole if whole else 0

    def tree(self, topic: str, begin: int, end: int) -> Tree:
        """The tree over hashes begin to end - 1, as far as there are any. O(end - begin)."""
        made = Tree()
        for leaf in self.read_leaves(topic, begin, end):
            made.push(leaf)
        return made

    def _file(self, topic: str) -> BinaryIO:
        if topic not in self._files:
            self._files[topic] = self.leaves_path(topic).open("ab")
        return self._files[topic]


def read_note(path: Path) -> str:
    """A note from a file; OSError, ValueError when it is too large or no text."""
    if path.stat().st_size > NOTE_BYTES_MAX:
        raise ValueError(f"{path}: larger than {NOTE_BYTES_MAX} bytes: no checkpoint")
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: no text: no checkpoint") from None


def _write(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
