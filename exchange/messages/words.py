"""Numbers with names: a member of an enumeration by its name, bits by a list of names."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Protocol


class WordError(ValueError):
    """A word that names no number; the message is what is allowed."""


class Words(Protocol):
    """How a number is said, and read again; a number without a name stays a number."""

    def say(self, number: int) -> Any:
        """The name or the names, else the number. O(names)."""

    def number(self, value: Any) -> int | None:
        """What the name or the names mean, None if `value` is none; WordError. O(names)."""

    def allowed(self) -> str:
        """What may be said, for a message."""


class Names:
    """One name of an enumeration."""

    def __init__(self, members: type[IntEnum]) -> None:
        self._numbers = {name: int(member) for name, member in members.__members__.items()}
        self._names = {number: name for name, number in self._numbers.items()}

    def say(self, number: int) -> str | int:
        """The name, else the number. O(1)."""
        return self._names.get(number, number)

    def number(self, value: Any) -> int | None:
        """The number of a name; WordError for another text. O(1)."""
        if not isinstance(value, str):
            return None
        if value not in self._numbers:
            raise WordError(self.allowed())
        return self._numbers[value]

    def allowed(self) -> str:
        """What may be said, for a message."""
        return "one of " + ", ".join(self._numbers)


class Bits:
    """A list of names: each a bit, or a mode in bits of its own from `shift` on; [] is 0."""

    def __init__(
        self, bits: type[IntEnum], modes: type[IntEnum] | None = None, shift: int = 0
    ) -> None:
        self._bits = {name: (int(bit), int(bit)) for name, bit in bits.__members__.items()}
        if modes is not None:
            mask = (1 << max(modes).bit_length()) - 1 << shift
            named = modes.__members__.items()
            self._bits |= {name: (int(mode) << shift, mask) for name, mode in named if mode}

    def say(self, number: int) -> list[str] | int:
        """The names of all bits, else the number. O(names)."""
        said, left = [], number
        for name, (bits, mask) in self._bits.items():
            if left & mask == bits:
                said.append(name)
                left &= ~mask
        return number if left else said

    def number(self, value: Any) -> int | None:
        """The bits of a list of names; WordError for another list. O(names)."""
        if not isinstance(value, list):
            return None
        number = taken = 0
        for name in value:
            if not isinstance(name, str) or name not in self._bits:
                raise WordError(self.allowed())
            bits, mask = self._bits[name]
            if taken & mask:
                raise WordError(f"{name} stands twice, or beside what excludes it")
            number, taken = number | bits, taken | mask
        return number

    def allowed(self) -> str:
        """What may be said, for a message."""
        return "a list of " + ", ".join(self._bits)
