# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Damage to the state of a compiled engine, of every sort that its self-check looks for.

The engine is the one of `damage_rules.py`: orders 1 and 2 ask at one price and order 3 above it,
all of account 1; order 4 is a bid of account 2, 5 and 6 are stops, 7 an iceberg, 8 a quote;
places are those in which they came.
"""

from matching.compiled cimport Engine
from matching.controls cimport tonnes_add
from matching.layout cimport BIDS, BOOK, BUY, SELL, TOTAL_LIMIT
from matching.state cimport BookSide, Instrument, Level, State

cdef class Damage:
    """Breaks one thing in an engine by the name of a method."""

    cdef Engine engine
    cdef State* state
    cdef Instrument* instrument
    cdef Level* level

    def __cinit__(self, Engine engine not None):
        cdef BookSide* asks
        self.engine = engine
        self.state = &engine.state
        self.instrument = self.state.instruments[1]
        asks = &self.instrument.sides[SELL]
        self.level = &self.state.levels[asks.best]

    def count_of_orders(self):
        """One too many."""
        self.state.orders_count += 1

    def crossed(self):
        """A bid at the price of the best ask."""
        self.state.orders[4].price = self.state.orders[1].price

    def empty_level(self):
        """No order at the best price."""
        self.level.head = 0

    def key_of_the_next_level(self):
        """Not behind the best one."""
        self.state.levels[self.state.orders[3].level].key = self.level.key

    def quantity_of_a_level(self):
        """One too many."""
        self.level.quantity += 1

    def side(self):
        """An ask that says it is a bid."""
        self.state.orders[1].side = BUY

    def queue(self):
        """An order that says it is the first of its queue."""
        self.state.links[2].previous = 0

    def price(self):
        """Not that of its level."""
        self.state.orders[3].price += 1

    def leaves(self):
        """Nothing left of an order that rests."""
        self.state.orders[4].leaves = 0

    def uncharged(self):
        """More than rounding leaves."""
        self.state.orders[4].size.uncharged = 5_000

    def holding_of_an_order(self):
        """Of another account."""
        self.state.orders[1].holding = self.state.orders[4].holding

    def cash(self):
        """Less than nothing."""
        self.state.accounts[1].available = -1

    def cash_held(self):
        """For no order."""
        self.state.accounts[1].held += 1

    def cash_of_the_market(self):
        """One from nowhere."""
        self.state.cash += 1

    def cash_above_all_bounds(self):
        """More than is counted safely."""
        self.state.cash = <long long>TOTAL_LIMIT + 1

    def fees(self):
        """Less than nothing."""
        self.state.fees = -1

    def units(self):
        """Less than nothing."""
        self.state.holdings[self.state.orders[1].holding].available = -1

    def units_held(self):
        """For no order."""
        self.state.holdings[self.state.orders[1].holding].held += 1

    def units_of_the_instrument(self):
        """One from nowhere."""
        self.instrument.units += 1

    def units_above_all_bounds(self):
        """More than are counted safely."""
        self.instrument.units = <long long>TOTAL_LIMIT + 1

    def holding_of_an_account(self):
        """That of another one."""
        self.state.accounts[1].holdings = self.state.accounts[2].holdings

    def list_of_a_holding(self):
        """An order that says another comes before it."""
        self.state.links[1].own_previous += 1

    def limit_of_orders(self):
        """Below what rests."""
        self.state.orders_max = 1
    def stops_forgotten(self):
        """No word of the ones that wait."""
        self.instrument.has_stops = False

    def stop_to_buy_triggered(self):
        """And it waits."""
        self.instrument.last_price = 9_000

    def stop_to_sell_triggered(self):
        """And it waits."""
        self.instrument.last_price = 1

    def slice(self):
        """Nothing of an iceberg is shown."""
        self.state.terms[self.state.orders[7].terms].visible = 0

    def terms(self):
        """An order forgets its own."""
        self.state.orders[7].terms = 0

    def quote(self):
        """Another one than the sides are of."""
        self.state.holdings[self.state.orders[8].holding].quote += 1

    def bid_without_an_auction(self):
        """A queue of bids, and no offer."""
        self.instrument.sides[2 * (BIDS - BOOK) + BUY].best = self.instrument.sides[BUY].best

    def auction_without_an_offer(self):
        """An auction, and no order for it."""
        self.instrument.auction.order_id = 1

    def position(self):
        """One tonne that no account has."""
        tonnes_add(&self.state.controls[1].position, 1)


def end_of_memory(Engine engine not None):
    """From now on no more orders than the pool holds already can be had."""
    engine.state.order_pool.places = engine.state.order_pool.ready
