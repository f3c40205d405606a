"""Surveillance of a market: every accepted part of `events` in, alerts out.

Pure: the same parts and limits give the same alerts, so they can be made anew and compared. The
monitor follows orders, owners and prices, tells the detectors what happens, and numbers what they
find; one pattern makes one alert until it is quiet for `quiet_s` or its score has doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

from exchange.messages.alerts import Alert
from exchange.messages.frames import (
    AccountParameter,
    Event,
    EventPart,
    EventRow,
    Liquidity,
    OrderType,
    Parameter,
    Phase,
    SettlementStep,
    Side,
    TradeMethod,
    event_rows,
)
from exchange.reference.venue import Market, Venue
from exchange.surveillance.blocks import Blocks
from exchange.surveillance.circular import CircularTrading
from exchange.surveillance.closing import Closing, IndicativePrice
from exchange.surveillance.detector import Detector, Tell
from exchange.surveillance.dominance import Dominance
from exchange.surveillance.holdings import LargeHolders, LargePositions
from exchange.surveillance.layering import LAYERING, SPOOFING, LoadedSide
from exchange.surveillance.limits import Limits
from exchange.surveillance.matched import MatchedOrders
from exchange.surveillance.messages import Messages
from exchange.surveillance.momentum import Momentum
from exchange.surveillance.scene import Finding, InstrumentScene, Order, Trade
from exchange.surveillance.wash import WashTrades
from exchange.surveillance.windows import Table

_ORDERS = frozenset({
    OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT, OrderType.PICK
})  # fmt: skip
_OF_THE_BOOK = frozenset({
    TradeMethod.BOOK_TRADE, TradeMethod.CALL_TRADE, TradeMethod.LISTED_TRADE
})  # fmt: skip
_HEARD = (
    "entered", "replaced", "refused", "traded", "cancelled", "phase_changed", "day_closed",
    "holding_changed", "holding_bounded", "day_started",
)  # fmt: skip


def detectors(limits: Limits, tell: Tell) -> list[Detector]:
    """Every detector, in the order in which they are asked."""
    return [
        WashTrades(limits, tell),
        CircularTrading(limits, tell),
        MatchedOrders(limits, tell),
        LoadedSide(limits, tell, LAYERING),
        LoadedSide(limits, tell, SPOOFING),
        Messages(limits, tell),
        Closing(limits, tell),
        IndicativePrice(limits, tell),
        Momentum(limits, tell),
        Dominance(limits, tell),
        Blocks(limits, tell),
        LargePositions(limits, tell),
        LargeHolders(limits, tell),
    ]


class _Told:
    """When a pattern was told last, and how high it scored."""

    __slots__ = ("score", "time_ns")

    def __init__(self) -> None:
        self.time_ns = self.score = -1


class Monitor:
    """The state of one market's surveillance: feed it every accepted part of `events`, in order."""

    def __init__(
        self,
        market: str,
        limits: Limits,
        symbols: Mapping[int, str],
        deadlines: Mapping[int, int] | None = None,
        published: Mapping[int, int] | None = None,
    ) -> None:
        """`symbols`, `deadlines` (MMDD) and `published` (tonnes) are by instrument id."""
        self.next_number = 1  # of the next alert
        self.next_event = 0
        self._market = market
        self._limits = limits
        self._symbols = symbols
        self._deadlines = deadlines or {}
        self._published = published or {}
        self._instruments: dict[int, InstrumentScene] = {}
        self._orders: dict[int, Order] = {}
        self._participants: dict[int, int] = {}  # by account
        self._groups: dict[int, int] = {}  # self-trade group by account
        self._heads: dict[int, int] = {}  # owner by participant
        self._owners: dict[int, int] = {}  # by account
        self._maker: tuple[EventRow, int] | None = None
        self._told: Table[tuple[str, Hashable], _Told] = Table(_Told)
        self._time_ns = self._event = 0
        self._alerts: list[Alert] = []
        made = detectors(limits, self._tell)
        self._hears = {
            name: [getattr(d, name) for d in made if name in _overridden(type(d))]
            for name in _HEARD
        }

    @classmethod
    def of(cls, venue: Venue, market: Market, limits: Limits) -> Monitor:
        """The monitor of a market of a venue file. O(instruments)."""
        items = venue.instruments_of(market.code)
        return cls(
            market.code,
            limits,
            {item.id: item.symbol for item in items},
            {item.id: limits.deadlines.get(item.scheme, 0) for item in items},
            {item.id: limits.published.get(item.scheme, 0) for item in items},
        )

    def looks_as(self, other: Monitor) -> bool:
        """Whether it looks at the same instruments by the same limits as another. O(figures)."""
        names = ("_symbols", "_limits", "_deadlines", "_published")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def apply(self, part: EventPart) -> list[Alert]:
        """The alerts that the part completes, oldest first. O(events) amortised."""
        self._event, self._time_ns = part.first_event, part.time_ns
        for row in event_rows(part.body):
            handler = _HANDLERS.get(row.kind)
            if handler is not None:
                handler(self, row)
            self._event += 1
        self.next_event = self._event
        made, self._alerts = self._alerts, []
        return made

    def _tell(self, about: Hashable, found: Finding) -> None:
        limit, told = self._limits[found.kind], self._told[found.kind, about]
        is_quiet = 0 <= self._time_ns - told.time_ns < limit.ns("quiet_s")
        if told.time_ns >= 0 and is_quiet and found.score < 2 * told.score:
            return
        told.time_ns, told.score = self._time_ns, found.score
        participants = {self._participants.get(account, 0) for account in found.accounts}
        alert = Alert(
            number=self.next_number,
            kind=found.kind,
            market=self._market,
            symbol=found.instrument.symbol,
            participants=tuple(sorted(participants)),
            accounts=found.accounts,
            from_ns=found.since_ns,
            to_ns=self._time_ns,
            score=found.score,
            figures=found.figures,
            text=found.text,
            first_event=found.first_event or self._event,
            last_event=self._event,
        )
        self.next_number += 1
        self._alerts.append(alert)

    # -- one event ------------------------------------------------------------------------------

    def _accepted(self, row: EventRow) -> None:
        instrument = self._instruments[row.instrument_id]
        entry_price = instrument.price
        if instrument.is_in_call and instrument.indicative_price:
            entry_price = instrument.indicative_price
        order = Order(
            row.order_id, row.account_id, self._owners[row.account_id], instrument, row.side,
            row.order_type, row.price, row.quantity, row.quantity, self._time_ns, self._event,
            entry_price,
        )  # fmt: skip
        self._orders[order.order_id] = order
        if order.order_type in _ORDERS:
            instrument.count(order.quantity)
            for hear in self._hears["entered"]:
                hear(order)

    def _replaced(self, row: EventRow) -> None:
        order = self._orders[row.order_id]
        before = order.leaves
        order.quantity += row.quantity - order.leaves
        order.leaves, order.price = row.quantity, row.price
        if order.order_type in _ORDERS:
            for hear in self._hears["replaced"]:
                hear(order, before, self._time_ns)

    def _triggered(self, row: EventRow) -> None:
        order = self._orders[row.order_id]
        order.order_type, order.price = row.order_type, row.price

    def _cancelled(self, row: EventRow) -> None:
        order = self._orders.pop(row.order_id)
        if order.order_type in _ORDERS:
            for hear in self._hears["cancelled"]:
                hear(order, row.reason, self._time_ns)

    def _rejected(self, row: EventRow) -> None:
        instrument = self._instruments.get(row.instrument_id)
        owner = self._owners.get(row.account_id)
        if instrument is not None and owner is not None:
            for hear in self._hears["refused"]:
                hear(row.account_id, owner, instrument, self._time_ns)

    def _fill(self, row: EventRow) -> None:
        by = row.quantity if row.side == Side.BUY else -row.quantity
        self._move(row.account_id, row.instrument_id, by)
        if row.order_type == Liquidity.MAKER:
            self._maker = row, self._event
            return
        if self._maker is None:
            raise ValueError(f"event {self._event}: the fill of a taker without its maker's")
        (made, trade_id), self._maker = self._maker, None
        maker, taker = self._orders[made.order_id], self._orders[row.order_id]
        instrument = maker.instrument
        maker.leaves -= row.quantity
        taker.leaves -= row.quantity
        trade = Trade(
            instrument, trade_id, self._time_ns, row.price, row.quantity, row.reason, maker, taker
        )
        for hear in self._hears["traded"]:
            hear(trade)
        if row.reason in _OF_THE_BOOK:
            instrument.last_price = row.price
        for order in (maker, taker):
            if not order.leaves:
                del self._orders[order.order_id]

    def _trade_settled(self, row: EventRow) -> None:
        if row.order_type != SettlementStep.DELIVER:
            self._move(row.account_id, row.instrument_id, -row.quantity)
            self._move(row.order_id, row.instrument_id, row.quantity)

    def _units_deposited(self, row: EventRow) -> None:
        self._instruments[row.instrument_id].units += row.quantity
        self._move(row.account_id, row.instrument_id, row.quantity)

    def _units_released(self, row: EventRow) -> None:
        self._instruments[row.instrument_id].units -= row.quantity
        self._move(row.account_id, row.instrument_id, -row.quantity)

    def _move(self, account: int, instrument_id: int, by: int) -> None:
        for hear in self._hears["holding_changed"]:
            hear(account, self._instruments[instrument_id], by, self._time_ns)

    def _account_opened(self, row: EventRow) -> None:
        self._participants[row.account_id] = row.order_id
        self._owners[row.account_id] = self._heads.setdefault(row.order_id, row.order_id)

    def _account_changed(self, row: EventRow) -> None:
        if row.order_type == AccountParameter.STP_GROUP:
            self._groups[row.account_id] = row.quantity
            self._name_owners()
        elif row.order_type == AccountParameter.INSTRUMENT_HOLDING_MAX:
            self._bound(row.account_id, row)

    def _parameter_changed(self, row: EventRow) -> None:
        if row.order_type == Parameter.HOLDING_MAX:
            self._bound(0, row)

    def _bound(self, account: int, row: EventRow) -> None:
        for hear in self._hears["holding_bounded"]:
            hear(account, self._instruments[row.instrument_id], row.quantity, self._time_ns)

    def _name_owners(self) -> None:
        """Participants of one group are one owner, the lowest of them. O(accounts x groups)."""
        heads = {participant: participant for participant in self._participants.values()}
        is_changed = True
        while is_changed:
            is_changed = False
            lowest: dict[int, int] = {}
            for account, group in self._groups.items():
                head = heads[self._participants[account]]
                lowest[group] = min(lowest.get(group, head), head)
            for account, group in self._groups.items():
                participant = self._participants[account]
                if group and lowest[group] < heads[participant]:
                    heads[participant], is_changed = lowest[group], True
        self._heads = heads
        self._owners = {a: heads[participant] for a, participant in self._participants.items()}

    def _instrument_opened(self, row: EventRow) -> None:
        self._instruments[row.instrument_id] = InstrumentScene(
            row.instrument_id,
            self._symbols.get(row.instrument_id, f"#{row.instrument_id}"),
            self._deadlines.get(row.instrument_id, 0),
            self._published.get(row.instrument_id, 0),
        )

    def _phase_changed(self, row: EventRow) -> None:
        instrument = self._instruments[row.instrument_id]
        before, instrument.phase = instrument.phase, Phase(row.order_type)
        instrument.indicative_price = instrument.indicative_volume = 0
        for hear in self._hears["phase_changed"]:
            hear(instrument, before, self._time_ns)

    def _indicative(self, row: EventRow) -> None:
        instrument = self._instruments[row.instrument_id]
        instrument.indicative_price, instrument.indicative_volume = row.price, row.quantity

    def _reference_changed(self, row: EventRow) -> None:
        self._instruments[row.instrument_id].reference_price = row.price

    def _day_closed(self, row: EventRow) -> None:
        instrument = self._instruments[row.instrument_id]
        instrument.reference_price = row.price
        for hear in self._hears["day_closed"]:
            hear(instrument, self._time_ns)

    def _day_started(self, row: EventRow) -> None:
        for hear in self._hears["day_started"]:
            hear(row.quantity, self._owners, self._time_ns)


def _overridden(kind: type[Detector]) -> set[str]:
    return {name for name in _HEARD if getattr(kind, name) is not getattr(Detector, name)}


_HANDLERS: dict[int, Callable[[Monitor, EventRow], None]] = {
    Event.ACCEPTED: Monitor._accepted,
    Event.REJECTED: Monitor._rejected,
    Event.FILL: Monitor._fill,
    Event.CANCELLED: Monitor._cancelled,
    Event.REPLACED: Monitor._replaced,
    Event.TRIGGERED: Monitor._triggered,
    Event.ACCOUNT_OPENED: Monitor._account_opened,
    Event.ACCOUNT_CHANGED: Monitor._account_changed,
    Event.PARAMETER_CHANGED: Monitor._parameter_changed,
    Event.UNITS_DEPOSITED: Monitor._units_deposited,
    Event.UNITS_RELEASED: Monitor._units_released,
    Event.TRADE_SETTLED: Monitor._trade_settled,
    Event.INSTRUMENT_OPENED: Monitor._instrument_opened,
    Event.PHASE_CHANGED: Monitor._phase_changed,
    Event.INDICATIVE: Monitor._indicative,
    Event.REFERENCE_CHANGED: Monitor._reference_changed,
    Event.DAY_CLOSED: Monitor._day_closed,
    Event.DAY_STARTED: Monitor._day_started,
}
"""What surveillance hears of each event; those not here tell nothing of a pattern."""
