"""What the log heard from each session: which request stood under which `ref`, and its outcome.

A pure projection of `orders` and `events`, so every gateway answers a resend alike. The engine
tells only that a `ref` is not above the session's last; here it is told apart what that means: the
same request once more, another request under a used number, a number that was passed over, or one
too old to be remembered. REQUESTS_REMEMBERED_MAX requests of each session are kept, whatever
other sessions do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from exchange.messages.frames import (
    RECORD_SIZE,
    Command,
    Event,
    EventPart,
    event_rows,
    order_id_of,
    sound_commands,
)
from exchange.messages.reasons import EdgeReason
from exchange.settings import REQUESTS_REMEMBERED_MAX

PARTICIPANT_SESSIONS = 1_000  # sessions below are the venue's own
_TRANSFERS = (Command.CASH_DEPOSIT, Command.CASH_WITHDRAW, Command.UNITS_RELEASE)
_PARTS = (Command.NOTE, Command.ORDER_TERMS)
_ABOUT_ORDERS = (Command.CANCEL_ORDER, Command.REPLACE_ORDER)
_ANSWERS = (Event.REJECTED, Event.DUPLICATE)


class Heard:
    """A request as the log has it first, and what the engine said to it."""

    __slots__ = ("fingerprint", "order_id", "position", "reason")

    def __init__(self, position: int, fingerprint: int) -> None:
        self.position = position
        self.fingerprint = fingerprint
        self.reason = 0  # why the engine refused it; 0 = it did not
        self.order_id = 0  # of an earlier order which it names, by either id


class Original(NamedTuple):
    """What a resend refers to: a request, or the reason why there is none to speak of."""

    heard: Heard | None
    fault: EdgeReason | None = None


class _Session:
    __slots__ = ("forgotten", "last_ref", "requests")

    def __init__(self) -> None:
        self.last_ref = 0
        self.forgotten = 0  # requests up to this ref are no longer remembered
        self.requests: dict[int, Heard] = {}  # by ref, rising


class Requests:
    """The requests of one market's sessions, read no further than the engine's events."""

    def __init__(self, remembered_max: int = REQUESTS_REMEMBERED_MAX) -> None:
        self._remembered_max = remembered_max
        self._sessions: dict[int, _Session] = {}
        self._unanswered: dict[int, dict[int, Heard]] = {}  # offset -> command index
        self._resent: dict[int, dict[int, Original]] = {}  # offset -> command index
        self._proposed: dict[int, dict[int, int]] = {}  # offset -> command index -> account

    def note(self, offset: int, frame: bytes) -> None:
        """Takes the record of `orders` at `offset`. O(commands)."""
        commands = sound_commands(frame)
        if commands is None:
            return
        blocks = np.flatnonzero(commands["kind"] == Command.BLOCK_PROPOSE).tolist()
        if blocks:
            self._proposed[offset] = {at: int(commands["order_id"][at]) for at in blocks}
        numbered = np.flatnonzero(commands["session_id"] >= PARTICIPANT_SESSIONS)
        if not len(numbered):
            return
        sessions = commands["session_id"][numbered].tolist()
        refs = commands["ref"][numbered].tolist()
        named = commands["order_id"].tolist()
        bodies = commands.copy()
        # the gateway makes these anew for each try: they are no part of what was asked
        bodies["valid_ms"] = 0
        bodies["order_id"][np.isin(bodies["kind"], _TRANSFERS)] = 0
        data, kinds = bodies.tobytes(), bodies["kind"].tolist()
        heard: dict[int, Heard] = {}
        resent: dict[int, Original] = {}
        for index, number, ref in zip(numbered.tolist(), sessions, refs, strict=True):
            end = index + 1
            while end < len(kinds) and kinds[end] in _PARTS:
                end += 1  # an instruction's text belongs to it, and an order's terms
            fingerprint = hash(data[index * RECORD_SIZE : end * RECORD_SIZE])
            session = self._sessions.get(number)
            if session is None:
                session = self._sessions[number] = _Session()
            if ref <= session.last_ref:
                resent[index] = _original(session, ref, fingerprint)
                continue
            session.last_ref = ref
            made = heard[index] = Heard(order_id_of(offset, index), fingerprint)
            if kinds[index] in _ABOUT_ORDERS:
                made.order_id = named[index]
            session.requests[ref] = made
            if len(session.requests) > self._remembered_max:
                session.forgotten = next(iter(session.requests))
                del session.requests[session.forgotten]
        if heard:
            self._unanswered[offset] = heard
        if resent:
            self._resent[offset] = resent

    def proposed(self, part: EventPart) -> dict[int, int]:
        """The accounts to which that record proposes blocks, by command index. O(1)."""
        found = self._proposed.get(part.input_offset, {})
        if part.is_last:
            self._proposed.pop(part.input_offset, None)
        return found

    def answered(self, part: EventPart) -> dict[int, Original]:
        """Takes the engine's answers; what the resends of that record mean, by command index.

        To be called for each part of `events` after `note` of its record. O(events).
        """
        resent = self._resent.get(part.input_offset, {})
        heard = self._unanswered.get(part.input_offset)
        if heard is not None:
            answers = part.events[np.isin(part.events["kind"], _ANSWERS)]
            for row in event_rows(answers):
                request = heard.get(row.command_index)
                if request is None:
                    continue
                if row.kind == Event.REJECTED:
                    request.reason = row.reason
                elif row.order_id:
                    request.order_id = row.order_id
        if part.is_last:
            self._resent.pop(part.input_offset, None)
            self._unanswered.pop(part.input_offset, None)
        return resent


def _original(session: _Session, ref: int, fingerprint: int) -> Original:
    heard = session.requests.get(ref)
    if heard is None:
        is_old = ref <= session.forgotten
        return Original(None, EdgeReason.REF_FORGOTTEN if is_old else EdgeReason.REF_PASSED_OVER)
    if heard.fingerprint != fingerprint:
        return Original(None, EdgeReason.REF_REUSED)
    return Original(heard)
