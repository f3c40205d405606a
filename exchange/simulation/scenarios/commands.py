"""The commands of a scenario: words in, records of `orders` out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exchange.messages.frames import (
    AccountParameter,
    Command,
    Instruction,
    OrderType,
    Parameter,
    Phase,
    Side,
    TimeInForce,
    notes,
    pack_command,
)
from exchange.simulation.scenarios.words import (
    CLOSE_RULES,
    MONEY,
    Mode,
    Names,
    label_bytes,
    minor_units,
    parameter_of,
)

FIRST_ACCOUNT = 101


class Speaker:
    """Makes records of words; learns the names which the words give."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._position = 0
        self._commands: dict[str, Callable[..., list[bytes]]] = {
            "instrument": self._instrument,
            "account": self._account,
            "deposit": self._deposit,
            "withdraw": self._withdraw,
            "phase": self._phase,
            "parameter": self._parameter,
            "control": self._control,
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

    def say(self, mode: Mode, words: list[str], position: int) -> list[bytes]:
        """The records of one line; `position` is the log position of the first.

        Raises KeyError (an unknown name), TypeError (too many or too few words), ValueError,
        ArithmeticError or struct.error (no number, or none that fits).
        """
        self._position = position
        return self._commands[words[0]](mode, *words[1:])

    def _make(self, kind: Command, mode: Mode, **fields: Any) -> bytes:
        numbered = {"session_id": mode.session_id, "ref": mode.ref, "valid_ms": mode.valid_ms}
        return pack_command(kind, **(numbered | fields))

    def _named(self, who: str, instrument: str | None = None) -> dict[str, int]:
        named = {"account_id": self._names.accounts[who]}
        return named if instrument is None else named | self._of(instrument)

    def _of(self, instrument: str) -> dict[str, int]:
        return {"instrument_id": self._names.instruments[instrument]}

    def _only(self, instrument: tuple[str, ...]) -> dict[str, int]:
        return self._of(*instrument) if instrument else {"instrument_id": 1}

    def _instrument(self, mode: Mode, name: str, *settings: str) -> list[bytes]:
        if name not in self._names.instruments:
            self._names.instruments[name] = len(self._names.instruments) + 1
        made = [self._make(Command.INSTRUMENT_OPEN, mode, **self._of(name))]
        for word, value in zip(settings[::2], settings[1::2], strict=True):
            made += self._parameter(mode, name, word, value)
        return made

    def _parameter(self, mode: Mode, name: str, word: str, value: str) -> list[bytes]:
        parameter = parameter_of(word)
        if parameter == Parameter.CLOSE_RULE:
            quantity: int = CLOSE_RULES[value]
        else:
            quantity = minor_units(value) if parameter in MONEY else int(value)
        fields = {"order_type": parameter, "quantity": quantity} | self._of(name)
        return [self._make(Command.INSTRUMENT_PARAMETER, mode, **fields)]

    def _control(
        self, mode: Mode, who: str, word: str, value: str, *instrument: str
    ) -> list[bytes]:
        fields = {"order_type": AccountParameter[word.upper()], "quantity": int(value)}
        named = self._named(who, *instrument)
        return [self._make(Command.ACCOUNT_PARAMETER, mode, **fields, **named)]

    def _account(self, mode: Mode, who: str, *means: str) -> list[bytes]:
        if who not in self._names.accounts:
            self._names.accounts[who] = len(self._names.accounts) + FIRST_ACCOUNT
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

    def _note(self, mode: Mode, first: str, *rest: str) -> list[bytes]:
        return notes(" ".join((first, *rest)))  # a part of its INSTRUCTION: no number, no window

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
            client_order_id=label_bytes(label),
            **self._named(who),
            **self._only(instrument),
        )
        if self._names.orders.get(label) not in self._names.accepted:
            self._names.orders[label] = self._position
        return [made]

    def _cancel(self, mode: Mode, who: str, label: str) -> list[bytes]:
        order_id = self._names.orders[label]
        return [self._make(Command.CANCEL_ORDER, mode, order_id=order_id, **self._named(who))]

    def _cancel_label(self, mode: Mode, who: str, label: str) -> list[bytes]:
        fields = {"client_order_id": label_bytes(label)} | self._named(who)
        return [self._make(Command.CANCEL_ORDER, mode, **fields)]

    def _replace(
        self, mode: Mode, who: str, label: str, new_label: str, quantity: str, price: str
    ) -> list[bytes]:
        order_id = self._names.orders[label]
        made = self._make(
            Command.REPLACE_ORDER,
            mode,
            order_id=order_id,
            quantity=int(quantity),
            price=minor_units(price),
            client_order_id=label_bytes(new_label),
            **self._named(who),
        )
        self._names.orders.setdefault(new_label, order_id)
        return [made]
