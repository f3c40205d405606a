"""The scenario language: market situations as text, run on any engine.

A line is a command or a question, `->`, and what is heard. Events stand in their order, divided by
`;`, and every event must be named; of its details those that matter. `nothing` is no event. A line
which begins with `+` travels in the same frame as the line before. Prices and cash are decimals.

    instrument EUA tick 0.01 taker 10          opened, parameters set; also: account, phase
    new alice a1 sell 10 71.25 DAY             -> ACCEPTED a1 10 @71.25 hold 10
    new bob   b1 buy  12 market IOC            -> ACCEPTED; TRADE a1 10 @71.25; CANCELLED b1 2
    book EUA                                   -> empty

Before a command may stand `@5.12` (session 5, ref 12), `within 100` (valid for 100 ms), `late 200`
(200 ms on its way).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from matching.layout import (
    Command,
    Event,
    Instruction,
    OrderType,
    Parameter,
    Phase,
    Reason,
    Side,
    TimeInForce,
)
from matching.protocol import EngineProtocol, Limits
from matching.snapshot import Snapshot, decode
from tests.matching.frames import EventRow, command, events, frame, note_text

MS = 1_000_000
START_NS = 1_700_000_000_000 * MS

PARAMETER_WORDS: dict[str, Parameter] = {
    "tick": Parameter.TICK_SIZE,
    "lot": Parameter.LOT_SIZE,
    "quantity_max": Parameter.QUANTITY_MAX,
    "value_max": Parameter.VALUE_MAX,
    "band": Parameter.BAND_BP,
    "protection": Parameter.PROTECTION_BP,
    "maker": Parameter.MAKER_FEE_BP,
    "taker": Parameter.TAKER_FEE_BP,
    "resale_next_day": Parameter.RESALE_NEXT_DAY,
    "close": Parameter.CLOSE_RULE,
    "close_volume_min": Parameter.CLOSE_VOLUME_MIN,
}
_MONEY = {Parameter.TICK_SIZE, Parameter.VALUE_MAX}
_CLOSE_RULES = {"LAST": 1, "VWAP": 2}


class ScenarioError(AssertionError):
    """What a line says is not what happened, or not in the language."""


def minor_units(word: str) -> int:
    """71.25 is 7125."""
    scaled = Decimal(word) * 100
    if scaled != int(scaled):
        raise ScenarioError(f"{word} is finer than a minor unit")
    return int(scaled)


def decimal(amount: int) -> str:
    """7125 is 71.25."""
    return f"{Decimal(amount) / 100:.2f}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a scenario."""

    number: int
    text: str
    words: list[str]
    expected: list[str] | None  # None: no `->`, so only a refusal is wrong
    is_with_previous: bool


class Mode(NamedTuple):
    """What stands before a command."""

    session_id: int
    ref: int
    valid_ms: int
    late_ms: int


def parse(text: str) -> Iterator[Line]:
    """The lines of a scenario, without its comments."""
    for number, whole in enumerate(text.splitlines(), 1):
        line = whole.split("#")[0].strip()
        if not line:
            continue
        asked, arrow, heard = line.partition("->")
        terms = [term.strip() for term in heard.split(";")] if arrow else None
        words = asked.split()
        is_with_previous = words[0] == "+"
        yield Line(number, line, words[is_with_previous:], terms, is_with_previous)


class World:
    """One engine, and the names that a scenario gives to what is in it."""

    def __init__(self, engine_type: type[EngineProtocol], limits: Limits | None = None) -> None:
        self.engine = engine_type(limits) if limits else engine_type()
        self.now = START_NS
        self.accounts: dict[str, int] = {}
        self.instruments: dict[str, int] = {}
        self.orders: dict[str, int] = {}
        self.accepted: set[int] = set()
        self.commands: dict[str, Callable[..., list[bytes]]] = {
            "instrument": self._instrument,
            "account": self._account,
            "deposit": self._deposit,
            "withdraw": self._withdraw,
            "phase": self._phase,
            "parameter": self._parameter,
            "reference": self._reference,
            "roll": self._roll,
            "tick": self._tick,
            "epoch": self._epoch,
            "instruct": self._instruct,
            "note": self._note,
            "new": self._new,
            "cancel": self._cancel,
            "cancel_label": self._cancel_label,
            "replace": self._replace,
        }
        self.questions: dict[str, Callable[..., list[str]]] = {
            "book": self._book,
            "cash": self._cash,
            "units": self._units,
            "fees": self._fees,
        }

    # -- running ------------------------------------------------------------------------------

    def run(self, text: str) -> None:
        """Every line, or a ScenarioError which names the first that fails."""
        waiting: list[Line] = []
        for line in parse(text):
            if waiting and not line.is_with_previous:
                self._run_frame(waiting)
                waiting = []
            if line.words[0] in self.questions:
                self._answer(line)
            elif line.words[0] == "limits":
                self._limit(line)
            else:
                waiting.append(line)
        if waiting:
            self._run_frame(waiting)

    def _limit(self, line: Line) -> None:
        pairs = zip(line.words[1::2], line.words[2::2], strict=True)
        bounds = {name: int(bound) for name, bound in pairs}
        if self.engine.next_offset:
            raise ScenarioError(f"line {line.number}: limits must come first")
        self.engine = type(self.engine)(Limits()._replace(**bounds))

    def _run_frame(self, lines: list[Line]) -> None:
        records: list[bytes] = []
        owners: list[Line] = []
        late_ms = 0
        for line in lines:
            try:
                mode, words = self._mode(line.words)
                self._index = len(records)
                made = self.commands[words[0]](mode, *words[1:])
            except (KeyError, TypeError, ValueError, ArithmeticError) as error:
                raise ScenarioError(f"line {line.number}: {line.text!r}: {error!r}") from error
            late_ms = max(late_ms, mode.late_ms)
            records += made
            owners += [line] * len(made)
        self.now += MS
        sent, self.now = self.now, self.now + late_ms * MS
        heard = events(self.engine.apply(self.engine.next_offset, self.now, frame(records, sent)))
        self.accepted |= {e.order_id for e in heard if e.kind == Event.ACCEPTED}
        for line in lines:
            mine = [e for e in heard if owners[e.command_index] is line]
            self._compare(line, list(self._render(mine)))
        wrong = self.engine.self_check()
        if wrong:
            raise ScenarioError(f"line {lines[-1].number}: {wrong}")

    def _answer(self, line: Line) -> None:
        if line.expected is None:
            raise ScenarioError(f"line {line.number}: a question needs an answer")
        self._compare(line, self.questions[line.words[0]](*line.words[1:]))

    def _compare(self, line: Line, heard: list[str]) -> None:
        if line.expected is None:
            refused = [said for said in heard if said.startswith(("REJECTED", "FRAME_REFUSED"))]
            if refused or line.words[0] in ("new", "cancel", "replace", "cancel_label"):
                raise ScenarioError(f"line {line.number}: {line.text}: nothing expected of {heard}")
            return
        expected = [] if line.expected == ["nothing"] else line.expected
        is_same = len(expected) == len(heard)
        if not (is_same and all(map(_says, heard, expected))):
            raise ScenarioError(f"line {line.number}: {line.text}\n  heard: {'; '.join(heard)}")

    def _mode(self, words: list[str]) -> tuple[Mode, list[str]]:
        session_id = ref = valid_ms = late_ms = 0
        while True:
            if words[0].startswith("@"):
                session_id, ref = map(int, words[0][1:].split("."))
                words = words[1:]
            elif words[0] == "within":
                valid_ms, words = int(words[1]), words[2:]
            elif words[0] == "late":
                late_ms, words = int(words[1]), words[2:]
            else:
                return Mode(session_id, ref, valid_ms, late_ms), words

    # -- commands -----------------------------------------------------------------------------

    def _make(self, kind: Command, mode: Mode, **fields: int | bytes) -> bytes:
        numbered = {"session_id": mode.session_id, "ref": mode.ref, "valid_ms": mode.valid_ms}
        return command(kind, **(numbered | fields))

    def _position(self) -> int:
        return self.engine.next_offset << 16 | self._index

    def _named(self, who: str, instrument: str | None = None) -> dict[str, int]:
        named = {"account_id": self.accounts[who]}
        return named if instrument is None else named | self._of(instrument)

    def _of(self, instrument: str) -> dict[str, int]:
        return {"instrument_id": self.instruments[instrument]}

    def _only(self, instrument: tuple[str, ...]) -> dict[str, int]:
        return self._of(*instrument) if instrument else {"instrument_id": 1}

    def _instrument(self, mode: Mode, name: str, *settings: str) -> list[bytes]:
        if name not in self.instruments:
            self.instruments[name] = len(self.instruments) + 1
        made = [self._make(Command.INSTRUMENT_OPEN, mode, **self._of(name))]
        for word, value in zip(settings[::2], settings[1::2], strict=True):
            made += self._parameter(mode, name, word, value)
        return made

    def _parameter(self, mode: Mode, name: str, word: str, value: str) -> list[bytes]:
        parameter = PARAMETER_WORDS[word]
        if parameter == Parameter.CLOSE_RULE:
            quantity = _CLOSE_RULES[value]
        else:
            quantity = minor_units(value) if parameter in _MONEY else int(value)
        fields = {"order_type": parameter, "quantity": quantity} | self._of(name)
        return [self._make(Command.INSTRUMENT_PARAMETER, mode, **fields)]

    def _account(self, mode: Mode, who: str, *means: str) -> list[bytes]:
        if who not in self.accounts:
            self.accounts[who] = len(self.accounts) + 101
        made = [self._make(Command.ACCOUNT_OPEN, mode, **self._named(who))]
        for what, amount in zip(means[::2], means[1::2], strict=True):
            made += self._deposit(mode, who, amount, *([] if what == "cash" else [what]))
        return made

    def _deposit(self, mode: Mode, who: str, amount: str, *instrument: str) -> list[bytes]:
        return self._transfer(
            Command.CASH_DEPOSIT, Command.UNITS_DEPOSIT, mode, who, amount, *instrument
        )

    def _withdraw(self, mode: Mode, who: str, amount: str, *instrument: str) -> list[bytes]:
        return self._transfer(
            Command.CASH_WITHDRAW, Command.UNITS_RELEASE, mode, who, amount, *instrument
        )

    def _transfer(
        self, cash: Command, units: Command, mode: Mode, who: str, amount: str, *instrument: str
    ) -> list[bytes]:
        if instrument:
            fields = {"quantity": int(amount)} | self._named(who, *instrument)
            return [self._make(units, mode, **fields)]
        return [self._make(cash, mode, quantity=minor_units(amount), **self._named(who))]

    def _phase(self, mode: Mode, phase: str, *instrument: str) -> list[bytes]:
        named = self._of(*instrument) if instrument else {}
        return [self._make(Command.PHASE_CHANGE, mode, order_type=Phase[phase], **named)]

    def _reference(self, mode: Mode, name: str, price: str) -> list[bytes]:
        fields = {"price": minor_units(price)} | self._of(name)
        return [self._make(Command.REFERENCE_PRICE, mode, **fields)]

    def _roll(self, mode: Mode, date: str) -> list[bytes]:
        return [self._make(Command.DAY_ROLL, mode, quantity=int(date))]

    def _tick(self, mode: Mode) -> list[bytes]:
        return [self._make(Command.CLOCK_TICK, mode)]

    def _epoch(self, mode: Mode, epoch: str, node: str) -> list[bytes]:
        return [self._make(Command.EPOCH_START, mode, quantity=int(epoch), order_id=int(node))]

    def _instruct(
        self, mode: Mode, kind: str, who: str, name: str, quantity: str, price: str
    ) -> list[bytes]:
        fields = {"order_type": Instruction[kind], "quantity": int(quantity), "price": int(price)}
        return [self._make(Command.INSTRUCTION, mode, **fields, **self._named(who, name))]

    def _note(self, mode: Mode, *text: str) -> list[bytes]:
        return [self._make(Command.NOTE, mode, **note_text(" ".join(text).encode()))]

    def _new(
        self,
        mode: Mode,
        who: str,
        label: str,
        side: str,
        quantity: str,
        price: str,
        tif: str,
        *instrument: str,
    ) -> list[bytes]:
        is_market = price == "market"
        made = self._make(
            Command.NEW_ORDER,
            mode,
            side=Side[side.upper()],
            order_type=OrderType.MARKET if is_market else OrderType.LIMIT,
            time_in_force=TimeInForce[tif],
            quantity=int(quantity),
            price=0 if is_market else minor_units(price),
            client_order_id=_label(label),
            **self._named(who),
            **self._only(instrument),
        )
        if self.orders.get(label) not in self.accepted:
            self.orders[label] = self._position()
        return [made]

    def _cancel(self, mode: Mode, who: str, label: str) -> list[bytes]:
        order_id = self.orders[label]
        return [self._make(Command.CANCEL_ORDER, mode, order_id=order_id, **self._named(who))]

    def _cancel_label(self, mode: Mode, who: str, label: str) -> list[bytes]:
        fields = {"client_order_id": _label(label)} | self._named(who)
        return [self._make(Command.CANCEL_ORDER, mode, **fields)]

    def _replace(
        self, mode: Mode, who: str, label: str, new_label: str, quantity: str, price: str
    ) -> list[bytes]:
        order_id = self.orders[label]
        made = self._make(
            Command.REPLACE_ORDER,
            mode,
            order_id=order_id,
            quantity=int(quantity),
            price=minor_units(price),
            client_order_id=_label(new_label),
            **self._named(who),
        )
        self.orders.setdefault(new_label, order_id)
        return [made]

    # -- questions ----------------------------------------------------------------------------

    def _state(self) -> Snapshot:
        return decode(self.engine.snapshot())

    def _book(self, name: str) -> list[str]:
        rows = self._state().orders
        rows = rows[rows["instrument_id"] == self.instruments[name]]
        said = []
        for row in rows:
            side = Side(int(row["side"])).name.lower()
            label = self._order_name(int(row["order_id"]))
            said.append(f"{side} {label} {row['leaves']} @{decimal(int(row['price']))}")
        return said or ["empty"]

    def _cash(self, who: str) -> list[str]:
        rows = self._state().accounts
        row = rows[rows["account_id"] == self.accounts[who]][0]
        return [f"available {decimal(int(row['available']))} held {decimal(int(row['held']))}"]

    def _units(self, who: str, name: str) -> list[str]:
        rows = self._state().holdings
        rows = rows[rows["account_id"] == self.accounts[who]]
        rows = rows[rows["instrument_id"] == self.instruments[name]]
        if not len(rows):
            return ["none"]
        return [" ".join(f"{part} {rows[0][part]}" for part in ("available", "held", "locked"))]

    def _fees(self) -> list[str]:
        return [decimal(self._state().fees)]

    # -- what is heard ------------------------------------------------------------------------

    def _order_name(self, order_id: int) -> str:
        return next((name for name, known in self.orders.items() if known == order_id), "-")

    def _account_name(self, e: EventRow) -> str:
        return next((name for name, known in self.accounts.items() if known == e.account_id), "-")

    def _instrument_name(self, e: EventRow) -> str:
        named = self.instruments.items()
        return next((name for name, known in named if known == e.instrument_id), "-")

    def _render(self, heard: list[EventRow]) -> Iterator[str]:
        rest = iter(heard)
        for e in rest:
            if e.kind == Event.FILL:
                taker = next(rest)
                yield self._trade(e, taker)
            else:
                yield f"{e.name} {self._details(e)}".strip()

    def _trade(self, maker: EventRow, taker: EventRow) -> str:
        same = ("quantity", "price", "instrument_id", "command_index")
        if (maker.order_type, taker.order_type) != (1, 2) or any(
            getattr(maker, name) != getattr(taker, name) for name in same
        ):
            raise ScenarioError(f"not the two sides of one trade: {maker} {taker}")
        if (maker.order_id, taker.order_id) != (taker.contra_order_id, maker.contra_order_id):
            raise ScenarioError(f"sides do not name each other: {maker} {taker}")
        return (
            f"TRADE {self._order_name(maker.order_id)} {maker.quantity} @{decimal(maker.price)}"
            f" leaves {maker.value} {taker.value}"
            f" fees {decimal(maker.fee)} {decimal(taker.fee)}"
        )

    def _details(self, e: EventRow) -> str:
        amount = decimal(e.value) if e.side == Side.BUY else str(e.value)
        order = self._order_name(e.order_id)
        who, what = self._account_name(e), self._instrument_name(e)
        match Event(e.kind):
            case Event.ACCEPTED:
                return f"{order} {e.quantity} @{decimal(e.price)} hold {amount}"
            case Event.REPLACED:
                place = "KEPT" if e.order_type else "MOVED"
                return f"{order} {e.quantity} @{decimal(e.price)} hold {amount} {place}"
            case Event.CANCELLED:
                return f"{order} {e.quantity} released {amount} {Reason(e.reason).name}"
            case Event.REJECTED | Event.FRAME_REFUSED:
                return Reason(e.reason).name
            case Event.DUPLICATE:
                return order
            case Event.CASH_DEPOSITED | Event.CASH_WITHDRAWN:
                return f"{who} {decimal(e.quantity)} total {decimal(e.value)}"
            case Event.UNITS_DEPOSITED | Event.UNITS_RELEASED | Event.UNITS_UNLOCKED:
                return f"{who} {what} {e.quantity} total {e.value}"
            case Event.DAY_CLOSED:
                day = f"volume {e.quantity} turnover {decimal(e.value)}"
                return f"{what} {decimal(e.price)} {day}"
            case _:
                return self._other_details(e, who, what)

    def _other_details(self, e: EventRow, who: str, what: str) -> str:
        match Event(e.kind):
            case Event.PHASE_CHANGED:
                return f"{what} {Phase(e.order_type).name}"
            case Event.PARAMETER_CHANGED:
                return f"{what} {Parameter(e.order_type).name} {e.quantity}"
            case Event.REFERENCE_CHANGED:
                return f"{what} {decimal(e.price)}"
            case Event.EPOCH_STARTED:
                return f"{e.quantity} node {e.order_id}"
            case Event.INSTRUCTED:
                return f"{Instruction(e.order_type).name} {who} {what} {e.quantity} {e.price}"
            case Event.NOTED:
                text = e.quantity.to_bytes(8, "little", signed=True)
                text += e.price.to_bytes(8, "little", signed=True)
                text += e.order_id.to_bytes(8, "little") + e.client_order_id
                return text.rstrip(b"\0").decode()
            case Event.DAY_STARTED:
                return str(e.quantity)
            case Event.ACCOUNT_OPENED:
                return who
            case _:
                return what


def _label(word: str) -> bytes:
    return b"" if word == "-" else word.encode()


def _says(heard: str, expected: str) -> bool:
    """Whether the expected words stand in what was heard, in order, the name first."""
    words = iter(heard.split())
    wanted = expected.split()
    if not wanted or next(words, None) != wanted[0]:
        return False
    return all(word in words for word in wanted[1:])
