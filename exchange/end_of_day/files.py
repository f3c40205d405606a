"""Files that are written once, in pieces, and hashed on the way; and a folder that comes whole."""

from __future__ import annotations

import csv
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import msgspec

from exchange.end_of_day.days import DayRefusedError
from exchange.messages.reasons import DayReason


class FileDigest(msgspec.Struct, frozen=True):
    """A file: its name inside the folder, bytes, rows without the heading, and SHA-256 in hex."""

    name: str
    bytes: int
    rows: int
    sha256: str


class CsvFile:
    """A CSV file in UTF-8 (RFC 4180) that knows its hash. Use it in a `with`."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.rows = 0
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._file: BinaryIO = path.open("xb")
        self._writer = csv.writer(self)
        self._writer.writerow(columns)

    def __enter__(self) -> CsvFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, text: str) -> int:
        """Takes a line from the CSV writer. O(bytes)."""
        data = text.encode()
        self._digest.update(data)
        self._bytes += len(data)
        return self._file.write(data)

    def row(self, values: tuple[Any, ...]) -> None:
        """Writes one row. O(its bytes)."""
        self._writer.writerow(values)
        self.rows += 1

    def digest(self) -> FileDigest:
        """What was written so far. O(1)."""
        return FileDigest(self.path.name, self._bytes, self.rows, self._digest.hexdigest())


def write_whole(path: Path, data: bytes, rows: int = 0) -> FileDigest:
    """Writes a file at once. FileExistsError if it is there. O(bytes)."""
    with path.open("xb") as file:
        file.write(data)
    return FileDigest(path.name, len(data), rows, hashlib.sha256(data).hexdigest())


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder to write into, which becomes `target` when all went well, else is removed.

    Raises DayRefusedError when `target` is anything but absent or an empty folder; OSError.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise DayRefusedError(DayReason.DIRECTORY_NOT_EMPTY, str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield folder
        folder.chmod(0o750)
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
