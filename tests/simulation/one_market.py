"""One instrument on the reference engine, and the history of what was said to it."""

from __future__ import annotations

from typing import Any

from exchange.messages.frames import (
    INDEX_BITS,
    RECORD_SIZE,
    Command,
    Event,
    EventRow,
    Parameter,
    build_commands,
    event_rows,
    pack_command,
)
from exchange.simulation.faults.oracle import Heard, History
from matching.reference import Engine

SELLER, BIDDERS, ITEM = 1, range(2, 8), 1
MEANS = 10**9
MS = 1_000_000


class Part:
    """As much of a part as times need."""

    def __init__(self, input_offset: int, time_ns: int) -> None:
        self.input_offset, self.time_ns = input_offset, time_ns


class Market:
    """One instrument on the reference engine, and the history of all that was said to it."""

    def __init__(self, **parameters: int) -> None:
        self.engine = Engine()
        self.heard: dict[int, Heard] = {}
        self.parts: list[Any] = []
        self.time_ns = 1
        self._events = 0
        self.say(Command.INSTRUMENT_OPEN)
        for name, value in parameters.items():
            which = Parameter[name.upper()]
            self.say(Command.INSTRUMENT_PARAMETER, order_type=which, quantity=value)
        for account in (SELLER, *BIDDERS):
            self.say(Command.ACCOUNT_OPEN, account_id=account)
            self.say(Command.CASH_DEPOSIT, account_id=account, quantity=MEANS)
            self.say(Command.UNITS_DEPOSIT, account_id=account, quantity=MEANS)

    def say(
        self, kind: Command, *, after_ms: int = 0, closes_ms: int = 0, seed: int = 0, **fields: Any
    ) -> list[EventRow]:
        """Applies one command, `after_ms` after the last; its events.

        With `closes_ms` or `seed` it is an AUCTION_OPEN with that closing time and seed.
        """
        self.time_ns += after_ms * MS + 1
        records = [pack_command(kind, **({"instrument_id": ITEM} | fields))]
        if closes_ms or seed:
            bidding = {"quantity": closes_ms * MS, "price": seed}
            records.append(pack_command(Command.AUCTION_TERMS, **bidding))
        offset = self.engine.next_offset
        frame = build_commands(records, writer=0, batch=0, time_ns=self.time_ns)
        rows = list(event_rows(self.engine.apply(offset, self.time_ns, frame)))
        numbered = list(enumerate(rows, self._events))
        self._events += len(rows)
        position = offset << INDEX_BITS
        body = bytes(frame[-RECORD_SIZE * len(records) :])
        account, other = fields.get("account_id", 0), fields.get("order_id", 0)
        self.heard[position] = Heard(position, kind, 0, 0, account, numbered, other, body, seed)
        self.parts.append(Part(offset, self.time_ns))
        return rows

    def order(self, account: int, side: int, quantity: int, price: int, **more: Any) -> Any:
        """A limit order, DAY unless `more` says otherwise; its events."""
        fields = {"order_type": 2, "side": side, "quantity": quantity, "price": price} | more
        return self.say(Command.NEW_ORDER, account_id=account, **fields)

    def history(self) -> History:
        events = [
            (number, heard.position >> INDEX_BITS, row)
            for heard in self.heard.values()
            for number, row in heard.rows
        ]
        positions: Any = None
        return History(
            len(self.parts), self.parts, events, self.heard, {}, positions, self.engine, {}
        )

    def altered(self, kind: Event, **fields: Any) -> History:
        """The history with the first event of a kind in other words."""
        history = self.history()
        number = next(number for number, _, row in history.events if row.kind == kind)
        for position, heard in history.heard.items():
            rows = [(n, row._replace(**fields) if n == number else row) for n, row in heard.rows]
            history.heard[position] = heard._replace(rows=rows)
        events = [
            (n, offset, row._replace(**fields) if n == number else row)
            for n, offset, row in history.events
        ]
        return history._replace(events=events)
