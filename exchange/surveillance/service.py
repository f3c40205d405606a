"""SurveillanceService: reads `events` of a market, writes `alerts`, each once and in order.

A record is known by its place on `events` and numbered when it is written, so limits may change
between two runs: what was said stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from exchange import metrics, topics
from exchange.clock import Clock
from exchange.derived import DerivedService
from exchange.log.protocol import Log
from exchange.messages.alerts import Alert, AlertRecord
from exchange.messages.frames import EventPart
from exchange.reference.venue import Market, Venue
from exchange.stands import Stands
from exchange.surveillance.limits import Limits
from exchange.surveillance.monitor import Monitor
from exchange.surveillance.records import (
    RECORD_VERSION,
    Place,
    decode_record,
    encode_record,
    numbered,
)

Made = tuple[Place, tuple[Alert, ...]]


class SurveillanceService(DerivedService[Made, AlertRecord]):
    """The one writer of `alerts`: a pure function of `events` and limits, kept by `Monitor`."""

    def __init__(
        self,
        log_: Log,
        market: Market,
        venue: Venue,
        limits: Limits,
        clock: Clock,
        stands: Stands | None = None,
    ) -> None:
        super().__init__(log_, market, topics.alerts(market.partition), clock, stands)
        self.name = f"surveillance-{market.code}"
        self.monitor = Monitor.of(venue, market, limits)
        self._digest = limits.digest()
        self._said: Place = (-1, -1)
        self._number = 0  # of the next record
        self._alert_number = 1  # of the next alert

    def _make(self, part: EventPart) -> Made | None:
        alerts = self.monitor.apply(part)
        made = ((part.input_offset, part.part), tuple(alerts))
        return made if alerts and self._is_new(made) else None

    def _is_new(self, made: Made) -> bool:
        return made[0] > self._said

    def _records(self, new: Sequence[Made]) -> list[AlertRecord]:
        records, alert_number = [], self._alert_number
        for number, ((offset, part), alerts) in enumerate(new, self._number):
            told = numbered(alerts, alert_number)
            alert_number += len(told)
            records.append(AlertRecord(RECORD_VERSION, number, offset, part, self._digest, told))
        return records

    def _encode(self, record: AlertRecord) -> bytes:
        return encode_record(record)

    def _projection(self) -> tuple[Place, Monitor]:
        return self._said, self.monitor

    def _go_on(self, projection: tuple[Place, Monitor]) -> bool:
        said, monitor = projection
        if said > self._said or not monitor.looks_as(self.monitor):
            return False  # the topic has lost what it was told, or limits are others now
        self.monitor = monitor
        return True

    def _stand_after(self, values: Sequence[bytes]) -> bool:
        records = [decode_record(value) for value in values]
        if records:
            self._stand_at(max(records, key=lambda record: record.number))
        return bool(records)

    def _count(self, records: Sequence[AlertRecord]) -> None:
        for record in records:
            for alert in record.alerts:
                metrics.SURVEILLANCE_ALERTS.labels(self._market, alert.kind).inc()
                # no fault of the process: people hear of it by topic, page and metrics
                self._say.info("alert", kind=alert.kind, number=alert.number, symbol=alert.symbol)
        self._stand_at(records[-1])

    def _stand_at(self, record: AlertRecord) -> None:
        self._said = record.input_offset, record.part
        self._number = record.number + 1
        self._alert_number = record.alerts[-1].number + 1
