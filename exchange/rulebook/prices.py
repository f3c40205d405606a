"""Bands, closes, averages and ratios of a trading day. Prices in minor units a tonne."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from exchange.rulebook.allocation import BP, half_up
from exchange.rulebook.book import RulebookError
from exchange.rulebook.figures import require_whole
from exchange.rulebook.shapes import CompositePrice

Trade = tuple[int, int]  # price, tonnes


class Band(NamedTuple):
    """The lowest and the highest price that may be traded."""

    low: int
    high: int


def price_band(previous_close: int, limit_bp: int, tick: int) -> Band:
    """The band about the previous close, each edge half up to the tick. O(1).

    Source: Hubei FAQ 2015 and Shenzhen trading rules (half up); the width is the market's.
    """
    if previous_close <= 0 or tick <= 0 or not 0 <= limit_bp <= BP:
        raise ValueError("a close and a tick are above zero, a limit is 0..10000 basis points")
    low, high = (
        half_up(previous_close * (BP + change), BP * tick) * tick
        for change in (-limit_bp, limit_bp)
    )
    return Band(low, high)


def average_price(trades: Sequence[Trade]) -> int | None:
    """The volume-weighted average, half up to the minor unit; None without a trade. O(trades).

    ValueError for a negative price or quantity.
    """
    for price, quantity in trades:
        require_whole(price=price, quantity=quantity)
    volume = sum(quantity for _, quantity in trades)
    return half_up(sum(price * quantity for price, quantity in trades), volume) if volume else None


def close_price(trades: Sequence[Trade], open_price: int, volume_min: int) -> int:
    """The day's close: the average of its listed trades, the open price on a thin day. O(trades).

    A day is thin with no more than `volume_min` tonnes; 0 asks for a trade only. Sources: the
    Guangzhou exchange's notice of 2018-07-30 (100 t); announcement of 2021-06-22 for the national
    market, whose open price is the previous close. ValueError for a negative figure.
    """
    require_whole(open_price=open_price, volume_min=volume_min)
    average = average_price(trades)
    is_thin = sum(quantity for _, quantity in trades) <= volume_min
    return open_price if average is None or is_thin else average


def reserve_price(trades: Sequence[Trade], share_bp: int) -> int:
    """A share of the average price of listed trades, half up to the minor unit. O(trades).

    Sources: the Guangzhou exchange's PHCER notices (80 percent of three months), Shanghai 2024
    (120 percent of six months). RulebookError without a trade; ValueError for a negative figure.
    """
    for price, quantity in trades:
        require_whole(price=price, quantity=quantity)
    value = sum(price * quantity for price, quantity in trades)
    return reserve_of_turnover(value, sum(quantity for _, quantity in trades), share_bp)


def reserve_of_turnover(value: int, volume: int, share_bp: int) -> int:
    """`reserve_price` from what was traded: minor units for so many tonnes. O(1)."""
    require_whole(value=value, volume=volume, share_bp=share_bp)
    if not volume:
        raise RulebookError("no listed trade in the months that the reserve is taken from")
    return half_up(half_up(value, volume) * share_bp, BP)


def composite_price(rule: CompositePrice, on: dt.date, closes: Mapping[str, int]) -> int:
    """The index of a day from the closes of its vintages, half up. O(weights).

    RulebookError names the day without weights, or the vintage without a close; ValueError one
    below zero.
    """
    require_whole(**closes)
    for weights in rule.weights:
        if weights.from_ <= on and (weights.to is None or on <= weights.to):
            missing = [label for label in weights.sample if label not in closes]
            if missing:
                raise RulebookError(f"no close of {', '.join(missing)} on {on}")
            total = sum(closes[label] for label in weights.sample)
            return half_up(total * weights.weight_bp_each, BP)
    raise RulebookError(f"no weights of the composite price on {on}")


def order_to_trade(orders: int, trades: int) -> int | None:
    """Orders to trades less one, rounded down; None without a trade. O(1).

    In tonnes or in numbers; ValueError for a negative one. Source: RTS 9, Articles 1 to 3.
    """
    require_whole(orders=orders, trades=trades)
    return orders // trades - 1 if trades else None
