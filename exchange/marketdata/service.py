"""MarketDataService: reads `events` of a market, writes `marketdata`, dense and in order."""

from __future__ import annotations

from collections.abc import Sequence

from exchange import topics
from exchange.clock import Clock
from exchange.derived import DerivedService
from exchange.fault_points import reached
from exchange.log.protocol import Log
from exchange.marketdata.book import decode_record, encode_record
from exchange.marketdata.depth import Depth
from exchange.messages.frames import EventPart
from exchange.messages.market_data import MarketDataRecord
from exchange.reference.venue import Market
from exchange.stands import Stands


class MarketDataService(DerivedService[MarketDataRecord, MarketDataRecord]):
    """The one writer of `marketdata`: a pure function of `events`, kept by `Depth`."""

    def __init__(
        self, log_: Log, market: Market, clock: Clock, stands: Stands | None = None
    ) -> None:
        super().__init__(log_, market, topics.marketdata(market.partition), clock, stands)
        self.depth = Depth()
        self._said = 0  # numbers below stand on `marketdata`

    def _make(self, part: EventPart) -> MarketDataRecord | None:
        change = self.depth.apply(part)
        return change if change is not None and self._is_new(change) else None

    def _is_new(self, made: MarketDataRecord) -> bool:
        return made.number >= self._said

    def _records(self, new: Sequence[MarketDataRecord]) -> list[MarketDataRecord]:
        return list(new)

    def _encode(self, record: MarketDataRecord) -> bytes:
        return encode_record(record)

    def _stand_after(self, values: Sequence[bytes]) -> bool:
        numbers = [decode_record(value).number for value in values]
        if numbers:
            self._said = max(numbers) + 1
        return bool(numbers)

    def _count(self, records: Sequence[MarketDataRecord]) -> None:
        self._said = records[-1].number + 1

    def _projection(self) -> Depth:
        return self.depth

    def _go_on(self, projection: Depth) -> bool:
        if projection.next_number > self._said:
            return False  # the topic has lost what it was told
        self.depth = projection
        return True

    async def _append(self, values: Sequence[bytes]) -> None:
        reached("marketdata.append.before")
        await super()._append(values)
        reached("marketdata.append.after")
