"""The canonical snapshot: the whole state of an engine as bytes, equal for both bodies.

A snapshot is a header, nine sections of fixed-width little-endian rows, and the BLAKE2b-256 of all
that stands before it. Every section has one order (ids rise; orders stand by instrument, bids
before asks, in priority, queue by queue), and rows that say nothing are left out, so equal states
give equal bytes and an engine restores what the other one wrote.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from matching.layout import (
    BP,
    PRICE_LIMIT,
    QUANTITY_LIMIT,
    TOTAL_LIMIT,
    AccountParameter,
    AuctionFlag,
    OrderType,
    Parameter,
    Phase,
    Pricing,
    Queue,
    Side,
    TieBreak,
    TimeInForce,
)
from matching.parameters import ACCOUNT_PARAMETER_RANGE, PARAMETER_RANGE
from matching.protocol import Limits

SNAPSHOT_MAGIC = 0x31535843  # "CXS1"
SNAPSHOT_VERSION = 6
HASH_SIZE = 32
NS_PER_SECOND = 1_000_000_000

Rows = npt.NDArray[np.void]
Columns = dict[str, npt.NDArray[Any]]

SNAPSHOT_HEADER = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u4"),
        ("next_offset", "<i8"),
        ("next_event", "<i8"),
        ("time_ns", "<i8"),
        ("epoch", "<i8"),
        ("leader", "<u8"),
        ("trading_date", "<i8"),
        ("fees", "<i8"),
        ("cash", "<i8"),
        ("orders_max", "<i8"),
        ("client_order_ids_max", "<i8"),
        ("accounts_max", "<i8"),
        ("sessions_max", "<i8"),
        ("accounts", "<i8"),
        ("participants", "<i8"),
        ("holdings", "<i8"),
        ("instruments", "<i8"),
        ("auctions", "<i8"),
        ("orders", "<i8"),
        ("order_terms", "<i8"),
        ("sessions", "<i8"),
        ("client_order_ids", "<i8"),
    ]
)

ACCOUNT_ROW = np.dtype(
    [
        ("account_id", "<u4"),
        ("suspended", "<u4"),
        ("participant", "<u8"),
        ("available", "<i8"),
        ("held", "<i8"),
        ("locked", "<i8"),  # proceeds of sales that are not settled
        ("stp_group", "<i8"),
        ("position_max", "<i8"),
        ("order_rate", "<u4"),
        ("rate_count", "<u4"),  # orders heard in that second
        ("rate_second", "<i8"),  # engine time // 1 s; 0, like the count, without a rate
    ]
)

PARTICIPANT_ROW = np.dtype(
    [
        ("participant", "<u8"),
        ("suspended", "<u8"),
        ("position_max", "<i8"),
        ("order_rate", "<u4"),
        ("rate_count", "<u4"),
        ("rate_second", "<i8"),
    ]
)
"""Participants whose row is all zeros are left out."""

HOLDING_ROW = np.dtype(
    [
        ("account_id", "<u4"),
        ("instrument_id", "<u2"),
        ("zero", "<u2"),
        ("available", "<i8"),
        ("held", "<i8"),
        ("locked", "<i8"),
        ("holding_max", "<i8"),
    ]
)

INSTRUMENT_ROW = np.dtype(
    [
        ("instrument_id", "<u2"),
        ("phase", "<u2"),
        ("change_to", "<u2"),  # the Phase that a pending change leads to
        ("zero", "<u2"),
        ("tick_size", "<i8"),
        ("lot_size", "<i8"),
        ("quantity_max", "<i8"),
        ("value_max", "<i8"),
        ("band_bp", "<i8"),
        ("protection_bp", "<i8"),
        ("maker_fee_bp", "<i8"),
        ("taker_fee_bp", "<i8"),
        ("resale_next_day", "<i8"),
        ("close_rule", "<i8"),
        ("close_volume_min", "<i8"),
        ("policy", "<i8"),
        ("quantity_min", "<i8"),
        ("collar_bp", "<i8"),
        ("volatility_bp", "<i8"),
        ("volatility_call_ms", "<i8"),
        ("random_end_ms", "<i8"),
        ("pick_levels", "<i8"),
        ("pick_oldest", "<i8"),
        ("block_open", "<i8"),
        ("block_quantity_min", "<i8"),
        ("block_band_bp", "<i8"),
        ("block_fee_bp", "<i8"),
        ("auction_fee_bp", "<i8"),
        ("holding_max", "<i8"),
        ("tick_from_2", "<i8"),
        ("tick_size_2", "<i8"),
        ("tick_from_3", "<i8"),
        ("tick_size_3", "<i8"),
        ("tonne_fee", "<i8"),
        ("fee_sides", "<i8"),
        ("reference", "<i8"),
        ("volume", "<i8"),
        ("turnover", "<i8"),
        ("last_price", "<i8"),
        ("units", "<i8"),
        ("call_price", "<i8"),  # of the day's last closing call, 0 = none
        ("change_at_ns", "<i8"),  # when a call ends by itself, 0 = it does not
        ("indicative_price", "<i8"),  # as last said
        ("indicative_volume", "<i8"),
        ("indicative_surplus", "<i8"),
    ]
)

AUCTION_ROW = np.dtype(
    [
        ("instrument_id", "<u2"),
        ("pricing", "u1"),
        ("tie_break", "u1"),
        ("flags", "u1"),
        ("carry", "u1"),  # over how many auctions an unsold volume is spread
        ("bid_max_bp", "<u2"),  # of the offer, the bids of one account together; 0 = no limit
        ("bid_multiple", "<i8"),
        ("order_id", "<u8"),  # of the offer, which stands among the orders
        ("closes_ns", "<i8"),  # from when on bids are not heard, 0 = until it is cleared
        ("seed", "<i8"),  # of the draw between bids of one price
    ]
)

ORDER_ROW = np.dtype(
    [
        ("order_id", "<u8"),
        ("account_id", "<u4"),
        ("instrument_id", "<u2"),
        ("side", "u1"),
        ("time_in_force", "u1"),
        ("quantity", "<i8"),  # the order's total
        ("leaves", "<i8"),
        ("price", "<i8"),
        ("charged", "<i8"),
        ("uncharged", "<i8"),  # accrued - 10000 x charged: from -5000 to 4999
        ("client_order_id", "S16"),
        ("session_id", "<u4"),  # of the trader; 0 = the venue
        ("order_type", "u1"),
        ("queue", "u1"),
        ("instructions", "u1"),
        ("zero", "u1"),
    ]
)

TERMS_ROW = np.dtype(
    [
        ("order_id", "<u8"),
        ("stop_price", "<i8"),
        ("display_quantity", "<i8"),
        ("visible", "<i8"),  # what the slice on display has left; 0 unless in the book
        ("expire_date", "<u4"),
        ("counterparty", "<u4"),  # account which may confirm a block
    ]
)
"""What only rare orders have, in rising order of id; orders with nothing of it have no row."""

SESSION_ROW = np.dtype([("session_id", "<u4"), ("zero", "<u4"), ("ref", "<i8")])

CLIENT_ORDER_ID_ROW = np.dtype(
    [
        ("client_order_id", "S16"),
        ("account_id", "<u4"),
        ("instrument_id", "<u2"),
        ("side", "u1"),
        ("order_type", "u1"),
        ("time_in_force", "u1"),
        ("zero", "V3"),
        ("terms", "<u4"),  # `matching.draws.digest` of the instructions and the terms
        ("order_id", "<u8"),
        ("quantity", "<i8"),
        ("price", "<i8"),
    ]
)

SECTIONS: dict[str, np.dtype[np.void]] = {
    "accounts": ACCOUNT_ROW,
    "participants": PARTICIPANT_ROW,
    "holdings": HOLDING_ROW,
    "instruments": INSTRUMENT_ROW,
    "auctions": AUCTION_ROW,
    "orders": ORDER_ROW,
    "order_terms": TERMS_ROW,
    "sessions": SESSION_ROW,
    "client_order_ids": CLIENT_ORDER_ID_ROW,
}
"""The sections in the order in which they stand."""

PARAMETER_FIELDS: dict[Parameter, str] = {p: p.name.lower() for p in Parameter}
"""The column of INSTRUMENT_ROW which holds a parameter."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot says, decoded: totals as integers, tables as structured arrays."""

    next_offset: int
    next_event: int
    time_ns: int
    epoch: int
    leader: int
    trading_date: int
    fees: int
    cash: int
    limits: Limits
    accounts: Rows
    participants: Rows
    holdings: Rows
    instruments: Rows
    auctions: Rows
    orders: Rows
    order_terms: Rows
    sessions: Rows
    client_order_ids: Rows


_RESTING = tuple(set(TimeInForce) - {TimeInForce.IOC, TimeInForce.FOK})
_CALLS = (Phase.OPENING_CALL, Phase.VOLATILITY_CALL, Phase.CLOSING_CALL)
_TOTALS = tuple(f.name for f in fields(Snapshot) if f.name != "limits" and f.name not in SECTIONS)


def encode(snapshot: Snapshot) -> bytes:
    """The bytes of a snapshot; the last 32 are the hash of the rest. O(state)."""
    header = np.zeros(1, SNAPSHOT_HEADER)
    header["magic"], header["version"] = SNAPSHOT_MAGIC, SNAPSHOT_VERSION
    for name in _TOTALS:
        header[name] = getattr(snapshot, name)
    for name, bound in snapshot.limits._asdict().items():
        header[name] = bound
    sections = [getattr(snapshot, name) for name in SECTIONS]
    for name, rows in zip(SECTIONS, sections, strict=True):
        header[name] = len(rows)
    parts = [np.ascontiguousarray(rows).data.cast("B") for rows in sections if len(rows)]
    parts.insert(0, memoryview(header.tobytes()))
    digest = blake2b(digest_size=HASH_SIZE)
    for part in parts:
        digest.update(part)
    return b"".join([*parts, digest.digest()])


def decode(data: bytes) -> Snapshot:
    """The snapshot in `data`; ValueError says what is wrong with the bytes. O(state log state)."""
    if len(data) < SNAPSHOT_HEADER.itemsize + HASH_SIZE:
        raise ValueError("snapshot is too short")
    header = np.frombuffer(data, SNAPSHOT_HEADER, count=1)[0]
    if header["magic"] != SNAPSHOT_MAGIC:
        raise ValueError("snapshot has the wrong magic")
    if header["version"] != SNAPSHOT_VERSION:
        raise ValueError(f"snapshot version {header['version']} is not {SNAPSHOT_VERSION}")
    counts = {name: int(header[name]) for name in SECTIONS}
    size = sum(counts[name] * row.itemsize for name, row in SECTIONS.items())
    if min(counts.values()) < 0 or len(data) != SNAPSHOT_HEADER.itemsize + size + HASH_SIZE:
        raise ValueError("snapshot has the wrong size")
    body = memoryview(data)[:-HASH_SIZE]
    if blake2b(body, digest_size=HASH_SIZE).digest() != data[-HASH_SIZE:]:
        raise ValueError("snapshot has the wrong hash")
    tables: dict[str, Any] = {}
    at = SNAPSHOT_HEADER.itemsize
    for name, row in SECTIONS.items():
        tables[name] = np.frombuffer(data, row, count=counts[name], offset=at)
        at += counts[name] * row.itemsize
    values: dict[str, Any] = {name: int(header[name]) for name in _TOTALS}
    limits = Limits(*(int(header[name]) for name in Limits._fields))
    snapshot = Snapshot(limits=limits, **values, **tables)
    wrong = _unsound(snapshot)
    if wrong:
        raise ValueError(f"snapshot is unsound: {'; '.join(wrong)}")
    return snapshot


def client_order_id_order(rows: Rows) -> npt.NDArray[np.int64]:
    """The permutation that sorts rows by account, then label. O(n log n)."""
    high, low = _label_words(rows)
    return np.lexsort((low, high, rows["account_id"]))


def _label_words(rows: Rows) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    # As big-endian words the labels compare as their bytes do, whatever zeros they hold.
    words = np.ascontiguousarray(rows["client_order_id"]).view(">u8").astype("=u8").reshape(-1, 2)
    return words[:, 0], words[:, 1]


def _among(values: npt.NDArray[Any], known: npt.NDArray[Any]) -> bool:
    """Whether all values are known; the known ones rise.

    A million rows name some thousand values: sorted and said once they are found ten times as fast.
    """
    if not len(known) or not len(values):
        return not len(values)
    values = np.sort(values)
    is_first = np.concatenate(([True], values[1:] != values[:-1]))
    values = values[is_first]
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return bool((known[at] == values).all())


def _never_falling(*keys: npt.NDArray[Any]) -> bool:
    """Whether no row falls behind the one before by the keys, most significant first."""
    above = np.zeros(max(len(keys[0]) - 1, 0), bool)
    equal = ~above
    for key in keys:
        above |= equal & (key[1:] > key[:-1])
        equal &= key[1:] == key[:-1]
    return bool((above | equal).all())


def _rising(*keys: npt.NDArray[Any]) -> bool:
    """Whether the rows are strictly rising by the keys, most significant first."""
    above = np.zeros(max(len(keys[0]) - 1, 0), bool)
    equal = ~above
    for key in keys:
        above |= equal & (key[1:] > key[:-1])
        equal &= key[1:] == key[:-1]
    return bool(above.all())


def _columns(rows: Rows) -> Columns:
    """The numbers of the rows, each column in one piece.

    What is asked for a dozen times would else be fetched a dozen times, row by row.
    """
    kept = [name for name in rows.dtype.names or () if rows.dtype[name].kind in "iu"]
    return {name: np.ascontiguousarray(rows[name]) for name in kept}


def _within(rows: Rows | Columns, name: str, low: int, high: int) -> bool:
    values = np.ascontiguousarray(rows[name])
    return not len(values) or (low <= int(values.min()) and int(values.max()) <= high)


def _unsound(s: Snapshot) -> list[str]:
    """What would lead an engine astray: order of rows, dangling ids, values out of range."""
    wrong: list[str] = []

    def need(fact: bool, words: str) -> None:
        if not fact:
            wrong.append(words)

    for name in ("next_offset", "next_event", "time_ns", "epoch", "fees", "cash"):
        need(getattr(s, name) >= 0, f"{name} is negative")
    need(max(s.fees, s.cash) <= TOTAL_LIMIT, "cash is above its limit")
    need(min(s.limits) >= 0, "a limit is negative")
    need(_rising(s.accounts["account_id"]), "accounts out of order")
    need(_rising(s.holdings["account_id"], s.holdings["instrument_id"]), "holdings out of order")
    need(_rising(s.instruments["instrument_id"]), "instruments out of order")
    need(_rising(s.participants["participant"]), "participants out of order")
    need(_rising(s.auctions["instrument_id"]), "auctions out of order")
    need(_rising(s.order_terms["order_id"]), "order terms out of order")
    need(_rising(s.sessions["session_id"]), "sessions out of order")
    labels = s.client_order_ids
    need(_rising(labels["account_id"], *_label_words(labels)), "client order ids out of order")
    for name, column in (
        ("accounts", "account_id"),
        ("instruments", "instrument_id"),
        ("sessions", "session_id"),
        ("orders", "order_id"),
        ("participants", "participant"),
    ):
        need(bool((getattr(s, name)[column] != 0).all()), f"{name} hold the id 0")
    owners = np.unique(s.accounts["participant"])
    need(_among(s.participants["participant"], owners), "participants: without an account")
    for name, rows in (("holdings", s.holdings), ("orders", s.orders), ("labels", labels)):
        need(_among(rows["account_id"], s.accounts["account_id"]), f"{name}: account")
        need(_among(rows["instrument_id"], s.instruments["instrument_id"]), f"{name}: instrument")
    known = s.instruments["instrument_id"]
    need(_among(s.auctions["instrument_id"], known), "auctions: instrument")
    for name, rows in (("accounts", s.accounts), ("holdings", s.holdings)):
        for column in ("available", "held", "locked"):
            if column in (rows.dtype.names or ()):
                need(_within(rows, column, 0, TOTAL_LIMIT), f"{name}: {column} out of range")
    for name, rows in (("accounts", s.accounts), ("participants", s.participants)):
        for parameter in AccountParameter:
            column = parameter.name.lower()
            if column in (rows.dtype.names or ()):
                low, high = ACCOUNT_PARAMETER_RANGE[parameter]
                need(_within(rows, column, low, high), f"{name}: {column} out of range")
        idle = rows["order_rate"] == 0
        is_counted = (rows["rate_count"] != 0) | (rows["rate_second"] != 0)
        need(not (idle & is_counted).any(), f"{name}: orders counted without a rate")
        now = s.time_ns // NS_PER_SECOND
        need(_within(rows, "rate_second", 0, now), f"{name}: rate_second out of range")
    is_limited = [s.participants[name] != 0 for name in ("suspended", "position_max", "order_rate")]
    need(bool(np.logical_or.reduce(is_limited).all()), "participants: a row that says nothing")
    need(_within(s.holdings, "holding_max", 0, TOTAL_LIMIT), "holdings: holding_max out of range")
    if not wrong:
        _check_instruments(s.instruments, need)
    if not wrong:
        _check_orders(s, need)
    if not wrong:
        _check_auctions(s, need)
    return wrong


def _check_instruments(rows: Rows, need: Any) -> None:
    for parameter, (low, high) in PARAMETER_RANGE.items():
        name = PARAMETER_FIELDS[parameter]
        need(_within(rows, name, low, high), f"instruments: {name} out of range")
    for start, tick in (("tick_from_2", "tick_size_2"), ("tick_from_3", "tick_size_3")):
        size = rows[tick][rows[start] > 0]
        is_sound = (size > 0) & (size % np.maximum(rows["tick_size"][rows[start] > 0], 1) == 0)
        need(bool(is_sound.all()), f"instruments: {tick} is no tick")
    need(_within(rows, "phase", min(Phase), max(Phase)), "instruments: unknown phase")
    need(_within(rows, "change_to", min(Phase), max(Phase)), "instruments: unknown phase to come")
    for name in ("reference", "last_price", "call_price", "indicative_price"):
        need(_within(rows, name, 0, PRICE_LIMIT), f"instruments: {name} out of range")
    for name in ("volume", "turnover", "units", "indicative_volume"):
        need(_within(rows, name, 0, TOTAL_LIMIT), f"instruments: {name} out of range")
    need(bool((rows["change_at_ns"] >= 0).all()), "instruments: change_at_ns is negative")
    called = np.isin(rows["phase"], _CALLS)
    for name in ("change_at_ns", "change_to", "indicative_price", "indicative_volume"):
        need(not rows[~called][name].any(), f"instruments: {name} outside a call")


def _places(rows: Columns, order_terms: Rows) -> npt.NDArray[Any]:
    """By what each order stands in its queue: prices rise or fall, stop prices the other way."""
    sign = np.where(rows["side"] == Side.BUY, -1, 1)
    place = np.where(np.isin(rows["queue"], (Queue.BOOK, Queue.BIDS)), rows["price"] * sign, 0)
    is_stop = rows["queue"] == Queue.STOPS
    if is_stop.any():
        at = np.searchsorted(order_terms["order_id"], rows["order_id"][is_stop])
        at = np.minimum(at, max(len(order_terms) - 1, 0))
        place[is_stop] = order_terms["stop_price"][at] * -sign[is_stop]
    return place


def _check_order_terms(orders: Columns, rows: Rows, ids: npt.NDArray[Any], need: Any) -> None:
    need(_among(rows["order_id"], ids), "order terms: unknown order")
    columns = [name for name in TERMS_ROW.names or () if name != "order_id"]
    says = np.zeros(len(rows), bool)
    for name in columns:
        says |= rows[name] != 0
    need(bool(says.all()), "order terms: a row says nothing")
    need(_within(rows, "stop_price", 0, PRICE_LIMIT), "order terms: stop price out of range")
    for name in ("display_quantity", "visible"):
        need(_within(rows, name, 0, QUANTITY_LIMIT), f"order terms: {name} out of range")
    dated = rows["order_id"][rows["expire_date"] != 0]
    until = orders["order_id"][orders["time_in_force"] == TimeInForce.GTD]
    need(bool(np.array_equal(dated, np.sort(until))), "order terms: expire date without GTD")
    stopped = rows["order_id"][rows["stop_price"] != 0]
    waiting = orders["order_id"][orders["queue"] == Queue.STOPS]
    need(_among(waiting, stopped), "order terms: a stop without its price")


def _check_orders(s: Snapshot, need: Any) -> None:
    rows = _columns(s.orders)
    ids = np.sort(rows["order_id"])
    need(_rising(ids), "orders: an order id stands twice")
    _check_order_terms(rows, s.order_terms, ids, need)
    need(_within(rows, "side", Side.BUY, Side.SELL), "orders: unknown side")
    need(_within(rows, "queue", min(Queue), max(Queue)), "orders: unknown queue")
    types = np.isin(rows["order_type"], tuple(OrderType))
    need(bool(types.all()), "orders: unknown order type")
    resting = np.isin(rows["time_in_force"], _RESTING)
    need(bool(resting.all()), "orders: time in force cannot rest")
    need(_within(rows, "leaves", 1, QUANTITY_LIMIT), "orders: leaves out of range")
    need(_within(rows, "quantity", 1, QUANTITY_LIMIT), "orders: quantity out of range")
    need(bool((rows["leaves"] <= rows["quantity"]).all()), "orders: leaves above quantity")
    # Only what is auctioned may have no price of its own.
    is_priced = (rows["price"] > 0) | (rows["queue"] == Queue.OFFERS)
    need(bool(is_priced.all()), "orders: price out of range")
    need(_within(rows, "price", 0, PRICE_LIMIT), "orders: price out of range")
    need(_within(rows, "charged", 0, TOTAL_LIMIT), "orders: charged out of range")
    need(_within(rows, "uncharged", -5_000, 4_999), "orders: uncharged out of range")
    at = np.searchsorted(s.instruments["instrument_id"], rows["instrument_id"])
    if len(s.orders):
        on_tick = rows["price"] % s.instruments["tick_size"][at] == 0
        need(bool(on_tick.all()), "orders: price off the tick")
    instrument, side = rows["instrument_id"].astype(np.int64), rows["side"]
    places = _places(rows, s.order_terms)
    need(_never_falling(instrument, rows["queue"], side, places), "orders out of order")
    labels = s.client_order_ids
    need(_within(labels, "side", Side.BUY, Side.SELL), "client order ids: unknown side")
    types = np.isin(labels["order_type"], tuple(OrderType))
    need(bool(types.all()), "client order ids: unknown order type")


def _check_auctions(s: Snapshot, need: Any) -> None:
    rows = s.auctions
    need(_within(rows, "pricing", min(Pricing), max(Pricing)), "auctions: unknown pricing")
    need(_within(rows, "tie_break", min(TieBreak), max(TieBreak)), "auctions: unknown tie-break")
    need(_within(rows, "flags", 0, sum(AuctionFlag)), "auctions: unknown flag")
    need(_within(rows, "bid_max_bp", 0, BP), "auctions: limit of the bids out of range")
    has_multiples = _within(rows, "bid_multiple", 1, 2**32 - 1)
    need(has_multiples, "auctions: multiple out of range")
    need(bool((rows["closes_ns"] >= 0).all()), "auctions: closes_ns is negative")
    offers = s.orders[s.orders["queue"] == Queue.OFFERS]
    are_same = np.array_equal(offers["instrument_id"], rows["instrument_id"])
    are_same = are_same and np.array_equal(offers["order_id"], rows["order_id"])
    need(are_same, "auctions: not those of the offers")
    bids = s.orders[s.orders["queue"] == Queue.BIDS]
    are_known = _among(bids["instrument_id"], rows["instrument_id"])
    need(are_known, "orders: a bid without an auction")
    if not (has_multiples and are_same and are_known):
        return
    for orders in (offers, bids):
        at = np.searchsorted(rows["instrument_id"], orders["instrument_id"])
        over = orders["leaves"] % rows["bid_multiple"][at]
        need(not over.any(), "orders: a bid or an offer is no multiple")
