# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Our engine behind the interface of the public cross-engine benchmark: a message in, reports out.

The engine is the whole one: two accounts with funds for everything, holds, fees, limits. A message
is made a command on the stack and applied through `apply_commands` without the GIL, one at a time,
as that benchmark asks; its reports are read from the events. Order ids are the benchmark's own, one
higher, for 0 is nobody's. A modify is a cancel and, if that found the order, a new order with the
same id. `host.c` starts Python and calls `adapter_open`.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort
from libc.string cimport memset

from matching.compiled cimport Engine, apply_commands
from matching.ladder cimport key_of, ladder_find
from matching.layout cimport (
    ACCEPTED, BUY, CANCELLED, CANCEL_ORDER, FILL, GTC, IOC, LIMIT, NEW_ORDER, SELL, TAKER,
    CommandRecord, EventRecord, FillRecord,
)
from matching.state cimport Instrument, State

from benchmarks.workload import frame, opening

cdef extern from "matching_engine_api.h":
    ctypedef struct new_order_t:
        uint64_t order_id
        uint64_t sequence_number
        int64_t price_ticks
        uint32_t quantity
        uint8_t side
        uint8_t ioc
    ctypedef struct cancel_t:
        uint64_t order_id
        uint64_t sequence_number
    ctypedef struct modify_t:
        uint64_t order_id
        uint64_t sequence_number
        int64_t new_price_ticks
        uint32_t new_quantity
        uint8_t side
    ctypedef struct me_report_t:
        uint8_t type
        uint8_t side
        uint64_t sequence_number
        uint64_t order_id
        int64_t price_ticks
        uint32_t quantity
        uint64_t maker_order_id
        uint64_t taker_order_id
    ctypedef struct me_transport_t:
        int (*push)(void* handle, const me_report_t* report) noexcept nogil
    enum:
        ME_ORDER_ACK
        ME_TRADE
        ME_CANCEL_ACK
        ME_MODIFY_ACK
        ME_CANCEL_REJECT
        ME_MODIFY_REJECT
        INT64_MIN
        INT64_MAX

cdef extern from *:
    """
    #if defined(__x86_64__)
    #define rest_a_moment() __builtin_ia32_pause()
    #else
    #define rest_a_moment() ((void)0)
    #endif
    """
    void rest_a_moment() noexcept nogil

cdef Engine engine = None
cdef State* state = NULL
cdef Instrument* instrument = NULL
cdef const me_transport_t* transport = NULL
cdef void* sink = NULL

# -- beginning and end ---------------------------------------------------------------------------

cdef public int adapter_open(const me_transport_t* given, void* handle) except -1:
    """One instrument and two accounts. Called with the GIL."""
    global engine, state, instrument, transport, sink
    engine = Engine()
    engine.apply(0, 0, frame(opening(1, 2).tobytes()))
    engine.reserve(orders=60_000)
    transport, sink = given, handle
    state = &engine.state
    instrument = state.instruments[1]
    return 0

cdef public void engine_shutdown() noexcept nogil:
    pass

cdef public void engine_flush() noexcept nogil:
    pass

# -- reports -------------------------------------------------------------------------------------

cdef inline void push(const me_report_t* report) noexcept nogil:
    while transport.push(sink, report) == 0:
        rest_a_moment()

cdef inline void report(
    uint8_t kind, uint8_t side, uint64_t sequence, uint64_t order_id, int64_t price,
    uint32_t quantity,
) noexcept nogil:
    cdef me_report_t r
    memset(&r, 0, sizeof(me_report_t))
    r.type = kind
    r.side = side
    r.sequence_number = sequence
    r.order_id = order_id
    r.price_ticks = price
    r.quantity = quantity
    push(&r)

cdef inline void report_trade(const FillRecord* fill, uint64_t sequence) noexcept nogil:
    cdef me_report_t r
    memset(&r, 0, sizeof(me_report_t))
    r.type = ME_TRADE
    r.sequence_number = sequence
    r.order_id = r.maker_order_id = fill.contra_order_id - 1
    r.taker_order_id = fill.order_id - 1
    r.price_ticks = fill.price
    r.quantity = <uint32_t>fill.quantity
    push(&r)

cdef void report_events(uint8_t acknowledged, uint64_t sequence) noexcept nogil:
    # What a new order led to: its acknowledgement, trades, the cancel of what an IOC left.
    cdef const EventRecord* e
    cdef int64_t at
    for at in range(state.events_count):
        e = &state.events[at]
        if e.kind == ACCEPTED:
            report(
                acknowledged, e.side - BUY, sequence, e.order_id - 1, e.price,
                <uint32_t>e.quantity,
            )
        elif e.kind == FILL:
            if e.order_type == TAKER:
                report_trade(<const FillRecord*>e, sequence)
        elif e.kind == CANCELLED:
            report(
                ME_CANCEL_ACK, e.side - BUY, sequence, e.order_id - 1, e.price,
                <uint32_t>e.quantity,
            )
        else:
            fprintf(stderr, "event %d, reason %d\n", <int>e.kind, <int>e.reason)
            abort()

# -- messages ------------------------------------------------------------------------------------

cdef inline uint32_t account_of(uint64_t order_id) noexcept nogil:
    return 1 + (order_id & 1)

cdef inline void apply(const CommandRecord* command, uint64_t position) noexcept nogil:
    state.events_count = 0
    if apply_commands(state, command, 1, 0, position) < 0:
        abort()

cdef inline void new_order(
    uint64_t order_id, uint8_t side, int64_t price, uint32_t quantity, bint is_immediate
) noexcept nogil:
    cdef CommandRecord c
    memset(&c, 0, sizeof(CommandRecord))
    c.kind = NEW_ORDER
    c.side = side + BUY
    c.order_type = LIMIT
    c.time_in_force = IOC if is_immediate else GTC
    c.instrument_id = 1
    c.account_id = account_of(order_id)
    c.quantity = quantity
    c.price = price
    apply(&c, order_id + 1)

cdef inline bint cancel(uint64_t order_id) noexcept nogil:
    # Whether it was resting; the event tells what it left.
    cdef CommandRecord c
    memset(&c, 0, sizeof(CommandRecord))
    c.kind = CANCEL_ORDER
    c.account_id = account_of(order_id)
    c.order_id = order_id + 1
    apply(&c, 0)
    return state.events[0].kind == CANCELLED

cdef public void engine_on_new_order(const new_order_t* order) noexcept nogil:
    new_order(order.order_id, order.side, order.price_ticks, order.quantity, order.ioc)
    report_events(ME_ORDER_ACK, order.sequence_number)

cdef public void engine_on_cancel(const cancel_t* message) noexcept nogil:
    if cancel(message.order_id):
        report_events(ME_ORDER_ACK, message.sequence_number)
    else:
        report(ME_CANCEL_REJECT, 0, message.sequence_number, message.order_id, 0, 0)

cdef public void engine_on_modify(const modify_t* message) noexcept nogil:
    if not cancel(message.order_id):
        report(ME_MODIFY_REJECT, 0, message.sequence_number, message.order_id, 0, 0)
        return
    new_order(
        message.order_id, state.events[0].side - BUY, message.new_price_ticks,
        message.new_quantity, False,
    )
    report_events(ME_MODIFY_ACK, message.sequence_number)

# -- questions -----------------------------------------------------------------------------------

cdef inline int64_t best(uint8_t side, int64_t none) noexcept nogil:
    cdef uint32_t level = instrument.sides[side].best
    return state.orders[state.levels[level].head].price if level else none

cdef public int64_t engine_query_best_bid() noexcept nogil:
    return best(BUY, INT64_MIN)

cdef public int64_t engine_query_best_ask() noexcept nogil:
    return best(SELL, INT64_MAX)

cdef public uint64_t engine_query_depth_at(int64_t price, uint8_t side) noexcept nogil:
    cdef uint8_t ours = side + BUY
    cdef uint32_t level
    if price <= 0:
        return 0
    level = ladder_find(state, &instrument.sides[ours], key_of(instrument, ours, price))
    return <uint64_t>state.levels[level].quantity if level else 0
