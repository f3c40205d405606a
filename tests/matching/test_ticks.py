"""Rounding by a tick table, against all prices tried one by one."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from matching.layout import Parameter
from matching.reference.instruments import Instrument

HIGHEST = 260


def with_table(random: Random) -> Instrument:
    """Steps in any order, also ones that begin between two ticks."""
    instrument = Instrument(1)
    tick = random.randint(1, 4)
    instrument.parameters[Parameter.TICK_SIZE] = tick
    instrument.parameters[Parameter.TICK_SIZE_2] = tick * random.randint(1, 7)
    instrument.parameters[Parameter.TICK_SIZE_3] = tick * random.randint(1, 9)
    instrument.parameters[Parameter.TICK_FROM_2] = random.choice((0, random.randint(1, 200)))
    instrument.parameters[Parameter.TICK_FROM_3] = random.choice((0, random.randint(1, 200)))
    return instrument


def is_on_tick(i: Instrument, price: int) -> bool:
    """The rule as RULES.md has it."""
    if i[Parameter.TICK_FROM_3] and price >= i[Parameter.TICK_FROM_3]:
        return price % i[Parameter.TICK_SIZE_3] == 0
    if i[Parameter.TICK_FROM_2] and price >= i[Parameter.TICK_FROM_2]:
        return price % i[Parameter.TICK_SIZE_2] == 0
    return price % i[Parameter.TICK_SIZE] == 0


@pytest.mark.parametrize("seed", range(20))
def test_rounding(seed: int) -> None:
    random = Random(seed)
    instrument = with_table(random)
    good = [price for price in range(HIGHEST + 60) if is_on_tick(instrument, price)]
    for price in range(1, HIGHEST):
        assert instrument.round_down(price) == max(p for p in good if p <= price)
        assert instrument.round_up(price) == min(p for p in good if p >= price)
        exact = Fraction(10 * price + random.randint(0, 9), 10)
        nearest = min(good, key=lambda p: (abs(p - exact), -p))
        assert instrument.round_half_up(exact.numerator, exact.denominator) == nearest
