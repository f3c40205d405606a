# cython: language_level=3, boundscheck=False, wraparound=False
"""What readers ask of bytes before anything else: is there something for me, may I read it?"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t

from matching.layout cimport HEADER_SIZE, RECORD_SIZE, CommandRecord, EventRecord

cdef enum:
    KINDS_MAX = 64


def kinds_of(bytes body not None):
    """The kinds of the events of a part's body, as a set of bits. O(events)."""
    cdef const EventRecord* rows = <const EventRecord*>PyBytes_AS_STRING(body)
    cdef Py_ssize_t index, count = PyBytes_GET_SIZE(body) // RECORD_SIZE
    cdef uint64_t found = 0
    for index in range(count):
        if rows[index].kind < KINDS_MAX:
            found |= <uint64_t>1 << rows[index].kind
    return found


def command_kinds_of(bytes frame not None):
    """The kinds of the commands of a sound frame, as a set of bits. O(commands)."""
    cdef const CommandRecord* rows = _commands(frame)
    cdef Py_ssize_t index, count = _count(frame)
    cdef uint64_t found = 0
    for index in range(count):
        if rows[index].kind < KINDS_MAX:
            found |= <uint64_t>1 << rows[index].kind
    return found


def raise_refs(bytes frame not None, uint32_t session_min, dict last_refs not None):
    """Puts each session's highest `ref` of a sound frame into `last_refs`. O(commands).

    Sessions below `session_min` are left out; one look at the dict for neighbours of one session.
    """
    cdef const CommandRecord* rows = _commands(frame)
    cdef Py_ssize_t index = 0, count = _count(frame)
    cdef uint32_t session
    cdef long long highest
    while index < count:
        session = rows[index].session_id
        highest = 0
        while index < count and rows[index].session_id == session:
            if rows[index].ref > highest:
                highest = rows[index].ref
            index += 1
        if session >= session_min and highest > <long long>last_refs.get(session, 0):
            last_refs[session] = highest


def json_depth(bytes text not None):
    """How deep objects and arrays of a JSON text lie in each other; any bytes will do. O(bytes)."""
    cdef const char* letters = PyBytes_AS_STRING(text)
    cdef Py_ssize_t at = 0, size = PyBytes_GET_SIZE(text)
    cdef Py_ssize_t depth = 0, deepest = 0
    cdef bint is_string = False
    while at < size:
        if letters[at] == c'"':
            is_string = not is_string
        elif is_string:
            at += letters[at] == c"\\"  # what is escaped ends nothing
        elif letters[at] in (c"{", c"["):
            depth += 1
            deepest = max(deepest, depth)
        elif letters[at] in (c"}", c"]"):
            depth -= 1
        at += 1
    return deepest


cdef const CommandRecord* _commands(bytes frame):
    return <const CommandRecord*>(PyBytes_AS_STRING(frame) + HEADER_SIZE)


cdef Py_ssize_t _count(bytes frame):
    return max(PyBytes_GET_SIZE(frame) - HEADER_SIZE, 0) // RECORD_SIZE
