"""A market of one instrument on the engine, with the monitor reading what the engine says."""

from __future__ import annotations

from collections.abc import Sequence

from exchange.messages.alerts import Alert
from exchange.messages.frames import (
    GENESIS,
    AccountParameter,
    Command,
    Event,
    EventFollower,
    EventRow,
    OrderType,
    Parameter,
    Phase,
    Side,
    TimeInForce,
    build_commands,
    event_rows,
    order_id_of,
    pack_command,
    seal_events,
)
from exchange.surveillance.limits import Limits
from exchange.surveillance.monitor import Monitor
from matching import Engine, EngineProtocol

SECOND = 1_000_000_000
INSTRUMENT = 1
PARTICIPANTS = range(1, 13)
REFERENCE = 7_000
QUIET_DATE = 20_260_302  # far from every day to surrender
CASH = 10**13
UNITS = 10**6


def account(participant: int, number: int = 1) -> int:
    """An account of a participant: 1 or 2."""
    return participant * 10 + number


class Stage:
    """Sends commands at engine times of its own, and keeps the alerts they led to."""

    def __init__(
        self, limits: Limits, engine: type[EngineProtocol] = Engine, date: int = QUIET_DATE
    ) -> None:
        self.engine = engine()
        self.monitor = Monitor("XX", limits, {INSTRUMENT: "EUA"}, {INSTRUMENT: 930})
        self.alerts: list[Alert] = []
        self.now_ns = 1_772_000_000 * SECOND
        self.events = 0
        self.last_price = REFERENCE
        self.pace = 1  # everything takes so many times as long
        self.parts: list[bytes] = []  # of `events`, as the log would have them
        self.frames: list[bytes] = []  # of `orders`
        self._date = date
        self._follower, self._chain = EventFollower(), GENESIS
        self._open()

    def _open(self) -> None:
        self.send(pack_command(Command.INSTRUMENT_OPEN, instrument_id=INSTRUMENT))
        self.set(Parameter.BLOCK_OPEN, 1)
        for participant in PARTICIPANTS:
            for number in (1, 2):
                who = account(participant, number)
                self.send(pack_command(Command.ACCOUNT_OPEN, account_id=who, order_id=participant))
                self.send(pack_command(Command.CASH_DEPOSIT, account_id=who, quantity=CASH))
                self.deposit(who, UNITS)
        self.send(pack_command(Command.REFERENCE_PRICE, instrument_id=INSTRUMENT, price=REFERENCE))
        self.roll()
        self.phase(Phase.CONTINUOUS)

    def deposit(self, who: int, tonnes: int) -> None:
        """Units arrive on the venue."""
        self.send(
            pack_command(
                Command.UNITS_DEPOSIT, account_id=who, instrument_id=INSTRUMENT, quantity=tonnes
            )
        )

    def bound(self, who: int, tonnes: int) -> None:
        """An account may hold so much."""
        self.send(
            pack_command(
                Command.ACCOUNT_PARAMETER,
                account_id=who,
                instrument_id=INSTRUMENT,
                order_type=AccountParameter.INSTRUMENT_HOLDING_MAX,
                quantity=tonnes,
            )
        )

    def set(self, parameter: Parameter, value: int) -> None:
        """Sets a parameter of the instrument."""
        self.send(
            pack_command(
                Command.INSTRUMENT_PARAMETER, instrument_id=INSTRUMENT, order_type=parameter,
                quantity=value,
            )
        )  # fmt: skip

    def wait(self, seconds: float) -> None:
        """Engine time goes on."""
        self.now_ns += int(seconds * SECOND * self.pace)

    def send(self, *commands: bytes) -> list[EventRow]:
        """One frame of commands; what the engine says of it."""
        self.now_ns += 1_000_000 * self.pace
        offset = self.engine.next_offset
        frame = build_commands(commands, writer=1, batch=offset, time_ns=self.now_ns)
        rows = list(event_rows(self.take_frame(offset, self.now_ns, frame)))
        self.events += len(rows)
        for row in rows:
            if row.kind == Event.FILL:
                self.last_price = row.price
        return rows

    def take_frame(self, offset: int, append_ns: int, frame: bytes) -> bytes:
        """One record of `orders`; the engine's output, which the monitor has seen."""
        first = self.engine.next_event
        self.frames.append(frame)
        output = self.engine.apply(offset, append_ns, frame)
        parts, self._chain = seal_events(
            output,
            input_offset=offset,
            first_event=first,
            epoch=0,
            time_ns=self.engine.time_ns,
            chain=self._chain,
        )
        for value in parts:
            part = self._follower.accept(len(self.parts), value)
            self.parts.append(value)
            if part is not None:
                self.alerts += self.monitor.apply(part)
        return output

    def order(self, who: int, side: int, tonnes: int, price: int, instructions: int = 0) -> int:
        """A limit order that may rest; its id."""
        order_id = order_id_of(self.engine.next_offset, 0)
        self.send(
            pack_command(
                Command.NEW_ORDER, account_id=who, instrument_id=INSTRUMENT, side=side,
                order_type=OrderType.LIMIT, time_in_force=TimeInForce.GTC, quantity=tonnes,
                price=price, order_id=instructions,
            )
        )  # fmt: skip
        return order_id

    def take(self, who: int, side: int, tonnes: int, price: int) -> int:
        """What is filled at once, tonnes, up to a price."""
        rows = self.send(
            pack_command(
                Command.NEW_ORDER, account_id=who, instrument_id=INSTRUMENT, side=side,
                order_type=OrderType.LIMIT, time_in_force=TimeInForce.IOC, quantity=tonnes,
                price=price,
            )
        )  # fmt: skip
        fills = (row for row in rows if row.kind == Event.FILL and row.account_id == who)
        return sum(row.quantity for row in fills)

    def cancel(self, who: int, order_id: int) -> None:
        """Ends an order, if it is still there."""
        self.send(pack_command(Command.CANCEL_ORDER, account_id=who, order_id=order_id))

    def block(self, seller: int, buyer: int, tonnes: int, price: int) -> None:
        """A negotiated trade."""
        proposal = order_id_of(self.engine.next_offset, 0)
        self.send(
            pack_command(
                Command.BLOCK_PROPOSE, account_id=seller, instrument_id=INSTRUMENT,
                side=Side.SELL, quantity=tonnes, price=price, order_id=buyer,
            )
        )  # fmt: skip
        self.send(
            pack_command(
                Command.BLOCK_CONFIRM, account_id=buyer, instrument_id=INSTRUMENT,
                side=Side.BUY, quantity=tonnes, price=price, order_id=proposal,
            )
        )  # fmt: skip

    def tick(self) -> None:
        """A clock tick: calls tell their indicative price."""
        self.send(pack_command(Command.CLOCK_TICK))

    def phase(self, phase: Phase) -> None:
        """Changes the phase."""
        self.send(pack_command(Command.PHASE_CHANGE, instrument_id=INSTRUMENT, order_type=phase))

    def roll(self) -> None:
        """Ends the day and starts the next; the instrument must be closed."""
        self.send(pack_command(Command.DAY_ROLL, quantity=self._date))
        self._date += 1

    def about(self, accounts: Sequence[int], kind: str) -> list[Alert]:
        """Alerts of a kind that name one of the accounts."""
        return [a for a in self.alerts if a.kind == kind and set(a.accounts) & set(accounts)]
