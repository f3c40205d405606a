"""What each sealed-bid auction had to give, computed from its terms and its bids alone.

A second reading of `matching/RULES.md`, "Sealed-bid auctions": it shares no code with the engines,
but for the drawing of lots, which is a published function. The events of each end, in their order,
must be those computed here; `results` are what brokers must be told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from exchange.messages.frames import (
    COMMAND,
    INDEX_BITS,
    AccountParameter,
    AuctionFlag,
    Command,
    Event,
    EventRow,
    Liquidity,
    MassCancelScope,
    OrderType,
    Pricing,
    Reason,
    Side,
    TieBreak,
    seed_of,
)
from exchange.simulation.faults.oracle import Heard, History
from exchange.simulation.faults.promises import require
from matching.draws import draw

BP = 10_000
OPEN, CLEARED, CANCELLED = "OPEN", "CLEARED", "CANCELLED"
_ENDS = (Event.AUCTION_CLEARED, Event.AUCTION_CANCELLED)
_TOLD = (Event.FILL, Event.CANCELLED, Event.AUCTION_CARRIED, *_ENDS)
Said = tuple[int, ...]  # an event as far as it is computed here


class Bid(NamedTuple):
    """A bid that stands: minor units a tonne, tonnes; `arrived` orders equal prices."""

    order_id: int
    account: int
    price: int
    quantity: int
    arrived: int


class Award(NamedTuple):
    """What a bid gets, and at which price: tonnes, minor units a tonne."""

    bid: Bid
    quantity: int
    price: int


class Result(NamedTuple):
    """An auction and what it had to give: minor units, tonnes, ns UTC."""

    auction_id: int
    instrument: int
    label: str
    side: int
    pricing: int
    tie_break: int
    offered: int
    reserve: int  # public, 0 = none
    opened_ns: int
    state: str = OPEN
    reason: int = 0
    ended_ns: int = 0
    price: int = 0
    bids: tuple[Bid, ...] = ()  # best first
    awards: tuple[Award, ...] = ()
    carried: tuple[int, ...] = ()
    closes_ns: int = 0  # until when bids are heard, 0 = until it is cleared
    is_tied: bool = False  # several bids at the price where the offer ran out

    @property
    def sold(self) -> int:
        """Tonnes. O(awards)."""
        return sum(award.quantity for award in self.awards)


class _Running:
    """An auction that is open, by its AUCTION_OPENED and the seed that was sent with it."""

    def __init__(self, row: EventRow, time_ns: int, seed: int) -> None:
        self.seed = seed
        packed = row.value % 2**64
        self.flags, self.carry = packed & 0xFF, packed >> 8 & 0xFF
        self.bid_max_bp, self.multiple = packed >> 16 & 0xFFFF, packed >> 32 or 1
        self.bids: dict[int, Bid] = {}
        self.result = Result(
            row.order_id, row.instrument_id,
            row.client_order_id.rstrip(b"\0").decode("ascii", "replace"),
            row.side, row.order_type, row.time_in_force, row.quantity, row.price, time_ns,
        )  # fmt: skip

    def queue(self) -> tuple[Bid, ...]:
        """The bids, the best first, of equal ones the first. O(bids log bids)."""
        sign = -1 if self.result.side == Side.SELL else 1
        return tuple(sorted(self.bids.values(), key=lambda b: (sign * b.price, b.arrived)))

    def beyond(self, price: int, reserve: int) -> bool:
        """Whether a price is worse than a reserve, 0 = none. O(1)."""
        worse = price < reserve if self.result.side == Side.SELL else price > reserve
        return bool(reserve) and worse


class Auctions:
    """The auctions of one market, followed through its history.

    Raises BrokenPromiseError (P13) where an event is not what its rules give. O(log + bids log
    bids an auction).
    """

    def __init__(self, history: History) -> None:
        self.results: dict[int, Result] = {}
        self._running: dict[int, _Running] = {}  # by instrument
        self._owners: dict[int, int] = {}  # participant by account
        self._groups: dict[int, int] = {}  # of accounts that count as one, by account
        self._times = {part.input_offset: part.time_ns for part in history.parts}
        for heard in history.heard.values():
            self._note(heard)

    def _note(self, heard: Heard) -> None:
        rows = [row for _, row in heard.rows]
        kinds = [row.kind for row in rows]
        time_ns = self._times.get(heard.position >> INDEX_BITS, 0)
        if any(kind in (Event.REJECTED, Event.DUPLICATE) for kind in kinds):
            return
        if heard.kind in (Command.AUCTION_CLEAR, Command.AUCTION_CANCEL):
            self._end(heard, rows, time_ns)
            return
        require(not set(kinds) & {*_ENDS}, "P13", f"{heard.position} ends an auction: {rows}")
        if heard.kind == Command.MASS_CANCEL:
            self._ended_in_mass(heard, rows)
            return
        for row in rows:
            if row.kind == Event.ACCOUNT_OPENED:
                self._owners[row.account_id] = row.order_id
            elif row.kind == Event.ACCOUNT_CHANGED:
                if row.order_type == AccountParameter.STP_GROUP:
                    self._groups[row.account_id] = row.quantity
            elif row.kind == Event.AUCTION_OPENED:
                running = _Running(row, time_ns, heard.seed)
                self._running[row.instrument_id] = running
                self.results[row.order_id] = running.result
            elif row.kind == Event.BIDDING_CLOSES:
                running = self._running[row.instrument_id]
                running.result = running.result._replace(closes_ns=row.value)
                self.results[row.order_id] = running.result
            elif row.kind == Event.ACCEPTED and row.order_type == OrderType.BID:
                self._in_time(heard.position, row, time_ns)
                self._bid(heard.position, heard.position, row)
            elif row.kind in (Event.REPLACED, Event.CANCELLED):
                self._changed(heard.position, row, time_ns)

    def _ended_in_mass(self, heard: Heard, rows: list[EventRow]) -> None:
        """A kill ends all bids of whom it names, whatever their terms; no other cancel does."""
        command = np.frombuffer(heard.body[: COMMAND.itemsize], COMMAND)[0]
        is_kill = int(command["time_in_force"]) == MassCancelScope.BIDS_TOO
        ended = {row.order_id for row in rows if row.kind == Event.CANCELLED}
        account, owner = int(command["account_id"]), int(command["order_id"])
        for running in self._running.values():
            for bid in list(running.bids.values()):
                is_owned = owner in (0, self._owners.get(bid.account))
                is_named = is_owned and account in (0, bid.account)
                is_right = (bid.order_id in ended) == (is_kill and is_named)
                require(is_right, "P13", f"{heard.position} ends others' bids, or not all: {bid}")
                if bid.order_id in ended:
                    del running.bids[bid.order_id]

    def _in_time(self, position: int, row: EventRow, time_ns: int) -> None:
        running = self._running.get(row.instrument_id)
        closes_ns = running.result.closes_ns if running is not None else 0
        is_late = 0 < closes_ns <= time_ns
        require(not is_late, "P13", f"{position} came after the bids closed: {row}")

    def _bid(self, position: int, arrived: int, row: EventRow) -> None:
        running = self._running.get(row.instrument_id)
        require(running is not None, "P13", f"bid {position} without an auction: {row}")
        assert running is not None  # noqa: S101 - just required
        own = running.result
        bid = Bid(row.order_id, row.account_id, row.price, row.quantity, arrived)
        running.bids[bid.order_id] = bid
        group = self._groups.get(bid.account, 0)
        asked = sum(
            b.quantity
            for b in running.bids.values()
            if b.account == bid.account or (group and self._groups.get(b.account) == group)
        )
        most = own.offered * running.bid_max_bp // BP if running.bid_max_bp else asked
        is_sound = (
            row.side != own.side
            and not running.beyond(bid.price, own.reserve)
            and bid.quantity % running.multiple == 0
            and asked <= most
        )
        require(is_sound, "P13", f"bid {position} is taken against the terms: {row}")

    def _changed(self, position: int, row: EventRow, time_ns: int) -> None:
        running = self._running.get(row.instrument_id)
        before = running.bids.pop(row.order_id, None) if running is not None else None
        if running is None or before is None:
            return
        self._in_time(position, row, time_ns)
        is_fixed = running.flags & AuctionFlag.IRREVOCABLE
        require(not is_fixed, "P13", f"an irrevocable bid was changed at {position}: {row}")
        if row.kind == Event.REPLACED:
            keeps = row.price == before.price and row.quantity < before.quantity
            full = row._replace(account_id=before.account, side=3 - running.result.side)
            self._bid(position, before.arrived if keeps else position, full)

    # -- the end --------------------------------------------------------------------------------

    def _end(self, heard: Heard, rows: list[EventRow], time_ns: int) -> None:
        command = np.frombuffer(heard.body[: COMMAND.itemsize], COMMAND)[0]
        running = self._running.pop(int(command["instrument_id"]), None)
        what = f"the end of an auction at {heard.position}"
        require(running is not None, "P13", f"{what}: none was open: {rows}")
        assert running is not None  # noqa: S101 - just required
        named = int(command["order_id"])
        own = running.result
        require(named in (0, own.auction_id), "P13", f"{what}: {named} is not open: {rows}")
        if heard.kind == Command.AUCTION_CANCEL:
            result = _called_off(running, Reason.AUCTION_CALLED_OFF)
        else:
            require(own.closes_ns <= time_ns, "P13", f"{what}: before its bids closed")
            running.seed ^= int(command["quantity"])
            result = _cleared(running, int(command["price"]))
        self.results[own.auction_id] = result._replace(ended_ns=time_ns)
        drawn_by = {seed_of(row) for row in rows if row.kind == Event.AUCTION_CLEARED}
        is_known = drawn_by <= {running.seed}
        require(is_known, "P13", f"{what}: drawn by {drawn_by}, not by {running.seed}")
        found = [_said(row) for row in rows if row.kind in _TOLD]
        expected = _events(running, result)
        for at in range(max(len(found), len(expected))):
            one = found[at] if at < len(found) else None
            other = expected[at] if at < len(expected) else None
            require(one == other, "P13", f"{what}, event {at} of it: {one} for {other}")


def _called_off(running: _Running, reason: int) -> Result:
    own = running.result
    carried = _parts(own.offered, running)
    return own._replace(state=CANCELLED, reason=reason, bids=running.queue(), carried=carried)


def _cleared(running: _Running, secret: int) -> Result:
    """The result for the secret reserve of the clearing. O(bids log bids)."""
    own, queue = running.result, running.queue()
    heard = queue
    if not running.flags & AuctionFlag.CANCEL_BELOW_RESERVE:
        heard = tuple(bid for bid in queue if not running.beyond(bid.price, secret))
    is_short = sum(bid.quantity for bid in heard) < own.offered
    if is_short and running.flags & AuctionFlag.CANCEL_IF_SHORT:
        return _called_off(running, Reason.AUCTION_SHORT)
    given, is_tied = _given(running, heard)
    last = given[-1][0].price if given else 0
    if given and running.beyond(last, secret):
        return _called_off(running, Reason.AUCTION_BELOW_RESERVE)
    is_uniform = own.pricing == Pricing.UNIFORM
    awards = tuple(Award(bid, tonnes, last if is_uniform else bid.price) for bid, tonnes in given)
    unsold = own.offered - sum(tonnes for _, tonnes in given)
    return own._replace(
        state=CLEARED, price=last, bids=queue, awards=awards, carried=_parts(unsold, running),
        is_tied=is_tied,
    )  # fmt: skip


def _given(running: _Running, heard: Iterable[Bid]) -> tuple[list[tuple[Bid, int]], bool]:
    """Which bids get how many tonnes, in the order of the trades; whether equal ones competed."""
    levels: dict[int, list[Bid]] = {}
    for bid in heard:
        levels.setdefault(bid.price, []).append(bid)
    left = running.result.offered
    given: list[tuple[Bid, int]] = []
    for level in levels.values():
        asked = sum(bid.quantity for bid in level)
        if asked > left:
            return given + _shared(running, level, left), len(level) > 1 and left > 0
        given += [(bid, bid.quantity) for bid in level]
        left -= asked
    return given, False


def _shared(running: _Running, level: list[Bid], left: int) -> list[tuple[Bid, int]]:
    """The price at which the offer runs out: by time, by lot, or pro rata with the rest by lot."""
    by_lot = sorted(level, key=lambda bid: (draw(running.seed, bid.order_id), bid.order_id))
    shares = dict.fromkeys((bid.order_id for bid in level), 0)
    rule, each = running.result.tie_break, running.multiple
    if rule == TieBreak.PRO_RATA:
        asked = sum(bid.quantity for bid in level)
        for bid in level:
            shares[bid.order_id] = bid.quantity * left // asked // each * each
        for bid in by_lot[: (left - sum(shares.values())) // each]:
            shares[bid.order_id] += each
        turn = level
    else:
        turn = by_lot if rule == TieBreak.AT_RANDOM else level
        for bid in turn:
            shares[bid.order_id] = min(bid.quantity, left)
            left -= shares[bid.order_id]
    return [(bid, shares[bid.order_id]) for bid in turn if shares[bid.order_id]]


def _parts(unsold: int, running: _Running) -> tuple[int, ...]:
    """What the next auctions get of it, by multiples, the first of them the most. O(carry)."""
    if not unsold or not running.carry:
        return ()
    lots = unsold // running.multiple
    each, more = lots // running.carry, lots % running.carry
    return tuple((each + (at < more)) * running.multiple for at in range(running.carry))


def _events(running: _Running, result: Result) -> list[Said]:
    """The events of an end, in their order. O(bids)."""
    asked = sum(bid.quantity for bid in result.bids)
    offer, left = result.auction_id, result.offered
    is_cleared = result.state == CLEARED
    found: list[Said] = [
        (Event.AUCTION_CLEARED, offer, result.price, result.sold, asked, 0)
        if is_cleared
        else (Event.AUCTION_CANCELLED, offer, 0, result.offered, asked, result.reason)
    ]
    rest = {bid.order_id: bid.quantity for bid in result.bids}
    for award in result.awards:
        left -= award.quantity
        bid = award.bid.order_id
        rest[bid] -= award.quantity
        said = award.quantity, award.price
        found.append((Event.FILL, Liquidity.MAKER, offer, *said, left))
        found.append((Event.FILL, Liquidity.TAKER, bid, *said, rest[bid]))
    reason = Reason.BID_UNSUCCESSFUL if is_cleared else result.reason
    found += [(Event.CANCELLED, bid, tonnes, reason) for bid, tonnes in rest.items() if tonnes]
    if left:
        reason = Reason.OFFER_UNSOLD if is_cleared else result.reason
        found.append((Event.CANCELLED, offer, left, reason))
    parts = enumerate(result.carried, 1)
    found += [(Event.AUCTION_CARRIED, offer, place, tonnes) for place, tonnes in parts]
    return [tuple(map(int, said)) for said in found]


def _said(row: EventRow) -> Said:
    if row.kind == Event.FILL:
        return row.kind, row.order_type, row.order_id, row.quantity, row.price, row.value
    if row.kind == Event.CANCELLED:
        return row.kind, row.order_id, row.quantity, row.reason
    if row.kind == Event.AUCTION_CARRIED:
        return row.kind, row.order_id, row.value, row.quantity
    return row.kind, row.order_id, row.price, row.quantity, row.value, row.reason
