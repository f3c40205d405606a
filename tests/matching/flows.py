"""Seeded flows of frames: the whole command set, and flows that are out to break something."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from matching.layout import (
    COUNT_MAX,
    PRICE_LIMIT,
    QUANTITY_LIMIT,
    TOTAL_LIMIT,
    VALUE_LIMIT,
    CloseRule,
    Command,
    Event,
    Instruction,
    OrderType,
    Parameter,
    Phase,
    Resale,
    Side,
    TimeInForce,
)
from matching.parameters import PARAMETER_RANGE
from tests.matching.controls import control
from tests.matching.flows_deals import auctions, deals
from tests.matching.flows_settlement import FEES, settle, trades_in
from tests.matching.frames import EventRow, command, events, frame, note_text

Record = tuple[int, int, bytes]  # offset, append time, frame

ACCOUNTS = (1, 2, 3, 4, 5, 4_000_000_000)
INSTRUMENTS = (1, 2, 65_535)
SECOND = 1_000_000_000
MS = 1_000_000
TIMES_IN_FORCE = tuple(TimeInForce)
PARAMETERS = (
    *(p for p in Parameter if p <= Parameter.CLOSE_VOLUME_MIN),
    Parameter.QUANTITY_MIN,
    *(p for p in Parameter if p >= Parameter.TICK_FROM_2),
    Parameter.VOLATILITY_BP,
    Parameter.VOLATILITY_CALL_MS,
    Parameter.RANDOM_END_MS,
    Parameter.COLLAR_BP,
    Parameter.HOLDING_MAX,
)


class Flow:
    """Frames one after the other; remembers where its orders are on the log."""

    def __init__(self, seed: int, *, start: int = 0) -> None:
        self.random = Random(seed)
        self.offset = start
        self.now = 1_700_000_000 * SECOND
        self.date = 20_261_122
        self.epoch = 0
        self.ref = 0
        self.orders: list[tuple[int, int]] = []  # order id, account: all that were sent
        self.resting: dict[int, int] = {}  # of those, what an engine said still rests
        self.live: dict[int, EventRow] = {}  # as it was accepted or replaced, with its leaves
        self.counterparties: dict[int, int] = {}  # of proposals, by order id
        self.multiples: dict[int, int] = {}  # of auctions, by order id
        self.is_prepared = False  # for listings, blocks and auctions
        self.index = 0
        self.trades: list[tuple[EventRow, EventRow]] = []  # the last ones: maker, taker
        self.behind: list[bytes] = []  # what must come right after the command
        self.queue: list[bytes] = []  # what `everything` says next
        self.mid = 7_000
        self.spread = 12

    def frames(
        self, count: int, commands: Callable[[Flow], bytes], most: int = 20
    ) -> Iterator[Record]:
        """`count` records of the log, each with up to `most` commands."""
        for _ in range(count):
            yield self.frame(commands, self.random.randint(1, most))

    def frame(self, commands: Callable[[Flow], bytes], count: int) -> Record:
        """The next record: offset, append time, frame."""
        records = []
        while len(records) < count:
            self.index = len(records)
            records.append(commands(self))
            records += self.behind
            self.behind = []
        return self.record(frame(records, self.now - self.random.choice((0, 3 * MS, 40 * MS))))

    def record(self, data: bytes) -> Record:
        """The next record with these bytes, good or bad."""
        self.now += self.random.choice((0, 1, MS, 20 * MS, -5 * MS))
        offset, self.offset = self.offset, self.offset + 1
        return offset, self.now, data

    def opening(
        self, accounts: int = 0, cash: int = 10**12, units: int = 10**7
    ) -> Iterator[Record]:
        """A market that can trade: accounts with means, instruments in CONTINUOUS."""
        ids = range(1, accounts + 1) if accounts else ACCOUNTS
        commands = [command(Command.EPOCH_START, quantity=1, order_id=11)]
        self.epoch = 1
        for instrument_id in INSTRUMENTS:
            commands.append(command(Command.INSTRUMENT_OPEN, instrument_id=instrument_id))
        for account_id in ids:
            named = {"account_id": account_id}
            owner = account_id % 3 * 10 + 10
            commands.append(command(Command.ACCOUNT_OPEN, order_id=owner, **named))
            commands.append(command(Command.CASH_DEPOSIT, quantity=cash, **named))
            for instrument_id in INSTRUMENTS:
                named["instrument_id"] = instrument_id
                commands.append(command(Command.UNITS_DEPOSIT, quantity=units, **named))
        commands.append(command(Command.REFERENCE_PRICE, instrument_id=2, price=self.mid))
        commands.append(command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS))
        while commands:
            yield self.record(frame(commands[:COUNT_MAX], self.now))
            commands = commands[COUNT_MAX:]

    def rules(self) -> Record:
        """Ticks, lots, fees, bands and the rest, before anything rests."""
        r = self.random
        commands = []
        for instrument_id in INSTRUMENTS:
            for parameter, values in (
                (Parameter.TICK_SIZE, (1, 1, 5)),
                (Parameter.TICK_SIZE_2, (5, 10, 25)),
                (Parameter.TICK_FROM_2, (0, 7_000, 7_001)),
                (Parameter.TICK_SIZE_3, (15, 20)),
                (Parameter.TICK_FROM_3, (0, 0, 7_004)),
                (Parameter.LOT_SIZE, (1, 1, 2)),
                (Parameter.VALUE_MAX, (VALUE_LIMIT, 7_000_000)),
                (Parameter.BAND_BP, (0, 20, 3_000)),
                (Parameter.PROTECTION_BP, (0, 10, 500, 10_000)),
                *FEES,
                (Parameter.RESALE_NEXT_DAY, tuple(Resale)),
                (Parameter.CLOSE_RULE, tuple(CloseRule)),
                (Parameter.CLOSE_VOLUME_MIN, (0, 500)),
                (Parameter.RANDOM_END_MS, (0, 5, 40)),
            ):
                fields = {"order_type": parameter, "quantity": r.choice(values)}
                fields["instrument_id"] = instrument_id
                commands.append(command(Command.INSTRUMENT_PARAMETER, **fields))
        return self.record(frame(commands, self.now))

    def end_of_day(self) -> bytes:
        """Close all, move a reference, roll twice with one date, open again."""
        roll = command(Command.DAY_ROLL, quantity=self.date + 1)
        self.date += 1
        price = self.price() + self.random.choice((0, 0, 0, 400))
        moved = command(Command.REFERENCE_PRICE, instrument_id=1, price=price)
        opened = command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS)
        self.queue += [moved, roll, roll, opened]
        return command(Command.PHASE_CHANGE, order_type=Phase.CLOSED)

    def hear(self, output: bytes) -> None:
        """Learn from an engine which orders rest, so that cancels and replaces meet some."""
        heard = events(output)
        self.trades = (self.trades + trades_in(heard))[-20:]
        for e in heard:
            if e.kind == Event.ACCEPTED:
                self.live[e.order_id] = e
                self.resting[e.order_id] = e.account_id
            elif e.kind == Event.CANCELLED or (e.kind == Event.FILL and e.value == 0):
                self.resting.pop(e.order_id, None)
                self.live.pop(e.order_id, None)
            elif e.kind in (Event.FILL, Event.REPLACED) and e.order_id in self.live:
                leaves = e.value if e.kind == Event.FILL else e.quantity
                price = self.live[e.order_id].price if e.kind == Event.FILL else e.price
                self.live[e.order_id] = self.live[e.order_id]._replace(quantity=leaves, price=price)

    # -- pieces ---------------------------------------------------------------------------------

    def label(self) -> bytes:
        r = self.random
        kind = r.random()
        if kind < 0.3:
            return b""
        if kind < 0.5:
            return b"c%d" % r.randint(1, 12)
        if kind < 0.55:
            return b"\0" + bytes(r.randrange(256) for _ in range(15))
        return b"%016x" % r.getrandbits(64)

    def session(self) -> dict[str, int]:
        r = self.random
        if r.random() < 0.5:
            return {}
        self.ref += r.choice((1, 1, 1, 5, 0, -2))
        return {"session_id": r.choice((1, 2, 2**32 - 1)), "ref": self.ref}

    def price(self) -> int:
        return self.mid + self.random.randint(-self.spread, self.spread)

    def some_order(self) -> tuple[int, int]:
        """An order id and whose it is; now and then a wrong one."""
        r = self.random
        kind = r.random()
        if not self.orders or kind < 0.03:
            return r.choice((0, 1, 2**64 - 1, self.offset << 16)), r.choice(ACCOUNTS)
        if self.resting and kind < 0.7:
            order_id = r.choice(tuple(self.resting))
            return order_id, self.resting[order_id]
        back = min(len(self.orders), r.choice((3, 30, 300)))
        order_id, account_id = self.orders[-r.randint(1, back)]
        return order_id, account_id if r.random() > 0.02 else r.choice(ACCOUNTS)

    # -- commands -------------------------------------------------------------------------------

    def new_order(self, **changes: Any) -> bytes:
        r = self.random
        account_id = r.choice(ACCOUNTS)
        order_type: int = r.choices((OrderType.LIMIT, OrderType.MARKET), (12, 1))[0]
        tif: int = r.choices(TIMES_IN_FORCE, (6, 4, 1, 2, 2, 2, 1))[0]
        if order_type == OrderType.MARKET and r.random() < 0.9:
            tif = r.choices(TIMES_IN_FORCE, (0, 0, 1, 2, 2, 0, 1))[0]
        if r.random() < 0.01:
            tif, order_type = r.choice(((5, OrderType.LIMIT), (0, 3), (255, 0)))
        fields: dict[str, Any] = {
            "account_id": account_id,
            "instrument_id": r.choices(INSTRUMENTS, (8, 2, 1))[0],
            "side": r.choice(tuple(Side)) if r.random() < 0.995 else r.choice((0, 3)),
            "order_type": order_type,
            "time_in_force": tif,
            "quantity": r.choice((1, 2, 7, 10, 100, 1_000)) * r.randint(1, 5),
            "price": 0 if order_type == OrderType.MARKET else self.price(),
            "client_order_id": self.label(),
            "valid_ms": r.choice((0, 0, 0, 0, 0, 0, 10, 65_535)),
        }
        fields["order_id"] = self.instructions()
        fields |= self.session() | changes
        if r.random() < (0.9 if fields["time_in_force"] == TimeInForce.GTD else 0.1):
            self.terms(fields)
        self.orders.append((self.offset << 16 | self.index, fields["account_id"]))
        return command(Command.NEW_ORDER, **fields)

    def cancel(self) -> bytes:
        order_id, account_id = self.some_order()
        named: dict[str, Any] = {"account_id": account_id, "order_id": order_id}
        if self.random.random() < 0.2:
            named = {"account_id": account_id, "client_order_id": self.label()}
        return command(Command.CANCEL_ORDER, **named, **self.session())

    def instructions(self) -> int:
        """Mostly none; now and then bits that are no instruction."""
        r = self.random
        if r.random() < 0.75:
            return 0
        if r.random() < 0.1:
            return r.choice((3, 8, 0x50, 128, 1 << 40, r.getrandbits(64)))
        return r.choice((0, 0, 1, 2, 4, 5)) | r.choice((0, 0, 0, 1, 2, 3, 4)) << 4

    def terms(self, fields: dict[str, Any]) -> None:
        """Has an ORDER_TERMS follow, mostly one that fits."""
        r = self.random
        quantity = fields["quantity"]
        asked = {"ref": 0, "quantity": 0, "price": 0, "order_id": 0}
        if fields.get("time_in_force") == TimeInForce.GTD:
            asked["order_id"] = self.date + r.randint(0, 3)
        if fields.get("time_in_force") != TimeInForce.FOK and r.random() < 0.5:
            asked[r.choice(("quantity", "quantity", "price"))] = max(quantity // 4, 1)
        if r.random() < 0.08:
            which = r.choice(tuple(asked))
            wrong = (0, 1, 7, quantity, quantity + 1, self.date, -1, -(2**63))
            asked[which] = max(r.choice(wrong), 0) if which == "order_id" else r.choice(wrong)
        self.behind = [command(Command.ORDER_TERMS, **asked)]
        if r.random() < 0.05:
            self.behind *= 2

    def replace(self) -> bytes:
        r = self.random
        order_id, account_id = self.some_order()
        fields = {
            "account_id": account_id,
            "order_id": order_id,
            "quantity": r.choice((0, 1, 2, 5, 7, 50, 100, 500, 3_000)) + r.randint(0, 3),
            "price": r.choice((self.price(), self.price(), 0, PRICE_LIMIT + 1)),
            "client_order_id": self.label(),
        }
        if r.random() < 0.15:
            self.terms(fields)
        return command(Command.REPLACE_ORDER, **fields, **self.session())

    def money(self) -> bytes:
        r = self.random
        quantity = r.choice((0, -1, 1, 1_000, 10**9, 10**12, TOTAL_LIMIT, 2**63 - 1, -(2**63)))
        return command(
            r.choice(
                (
                    Command.CASH_DEPOSIT,
                    Command.CASH_WITHDRAW,
                    Command.UNITS_DEPOSIT,
                    Command.UNITS_RELEASE,
                    Command.ACCOUNT_OPEN,
                    Command.INSTRUMENT_OPEN,
                )
            ),
            account_id=r.choice((*ACCOUNTS, 0, 77, 78)),
            instrument_id=r.choice((*INSTRUMENTS, 0, 9)),
            quantity=quantity if r.random() < 0.5 else r.randint(1, 10_000),
            order_id=r.getrandbits(64),
            client_order_id=self.label(),
            **self.session(),
        )

    def parameter(self) -> bytes:
        r = self.random
        parameter = r.choice(PARAMETERS)
        low, high = PARAMETER_RANGE[parameter]
        value = r.choice((low, high, low - 1, high + 1, low + 1, 500, 25, 3))
        if parameter in (Parameter.TICK_SIZE, Parameter.LOT_SIZE):
            value = r.choice((1, 1, 2, 5, 0))
        if parameter == Parameter.HOLDING_MAX:
            value = r.choice((0, high, high + 1, 10**7 + 500))
        if parameter in (Parameter.QUANTITY_MAX, Parameter.VALUE_MAX):
            value = r.choice((high, high, high, 4_000_000, 0))
        return command(
            Command.INSTRUMENT_PARAMETER,
            order_type=parameter if r.random() < 0.97 else r.choice((0, 200, 255)),
            instrument_id=r.choice((*INSTRUMENTS, 9)),
            quantity=value,
            **self.session(),
        )

    def phase(self) -> bytes:
        r = self.random
        kind = r.random()
        if kind < 0.2:
            return command(
                Command.REFERENCE_PRICE,
                instrument_id=r.choice((*INSTRUMENTS, 8)),
                price=r.choice((self.price(), self.price(), 1, 0, PRICE_LIMIT, PRICE_LIMIT + 1)),
            )
        if kind < 0.4:
            self.date += r.choice((0, 1, 1, 1))
            return command(Command.DAY_ROLL, quantity=self.date, **self.session())
        return command(
            Command.PHASE_CHANGE,
            order_type=r.choices((*Phase, 255), (4, 9, 2, 2, 2, 1, 2, 1))[0],
            instrument_id=r.choice((0, 0, 0, *INSTRUMENTS, 7)),
            quantity=r.choices((0, 1, -1, 2**63 - 1, r.getrandbits(62)), (9, 1, 1, 1, 1))[0],
        )

    def passing(self) -> bytes:
        r = self.random
        kind = r.random()
        text = note_text(bytes(r.choices(b"note", k=40)))
        if kind < 0.3:
            self.queue.append(command(Command.NOTE, account_id=1, **text))
            return command(
                Command.INSTRUCTION,
                order_type=r.choice((*Instruction, 0, 7, max(Instruction) + 1)),
                account_id=r.choice((*ACCOUNTS, 99)),
                instrument_id=r.choice((*INSTRUMENTS, 0)),
                quantity=r.getrandbits(40),
                price=2026,
                client_order_id=self.label(),
                **self.session(),
            )
        if kind < 0.8:
            return command(Command.NOTE, account_id=1, **text)
        if kind < 0.9:
            self.epoch += r.choice((0, 1, 1, 2, -1))
            return command(Command.EPOCH_START, quantity=self.epoch, order_id=r.getrandbits(20))
        return command(Command.CLOCK_TICK, **self.session())

    def noise(self) -> bytes:
        r = self.random
        if r.random() < 0.5:
            return r.randbytes(64)
        record = bytearray(self.new_order())
        for _ in range(r.randint(1, 4)):
            record[r.randrange(64)] = r.choice((0, 1, 255, r.randrange(256)))
        return bytes(record)


# -- whole flows ----------------------------------------------------------------------------------


def trading(flow: Flow) -> bytes:
    """What a busy day looks like, with a few resends and mistakes."""
    return flow.random.choices((flow.new_order, flow.cancel, flow.replace), (60, 25, 15))[0]()


def everything(flow: Flow) -> bytes:
    """Every command there is, sound and unsound."""
    if flow.queue:
        return flow.queue.pop(0)
    return flow.random.choices(
        (
            flow.new_order,
            flow.cancel,
            flow.replace,
            flow.money,
            lambda: settle(flow),
            flow.parameter,
            lambda: control(flow),
            flow.phase,
            flow.passing,
            flow.noise,
            flow.end_of_day,
        ),
        (60, 12, 16, 6, 6, 3, 3, 3, 6, 3, 1),
    )[0]()


def same_price(flow: Flow) -> bytes:
    """All orders at one price: long queues."""
    r = flow.random
    if r.random() < 0.6:
        side = r.choices(tuple(Side), (9, 1))[0]
        return flow.new_order(
            instrument_id=1, price=7_000, side=side, order_type=OrderType.LIMIT, quantity=1
        )
    return flow.cancel() if r.random() < 0.7 else flow.replace()


def many_levels(flow: Flow) -> bytes:
    """Thousands of levels far apart, swept now and then."""
    r = flow.random
    side = r.choice(tuple(Side))
    step = 1 << r.randrange(0, 26)
    price = 500_000_000 + (-1 if side == Side.BUY else 1) * step * r.randint(1, 6)
    terms = {"side": side, "price": max(price, 1), "quantity": r.randint(1, 3)}
    if r.random() < 0.01:
        side = r.choice(tuple(Side))
        price = PRICE_LIMIT if side == Side.BUY else 1
        terms = {"side": side, "price": price, "quantity": r.randint(1, 60)}
        terms["time_in_force"] = r.choice((TimeInForce.IOC, TimeInForce.FOK))
    elif r.random() < 0.3:
        return flow.cancel()
    else:
        terms["time_in_force"] = TimeInForce.GTC
    return flow.new_order(instrument_id=1, order_type=OrderType.LIMIT, **terms)


def cancel_storm(flow: Flow) -> bytes:
    """Nine cancels to an order, most of them of orders that are gone."""
    return flow.cancel() if flow.random.random() < 0.9 else flow.new_order()


def replace_chain(flow: Flow) -> bytes:
    """A few orders, changed again and again."""
    r = flow.random
    if r.random() < 0.1 or len(flow.orders) < 5:
        return flow.new_order(time_in_force=TimeInForce.GTC, order_type=OrderType.LIMIT)
    return flow.replace()


def fill_or_kill(flow: Flow) -> bytes:
    """FOK orders across levels, just big enough or just too big."""
    r = flow.random
    if r.random() < 0.3:
        return flow.new_order(
            time_in_force=TimeInForce.FOK, quantity=r.randint(1, 200), instrument_id=1
        )
    return flow.new_order(instrument_id=1, quantity=r.randint(1, 30))


def extremes(flow: Flow) -> bytes:
    """Prices, quantities and fees at the edge of what is allowed, and past it."""
    r = flow.random
    price = r.choice((1, 2, 900_000, PRICE_LIMIT - 1, PRICE_LIMIT, PRICE_LIMIT + 1, 2**63 - 1))
    quantity = r.choice(
        (1, 9_000_000, QUANTITY_LIMIT, QUANTITY_LIMIT + 1, VALUE_LIMIT // price, -(2**63), 2**62)
    )
    kind = r.random()
    if kind < 0.75:
        return flow.new_order(
            instrument_id=r.choice((1, 1, 2)), price=price, quantity=min(quantity, 2**63 - 1)
        )
    if kind < 0.85:
        order_id, account_id = flow.some_order()
        return command(
            Command.REPLACE_ORDER,
            account_id=account_id,
            order_id=order_id,
            quantity=quantity,
            price=price,
        )
    return flow.money() if kind < 0.9 else flow.cancel()


def calls(flow: Flow) -> bytes:
    """Books that cross in calls, which begin and end all the time."""
    r = flow.random
    kind = r.random()
    if kind < 0.7:
        price = flow.mid + r.randint(-4, 4)
        return flow.new_order(instrument_id=1, price=price, quantity=r.choice((1, 5, 5, 10)))
    if kind < 0.75:
        return flow.cancel()
    if kind < 0.8:
        return flow.replace()
    if kind < 0.9:
        return command(Command.CLOCK_TICK)
    if kind < 0.91:
        return flow.end_of_day()
    if kind < 0.92:
        return command(Command.REFERENCE_PRICE, instrument_id=1, price=flow.price())
    if kind < 0.94:
        parameter, values = r.choice(
            (
                (Parameter.VOLATILITY_BP, (0, 1, 3, 5, 10_000)),
                (Parameter.VOLATILITY_CALL_MS, (0, 5, 40)),
                (Parameter.BAND_BP, (0, 0, 5)),
            )
        )
        fields = {"order_type": parameter, "quantity": r.choice(values)}
        return command(Command.INSTRUMENT_PARAMETER, instrument_id=1, **fields)
    order_type = r.choices(tuple(Phase), (2, 6, 1, 2, 4, 4, 4))[0]
    seed = r.choice((0, 0, r.getrandbits(60)))
    return command(Command.PHASE_CHANGE, order_type=order_type, instrument_id=1, quantity=seed)


def slices(flow: Flow) -> bytes:
    """Icebergs, post-only orders and minimum quantities at a few prices, filled and replaced."""
    r = flow.random
    kind = r.random()
    if kind < 0.02:
        return flow.phase()
    if kind < 0.04:
        return command(Command.PHASE_CHANGE, instrument_id=2, order_type=Phase.CONTINUOUS)
    if kind < 0.3:
        return flow.replace()
    fields: dict[str, Any] = {
        "instrument_id": 2,
        "client_order_id": b"",
        "order_type": OrderType.LIMIT,
        "time_in_force": r.choice(TIMES_IN_FORCE),
        "quantity": r.randint(1, 40),
        "price": flow.mid + r.randint(-2, 2),
    }
    if kind < 0.6:
        fields["order_id"] = r.choice((1, 2, 2, 4))
        fields["time_in_force"] = TimeInForce.GTC
    made = flow.new_order(**fields)
    if kind > 0.55 and not flow.behind:
        flow.terms(fields)
    return made


def labels(flow: Flow) -> bytes:
    """Client order ids used again: resent, changed in one field, across accounts."""
    r = flow.random
    label = b"label-%d" % r.randint(1, 40)
    kind = r.random()
    terms = {"account_id": r.choice((1, 2)), "client_order_id": label}
    if kind < 0.2:
        return command(Command.CANCEL_ORDER, **terms)
    if kind < 0.45:
        order_id, account_id = flow.some_order()
        quantity, price = r.randint(3, 5), r.randint(7_000, 7_001)
        terms |= {"account_id": account_id, "order_id": order_id}
        return command(Command.REPLACE_ORDER, quantity=quantity, price=price, **terms)
    if kind < 0.47:
        return flow.phase()
    side = r.choice(tuple(Side))
    body = {"instrument_id": r.choice((1, 2)), "side": side, "order_type": OrderType.LIMIT}
    body |= {"price": r.randint(7_000, 7_001), "quantity": r.randint(3, 4)}
    return flow.new_order(**terms, **body, time_in_force=r.choice(TIMES_IN_FORCE))


def broken_frames(flow: Flow, count: int) -> Iterator[Record]:
    """Frames cut short, changed in a byte, with a lying header, or no frame at all."""
    r = flow.random
    for _ in range(count):
        good = flow.frame(everything, r.randint(1, 4))[2]
        flow.offset -= 1
        bad = bytearray(good)
        kind = r.randrange(6)
        if kind == 0:
            del bad[r.randrange(len(bad)) :]
        elif kind == 1:
            bad[r.randrange(r.choice((12, len(bad))))] ^= 1 << r.randrange(8)
        elif kind == 2:
            bad += r.randbytes(r.choice((1, 63, 64, 65)))
        elif kind == 3:
            bad[8:12] = r.choice((0, 1, 4096, 4097, 2**32 - 1)).to_bytes(4, "little")
        elif kind == 4:
            bad = bytearray(r.randbytes(r.choice((0, 1, 79, 80, 81, 144, 500))))
        yield flow.record(bytes(bad))


WHOLE_FLOWS: dict[str, Callable[[Flow], bytes]] = {
    "trading": trading,
    "everything": everything,
    "same_price": same_price,
    "many_levels": many_levels,
    "cancel_storm": cancel_storm,
    "replace_chain": replace_chain,
    "fill_or_kill": fill_or_kill,
    "extremes": extremes,
    "calls": calls,
    "labels": labels,
    "deals": deals,
    "auctions": auctions,
    "slices": slices,
}
