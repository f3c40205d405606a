"""What operators of the venue send: halts, the kill switch, limits, and the words kept of each.

Bodies of REST, like those of `orders`. An `Act` is what the log keeps of an operation: it stands as
text (NOTE records) behind the command that carries it out, so whoever reads `orders` knows who did
what and why. The engine hears notes behind an INSTRUCTION only, so no act changes what it computes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from exchange.messages.orders import (
    Body,
    CashDeposit,
    DayRoll,
    PhaseChange,
    ReferencePrice,
)

ResumedPhaseWord = Literal["CONTINUOUS", "OPENING_CALL"]
LimitWord = Literal[
    "BAND_BP", "COLLAR_BP", "PROTECTION_BP", "VOLATILITY_BP", "QUANTITY_MIN", "QUANTITY_MAX",
    "VALUE_MAX", "HOLDING_MAX", "ORDER_RATE", "POSITION_MAX", "INSTRUMENT_HOLDING_MAX",
    "MESSAGE_RATE",
]  # fmt: skip
StageWord = Literal["DONE", "PROPOSED", "APPROVED", "DECLINED"]


class Halt(Body, frozen=True, kw_only=True):
    """Trading stops in one instrument, or in all of the market (no symbol) (operator)."""

    market: str
    reason: str
    symbol: str = ""


class Resume(Body, frozen=True, kw_only=True):
    """Ends a halt (operator); of a whole market two persons decide."""

    market: str
    reason: str
    symbol: str = ""
    phase: ResumedPhaseWord = "CONTINUOUS"


class Kill(Body, frozen=True, kw_only=True):
    """Kill switch: nothing more is taken but cancels, and every live order ends (operator).

    Of a participant with all its accounts, of an account, or of a key's session: one of them.
    """

    market: str
    reason: str
    participant: int = 0
    account: int = 0
    session: int = 0


class Lift(Body, frozen=True, kw_only=True):
    """Ends what `Kill` began; two operators decide. Orders stay cancelled."""

    market: str
    reason: str
    participant: int = 0
    account: int = 0
    session: int = 0


class SetLimit(Body, frozen=True, kw_only=True):
    """Sets a limit (operator): tighter at once, looser when a second person approves.

    Of an instrument (`symbol`), an account, an account in an instrument (INSTRUMENT_HOLDING_MAX:
    both), a participant, or a session (MESSAGE_RATE, messages a second at the gateway).
    """

    market: str
    parameter: LimitWord
    value: int
    reason: str
    symbol: str = ""
    account: int = 0
    participant: int = 0
    session: int = 0


class Approve(Body, frozen=True, kw_only=True):
    """A second person approves a proposal, which is carried out by it (operator)."""

    market: str
    proposal_id: int
    reason: str = ""


class Decline(Body, frozen=True, kw_only=True):
    """Ends a proposal; whoever made it may also do that (operator)."""

    market: str
    proposal_id: int
    reason: str = ""


Control = Halt | Resume | Kill | Lift | SetLimit
Decision = Approve | Decline
Recorded = PhaseChange | DayRoll | CashDeposit | ReferencePrice | Control


class Act(msgspec.Struct, frozen=True, tag=True, tag_field="type"):
    """Who did what, as the log keeps it."""

    stage: StageWord
    key: str  # id of the key
    who: str  # the person behind the key
    reason: str
    body: Recorded  # what was asked; of a decision, what it decides
    proposal_id: int = 0  # of a decision
