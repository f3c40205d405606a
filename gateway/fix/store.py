"""What a FIX session must know after a restart: numbers, and what it may have to send again.

One SQLite file for each gateway, `fix.sqlite` under its data folder, held by one process. A flush
of the loop is one transaction, committed before its bytes are sent: a number that a client has seen
is in the file. A crash of the process loses nothing; after a power cut the last moments may be
missing (WAL without a sync for each commit), which the numbers show: see `deploy/docs/fix.md`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from exchange.settings import FIX_STORED_DAYS_MAX, FIX_STORED_MAX
from gateway.fix.session import Sent

DAY_NS = 86_400 * 1_000_000_000
PRUNE_EVERY = 1_000  # messages of a session
APPLICATION_ID = 0x43584658  # "CXFX"
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS session (
        key TEXT PRIMARY KEY,
        base INTEGER NOT NULL,
        next_in INTEGER NOT NULL,
        next_out INTEGER NOT NULL,
        unanswered TEXT NOT NULL, -- inbound numbers, JSON
        reported TEXT NOT NULL -- market -> last event number told, JSON
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS message (
        key TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        sent_ns INTEGER NOT NULL,
        msg_type TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (key, sequence)
    ) STRICT, WITHOUT ROWID""",
)


class Numbers(NamedTuple):
    """A session as the file has it."""

    base: int  # ref of an inbound message = base + MsgSeqNum
    next_in: int  # every message below it has come
    next_out: int
    reported: dict[str, int]
    unanswered: tuple[int, ...] = ()  # those of them that were not answered, in order

    @property
    def next_in_asked(self) -> int:
        """From where the other side is asked to send again. O(1)."""
        return min(self.unanswered, default=self.next_in)


class StoreError(Exception):
    """The file cannot be read or written: what is not kept must not be said."""


class FixStore:
    """The file. Methods block for some microseconds, and raise StoreError."""

    def __init__(self, path: Path) -> None:
        """Opens or makes it; OSError says that another process holds it or it is no such file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._pruned: dict[str, int] = {}
        self._connection = sqlite3.connect(path, timeout=0.2, isolation_level=None)
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise OSError(f"{path}: {error}; is another gateway on this folder?") from error

    def _prepare(self) -> None:
        execute = self._connection.execute
        (found,) = execute("PRAGMA application_id").fetchone()
        if found not in (0, APPLICATION_ID):
            raise sqlite3.DatabaseError("this is no file of FIX sessions")
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        execute("BEGIN IMMEDIATE")
        for statement in SCHEMA:
            execute(statement)
        if "unanswered" not in {row[1] for row in execute("PRAGMA table_info(session)")}:
            execute("ALTER TABLE session ADD COLUMN unanswered TEXT NOT NULL DEFAULT '[]'")
        execute("COMMIT")
        execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def close(self) -> None:
        """Lets go of the file; idempotent."""
        self._connection.close()

    def load(self, key: str) -> Numbers | None:
        """A session's numbers; None if it never logged on here."""
        with self._used():
            row = self._connection.execute(
                "SELECT base, next_in, next_out, reported, unanswered FROM session WHERE key = ?",
                (key,),
            ).fetchone()
        if row is None:
            return None
        reported = msgspec.json.decode(row[3], type=dict[str, int])
        unanswered = msgspec.json.decode(row[4], type=tuple[int, ...])
        return Numbers(row[0], row[1], row[2], reported, unanswered)

    def save(self, key: str, numbers: Numbers, sent: list[Sent]) -> None:
        """Numbers and messages, as one transaction. O(messages)."""
        with self._transaction():
            self._write(key, numbers)
            self._connection.executemany(
                "INSERT INTO message VALUES (?, ?, ?, ?, ?)", [(key, *item) for item in sent]
            )
            if sent and sent[-1].sequence - self._pruned.get(key, 0) >= PRUNE_EVERY:
                self._prune(key, sent[-1])

    def forget_old(self, key: str, now_ns: int) -> None:
        """Forgets messages older than FIX_STORED_DAYS_MAX. O(messages)."""
        with self._transaction():
            self._connection.execute(
                "DELETE FROM message WHERE key = ? AND sent_ns < ?",
                (key, now_ns - FIX_STORED_DAYS_MAX * DAY_NS),
            )

    def reset(self, key: str, numbers: Numbers) -> None:
        """Forgets what was sent: both numbers begin anew. On the disk before it returns."""
        with self._transaction():
            self._connection.execute("DELETE FROM message WHERE key = ?", (key,))
            self._write(key, numbers)
        with self._used():
            self._connection.execute("PRAGMA wal_checkpoint(FULL)")
        self._pruned.pop(key, None)

    def sent(self, key: str, first: int, last: int) -> list[Sent]:
        """The kept messages between two numbers, in order; at most FIX_STORED_MAX and a few."""
        with self._used():
            rows = self._connection.execute(
                "SELECT sequence, sent_ns, msg_type, body FROM message"
                " WHERE key = ? AND sequence BETWEEN ? AND ? ORDER BY sequence",
                (key, first, last),
            )
            return [Sent(*row) for row in rows]

    @contextmanager
    def _used(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._used():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _write(self, key: str, numbers: Numbers) -> None:
        reported = msgspec.json.encode(numbers.reported).decode()
        unanswered = msgspec.json.encode(numbers.unanswered).decode()
        self._connection.execute(
            "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
            " base = excluded.base, next_in = excluded.next_in, next_out = excluded.next_out,"
            " unanswered = excluded.unanswered, reported = excluded.reported",
            (key, numbers.base, numbers.next_in, numbers.next_out, unanswered, reported),
        )

    def _prune(self, key: str, last: Sent) -> None:
        oldest = last.sent_ns - FIX_STORED_DAYS_MAX * DAY_NS
        self._connection.execute(
            "DELETE FROM message WHERE key = ? AND (sequence <= ? OR sent_ns < ?)",
            (key, last.sequence - FIX_STORED_MAX, oldest),
        )
        self._pruned[key] = last.sequence
