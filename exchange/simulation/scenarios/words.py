"""A scenario's lines, and its numbers as words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from exchange.messages.frames import Parameter
from exchange.settings import SCENARIO_LINES_MAX
from matching.layout import CloseRule, FeeSides, Policy, Resale

MS = 1_000_000
START_NS = 1_700_000_000_000 * MS  # when a scenario begins
LATE_MS_MAX = 10**9  # eleven days, for one record

VALUES: dict[Parameter, dict[str, int]] = {
    Parameter.CLOSE_RULE: {"LAST": CloseRule.LAST_TRADE, **CloseRule.__members__},
    Parameter.RESALE_NEXT_DAY: dict(Resale.__members__),
    Parameter.FEE_SIDES: dict(FeeSides.__members__),
    Parameter.POLICY: dict(Policy.__members__),
}
"""Values of parameters that have names."""

MONEY = frozenset(
    {
        Parameter.TICK_SIZE,
        Parameter.VALUE_MAX,
        Parameter.TICK_FROM_2,
        Parameter.TICK_SIZE_2,
        Parameter.TICK_FROM_3,
        Parameter.TICK_SIZE_3,
    }
)
_SHORT: dict[str, Parameter] = {
    "tick": Parameter.TICK_SIZE,
    "lot": Parameter.LOT_SIZE,
    "band": Parameter.BAND_BP,
    "protection": Parameter.PROTECTION_BP,
    "maker": Parameter.MAKER_FEE_BP,
    "taker": Parameter.TAKER_FEE_BP,
    "close": Parameter.CLOSE_RULE,
}


class ScenarioError(AssertionError):
    """What a line says is not what happened."""


class LanguageError(ScenarioError):
    """A line is not in the language."""


class Mode(NamedTuple):
    """What stands before a command."""

    session_id: int
    ref: int
    valid_ms: int
    late_ms: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a scenario."""

    number: int
    text: str
    words: list[str]
    expected: list[str] | None  # None: no `->`, so only a refusal is wrong
    is_with_previous: bool


@dataclass(slots=True)
class Names:
    """The names that a scenario gives to what is in the engine; its records of it."""

    accounts: dict[str, int] = field(default_factory=dict)
    instruments: dict[str, int] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)
    accepted: set[int] = field(default_factory=set)  # order ids

    def order(self, order_id: int) -> str:
        """The first label of an order, `-` without one. O(orders)."""
        return _name_of(self.orders, order_id)

    def account(self, account_id: int) -> str:
        """Whose account it is. O(accounts)."""
        return _name_of(self.accounts, account_id)

    def instrument(self, instrument_id: int) -> str:
        """The symbol. O(instruments)."""
        return _name_of(self.instruments, instrument_id)


def parse(lines: Iterable[str]) -> Iterator[Line]:
    """The lines of a scenario, without its comments; at most SCENARIO_LINES_MAX."""
    for number, whole in enumerate(lines, 1):
        if number > SCENARIO_LINES_MAX:
            raise LanguageError(f"line {number}: a scenario has at most {SCENARIO_LINES_MAX}")
        line = whole.split("#")[0].strip()
        if not line:
            continue
        asked, arrow, heard = line.partition("->")
        terms = [term.strip() for term in heard.split(";")] if arrow else None
        words = asked.split()
        is_with_previous = words[:1] == ["+"]
        words = words[is_with_previous:]
        if not words:
            raise LanguageError(f"line {number}: {line!r}: no command")
        yield Line(number, line, words, terms, is_with_previous)


def mode_of(words: list[str]) -> tuple[Mode, list[str]]:
    """What stands before the command, and the command."""
    session_id = ref = valid_ms = late_ms = 0
    while True:
        if words[0].startswith("@"):
            session, dot, number = words[0][1:].partition(".")
            if not dot:
                raise ValueError(f"{words[0]!r}: a session and a number, as in @5.1")
            session_id, ref, words = whole(session), whole(number), words[1:]
        elif words[0] == "within":
            valid_ms, words = whole(words[1]), words[2:]
        elif words[0] == "late":
            late_ms, words = whole(words[1], 0, LATE_MS_MAX), words[2:]
        else:
            return Mode(session_id, ref, valid_ms, late_ms), words


def whole(word: str, low: int = -(2**63), high: int = 2**64 - 1) -> int:
    """A whole number within bounds, both included; ValueError in words."""
    try:
        number = int(word)
    except ValueError:
        raise ValueError(f"{word!r} is no whole number") from None
    if not low <= number <= high:
        raise ValueError(f"{word} is out of its range, {low} to {high}")
    return number


def pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """Names, each with the word behind it; ValueError where the last has none."""
    if len(words) % 2:
        raise ValueError(f"{words[-1]!r} has no value: names and values take turns")
    return list(zip(words[::2], words[1::2], strict=True))


def parameter_of(word: str) -> Parameter:
    """By its short word (`tick`) or by its name in small letters (`quantity_max`); KeyError."""
    return _SHORT.get(word) or Parameter[word.upper()]


def label_bytes(word: str) -> bytes:
    """A client order id; `-` is none."""
    return b"" if word == "-" else word.encode()


def minor_units(word: str) -> int:
    """71.25 is 7125; ValueError in words."""
    try:
        scaled = Decimal(word) * 100
    except ArithmeticError:
        raise ValueError(f"{word!r} is no number") from None
    if not scaled.is_finite():
        raise ValueError(f"{word} is no amount")
    if scaled != int(scaled):
        raise ValueError(f"{word} is finer than a minor unit")
    return int(scaled)


def decimal(amount: int) -> str:
    """7125 is 71.25."""
    return f"{Decimal(amount) / 100:.2f}"


def _name_of(names: dict[str, int], number: int) -> str:
    return next((name for name, known in names.items() if known == number), "-")
