"""Files that a running gateway reads again when they change: keys, operators, certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from exchange.settings import KEYS_POLL_S

Prints = tuple[tuple[str, int, int, int], ...]
"""Path, time of change, size and inode of each file; zeros where there is none."""


def prints(paths: Iterable[Path]) -> Prints:
    """What tells a file from the one that stood there before. O(files)."""
    return tuple(_print(path) for path in paths)


async def look_until(stop: asyncio.Event, look: Callable[[], None]) -> None:
    """Calls `look` now and every KEYS_POLL_S until `stop`."""
    while not stop.is_set():
        look()
        try:
            await asyncio.wait_for(stop.wait(), KEYS_POLL_S)
        except TimeoutError:
            continue


def _print(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), found.st_mtime_ns, found.st_size, found.st_ino
