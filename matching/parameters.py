"""What INSTRUMENT_PARAMETER may set: defaults, ranges, and what needs an empty book."""

from __future__ import annotations

from matching.layout import (
    BP,
    FEE_BP_LIMIT,
    PRICE_LIMIT,
    QUANTITY_LIMIT,
    TOTAL_LIMIT,
    VALUE_LIMIT,
    CloseRule,
    Parameter,
)

PARAMETER_RANGE: dict[Parameter, tuple[int, int]] = {
    Parameter.TICK_SIZE: (1, PRICE_LIMIT),
    Parameter.LOT_SIZE: (1, QUANTITY_LIMIT),
    Parameter.QUANTITY_MAX: (1, QUANTITY_LIMIT),
    Parameter.VALUE_MAX: (1, VALUE_LIMIT),
    Parameter.BAND_BP: (0, BP),
    Parameter.PROTECTION_BP: (0, BP),
    Parameter.MAKER_FEE_BP: (0, FEE_BP_LIMIT),
    Parameter.TAKER_FEE_BP: (0, FEE_BP_LIMIT),
    Parameter.RESALE_NEXT_DAY: (0, 1),
    Parameter.CLOSE_RULE: (min(CloseRule), max(CloseRule)),
    Parameter.CLOSE_VOLUME_MIN: (0, TOTAL_LIMIT),
}
"""The lowest and the highest value of each parameter, both allowed."""

PARAMETER_DEFAULT: dict[Parameter, int] = {
    Parameter.TICK_SIZE: 1,
    Parameter.LOT_SIZE: 1,
    Parameter.QUANTITY_MAX: QUANTITY_LIMIT,
    Parameter.VALUE_MAX: VALUE_LIMIT,
    Parameter.BAND_BP: 0,
    Parameter.PROTECTION_BP: 500,
    Parameter.MAKER_FEE_BP: 0,
    Parameter.TAKER_FEE_BP: 0,
    Parameter.RESALE_NEXT_DAY: 0,
    Parameter.CLOSE_RULE: CloseRule.VWAP,
    Parameter.CLOSE_VOLUME_MIN: 0,
}
"""What INSTRUMENT_OPEN begins with."""

NEEDS_EMPTY_BOOK = frozenset(
    {
        Parameter.TICK_SIZE,
        Parameter.LOT_SIZE,
        Parameter.MAKER_FEE_BP,
        Parameter.TAKER_FEE_BP,
    }
)
"""Parameters on which the holds and the places of resting orders stand."""
