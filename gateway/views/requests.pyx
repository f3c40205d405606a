# cython: language_level=3, boundscheck=False, wraparound=False
"""What the log heard from each session: which request stood under which `ref`, and its outcome.

A pure projection of `orders` and `events`, so every gateway answers a resend alike. The engine
tells only that a `ref` is not above the session's last; here it is told apart what that means: the
same request once more, another request under a used number, a number that was passed over, or one
too old to be remembered. REQUESTS_REMEMBERED_MAX requests of each session are kept, whatever
other sessions do.
"""

from collections import deque
from typing import NamedTuple

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from matching.layout cimport (
    AUCTION_CLEAR,
    AUCTION_TERMS,
    BLOCK_DECLINED,
    BLOCK_PROPOSE,
    CANCEL_ORDER,
    CANCELLED,
    CANCELLED_BY_REQUEST,
    CASH_DEPOSIT,
    CASH_WITHDRAW,
    DUPLICATE,
    HEADER_SIZE,
    INDEX_BITS,
    MASS_CANCEL,
    NOTE,
    ORDER_TERMS,
    RECORD_SIZE,
    REJECTED,
    REPLACE_ORDER,
    UNITS_RELEASE,
    CommandRecord,
    EventRecord,
)

from exchange.messages.frames import is_sound
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import DECISION_SESSION
from exchange.settings import REQUESTS_REMEMBERED_MAX

PARTICIPANT_SESSIONS = DECISION_SESSION  # sessions below are not the gateways'


cdef class Heard:
    """A request as the log has it first, and what the engine said to it."""

    cdef readonly int64_t position
    cdef int64_t fingerprint
    cdef readonly int64_t reason  # why the engine refused it; 0 = it did not
    cdef readonly int64_t order_id  # of an earlier order which it names, by either id


class Original(NamedTuple):
    """What a resend refers to: a request, or the reason why there is none to speak of."""

    heard: object  # Heard, or None
    fault: object = None  # EdgeReason
    participant: int = 0  # whose mass cancel it is: the engine's answer names no account


cdef class _Session:
    cdef int64_t last_ref
    cdef int64_t forgotten  # requests up to this ref are no longer remembered
    cdef dict requests  # by ref
    cdef object refs  # theirs, rising: a dict does not find its first key in one step

    def __init__(self):
        self.requests = {}
        self.refs = deque()


class Requests:
    """The requests of one market's sessions, read no further than the engine's events."""

    def __init__(self, remembered_max=REQUESTS_REMEMBERED_MAX):
        self._remembered_max = remembered_max
        self._sessions = {}
        self._unanswered = {}  # offset -> command index
        self._resent = {}  # offset -> command index
        self._proposed = {}  # offset -> command index -> account
        self._frames = {}  # offset -> the record that the engine has not answered

    def note(self, int64_t offset, bytes frame not None):
        """Takes the record of `orders` at `offset`. O(commands)."""
        cdef const CommandRecord* rows
        cdef Py_ssize_t index, end, count
        cdef uint32_t first_session = PARTICIPANT_SESSIONS
        cdef Py_ssize_t remembered_max = self._remembered_max
        cdef _Session session = None
        cdef int64_t of_session = -1
        cdef Heard made
        if not is_sound(frame):
            return
        rows = <const CommandRecord*>(PyBytes_AS_STRING(frame) + HEADER_SIZE)
        count = (PyBytes_GET_SIZE(frame) - HEADER_SIZE) // RECORD_SIZE
        self._frames[offset] = frame
        heard = {}
        resent = {}
        for index in range(count):
            if rows[index].kind == BLOCK_PROPOSE:
                self._proposed.setdefault(offset, {})[index] = rows[index].order_id
            if rows[index].session_id < first_session:
                continue
            end = index + 1
            while end < count and rows[end].kind in (NOTE, ORDER_TERMS, AUCTION_TERMS):
                end += 1  # an instruction's text belongs to it, and an order's terms
            if rows[index].session_id != of_session:
                of_session = rows[index].session_id
                session = self._sessions.get(of_session)
                if session is None:
                    session = self._sessions[of_session] = _Session()
            fingerprint = _fingerprint(&rows[index], end - index)
            ref = rows[index].ref
            if rows[index].ref <= session.last_ref:
                found = _original(session, ref, fingerprint)
                if rows[index].kind == MASS_CANCEL:
                    found = found._replace(participant=rows[index].order_id)
                resent[index] = found
                continue
            session.last_ref = rows[index].ref
            made = Heard.__new__(Heard)
            made.position = offset << INDEX_BITS | index
            made.fingerprint = fingerprint
            if rows[index].kind in (CANCEL_ORDER, REPLACE_ORDER):
                made.order_id = rows[index].order_id
            heard[index] = made
            session.requests[ref] = made
            session.refs.append(ref)
            if len(session.refs) > remembered_max:
                forgotten = session.refs.popleft()
                session.forgotten = forgotten
                del session.requests[forgotten]
        if heard:
            self._unanswered[offset] = heard
        if resent:
            self._resent[offset] = resent

    def refusal(self, session, ref):
        """Why the engine refused a request; 0: it did not, or has not answered. O(1)."""
        cdef _Session known = self._sessions.get(session)
        heard = known.requests.get(ref) if known is not None else None
        return heard.reason if heard is not None else 0

    def proposed(self, part):
        """The accounts to which that record proposes blocks, by command index. O(1)."""
        found = self._proposed.get(part.input_offset, {})
        if part.is_last:
            self._proposed.pop(part.input_offset, None)
        return found

    def record(self, part):
        """The record of `orders` which a part answers; empty when it was not noted. O(1)."""
        cdef bytes found = self._frames.get(part.input_offset, b"")
        if part.is_last:
            self._frames.pop(part.input_offset, None)
        return found

    def answered(self, part):
        """Takes the engine's answers; what the resends of that record mean, by command index.

        To be called for each part of `events` after `note` of its record. O(events).
        """
        cdef dict heard = self._unanswered.get(part.input_offset)
        resent = self._resent.get(part.input_offset, {})
        if heard is not None:
            _take_answers(heard, part.body)
        if part.is_last:
            self._resent.pop(part.input_offset, None)
            self._unanswered.pop(part.input_offset, None)
        return resent


cdef _take_answers(dict heard, bytes body):
    cdef const EventRecord* rows = <const EventRecord*>PyBytes_AS_STRING(body)
    cdef Py_ssize_t index
    cdef Heard request
    for index in range(PyBytes_GET_SIZE(body) // RECORD_SIZE):
        if rows[index].kind == CANCELLED:  # a label may name another order by the time of a resend
            if rows[index].reason not in (CANCELLED_BY_REQUEST, BLOCK_DECLINED):
                continue
        elif rows[index].kind not in (REJECTED, DUPLICATE):
            continue
        request = heard.get(rows[index].command_index)
        if request is None:
            continue
        if rows[index].kind == REJECTED:
            request.reason = rows[index].reason
        elif rows[index].order_id:
            request.order_id = rows[index].order_id


cdef int64_t _fingerprint(const CommandRecord* rows, Py_ssize_t count):
    """A hash of a request: without what the gateway makes anew for each try."""
    cdef CommandRecord first = rows[0]
    first.valid_ms = 0
    if first.kind in (CASH_DEPOSIT, CASH_WITHDRAW, UNITS_RELEASE):
        first.order_id = 0
    cdef bytes body = PyBytes_FromStringAndSize(<const char*>rows, count * RECORD_SIZE)
    cdef CommandRecord* own = <CommandRecord*>PyBytes_AS_STRING(body)
    own[0] = first
    if count > 1 and own[1].kind == AUCTION_TERMS:
        own[1].price = 0  # a half of the seed
    elif first.kind == AUCTION_CLEAR:
        own[0].quantity = 0  # the other
    return _folded(PyBytes_AS_STRING(body), count * RECORD_SIZE)


cdef int64_t _folded(const char* text, Py_ssize_t size) noexcept:
    """A hash that is the same in every process, whose stand another may go on from. O(size)."""
    cdef uint64_t word, found = 0x9E3779B97F4A7C15ULL
    cdef Py_ssize_t at = 0
    while at < size:  # whole records: a multiple of eight
        memcpy(&word, text + at, 8)
        found = (found ^ word) * 0xD6E8FEB86659FD93ULL
        found ^= found >> 32
        at += 8
    return <int64_t>found


cdef _original(_Session session, ref, int64_t fingerprint):
    cdef Heard heard = session.requests.get(ref)
    if heard is None:
        is_old = ref <= session.forgotten
        return Original(None, EdgeReason.REF_FORGOTTEN if is_old else EdgeReason.REF_PASSED_OVER)
    if heard.fingerprint != fingerprint:
        return Original(None, EdgeReason.REF_REUSED)
    return Original(heard)
