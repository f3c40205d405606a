"""The figures of a refusal: what was asked, and the limit that it met, as both stood then.

A reason's text says which limit and what to do; here is how far this request was beyond it. It is
a projection like the report that carries it: every gateway says the same of the same refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from exchange.decimals import from_minor
from exchange.messages.frames import AccountParameter, Command, Parameter, Side
from exchange.messages.price_limits import PriceLimits
from exchange.messages.reasons import Reason
from exchange.positions import InstrumentState, Positions
from exchange.reference.venue import Market
from gateway.views.controls import Controls


class Asked(NamedTuple):
    """What a refused command asked for; 0 and empty where it does not say."""

    reason: int
    command: int
    side: str  # BUY or SELL
    order_type: str
    account: int
    instrument: int
    price: int  # minor units a tonne
    quantity: int  # tonnes


class Figures:
    """Of one market; `positions` and `controls` stand at the record of the refusal."""

    def __init__(self, market: Market, positions: Positions, controls: Controls) -> None:
        self._digits = market.minor_digits
        self._currency = market.currency
        self._positions = positions
        self._controls = controls
        self._limits: dict[int, PriceLimits] = {}  # by instrument

    def of(self, *asked: int | str) -> str:
        """Those of one refusal, given the fields of `Asked`; empty where there are none. O(1)."""
        wanted = Asked(*asked)  # type: ignore[arg-type]
        write = _WRITERS.get(wanted.reason)
        item = self._positions.instruments.get(wanted.instrument)
        if write is None or item is None:
            return ""
        if wanted.command == Command.QUOTE and wanted.side not in _SIDES.get(wanted.reason, _BOTH):
            return ""
        return write(self, wanted, item)

    def _quantity_max(self, asked: Asked, item: InstrumentState) -> str:
        return self._tonnes(asked, "quantity_max", item.parameters[Parameter.QUANTITY_MAX])

    def _quantity_min(self, asked: Asked, item: InstrumentState) -> str:
        if asked.command == Command.BLOCK_PROPOSE:
            least = item.parameters[Parameter.BLOCK_QUANTITY_MIN]
            return self._tonnes(asked, "block_quantity_min", least)
        return self._tonnes(asked, "quantity_min", item.parameters[Parameter.QUANTITY_MIN])

    def _lot(self, asked: Asked, item: InstrumentState) -> str:
        if asked.command == Command.AUCTION_BID:
            return ""  # the auction's own multiple
        return self._tonnes(asked, "lot_size", item.parameters[Parameter.LOT_SIZE])

    def _tick(self, asked: Asked, item: InstrumentState) -> str:
        tick = self._price_limits(item).tick_at(asked.price)
        return f"{self._price(asked)}, tick_size {self._money(tick)}"

    def _band(self, asked: Asked, item: InstrumentState) -> str:
        is_block = asked.command in (Command.BLOCK_PROPOSE, Command.BLOCK_CONFIRM)
        which = Parameter.BLOCK_BAND_BP if is_block else Parameter.BAND_BP
        band = self._price_limits(item).band(which)
        if band is None:
            return ""
        low, high = map(self._money, band)
        words = f"{'blocks' if is_block else 'today'} {low} to {high}"
        return f"{self._price(asked)}, {words}" if asked.price else words

    def _collar(self, asked: Asked, item: InstrumentState) -> str:
        if asked.order_type.startswith("STOP"):
            return ""  # measured against its own stop price
        limits = self._price_limits(item)
        edge = limits.collar(Side[asked.side])
        if edge is None:
            return ""
        word = "at most" if asked.side == "BUY" else "at least"
        base = self._money(limits.base)
        return f"{self._price(asked)}, {word} {self._money(edge)} (last price {base})"

    def _value(self, asked: Asked, item: InstrumentState) -> str:
        most = self._money(item.parameters[Parameter.VALUE_MAX])
        words = f"value_max {most} {self._currency}"
        value = self._money(asked.price * asked.quantity)
        return f"value {value}, {words}" if asked.price else words

    def _holding(self, asked: Asked, item: InstrumentState) -> str:
        own = self._controls.of_account(
            asked.account, AccountParameter.INSTRUMENT_HOLDING_MAX, asked.instrument
        )
        most = own or item.parameters[Parameter.HOLDING_MAX]
        held = self._positions.units(asked.account, asked.instrument).total
        return f"{self._tonnes(asked, 'holding_max', most)}, held {held} t"

    def _position(self, asked: Asked, _item: InstrumentState) -> str:
        words = self._limits_of(asked, AccountParameter.POSITION_MAX, "position_max", " t")
        return f"quantity {asked.quantity} t, {words}"

    def _order_rate(self, asked: Asked, _item: InstrumentState) -> str:
        return self._limits_of(asked, AccountParameter.ORDER_RATE, "order_rate", " a second")

    def _cash(self, asked: Asked, item: InstrumentState) -> str:
        needed = asked.price * asked.quantity
        there = self._positions.cash(asked.account).available
        words = f"available {self._money(there)} {self._currency}"
        if asked.command == Command.QUOTE:
            words += " beside what the old quote holds"
            return f"price x quantity {self._money(needed)}, {words}"
        is_told = needed > there and asked.command == Command.NEW_ORDER
        return f"price x quantity {self._money(needed)}, {words}" if is_told else words

    def _units(self, asked: Asked, item: InstrumentState) -> str:
        units = self._positions.units(asked.account, asked.instrument)
        words = f"available {units.available} t"
        words += f", in open orders {units.held} t" if units.held else ""
        words += f", locked {units.locked} t" if units.locked else ""
        return f"quantity {asked.quantity} t, {words}" if asked.quantity else words

    def _limits_of(self, asked: Asked, which: AccountParameter, name: str, unit: str) -> str:
        """What operators set of the account and of its participant, whichever is set."""
        account = self._positions.accounts.get(asked.account)
        participant = account.participant if account is not None else 0
        limits = (
            ("account", self._controls.of_account(asked.account, which)),
            ("participant", self._controls.of_participant(participant, which)),
        )
        return ", ".join(f"{name} of the {whose} {limit}{unit}" for whose, limit in limits if limit)

    def _price_limits(self, item: InstrumentState) -> PriceLimits:
        limits = self._limits.get(item.instrument_id)
        if limits is None:
            limits = self._limits[item.instrument_id] = PriceLimits(item.parameters)
        limits.stand(
            reference=item.reference_price, last=item.last_price, day_volume=item.day_volume
        )
        return limits

    def _tonnes(self, asked: Asked, name: str, limit: int) -> str:
        return f"quantity {asked.quantity} t, {name} {limit} t"

    def _price(self, asked: Asked) -> str:
        return f"price {self._money(asked.price)}"

    def _money(self, minor: int) -> str:
        return from_minor(minor, self._digits)


_BOTH = ("BUY", "SELL")
_SIDES: dict[int, tuple[str, ...]] = {  # of a quote, which a reason is about
    Reason.HOLDING_ABOVE_MAX: ("BUY",),
    Reason.POSITION_ABOVE_MAX: ("BUY",),
    Reason.INSUFFICIENT_CASH: ("BUY",),
    Reason.INSUFFICIENT_UNITS: ("SELL",),
}
Writer = Callable[[Figures, Asked, InstrumentState], str]
_WRITERS: dict[int, Writer] = {
    Reason.QUANTITY_ABOVE_MAX: Figures._quantity_max,
    Reason.QUANTITY_BELOW_MIN: Figures._quantity_min,
    Reason.QUANTITY_NOT_LOT: Figures._lot,
    Reason.PRICE_NOT_TICK: Figures._tick,
    Reason.PRICE_ABOVE_BAND: Figures._band,
    Reason.PRICE_BELOW_BAND: Figures._band,
    Reason.PRICE_OUTSIDE_COLLAR: Figures._collar,
    Reason.VALUE_ABOVE_MAX: Figures._value,
    Reason.HOLDING_ABOVE_MAX: Figures._holding,
    Reason.POSITION_ABOVE_MAX: Figures._position,
    Reason.ORDER_RATE_EXCEEDED: Figures._order_rate,
    Reason.INSUFFICIENT_CASH: Figures._cash,
    Reason.INSUFFICIENT_UNITS: Figures._units,
}
