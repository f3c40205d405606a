"""The FIX session layer as a pure function: state and message or time in, messages and state out.

No clock, no socket, no store: the host gives the time and does what a `Step` says, in this order:
reset the store, send `out`, resend `resend`, deliver, close. `HANDLERS` is the table of what each
session message does while a session is active.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from exchange.settings import (
    FIX_HEARTBEAT_S_MAX,
    FIX_HEARTBEAT_S_MIN,
    FIX_LOGOUT_TIMEOUT_S,
    FIX_SENDING_TIME_S_MAX,
    LOGON_TIMEOUT_S,
)
from gateway.fix.codec import Message, plain, utc_ns

SECOND = 1_000_000_000
SEQUENCE_MAX = 2**31 - 1
_LATE_TENTHS = 12  # of HeartBtInt: silence after which a TestRequest goes out


class Phase(Enum):
    """Where a connection stands."""

    CONNECTED = "connected, nothing said yet"
    ACTIVE = "logged on"
    LEAVING = "our Logout waits for its answer"
    CLOSED = "over"


class State(NamedTuple):
    """A session: numbers outlive the connection, the rest does not. Times are wall clock, ns."""

    sender: str = ""  # of the client
    target: str = ""  # of the venue
    phase: Phase = Phase.CONNECTED
    next_in: int = 1
    next_out: int = 1
    heartbeat_ns: int = 0
    since_ns: int = 0  # when the phase began
    heard_ns: int = 0
    said_ns: int = 0
    tested_ns: int = 0  # when a TestRequest went out that nothing has answered; 0 = none
    gap_ns: int = 0  # since when missing messages are asked for; 0 = none are missing
    gap_asks: int = 0


class Said(NamedTuple):
    """A session message to send."""

    sequence: int
    msg_type: str
    values: tuple[tuple[int, str | int], ...]


class Step(NamedTuple):
    """What follows from a message or from time."""

    state: State
    out: tuple[Said, ...] = ()
    is_delivered: bool = False  # the message is the application's to answer
    resend: tuple[int, int] | None = None  # first and last number to send again
    is_reset: bool = False  # both numbers began anew: forget what was sent
    close: str = ""  # why the connection ends after `out`


def open_state(sender: str, target: str, next_in: int, next_out: int, now_ns: int) -> State:
    """A session as its store knows it, on a new connection that has said nothing yet."""
    return State(sender, target, Phase.CONNECTED, next_in, next_out, 0, now_ns, now_ns, now_ns)


def received(state: State, message: Message, now_ns: int) -> Step:
    """What a message does. O(1). The host has verified the signature of a Logon."""
    if state.phase is Phase.CLOSED:
        return Step(state)
    state = state._replace(heard_ns=now_ns, tested_ns=0)
    if state.phase is Phase.CONNECTED:
        return _log_on(state, message, now_ns)
    if state.phase is Phase.LEAVING:
        return _while_leaving(state, message)
    if (message.get(49), message.get(56)) != (state.sender, state.target):
        return _leave_with(
            state, message, now_ns, 9, 49, "SenderCompID and TargetCompID are those of the Logon"
        )
    if not 1 <= message.sequence <= SEQUENCE_MAX:
        return leave(state, "MsgSeqNum is missing or out of range", now_ns)
    if _is_badly_timed(message, now_ns):
        return _leave_with(
            state, message, now_ns, 10, 52,
            f"SendingTime is more than {FIX_SENDING_TIME_S_MAX} s from the gateway's clock",
        )  # fmt: skip
    if message.fault is None and message.msg_type == "A":
        return _log_on_again(state, message, now_ns)
    is_hard_reset = message.msg_type == "4" and message.get(123) != "Y" and message.fault is None
    if is_hard_reset:
        return _reset_sequence(state, message)
    if message.sequence > state.next_in:
        return _too_high(state, message, now_ns)
    if message.sequence < state.next_in:
        return _too_low(state, message, now_ns)
    return _in_order(_close_gap(state._replace(next_in=state.next_in + 1)), message, now_ns)


def ticked(state: State, now_ns: int) -> Step:
    """What the passing of time does: heartbeats, tests, time-outs. O(1)."""
    if state.phase is Phase.CONNECTED and now_ns - state.since_ns > LOGON_TIMEOUT_S * SECOND:
        return _closed(state, f"no Logon within {LOGON_TIMEOUT_S} s")
    if state.phase is Phase.LEAVING and now_ns - state.since_ns > FIX_LOGOUT_TIMEOUT_S * SECOND:
        return _closed(state, "the Logout was not answered")
    if state.phase is not Phase.ACTIVE:
        return Step(state)
    late = state.heartbeat_ns * _LATE_TENTHS // 10
    if state.tested_ns and now_ns - state.tested_ns > late:
        return _closed(state, "no answer to a TestRequest")
    if state.gap_ns and now_ns - state.gap_ns > late:
        if state.gap_asks > 1:
            return leave(state, "the messages asked for did not come", now_ns)
        return _ask_gap(state, now_ns)
    if not state.tested_ns and now_ns - state.heard_ns > late:
        state, said = _say(state, "1", ((112, f"T{now_ns // 1_000_000}"),))
        return Step(state._replace(tested_ns=now_ns, said_ns=now_ns), (said,))
    if now_ns - state.said_ns >= state.heartbeat_ns:
        state, said = _say(state, "0", ())
        return Step(state._replace(said_ns=now_ns), (said,))
    return Step(state)


def numbered(state: State, now_ns: int) -> tuple[State, int]:
    """The number of the next application message that the host sends."""
    return state._replace(next_out=state.next_out + 1, said_ns=now_ns), state.next_out


def leave(state: State, text: str, now_ns: int, reason: int = 0) -> Step:
    """Says Logout and waits for the answer; before the logon it closes at once."""
    values: tuple[tuple[int, str | int], ...] = ((58, plain(text)),)
    if reason:
        values = (*values, (20001, reason))
    before = state.phase
    state, said = _say(state, "5", values)
    if before is Phase.CONNECTED:
        return Step(state._replace(phase=Phase.CLOSED), (said,), close=text)
    return Step(state._replace(phase=Phase.LEAVING, since_ns=now_ns, said_ns=now_ns), (said,))


def reject(state: State, message: Message, reason: int, tag: int, text: str) -> Step:
    """A session-level Reject of a message that has its number."""
    state, said = _say(state, "3", _reject_values(message, reason, tag, text))
    return Step(state, (said,))


# -- logon ----------------------------------------------------------------------------------------


def _log_on(state: State, message: Message, now_ns: int) -> Step:
    if message.msg_type != "A":
        return _closed(state, "the first message must be a Logon")
    if message.fault is not None:
        return leave(state, message.fault.text, now_ns)
    if message.get(56) != state.target:
        return leave(state, f"TargetCompID is {state.target} here", now_ns)
    if not 1 <= message.sequence <= SEQUENCE_MAX:
        return leave(state, "MsgSeqNum is out of range", now_ns)
    if _is_badly_timed(message, now_ns):
        return leave(
            state,
            f"SendingTime is more than {FIX_SENDING_TIME_S_MAX} s from the gateway's clock",
            now_ns,
        )
    seconds = int(message.get(108))
    if not FIX_HEARTBEAT_S_MIN <= seconds <= FIX_HEARTBEAT_S_MAX:
        text = f"HeartBtInt is {FIX_HEARTBEAT_S_MIN} to {FIX_HEARTBEAT_S_MAX} seconds"
        return leave(state, text, now_ns)
    is_reset = message.get(141) == "Y"
    if is_reset:
        if message.sequence != 1:
            return leave(state, "with ResetSeqNumFlag the Logon is MsgSeqNum 1", now_ns)
        state = state._replace(next_in=1, next_out=1)
    elif message.sequence < state.next_in:
        return leave(state, _low_text(state, message), now_ns)
    state = state._replace(
        phase=Phase.ACTIVE, heartbeat_ns=seconds * SECOND, since_ns=now_ns, said_ns=now_ns,
        gap_ns=0, gap_asks=0,
    )  # fmt: skip
    flag: tuple[tuple[int, str | int], ...] = ((141, "Y"),) if is_reset else ()
    state, said = _say(state, "A", ((98, 0), (108, seconds), *flag))
    if message.sequence > state.next_in:
        asked = _ask_gap(state, now_ns)
        return asked._replace(out=(said, *asked.out))
    state = state._replace(next_in=state.next_in + 1)
    return Step(state, (said,), is_reset=is_reset)


def _log_on_again(state: State, message: Message, now_ns: int) -> Step:
    """A Logon inside a session is for ResetSeqNumFlag only."""
    if message.get(141) != "Y":
        return leave(state, "this session is logged on", now_ns)
    return _log_on(state._replace(phase=Phase.CONNECTED), message, now_ns)


# -- order of numbers -----------------------------------------------------------------------------


def _too_high(state: State, message: Message, now_ns: int) -> Step:
    """Asks for what is missing, once; this message comes again with it."""
    if message.fault is None and message.msg_type == "5":
        return _on_logout(state, message, now_ns)
    if message.fault is None and message.msg_type == "2":
        answered = _on_resend_request(state, message, now_ns)
        if state.gap_ns:
            return answered
        asked = _ask_gap(answered.state, now_ns)
        return answered._replace(state=asked.state, out=(*answered.out, *asked.out))
    return Step(state) if state.gap_ns else _ask_gap(state, now_ns)


def _too_low(state: State, message: Message, now_ns: int) -> Step:
    if not message.is_dup:
        return leave(state, _low_text(state, message), now_ns)
    return Step(state)


def _in_order(state: State, message: Message, now_ns: int) -> Step:
    if message.fault is not None:
        return reject(state, message, *message.fault)
    if message.is_dup:
        original = utc_ns(message.get(122))
        if not message.get(122):
            return reject(state, message, 1, 122, "OrigSendingTime is missing in a resend")
        if not 0 <= original <= utc_ns(message.get(52)):
            return reject(state, message, 10, 122, "OrigSendingTime is after SendingTime")
    handler = HANDLERS.get(message.msg_type)
    if handler is None:
        return Step(state, is_delivered=True)
    return handler(state, message, now_ns)


def _ask_gap(state: State, now_ns: int) -> Step:
    state, said = _say(state, "2", ((7, state.next_in), (16, 0)))
    return Step(state._replace(gap_ns=now_ns, gap_asks=state.gap_asks + 1, said_ns=now_ns), (said,))


def _close_gap(state: State) -> State:
    """The message that was missing came: the rest follows it."""
    return state._replace(gap_ns=0, gap_asks=0) if state.gap_ns else state


def _low_text(state: State, message: Message) -> str:
    return (
        f"MsgSeqNum too low: expected {state.next_in}, received {message.sequence}. Log on with "
        "ResetSeqNumFlag=Y if your numbers are lost"
    )


def _is_badly_timed(message: Message, now_ns: int) -> bool:
    text = message.get(52)
    if message.fault is not None and not text:
        return False  # told as a missing field
    sent = utc_ns(text)
    return sent < 0 or abs(now_ns - sent) > FIX_SENDING_TIME_S_MAX * SECOND


# -- session messages while active ----------------------------------------------------------------


def _on_heartbeat(state: State, message: Message, now_ns: int) -> Step:
    return Step(state)


def _on_test_request(state: State, message: Message, now_ns: int) -> Step:
    state, said = _say(state, "0", ((112, message.get(112)),))
    return Step(state._replace(said_ns=now_ns), (said,))


def _on_resend_request(state: State, message: Message, now_ns: int) -> Step:
    first, last = int(message.get(7)), int(message.get(16))
    highest = state.next_out - 1
    if not 1 <= first <= highest or (last and last < first):
        return reject(state, message, 5, 7, f"BeginSeqNo and EndSeqNo lie between 1 and {highest}")
    return Step(state, resend=(first, min(last or highest, highest)))


def _on_gap_fill(state: State, message: Message, now_ns: int) -> Step:
    new = int(message.get(36))
    if not state.next_in <= new <= SEQUENCE_MAX:
        return reject(state, message, 5, 36, f"NewSeqNo is not above {state.next_in - 1}")
    return Step(state._replace(next_in=new))


def _reset_sequence(state: State, message: Message) -> Step:
    """SequenceReset without GapFillFlag: whatever its own number, the next one is NewSeqNo."""
    new = int(message.get(36))
    if not state.next_in <= new <= SEQUENCE_MAX:
        return reject(state, message, 5, 36, f"NewSeqNo is below {state.next_in}")
    return Step(_close_gap(state._replace(next_in=new)))


def _on_reject(state: State, message: Message, now_ns: int) -> Step:
    return Step(state)


def _on_logout(state: State, message: Message, now_ns: int) -> Step:
    state, said = _say(state, "5", ())
    return Step(state._replace(phase=Phase.CLOSED), (said,), close="the client logged out")


def _while_leaving(state: State, message: Message) -> Step:
    if message.msg_type != "5":
        return Step(state)
    if message.sequence == state.next_in:
        state = state._replace(next_in=state.next_in + 1)
    return _closed(state, "the Logout was answered")


Handler = Callable[[State, Message, int], Step]
HANDLERS: dict[str, Handler] = {
    "0": _on_heartbeat,
    "1": _on_test_request,
    "2": _on_resend_request,
    "3": _on_reject,
    "4": _on_gap_fill,
    "5": _on_logout,
}
"""Session messages in their order; every other message is the application's."""


# -- saying ---------------------------------------------------------------------------------------


def _say(
    state: State, msg_type: str, values: tuple[tuple[int, str | int], ...]
) -> tuple[State, Said]:
    return state._replace(next_out=state.next_out + 1), Said(state.next_out, msg_type, values)


def _closed(state: State, why: str) -> Step:
    return Step(state._replace(phase=Phase.CLOSED), close=why)


def _reject_values(
    message: Message, reason: int, tag: int, text: str
) -> tuple[tuple[int, str | int], ...]:
    named: tuple[tuple[int, str | int], ...] = ((371, tag),) if tag else ()
    known = message.msg_type if message.msg_type.isascii() else ""
    typed: tuple[tuple[int, str | int], ...] = ((372, plain(known)),) if known else ()
    return ((45, message.sequence), *named, *typed, (373, reason), (58, plain(text)))


def _leave_with(
    state: State, message: Message, now_ns: int, reason: int, tag: int, text: str
) -> Step:
    """A Reject, then a Logout: what FIX asks for where the other side is in doubt."""
    rejected = reject(state, message, reason, tag, text)
    left = leave(rejected.state, text, now_ns)
    return left._replace(out=(*rejected.out, *left.out))


class Sent(NamedTuple):
    """An application message as the store kept it."""

    sequence: int
    sent_ns: int
    msg_type: str
    body: str


class Repeated(NamedTuple):
    """A message of a resend: one sent before, or a gap fill up to `new`."""

    sequence: int
    sent: Sent | None
    new: int = 0


def resent(kept: list[Sent], first: int, last: int) -> list[Repeated]:
    """What answers a ResendRequest: kept messages, and gap fills where none is. O(kept)."""
    answer: list[Repeated] = []
    place = first
    for sent in kept:
        if sent.sequence > place:
            answer.append(Repeated(place, None, sent.sequence))
        answer.append(Repeated(sent.sequence, sent))
        place = sent.sequence + 1
    if place <= last:
        answer.append(Repeated(place, None, last + 1))
    return answer
