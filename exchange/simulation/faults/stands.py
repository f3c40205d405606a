"""The stands of a reader without a child: the state is taken at once, written later."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from exchange.stands import FileStands, encode


class InlineStands(FileStands):
    """`FileStands` in one process: all that a child would do happens in the loop's own time."""

    def __init__(self, data: Path, name: str, every: int, shapes: Counter[str]) -> None:
        super().__init__(data, name, every, every_s=0.0)
        self._shapes = shapes

    def load(self) -> Any | None:
        """See `Stands`."""
        found = super().load()
        if found is not None:
            self._shapes["stand_found"] += 1
        elif self.path.exists():
            self._shapes["stand_unsound"] += 1
        return found

    def draft(self, state: Any) -> Coroutine[Any, Any, bool]:
        """See `Stands`."""
        return self._written(encode(state))

    async def _written(self, data: bytes) -> bool:
        await asyncio.to_thread(self.put, lambda file: file.write(data))
        self._shapes["stand_drafted"] += 1
        return True
