"""Records of `alerts`: written, read back, and compared with alerts made anew from `events`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec

from exchange import topics
from exchange.log.protocol import Log, UnknownPartitionError
from exchange.messages.alerts import Alert, AlertRecord
from exchange.messages.frames import EventFollower, EventPart
from exchange.reference.venue import Market
from exchange.settings import READ_RECORDS_MAX
from exchange.surveillance.monitor import Monitor

RECORD_VERSION = 1
WAIT_S = 0.5

_decoder = msgspec.msgpack.Decoder(AlertRecord)
_encode = msgspec.msgpack.Encoder().encode

Place = tuple[int, int]
"""Input offset and part: where in `events` a record of `alerts` comes from."""


def encode_record(record: AlertRecord) -> bytes:
    """The bytes of a record of `alerts`. O(alerts)."""
    return _encode(record)


def decode_record(value: bytes) -> AlertRecord:
    """A record of `alerts`; msgspec.DecodeError or ValidationError if it is none. O(alerts)."""
    return _decoder.decode(value)


def numbered(alerts: tuple[Alert, ...], first: int) -> tuple[Alert, ...]:
    """The alerts with numbers from `first` on. O(alerts)."""
    return tuple(
        msgspec.structs.replace(alert, number=first + at) for at, alert in enumerate(alerts)
    )


class AlertsBrokenError(Exception):
    """`alerts` misses a record: the reader must stop."""


class AlertFollower:
    """Takes the next record of `alerts`, drops repeats, refuses gaps."""

    def __init__(self) -> None:
        self.next_number = 0

    def accept(self, value: bytes) -> AlertRecord | None:
        """The record if it is the next, None if it came before; AlertsBrokenError on a gap."""
        record = decode_record(value)
        if record.number < self.next_number:
            return None
        if record.number > self.next_number:
            raise AlertsBrokenError(
                f"alerts: expected record {self.next_number}, found {record.number}"
            )
        self.next_number += 1
        return record


async def made_anew(
    log: Log, market: Market, monitor: Monitor
) -> AsyncIterator[tuple[EventPart, list[Alert]]]:
    """Each part of `events` up to its present end, with the alerts it completes. O(events).

    Raises ChainBrokenError and LogError.
    """
    follower, events = EventFollower(), topics.events(market.partition)
    end = await log.end(events)
    reader = await log.open_reader(events, 0)
    try:
        while reader.position < end:
            for record in await reader.read(READ_RECORDS_MAX, WAIT_S):
                part = follower.accept(record.offset, record.value)
                if part is not None:
                    yield part, monitor.apply(part)
    finally:
        await reader.close()


class Comparison(NamedTuple):
    """`alerts` against the alerts made anew from `events`."""

    alerts: int  # made anew
    compared: int  # records of `alerts` that were made under the same limits
    other_limits: int  # records made under others
    unsaid: int  # alerts made anew after the last record: not on the topic yet
    differences: tuple[str, ...]


async def compare(log: Log, market: Market, monitor: Monitor, digest: str) -> Comparison:
    """Makes the alerts anew and compares each record of `alerts` with them. O(events).

    Records under other limits are counted and not compared, nor is what came before them.
    """
    said = await _said(log, market)
    others = [place for place, record in said.items() if record.limits != digest]
    floor, last = max(others, default=(-1, -1)), max(said, default=(-1, -1))
    differences, total, unsaid = [], 0, 0
    async for part, alerts in made_anew(log, market, monitor):
        place = part.input_offset, part.part
        total += len(alerts)
        record = said.get(place)
        if place <= floor or (place > last and alerts):
            unsaid += len(alerts) if place > last else 0
            continue
        told = numbered(record.alerts, 0) if record is not None else ()
        if told != numbered(tuple(alerts), 0):
            differences.append(
                f"input {place[0]} part {place[1]}: alerts has {[a.kind for a in told]}, events "
                f"give {[a.kind for a in alerts]}"
            )
    return Comparison(total, len(said) - len(others), len(others), unsaid, tuple(differences))


async def _said(log: Log, market: Market) -> dict[Place, AlertRecord]:
    follower, alerts = AlertFollower(), topics.alerts(market.partition)
    found: dict[Place, AlertRecord] = {}
    try:
        end = await log.end(alerts)
    except UnknownPartitionError:  # a log from before there was surveillance
        return found
    reader = await log.open_reader(alerts, 0)
    try:
        while reader.position < end:
            for row in await reader.read(READ_RECORDS_MAX, WAIT_S):
                record = follower.accept(row.value)
                if record is not None:
                    found[record.input_offset, record.part] = record
    finally:
        await reader.close()
    return found
