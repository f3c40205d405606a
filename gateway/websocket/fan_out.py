"""From one message to many subscribers: encoded once, joined once a turn, written once to each.

Subscribers who want the same are a `Group`: all of them get the same bytes, so that what a turn
costs for one more subscriber is one write, however many messages there are. Every message stays a
WebSocket frame of its own.

Two policies. What is *queued* (books, orders, trades, phases, auctions) must arrive whole: whoever
has more than a bounded number of bytes unread is cut, with the reason. A *state* (top, statistics,
bars, indicative) says all by itself: while a subscriber lags, the newest takes the place of the one
that waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Literal, Protocol

import msgspec

from gateway.refusal import Refused

EncodingName = Literal["json", "msgpack"]

TEXT, BINARY = 0x81, 0x82  # FIN and the opcode
LAG_POLL_S = 0.05  # between two looks at subscribers for whom states wait
SHORT_MAX, MEDIUM_MAX = 125, 0xFFFF

_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode


def framed(head: int, payload: bytes) -> bytes:
    """A whole frame from a server, as RFC 6455 section 5.2 has it: not masked. O(length)."""
    length = len(payload)
    if length <= SHORT_MAX:
        return bytes((head, length)) + payload
    if length <= MEDIUM_MAX:
        return bytes((head, 126)) + length.to_bytes(2, "big") + payload
    return bytes((head, 127)) + length.to_bytes(8, "big") + payload


class Label:
    """What stands first in every message of an instrument: its symbol and the record's number."""

    def __init__(self, symbol: str) -> None:
        self._json = b'{"symbol":' + _json(symbol) + b',"number":'
        self._pack = _pack("symbol") + _pack(symbol) + _pack("number")

    def frame(self, item: msgspec.Struct, number: int, encoding: EncodingName) -> bytes:
        """The item with its label, as one frame. O(item)."""
        if encoding == "json":
            return framed(TEXT, b"%b%d,%b" % (self._json, number, _json(item)[1:]))
        body = _pack(item)
        fields = len(item.__struct_fields__) + 1  # and the type
        skipped = 1 if fields <= 15 else 3
        return framed(BINARY, _map_head(fields + 2) + self._pack + _pack(number) + body[skipped:])


def _map_head(fields: int) -> bytes:
    return bytes((0x80 | fields,)) if fields <= 15 else b"\xde" + fields.to_bytes(2, "big")


class Member(Protocol):
    """A subscriber as a group knows it."""

    def write(self, queued: bytes, states: dict[Hashable, bytes], both: bytes) -> None:
        """What a turn brought; `both` is the two joined."""

    def catch_up(self) -> bool:
        """Writes the states that waited, if it can; whether none waits any more."""

    def cut(self, refused: Refused) -> None:
        """Ends the subscription with the connection."""


class Group:
    """Subscribers of the same channels of the same symbols, in the same encoding."""

    def __init__(self, encoding: EncodingName) -> None:
        self.encoding = encoding
        self.members: set[Member] = set()
        self._queued: list[bytes] = []
        self._states: dict[Hashable, bytes] = {}

    def queue(self, frame: bytes) -> None:
        """One more message that must not be lost. O(1)."""
        self._queued.append(frame)

    def state(self, key: Hashable, frame: bytes) -> None:
        """The newest state of something; it replaces the one before. O(1)."""
        self._states[key] = frame

    def flush(self) -> None:
        """Writes everything to every member. O(bytes + members)."""
        queued = b"".join(self._queued)
        states = self._states
        both = b"".join((queued, *states.values())) if states else queued
        self._queued, self._states = [], {}
        for member in list(self.members):
            member.write(queued, states, both)


class FanOut:
    """All groups, and when they are written.

    A turn of the loop after the first message; but never more than half of the time goes into
    writing, so that under load more messages share one write.
    """

    def __init__(self) -> None:
        self._groups: dict[Hashable, Group] = {}
        self._dirty: dict[Group, None] = {}
        self._lagging: set[Member] = set()
        self._is_scheduled = False
        self._is_polling = False
        self._rested_s = 0.0  # loop time from which the next write may start

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be written. O(1)."""
        return not self._dirty

    def group(self, key: Hashable, encoding: EncodingName) -> Group:
        """The group of a key, made if there is none. O(1)."""
        group = self._groups.get((key, encoding))
        if group is None:
            group = self._groups[key, encoding] = Group(encoding)
        return group

    def forget(self, key: Hashable, group: Group) -> None:
        """A group without members is gone. O(1)."""
        self._groups.pop((key, group.encoding), None)
        self._dirty.pop(group, None)

    def changed(self, group: Group) -> None:
        """A group has something to write. O(1)."""
        self._dirty[group] = None
        if self._is_scheduled:
            return
        self._is_scheduled = True
        loop = asyncio.get_running_loop()
        if loop.time() >= self._rested_s:
            loop.call_soon(self._flush_in_turn)
        else:
            loop.call_at(self._rested_s, self._flush_in_turn)

    def flush(self) -> None:
        """Writes what there is, now. O(bytes + members)."""
        dirty, self._dirty = self._dirty, {}
        for group in dirty:
            group.flush()

    def lags(self, member: Member) -> None:
        """States wait for a member: look at it again soon. O(1)."""
        self._lagging.add(member)
        if not self._is_polling:
            self._is_polling = True
            asyncio.get_running_loop().call_later(LAG_POLL_S, self._poll)

    def _flush_in_turn(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._is_scheduled = False
        self.flush()
        ended = loop.time()
        self._rested_s = 2 * ended - began

    def _poll(self) -> None:
        self._is_polling = False
        lagging, self._lagging = self._lagging, set()
        for member in lagging:
            if not member.catch_up():
                self.lags(member)
