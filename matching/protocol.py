"""What a matching engine is: the protocol both bodies keep. The rules of the market are `RULES.md`.

`matching.reference.Engine` is the executable specification, `matching.compiled.Engine` the fast
body; for the same log they give the same event records byte for byte and the same snapshot. The
compiled one also takes a single command as plain integers, `apply_one`: a convenience for who
holds no frames, a notebook or a measurement. It is the next record, as a frame of one would be.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Limits(NamedTuple):
    """Bounds of the engine's tables; part of the state, so equal on every replica."""

    orders_max: int = 4_194_304
    client_order_ids_max: int = 16_777_216
    accounts_max: int = 1_048_576
    sessions_max: int = 1_048_576


class EngineProtocol(Protocol):
    """A pure state machine: frames in, event records out."""

    def __init__(self, limits: Limits = ...) -> None: ...

    @property
    def next_offset(self) -> int:
        """The offset of `orders` which `apply` expects next. O(1)."""

    @property
    def next_event(self) -> int:
        """The number which the next event will have. O(1)."""

    @property
    def epoch(self) -> int:
        """The epoch in force. O(1)."""

    @property
    def leader(self) -> int:
        """The node which won the epoch in force, 0 before the first. O(1)."""

    @property
    def time_ns(self) -> int:
        """Engine time, ns UTC: the largest append time seen. O(1)."""

    def reserve(self, orders: int = 0, client_order_ids: int = 0) -> None:
        """Take the memory of so many resting orders and ids of a day now, and keep it.

        As many as there will be, not more: a table that is too large is slower to ask. ValueError
        beyond the limits. Nothing that the engine says depends on it.
        """

    def apply(self, offset: int, append_ns: int, frame: bytes) -> bytes:
        """Event records (n x 64 bytes) of the record at `offset`; ValueError if it is not next.

        O(commands x log(levels) + fills).
        """

    def snapshot(self) -> bytes:
        """The whole state in the canonical form of `matching.snapshot`. O(state)."""

    @classmethod
    def restore(cls, data: bytes) -> EngineProtocol:
        """The engine that `snapshot` described; ValueError if the bytes are not sound. O(state)."""

    def state_hash(self) -> bytes:
        """BLAKE2b-256 of `snapshot()`. O(state)."""

    def self_check(self) -> list[str]:
        """Every broken invariant in words (holds = open orders, totals, queues); [] is sound."""
