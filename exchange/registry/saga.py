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


REQUESTS = (Word.FREEZE, Word.RETIRE, Word.RELEASE)
ANSWERS = (Word.FROZEN, Word.RETIRED, Word.RELEASED, Word.REFUSED)


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


class AllowanceStep(NamedTuple):
    """What follows in the registry of the allowances."""

    state: AllowanceState
    say: Word | None = None  # to the other registry


class CreditStep(NamedTuple):
    """What follows in the registry of the credits: always an answer."""

    state: CreditState
    say: Word


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
}
"""(state, request) -> what follows. A first FREEZE that cannot be done leads to REFUSED instead."""


class Message(NamedTuple):
    """One message: a word about a surrender, named by its market and its instruction id."""

    word: Word
    origin: str  # market of the surrender
    surrender_id: int  # the instruction's `argument`
    account: int  # of the obligation, in that market
    instrument_id: int  # the credit as that market lists it
    reason: int = 0  # REFUSED: why
    text: str = ""


def to_notes(message: Message, bytes_max: int) -> str:
    """A message as the text of an instruction; a long reason is cut. O(text)."""
    head = (
        f"{message.word.value}\n{message.origin}\n{message.account}\n{message.instrument_id}\n"
        f"{message.reason}\n"
    )
    room = max(0, bytes_max - len(head.encode()))
    return head + message.text.encode()[:room].decode(errors="ignore")


def from_notes(notes: str, surrender_id: int) -> Message:
    """The message of an instruction; ValueError when its text is none. O(text)."""
    parts = notes.split("\n", 5)
    if len(parts) != 6:
        raise ValueError(f"a message between registries has six lines, not {len(parts)}")
    word, origin, account, instrument_id, reason, text = parts
    if word not in REQUESTS + ANSWERS:
        raise ValueError(f"{word[:16]!r} is no word between registries")
    numbers = (account, instrument_id, reason)
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise ValueError(f"no numbers: {', '.join(number[:16] for number in numbers)}")
    told = (int(account), int(instrument_id), int(reason))
    if told[0] >= 2**32 or told[1] >= 2**16 or told[2] >= 2**16:
        raise ValueError(f"numbers out of range: {', '.join(number[:16] for number in numbers)}")
    return Message(Word(word), origin, surrender_id, *told, text)
