# cython: boundscheck=False, wraparound=False, cdivision=True
"""The state of the compiled engine, and the small steps that everything else is made of.

Orders, levels, ladder nodes, accounts, holdings and sessions live in pools and name each other by
place, four bytes; place 0 of every pool is nobody. What a command needs of them is fetched while
the commands before it are done (`Look`), since memory is slower than matching.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from matching.controls cimport Controls
from matching.layout cimport (
    BOOK, TOTAL_LIMIT,
    ClientOrderId, CommandRecord, EventRecord,
)
from matching.memory cimport (
    Pool,
    likely, pick_place, pool_next, prefetch, seat_after, seat_of, seat_take, unlikely,
)
from matching.tables cimport (
    Index, Labels, Probe,
    index_add, index_first, index_next, order_tag, tag_of,
)

cdef enum:
    NS_PER_MS = 1_000_000
    PARAMETERS = 31
    SIDES = 12  # of all queues: 2 x (queue - 1) + side, so that those of the book are BUY and SELL
    INSTRUMENTS = 65536
    LEAVES = 8
    BRANCHES = 6
    LOOKS = 4  # commands from one step of looking ahead to the next
    ORDERS_AHEAD = 8  # places that are fetched before their turn
    APART = 2  # commands from one step of looking far to the next
    LOOKS_KEPT = 16  # enough for both
    FEW = 64  # instruments whose ladders stay near, but for their last nodes
    NEAR = 32768  # orders, accounts and holdings that stay near a processor of today
    ORDERS_OF_LEVEL = 8  # on average, where many rest
    ORDERS_OF_NODE = 64
    ORDERS_KEPT = 65536  # places of an empty book that stay in memory, unless more are reserved

cdef extern from *:
    """
    typedef struct {
        int64_t quantity : 50;
        int64_t uncharged : 14;
    } cx_size;
    typedef struct {  /* four instruments in a word: which of them is it? */
        uint64_t instruments;
        uint32_t places[4];
    } cx_shelf;
    static inline uint32_t cx_shelf_find(const cx_shelf *shelf, uint16_t instrument) {
    #ifdef __SSE2__
        const __m128i asked = _mm_shufflelo_epi16(_mm_cvtsi32_si128(instrument), 0);
        const __m128i there = _mm_loadl_epi64((const __m128i *)&shelf->instruments);
        uint64_t found = (uint64_t)_mm_cvtsi128_si64(_mm_cmpeq_epi16(asked, there));
    #else
        const uint64_t ones = 0x0001000100010001u;
        uint64_t differs = shelf->instruments ^ (instrument * ones);
        uint64_t found = (differs - ones) & ~differs & (ones << 15);  /* the lowest is sure */
    #endif
        uint64_t at = (uint64_t)__builtin_ctzll(found | (uint64_t)1 << 63) >> 4;
        return shelf->places[at] & (uint32_t)-(int64_t)(found != 0);
    }
    static inline void cx_shelf_add(cx_shelf *shelf, uint16_t instrument, uint32_t place) {
        for (int at = 0; at < 4; at++)
            if (shelf->places[at] == 0) {
                shelf->instruments |= (uint64_t)instrument << (16 * at);
                shelf->places[at] = place;
                return;
            }
    }
    """
    ctypedef struct Size "cx_size":
        int64_t quantity  # up to QUANTITY_LIMIT
        int64_t uncharged  # accrued - BP x charged, so that no product leaves 63 bits
    ctypedef struct Shelf "cx_shelf":
        pass
    uint32_t shelf_find "cx_shelf_find"(const Shelf* shelf, uint16_t instrument) noexcept nogil
    void shelf_add "cx_shelf_add"(Shelf* shelf, uint16_t instrument, uint32_t place) noexcept nogil

cdef struct Order:  # a line of memory
    uint64_t order_id
    int64_t leaves
    int32_t price
    uint32_t account
    uint32_t holding
    uint32_t level
    uint8_t queue  # from here on as an event begins
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint16_t instrument_id
    uint8_t instructions  # of ExecInst, and a SelfTrade mode
    Size size
    int64_t charged
    uint32_t terms  # place, 0 = none, as most orders
    uint32_t session_id  # the trader's

cdef struct Link:  # of the order in the same place: its label and who stands beside it
    ClientOrderId client_order_id
    uint32_t next  # behind it at its price; of a free place: the next free one
    uint32_t previous
    uint32_t own_next  # of the same holding, in no order that shows
    uint32_t own_previous

cdef struct Terms:  # what only rare orders have
    int64_t stop_price
    int64_t display
    int64_t visible  # what the slice on display has left; 0 unless in the book
    uint32_t expire_date
    uint32_t counterparty  # of a block; of a free place: the next free one

cdef struct Asked:  # what a command asks for beside the fields of its record; zeros for most
    int64_t stop_price
    int64_t display
    int64_t display_kept  # of an order that is replaced without an ORDER_TERMS
    int64_t minimum
    uint64_t expire_date
    uint32_t digest  # of all of it, for the memory of labels
    uint8_t instructions
    bint has_terms  # an ORDER_TERMS came with it

cdef struct Level:
    int64_t quantity
    uint32_t head
    uint32_t tail
    uint32_t key
    uint32_t next_free
    uint64_t unused  # so that none lies across two lines of memory

cdef struct Node:  # of a ladder: 64 ways, on the last step to levels, else to nodes
    uint64_t present
    uint32_t prefix  # what of a key leads to it, on the last two steps
    uint32_t child[64]

cdef struct BookSide:  # a line of memory
    uint32_t root
    uint32_t best  # level
    uint32_t leaves[LEAVES]  # nodes of the last step, by the low bits of their prefix, or 0
    uint32_t branches[BRANCHES]  # those of the last but one

cdef struct CallPrice:  # at which price a call ends, or would end now
    int64_t price
    int64_t volume
    int64_t surplus  # above zero on the buy side

cdef struct Auction:  # of sealed bids; its offer is an order
    uint64_t order_id  # 0 = none is open
    int64_t bid_multiple
    int64_t closes_ns  # from when on bids are not heard, 0 = until it is cleared
    int64_t seed  # of the draw between bids of one price
    uint16_t bid_max_bp
    uint8_t pricing
    uint8_t tie_break
    uint8_t flags
    uint8_t carry

cdef struct WorstFee:  # what a fill may still cost a buyer
    int16_t bp  # of its value
    int16_t tonne  # 1/10000 minor unit for each tonne

cdef struct Instrument:
    uint16_t instrument_id
    uint8_t phase
    uint8_t has_volatility  # a call when prices move too far
    uint8_t has_steps  # of the tick table
    uint8_t is_listed  # by POLICY
    uint8_t has_stops  # or had them, when they were last asked for
    uint8_t has_limits  # a collar, or how much an account may hold
    int64_t band_low
    int64_t band_high  # -1 = no band
    uint32_t tick_size  # from here on parameters again, so that an order needs this line only
    WorstFee fee_max
    int64_t lot_size
    int64_t quantity_min
    int64_t quantity_max
    int64_t value_max
    int64_t volume  # a second line, for trades
    int64_t turnover
    int64_t last_price
    int32_t maker_fee_bp
    int32_t taker_fee_bp
    int32_t resale
    uint8_t change_to  # the Phase that a pending change leads to
    int64_t buyers_pay  # all bits, or 0: by FEE_SIDES
    int64_t sellers_pay
    int64_t sellers_tonne  # as fee_max.tonne
    BookSide sides[SIDES + 1]
    int64_t parameters[PARAMETERS + 1]  # by Parameter; place 0 is free
    int64_t reference
    int64_t units
    int64_t call_price  # of the day's last closing call
    int64_t change_at_ns  # when a call ends by itself, 0 = it does not
    CallPrice indicative  # as last said
    Auction auction

cdef struct Balance:  # as accounts and holdings begin
    int64_t available
    int64_t held

cdef struct Account:  # a line of memory
    int64_t available
    int64_t held
    uint32_t account_id
    uint32_t controls  # place, 0 = nothing was ever set
    uint32_t participant_controls  # the same of its participant
    uint32_t holdings  # the first of its own, in no order that shows
    Shelf shelf  # of the first four holdings
    int64_t locked  # proceeds of sales that are not settled

cdef struct Owner:  # of the account in the same place
    uint64_t participant
    int64_t stp_group

cdef struct Holding:  # a line of memory
    int64_t available
    int64_t held
    int64_t locked
    int64_t holding_max  # its account has controls, if there is one
    int64_t buying  # leaves of its live buys
    uint64_t quote  # position of the last one
    uint32_t account
    uint32_t next  # of the same account
    uint32_t orders  # the first of its live ones
    uint16_t instrument_id

cdef struct Session:
    int64_t ref  # the last
    uint32_t session_id

cdef struct Look:  # what a command will need, or so it seems; 0 = not found
    uint32_t label_tag
    uint32_t order_tag  # of the order it names, or of the one it would make
    uint32_t order
    uint32_t holding
    uint32_t level
    uint32_t best  # level of the other side
    uint32_t unused[2]

cdef struct State:
    int64_t next_offset
    int64_t next_event
    int64_t time_ns
    int64_t epoch
    uint64_t leader
    int64_t trading_date
    int64_t fees
    int64_t cash
    int64_t orders_max
    int64_t client_order_ids_max
    int64_t accounts_max
    int64_t sessions_max
    # tables
    Index order_places
    Index account_places  # of those without a seat, as of sessions
    Index holding_places  # by place of the account and instrument
    Index session_places
    Index participant_places  # of the controls
    Labels labels
    Instrument** instruments  # by id, NULL = not open
    uint16_t* instrument_ids  # rising
    int64_t instruments_count
    # pools, and where they begin
    Pool order_pool
    Pool link_pool
    Pool level_pool
    Pool node_pool
    Pool account_pool
    Pool owner_pool
    Pool holding_pool
    Pool session_pool
    Pool terms_pool
    Pool control_pool
    Order* orders
    Link* links
    Level* levels
    Node* nodes
    Account* accounts
    Owner* owners
    Holding* holdings
    Session* sessions
    Terms* terms
    Controls* controls
    uint32_t orders_free
    uint32_t levels_free
    uint32_t nodes_free
    uint32_t terms_free
    int64_t orders_count
    int64_t accounts_count
    int64_t sessions_count
    uint32_t nobody  # written where a place has no neighbour
    int64_t orders_kept  # places of an empty book that stay in memory
    int64_t orders_reserved  # and those that memory was taken for beforehand
    # the record at hand
    EventRecord* events
    int64_t events_count
    int64_t events_capacity
    EventRecord* own_events
    int64_t own_capacity
    uint32_t command_index
    bint is_note_heard
    bint is_refused  # the last numbered command of the record was not done
    const CommandRecord* behind  # right after the command at hand; all zeros after the last
    Look looks[LOOKS_KEPT]
    Look* look  # of the command at hand
    bint is_far  # whether all that a look can find is looked for
    int64_t near  # orders, accounts and holdings, up to which it is not

cdef inline uint64_t head_of(const Order* o) noexcept nogil:
    # Its queue and what follows, as an event begins: a word.
    return (<const uint64_t*>&o.queue)[0]

# -- pools ---------------------------------------------------------------------------------------

cdef inline uint32_t order_new(State* s) except 0 nogil:
    cdef uint32_t place = s.orders_free
    if place:
        s.orders_free = s.links[place].next
    else:
        place = pool_next(&s.order_pool)
        pool_next(&s.link_pool)
        prefetch(&s.orders[place + ORDERS_AHEAD])
        prefetch(&s.links[place + ORDERS_AHEAD])
    s.orders_count += 1
    return place

cdef inline void order_free(State* s, uint32_t place) noexcept nogil:
    # Nothing may point to it any more.
    s.orders[place].order_id = 0
    s.links[place].next = s.orders_free
    s.orders_free = place
    s.orders_count -= 1

cdef inline uint32_t level_new(State* s) except 0 nogil:
    cdef uint32_t place = s.levels_free
    if place:
        s.levels_free = s.levels[place].next_free
        return place
    return pool_next(&s.level_pool)

cdef inline void level_free(State* s, uint32_t place) noexcept nogil:
    s.levels[place].next_free = s.levels_free
    s.levels_free = place

cdef inline uint32_t node_new(State* s) except 0 nogil:
    cdef uint32_t place = s.nodes_free
    if place:
        s.nodes_free = s.nodes[place].child[0]
    else:
        place = pool_next(&s.node_pool)
    s.nodes[place].present = 0
    return place

cdef inline void node_free(State* s, uint32_t place) noexcept nogil:
    s.nodes[place].child[0] = s.nodes_free
    s.nodes_free = place

cdef inline uint32_t terms_new(State* s) except 0 nogil:
    cdef uint32_t place = s.terms_free
    if place == 0:
        return pool_next(&s.terms_pool)
    s.terms_free = s.terms[place].counterparty
    memset(&s.terms[place], 0, sizeof(Terms))
    return place

cdef inline void terms_free(State* s, uint32_t place) noexcept nogil:
    s.terms[place].counterparty = s.terms_free
    s.terms_free = place

# -- lookups -------------------------------------------------------------------------------------

cdef inline uint32_t order_find(const State* s, uint64_t order_id) noexcept nogil:
    cdef uint32_t tag = order_tag(order_id)
    cdef Probe probe
    cdef uint32_t place = index_first(&s.order_places, tag, &probe)
    while place and s.orders[place].order_id != order_id:
        place = index_next(&s.order_places, tag, &probe)
    return place

cdef inline uint32_t order_named(const State* s, uint64_t order_id) noexcept nogil:
    # That of the command at hand, or one its label stands for.
    if likely(s.look.order != 0 and s.orders[s.look.order].order_id == order_id):
        return s.look.order
    return order_find(s, order_id)

cdef inline uint32_t account_find(const State* s, uint32_t account_id) noexcept nogil:
    cdef uint32_t place = seat_of(account_id), tag
    cdef Probe probe
    if likely(s.accounts[place].account_id == account_id and place != 0):
        return place
    tag = tag_of(account_id)
    place = index_first(&s.account_places, tag, &probe)
    while place and s.accounts[place].account_id != account_id:
        place = index_next(&s.account_places, tag, &probe)
    return place

cdef inline uint32_t account_after(const State* s, uint32_t place) noexcept nogil:
    # The next one, in no order that shows; 0 after the last.
    place = seat_after(&s.account_pool, place)
    while place and s.accounts[place].account_id == 0:
        place = seat_after(&s.account_pool, place)
    return place

cdef inline uint32_t account_add(
    State* s, uint32_t account_id, uint64_t participant
) except 0 nogil:
    cdef uint32_t place = seat_of(account_id)
    if place != 0 and s.accounts[place].account_id == 0:
        seat_take(&s.account_pool, place)
    else:
        place = pool_next(&s.account_pool)
        pool_next(&s.owner_pool)
        index_add(&s.account_places, tag_of(account_id), place)
    s.accounts_count += 1
    s.accounts[place].account_id = account_id
    s.owners[place].participant = participant
    s.accounts[place].participant_controls = participant_find(s, participant)
    return place

cdef inline uint32_t participant_find(const State* s, uint64_t participant) noexcept nogil:
    # The controls of its accounts together, 0 when nothing was ever set.
    cdef uint32_t tag = tag_of(participant)
    cdef Probe probe
    cdef uint32_t place = index_first(&s.participant_places, tag, &probe)
    while place and s.controls[place].participant != participant:
        place = index_next(&s.participant_places, tag, &probe)
    return place

cdef inline uint32_t participant_add(State* s, uint64_t participant) except 0 nogil:
    # The accounts there are are the caller's business, those that come are not.
    cdef uint32_t place = pool_next(&s.control_pool)
    index_add(&s.participant_places, tag_of(participant), place)
    s.controls[place].participant = participant
    return place

cdef inline uint32_t session_find(const State* s, uint32_t session_id) noexcept nogil:
    cdef uint32_t place = seat_of(session_id), tag
    cdef Probe probe
    if likely(s.sessions[place].session_id == session_id and place != 0):
        return place
    tag = tag_of(session_id)
    place = index_first(&s.session_places, tag, &probe)
    while place and s.sessions[place].session_id != session_id:
        place = index_next(&s.session_places, tag, &probe)
    return place

cdef inline uint32_t session_after(const State* s, uint32_t place) noexcept nogil:
    # The next one, in no order that shows; 0 after the last.
    place = seat_after(&s.session_pool, place)
    while place and s.sessions[place].session_id == 0:
        place = seat_after(&s.session_pool, place)
    return place

cdef inline uint32_t session_add(State* s, uint32_t session_id, int64_t ref) except 0 nogil:
    cdef uint32_t place = seat_of(session_id)
    if place != 0 and s.sessions[place].session_id == 0:
        seat_take(&s.session_pool, place)
    else:
        place = pool_next(&s.session_pool)
        index_add(&s.session_places, tag_of(session_id), place)
    s.sessions_count += 1
    s.sessions[place].session_id = session_id
    s.sessions[place].ref = ref
    return place

cdef inline uint64_t holding_key(uint32_t account, uint16_t instrument_id) noexcept nogil:
    return <uint64_t>account << 16 | instrument_id

cdef inline uint32_t holding_find(
    const State* s, uint32_t account, uint16_t instrument_id
) noexcept nogil:
    cdef uint32_t tag, place = shelf_find(&s.accounts[account].shelf, instrument_id)
    cdef Probe probe
    if likely(place != 0):
        return place
    tag = tag_of(holding_key(account, instrument_id))
    place = index_first(&s.holding_places, tag, &probe)
    while place and (
        s.holdings[place].account != account or s.holdings[place].instrument_id != instrument_id
    ):
        place = index_next(&s.holding_places, tag, &probe)
    return place

cdef inline uint32_t holding_of(
    State* s, uint32_t account, uint16_t instrument_id
) except 0 nogil:
    # Made at need.
    cdef uint32_t place = holding_find(s, account, instrument_id)
    if place:
        return place
    place = pool_next(&s.holding_pool)
    index_add(&s.holding_places, tag_of(holding_key(account, instrument_id)), place)
    s.holdings[place].account = account
    s.holdings[place].instrument_id = instrument_id
    s.holdings[place].next = s.accounts[account].holdings
    s.accounts[account].holdings = place
    shelf_add(&s.accounts[account].shelf, instrument_id, place)
    return place

cdef inline Controls* controls_of(State* s, uint32_t account) except NULL nogil:
    # Made at need.
    if s.accounts[account].controls == 0:
        s.accounts[account].controls = pool_next(&s.control_pool)
    return &s.controls[s.accounts[account].controls]

cdef inline int64_t holding_total(const Holding* h) noexcept nogil:
    return h.available + h.held + h.locked

# -- the orders of a holding ---------------------------------------------------------------------

# Whether there is somebody before or behind is as good as random, so these have no branch.

cdef inline void own_add(State* s, uint32_t place) noexcept nogil:
    cdef Link* link = &s.links[place]
    cdef Holding* holding = &s.holdings[s.orders[place].holding]
    cdef uint32_t following = holding.orders
    link.own_previous = 0
    link.own_next = following
    pick_place(following, &s.links[following].own_previous, &s.nobody)[0] = place
    holding.orders = place

cdef inline void own_remove(State* s, uint32_t place) noexcept nogil:
    cdef uint32_t before = s.links[place].own_previous, following = s.links[place].own_next
    cdef uint32_t* first = &s.holdings[s.orders[place].holding].orders
    pick_place(before, &s.links[before].own_next, first)[0] = following
    pick_place(following, &s.links[following].own_previous, &s.nobody)[0] = before

cdef inline int64_t price_of(const State* s, uint32_t level) noexcept nogil:
    # Of the orders at the level, of which there is one at least.
    return s.orders[s.levels[level].head].price

# -- instruments ---------------------------------------------------------------------------------

cdef inline int64_t half_up(int64_t numerator, int64_t denominator) noexcept nogil:
    # Both sides of the mark fit: the largest numerator is TOTAL_LIMIT.
    cdef int64_t quotient = numerator // denominator
    cdef int64_t rest = numerator - quotient * denominator
    return quotient + (rest >= denominator - rest)

cdef inline bint is_outside_band(const Instrument* i, int64_t price) noexcept nogil:
    return i.band_high >= 0 and (price < i.band_low or price > i.band_high)

cdef inline int64_t base_price(const Instrument* i) noexcept nogil:
    # What prices are measured against: the last of the day, else the reference.
    return i.last_price if i.volume else i.reference

cdef inline BookSide* line_at(Instrument* i, uint8_t queue, uint8_t side) noexcept nogil:
    return &i.sides[2 * (queue - BOOK) + side]

cdef inline BookSide* line_of(Instrument* i, const Order* o) noexcept nogil:
    # Where the order stands, or would.
    return line_at(i, o.queue, o.side)

cdef inline void count_trade(
    Instrument* i, int64_t quantity, int64_t price, int64_t value
) noexcept nogil:
    i.volume = min(i.volume + quantity, <int64_t>TOTAL_LIMIT)
    i.turnover = min(i.turnover + value, <int64_t>TOTAL_LIMIT)
    i.last_price = price
