"""A venue's fee schedule of the rulebook's data, as parameters of the engine. Pure.

The engine charges a share of the value and an amount for each tonne, to both sides of a trade or to
one, and rounds the sum on the order as a whole: a schedule of several parts costs less than a minor
unit a fill and part more or less than `rulebook.fees` says of each trade alone, and never more than
half a minor unit from its exact sum. What a schedule has beyond that cannot be expressed, and the
venue file that names it is refused.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from exchange.messages.frames import BP, FEE_BP_LIMIT, TONNE_FEE_LIMIT, FeeSides
from exchange.rulebook.fees import FeeSchedule, FeeSchedules, load_fee_schedules

_SHARES = ("maker_fee_bp", "taker_fee_bp", "block_fee_bp", "auction_fee_bp")
_SIDES = {"both": FeeSides.BOTH, "buyer": FeeSides.BUYERS, "seller": FeeSides.SELLERS}
FEE_PARAMETERS = (*_SHARES, "tonne_fee", "fee_sides")


@lru_cache(maxsize=1)
def shipped() -> FeeSchedules:
    """The schedules of `fees.toml`, read once."""
    return load_fee_schedules()


def schedule_named(schedules: FeeSchedules, name: str) -> FeeSchedule:
    """The schedule with that id; ValueError names the known ones. O(schedules)."""
    for item in schedules.fee:
        if item.id == name:
            return item
    known = ", ".join(item.id for item in schedules.fee)
    raise ValueError(f"fee_schedule {name!r} is none of {known}")


def fee_parameters(schedule: FeeSchedule, currency: str) -> dict[str, int]:
    """The parameters which charge as the schedule says; ValueError says what they cannot.

    The parts are added up exactly and rounded once, on the order as a whole. O(parts).
    """
    name = f"fee_schedule {schedule.id}"
    if schedule.currency != currency:
        raise ValueError(f"{name} is in {schedule.currency}, the market in {currency}")
    sides = sorted({part.sides for part in schedule.part})
    if len(sides) != 1:
        raise ValueError(
            f"{name} has parts for {' and '.join(sides)}; the engine charges all parts to the same"
        )
    value_bp = sum(part.value_bp for part in schedule.part)
    if value_bp > FEE_BP_LIMIT:
        raise ValueError(
            f"{name} charges {value_bp} basis points; the engine at most {FEE_BP_LIMIT}"
        )
    by_tonne = [part for part in schedule.part if part.minor_per_lot]
    tonne = sum(Fraction(part.minor_per_lot * BP, part.lot_t) for part in by_tonne)
    if tonne.denominator != 1:
        raise ValueError(
            f"{name} charges {tonne} of 1/{BP} minor unit a tonne; the engine charges whole ones"
        )
    if tonne > TONNE_FEE_LIMIT:
        raise ValueError(
            f"{name} charges {tonne} of 1/{BP} minor unit a tonne; the engine at most "
            f"{TONNE_FEE_LIMIT}, so that no fee is above the value of its trade"
        )
    shares = dict.fromkeys(_SHARES, value_bp)
    return shares | {"tonne_fee": int(tonne), "fee_sides": int(_SIDES[sides[0]])}
