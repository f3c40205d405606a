# cython: language_level=3, boundscheck=False, wraparound=False
"""What a member sent and traded, counted event by event: see `gateway.views.order_ratio`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from matching.layout cimport (
    ACCEPTED,
    CANCELLED,
    CANCELLED_BY_REQUEST,
    FILL,
    LIMIT,
    MARKET,
    PICK,
    RECORD_SIZE,
    REPLACED,
    STOP,
    STOP_LIMIT,
    EventRecord,
)


cdef class Count:
    """What a member sent and traded in an instrument on a day."""

    cdef readonly int64_t messages  # orders, changes, cancels
    cdef readonly int64_t ordered  # their tonnes
    cdef readonly int64_t trades  # one with itself counts twice
    cdef readonly int64_t traded


def add_messages(dict counts not None, dict participants not None, bytes body not None):
    """Adds the orders, changes, cancels and fills of a part's body to `counts`. O(events).

    `counts` is by participant and instrument, `participants` by account; a Count is made where
    there is none.
    """
    cdef const EventRecord* rows = <const EventRecord*>PyBytes_AS_STRING(body)
    cdef Py_ssize_t index
    cdef int64_t account = -1, instrument = -1
    cdef Count count = None
    for index in range(PyBytes_GET_SIZE(body) // RECORD_SIZE):
        if not (rows[index].kind == FILL or _is_message(&rows[index])):
            continue
        if rows[index].account_id != account or rows[index].instrument_id != instrument:
            account, instrument = rows[index].account_id, rows[index].instrument_id
            key = participants.get(account, 0), instrument
            count = counts.get(key)
            if count is None:
                count = counts[key] = Count()
        if rows[index].kind == FILL:
            count.trades += 1
            count.traded += rows[index].quantity
        else:
            count.messages += 1
            count.ordered += rows[index].quantity


cdef bint _is_message(const EventRecord* row) noexcept:
    if row.kind == ACCEPTED:
        return row.order_type in (MARKET, LIMIT, STOP, STOP_LIMIT, PICK)
    return row.kind == REPLACED or (row.kind == CANCELLED and row.reason == CANCELLED_BY_REQUEST)
