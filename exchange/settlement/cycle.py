"""Delivery versus payment as a state table: what a trade's settlement is, and what moves it. Pure.

A trade of a T+0 instrument is settled with the fill, both legs at once. One of a T+1 instrument is
due: both legs are held, out of everybody's reach, until the engine has carried out the one step
that the table sends. So either both legs move or neither does, and a trade that is not settled can
always be voided whole.

`deploy/docs/settlement.md` shows the table; a test proves the two equal.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from exchange.messages.frames import Instruction, SettlementStep
from exchange.messages.reasons import SettlementReason


class TradeState(IntEnum):
    """Where the settlement of a trade stands."""

    NEW = 0
    DUE = 1
    SETTLING = 2  # at its cut-off, or again: the engine has been told
    SETTLED = 3
    FAILED = 4
    LATE = 5  # settled after its day
    VOIDING = 6
    VOID = 7
    REVERSING = 8
    CANCELLED = 9


class Message(IntEnum):
    """What moves a trade from one state to the next."""

    TRADED = 1  # of a T+0 instrument
    TRADED_LATER = 2  # of a T+1 instrument
    CUT_OFF = 3  # engine time reached the trade's cut-off
    FAIL = 4  # an operator says why it cannot be settled
    OBJECT = 5  # a party objects before the cut-off
    RETRY = 6  # before the cut-off: it is due again
    RETRY_LATE = 7  # after it: settled now, and late
    VOID = 8  # after the instrument's days
    CANCEL = 9  # two persons
    DELIVERED = 10  # from here on the engine's answers
    DELIVERED_LATE = 11
    VOIDED = 12
    REVERSED = 13
    REFUSED = 14  # units or cash of a settled trade are not there
    REFUSED_LATE = 15  # of one that was settled late
    SUSPEND = 16  # a party is suspended, or was when it traded


class Legs(IntEnum):
    """What a move does in the ledger: always both legs, in one transaction."""

    NONE = 0
    AT_ONCE = 1  # cash to the seller, units to the buyer, fees to the venue
    HOLD = 2  # the same, into the held_settlement accounts of both
    DELIVER = 3  # out of the held_settlement accounts into those of both
    GIVE_BACK = 4  # out of the held_settlement accounts back where they came from
    TAKE_BACK = 5  # out of the accounts of both back where they came from


class Move(NamedTuple):
    """One row: the state after, the step that the engine is told, and the legs."""

    after: TradeState
    sends: SettlementStep | None = None
    legs: Legs = Legs.NONE


MOVES: dict[tuple[TradeState, Message], Move] = {
    (TradeState.NEW, Message.TRADED): Move(TradeState.SETTLED, legs=Legs.AT_ONCE),
    (TradeState.NEW, Message.TRADED_LATER): Move(TradeState.DUE, legs=Legs.HOLD),
    (TradeState.DUE, Message.CUT_OFF): Move(TradeState.SETTLING, SettlementStep.DELIVER),
    (TradeState.DUE, Message.FAIL): Move(TradeState.FAILED),
    (TradeState.DUE, Message.OBJECT): Move(TradeState.FAILED),
    (TradeState.DUE, Message.SUSPEND): Move(TradeState.FAILED),
    (TradeState.DUE, Message.CANCEL): Move(TradeState.VOIDING, SettlementStep.VOID),
    (TradeState.SETTLING, Message.DELIVERED): Move(TradeState.SETTLED, legs=Legs.DELIVER),
    (TradeState.SETTLING, Message.DELIVERED_LATE): Move(TradeState.LATE, legs=Legs.DELIVER),
    (TradeState.FAILED, Message.RETRY): Move(TradeState.DUE),
    (TradeState.FAILED, Message.RETRY_LATE): Move(TradeState.SETTLING, SettlementStep.DELIVER),
    (TradeState.FAILED, Message.VOID): Move(TradeState.VOIDING, SettlementStep.VOID),
    (TradeState.FAILED, Message.CANCEL): Move(TradeState.VOIDING, SettlementStep.VOID),
    (TradeState.VOIDING, Message.VOIDED): Move(TradeState.VOID, legs=Legs.GIVE_BACK),
    (TradeState.SETTLED, Message.CANCEL): Move(TradeState.REVERSING, SettlementStep.REVERSE),
    (TradeState.LATE, Message.CANCEL): Move(TradeState.REVERSING, SettlementStep.REVERSE),
    (TradeState.REVERSING, Message.REVERSED): Move(TradeState.CANCELLED, legs=Legs.TAKE_BACK),
    (TradeState.REVERSING, Message.REFUSED): Move(TradeState.SETTLED),
    (TradeState.REVERSING, Message.REFUSED_LATE): Move(TradeState.LATE),
}
"""Every move there is; what has no row is refused, or, as an answer of the engine, a bug."""

UNSETTLED = frozenset({TradeState.DUE, TradeState.SETTLING, TradeState.FAILED, TradeState.VOIDING})
"""States in which both legs are held."""

IN_FLIGHT = frozenset({TradeState.SETTLING, TradeState.VOIDING, TradeState.REVERSING})
"""States in which the engine has been told a step and has not answered."""

OPEN = UNSETTLED | IN_FLIGHT
"""States that something still follows by itself or by the days; kept in memory."""

INSTRUCTIONS = frozenset(
    {
        Instruction.FAIL_SETTLEMENT,
        Instruction.OBJECT_TO_TRADE,
        Instruction.RETRY_SETTLEMENT,
        Instruction.VOID_TRADE,
        Instruction.PROPOSE_TRADE_CANCEL,
        Instruction.APPROVE_TRADE_CANCEL,
    }
)
"""Instructions that are settlement's; all others are the registry's."""


def refusal(state: TradeState, message: Message) -> SettlementReason:
    """Why a message has no row in a state. O(1)."""
    if state in IN_FLIGHT:
        return SettlementReason.STEP_ON_ITS_WAY
    if state in (TradeState.VOID, TradeState.CANCELLED):
        return SettlementReason.TRADE_ALREADY_CANCELLED
    if message in (Message.FAIL, Message.OBJECT):
        return SettlementReason.TRADE_NOT_DUE
    return SettlementReason.TRADE_NOT_FAILED


def table_rows() -> list[tuple[str, str, str, str, str]]:
    """The table in words: state, message, state after, step sent, legs. O(moves)."""
    return [
        (
            state.name,
            message.name,
            move.after.name,
            move.sends.name if move.sends is not None else "",
            move.legs.name if move.legs else "",
        )
        for (state, message), move in MOVES.items()
    ]
