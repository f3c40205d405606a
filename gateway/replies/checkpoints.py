"""What is answered: signed checkpoints of the log."""

from __future__ import annotations

import msgspec


class CheckpointRow(msgspec.Struct, frozen=True):
    """One checkpoint; keep `note` as it stands."""

    market: str
    number: int  # 1, 2, ... in its market
    time_ns: int
    note: str  # signed text: `exchange verify --against` takes a file with it


class CheckpointList(msgspec.Struct, frozen=True):
    """Checkpoints, newest first in each market."""

    checkpoints: list[CheckpointRow]  # at most as many as were asked for
