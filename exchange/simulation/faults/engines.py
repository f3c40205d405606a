"""The engines of a run: the two of the venue, and those with a mistake planted in them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from exchange.messages.frames import Event, Side, event_rows
from matching import Engine as Engine
from matching.reference import Engine as ReferenceEngine
from matching.reference.book import BookSide
from matching.snapshot import decode, encode

__all__ = [
    "Engine",
    "LosesHolds",
    "PrefersNewest",
    "ReferenceEngine",
    "TakesLastRefAgain",
    "replaced",
    "without_refs",
]


@contextlib.contextmanager
def replaced(*places: tuple[Any, str, Any]) -> Iterator[None]:
    """Attributes of (owner, name, value) are those while the context lasts."""
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in places]
    for owner, name, value in places:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def without_refs(state: bytes) -> bytes:
    """A snapshot's state without the last numbers of the sessions. O(state)."""
    found = decode(state)
    return encode(replace(found, sessions=found.sessions[:0]))


class LosesHolds(ReferenceEngine):
    """A cancelled buy's hold is not released."""

    def apply(self, offset: int, append_ns: int, frame: bytes) -> bytes:
        """As the reference, but for the mistake."""
        events = super().apply(offset, append_ns, frame)
        for row in event_rows(events):
            if row.kind == Event.CANCELLED and row.side == Side.BUY:
                account = self._state.accounts[row.account_id]
                account.available -= row.value
                account.held += row.value
        return events


class TakesLastRefAgain(ReferenceEngine):
    """The last number of a session is taken a second time."""

    def _is_numbered(self, c: Any) -> bool:
        sessions = self._state.sessions
        if c.ref == sessions.get(c.session_id):
            sessions[c.session_id] = c.ref - 1
        return super()._is_numbered(c)


class PrefersNewest(ReferenceEngine):
    """The newest order of a level trades first."""

    def apply(self, offset: int, append_ns: int, frame: bytes) -> bytes:
        """As the reference, but for the mistake."""

        def within(side: BookSide, limit: int) -> Iterator[Any]:
            for key, level in side.levels.items():
                if key > side._key(limit):
                    return
                yield from reversed(list(level.values()))

        with replaced((BookSide, "within", within)):
            return super().apply(offset, append_ns, frame)
