"""The commands of a scenario: words in, records of `orders` out. Orders stand in `orders`."""

from __future__ import annotations

from exchange.messages.frames import (
    AccountParameter,
    Command,
    Instruction,
    Parameter,
    Phase,
    SettlementStep,
    notes,
    settlement_tail,
)
from exchange.simulation.scenarios.making import Maker, Said, options
from exchange.simulation.scenarios.orders import Orders
from exchange.simulation.scenarios.words import (
    MONEY,
    VALUES,
    Mode,
    Names,
    minor_units,
    pairs,
    parameter_of,
    whole,
)

FIRST_ACCOUNT = 101


class Speaker:
    """Makes records of words; learns the names which the words give."""

    def __init__(self, names: Names) -> None:
        self._makers = (Administration(names), Orders(names))
        self._commands = {word: made for maker in self._makers for word, made in maker.said.items()}

    def say(self, mode: Mode, words: list[str], position: int) -> list[bytes]:
        """The records of one line; `position` is the log position of the first.

        Raises KeyError (an unknown name), TypeError or IndexError (too many or too few words),
        ValueError or ArithmeticError (no number, or none that fits).
        """
        for maker in self._makers:
            maker.position = position
        return self._commands[words[0]](mode, *words[1:])


class Administration(Maker):
    """What the venue says: instruments, accounts, phases, money, days, instructions."""

    @property
    def said(self) -> dict[str, Said]:
        """The commands by their words."""
        return {
            "instrument": self._instrument,
            "account": self._account,
            "control": self._control,
            "control_participant": self._control_participant,
            "deposit": self._deposit,
            "withdraw": self._withdraw,
            "phase": self._phase,
            "parameter": self._parameter,
            "reference": self._reference,
            "roll": self._roll,
            "tick": self._tick,
            "epoch": self._epoch,
            "settle": self._settle,
            "instruct": self._instruct,
            "note": self._note,
        }

    def _instrument(self, mode: Mode, name: str, *settings: str) -> list[bytes]:
        if name not in self.names.instruments:
            self.names.instruments[name] = len(self.names.instruments) + 1
        made = [self.make(Command.INSTRUMENT_OPEN, mode, **self.of(name))]
        for word, value in pairs(settings):
            made += self._parameter(mode, name, word, value)
        return made

    def _parameter(self, mode: Mode, name: str, word: str, value: str) -> list[bytes]:
        parameter = parameter_of(word)
        named = VALUES.get(parameter, {})
        quantity = named.get(value)
        if quantity is None:
            quantity = _quantity(parameter, value)
        fields = {"order_type": parameter, "quantity": quantity} | self.of(name)
        return [self.make(Command.INSTRUMENT_PARAMETER, mode, **fields)]

    def _control(
        self, mode: Mode, who: str, word: str, value: str, *instrument: str
    ) -> list[bytes]:
        fields = {"order_type": AccountParameter[word.upper()], "quantity": whole(value)}
        named = self.named(who, *instrument)
        return [self.make(Command.ACCOUNT_PARAMETER, mode, **fields, **named)]

    def _account(self, mode: Mode, who: str, *means: str) -> list[bytes]:
        if who not in self.names.accounts:
            self.names.accounts[who] = len(self.names.accounts) + FIRST_ACCOUNT
        said = pairs(means)
        owner = sum(whole(value) for what, value in said if what == "participant")
        made = [self.make(Command.ACCOUNT_OPEN, mode, order_id=owner, **self.named(who))]
        for what, amount in said:
            if what == "participant":
                continue
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
            fields = {"quantity": whole(amount)} | self.named(who, *instrument)
            return [self.make(units, mode, **fields)]
        return [self.make(cash, mode, quantity=minor_units(amount), **self.named(who))]

    def _phase(self, mode: Mode, phase: str, *words: str) -> list[bytes]:
        found, instrument = options(words, frozenset({"seed"}))
        fields = {"order_type": Phase[phase], "quantity": whole(found.get("seed", "0"))}
        named = self.of(*instrument) if instrument else {}
        return [self.make(Command.PHASE_CHANGE, mode, **fields, **named)]

    def _control_participant(
        self, mode: Mode, participant: str, word: str, value: str
    ) -> list[bytes]:
        fields = {"order_type": AccountParameter[word.upper()], "quantity": whole(value)}
        fields["order_id"] = whole(participant)
        return [self.make(Command.PARTICIPANT_PARAMETER, mode, **fields)]

    def _reference(self, mode: Mode, name: str, price: str) -> list[bytes]:
        fields = {"price": minor_units(price)} | self.of(name)
        return [self.make(Command.REFERENCE_PRICE, mode, **fields)]

    def _roll(self, mode: Mode, date: str) -> list[bytes]:
        return [self.make(Command.DAY_ROLL, mode, quantity=whole(date))]

    def _tick(self, mode: Mode) -> list[bytes]:
        return [self.make(Command.CLOCK_TICK, mode)]

    def _epoch(self, mode: Mode, epoch: str, node: str) -> list[bytes]:
        return [self.make(Command.EPOCH_START, mode, quantity=whole(epoch), order_id=whole(node))]

    def _settle(
        self, mode: Mode, step: str, buyer: str, seller: str, name: str, quantity: str,
        from_seller: str, to_buyer: str, trade_id: str,
    ) -> list[bytes]:  # fmt: skip
        fields = {
            "order_type": SettlementStep[step],
            "quantity": whole(quantity),
            "price": minor_units(from_seller),
            "order_id": self.names.accounts[seller],
            "client_order_id": settlement_tail(minor_units(to_buyer), whole(trade_id)),
        }
        return [self.make(Command.SETTLE_TRADE, mode, **fields, **self.named(buyer, name))]

    def _instruct(
        self, mode: Mode, kind: str, who: str, name: str, quantity: str, price: str
    ) -> list[bytes]:
        amounts = {"quantity": whole(quantity), "price": whole(price)}
        fields = {"order_type": Instruction[kind]} | amounts
        return [self.make(Command.INSTRUCTION, mode, **fields, **self.named(who, name))]

    def _note(self, mode: Mode, first: str, *rest: str) -> list[bytes]:
        return notes(" ".join((first, *rest)))  # a part of its INSTRUCTION: no number, no window


def _quantity(parameter: Parameter, value: str) -> int:
    if parameter in MONEY:
        return minor_units(value)
    if parameter in VALUES and not value.isdecimal():
        raise ValueError(f"{value!r} is none of {', '.join(VALUES[parameter])}")
    return whole(value)
