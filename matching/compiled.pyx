# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=False
"""The fast body of the matching engine; `matching.reference` says the same for reading.

One frame is one call without the GIL and without a Python object per order. Read `command` first
(who is heard), then `new_order`, `cancel_order`, and `trade` in `trade.pxd`. The state is in
`state.pxd`, the book in `ladder.pxd`; other commands are in `replaces`, `quotes`, `mass`, `deals`,
`auctions`, `calls` and `administration`.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject

from matching.administration cimport administer
from matching.ahead cimport (
    is_far, look, look_alone, look_at, look_far, look_first, look_first_far, look_of, look_up,
)
from matching.auctions cimport (
    auction_bid, auction_cancel, auction_clear, auction_open, fixed_refusal,
)
from matching.calling cimport PyTypeObject, call_without_names
from matching.checks cimport (
    band_edge, is_plain_market, is_stop, plain_refusal, protected, protection_price, refusal,
)
from matching.deals cimport block_confirm, block_propose, pick_order
from matching.events cimport (
    INSTRUCTIONS_SHIFT, OF_AN_EVENT, accepted, duplicate, emit, emit_answer, events_begin,
    events_lend, reject,
)
from matching.holds cimport cost_of, hold_more, pick_balance
from matching.image cimport (
    books_emptied, check, load, save, state_close, state_open, state_reserve,
)
from matching.labels cimport difference, remember, remembered, room_refusal
from matching.ladder cimport end_resting
from matching.layout cimport *
from matching.limits cimport has_controls, holding_refusal, sender_refusal
from matching.mass cimport mass_cancel
from matching.memory cimport likely, pick, unlikely
from matching.quotes cimport quote
from matching.replaces cimport replace_order
from matching.snapshot cimport ClientOrderIdRow
from matching.state cimport (
    NS_PER_MS, Account, Asked, Instrument, Order, State, account_find, holding_find, holding_of,
    order_named, order_new, session_add, session_find,
)
from matching.stops cimport heard
from matching.terms cimport (
    asked_refusal, instructions_refusal, price_behind, read_asked, say_terms, set_terms,
)
from matching.trade cimport cross, enter_order

from isal.isal_zlib import crc32

from matching.protocol import Limits
from matching.snapshot import decode as decode_snapshot
from matching.snapshot import encode as encode_snapshot

cdef extern from "Python.h":
    const int PyBUF_READ
    object view_of "PyMemoryView_FromMemory"(char* data, Py_ssize_t size, int flags)
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char* data, Py_ssize_t size) except NULL
    char* bytes_of "PyBytes_AS_STRING"(PyObject* data)
    int resize_bytes "_PyBytes_Resize"(PyObject** data, Py_ssize_t size) except -1
    void drop "Py_DECREF"(PyObject* data)

cdef tuple NO_FILLS = ()
cdef tuple NOTHING_TO_SAY = (NONE, NO_FILLS)

cdef enum:
    HASH_SIZE = 32

cdef Asked PLAIN  # what most orders ask for: nothing
cdef CommandRecord NOTHING  # behind the last command

# -- who is heard --------------------------------------------------------------------------------

cdef inline int command(
    State* s, const CommandRecord* c, int64_t sent_ns, uint64_t position
) except -1 nogil:
    cdef int reason
    if likely(NEW_ORDER <= c.kind <= REPLACE_ORDER):
        s.is_note_heard = False
        reason = obey(s, c, sent_ns, position)
        return refuse(s, c, reason) if unlikely(reason != 0) else 0
    return rare_command(s, c, sent_ns, position)

cdef int rare_command(
    State* s, const CommandRecord* c, int64_t sent_ns, uint64_t position
) except -1 nogil:
    # Of any kind but the three that nearly all are of.
    cdef int reason
    if c.kind == NOTE:
        if s.is_note_heard:
            emit_answer(s, NOTED, c)
        return 0
    s.is_note_heard = False
    if c.kind == ORDER_TERMS or c.kind == AUCTION_TERMS:
        return 0
    reason = obey_rare(s, c, sent_ns, position) if is_kind(c.kind) else UNKNOWN_COMMAND
    return refuse(s, c, reason) if reason else 0

cdef int refuse(State* s, const CommandRecord* c, int reason) except -1 nogil:
    if c.session_id:
        s.is_refused = True
    return reject(s, c, reason)

cdef inline int obey(
    State* s, const CommandRecord* c, int64_t sent_ns, uint64_t position
) except -1 nogil:
    # The reason why the command is refused, which has then changed nothing; so all commands do.
    cdef uint32_t account
    cdef Instrument* i
    if unlikely(not is_turn(s, c)):
        return 0
    if unlikely(is_late(s, c, sent_ns)):
        return EXPIRED
    account = account_find(s, c.account_id)
    if unlikely(account == 0):
        return UNKNOWN_ACCOUNT
    if c.kind == CANCEL_ORDER:
        return cancel_order(s, account, c)
    if unlikely(c.kind == REPLACE_ORDER):
        return replace_order(s, account, c)
    i = s.instruments[c.instrument_id]
    if unlikely(i == NULL):
        return UNKNOWN_INSTRUMENT
    return new_order(s, i, account, c, position)

cdef int obey_rare(
    State* s, const CommandRecord* c, int64_t sent_ns, uint64_t position
) except -1 nogil:
    cdef uint32_t account = 0
    cdef Instrument* i = s.instruments[c.instrument_id]
    if not is_turn(s, c):
        return 0
    if is_late(s, c, sent_ns):
        return EXPIRED
    if needs_account(c):
        account = account_find(s, c.account_id)
        if account == 0:
            return UNKNOWN_ACCOUNT
    if i == NULL and needs_instrument(c):
        return UNKNOWN_INSTRUMENT
    if c.kind == MASS_CANCEL:
        return mass_cancel(s, account, c)
    if c.kind == QUOTE:
        return quote(s, i, account, c, position)
    if PICK_ORDER <= c.kind <= BLOCK_CONFIRM or AUCTION_OPEN <= c.kind <= AUCTION_CANCEL:
        return negotiate(s, i, account, c, position)
    if c.kind == PHASE_CHANGE or c.kind == CLOCK_TICK:
        return change(s, i, account, c, position)
    return administer(s, i, account, c, position)

cdef int negotiate(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil:
    # What names a listing, a block or an auction.
    if c.kind == PICK_ORDER:
        return pick_order(s, i, account, c, position)
    if c.kind == BLOCK_PROPOSE:
        return block_propose(s, i, account, c, position)
    if c.kind == BLOCK_CONFIRM:
        return block_confirm(s, i, account, c, position)
    if c.kind == AUCTION_OPEN:
        return auction_open(s, i, account, c, position)
    if c.kind == AUCTION_BID:
        return auction_bid(s, i, account, c, position)
    if c.kind == AUCTION_CLEAR:
        return auction_clear(s, i, c)
    return auction_cancel(s, i, c)

cdef int change(
    State* s, Instrument* named, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil:
    # Changes phases, whose trades and whose beginning trigger stops.
    cdef int reason = administer(s, named, account, c, position)
    cdef int64_t at
    for at in range(s.instruments_count):
        heard(s, s.instruments[s.instrument_ids[at]])
    return reason

cdef inline bint is_turn(State* s, const CommandRecord* c) except -1 nogil:
    # Whether the command is new in its session, and what it belongs to was done.
    if likely(c.session_id != 0):
        return is_numbered(s, c)
    return not (unlikely(s.is_refused) and c.ref)

cdef inline bint is_late(const State* s, const CommandRecord* c, int64_t sent_ns) noexcept nogil:
    return c.valid_ms and s.time_ns - c.valid_ms * <int64_t>NS_PER_MS > sent_ns

cdef bint is_kind(uint8_t kind) noexcept nogil:
    return (
        NEW_ORDER <= kind <= REPLACE_ORDER
        or kind == MASS_CANCEL
        or kind == QUOTE
        or PICK_ORDER <= kind <= PARTICIPANT_PARAMETER
        or INSTRUMENT_OPEN <= kind <= EPOCH_START
        or AUCTION_OPEN <= kind <= AUCTION_CANCEL
        or kind == INSTRUCTION
        or kind == SETTLE_TRADE
    )

cdef bint needs_account(const CommandRecord* c) noexcept nogil:
    if c.kind == MASS_CANCEL:
        return c.account_id != 0
    return (
        is_of_orders(c.kind)
        or c.kind == QUOTE
        or CASH_DEPOSIT <= c.kind <= ACCOUNT_PARAMETER
        or c.kind == INSTRUCTION
        or c.kind == SETTLE_TRADE
    )

cdef inline bint is_of_orders(uint8_t kind) noexcept nogil:
    # Whether a label in it may be one of an order.
    return (
        kind <= REPLACE_ORDER
        or PICK_ORDER <= kind <= BLOCK_CONFIRM
        or kind == AUCTION_OPEN
        or kind == AUCTION_BID
    )

cdef bint needs_instrument(const CommandRecord* c) noexcept nogil:
    # Cancels and replaces name an order, and so no instrument.
    if c.kind == PHASE_CHANGE or c.kind == MASS_CANCEL:
        return c.instrument_id != 0
    if c.kind == ACCOUNT_PARAMETER:
        return c.order_type == INSTRUMENT_HOLDING_MAX
    return (
        c.kind == NEW_ORDER
        or c.kind == QUOTE
        or PICK_ORDER <= c.kind <= BLOCK_CONFIRM
        or AUCTION_OPEN <= c.kind <= AUCTION_CANCEL
        or c.kind == UNITS_DEPOSIT
        or c.kind == UNITS_RELEASE
        or c.kind == INSTRUMENT_PARAMETER
        or c.kind == REFERENCE_PRICE
        or c.kind == INSTRUCTION
        or c.kind == SETTLE_TRADE
    )

cdef inline int is_numbered(State* s, const CommandRecord* c) except -1 nogil:
    # Whether the command is new in its session; answered here if not.
    cdef ClientOrderIdRow* known = NULL
    cdef uint32_t place = session_find(s, c.session_id)
    if unlikely(c.ref <= s.sessions[place].ref):
        if is_of_orders(c.kind):
            known = remembered(s, c)
        duplicate(s, c, known.order_id if known != NULL else 0)
        s.is_refused = True
        return 0
    s.is_refused = False
    if likely(place):
        s.sessions[place].ref = c.ref
        return 1
    if s.sessions_count >= s.sessions_max:
        reject(s, c, SESSIONS_FULL)
        s.is_refused = True
        return 0
    session_add(s, c.session_id, c.ref)
    return 1

# -- commands ------------------------------------------------------------------------------------

cdef inline int new_order(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil:
    # Nearly all are plain orders of free accounts in plain markets: a way of their own, on which
    # nothing is asked that such orders are never refused for.
    cdef uint16_t reason
    cdef ClientOrderIdRow* known
    if unlikely(not (is_plain_order(s, c) and is_plain_market(i)) or has_controls(s, account)):
        return other_order(s, i, account, c, position)
    known = remembered(s, c)
    if unlikely(known != NULL):
        return answer_known(s, c, known, 0)
    reason = plain_refusal(i, c)
    if not reason:
        reason = room_refusal(s, c)
    if unlikely(reason != 0):
        return reason
    return accept_plain(s, i, account, c, position)

cdef int other_order(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil:
    cdef uint16_t reason = form_refusal(c)
    cdef ClientOrderIdRow* known
    cdef int64_t price
    cdef Asked more
    cdef const Asked* asked = &PLAIN
    if not reason and is_rare(s, c):
        asked = &more
        reason = rare_refusal(s, c, &more)
    if reason:
        return reason
    known = remembered(s, c)
    if known != NULL:
        return answer_known(s, c, known, asked.digest)
    reason = sender_refusal(s, account)
    if reason:
        return reason
    price = limit_of(s, i, c, asked)
    reason = refusal(s, i, c, c.side, c.order_type, c.time_in_force, price, 0, asked)
    if not reason:
        reason = room_refusal(s, c)
    if not reason:
        reason = holding_refusal(s, i, account, c.side, c.quantity)
    if reason:
        return reason
    return accept(s, i, account, c, position, price, asked)

cdef inline int accept_plain(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil:
    # As `accept`, of an order that asks for nothing more.
    cdef int64_t cost = cost_of(c.quantity, c.price, 0, i.fee_max)
    cdef int64_t hold = <int64_t>pick(c.side & BUY, <uint64_t>cost, <uint64_t>c.quantity)
    cdef uint32_t holding = holding_asked(s, account, c), place
    cdef uint64_t head = (<const uint64_t*>c)[0] & OF_AN_EVENT | BOOK
    cdef Account* a = &s.accounts[account]
    if unlikely(hold > pick_balance(c.side, a, &s.holdings[holding]).available):
        return INSUFFICIENT_CASH if c.side == BUY else INSUFFICIENT_UNITS
    if unlikely(holding == 0):
        holding = holding_of(s, account, c.instrument_id)
    hold_more(s, c.side, a, &s.holdings[holding], hold, c.quantity)
    remember(s, c, position, head, 0)
    accepted(s, c, position, c.price, hold)
    place = order_new(s)
    write_order(s, place, c, account, holding, position, c.price, head)
    cross(s, i, place, 0)
    return heard(s, i)

cdef int accept(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position,
    int64_t price, const Asked* asked,
) except -1 nogil:
    # Holds what the order needs, or refuses what the account lacks; then lets it trade.
    cdef int64_t cost = cost_of(c.quantity, price, 0, i.fee_max)
    cdef int64_t hold = cost if c.side == BUY else c.quantity
    cdef uint32_t holding = holding_asked(s, account, c), place
    cdef uint64_t head = (
        (<const uint64_t*>c)[0] & OF_AN_EVENT | queue_for(i, c)
        | <uint64_t>asked.instructions << INSTRUCTIONS_SHIFT
    )
    cdef Account* a = &s.accounts[account]
    if hold > pick_balance(c.side, a, &s.holdings[holding]).available:
        return INSUFFICIENT_CASH if c.side == BUY else INSUFFICIENT_UNITS
    if holding == 0:
        holding = holding_of(s, account, c.instrument_id)
    hold_more(s, c.side, a, &s.holdings[holding], hold, c.quantity)
    remember(s, c, position, head, asked.digest)
    accepted(s, c, position, price, hold)
    place = order_new(s)
    write_order(s, place, c, account, holding, position, price, head)
    if asked.has_terms:
        set_terms(s, &s.orders[place], asked)
        say_terms(s, &s.orders[place], asked)
    enter_order(s, i, place, asked.minimum)
    return heard(s, i)

cdef inline uint32_t holding_asked(
    const State* s, uint32_t account, const CommandRecord* c
) noexcept nogil:
    # The holding of the command at hand, 0 if there is none.
    cdef uint32_t holding = s.look.holding
    if likely(holding != 0 and s.holdings[holding].account == account):
        return holding
    return holding_find(s, account, c.instrument_id)

cdef inline void write_order(
    State* s, uint32_t place, const CommandRecord* c, uint32_t account, uint32_t holding,
    uint64_t order_id, int64_t price, uint64_t head,
) noexcept nogil:
    # The whole order, as it comes.
    cdef Order* o = &s.orders[place]
    o.order_id = order_id
    o.leaves = c.quantity
    o.price = <int32_t>price
    o.account = account
    o.holding = holding
    (<uint64_t*>&o.queue)[0] = head
    o.size.quantity = c.quantity
    o.size.uncharged = o.charged = 0
    o.terms = 0
    o.session_id = c.session_id
    s.links[place].client_order_id = c.client_order_id

cdef inline bint is_plain_order(const State* s, const CommandRecord* c) noexcept nogil:
    # Nearly all: a limit order of sound form which asks for nothing more.
    return (
        c.order_type == LIMIT
        and c.time_in_force <= FOK
        and c.time_in_force != AT_THE_OPENING
        and (c.side == BUY or c.side == SELL)
        and c.order_id == 0
        and s.behind.kind != ORDER_TERMS
    )

cdef bint is_rare(const State* s, const CommandRecord* c) noexcept nogil:
    # Whether it asks, or should ask, for more than its record says.
    return (
        c.order_id != 0
        or s.behind.kind == ORDER_TERMS
        or c.time_in_force == GTD
        or c.order_type > LIMIT
    )

cdef uint16_t rare_refusal(const State* s, const CommandRecord* c, Asked* asked) noexcept nogil:
    cdef uint16_t reason = instructions_refusal(c)
    read_asked(s, c.order_id, asked)
    return reason if reason else asked_refusal(s, c.order_type, c.time_in_force, asked)

cdef int64_t limit_of(
    const State* s, const Instrument* i, const CommandRecord* c, const Asked* asked
) noexcept nogil:
    # The worst price at which a new order would trade.
    if c.order_type == MARKET:
        return market_limit(s, i, c)
    if c.order_type == STOP:
        return protected(i, c.side, asked.stop_price)
    if asked.instructions & POST_ONLY_REPRICE:
        return price_behind(s, i, c.side, c.price)
    return c.price

cdef inline int cancel_order(State* s, uint32_t account, const CommandRecord* c) except -1 nogil:
    cdef uint64_t order_id = c.order_id
    cdef ClientOrderIdRow* known
    cdef uint32_t place
    if order_id == 0:
        known = remembered(s, c)
        order_id = known.order_id if known != NULL else 0
    place = order_named(s, order_id)
    if place and unlikely(s.orders[place].queue >= BLOCKS):
        return cancel_dealt(s, account, c, place)
    if place == 0 or s.orders[place].account != account:
        return UNKNOWN_ORDER
    return end_resting(
        s, s.instruments[s.orders[place].instrument_id], place, CANCELLED_BY_REQUEST
    )

cdef int cancel_dealt(
    State* s, uint32_t account, const CommandRecord* c, uint32_t place
) except -1 nogil:
    # A block, which the other side may decline; a bid, if it may be taken back; an offer never.
    cdef const Order* o = &s.orders[place]
    cdef uint16_t reason
    cdef Instrument* i = s.instruments[o.instrument_id]
    if o.queue == OFFERS:
        return UNKNOWN_ORDER
    if o.account != account:
        if o.queue == BLOCKS and s.terms[o.terms].counterparty == c.account_id:
            return end_resting(s, i, place, BLOCK_DECLINED)
        return UNKNOWN_ORDER
    reason = fixed_refusal(s, i, o)
    return reason if reason else end_resting(s, i, place, CANCELLED_BY_REQUEST)

# -- checks, in order of Reason ------------------------------------------------------------------

cdef uint16_t form_refusal(const CommandRecord* c) noexcept nogil:
    cdef bint is_immediate = c.time_in_force == IOC or c.time_in_force == FOK
    if c.side != BUY and c.side != SELL:
        return INVALID_SIDE
    if not MARKET <= c.order_type <= STOP_LIMIT:
        return INVALID_ORDER_TYPE
    if not (
        c.time_in_force == DAY
        or c.time_in_force == GTC
        or c.time_in_force == GTD
        or (c.order_type <= LIMIT and (is_immediate or is_for_call(c.time_in_force)))
    ):
        return INVALID_TIME_IN_FORCE
    if c.order_type == MARKET and not is_immediate and not is_for_call(c.time_in_force):
        return MARKET_ORDER_CANNOT_REST
    if c.price != 0 and (c.order_type == MARKET or c.order_type == STOP):
        return MARKET_ORDER_HAS_PRICE
    return NONE

cdef bint is_for_call(uint8_t time_in_force) noexcept nogil:
    return time_in_force == AT_THE_OPENING or time_in_force == AT_THE_CLOSE

cdef uint8_t queue_for(const Instrument* i, const CommandRecord* c) noexcept nogil:
    # Where a new order stands when it comes.
    if unlikely(is_stop(c.order_type)):
        return STOPS
    return PARKED if unlikely(c.time_in_force == AT_THE_CLOSE and i.phase != CLOSING_CALL) else BOOK

cdef int64_t market_limit(
    const State* s, const Instrument* i, const CommandRecord* c
) noexcept nogil:
    # 0 when there is nothing to meet, or, if it waits for a call, no band.
    if is_for_call(c.time_in_force):
        return band_edge(i, c.side)
    return protection_price(s, i, c.side)

# -- client order ids ----------------------------------------------------------------------------

cdef int answer_known(
    State* s, const CommandRecord* c, const ClientOrderIdRow* known, uint32_t digest
) except -1 nogil:
    cdef ClientOrderIdRow asked
    cdef uint16_t reason
    asked.instrument_id = c.instrument_id
    asked.side = c.side
    asked.order_type = c.order_type
    asked.time_in_force = c.time_in_force
    asked.quantity = c.quantity
    asked.price = c.price
    asked.terms = digest
    reason = difference(known, &asked)
    return reason if reason else duplicate(s, c, known.order_id)

# -- records -------------------------------------------------------------------------------------

cdef int apply_commands(
    State* s, const CommandRecord* commands, uint32_t count, int64_t sent_ns, uint64_t position
) except -1 nogil:
    cdef uint32_t index
    begin_commands(s)
    if count == 1 or s.is_far:
        for index in range(count):
            apply_next(s, commands, count, index, sent_ns, position)
        return 0
    look_first(s, commands, count, position)
    for index in range(count):
        look(s, commands, count, index, position)
        apply_seen(s, &commands[index], index, index + 1 == count, sent_ns, position | index)
    return 0

cdef void begin_commands(State* s) noexcept nogil:
    s.is_note_heard = False
    s.is_refused = False
    s.is_far = is_far(s)

cdef int apply_next(
    State* s, const CommandRecord* commands, uint32_t count, uint32_t index, int64_t sent_ns,
    uint64_t position,
) except -1 nogil:
    if count == 1:
        look_alone(s, commands, position)
    elif s.is_far:
        if index == 0:
            look_first_far(s, commands, count, position)
        look_far(s, commands, count, index, position)
    else:
        if index == 0:
            look_first(s, commands, count, position)
        look(s, commands, count, index, position)
    return apply_seen(
        s, &commands[index], index, index + 1 == count, sent_ns, position | index
    )

cdef inline int apply_seen(
    State* s, const CommandRecord* c, uint32_t index, bint is_last, int64_t sent_ns,
    uint64_t position,
) except -1 nogil:
    # One that was looked at.
    s.look = look_of(s, index)
    s.command_index = index
    s.behind = &NOTHING if unlikely(is_last) else c + 1
    return command(s, c, sent_ns, position)

cdef uint16_t frame_refusal(bytes frame) except? 0xFFFF:
    cdef const Header* header = <const Header*>PyBytes_AS_STRING(frame)
    cdef Py_ssize_t size = len(frame)
    if size < HEADER_SIZE:
        return FRAME_TOO_SHORT
    if header.magic != MAGIC:
        return FRAME_WRONG_MAGIC
    if header.version != VERSION:
        return FRAME_WRONG_VERSION
    if header.kind != COMMANDS:
        return FRAME_WRONG_KIND
    if not 1 <= header.count <= COUNT_MAX:
        return FRAME_COUNT_OUT_OF_RANGE
    if size != HEADER_SIZE + <Py_ssize_t>header.count * RECORD_SIZE:
        return FRAME_WRONG_SIZE
    records = view_of(<char*>header + HEADER_SIZE, size - HEADER_SIZE, PyBUF_READ)
    if <uint32_t>crc32(records) != header.checksum:
        return FRAME_WRONG_CHECKSUM
    return NONE

cdef tuple answer_of(const State* s):
    # The reason in the first event, and the fills of the taker.
    cdef const FillRecord* fill
    cdef int64_t at
    cdef list fills
    if s.events_count <= 1:
        if s.events_count == 0 or s.events[0].reason == NONE:
            return NOTHING_TO_SAY
        return (s.events[0].reason, NO_FILLS)
    fills = []
    for at in range(1, s.events_count):
        fill = <const FillRecord*>&s.events[at]
        if fill.kind == FILL and fill.order_type == TAKER:
            fills.append((fill.contra_order_id, fill.quantity, fill.price))
    return (s.events[0].reason, fills)


cdef class Engine:
    """The fast engine; see `matching/RULES.md` for the rules."""

    def __cinit__(self, limits=Limits()):
        self.is_broken = False
        state_open(&self.state, Limits(*limits))

    def __init__(self, limits=Limits()):
        """An engine at the beginning of the log. O(1)."""

    def __dealloc__(self):
        state_close(&self.state)

    @property
    def next_offset(self):
        """The offset of `orders` which `apply` expects next. O(1)."""
        return self.state.next_offset

    @property
    def next_event(self):
        """The number which the next event will have. O(1)."""
        return self.state.next_event

    @property
    def epoch(self):
        """The epoch in force. O(1)."""
        return self.state.epoch

    @property
    def leader(self):
        """The node which won the epoch in force, 0 before the first. O(1)."""
        return self.state.leader

    @property
    def time_ns(self):
        """Engine time, ns UTC: the largest append time seen. O(1)."""
        return self.state.time_ns

    @property
    def near(self):
        """Orders, accounts and holdings that stay in the processor's caches. O(1).

        Beyond so many, more is fetched ahead of each command. Nothing that is said depends on it.
        """
        return self.state.near

    @near.setter
    def near(self, int64_t count):
        self.state.near = count

    def reserve(self, int64_t orders=0, int64_t client_order_ids=0):
        """Take the memory of so many resting orders and ids of a day now, and keep it.

        Nothing else changes: without it, memory is taken while orders come. O(orders + ids);
        ValueError beyond the limits.
        """
        state_reserve(&self.state, orders, client_order_ids)

    def apply(self, int64_t offset, int64_t append_ns, bytes frame not None):
        """Event records of the record at `offset`; ValueError if it is not next.

        O(commands x log(levels) + fills).
        """
        cdef State* s = &self.state
        cdef const char* data = PyBytes_AS_STRING(frame)
        cdef uint16_t reason
        if offset != s.next_offset:
            raise ValueError(f"offset {offset} is not the next one, {s.next_offset}")
        reason = frame_refusal(frame)
        self.begin_record(append_ns)
        answer = self.lend_answer()
        with nogil:
            if reason:
                emit(s, FRAME_REFUSED).reason = reason
            else:
                apply_commands(
                    s,
                    <const CommandRecord*>(data + HEADER_SIZE),
                    (<const Header*>data).count,
                    (<const Header*>data).time_ns,
                    <uint64_t>offset << INDEX_BITS,
                )
        self.end_record()
        self.answer = self.take_answer(answer)
        return self.answer

    def apply_one(
        self, append_ns, kind, account_id, instrument_id=0, side=0, order_type=0,
        time_in_force=0, quantity=0, price=0, order_id=0, session_id=0, ref=0,
        client_order_id=b"",
    ):
        """Apply one command as the next record: the first reason refused and the taker's fills.

        A fill is (contra order id, quantity, price); `said` has the event records in full. A new
        order has the id `next_offset << INDEX_BITS`, as `next_offset` was before. O(log(levels) +
        fills); ValueError if the label is longer than 16 bytes. Fastest with all arguments, none
        of them by name: `calling.pxd`.
        """
        cdef PyObject** given = [
            <PyObject*>append_ns, <PyObject*>kind, <PyObject*>account_id,
            <PyObject*>instrument_id, <PyObject*>side, <PyObject*>order_type,
            <PyObject*>time_in_force, <PyObject*>quantity, <PyObject*>price,
            <PyObject*>order_id, <PyObject*>session_id, <PyObject*>ref,
            <PyObject*>client_order_id,
        ]
        return apply_given(self, given)

    @property
    def said(self):
        """The event records of the last record applied, n x 64 bytes. O(events)."""
        cdef State* s = &self.state
        if self.answer is None:
            return PyBytes_FromStringAndSize(<const char*>s.events, s.events_count * RECORD_SIZE)
        return self.answer

    cdef PyObject* lend_answer(self) except NULL:
        # New bytes into which the events are written, a bit longer than the last ones.
        cdef int64_t room = self.said_before + self.said_before // 4 + 8
        cdef PyObject* answer = new_bytes(NULL, room * RECORD_SIZE)
        events_lend(&self.state, <EventRecord*>bytes_of(answer), room)
        return answer

    cdef bytes take_answer(self, PyObject* answer):
        # Cut to what was said; others if that became too long for them.
        cdef State* s = &self.state
        cdef Py_ssize_t size = s.events_count * RECORD_SIZE
        cdef bytes taken
        self.said_before = s.events_count
        if s.events == s.own_events:
            drop(answer)
            return PyBytes_FromStringAndSize(<const char*>s.events, size)
        events_begin(s)
        resize_bytes(&answer, size)
        taken = <bytes>answer
        drop(answer)
        return taken

    cdef int begin_record(self, int64_t append_ns) except -1:
        cdef State* s = &self.state
        if self.is_broken:
            raise RuntimeError("the engine ran out of memory before: restore a snapshot")
        self.is_broken = True  # until the record is done: a half applied one must not go on
        if unlikely(s.orders_count == 0 and s.order_pool.end > s.orders_kept + 1):
            books_emptied(s)
        self.answer = None
        events_begin(s)
        s.time_ns = max(s.time_ns, append_ns)
        s.command_index = 0
        return 0

    cdef void end_record(self) noexcept:
        self.state.next_offset += 1
        self.state.next_event += self.state.events_count
        self.is_broken = False

    def snapshot(self):
        """The whole state in the canonical form of `matching.snapshot`. O(state log state)."""
        return encode_snapshot(save(&self.state))

    @classmethod
    def restore(cls, bytes data not None):
        """The engine that `snapshot` described; ValueError if the bytes are not sound. O(state)."""
        decoded = decode_snapshot(data)
        cdef Engine engine = cls.__new__(cls, decoded.limits)
        load(&engine.state, decoded)
        wrong = engine.self_check()
        if wrong:
            raise ValueError(f"snapshot is unsound: {'; '.join(wrong)}")
        return engine

    def state_hash(self):
        """BLAKE2b-256 of the state: the last 32 bytes of `snapshot()`. O(state log state)."""
        return self.snapshot()[-HASH_SIZE:]

    def self_check(self):
        """Every broken invariant in words; [] is sound. O(state)."""
        return check(&self.state)

    def __reduce__(self):
        raise TypeError("an engine travels as its snapshot")


# -- one command a call --------------------------------------------------------------------------

cdef object apply_given(object engine, PyObject** given):
    # The arguments of `apply_one` in order. They are borrowed, and read in the order in which
    # memory is asked for what they name.
    cdef Engine self = <Engine>engine
    cdef State* s = &self.state
    cdef CommandRecord c
    cdef uint64_t position = <uint64_t>s.next_offset << INDEX_BITS
    cdef int64_t append_ns
    c.account_id = <object>given[2]
    c.session_id = <object>given[10]
    c.order_id = <object>given[9]
    c.client_order_id = label_in(<object>given[12])
    (<uint64_t*>&c)[0] = (  # written as it is read, for a wide load waits for narrow stores
        <uint64_t><uint8_t><object>given[1]
        | <uint64_t><uint8_t><object>given[4] << 8
        | <uint64_t><uint8_t><object>given[5] << 16
        | <uint64_t><uint8_t><object>given[6] << 24
        | <uint64_t><uint16_t><object>given[3] << 32
    )
    look_up(s, &c, position, look_of(s, 0))  # it comes while the rest is read
    c.quantity = <object>given[7]
    c.price = <object>given[8]
    c.ref = <object>given[11]
    append_ns = <object>given[0]
    look_at(s, &c, look_of(s, 0))
    self.begin_record(append_ns)
    begin_commands(s)
    apply_seen(s, &c, 0, True, append_ns, position)
    self.end_record()
    return answer_of(s)

cdef ClientOrderId label_in(object given) except *:
    cdef ClientOrderId label
    cdef Py_ssize_t size
    if not isinstance(given, bytes):
        raise TypeError("a client order id is bytes")
    size = len(<bytes>given)
    if likely(size == sizeof(ClientOrderId)):
        return (<const ClientOrderId*>PyBytes_AS_STRING(given))[0]
    if size > <Py_ssize_t>sizeof(ClientOrderId):
        raise ValueError("a client order id has at most 16 bytes")
    label.head = label.tail = 0
    memcpy(&label, PyBytes_AS_STRING(given), size)
    return label


call_without_names(<PyTypeObject*>Engine, "apply_one", apply_given)
