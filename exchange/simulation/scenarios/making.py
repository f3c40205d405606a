"""What the words of a scenario share: records from names, and pairs of a word and its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exchange.messages.frames import Command, pack_command
from exchange.simulation.scenarios.words import Mode, Names

Said = Callable[..., list[bytes]]
"""Makes the records of a command from its mode and the words after its name."""


class Maker:
    """Makes records of words; `position` is the log position of the line's first."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.position = 0

    def make(self, kind: Command, mode: Mode, **fields: Any) -> bytes:
        """One record, with what stood before the command. ValueError when one does not fit."""
        numbered = {"session_id": mode.session_id, "ref": mode.ref, "valid_ms": mode.valid_ms}
        return pack_command(kind, **(numbered | fields))

    def named(self, who: str, instrument: str | None = None) -> dict[str, int]:
        """The fields of an account, and of an instrument. KeyError."""
        named = {"account_id": self.names.accounts[who]}
        return named if instrument is None else named | self.of(instrument)

    def of(self, instrument: str) -> dict[str, int]:
        """The field of an instrument. KeyError."""
        return {"instrument_id": self.names.instruments[instrument]}

    def only(self, instrument: tuple[str, ...] | list[str]) -> dict[str, int]:
        """The field of the one instrument named, of the first opened where none is."""
        return self.of(*instrument) if instrument else {"instrument_id": 1}


def options(words: tuple[str, ...], known: frozenset[str]) -> tuple[dict[str, str], list[str]]:
    """The values that follow the known words, and the other words. IndexError, KeyError."""
    found: dict[str, str] = {}
    others: list[str] = []
    place = 0
    while place < len(words):
        word = words[place]
        if word not in known:
            others.append(word)
        elif word in found:
            raise KeyError(f"{word} stands twice")
        else:
            place += 1
            found[word] = words[place]
        place += 1
    return found, others
