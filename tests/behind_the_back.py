"""Changes to a SQLite file that no part of the venue knows of."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

WAIT_S = 60


@asynccontextmanager
async def behind_the_back(path: Path) -> AsyncIterator[sqlite3.Connection]:
    """One transaction, begun when whoever writes to the file lets it.

    Who writes may need this very loop to end what it has begun: so nothing blocks here.
    """
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as file:
        async with asyncio.timeout(WAIT_S):
            while not _has_begun(file):
                await asyncio.sleep(0.01)
        yield file
        file.execute("COMMIT")


def _has_begun(file: sqlite3.Connection) -> bool:
    try:
        file.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    return True
