"""What an engine said, and what it holds, in the words of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from exchange.messages.frames import (
    AccountParameter,
    Event,
    EventRow,
    Instruction,
    Liquidity,
    OrderType,
    Parameter,
    Phase,
    Reason,
    SettlementStep,
    Side,
    fill_tail,
    seed_of,
    settlement_terms,
)
from exchange.messages.shapes import WORDS
from exchange.simulation.scenarios.words import MS, START_NS, Names, ScenarioError, decimal
from matching.layout import Pricing, Queue, TieBreak, TradeMethod
from matching.snapshot import Snapshot


def says(heard: str, expected: str) -> bool:
    """Whether the expected words stand in what was heard, in order, the name first."""
    words = iter(heard.split())
    wanted = expected.split()
    if not wanted or next(words, None) != wanted[0]:
        return False
    return all(word in words for word in wanted[1:])


# -- events ---------------------------------------------------------------------------------------


def render(names: Names, heard: Iterable[EventRow]) -> Iterator[str]:
    """Each event in words; the two fills of a trade as one TRADE."""
    rest = iter(heard)
    for e in rest:
        if e.kind == Event.FILL:
            yield _trade(names, e, next(rest))
        else:
            yield f"{Event(e.kind).name} {_details(names, e)}".strip()


def _trade(names: Names, maker: EventRow, taker: EventRow) -> str:
    same = ("quantity", "price", "instrument_id", "command_index", "reason")
    if (maker.order_type, taker.order_type) != (Liquidity.MAKER, Liquidity.TAKER) or any(
        getattr(maker, name) != getattr(taker, name) for name in same
    ):
        raise ScenarioError(f"not the two sides of one trade: {maker} {taker}")
    (maker_contra, maker_fee), (taker_contra, taker_fee) = fill_tail(maker), fill_tail(taker)
    if (maker.order_id, taker.order_id) != (taker_contra, maker_contra):
        raise ScenarioError(f"sides do not name each other: {maker} {taker}")
    return (
        f"TRADE {names.order(maker.order_id)} with {names.order(taker.order_id)}"
        f" {maker.quantity} @{decimal(maker.price)} leaves {maker.value} {taker.value}"
        f" fees {decimal(maker_fee)} {decimal(taker_fee)} {TradeMethod(maker.reason).name}"
    )


def _details(names: Names, e: EventRow) -> str:
    amount = decimal(e.value) if e.side == Side.BUY else str(e.value)
    order = names.order(e.order_id)
    who, what = names.account(e.account_id), names.instrument(e.instrument_id)
    match Event(e.kind):
        case Event.ACCEPTED:
            return f"{order} {e.quantity} @{decimal(e.price)} hold {amount}"
        case Event.REPLACED:
            place = "KEPT" if e.order_type else "MOVED"
            why = Reason(e.reason).name if e.reason else ""
            return f"{order} {e.quantity} @{decimal(e.price)} hold {amount} {place} {why}".strip()
        case Event.CANCELLED:
            return f"{order} {e.quantity} released {amount} {Reason(e.reason).name}"
        case Event.REJECTED | Event.FRAME_REFUSED:
            return Reason(e.reason).name
        case Event.DUPLICATE:
            return order
        case Event.CASH_DEPOSITED | Event.CASH_WITHDRAWN:
            return f"{who} {decimal(e.quantity)} total {decimal(e.value)}"
        case Event.UNITS_DEPOSITED | Event.UNITS_RELEASED | Event.UNITS_UNLOCKED:
            return f"{who} {what} {e.quantity} total {e.value}"
        case Event.DAY_CLOSED:
            day = f"volume {e.quantity} turnover {decimal(e.value)}"
            return f"{what} {decimal(e.price)} {day}"
        case _:
            return _other_details(names, e, who, what)


def _other_details(names: Names, e: EventRow, who: str, what: str) -> str:
    match Event(e.kind):
        case Event.PHASE_CHANGED:
            return f"{what} {Phase(e.order_type).name}"
        case Event.PARAMETER_CHANGED:
            return f"{what} {Parameter(e.order_type).name} {e.quantity}"
        case Event.ACCOUNT_CHANGED:
            of = f"{who} {what}" if e.instrument_id else who
            return f"{of} {AccountParameter(e.order_type).name} {e.quantity}"
        case Event.REFERENCE_CHANGED:
            return f"{what} {decimal(e.price)}"
        case Event.EPOCH_STARTED:
            return f"{e.quantity} node {e.order_id}"
        case Event.INSTRUCTED:
            return f"{Instruction(e.order_type).name} {who} {what} {e.quantity} {e.price}"
        case Event.NOTED:
            text = e.quantity.to_bytes(8, "little", signed=True)
            text += e.price.to_bytes(8, "little", signed=True)
            text += e.order_id.to_bytes(8, "little") + e.client_order_id
            return text.rstrip(b"\0").decode()
        case Event.DAY_STARTED:
            return str(e.quantity)
        case Event.ACCOUNT_OPENED:
            return who
        case _:
            return _call_details(names, e, what)


def _call_details(names: Names, e: EventRow, what: str) -> str:
    """Of calls, auctions, and orders with terms."""
    order = names.order(e.order_id)
    match Event(e.kind):
        case Event.TERMS_SET:
            until, bits = fill_tail(e)
            said = WORDS["instructions"].say(bits)
            instructions = " ".join(said) if isinstance(said, list) else str(said)
            terms = f"display {e.quantity} minimum {e.price} until {until}"
            return f"{order} stop {decimal(e.value)} {terms} {instructions}"
        case Event.TRIGGERED:
            amount = decimal(e.value) if e.side == Side.BUY else str(e.value)
            now = OrderType(e.order_type).name
            return f"{order} {now} {e.quantity} @{decimal(e.price)} hold {amount}"
        case Event.REFILLED:
            return f"{order} {e.quantity}"
        case Event.MASS_CANCELLED:
            return str(e.value)
        case Event.PARTICIPANT_CHANGED:
            return f"{e.order_id} {AccountParameter(e.order_type).name} {e.quantity}"
        case Event.QUOTED:
            sold, ask = fill_tail(e)
            bid = f"buy {e.quantity} @{decimal(e.price)}"
            return f"{names.account(e.account_id)} {what} {bid} sell {sold} @{decimal(ask)}"
        case Event.TRADE_SETTLED:
            to_buyer, trade_id = settlement_terms(e)
            step = SettlementStep(e.order_type).name
            parties = f"{names.account(e.account_id)} {names.account(e.order_id)} {what}"
            cash_moved = f"{decimal(e.price)} {decimal(to_buyer)}"
            return f"{step} {parties} {e.quantity} {cash_moved} trade {trade_id}"
        case Event.CALL_ENDING:
            return f"{what} {Phase(e.order_type).name}"
        case Event.INDICATIVE | Event.UNCROSSED:
            return f"{what} {e.quantity} @{decimal(e.price)} surplus {e.value}"
        case Event.AUCTION_OPENED:
            terms = f"{Pricing(e.order_type).name} {TieBreak(e.time_in_force).name}"
            return f"{order} {e.quantity} @{decimal(e.price)} {terms}"
        case Event.AUCTION_CLEARED:
            told = f"sold {e.quantity} @{decimal(e.price)} bid {e.value}"
            return f"{order} {told} seed {seed_of(e)}"
        case Event.AUCTION_CANCELLED:
            return f"{order} offered {e.quantity} bid {e.value} {Reason(e.reason).name}"
        case Event.AUCTION_CARRIED:
            return f"{order} {e.quantity} to {e.value}"
        case Event.BIDDING_CLOSES:
            return f"{order} {(e.value - START_NS) // MS}"
        case _:
            return what


# -- questions ------------------------------------------------------------------------------------


def queue(which: Queue, names: Names, state: Snapshot, name: str) -> list[str]:
    """The orders of an instrument that stand there, bids first, each side in its order."""
    rows = state.orders
    rows = rows[(rows["instrument_id"] == names.instruments[name]) & (rows["queue"] == which)]
    terms = state.order_terms
    visible = dict(zip(terms["order_id"].tolist(), terms["visible"].tolist(), strict=True))
    said = []
    for row in rows:
        side = Side(int(row["side"])).name.lower()
        order = names.order(int(row["order_id"]))
        shown = visible.get(int(row["order_id"]))
        part = f" visible {shown}" if shown else ""
        said.append(f"{side} {order} {row['leaves']} @{decimal(int(row['price']))}{part}")
    return said or ["empty"]


def cash(names: Names, state: Snapshot, who: str) -> list[str]:
    """An account's cash."""
    rows = state.accounts
    row = rows[rows["account_id"] == names.accounts[who]][0]
    purses = ("available", "held", "locked") if row["locked"] else ("available", "held")
    return [" ".join(f"{purse} {decimal(int(row[purse]))}" for purse in purses)]


def units(names: Names, state: Snapshot, who: str, name: str) -> list[str]:
    """An account's units of an instrument."""
    rows = state.holdings
    rows = rows[rows["account_id"] == names.accounts[who]]
    rows = rows[rows["instrument_id"] == names.instruments[name]]
    if not len(rows):
        return ["none"]
    return [" ".join(f"{part} {rows[0][part]}" for part in ("available", "held", "locked"))]


def fees(names: Names, state: Snapshot) -> list[str]:
    """The market's fees so far."""
    return [decimal(state.fees)]


QUESTIONS: dict[str, Callable[..., list[str]]] = {
    **{which.name.lower(): partial(queue, which) for which in Queue},
    "cash": cash,
    "units": units,
    "fees": fees,
}
"""Each is asked with the names, the engine's state, and the words of the line."""
