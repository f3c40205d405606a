"""What the log says of a market's timetable: the steps taken, and what people did beside it.

A part of `gateway.views.acts`, from the same words behind the same commands. Bounded by the
instruments.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from exchange.messages.operations import Act, DayRoll, Halt, PhaseChange, Resume, SetLimit
from exchange.reference.venue import TIMETABLE

Kind = Literal["phase", "blocks"]


class Move(NamedTuple):
    """The last thing that a person did of a kind."""

    position: int = -1
    time_ns: int = -1
    is_halt: bool = False


NEVER = Move()


class Planned:
    """The timetable's steps and people's moves, in the order of the log."""

    def __init__(self) -> None:
        self.overrun: dict[str, str] = {}  # symbol -> step that came right behind a halt
        self.rolled = (0, -1)  # the last day roll that was asked for, and where
        self._taken: dict[tuple[str, Kind], str] = {}  # the label of the last step
        self._moves: dict[tuple[str, Kind], Move] = {}  # symbol "": of the whole market

    def is_taken(self, symbol: str, kind: Kind, label: str) -> bool:
        """Whether a step, or a later one, stands on the log. O(1).

        Labels rise with the days and times: a gateway whose clock is behind takes no step back.
        """
        return self._taken.get((symbol, kind), "") >= label

    def moved(self, symbol: str, kind: Kind) -> Move:
        """The last thing that a person did with an instrument or the whole market. O(1)."""
        own = self._moves.get((symbol, kind), NEVER)
        return max(own, self._moves.get(("", kind), NEVER))

    def note(self, act: Act, position: int, time_ns: int) -> None:
        """Takes an act that was carried out. O(1)."""
        body = act.body
        if isinstance(body, DayRoll):
            self.rolled = (body.trading_date, position)
            return
        if isinstance(body, PhaseChange | Halt | Resume):
            kind: Kind = "phase"
        elif isinstance(body, SetLimit) and body.parameter == "BLOCK_OPEN":
            kind = "blocks"
        else:
            return
        is_halt = isinstance(body, Halt) or (isinstance(body, PhaseChange) and body.phase == "HALT")
        if act.key != TIMETABLE:
            self._moves[body.symbol, kind] = Move(position, time_ns, is_halt)
            self.overrun.pop(body.symbol, None)
            if not body.symbol:
                self.overrun.clear()
        elif is_halt:
            self.overrun.pop(body.symbol, None)
        else:
            self._taken[body.symbol, kind] = max(
                self._taken.get((body.symbol, kind), ""), act.reason
            )
            if kind == "phase" and self.moved(body.symbol, kind).is_halt:
                self.overrun[body.symbol] = act.reason
