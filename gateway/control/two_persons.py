"""What one operator may do alone, and what takes a second one: the rule, by what stands."""

from __future__ import annotations

from exchange.messages.frames import Parameter
from exchange.messages.operations import (
    CashDeposit,
    DayRoll,
    Lift,
    PhaseChange,
    Recorded,
    ReferencePrice,
    Resume,
    SetLimit,
)
from exchange.reference.venue import Instrument, Market
from gateway.control.limits import Standing, is_outside_bands, loosens
from gateway.control.trading_dates import is_ahead
from gateway.entry.decimals import to_minor
from gateway.entry.fields import limit_price

JUDGED = (CashDeposit, DayRoll, SetLimit, Resume, ReferencePrice)


def is_judged(request: Recorded) -> bool:
    """Whether it is judged by what stands who decides on it: it could let something through."""
    if isinstance(request, PhaseChange):
        return request.phase not in ("CLOSED", "HALT")
    return isinstance(request, JUDGED)


def needs_two(
    standing: Standing,
    market: Market,
    named: Instrument | None,
    who: str,
    request: Recorded,
    now_ns: int,
    message_rate: int,
) -> bool:
    """Whether a person needs a second one for a request. O(limits + hours).

    `named` is the instrument of its symbol, `message_rate` what holds where none was set. Refused
    where a figure cannot be read.
    """
    if isinstance(request, Lift):
        return True
    if isinstance(request, Resume):
        return bool(not request.symbol or standing.acts.market_halt)
    if isinstance(request, SetLimit):
        return loosens(standing, request, named.id if named else 0, message_rate)
    if isinstance(request, CashDeposit):
        amount = to_minor(request.amount, market.minor_digits, "amount")
        return _is_much(standing, market, who, amount, now_ns)
    if isinstance(request, ReferencePrice):
        return named is not None and _moves_band(standing, market, named, request)
    if isinstance(request, DayRoll):
        now = standing.positions.trading_date  # one that is not later is refused
        return request.trading_date > now and is_ahead(now, now_ns)
    return False


def alone_max(market: Market, request: Recorded) -> int | None:
    """Minor units that one person may move alone in a request's direction; None: it moves none.

    Refused where its amount cannot be read. O(1).
    """
    if not isinstance(request, CashDeposit):
        return None
    return _most(market, to_minor(request.amount, market.minor_digits, "amount"))


def _most(market: Market, amount: int) -> int:
    return market.withdrawal_alone_max if amount < 0 else market.deposit_alone_max


def _is_much(standing: Standing, market: Market, who: str, amount: int, now_ns: int) -> bool:
    """Whether a person would move more alone than one may, with the last day's. O(hours)."""
    before = standing.acts.alone.total(who, amount < 0, now_ns)
    return before + abs(amount) > _most(market, amount)


def _moves_band(
    standing: Standing, market: Market, named: Instrument, request: ReferencePrice
) -> bool:
    """Whether it lies outside a band about the reference in force, or about the day's first.

    The latter, so that nobody goes far in small steps.
    """
    price = limit_price(request.price, market)
    known = standing.positions.instruments.get(named.id)
    if known is None:
        return False
    bands = (known.parameters[Parameter.BAND_BP], known.parameters[Parameter.BLOCK_BAND_BP])
    return is_outside_bands((known.reference_price, known.opening_reference), bands, price)
