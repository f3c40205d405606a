"""The embedded log's file as one connection sees it: plain synchronous SQLite.

Each `SqliteFile` belongs to one thread (`embedded.py` has one that writes and one that reads).
All records lie in one table whose key is `partition << 44 | offset`: a partition is one range of
the B-tree, its end is one seek, and appends go to the end of the range.

Every query gives one row and every insert takes many: `sqlite3` gives up the interpreter's lock at
each step and, beside a busy event loop, waits up to 5 ms to have it again. Reading row by row was
300 times slower there.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from exchange.clock import Clock
from exchange.log.protocol import (
    AppendUncertainError,
    LogError,
    LogUnavailableError,
    Partition,
    Record,
    UnknownPartitionError,
)
from exchange.settings import READ_BYTES_MAX

OFFSET_BITS = 44
OFFSET_MAX = (1 << OFFSET_BITS) - 1
INSERT_ROWS_MAX = 256  # rows of one statement
PARTITIONS_MAX = 1 << (63 - OFFSET_BITS)
APPLICATION_ID = 0x43584C47  # "CXLG": another SQLite file under this name is refused
SCHEMA_VERSION = 1
WAL_PAGES_MAX = 4_096  # 16 MiB; then SQLite moves the write-ahead log into the file

SCHEMA = (
    """CREATE TABLE partition (
        id INTEGER PRIMARY KEY CHECK (id > 0),
        topic TEXT NOT NULL,
        number INTEGER NOT NULL,
        UNIQUE (topic, number)
    ) STRICT""",
    """CREATE TABLE record (
        position INTEGER PRIMARY KEY, -- partition id << 44 | offset
        append_ns INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

JOURNAL_RETRY_S = 0.01
LOCK_RETRY_S = 0.000_3

# Codes with which COMMIT surely did not commit: the last frame was never written.
CERTAIN_COMMIT_FAILURES = ("SQLITE_FULL", "SQLITE_BUSY")

ADVICE = {
    "SQLITE_FULL": "the disk is full: free space and try again",
    "SQLITE_BUSY": "another process holds the file for too long: is one stopped?",
    "SQLITE_LOCKED": "another process holds the file for too long: is one stopped?",
    "SQLITE_READONLY": "the file or its folder cannot be written: check owner and mode",
    "SQLITE_CANTOPEN": "the file cannot be opened or made: check the folder, owner and mode",
    "SQLITE_NOTADB": "this is no log file: move it away",
    "SQLITE_CORRUPT": "the file is damaged: restore it, nothing was skipped",
}


class Append(NamedTuple):
    """The values of one call, for one partition."""

    partition: Partition
    values: Sequence[bytes]


class SqliteFile:
    """One connection to the log's file; methods block and belong to one thread at a time."""

    def __init__(self, path: Path, clock: Clock, busy_timeout_s: float) -> None:
        self._path = path
        self._clock = clock
        self._busy_timeout_s = busy_timeout_s
        self._connection: sqlite3.Connection | None = None
        self._waits_itself = False  # for the lock of the writers, and not SQLite
        self._ids: dict[Partition, int] = {}
        self._data_version = 0
        self._seen_since: set[Partition] = set()  # asked about since the file changed

    def open(self) -> None:
        """Opens the file, making it where missing; LogUnavailableError names the path."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self._path,
                timeout=self._busy_timeout_s,
                isolation_level=None,  # transactions are written out below
                check_same_thread=False,  # opened and closed by an executor of one thread
                cached_statements=64,
            )
            self._set_journal(self._connection)
            self._prepare(self._connection)
        except sqlite3.Error as error:
            self.close()
            raise self._unavailable(error) from error
        except (OSError, LogError) as error:
            self.close()
            raise LogUnavailableError(f"log {self._path}: {error}") from error

    def _set_journal(self, connection: sqlite3.Connection) -> None:
        # SQLite does not wait by itself where two processes make the same new file at once.
        for attempts_left in reversed(range(int(self._busy_timeout_s / JOURNAL_RETRY_S) + 1)):
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not attempts_left or not error.sqlite_errorname.startswith("SQLITE_BUSY"):
                    raise
                time.sleep(JOURNAL_RETRY_S)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = FULL")  # an append that returned is on the disk
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES_MAX}")
        connection.execute(f"PRAGMA journal_size_limit = {4 * WAL_PAGES_MAX * 4096}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            application = int(connection.execute("PRAGMA application_id").fetchone()[0])
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
            if (application, version, tables) == (0, 0, 0):
                for statement in SCHEMA:
                    connection.execute(statement)
            elif (application, version) != (APPLICATION_ID, SCHEMA_VERSION):
                raise LogError(
                    f"is no log of this version (application id {application:#x}, version "
                    f"{version}; expected {APPLICATION_ID:#x}, {SCHEMA_VERSION}): move it away"
                )
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def close(self) -> None:
        """Closes the connection; idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._waits_itself = False

    def create(self, partitions: Iterable[Partition]) -> None:
        """Makes the partitions that are missing, all or none."""
        connection = self._open_connection()
        try:
            self._begin(connection)
            connection.executemany(
                "INSERT INTO partition (topic, number) VALUES (?, ?) ON CONFLICT DO NOTHING",
                [(partition.topic, partition.number) for partition in partitions],
            )
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise self._unavailable(error) from error

    def append(self, appends: Sequence[Append]) -> list[list[int] | UnknownPartitionError]:
        """Appends all in one transaction and gives the offsets of each, or what is wrong with it.

        LogUnavailableError: nothing is appended. AppendUncertainError: the disk failed at the
        last step. O(bytes + log n).
        """
        connection = self._open_connection()
        results: list[list[int] | UnknownPartitionError] = []
        try:
            self._begin(connection)
            for append in appends:
                results.append(self._insert(connection, append))
        except sqlite3.Error as error:
            self._roll_back()
            raise self._unavailable(error) from error
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            if error.sqlite_errorname in CERTAIN_COMMIT_FAILURES:
                raise self._unavailable(error) from error
            raise AppendUncertainError(f"log {self._path}: commit failed: {error}") from error
        return results

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Takes the lock of the writers, tried for again and again; SQLITE_BUSY when it is late.

        SQLite's own wait looks after 1, 2, 5, 10, ... 100 ms: beside another process that writes
        all the time it finds the lock free by chance only, after many of the other's commits.
        """
        if not self._waits_itself:
            connection.execute("PRAGMA busy_timeout = 0")
            self._waits_itself = True
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorname.startswith("SQLITE_BUSY")
                if not is_busy or time.monotonic() >= deadline:
                    raise
            time.sleep(LOCK_RETRY_S)

    def _insert(
        self, connection: sqlite3.Connection, append: Append
    ) -> list[int] | UnknownPartitionError:
        try:
            base = self._id(append.partition) << OFFSET_BITS
        except UnknownPartitionError as error:
            return error
        last = connection.execute(
            "SELECT position, append_ns FROM record WHERE position BETWEEN ? AND ?"
            " ORDER BY position DESC LIMIT 1",
            (base, base + OFFSET_MAX),
        ).fetchone()
        first = last[0] + 1 if last else base
        # The wall clock may step back; the append times of a partition never do.
        now_ns = max(self._clock.now_ns(), last[1] if last else 0)
        at = 0
        while at < len(append.values):
            # A power of two, so that few statements need to be compiled and kept.
            rows = min(INSERT_ROWS_MAX, 1 << ((len(append.values) - at).bit_length() - 1))
            values = append.values[at : at + rows]
            row = enumerate(values, first + at)
            connection.execute(
                "INSERT INTO record (position, append_ns, value) VALUES "  # noqa: S608
                + ",".join(["(?,?,?)"] * rows),
                [field for position, value in row for field in (position, now_ns, value)],
            )
            at += rows
        return list(range(first - base, first - base + len(append.values)))

    def read(self, partition: Partition, offset: int, records_max: int) -> list[Record]:
        """Up to `records_max` records from `offset`, not more than READ_BYTES_MAX bytes.

        At least one record where there is one; LogError when an offset is missing.
        """
        connection = self._open_connection()
        try:
            base = self._id(partition) << OFFSET_BITS
            last = connection.execute(
                "SELECT max(position) FROM ("
                " SELECT position, sum(size) OVER (ORDER BY position) AS bytes FROM ("
                "  SELECT position, length(value) AS size FROM record"
                "  WHERE position BETWEEN ?1 AND ?2 ORDER BY position LIMIT ?3"
                " )) WHERE bytes <= ?4 OR position = ?1",
                (base + offset, base + OFFSET_MAX, records_max, READ_BYTES_MAX),
            ).fetchone()[0]
            if last is None:
                return []
            # Casts leave bytes as they are, zeros among them: one row, and eight times as fast as
            # hexadecimal.
            heads, values = connection.execute(
                "SELECT group_concat(position || ' ' || append_ns || ' ' || length(value), ';'),"
                " CAST(group_concat(CAST(value AS TEXT), '') AS BLOB)"
                " FROM (SELECT * FROM record WHERE position BETWEEN ? AND ? ORDER BY position)",
                (base + offset, last),
            ).fetchone()
        except sqlite3.Error as error:
            raise self._unavailable(error) from error
        records, at = [], 0
        for head in heads.split(";"):
            position, append_ns, size = map(int, head.split(" "))
            records.append(Record(position - base, append_ns, values[at : at + size]))
            at += size
        if at != len(values):
            raise LogError(f"log {self._path}: SQLite gave {len(values)} bytes of {at}")
        offsets = range(offset, offset + len(records))
        if any(record.offset != wanted for record, wanted in zip(records, offsets, strict=True)):
            raise LogError(
                f"log {self._path}: {partition.topic}/{partition.number}: offset {offset} or one "
                f"of the {len(records)} after it is missing: the file is damaged, restore it"
            )
        return records

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """The first offset held and the next to come."""
        connection = self._open_connection()
        try:
            base = self._id(partition) << OFFSET_BITS
            span = (base, base + OFFSET_MAX)
            first, last = connection.execute(
                "SELECT (SELECT min(position) FROM record WHERE position BETWEEN ?1 AND ?2),"
                " (SELECT max(position) FROM record WHERE position BETWEEN ?1 AND ?2)",
                span,
            ).fetchone()
        except sqlite3.Error as error:
            raise self._unavailable(error) from error
        return (0, 0) if last is None else (first - base, last - base + 1)

    def changed_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The ends of those partitions that this call sees for the first time since a change."""
        connection = self._open_connection()
        try:
            version = int(connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise self._unavailable(error) from error
        if version != self._data_version:
            self._data_version = version
            self._seen_since.clear()
        ends = {}
        for partition in partitions:
            if partition not in self._seen_since:
                ends[partition] = self.bounds(partition)[1]
                self._seen_since.add(partition)
        return ends

    def _id(self, partition: Partition) -> int:
        known = self._ids.get(partition)
        if known is not None:
            return known
        row = (
            self._open_connection()
            .execute(
                "SELECT id FROM partition WHERE topic = ? AND number = ?",
                (partition.topic, partition.number),
            )
            .fetchone()
        )
        if row is None:
            raise UnknownPartitionError(
                f"log {self._path}: {partition.topic}/{partition.number} was never created"
            )
        self._ids[partition] = int(row[0])
        return self._ids[partition]

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise LogUnavailableError(f"log {self._path}: is not open")
        return self._connection

    def _roll_back(self) -> None:
        connection = self._open_connection()
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:  # the failed statement has rolled back already
                return

    def _unavailable(self, error: sqlite3.Error) -> LogUnavailableError:
        # Extended codes such as SQLITE_BUSY_SNAPSHOT begin with the name of their primary code.
        name = getattr(error, "sqlite_errorname", "")
        advice = next((text for code, text in ADVICE.items() if name.startswith(code)), "")
        return LogUnavailableError(
            f"log {self._path}: {error} ({name or 'SQLite'})" + (f": {advice}" if advice else "")
        )
