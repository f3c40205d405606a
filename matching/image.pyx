# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""The life of a C state: made, freed, saved to a snapshot, loaded from one, checked.

The same as `matching.reference.state` and `.invariants`. Nothing here is on the hot path.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from cpython.bytes cimport PyBytes_AS_STRING

from matching.administration cimport derive, instrument_add
from matching.controls cimport Controls
from matching.events cimport events_begin
from matching.growth cimport pool_grow, raise_memory_error
from matching.holds cimport hold_of
from matching.ladder cimport book_rest, ladder_next, order_key
from matching.layout cimport (
    BIDS, BOOK, BUY, CONTINUOUS, FROM_QUOTE, OFFERS, POLICY, PRICE_TIME, QUOTE_SELL_BIT, SELL,
    STOPS, TICK_SIZE, TOTAL_LIMIT,
    EventRecord,
)
from matching.limits cimport check_positions, count_positions
from matching.memory cimport (
    pool_close, pool_empty, pool_open, pool_reserve, prefetch, seat_of, seats_open,
)
from matching.snapshot cimport (
    AccountRow, AuctionRow, ClientOrderIdRow, HoldingRow, InstrumentRow, OrderRow, ParticipantRow,
    SessionRow, TermsRow,
)
from matching.state cimport (
    INSTRUMENTS, NEAR, ORDERS_KEPT, ORDERS_OF_LEVEL, ORDERS_OF_NODE, SIDES, Account, BookSide,
    Holding, Instrument, Level, Link, Node, Order, Owner, Session, State, Terms,
    account_add, account_after, account_find, controls_of, holding_of, holding_total, order_find,
    order_new, participant_add, session_add, session_after, shelf_find, terms_new,
)
from matching.tables cimport (
    ROOM_AT_FIRST,
    index_await, index_close, index_empty, index_emptied, index_open, index_reserve,
    labels_close, labels_count, labels_open, labels_reindex, labels_reserve,
    order_tag,
)

import numpy as np

from matching.protocol import Limits
from matching.snapshot import SECTIONS, Snapshot, client_order_id_order

# -- made and freed ------------------------------------------------------------------------------

cdef enum:
    HOLDINGS_MAX = 0x0800_0000
    ROWS_AHEAD = 16
    NODES_OF_LEVEL = 4  # at worst: the root is common to a side of the book

cdef int state_open(State* s, object limits) except -1:
    memset(s, 0, sizeof(State))
    read_limits(s, limits)
    index_open(&s.order_places, ROOM_AT_FIRST)
    index_open(&s.account_places, ROOM_AT_FIRST)
    index_open(&s.holding_places, ROOM_AT_FIRST)
    index_open(&s.session_places, ROOM_AT_FIRST)
    index_open(&s.participant_places, ROOM_AT_FIRST)
    labels_open(&s.labels, s.client_order_ids_max)
    s.instruments = <Instrument**>calloc(INSTRUMENTS, sizeof(Instrument*))
    s.instrument_ids = <uint16_t*>calloc(INSTRUMENTS, sizeof(uint16_t))
    s.own_capacity = 1024
    s.own_events = <EventRecord*>malloc(s.own_capacity * sizeof(EventRecord))
    if s.instruments == NULL or s.instrument_ids == NULL or s.own_events == NULL:
        return raise_memory_error()
    events_begin(s)
    pools_open(s)
    s.look = &s.looks[0]
    s.orders_kept = ORDERS_KEPT
    s.near = NEAR
    return 0

cdef int state_reserve(State* s, int64_t orders, int64_t client_order_ids) except -1:
    if not 0 <= orders <= s.orders_max:
        raise ValueError(f"orders {orders} is outside 0..{s.orders_max}")
    if not 0 <= client_order_ids <= s.client_order_ids_max:
        raise ValueError(
            f"client_order_ids {client_order_ids} is outside 0..{s.client_order_ids_max}"
        )
    s.orders_reserved = max(s.orders_reserved, orders)
    s.orders_kept = max(s.orders_kept, orders)
    index_reserve(&s.order_places, orders)
    pool_reserve(&s.order_pool, orders)
    pool_reserve(&s.link_pool, orders)
    pool_reserve(&s.level_pool, orders // ORDERS_OF_LEVEL)
    pool_reserve(&s.node_pool, orders // ORDERS_OF_NODE)
    return labels_reserve(&s.labels, client_order_ids)

cdef int books_emptied(State* s) except -1:
    # No order is left anywhere, so no level and no node either: what was not reserved goes back.
    pool_empty(&s.order_pool, s.orders_reserved)
    pool_empty(&s.link_pool, s.orders_reserved)
    pool_empty(&s.level_pool, s.orders_reserved // ORDERS_OF_LEVEL)
    pool_empty(&s.node_pool, s.orders_reserved // ORDERS_OF_NODE)
    index_emptied(&s.order_places, s.orders_reserved)
    s.orders_free = s.levels_free = s.nodes_free = 0
    return 0

cdef int pools_open(State* s) except -1:
    pool_open(&s.order_pool, sizeof(Order), s.orders_max)
    pool_open(&s.link_pool, sizeof(Link), s.orders_max)
    pool_open(&s.level_pool, sizeof(Level), s.orders_max)
    pool_open(&s.node_pool, sizeof(Node), NODES_OF_LEVEL * s.orders_max + 2 * INSTRUMENTS)
    seats_open(&s.account_pool, sizeof(Account), s.accounts_max)
    seats_open(&s.owner_pool, sizeof(Owner), s.accounts_max)
    pool_open(&s.holding_pool, sizeof(Holding), HOLDINGS_MAX)
    seats_open(&s.session_pool, sizeof(Session), s.sessions_max)
    pool_open(&s.terms_pool, sizeof(Terms), s.orders_max)
    pool_open(&s.control_pool, sizeof(Controls), 2 * s.accounts_max)
    s.orders = <Order*>s.order_pool.base
    s.links = <Link*>s.link_pool.base
    s.levels = <Level*>s.level_pool.base
    s.nodes = <Node*>s.node_pool.base
    s.accounts = <Account*>s.account_pool.base
    s.owners = <Owner*>s.owner_pool.base
    s.holdings = <Holding*>s.holding_pool.base
    s.sessions = <Session*>s.session_pool.base
    s.terms = <Terms*>s.terms_pool.base
    s.controls = <Controls*>s.control_pool.base
    return 0

cdef void state_close(State* s) noexcept:
    cdef int64_t at
    for at in range(s.instruments_count):
        free(s.instruments[s.instrument_ids[at]])
    index_close(&s.order_places)
    index_close(&s.account_places)
    index_close(&s.holding_places)
    index_close(&s.session_places)
    index_close(&s.participant_places)
    labels_close(&s.labels)
    pool_close(&s.order_pool)
    pool_close(&s.link_pool)
    pool_close(&s.level_pool)
    pool_close(&s.node_pool)
    pool_close(&s.account_pool)
    pool_close(&s.owner_pool)
    pool_close(&s.holding_pool)
    pool_close(&s.session_pool)
    pool_close(&s.terms_pool)
    pool_close(&s.control_pool)
    free(s.instruments)
    free(s.instrument_ids)
    free(s.own_events)

cdef int read_limits(State* s, object limits) except -1:
    if min(limits) < 0:
        raise ValueError("a limit is negative")
    s.orders_max = limits.orders_max
    s.client_order_ids_max = limits.client_order_ids_max
    s.accounts_max = limits.accounts_max
    s.sessions_max = limits.sessions_max
    return 0

# -- saved ---------------------------------------------------------------------------------------

cdef object save(State* s):
    limits = (s.orders_max, s.client_order_ids_max, s.accounts_max, s.sessions_max)
    return Snapshot(
        next_offset=s.next_offset,
        next_event=s.next_event,
        time_ns=s.time_ns,
        epoch=s.epoch,
        leader=s.leader,
        trading_date=s.trading_date,
        fees=s.fees,
        cash=s.cash,
        limits=Limits(*limits),
        accounts=save_accounts(s),
        participants=save_participants(s),
        holdings=save_holdings(s),
        instruments=save_instruments(s),
        auctions=save_auctions(s),
        orders=save_orders(s),
        order_terms=save_order_terms(s),
        sessions=save_sessions(s),
        client_order_ids=save_client_order_ids(s),
    )

cdef char* address(object rows) except? NULL:
    return <char*><size_t>rows.ctypes.data

cdef object save_accounts(State* s):
    rows = np.zeros(s.accounts_count, SECTIONS["accounts"])
    cdef AccountRow* row = <AccountRow*>address(rows)
    cdef Controls* controls
    cdef uint32_t place
    place = account_after(s, 0)
    while place:
        row.account_id = s.accounts[place].account_id
        row.participant = s.owners[place].participant
        row.available = s.accounts[place].available
        row.held = s.accounts[place].held
        row.locked = s.accounts[place].locked
        row.stp_group = s.owners[place].stp_group
        controls = &s.controls[s.accounts[place].controls]
        row.suspended = controls.suspended
        row.position_max = controls.position_max
        row.order_rate = controls.order_rate
        row.rate_count = controls.rate_count
        row.rate_second = controls.rate_second
        row += 1
        place = account_after(s, place)
    return rows[np.argsort(rows["account_id"])]

cdef object save_participants(State* s):
    rows = np.zeros(s.control_pool.end - 1, SECTIONS["participants"])
    cdef ParticipantRow* row = <ParticipantRow*>address(rows)
    cdef Controls* controls
    cdef uint32_t place
    cdef int64_t count = 0
    for place in range(1, s.control_pool.end):
        controls = &s.controls[place]
        if controls.participant == 0 or not (
            controls.suspended or controls.position_max or controls.order_rate
        ):
            continue
        row.participant = controls.participant
        row.suspended = controls.suspended
        row.position_max = controls.position_max
        row.order_rate = controls.order_rate
        row.rate_count = controls.rate_count
        row.rate_second = controls.rate_second
        row += 1
        count += 1
    rows = rows[:count]
    return rows[np.argsort(rows["participant"])]

cdef object save_holdings(State* s):
    rows = np.zeros(s.holding_pool.end - 1, SECTIONS["holdings"])
    cdef HoldingRow* row = <HoldingRow*>address(rows)
    cdef Holding* holding
    cdef uint32_t place
    cdef int64_t count = 0
    for place in range(1, s.holding_pool.end):
        holding = &s.holdings[place]
        if holding_total(holding) == 0 and holding.holding_max == 0:
            continue
        row.account_id = s.accounts[holding.account].account_id
        row.instrument_id = holding.instrument_id
        row.available = holding.available
        row.held = holding.held
        row.locked = holding.locked
        row.holding_max = holding.holding_max
        row += 1
        count += 1
    rows = rows[:count]
    return rows[np.lexsort((rows["instrument_id"], rows["account_id"]))]

cdef object save_instruments(State* s):
    rows = np.zeros(s.instruments_count, SECTIONS["instruments"])
    cdef InstrumentRow* row = <InstrumentRow*>address(rows)
    cdef Instrument* i
    cdef int64_t at
    for at in range(s.instruments_count):
        i = s.instruments[s.instrument_ids[at]]
        row.instrument_id = i.instrument_id
        row.phase = i.phase
        memcpy(row.parameters, &i.parameters[TICK_SIZE], sizeof(row.parameters))
        row.reference = i.reference
        row.volume = i.volume
        row.turnover = i.turnover
        row.last_price = i.last_price
        row.units = i.units
        row.call_price = i.call_price
        row.change_at_ns = i.change_at_ns
        row.change_to = i.change_to
        row.indicative_price = i.indicative.price
        row.indicative_volume = i.indicative.volume
        row.indicative_surplus = i.indicative.surplus
        row += 1
    return rows

cdef object save_orders(State* s):
    rows = np.zeros(s.orders_count, SECTIONS["orders"])
    cdef OrderRow* row = <OrderRow*>address(rows)
    cdef Instrument* i
    cdef BookSide* book_side
    cdef Order* o
    cdef int64_t at
    cdef uint32_t level, place
    cdef int side
    for at in range(s.instruments_count):
        i = s.instruments[s.instrument_ids[at]]
        for side in range(BUY, SIDES + 1):
            book_side = &i.sides[side]
            level = book_side.best
            while level:
                place = s.levels[level].head
                while place:
                    o = &s.orders[place]
                    row.order_id = o.order_id
                    row.account_id = s.accounts[o.account].account_id
                    row.instrument_id = o.instrument_id
                    row.side = o.side
                    row.time_in_force = o.time_in_force
                    row.quantity = o.size.quantity
                    row.leaves = o.leaves
                    row.price = o.price
                    row.charged = o.charged
                    row.uncharged = o.size.uncharged
                    row.client_order_id = s.links[place].client_order_id
                    row.session_id = o.session_id
                    row.order_type = o.order_type
                    row.queue = o.queue
                    row.instructions = o.instructions
                    row += 1
                    place = s.links[place].next
                level = ladder_next(s, book_side, s.levels[level].key)
    return rows

cdef object save_auctions(State* s):
    rows = np.zeros(s.instruments_count, SECTIONS["auctions"])
    cdef AuctionRow* row = <AuctionRow*>address(rows)
    cdef const Instrument* i
    cdef int64_t at, count = 0
    for at in range(s.instruments_count):
        i = s.instruments[s.instrument_ids[at]]
        if i.auction.order_id:
            row[count].instrument_id = i.instrument_id
            row[count].pricing = i.auction.pricing
            row[count].tie_break = i.auction.tie_break
            row[count].flags = i.auction.flags
            row[count].carry = i.auction.carry
            row[count].bid_max_bp = i.auction.bid_max_bp
            row[count].bid_multiple = i.auction.bid_multiple
            row[count].order_id = i.auction.order_id
            row[count].closes_ns = i.auction.closes_ns
            row[count].seed = i.auction.seed
            count += 1
    return rows[:count]


cdef object save_order_terms(State* s):
    # Every place of the pool that is some order's; of those that say nothing there is no row.
    rows = np.zeros(s.orders_count, SECTIONS["order_terms"])
    cdef TermsRow* row = <TermsRow*>address(rows)
    cdef const Order* o
    cdef const Terms* terms
    cdef uint32_t place
    cdef int64_t count = 0
    for place in range(1, s.order_pool.end):
        o = &s.orders[place]
        terms = &s.terms[o.terms]
        if o.order_id == 0 or o.terms == 0 or not has_something(terms):
            continue
        row[count].order_id = o.order_id
        row[count].stop_price = terms.stop_price
        row[count].display_quantity = terms.display
        row[count].visible = terms.visible
        row[count].expire_date = terms.expire_date
        row[count].counterparty = terms.counterparty
        count += 1
    rows = rows[:count]
    return rows[np.argsort(rows["order_id"])]

cdef bint has_something(const Terms* terms) noexcept nogil:
    return (
        terms.stop_price or terms.display or terms.visible or terms.expire_date
        or terms.counterparty
    )

cdef object save_sessions(State* s):
    rows = np.zeros(s.sessions_count, SECTIONS["sessions"])
    cdef SessionRow* row = <SessionRow*>address(rows)
    cdef uint32_t place
    place = session_after(s, 0)
    while place:
        row.session_id = s.sessions[place].session_id
        row.ref = s.sessions[place].ref
        row += 1
        place = session_after(s, place)
    return rows[np.argsort(rows["session_id"])]

cdef object save_client_order_ids(State* s):
    cdef uint64_t count = labels_count(&s.labels), at
    rows = np.zeros(count, SECTIONS["client_order_ids"])
    cdef ClientOrderIdRow* row = <ClientOrderIdRow*>address(rows)
    for at in range(count):
        row[at] = s.labels.rows[at + 1].row
    return rows[client_order_id_order(rows)]

# -- loaded --------------------------------------------------------------------------------------

cdef int load(State* s, object snapshot) except -1:
    # The snapshot is decoded, so its ids are known, its rows in order and its values in range.
    s.next_offset = snapshot.next_offset
    s.next_event = snapshot.next_event
    s.time_ns = snapshot.time_ns
    s.epoch = snapshot.epoch
    s.leader = snapshot.leader
    s.trading_date = snapshot.trading_date
    s.fees = snapshot.fees
    s.cash = snapshot.cash
    load_participants(s, snapshot.participants.tobytes())
    load_accounts(s, snapshot.accounts.tobytes())
    load_holdings(s, snapshot.holdings.tobytes())
    load_instruments(s, snapshot.instruments.tobytes())
    load_auctions(s, snapshot.auctions.tobytes())
    load_orders(s, snapshot.orders, snapshot.order_terms)
    count_positions(s)
    load_sessions(s, snapshot.sessions.tobytes())
    load_client_order_ids(s, snapshot.client_order_ids)
    return 0

cdef int load_accounts(State* s, bytes rows) except -1:
    cdef const AccountRow* row = <const AccountRow*>PyBytes_AS_STRING(rows)
    cdef size_t at
    cdef uint32_t place
    for at in range(len(rows) // sizeof(AccountRow)):
        place = account_add(s, row[at].account_id, row[at].participant)
        s.accounts[place].available = row[at].available
        s.accounts[place].held = row[at].held
        s.accounts[place].locked = row[at].locked
        s.owners[place].stp_group = row[at].stp_group
        if row[at].suspended or row[at].position_max or row[at].order_rate or row[at].rate_second:
            load_controls(controls_of(s, place), &row[at])
    return 0

cdef int load_participants(State* s, bytes rows) except -1:
    cdef const ParticipantRow* row = <const ParticipantRow*>PyBytes_AS_STRING(rows)
    cdef Controls* controls
    cdef size_t at
    for at in range(len(rows) // sizeof(ParticipantRow)):
        controls = &s.controls[participant_add(s, row[at].participant)]
        controls.suspended = <uint32_t>row[at].suspended
        controls.position_max = row[at].position_max
        controls.order_rate = row[at].order_rate
        controls.rate_count = row[at].rate_count
        controls.rate_second = row[at].rate_second
    return 0

cdef void load_controls(Controls* controls, const AccountRow* row) noexcept:
    controls.suspended = row.suspended
    controls.position_max = row.position_max
    controls.order_rate = row.order_rate
    controls.rate_count = row.rate_count
    controls.rate_second = row.rate_second

cdef int load_holdings(State* s, bytes rows) except -1:
    cdef const HoldingRow* row = <const HoldingRow*>PyBytes_AS_STRING(rows)
    cdef size_t at
    cdef uint32_t account
    cdef Holding* holding
    for at in range(len(rows) // sizeof(HoldingRow)):
        account = account_find(s, row[at].account_id)
        holding = &s.holdings[holding_of(s, account, row[at].instrument_id)]
        holding.available = row[at].available
        holding.held = row[at].held
        holding.locked = row[at].locked
        holding.holding_max = row[at].holding_max
        if holding.holding_max:
            controls_of(s, account)
    return 0

cdef int load_instruments(State* s, bytes rows) except -1:
    cdef const InstrumentRow* row = <const InstrumentRow*>PyBytes_AS_STRING(rows)
    cdef size_t at
    cdef Instrument* i
    for at in range(len(rows) // sizeof(InstrumentRow)):
        instrument_add(s, row[at].instrument_id)
        i = s.instruments[row[at].instrument_id]
        i.phase = <uint8_t>row[at].phase
        memcpy(&i.parameters[TICK_SIZE], row[at].parameters, sizeof(row[at].parameters))
        i.reference = row[at].reference
        i.volume = row[at].volume
        i.turnover = row[at].turnover
        i.last_price = row[at].last_price
        i.units = row[at].units
        i.call_price = row[at].call_price
        i.change_at_ns = row[at].change_at_ns
        i.change_to = <uint8_t>row[at].change_to
        i.indicative.price = row[at].indicative_price
        i.indicative.volume = row[at].indicative_volume
        i.indicative.surplus = row[at].indicative_surplus
        derive(i)
    return 0

cdef int load_auctions(State* s, bytes rows) except -1:
    cdef const AuctionRow* row = <const AuctionRow*>PyBytes_AS_STRING(rows)
    cdef size_t at
    cdef Instrument* i
    for at in range(len(rows) // sizeof(AuctionRow)):
        i = s.instruments[row[at].instrument_id]
        i.auction.pricing = row[at].pricing
        i.auction.tie_break = row[at].tie_break
        i.auction.flags = row[at].flags
        i.auction.carry = row[at].carry
        i.auction.bid_max_bp = row[at].bid_max_bp
        i.auction.bid_multiple = row[at].bid_multiple
        i.auction.order_id = row[at].order_id
        i.auction.closes_ns = row[at].closes_ns
        i.auction.seed = row[at].seed
    return 0


cdef int load_orders(State* s, object rows, object terms) except -1:
    # Of arrays as they were decoded, which are too large to be copied.
    cdef const OrderRow* row = <const OrderRow*>address(rows)
    cdef const TermsRow* terms_row = <const TermsRow*>address(terms)
    cdef size_t count = len(rows), terms_count = len(terms)
    cdef size_t at
    cdef Instrument* i
    cdef uint32_t place
    cdef Order* o
    index_empty(&s.order_places, count)
    for at in range(count):
        if at + ROWS_AHEAD < count:
            await_row(s, &row[at + ROWS_AHEAD])
        place = order_new(s)
        o = &s.orders[place]
        o.order_id = row[at].order_id
        o.account = account_find(s, row[at].account_id)
        o.holding = holding_of(s, o.account, row[at].instrument_id)
        o.instrument_id = row[at].instrument_id
        o.side = row[at].side
        o.order_type = row[at].order_type
        o.queue = row[at].queue
        o.instructions = row[at].instructions
        o.session_id = row[at].session_id
        o.terms = load_terms(s, terms_row, terms_count, o.order_id)
        o.time_in_force = row[at].time_in_force
        o.size.quantity = row[at].quantity
        o.leaves = row[at].leaves
        o.price = <int32_t>row[at].price
        o.charged = row[at].charged
        o.size.uncharged = row[at].uncharged
        s.links[place].client_order_id = row[at].client_order_id
        if o.side == BUY:
            s.holdings[o.holding].buying += o.leaves
        i = s.instruments[o.instrument_id]
        i.has_stops |= o.queue == STOPS
        if o.instructions & FROM_QUOTE:
            s.holdings[o.holding].quote = o.order_id & ~<uint64_t>QUOTE_SELL_BIT
        book_rest(s, i, place)
    return 0

cdef void await_row(const State* s, const OrderRow* row) noexcept nogil:
    # What the order will touch and the rows before it did not: each would wait for it in turn.
    cdef uint32_t account = seat_of(row.account_id)
    cdef uint32_t holding = shelf_find(&s.accounts[account].shelf, row.instrument_id)
    index_await(&s.order_places, order_tag(row.order_id))
    prefetch(&s.links[s.holdings[holding].orders])

cdef uint32_t load_terms(
    State* s, const TermsRow* rows, size_t count, uint64_t order_id
) except? 0:
    # The rows rise by order id.
    cdef size_t low = 0, high = count, middle
    cdef uint32_t place
    while low < high:
        middle = (low + high) // 2
        if rows[middle].order_id < order_id:
            low = middle + 1
        else:
            high = middle
    if low == count or rows[low].order_id != order_id:
        return 0
    place = terms_new(s)
    s.terms[place].stop_price = rows[low].stop_price
    s.terms[place].display = rows[low].display_quantity
    s.terms[place].visible = rows[low].visible
    s.terms[place].expire_date = rows[low].expire_date
    s.terms[place].counterparty = rows[low].counterparty
    return place

cdef int load_sessions(State* s, bytes rows) except -1:
    cdef const SessionRow* row = <const SessionRow*>PyBytes_AS_STRING(rows)
    cdef size_t at
    for at in range(len(rows) // sizeof(SessionRow)):
        session_add(s, row[at].session_id, row[at].ref)
    return 0

cdef int load_client_order_ids(State* s, object rows) except -1:
    cdef uint64_t count = len(rows), at
    cdef const ClientOrderIdRow* row = <const ClientOrderIdRow*>address(rows)
    pool_grow(&s.labels.pool, count + 1)
    for at in range(count):
        s.labels.rows[at + 1].row = row[at]
    s.labels.pool.end = <uint32_t>count + 1
    return labels_reindex(&s.labels)

# -- checked -------------------------------------------------------------------------------------

cdef list check(const State* s):
    cdef list wrong = []
    cash_held = np.zeros(s.account_pool.end, np.int64)
    units_held = np.zeros(s.holding_pool.end, np.int64)
    cdef int64_t resting = check_books(
        s, wrong, <int64_t*>address(cash_held), <int64_t*>address(units_held)
    )
    if resting != s.orders_count or <int64_t>s.order_places.count != s.orders_count:
        wrong.append("orders known are not the orders that rest")
    check_terms(s, wrong)
    check_money(s, wrong, <const int64_t*>address(cash_held))
    check_units(s, wrong, <const int64_t*>address(units_held))
    check_own(s, wrong)
    wrong += check_positions(s)
    check_bounds(s, wrong)
    return wrong

cdef int64_t check_books(
    const State* s, list wrong, int64_t* cash_held, int64_t* units_held
) except -1:
    cdef const Instrument* i
    cdef int64_t at
    cdef int side
    cdef uint32_t bid, ask
    cdef int64_t resting = 0
    for at in range(s.instruments_count):
        i = s.instruments[s.instrument_ids[at]]
        for side in range(BUY, SIDES + 1):
            resting += check_side(s, i, side, wrong, cash_held, units_held)
        check_stops(s, i, wrong)
        check_auction(s, i, wrong)
        bid = i.sides[BUY].best
        ask = i.sides[SELL].best
        if i.phase != CONTINUOUS or i.parameters[POLICY] != PRICE_TIME:
            continue
        if bid and ask and s.orders[s.levels[bid].head].price >= s.orders[s.levels[ask].head].price:
            wrong.append(f"instrument {i.instrument_id}: the book is crossed")
    return resting

cdef int check_auction(const State* s, const Instrument* i, list wrong) except -1:
    # One auction at most, with its offer, and no bid without it.
    cdef int offers = 2 * (OFFERS - BOOK), bids = 2 * (BIDS - BOOK), side, sides = 0
    cdef uint32_t level = 0
    for side in range(BUY, SELL + 1):
        if i.sides[offers + side].best:
            level = i.sides[offers + side].best
            sides += 1
            if i.sides[bids + side].best:
                wrong.append(f"instrument {i.instrument_id}: a bid without an auction")
        elif i.sides[bids + side].best and not i.sides[offers + BUY + SELL - side].best:
            wrong.append(f"instrument {i.instrument_id}: a bid without an auction")
    if (sides > 1 or i.auction.order_id != s.orders[s.levels[level].head].order_id
            or s.levels[level].head != s.levels[level].tail):
        wrong.append(f"instrument {i.instrument_id}: offers are not those of its auctions")
    return 0


cdef int check_stops(const State* s, const Instrument* i, list wrong) except -1:
    cdef uint32_t buy = i.sides[2 * (STOPS - BOOK) + BUY].best
    cdef uint32_t sell = i.sides[2 * (STOPS - BOOK) + SELL].best
    cdef bint is_heard = i.phase == CONTINUOUS and i.last_price != 0
    if (buy or sell) and not i.has_stops:
        wrong.append(f"instrument {i.instrument_id}: its stops are forgotten")
    if buy and is_heard and stop_price(s, buy) <= i.last_price:
        wrong.append(f"instrument {i.instrument_id}: a triggered stop waits")
    if sell and is_heard and stop_price(s, sell) >= i.last_price:
        wrong.append(f"instrument {i.instrument_id}: a triggered stop waits")
    return 0

cdef int64_t stop_price(const State* s, uint32_t level) noexcept:
    return s.terms[s.orders[s.levels[level].head].terms].stop_price

cdef int64_t check_side(
    const State* s, const Instrument* i, int side, list wrong, int64_t* cash_held,
    int64_t* units_held,
) except -1:
    cdef uint32_t at = i.sides[side].best, place, previous
    cdef int64_t quantity, last_key = -1, resting = 0
    cdef const Order* o
    name = f"instrument {i.instrument_id}"
    while at:
        if s.levels[at].head == 0:
            wrong.append(f"{name}: an empty level")
        if s.levels[at].key <= last_key:
            wrong.append(f"{name}: levels out of order")
            break  # the walk may go round in circles
        last_key = s.levels[at].key
        quantity = 0
        previous = 0
        place = s.levels[at].head
        while place:
            o = &s.orders[place]
            if place + ROWS_AHEAD < s.order_pool.end:  # most likely one that soon comes
                index_await(&s.order_places, order_tag(s.orders[place + ROWS_AHEAD].order_id))
            resting += 1
            quantity += o.leaves
            if o.side == BUY:
                cash_held[o.account] += hold_of(o, i.fee_max)
            else:
                units_held[o.holding] += o.leaves
            check_order(s, i, o, place, side, at, previous, name, wrong)
            previous = place
            place = s.links[place].next
        if s.levels[at].tail != previous or s.levels[at].quantity != quantity:
            wrong.append(f"{name}: a level does not add up")
        at = ladder_next(s, &i.sides[side], s.levels[at].key)
    return resting

cdef int check_order(
    const State* s, const Instrument* i, const Order* o, uint32_t place, int side, uint32_t level,
    uint32_t previous, object name, list wrong,
) except -1:
    if order_find(s, o.order_id) != place or 2 * (o.queue - BOOK) + o.side != side:
        wrong.append(f"{name}: order {o.order_id} is on the wrong side or lost")
    if s.links[place].previous != previous or o.level != level:
        wrong.append(f"{name}: order {o.order_id} is out of its queue")
    if order_key(s, i, o) != s.levels[level].key:
        wrong.append(f"{name}: order {o.order_id} is at the wrong level")
    if not 0 < o.leaves <= o.size.quantity:
        wrong.append(f"{name}: order {o.order_id} has the wrong leaves")
    if not is_shown_right(o, &s.terms[o.terms]):
        wrong.append(f"{name}: order {o.order_id} shows what it has not")
    if not -5_000 <= o.size.uncharged < 5_000:
        wrong.append(f"order {o.order_id}: charged is not the accrued fee")
    if s.holdings[o.holding].account != o.account:
        wrong.append(f"{name}: order {o.order_id} has another's holding")
    if o.instructions & FROM_QUOTE and (
        s.holdings[o.holding].quote != o.order_id & ~<uint64_t>QUOTE_SELL_BIT
        or (o.side == SELL) != (o.order_id & QUOTE_SELL_BIT != 0)
    ):
        wrong.append(f"{name}: order {o.order_id} is not of the last quote")
    return 0

cdef bint is_shown_right(const Order* o, const Terms* terms) noexcept:
    if o.queue != BOOK or terms.display == 0:
        return terms.visible == 0
    return 0 < terms.visible <= min(terms.display, o.leaves)

cdef int check_terms(const State* s, list wrong) except -1:
    # Each place of the pool is one order's, or free.
    cdef uint32_t place, gone = s.terms_free
    used = np.zeros(s.terms_pool.end, np.int64)
    used[0] = 1
    for place in range(1, s.order_pool.end):
        if s.orders[place].order_id and s.orders[place].terms:
            used[s.orders[place].terms] += 1
    while gone:
        used[gone] += 1
        gone = s.terms[gone].counterparty
    if (used != 1).any():
        wrong.append("terms without an order, or of two")
    return 0

cdef int check_money(const State* s, list wrong, const int64_t* cash_held) except -1:
    cdef uint32_t place
    cdef const Account* account
    cdef object total = s.fees
    place = account_after(s, 0)
    while place:
        account = &s.accounts[place]
        total += account.available
        total += account.held
        total += account.locked
        if min(account.available, account.locked) < 0:
            wrong.append(f"account {account.account_id}: cash is negative")
        if account.held != cash_held[place]:
            wrong.append(f"account {account.account_id}: cash held is not that of its orders")
        place = account_after(s, place)
    if total != s.cash:
        wrong.append("cash of the accounts and fees are not the cash of the market")
    return 0

cdef int check_units(const State* s, list wrong, const int64_t* units_held) except -1:
    cdef uint32_t place
    cdef const Holding* holding
    cdef int64_t at
    cdef object total, part
    cdef dict units = {}
    for place in range(1, s.holding_pool.end):
        holding = &s.holdings[place]
        account_id = s.accounts[holding.account].account_id
        name = f"holding of account {account_id} in {holding.instrument_id}"
        total = units.get(holding.instrument_id, 0)
        for part in (holding.available, holding.held, holding.locked):
            total += part
        units[holding.instrument_id] = total
        if min(holding.available, holding.locked) < 0:
            wrong.append(f"{name}: units are negative")
        if holding.held != units_held[place]:
            wrong.append(f"{name}: units held are not those of its orders")
    for at in range(s.instruments_count):
        i = s.instruments[s.instrument_ids[at]]
        if units.get(i.instrument_id, 0) != i.units:
            wrong.append(f"instrument {i.instrument_id}: units do not add up")
        if i.units > <int64_t>TOTAL_LIMIT:
            wrong.append("a total is above its limit")
    return 0

cdef int check_own(const State* s, list wrong) except -1:
    # Every live order is in the list of its holding, every holding in that of its account.
    cdef uint32_t place, holding, order, previous
    cdef int64_t orders = 0, holdings = 0, buying
    place = account_after(s, 0)
    while place:
        holding = s.accounts[place].holdings
        while holding:
            holdings += 1
            if s.holdings[holding].account != place:
                wrong.append(f"account {s.accounts[place].account_id}: has another's holding")
            holding = s.holdings[holding].next
        place = account_after(s, place)
    for place in range(1, s.holding_pool.end):
        order = s.holdings[place].orders
        previous = 0
        buying = 0
        while order:
            orders += 1
            if s.orders[order].holding != place or s.links[order].own_previous != previous:
                wrong.append(f"order {s.orders[order].order_id}: is in another's list")
            if s.orders[order].side == BUY:
                buying += s.orders[order].leaves
            previous = order
            order = s.links[order].own_next
        if s.holdings[place].buying != buying:
            wrong.append(f"holding {place}: what is being bought is not that of its orders")
    if orders != s.orders_count or holdings != s.holding_pool.end - 1:
        wrong.append("orders and holdings are not those of their owners")
    return 0

cdef int check_bounds(const State* s, list wrong) except -1:
    for name, count, bound in (
        ("orders", s.orders_count, s.orders_max),
        ("client order ids", labels_count(&s.labels), s.client_order_ids_max),
        ("accounts", s.accounts_count, s.accounts_max),
        ("sessions", s.sessions_count, s.sessions_max),
    ):
        if count > bound:
            wrong.append(f"more {name} than their limit")
    if s.cash > <int64_t>TOTAL_LIMIT:
        wrong.append("a total is above its limit")
    if min(s.cash, s.fees) < 0:
        wrong.append("a total is negative")
    return 0
