"""What INSTRUMENT_PARAMETER may set: defaults, ranges, and what needs an empty book."""

from __future__ import annotations

from matching.layout import (
    BP,
    FEE_BP_LIMIT,
    PRICE_LIMIT,
    QUANTITY_LIMIT,
    TONNE_FEE_LIMIT,
    TOTAL_LIMIT,
    VALUE_LIMIT,
    AccountParameter,
    CloseRule,
    FeeSides,
    Parameter,
    Policy,
    Resale,
)

DAY_MS = 86_400_000

PARAMETER_RANGE: dict[Parameter, tuple[int, int]] = {
    Parameter.TICK_SIZE: (1, PRICE_LIMIT),
    Parameter.LOT_SIZE: (1, QUANTITY_LIMIT),
    Parameter.QUANTITY_MAX: (1, QUANTITY_LIMIT),
    Parameter.VALUE_MAX: (1, VALUE_LIMIT),
    Parameter.BAND_BP: (0, BP),
    Parameter.PROTECTION_BP: (0, BP),
    Parameter.MAKER_FEE_BP: (0, FEE_BP_LIMIT),
    Parameter.TAKER_FEE_BP: (0, FEE_BP_LIMIT),
    Parameter.RESALE_NEXT_DAY: (min(Resale), max(Resale)),
    Parameter.CLOSE_RULE: (min(CloseRule), max(CloseRule)),
    Parameter.CLOSE_VOLUME_MIN: (0, TOTAL_LIMIT),
    Parameter.POLICY: (min(Policy), max(Policy)),
    Parameter.QUANTITY_MIN: (0, QUANTITY_LIMIT),
    Parameter.COLLAR_BP: (0, BP),
    Parameter.VOLATILITY_BP: (0, BP),
    Parameter.VOLATILITY_CALL_MS: (0, DAY_MS),
    Parameter.RANDOM_END_MS: (0, DAY_MS),
    Parameter.PICK_LEVELS: (1, 1_000),
    Parameter.PICK_OLDEST: (0, 1),
    Parameter.BLOCK_OPEN: (0, 1),
    Parameter.BLOCK_QUANTITY_MIN: (1, QUANTITY_LIMIT),
    Parameter.BLOCK_BAND_BP: (0, BP),
    Parameter.BLOCK_FEE_BP: (0, FEE_BP_LIMIT),
    Parameter.AUCTION_FEE_BP: (0, FEE_BP_LIMIT),
    Parameter.HOLDING_MAX: (0, TOTAL_LIMIT),
    Parameter.TICK_FROM_2: (0, PRICE_LIMIT),
    Parameter.TICK_SIZE_2: (0, PRICE_LIMIT),
    Parameter.TICK_FROM_3: (0, PRICE_LIMIT),
    Parameter.TICK_SIZE_3: (0, PRICE_LIMIT),
    Parameter.TONNE_FEE: (0, TONNE_FEE_LIMIT),
    Parameter.FEE_SIDES: (min(FeeSides), max(FeeSides)),
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
    Parameter.RESALE_NEXT_DAY: Resale.AT_ONCE,
    Parameter.CLOSE_RULE: CloseRule.VWAP,
    Parameter.CLOSE_VOLUME_MIN: 0,
    Parameter.POLICY: Policy.PRICE_TIME,
    Parameter.QUANTITY_MIN: 0,
    Parameter.COLLAR_BP: 0,
    Parameter.VOLATILITY_BP: 0,
    Parameter.VOLATILITY_CALL_MS: 120_000,
    Parameter.RANDOM_END_MS: 30_000,
    Parameter.PICK_LEVELS: 5,
    Parameter.PICK_OLDEST: 0,
    Parameter.BLOCK_OPEN: 0,
    Parameter.BLOCK_QUANTITY_MIN: 1,
    Parameter.BLOCK_BAND_BP: 0,
    Parameter.BLOCK_FEE_BP: 0,
    Parameter.AUCTION_FEE_BP: 0,
    Parameter.HOLDING_MAX: 0,
    Parameter.TICK_FROM_2: 0,
    Parameter.TICK_SIZE_2: 0,
    Parameter.TICK_FROM_3: 0,
    Parameter.TICK_SIZE_3: 0,
    Parameter.TONNE_FEE: 0,
    Parameter.FEE_SIDES: FeeSides.BOTH,
}
"""What INSTRUMENT_OPEN begins with."""

NEEDS_EMPTY_BOOK = frozenset(
    {
        Parameter.TICK_SIZE,
        Parameter.LOT_SIZE,
        Parameter.MAKER_FEE_BP,
        Parameter.TAKER_FEE_BP,
        Parameter.POLICY,
        Parameter.BLOCK_FEE_BP,
        Parameter.AUCTION_FEE_BP,
        Parameter.TICK_FROM_2,
        Parameter.TICK_SIZE_2,
        Parameter.TICK_FROM_3,
        Parameter.TICK_SIZE_3,
        Parameter.TONNE_FEE,
        Parameter.FEE_SIDES,
    }
)
"""Parameters on which the holds and the places of live orders stand."""

ACCOUNT_PARAMETER_RANGE: dict[AccountParameter, tuple[int, int]] = {
    AccountParameter.SUSPENDED: (0, 1),
    AccountParameter.STP_GROUP: (0, TOTAL_LIMIT),
    AccountParameter.ORDER_RATE: (0, 1_000_000),
    AccountParameter.POSITION_MAX: (0, TOTAL_LIMIT),
    AccountParameter.INSTRUMENT_HOLDING_MAX: (0, TOTAL_LIMIT),
}
"""The lowest and the highest value of each parameter of an account; all begin at 0."""

OF_PARTICIPANTS = frozenset(
    {AccountParameter.SUSPENDED, AccountParameter.ORDER_RATE, AccountParameter.POSITION_MAX}
)
"""Those which PARTICIPANT_PARAMETER sets for all accounts of a participant together."""
