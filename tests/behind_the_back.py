"""Changes to a SQLite file that no part of the venue knows of."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def behind_the_back(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction, begun when whoever writes to the file lets it, within a minute."""
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")
        yield file
        file.execute("COMMIT")
