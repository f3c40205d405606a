# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""Sealed-bid auctions for the compiled engine: an offer, bids that nobody sees, one clearing.

The same as `matching.reference.auctions`, `.bids` and `.allocation`. Bids stand in levels by price,
so the clearing price is found without looking at a single bid; only the level where the offer runs
out is put in another order.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memset

from matching.draws cimport draw
from matching.entry cimport admit, body_of, deal, is_resent, order_of, sent_refusal
from matching.events cimport emit, emit_answer
from matching.labels cimport label_refusal, room_refusal
from matching.ladder cimport book_rest, book_remove, end_line, end_resting, ladder_next
from matching.layout cimport *
from matching.growth cimport raise_memory_error
from matching.self_trade cimport are_one
from matching.snapshot cimport ClientOrderIdRow
from matching.state cimport (
    Auction, BookSide, Instrument, Order, State,
    account_after, holding_find, is_outside_band, order_find, price_of,
)
from matching.ticks cimport tick_at

cdef extern from *:
    """
    #include <stdint.h>
    static inline int64_t cx_share(int64_t leaves, int64_t rest, int64_t asked) {
        return (int64_t)((unsigned __int128)leaves * (unsigned __int128)rest / asked);
    }
    """
    int64_t share "cx_share"(int64_t leaves, int64_t rest, int64_t asked) noexcept nogil

cdef enum:
    FLAGS = CANCEL_IF_SHORT | IRREVOCABLE | WHOLE_LOT | CANCEL_BELOW_RESERVE | IN_BAND

cdef struct Outcome:
    uint16_t reason  # why it is cancelled, NONE = it clears
    int64_t price  # of the last bid accepted
    int64_t sold

# -- the commands --------------------------------------------------------------------------------

cdef int auction_open(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil:
    cdef ClientOrderIdRow body
    cdef Auction auction
    cdef uint32_t own
    cdef int reason
    if c.side != BUY and c.side != SELL:
        return INVALID_SIDE
    read_terms(s, c, position, &auction)
    if not is_sound(&auction, c.quantity):
        return INVALID_AUCTION_TERMS
    body_of(c, OFFER, GTC, c.order_type, c.time_in_force, <uint64_t>closes_ns(s), &body)
    if is_resent(s, c, &body):
        return 0
    reason = sent_refusal(s, account, c, &body)
    if not reason and i.auction.order_id:
        reason = AUCTION_ALREADY_OPEN
    if not reason:
        reason = closing_refusal(s, &auction)
    if not reason:
        reason = offer_refusal(i, c)
    if not reason:
        reason = room_refusal(s, c)
    if reason:
        return reason
    own = order_of(s, c, account, position, &body, OFFERS)
    reason = admit(s, i, own, c, body.terms)
    if reason:
        return reason
    book_rest(s, i, own)
    i.auction = auction
    e = emit_answer(s, AUCTION_OPENED, c)
    e.order_id = position
    e.value = <int64_t>c.order_id
    if auction.closes_ns:
        e = say(s, BIDDING_CLOSES, &s.orders[own])
        e.value = auction.closes_ns
    return 0

cdef int auction_bid(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil:
    cdef ClientOrderIdRow body
    cdef uint32_t own
    cdef int reason
    cdef bint is_open = i.auction.order_id != 0 and i.auction.order_id == c.order_id
    if c.side != BUY and c.side != SELL:
        return INVALID_SIDE
    body_of(c, BID, GTC, 0, 0, 0, &body)
    if is_resent(s, c, &body):
        return 0
    if is_open and c.side == offer_of(s, i).side:
        return INVALID_SIDE
    reason = sent_refusal(s, account, c, &body)
    if not reason and not is_open:
        reason = AUCTION_NOT_OPEN
    if not reason:
        reason = closing_refusal(s, &i.auction)
    if not reason:
        reason = bid_refusal(s, i, account, c, 0)
    if not reason:
        reason = room_refusal(s, c)
    if not reason:
        reason = reserve_refusal(s, i, c.price)
    if reason:
        return reason
    own = order_of(s, c, account, position, &body, BIDS)
    reason = admit(s, i, own, c, body.terms)
    return reason if reason else book_rest(s, i, own)

cdef int auction_clear(State* s, Instrument* i, const CommandRecord* c) except -1 nogil:
    cdef Order* offer
    cdef Order sold
    cdef Outcome found
    if not is_named(i, c):
        return AUCTION_NOT_OPEN
    if c.price < 0:
        return PRICE_NOT_POSITIVE
    if c.price > PRICE_LIMIT:
        return PRICE_ABOVE_MAX
    if s.time_ns < i.auction.closes_ns:
        return BIDDING_NOT_CLOSED
    offer = offer_of(s, i)
    find_outcome(s, i, offer, c.price, &found)
    if found.reason:
        return call_off(s, i, found.reason)
    e = say(s, AUCTION_CLEARED, offer)
    e.price = found.price
    e.quantity = found.sold
    e.value = tonnes_bid(s, i, offer)
    e.client_order_id.tail = <uint64_t>i.auction.seed
    i.auction.seed ^= c.quantity
    e.client_order_id.head = <uint64_t>i.auction.seed
    sell(s, i, offer, &found)
    sold = offer[0]
    end_line(s, i, bids_against(i, &sold), BID_UNSUCCESSFUL)
    if sold.leaves:
        end_resting(s, i, order_find(s, sold.order_id), OFFER_UNSOLD)
    else:
        book_remove(s, i, order_find(s, sold.order_id))
    return carry(s, i, &sold)

cdef int auction_cancel(State* s, Instrument* i, const CommandRecord* c) except -1 nogil:
    if not is_named(i, c):
        return AUCTION_NOT_OPEN
    return call_off(s, i, AUCTION_CALLED_OFF)

# -- checks --------------------------------------------------------------------------------------

cdef void read_terms(
    const State* s, const CommandRecord* c, uint64_t position, Auction* a
) noexcept nogil:
    a.order_id = position
    a.pricing = c.order_type
    a.tie_break = c.time_in_force
    a.flags = <uint8_t>c.order_id
    a.carry = <uint8_t>(c.order_id >> 8)
    a.bid_max_bp = <uint16_t>(c.order_id >> 16)
    a.bid_multiple = <int64_t>(c.order_id >> 32)
    if a.bid_multiple == 0:
        a.bid_multiple = 1
    a.closes_ns = closes_ns(s)
    a.seed = s.behind.price if s.behind.kind == AUCTION_TERMS else 0

cdef int64_t closes_ns(const State* s) noexcept nogil:
    # Of the AUCTION_TERMS right behind the command at hand, 0 without.
    return s.behind.quantity if s.behind.kind == AUCTION_TERMS else 0

cdef bint is_sound(const Auction* a, int64_t offered) noexcept nogil:
    if a.pricing != UNIFORM and a.pricing != PAY_AS_BID:
        return False
    if not BY_TIME <= a.tie_break <= PRO_RATA:
        return False
    if a.flags & ~FLAGS or a.bid_max_bp > BP or a.closes_ns < 0:
        return False
    # Who must bid for the whole can neither be limited to a part of it nor be given one.
    if a.flags & WHOLE_LOT and (a.bid_max_bp or a.tie_break == PRO_RATA):
        return False
    return offered % a.bid_multiple == 0

cdef uint16_t offer_refusal(const Instrument* i, const CommandRecord* c) noexcept nogil:
    if c.quantity <= 0:
        return QUANTITY_NOT_POSITIVE
    if c.quantity > <int64_t>QUANTITY_LIMIT:
        return QUANTITY_ABOVE_MAX
    # Who buys must say what it pays at most.
    if c.price < 0 or (c.price == 0 and c.side == BUY):
        return PRICE_NOT_POSITIVE
    if c.price > PRICE_LIMIT:
        return PRICE_ABOVE_MAX
    if c.price % tick_at(i, c.price):
        return PRICE_NOT_TICK
    return value_refusal(c)

cdef uint16_t value_refusal(const CommandRecord* c) noexcept nogil:
    # The largest price times the largest quantity passes 63 bits, but not 64.
    if <uint64_t>c.price * <uint64_t>c.quantity > <uint64_t>VALUE_LIMIT:
        return VALUE_ABOVE_MAX
    return NONE

cdef uint16_t bid_refusal(
    const State* s, const Instrument* i, uint32_t account, const CommandRecord* c,
    int64_t replaced,
) noexcept nogil:
    # Of a bid in the auction that is open; `replaced` tonnes of the account's bids give way to it.
    cdef const Order* offer = offer_of(s, i)
    if c.quantity <= 0:
        return QUANTITY_NOT_POSITIVE
    if c.quantity > <int64_t>QUANTITY_LIMIT:
        return QUANTITY_ABOVE_MAX
    if c.quantity % i.auction.bid_multiple:
        return QUANTITY_NOT_LOT
    if i.auction.flags & WHOLE_LOT and c.quantity != offer.size.quantity:
        return QUANTITY_DIFFERS
    if i.auction.bid_max_bp and (
        bids_of_group(s, i, account) - replaced + c.quantity
        > offer.size.quantity * i.auction.bid_max_bp // BP
    ):
        return BID_ABOVE_MAX
    if c.price <= 0:
        return PRICE_NOT_POSITIVE
    if c.price > PRICE_LIMIT:
        return PRICE_ABOVE_MAX
    if c.price % tick_at(i, c.price):
        return PRICE_NOT_TICK
    if i.auction.flags & IN_BAND and is_outside_band(i, c.price):
        return PRICE_ABOVE_BAND if c.price > i.band_high else PRICE_BELOW_BAND
    return value_refusal(c)

cdef int64_t bids_of_group(
    const State* s, const Instrument* i, uint32_t account
) noexcept nogil:
    # Tonnes of the live bids of all accounts that are one with it. O(accounts).
    cdef int64_t found = 0
    cdef uint32_t other = account_after(s, 0)
    if s.owners[account].stp_group == 0:
        return bids_of(s, i, account)
    while other:
        if are_one(s, account, other):
            found += bids_of(s, i, other)
        other = account_after(s, other)
    return found

cdef int64_t bids_of(const State* s, const Instrument* i, uint32_t account) noexcept nogil:
    # Tonnes of the account's live bids.
    cdef uint32_t place = s.holdings[holding_find(s, account, i.instrument_id)].orders
    cdef int64_t found = 0
    while place:
        if s.orders[place].queue == BIDS:
            found += s.orders[place].leaves
        place = s.links[place].own_next
    return found

cdef uint16_t reserve_refusal(
    const State* s, const Instrument* i, int64_t price
) noexcept nogil:
    cdef const Order* offer = offer_of(s, i)
    return PRICE_BEYOND_RESERVE if is_beyond(price, offer.price, offer.side) else NONE

cdef uint16_t replaced_bid_refusal(
    const State* s, const Instrument* i, const CommandRecord* c, const Order* o
) noexcept nogil:
    # With the old bid out of the way; one that is fixed stays.
    cdef uint16_t reason = fixed_refusal(s, i, o)
    if not reason:
        reason = bid_refusal(s, i, o.account, c, o.leaves)
    if not reason:
        reason = label_refusal(s, c)
    return reason if reason else reserve_refusal(s, i, c.price)

cdef uint16_t fixed_refusal(
    const State* s, const Instrument* i, const Order* o
) noexcept nogil:
    # Why a bid can be neither withdrawn nor changed now; nothing holds another order.
    if o.queue != BIDS:
        return NONE
    return BID_IRREVOCABLE if i.auction.flags & IRREVOCABLE else closing_refusal(s, &i.auction)

cdef uint16_t closing_refusal(const State* s, const Auction* a) noexcept nogil:
    # From the closing time on.
    return BIDDING_CLOSED if 0 < a.closes_ns <= s.time_ns else NONE

cdef bint is_beyond(int64_t price, int64_t reserve, uint8_t offer_side) noexcept nogil:
    # Whether a bid is worse than what the offer asks at least; a reserve of 0 asks nothing.
    if reserve == 0:
        return False
    return price < reserve if offer_side == SELL else price > reserve

cdef bint is_named(const Instrument* i, const CommandRecord* c) noexcept nogil:
    return i.auction.order_id != 0 and (
        c.order_id == 0 or c.order_id == i.auction.order_id
    )

# -- who wins ------------------------------------------------------------------------------------

cdef Order* offer_of(const State* s, const Instrument* i) noexcept nogil:
    # Of the auction that is open.
    cdef uint32_t level = i.sides[2 * (OFFERS - 1) + SELL].best
    if level == 0:
        level = i.sides[2 * (OFFERS - 1) + BUY].best
    return &s.orders[s.levels[level].head]

cdef BookSide* bids_against(Instrument* i, const Order* offer) noexcept nogil:
    return &i.sides[2 * (BIDS - 1) + BUY + SELL - offer.side]

cdef int64_t tonnes_bid(const State* s, Instrument* i, const Order* offer) noexcept nogil:
    cdef const BookSide* side = bids_against(i, offer)
    cdef uint32_t level = side.best
    cdef int64_t found = 0
    while level:
        found += s.levels[level].quantity
        level = ladder_next(s, side, s.levels[level].key)
    return found

cdef void find_outcome(
    const State* s, Instrument* i, const Order* offer, int64_t reserve, Outcome* found
) noexcept nogil:
    cdef const BookSide* side = bids_against(i, offer)
    cdef uint32_t level = side.best
    cdef int64_t heard = 0
    cdef bint hears_all = (i.auction.flags & CANCEL_BELOW_RESERVE) != 0
    memset(found, 0, sizeof(Outcome))
    while level and heard < offer.leaves:
        if not hears_all and is_beyond(price_of(s, level), reserve, offer.side):
            break
        heard += s.levels[level].quantity
        found.price = price_of(s, level)
        level = ladder_next(s, side, s.levels[level].key)
    found.sold = min(heard, offer.leaves)
    if heard < offer.leaves and i.auction.flags & CANCEL_IF_SHORT:
        found.reason = AUCTION_SHORT
    elif found.price and is_beyond(found.price, reserve, offer.side):
        found.reason = AUCTION_BELOW_RESERVE

cdef int sell(
    State* s, Instrument* i, Order* offer, const Outcome* found
) except -1 nogil:
    # Level by level until what is sold is given out.
    cdef const BookSide* side = bids_against(i, offer)
    cdef int64_t unsold = offer.leaves - found.sold
    cdef uint32_t level
    while offer.leaves > unsold:
        level = side.best
        if s.levels[level].quantity <= offer.leaves - unsold:
            sell_level(s, i, offer, level, s.levels[level].quantity, found)
        elif i.auction.tie_break == BY_TIME:
            sell_level(s, i, offer, level, offer.leaves - unsold, found)
        else:
            sell_drawn(s, i, offer, level, offer.leaves - unsold, found)
    return 0

cdef int sell_level(
    State* s, Instrument* i, Order* offer, uint32_t level, int64_t rest, const Outcome* found
) except -1 nogil:
    # In the order of arrival. The level is gone with its last bid.
    cdef int64_t quantity
    while rest:
        quantity = min(s.orders[s.levels[level].head].leaves, rest)
        rest -= quantity
        award(s, i, offer, s.levels[level].head, quantity, found)
    return 0

cdef int award(
    State* s, Instrument* i, Order* offer, uint32_t place, int64_t quantity,
    const Outcome* found,
) except -1 nogil:
    cdef Order* bid = &s.orders[place]
    cdef int64_t fee_bp = i.parameters[AUCTION_FEE_BP]
    cdef int64_t price = found.price if i.auction.pricing == UNIFORM else bid.price
    s.levels[offer.level].quantity -= quantity
    s.levels[bid.level].quantity -= quantity
    deal(s, i, offer, bid, quantity, price, fee_bp, fee_bp, AUCTION_TRADE)
    return 0 if bid.leaves else book_remove(s, i, place)

# -- ties ----------------------------------------------------------------------------------------

cdef struct Tied:
    uint64_t chance
    uint64_t order_id
    int64_t quantity  # what it gets
    uint32_t place
    uint32_t arrival

cdef int compare_chances(const void* a, const void* b) noexcept nogil:
    cdef const Tied* left = <const Tied*>a
    cdef const Tied* right = <const Tied*>b
    if left.chance != right.chance:
        return 1 if left.chance > right.chance else -1
    return (left.order_id > right.order_id) - (left.order_id < right.order_id)

cdef int compare_arrivals(const void* a, const void* b) noexcept nogil:
    cdef uint32_t left = (<const Tied*>a).arrival
    cdef uint32_t right = (<const Tied*>b).arrival
    return (left > right) - (left < right)

cdef int sell_drawn(
    State* s, Instrument* i, Order* offer, uint32_t level, int64_t rest, const Outcome* found
) except -1 nogil:
    # At random, or pro rata with the last multiples at random.
    cdef uint32_t place = s.levels[level].head, count = 0, at
    cdef Tied* tied
    while place:
        count += 1
        place = s.links[place].next
    tied = <Tied*>malloc(count * sizeof(Tied))
    if tied == NULL:
        return raise_memory_error()
    place = s.levels[level].head
    for at in range(count):
        tied[at].order_id = s.orders[place].order_id
        tied[at].chance = draw(<uint64_t>i.auction.seed, tied[at].order_id)
        tied[at].quantity = s.orders[place].leaves
        tied[at].place = place
        tied[at].arrival = at
        place = s.links[place].next
    if i.auction.tie_break == PRO_RATA:
        rest -= share_out(tied, count, rest, s.levels[level].quantity, i.auction.bid_multiple)
        qsort(tied, count, sizeof(Tied), compare_chances)
        for at in range(<uint32_t>(rest // i.auction.bid_multiple)):
            tied[at].quantity += i.auction.bid_multiple
        qsort(tied, count, sizeof(Tied), compare_arrivals)
    else:
        qsort(tied, count, sizeof(Tied), compare_chances)
        for at in range(count):
            tied[at].quantity = min(tied[at].quantity, rest)
            rest -= tied[at].quantity
    for at in range(count):
        if tied[at].quantity:
            award(s, i, offer, tied[at].place, tied[at].quantity, found)
    free(tied)
    return 0

cdef int64_t share_out(
    Tied* tied, uint32_t count, int64_t rest, int64_t asked, int64_t multiple
) noexcept nogil:
    # Each its part rounded down to the multiple; the sum of them.
    cdef int64_t given = 0
    cdef uint32_t at
    for at in range(count):
        tied[at].quantity = share(tied[at].quantity, rest, asked) // multiple * multiple
        given += tied[at].quantity
    return given

# -- the end of an auction -----------------------------------------------------------------------

cdef EventRecord* say(State* s, uint8_t kind, const Order* offer) except NULL nogil:
    cdef EventRecord* e = emit(s, kind)
    e.side = offer.side
    e.instrument_id = offer.instrument_id
    e.account_id = s.accounts[offer.account].account_id
    e.order_id = offer.order_id
    return e

cdef int call_off(State* s, Instrument* i, uint16_t reason) except -1 nogil:
    cdef Order offer = offer_of(s, i)[0]
    e = say(s, AUCTION_CANCELLED, &offer)
    e.quantity = offer.leaves
    e.value = tonnes_bid(s, i, &offer)
    e.reason = reason
    end_line(s, i, bids_against(i, &offer), reason)
    end_resting(s, i, order_find(s, offer.order_id), reason)
    return carry(s, i, &offer)

cdef int carry(State* s, Instrument* i, const Order* offer) except -1 nogil:
    # What is left goes to the next auctions; the auction is over.
    cdef int64_t parts = i.auction.carry, multiple = i.auction.bid_multiple, at
    cdef int64_t units = offer.leaves // multiple
    memset(&i.auction, 0, sizeof(Auction))
    if units == 0:
        return 0
    for at in range(parts):
        e = say(s, AUCTION_CARRIED, offer)
        e.value = at + 1
        e.quantity = (units // parts + (at < units % parts)) * multiple
    return 0
