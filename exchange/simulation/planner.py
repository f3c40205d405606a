"""From a published day to the trades which reproduce it: pure, seeded, exact where possible.

Given the row, the venue's band and the previous close, `plan_day` finds the reference price to
trade under (the smallest move that lets the published range in), and trades whose open, high, low
and volume are the published ones and whose average is the published one, or the nearest that whole
tonnes inside the range can give. What the row does not allow is marked, never hidden (`MARKS`).
Prices are minor units; one minor unit is the tick.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from exchange.simulation.pilots import PilotRules
from exchange.simulation.quotes import Quote

BP = 10_000
PRICE_MAX = 10**9
QUANTITY_MAX = 99_999  # listed orders of the Chinese markets stay below 100,000 t
CHUNKS_MAX = 12  # groups of trades a day besides open, high and low
SPREAD_BP = 50  # width of an agreement day's trades around their average

MARKS: dict[str, str] = {
    "a": "only an average was published (agreement trades): traded closely around it",
    "b": "average out of reach (it counts block trades, not in this venue yet): nearest one taken",
    "c": "no average was published: computed from turnover and volume",
    "f": "the published volume has a fraction of a tonne: cut to whole tonnes",
    "h": "the published high is below the low: taken the other way round",
    "o": "the published open lies outside the range or the band: not reachable",
    "p": "prices without volume: nothing to trade",
    "r": "market operations set a new reference price before the open",
    "s": "volume too small to show open, high and low",
    "t": "the published turnover contradicts average x volume: the average was followed",
    "v": "volume without any price (agreement trades): no listed trade possible",
    "w": "the range is wider than the venue's band: cut to it",
}


class Trade(NamedTuple):
    """One planned trade: minor units a tonne, tonnes."""

    price: int
    quantity: int


class DayPlan(NamedTuple):
    """What to trade, under which reference price (0 = none known), and what could not be met."""

    reference: int
    trades: tuple[Trade, ...]
    marks: str

    @property
    def turnover(self) -> int:
        """Minor units."""
        return sum(price * quantity for price, quantity in self.trades)

    @property
    def volume(self) -> int:
        """Tonnes."""
        return sum(quantity for _, quantity in self.trades)


class _Targets(NamedTuple):
    low: int
    high: int
    open: int | None
    turnover: int | None
    average: int | None  # None: not published, nothing to compare


def half_up(numerator: int, denominator: int) -> int:
    """`numerator / denominator` rounded half up, of non-negative integers."""
    return (2 * numerator + denominator) // (2 * denominator)


def band_of(reference: int, band_bp: int) -> tuple[int, int]:
    """The lowest and the highest price the engine takes; without band or reference, any."""
    if not (band_bp and reference):
        return 1, PRICE_MAX
    lower = half_up(reference * (BP - band_bp), BP)
    return max(1, lower), half_up(reference * (BP + band_bp), BP)


def reference_for(low: int, high: int, previous: int, band_bp: int) -> int:
    """The reference nearest to `previous` whose band holds low and high.

    Where the range is wider than any band, one whose band lies inside the range. O(log price).
    """
    previous = previous or (low + high) // 2
    if not band_bp:
        return previous
    least = _first(lambda price: band_of(price, band_bp)[1] >= high)
    most = _first(lambda price: band_of(price, band_bp)[0] > low) - 1
    floor, ceiling = min(least, most), max(least, most)
    return min(max(previous, floor, 1), ceiling)


def plan_day(quote: Quote, rules: PilotRules, previous: int, seed: int) -> DayPlan:
    """The trades of one row after a close of `previous` (0 = never traded).

    A pure function of its arguments. O(trades).
    """
    rng = random.Random(f"{seed}/{quote.day}/{quote.venue}/{quote.product}")
    marks = {"f"} if quote.is_cut else set()
    reference = previous
    if rules.opens_at_previous_close and quote.open:
        reference = quote.open
    targets = _targets(quote, rules, marks)
    if targets is None:
        if reference != previous:
            marks.add("r")
        return DayPlan(reference, (), "".join(sorted(marks)))
    moved = reference_for(targets.low, targets.high, reference, rules.band_bp)
    if rules.opens_at_previous_close and quote.open and moved != quote.open:
        marks.add("o")
    if moved != previous:
        marks.add("r")
    targets = _inside(targets, band_of(moved, rules.band_bp), marks)
    trades = _solve(targets, quote.volume or 0, rng, marks)
    return DayPlan(moved, tuple(trades), "".join(sorted(marks)))


def _first(holds: Callable[[int], bool]) -> int:
    """The smallest price for which a monotone predicate holds."""
    low, high = 1, 2 * PRICE_MAX
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _targets(quote: Quote, rules: PilotRules, marks: set[str]) -> _Targets | None:
    """What the row asks for; None when nothing can be traded."""
    volume = quote.volume or 0
    prices = (quote.open, quote.high, quote.low, quote.average)
    is_range = bool(quote.high and quote.low)
    average = quote.average or None
    if not volume:
        if any(prices[1:]) or (quote.open and not rules.opens_at_previous_close):
            marks.add("p")
        return None
    if average is None and quote.turnover:
        average = max(1, half_up(quote.turnover, volume))
        marks.add("c")
    if not (is_range or average):
        marks.add("v")
        return None
    turnover = None if average is None else _turnover(quote, average, marks)
    opening = None if rules.opens_at_previous_close else quote.open
    if quote.high and quote.low:
        if quote.high < quote.low:
            marks.add("h")
        low, high = sorted((quote.low, quote.high))
    else:
        marks.add("a")
        low, high = _around(turnover or 0, volume)
    if opening is not None and not low <= opening <= high:
        marks.add("o")
        opening = None if "a" in marks else min(max(opening, low), high)
    return _Targets(low, high, opening or None, turnover, average)


def _turnover(quote: Quote, average: int, marks: set[str]) -> int:
    """The published turnover where it agrees with the average, else average x volume."""
    volume = quote.volume or 0
    if quote.turnover is None or quote.is_cut:
        return average * volume
    if half_up(quote.turnover, volume) == average:
        return quote.turnover
    if abs(quote.turnover - average * volume) > volume:
        marks.add("t")
    return average * volume


def _around(turnover: int, volume: int) -> tuple[int, int]:
    """A narrow range in which `volume` tonnes can sum up to `turnover`."""
    base, rest = divmod(turnover, volume)
    spread = base * SPREAD_BP // BP if volume >= 8 else 0  # few tonnes: no room beside the average
    return max(1, base - spread), max(1, base + spread, base + (rest > 0))


def _inside(targets: _Targets, band: tuple[int, int], marks: set[str]) -> _Targets:
    """The targets cut to the band."""
    low, high = max(targets.low, band[0]), min(targets.high, band[1])
    if (low, high) == (targets.low, targets.high):
        return targets
    marks.add("w")
    opening = targets.open
    if opening is not None and not low <= opening <= high:
        marks.add("o")
        opening = min(max(opening, low), high)
    return targets._replace(low=low, high=high, open=opening)


def _solve(targets: _Targets, volume: int, rng: random.Random, marks: set[str]) -> list[Trade]:
    """Trades of `volume` tonnes: the open first, low and high shown, turnover as near as can be."""
    low, high = targets.low, targets.high
    turnover = targets.turnover
    if turnover is None:
        turnover = volume * rng.randint(low, high)
    opening = targets.open
    if opening is None:
        opening = min(max(half_up(turnover, volume), low), high)
        if targets.high > targets.low and volume < 3:
            opening = low
    shown = [opening, *(price for price in {low, high} if price != opening)]
    shown[1:] = sorted(shown[1:], key=lambda _: rng.random())
    if len(shown) > volume:
        marks.add("s")
        trades = _too_few(targets, turnover, volume)
    else:
        rest = volume - len(shown)
        left = min(max(turnover - sum(shown), rest * low), rest * high)
        others = [Trade(price, 1) for price in shown[1:]] + _fill(left, rest, low, high, rng)
        rng.shuffle(others)
        trades = [Trade(opening, 1), *others]
    reached = half_up(sum(price * quantity for price, quantity in trades), volume)
    if targets.average is not None and reached != targets.average and "s" not in marks:
        marks.add("b")
    return trades


def _too_few(targets: _Targets, turnover: int, volume: int) -> list[Trade]:
    """One or two tonnes which cannot show three prices: the average first, then the open."""
    low, high = targets.low, targets.high
    first = targets.open if targets.open is not None and volume > 1 else half_up(turnover, volume)
    first = min(max(first, low), high)
    if volume == 1:
        return [Trade(first, 1)]
    return [Trade(first, 1), Trade(min(max(turnover - first, low), high), 1)]


def _fill(turnover: int, volume: int, low: int, high: int, rng: random.Random) -> list[Trade]:
    """Trades of exactly `volume` and `turnover` inside [low, high], spread around the average.

    The base price takes all; a group of `up` tonnes `down x step` above and `down` tonnes `up x
    step` below it leaves the sum as it is.
    """
    if not volume:
        return []
    base, above = divmod(turnover, volume)
    trades = [Trade(base + 1, above)] if above else []
    at_base = volume - above
    for _ in range(rng.randint(1, CHUNKS_MAX)):
        up, down = rng.randint(1, 3), rng.randint(1, 3)
        step = min((high - base) // down, (base - low) // up)
        lots = min(at_base // (up + down), QUANTITY_MAX // 3)
        if not (step and lots):
            continue
        step, lots = rng.randint(1, step), rng.randint(max(1, lots // 8), lots)
        trades += [Trade(base + down * step, up * lots), Trade(base - up * step, down * lots)]
        at_base -= (up + down) * lots
    if at_base:
        trades.append(Trade(base, at_base))
    return [part for trade in trades for part in _split(trade)]


def _split(trade: Trade) -> list[Trade]:
    """Parts which one order may carry."""
    price, quantity = trade
    whole, rest = divmod(quantity, QUANTITY_MAX)
    return [Trade(price, QUANTITY_MAX)] * whole + ([Trade(price, rest)] if rest else [])
