"""A surrender of credits that another registry keeps: two state machines that exchange messages.

The registry of the allowances asks; that of the credits freezes, retires or releases, and says so.
Neither looks into the other's books: each knows its own state and what it heard, and the tables
below say what follows. A message may be lost, late or repeated, so long as it is sent again until
it is heard: every request is answered however often it comes, and an answer which nobody waits for
changes nothing.

    allowances                                       credits
    ASKED       --FREEZE-->                          FROZEN, or REFUSED
                <--FROZEN--
    BOOKED      --RETIRE-->                          RETIRED
                <--RETIRED--
    DONE

    timeout, or it no longer fits:
    RELEASING   --RELEASE-->                         RELEASED, or RETIRED if it was before
                <--RELEASED-- FAILED, <--RETIRED-- DONE

The registry of the credits decides: what it has retired stays retired, and what it has released or
refused is never retired. So a surrender is DONE exactly if the credits are retired, whatever was
asked meanwhile. What is counted against obligation and cap from BOOKED on is given back in FAILED
alone. Only the registry that asks has a deadline; the other one holds the units until it is told.

To undo a surrender that is DONE is a saga of its own, with a number of its own:

    allowances                                       credits
    ASKED       --RESTORE-->                         RESTORED (from retired to pending), or REFUSED
                <--RESTORED--
    UNDONE      --RETURN-->                          RETURNED (to their holder)
                <--RETURNED--
    DONE

    timeout, or it may no longer be undone:
    KEEPING     --KEEP-->                            KEPT (retired again)
                <--KEPT-- FAILED

UNDONE is where it turns: until then each step has one that makes it good (KEEP for RESTORE), from
then on there is only forward, and RETURN is said until it is answered. A surrender counts until
UNDONE, so credits are never free again while they count, and never counted again after.

Source: in China the registry of the allowances and that of the CCERs are two (Order 19, Art. 29;
MEE notice 2023 No. 237): frozen in the one, marked as pending in the other, then retired.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple


class Word(StrEnum):
    """What one registry says to the other, and what the asking one notices by itself."""

    FREEZE = "FREEZE"
    RETIRE = "RETIRE"
    RELEASE = "RELEASE"
    FROZEN = "FROZEN"
    RETIRED = "RETIRED"
    RELEASED = "RELEASED"
    REFUSED = "REFUSED"
    MISFIT = "MISFIT"  # frozen, but it no longer fits the obligation or the cap
    TIMEOUT = "TIMEOUT"
    RESTORE = "RESTORE"
    RETURN = "RETURN"
    KEEP = "KEEP"
    RESTORED = "RESTORED"
    RETURNED = "RETURNED"
    KEPT = "KEPT"


REQUESTS = (Word.FREEZE, Word.RETIRE, Word.RELEASE)
ANSWERS = (Word.FROZEN, Word.RETIRED, Word.RELEASED, Word.REFUSED)
UNDO_REQUESTS = (Word.RESTORE, Word.RETURN, Word.KEEP)
UNDO_ANSWERS = (Word.RESTORED, Word.RETURNED, Word.KEPT, Word.REFUSED)


class AllowanceState(IntEnum):
    """Where the surrender stands in the registry of the allowances."""

    ASKED = 1  # to freeze
    BOOKED = 2  # frozen there, counted here, asked to retire
    RELEASING = 3  # asked to release
    DONE = 4  # retired there, surrendered here
    FAILED = 5  # nothing is held there, nothing counted here


class CreditState(IntEnum):
    """Where the credits stand in their registry."""

    UNKNOWN = 0  # never heard of
    FROZEN = 1
    RETIRED = 2
    RELEASED = 3
    REFUSED = 4
    RETURNED = 5  # retired, and by a reversal given back to their holder


class UndoState(IntEnum):
    """Where undoing a surrender stands in the registry of the allowances."""

    ASKED = 1  # to restore
    UNDONE = 2  # restored there, no longer counted here, asked to return
    KEEPING = 3  # asked to retire again
    DONE = 4  # returned there
    FAILED = 5  # retired there, counted here


class ReturnState(IntEnum):
    """Where the credits of a reversal stand in their registry."""

    UNKNOWN = 0  # never heard of
    RESTORED = 1
    RETURNED = 2
    KEPT = 3
    REFUSED = 4


class AllowanceStep(NamedTuple):
    """What follows in the registry of the allowances."""

    state: AllowanceState
    say: Word | None = None  # to the other registry


class CreditStep(NamedTuple):
    """What follows in the registry of the credits: always an answer."""

    state: CreditState
    say: Word


class UndoStep(NamedTuple):
    """What follows of a reversal in the registry of the allowances."""

    state: UndoState
    say: Word | None = None  # to the other registry


ALLOWANCE: dict[tuple[AllowanceState, Word], AllowanceStep] = {
    (AllowanceState.ASKED, Word.FROZEN): AllowanceStep(AllowanceState.BOOKED, Word.RETIRE),
    (AllowanceState.ASKED, Word.MISFIT): AllowanceStep(AllowanceState.RELEASING, Word.RELEASE),
    (AllowanceState.ASKED, Word.TIMEOUT): AllowanceStep(AllowanceState.RELEASING, Word.RELEASE),
    (AllowanceState.ASKED, Word.REFUSED): AllowanceStep(AllowanceState.FAILED),
    (AllowanceState.ASKED, Word.RELEASED): AllowanceStep(AllowanceState.FAILED),
    (AllowanceState.ASKED, Word.RETIRED): AllowanceStep(AllowanceState.DONE),
    (AllowanceState.BOOKED, Word.RETIRED): AllowanceStep(AllowanceState.DONE),
    (AllowanceState.BOOKED, Word.RELEASED): AllowanceStep(AllowanceState.FAILED),
    (AllowanceState.BOOKED, Word.REFUSED): AllowanceStep(AllowanceState.FAILED),
    (AllowanceState.BOOKED, Word.TIMEOUT): AllowanceStep(AllowanceState.RELEASING, Word.RELEASE),
    (AllowanceState.RELEASING, Word.RETIRED): AllowanceStep(AllowanceState.DONE),
    (AllowanceState.RELEASING, Word.RELEASED): AllowanceStep(AllowanceState.FAILED),
    (AllowanceState.RELEASING, Word.REFUSED): AllowanceStep(AllowanceState.FAILED),
    (AllowanceState.RELEASING, Word.TIMEOUT): AllowanceStep(AllowanceState.RELEASING, Word.RELEASE),
}
"""(state, word heard) -> what follows; what is not here changes nothing and is said by nobody."""

CREDIT: dict[tuple[CreditState, Word], CreditStep] = {
    (CreditState.UNKNOWN, Word.FREEZE): CreditStep(CreditState.FROZEN, Word.FROZEN),
    (CreditState.UNKNOWN, Word.RETIRE): CreditStep(CreditState.REFUSED, Word.REFUSED),
    (CreditState.UNKNOWN, Word.RELEASE): CreditStep(CreditState.RELEASED, Word.RELEASED),
    (CreditState.FROZEN, Word.FREEZE): CreditStep(CreditState.FROZEN, Word.FROZEN),
    (CreditState.FROZEN, Word.RETIRE): CreditStep(CreditState.RETIRED, Word.RETIRED),
    (CreditState.FROZEN, Word.RELEASE): CreditStep(CreditState.RELEASED, Word.RELEASED),
    (CreditState.RETIRED, Word.FREEZE): CreditStep(CreditState.RETIRED, Word.RETIRED),
    (CreditState.RETIRED, Word.RETIRE): CreditStep(CreditState.RETIRED, Word.RETIRED),
    (CreditState.RETIRED, Word.RELEASE): CreditStep(CreditState.RETIRED, Word.RETIRED),
    (CreditState.RELEASED, Word.FREEZE): CreditStep(CreditState.RELEASED, Word.RELEASED),
    (CreditState.RELEASED, Word.RETIRE): CreditStep(CreditState.RELEASED, Word.RELEASED),
    (CreditState.RELEASED, Word.RELEASE): CreditStep(CreditState.RELEASED, Word.RELEASED),
    (CreditState.REFUSED, Word.FREEZE): CreditStep(CreditState.REFUSED, Word.REFUSED),
    (CreditState.REFUSED, Word.RETIRE): CreditStep(CreditState.REFUSED, Word.REFUSED),
    (CreditState.REFUSED, Word.RELEASE): CreditStep(CreditState.REFUSED, Word.REFUSED),
    # whatever comes late of a surrender that was undone: it was retired
    (CreditState.RETURNED, Word.FREEZE): CreditStep(CreditState.RETURNED, Word.RETIRED),
    (CreditState.RETURNED, Word.RETIRE): CreditStep(CreditState.RETURNED, Word.RETIRED),
    (CreditState.RETURNED, Word.RELEASE): CreditStep(CreditState.RETURNED, Word.RETIRED),
}
"""(state, request) -> what follows. A first FREEZE that cannot be done leads to REFUSED instead."""

UNDO: dict[tuple[UndoState, Word], UndoStep] = {
    (UndoState.ASKED, Word.RESTORED): UndoStep(UndoState.UNDONE, Word.RETURN),
    (UndoState.ASKED, Word.MISFIT): UndoStep(UndoState.KEEPING, Word.KEEP),
    (UndoState.ASKED, Word.TIMEOUT): UndoStep(UndoState.KEEPING, Word.KEEP),
    (UndoState.ASKED, Word.REFUSED): UndoStep(UndoState.FAILED),
    (UndoState.ASKED, Word.KEPT): UndoStep(UndoState.FAILED),
    (UndoState.ASKED, Word.RETURNED): UndoStep(UndoState.DONE),
    (UndoState.UNDONE, Word.RETURNED): UndoStep(UndoState.DONE),
    (UndoState.UNDONE, Word.TIMEOUT): UndoStep(UndoState.UNDONE, Word.RETURN),
    (UndoState.KEEPING, Word.KEPT): UndoStep(UndoState.FAILED),
    (UndoState.KEEPING, Word.REFUSED): UndoStep(UndoState.FAILED),
    (UndoState.KEEPING, Word.RETURNED): UndoStep(UndoState.DONE),
    (UndoState.KEEPING, Word.TIMEOUT): UndoStep(UndoState.KEEPING, Word.KEEP),
}
"""(state, word heard) -> what follows of a reversal; what is not here changes nothing."""

_ENDS: dict[ReturnState, Word] = {
    ReturnState.RETURNED: Word.RETURNED,
    ReturnState.KEPT: Word.KEPT,
    ReturnState.REFUSED: Word.REFUSED,
}
RETURN: dict[tuple[ReturnState, Word], tuple[ReturnState, Word]] = {
    (ReturnState.UNKNOWN, Word.RESTORE): (ReturnState.RESTORED, Word.RESTORED),
    (ReturnState.UNKNOWN, Word.RETURN): (ReturnState.REFUSED, Word.REFUSED),
    (ReturnState.UNKNOWN, Word.KEEP): (ReturnState.KEPT, Word.KEPT),
    (ReturnState.RESTORED, Word.RESTORE): (ReturnState.RESTORED, Word.RESTORED),
    (ReturnState.RESTORED, Word.RETURN): (ReturnState.RETURNED, Word.RETURNED),
    (ReturnState.RESTORED, Word.KEEP): (ReturnState.KEPT, Word.KEPT),
    **{(state, word): (state, say) for state, say in _ENDS.items() for word in UNDO_REQUESTS},
}
"""(state, request) -> state and answer. A first RESTORE that cannot be done leads to REFUSED."""


class Message(NamedTuple):
    """One message: a word about a surrender, named by its market and its instruction id."""

    word: Word
    origin: str  # market of the surrender
    surrender_id: int  # the instruction's `argument`; when one is undone, the reversal's id
    account: int  # of the obligation, in that market
    instrument_id: int  # the credit as that market lists it
    reason: int = 0  # REFUSED: why
    text: str = ""  # what `saga_texts` says


def to_notes(message: Message, bytes_max: int) -> str:
    """A message as the text of an instruction; a long reason is cut. O(text)."""
    head = _head(message)
    room = max(0, bytes_max - len(head.encode()))
    return head + message.text.encode()[:room].decode(errors="ignore")


def fits(message: Message, bytes_max: int) -> bool:
    """Whether nothing of the message's text would be cut. O(text)."""
    return len((_head(message) + message.text).encode()) <= bytes_max


def _head(message: Message) -> str:
    return (
        f"{message.word.value}\n{message.origin}\n{message.account}\n{message.instrument_id}\n"
        f"{message.reason}\n"
    )


def from_notes(notes: str, surrender_id: int) -> Message:
    """The message of an instruction; ValueError when its text is none. O(text)."""
    parts = notes.split("\n", 5)
    if len(parts) != 6:
        raise ValueError(f"a message between registries has six lines, not {len(parts)}")
    word, origin, account, instrument_id, reason, text = parts
    if word not in REQUESTS + ANSWERS + UNDO_REQUESTS + UNDO_ANSWERS:
        raise ValueError(f"{word[:16]!r} is no word between registries")
    numbers = (account, instrument_id, reason)
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise ValueError(f"no numbers: {', '.join(number[:16] for number in numbers)}")
    told = (int(account), int(instrument_id), int(reason))
    if told[0] >= 2**32 or told[1] >= 2**16 or told[2] >= 2**16:
        raise ValueError(f"numbers out of range: {', '.join(number[:16] for number in numbers)}")
    return Message(Word(word), origin, surrender_id, *told, text)
