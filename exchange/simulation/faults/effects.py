"""What a run really made, counted from the audited history: effects, not wishes.

A member may wish to cancel during a call and come too late; what counts here is an order that was
cancelled while its instrument was in a call. A campaign is held against these counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from exchange.messages.frames import (
    AccountParameter,
    Command,
    Event,
    EventRow,
    ExecInst,
    Liquidity,
    OrderType,
    Parameter,
    Phase,
    Pricing,
    Reason,
    Side,
    TieBreak,
    TimeInForce,
    TradeMethod,
)
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import InstructionRefused, RegistryItem, UnitsSurrendered
from exchange.simulation.faults.auctions import CANCELLED, CLEARED, Result
from exchange.simulation.faults.oracle import History

_CALLS = (Phase.OPENING_CALL, Phase.VOLATILITY_CALL, Phase.CLOSING_CALL)
_PHASES = {
    Phase.OPENING_CALL: "opening_call",
    Phase.CLOSING_CALL: "closing_call",
    Phase.HALT: "halt",
}
_STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)
_CALL_ORDERS = (TimeInForce.AT_THE_OPENING, TimeInForce.AT_THE_CLOSE)
_POST_ONLY = ExecInst.POST_ONLY | ExecInst.POST_ONLY_REPRICE
_ENDS = {
    Reason.CANCELLED_BY_REQUEST: "cancel",
    Reason.SELF_TRADE_PREVENTED: "order_self_trade",
    Reason.NOT_PERSISTENT: "order_fleeting",
    Reason.MINIMUM_QUANTITY_UNFILLED: "minimum_unfilled",
    Reason.DATE_EXPIRED: "date_expired",
    Reason.DAY_ENDED: "day_ended",
    Reason.CALL_ENDED: "call_ended",
    Reason.QUOTE_REPLACED: "quote_replaced",
    Reason.BLOCK_DECLINED: "block_declined",
    Reason.CANCELLED_IN_MASS: "cancelled_in_mass",
    Reason.BAND_MOVED: "band_moved",
    Reason.BID_UNSUCCESSFUL: "bid_unsuccessful",
}
_REFUSALS = {
    Reason.INSUFFICIENT_CASH: "order_short_of_funds",
    Reason.INSUFFICIENT_UNITS: "order_short_of_funds",
    Reason.POST_ONLY_WOULD_TRADE: "post_only_refused",
    Reason.EXPIRED: "window_missed",
    Reason.ACCOUNT_SUSPENDED: "refused_as_killed",
    Reason.MARKET_HALTED: "refused_as_halted",
    Reason.AUCTION_NOT_OPEN: "bid_too_late",
    Reason.PRICE_BEYOND_RESERVE: "bid_beyond_reserve",
}
_LABELS = range(Reason.CLIENT_ORDER_ID_REUSED_ORDER, Reason.CLIENT_ORDER_ID_REUSED_TERMS + 1)
_PLAIN = {
    Event.REFILLED: "refilled",
    Event.QUOTED: "quote",
    Event.CASH_WITHDRAWN: "withdrawal",
    Event.DAY_STARTED: "day_roll",
}


class _Effects:
    """One pass over a market's events."""

    def __init__(self, history: History, vintages: Mapping[int, int], shapes: Counter[str]) -> None:
        self._history, self._vintages, self._shapes = history, vintages, shapes
        self._phase: dict[int, int] = {}
        self._waits: dict[int, str] = {}  # orders that a trigger brings into the book
        self._limits: defaultdict[int, list[int]] = defaultdict(list)
        self._moved: tuple[int, int] = (-1, -1)  # the command of the last change of phase

    def note(self, offset: int, position: int, row: EventRow) -> None:
        """Counts the next event. O(1)."""
        shapes = self._shapes
        if row.kind in _PLAIN:
            shapes[_PLAIN[Event(row.kind)]] += 1
        elif row.kind == Event.ACCEPTED:
            self._accepted(position, row)
        elif row.kind == Event.TERMS_SET:
            shapes["order_iceberg"] += row.quantity > 0
            shapes["order_minimum"] += row.price > 0
            instructions = int.from_bytes(row.client_order_id[8:16], "little")
            shapes["order_post_only"] += bool(instructions & _POST_ONLY)
        elif row.kind == Event.CANCELLED:
            self._cancelled(offset, row)
        elif row.kind == Event.REJECTED:
            self._rejected(row)
        elif row.kind == Event.DUPLICATE:
            shapes["duplicate_answered"] += 1
            heard = self._history.heard[position]
            is_new = self._history.first.get((heard.session, heard.ref)) == position
            shapes["same_label_same_body"] += is_new
        elif row.kind == Event.FILL:
            self._filled(row)
        elif row.kind == Event.REPLACED:
            self._replaced(row)
        elif row.kind == Event.TRIGGERED:
            shapes[self._waits.pop(row.order_id, "triggered")] += 1
        else:
            self._switched(offset, row)

    def _accepted(self, position: int, row: EventRow) -> None:
        shapes = self._shapes
        shapes["order_market"] += row.order_type == OrderType.MARKET
        shapes["order_gtd"] += row.time_in_force == TimeInForce.GTD
        if self._history.heard[position].kind == Command.BLOCK_PROPOSE:
            shapes["block_proposed"] += 1
        if row.order_type in _STOPS:
            shapes["order_stop"] += 1
            self._waits[row.order_id] = "stop_triggered"
        elif row.time_in_force in _CALL_ORDERS:
            shapes["order_call_orders"] += 1
            self._waits[row.order_id] = "call_order_triggered"

    def _cancelled(self, offset: int, row: EventRow) -> None:
        shapes, name = self._shapes, _ENDS.get(Reason(row.reason))
        if name is not None:
            shapes[name] += 1
        is_call = self._phase.get(row.instrument_id) in _CALLS
        shapes["cancel_in_call"] += is_call and row.reason == Reason.CANCELLED_BY_REQUEST
        shapes["expired_at_phase_change"] += (
            self._moved == (offset, row.command_index) and row.reason != Reason.CANCELLED_BY_REQUEST
        )

    def _rejected(self, row: EventRow) -> None:
        self._shapes["rejected"] += 1
        name = _REFUSALS.get(Reason(row.reason))
        if name is not None:
            self._shapes[name] += 1
        self._shapes["same_label_other_body"] += row.reason in _LABELS

    def _filled(self, row: EventRow) -> None:
        shapes = self._shapes
        shapes[f"trade_{TradeMethod(row.reason).name.lower()}"] += 1
        if row.order_type == Liquidity.MAKER:
            shapes["block_confirmed"] += row.reason == TradeMethod.BLOCK_TRADE
            vintage = self._vintages.get(row.instrument_id, 0)
            shapes[f"trade_of_vintage_{vintage}"] += vintage > 0

    def _replaced(self, row: EventRow) -> None:
        if row.reason == Reason.SELF_TRADE_PREVENTED:
            self._shapes["self_trade_decremented"] += 1
        else:
            keeps = bool(row.order_type)
            self._shapes["replace_keeps_priority" if keeps else "replace_loses_priority"] += 1

    def _switched(self, offset: int, row: EventRow) -> None:
        """Phases, the kill switch, limits, and cancels of many."""
        shapes = self._shapes
        if row.kind == Event.PHASE_CHANGED:
            self._phase[row.instrument_id] = row.order_type
            self._moved = offset, row.command_index
            name = _PHASES.get(Phase(row.order_type))
            if name is not None:
                shapes[name] += 1
        elif row.kind == Event.MASS_CANCELLED:
            shapes["mass_cancel"] += 1
            shapes["mass_cancel_of_orders"] += row.value > 0
        elif row.kind == Event.PARTICIPANT_CHANGED:
            is_switch = row.order_type == AccountParameter.SUSPENDED
            shapes["kill_switch"] += is_switch and row.quantity > 0
            shapes["kill_lifted"] += is_switch and row.quantity == 0
        elif row.kind == Event.PARAMETER_CHANGED and row.order_type == Parameter.QUANTITY_MAX:
            before = self._limits[row.instrument_id]
            shapes["limit_tightened"] += bool(before) and row.quantity < before[-1]
            shapes["limit_loosened"] += bool(before) and row.quantity > before[-1]
            before.append(row.quantity)


_CALLED_OFF = {
    Reason.AUCTION_SHORT: "auction_short",
    Reason.AUCTION_BELOW_RESERVE: "auction_below_reserve",
    Reason.AUCTION_CALLED_OFF: "auction_called_off",
}


def count_auctions(results: Iterable[Result], shapes: Counter[str]) -> None:
    """Adds how one market's auctions ended. O(auctions)."""
    for result in results:
        if result.state == CANCELLED:
            shapes[_CALLED_OFF[Reason(result.reason)]] += 1
        if result.state != CLEARED:
            continue
        shapes["auction_cleared"] += 1
        shapes["auction_reverse"] += result.side == Side.BUY
        shapes["auction_pay_as_bid"] += result.pricing == Pricing.PAY_AS_BID
        shapes["auction_sold_in_part"] += 0 < result.sold < result.offered
        shapes["auction_carried"] += bool(result.carried)
        if result.is_tied:
            shapes[f"auction_tie_{TieBreak(result.tie_break).name.lower()}"] += 1


def count(
    history: History,
    items: Iterable[RegistryItem],
    vintages: Mapping[int, int],
    shapes: Counter[str],
) -> None:
    """Adds what one market's log and registry show; `vintages` by instrument. O(log)."""
    kinds = Counter(heard.kind for heard in history.heard.values())
    shapes["commands"] += sum(kinds.values())
    shapes["trades"] += history.positions.trades
    shapes["epochs"] += max(history.engine.epoch - 1, 0)
    shapes["settled_later"] += kinds[Command.SETTLE_TRADE]
    effects = _Effects(history, vintages, shapes)
    position_of = {
        number: heard.position for heard in history.heard.values() for number, _ in heard.rows
    }
    for number, offset, row in history.events:
        effects.note(offset, position_of.get(number, -1), row)
    for item in items:
        if isinstance(item, UnitsSurrendered):
            shapes["surrender_late" if item.is_late else "surrender_in_time"] += 1
        elif isinstance(item, InstructionRefused):
            shapes["unit_not_eligible"] += item.reason == RegistryReason.UNIT_NOT_ELIGIBLE
