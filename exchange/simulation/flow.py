"""Orders that make the planned trades happen, with other orders around them: pure and seeded.

`ProductFlow.day` is a generator: it yields lists of commands and is sent the order id of the first
of each list, so it needs neither log nor clock. One broker rests, another takes; others quote away
from the trade, move and leave, but never stand in its way: before each planned trade every resting
order that could meet it is cancelled or moved.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from typing import NamedTuple

import msgspec

from exchange.messages.frames import Command, OrderType, Side, TimeInForce, command
from exchange.simulation.planner import QUANTITY_MAX, DayPlan, Trade, band_of

GROUP_MAX = 4  # planned trades one taker may sweep
RESTING_MAX = 24  # orders of others a product keeps around the trades
NOISE_QUANTITY_MAX = 500  # tonnes
REMAINDER_MAX = 200  # tonnes a resting order may have beyond its planned trade

Steps = Generator[list[bytes], int, None]


class Broker(NamedTuple):
    """One simulated member: its account and the session it numbers its orders in."""

    account: int
    session: int


class Desk:
    """Numbers the commands of all brokers: refs by session, labels over the whole run."""

    def __init__(self, brokers: Sequence[Broker]) -> None:
        self.brokers = tuple(brokers)
        self.commands = 0
        self._refs = {broker.session: 0 for broker in brokers}

    def label(self) -> bytes:
        """A client order id nobody had before. O(1)."""
        self.commands += 1
        return f"S{self.commands}".encode()

    def command(self, kind: Command, broker: Broker, **fields: int | bytes) -> bytes:
        """A command of `broker` under its next ref. O(1)."""
        self._refs[broker.session] += 1
        return command(
            kind,
            account_id=broker.account,
            session_id=broker.session,
            ref=self._refs[broker.session],
            **fields,
        )


class Resting(msgspec.Struct):
    """An order on the book which no planned trade uses."""

    broker: Broker
    side: Side
    price: int
    quantity: int
    label: bytes
    time_in_force: TimeInForce
    order_id: int = 0
    executed: int = 0  # tonnes


class ProductFlow:
    """The order flow of one instrument over the days of a window."""

    def __init__(self, instrument_id: int, desk: Desk, band_bp: int, seed: int) -> None:
        self.instrument_id = instrument_id
        self.resting: list[Resting] = []
        self._desk = desk
        self._band_bp = band_bp
        self._rng = random.Random(f"{seed}/{instrument_id}")
        self._band = band_of(0, band_bp)

    def reference_moved(self, reference: int) -> None:
        """Forgets orders which the engine cancels because the band moved. O(resting)."""
        self._band = band_of(reference, self._band_bp)
        low, high = self._band
        self.resting = [order for order in self.resting if low <= order.price <= high]

    def day_ended(self, reference: int) -> None:
        """Forgets orders of the day, and those outside the next day's band. O(resting)."""
        self.resting = [o for o in self.resting if o.time_in_force == TimeInForce.GTC]
        self.reference_moved(reference)

    def day(self, plan: DayPlan) -> Steps:
        """The day's commands; send the order id of the first after each list. O(commands)."""
        rng = self._rng
        at = 0
        while at < len(plan.trades):
            group, is_buy = self._group(plan.trades[at:])
            at += len(group)
            yield self._clear(group)
            orders = self._makers(group, is_buy)
            commands = [self._new(order) for order in orders]
            remainder = orders[-1].quantity - group[-1].quantity
            commands.append(self._taker(group, is_buy, orders[0].broker, remainder))
            first = yield commands
            if remainder:
                orders[-1].quantity, orders[-1].executed = remainder, group[-1].quantity
                orders[-1].order_id = first + len(orders) - 1
                self.resting.append(orders[-1])
            yield from self._others(group)
        if not plan.trades and plan.reference:
            quiet = [Trade(plan.reference, 0)]
            yield self._clear(quiet)
            yield from self._others(quiet)
        leaving = [o for o in self.resting if rng.random() < 0.4]
        self.resting = [o for o in self.resting if o not in leaving]
        yield [self._cancel(order) for order in leaving]

    def _others(self, group: Sequence[Trade]) -> Steps:
        noise = self._noise(group)
        first = yield [self._new(order) for order in noise] + self._refused()
        for index, order in enumerate(noise):
            order.order_id = first + index
        self.resting += noise

    def _group(self, trades: Sequence[Trade]) -> tuple[list[Trade], bool]:
        """The next trades which one taker can sweep, and whether it buys (prices rise)."""
        is_buy = self._rng.random() < 0.5
        group = [trades[0]]
        size = self._rng.randint(1, GROUP_MAX)
        for trade in trades[1:size]:
            previous = group[-1].price
            in_order = trade.price > previous if is_buy else trade.price < previous
            total = sum(t.quantity for t in group) + trade.quantity
            if not in_order or total > QUANTITY_MAX:
                break
            group.append(trade)
        return group, is_buy

    def _clear(self, group: Sequence[Trade]) -> list[bytes]:
        """Cancels or moves whatever rests where the group will trade."""
        low = min(trade.price for trade in group)
        high = max(trade.price for trade in group)
        commands, kept = [], []
        for order in self.resting:
            is_bid = order.side == Side.BUY
            if order.price < low if is_bid else order.price > high:
                kept.append(order)
                continue
            price = self._away(order.side, low, high)
            if price is None or self._rng.random() < 0.5:
                commands.append(self._cancel(order))
            else:
                order.price, order.label = price, self._desk.label()
                commands.append(self._replace(order))
                kept.append(order)
        self.resting = kept
        return commands

    def _away(self, side: Side, low: int, high: int) -> int | None:
        """A price inside the band on the far side of the trade; None when there is none."""
        least, most = self._band
        if side == Side.BUY:
            least, most = max(least, low - low // 10), low - 1
        else:
            least, most = high + 1, min(most, high + high // 10)
        return self._rng.randint(least, most) if least <= most else None

    def _makers(self, group: Sequence[Trade], is_buy: bool) -> list[Resting]:
        side = Side.SELL if is_buy else Side.BUY
        broker = self._rng.choice(self._desk.brokers)
        orders = [
            Resting(broker, side, t.price, t.quantity, self._desk.label(), TimeInForce.DAY)
            for t in group
        ]
        room = QUANTITY_MAX - orders[-1].quantity
        if room > 0 and self._rng.random() < 0.3:
            orders[-1].quantity += self._rng.randint(1, min(room, REMAINDER_MAX))
        return orders

    def _taker(self, group: Sequence[Trade], is_buy: bool, maker: Broker, remainder: int) -> bytes:
        broker = self._rng.choice([b for b in self._desk.brokers if b != maker])
        quantity = sum(trade.quantity for trade in group)
        order_type, price = OrderType.LIMIT, group[-1].price
        tif = self._rng.choice((TimeInForce.IOC, TimeInForce.FOK, TimeInForce.DAY))
        if len(group) == 1 and tif != TimeInForce.DAY and self._rng.random() < 0.2:
            order_type, price = OrderType.MARKET, 0
        elif tif == TimeInForce.IOC and not remainder:
            quantity = min(QUANTITY_MAX, quantity + self._rng.randint(0, REMAINDER_MAX))
        return self._desk.command(
            Command.NEW_ORDER,
            broker,
            side=Side.BUY if is_buy else Side.SELL,
            order_type=order_type,
            time_in_force=tif,
            instrument_id=self.instrument_id,
            quantity=quantity,
            price=price,
            client_order_id=self._desk.label(),
        )

    def _noise(self, group: Sequence[Trade]) -> list[Resting]:
        """Orders of others on both sides of the trade."""
        low = min(trade.price for trade in group)
        high = max(trade.price for trade in group)
        orders = []
        for _ in range(min(self._rng.randint(0, 4), RESTING_MAX - len(self.resting))):
            side = self._rng.choice((Side.BUY, Side.SELL))
            price = self._away(side, low, high)
            if price is not None:
                broker = self._rng.choice(self._desk.brokers)
                quantity = self._rng.randint(1, NOISE_QUANTITY_MAX)
                tif = self._rng.choice((TimeInForce.DAY, TimeInForce.GTC))
                orders.append(Resting(broker, side, price, quantity, self._desk.label(), tif))
        return orders

    def _refused(self) -> list[bytes]:
        """Now and then an order above the band, which the engine must refuse."""
        if not self._band_bp or self._rng.random() < 0.8:
            return []
        order = Resting(
            self._rng.choice(self._desk.brokers),
            Side.BUY,
            self._band[1] + self._rng.randint(1, 100),
            self._rng.randint(1, NOISE_QUANTITY_MAX),
            self._desk.label(),
            TimeInForce.DAY,
        )
        return [self._new(order)]

    def _new(self, order: Resting) -> bytes:
        return self._desk.command(
            Command.NEW_ORDER,
            order.broker,
            side=order.side,
            order_type=OrderType.LIMIT,
            time_in_force=order.time_in_force,
            instrument_id=self.instrument_id,
            quantity=order.quantity,
            price=order.price,
            client_order_id=order.label,
        )

    def _cancel(self, order: Resting) -> bytes:
        return self._desk.command(Command.CANCEL_ORDER, order.broker, order_id=order.order_id)

    def _replace(self, order: Resting) -> bytes:
        return self._desk.command(
            Command.REPLACE_ORDER,
            order.broker,
            order_id=order.order_id,
            quantity=order.executed + order.quantity,
            price=order.price,
            client_order_id=order.label,
        )
