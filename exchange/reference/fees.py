"""A venue's fee schedule of the rulebook's data, as parameters of the engine. Pure.

The engine charges one share of the value to both sides of a trade, by how the trade came about.
What a schedule has beyond that cannot be expressed, and the venue file that names it is refused.
"""

from __future__ import annotations

from functools import lru_cache

from exchange.messages.frames import FEE_BP_LIMIT
from exchange.rulebook.fees import FeeSchedule, FeeSchedules, load_fee_schedules

FEE_PARAMETERS = ("maker_fee_bp", "taker_fee_bp", "block_fee_bp", "auction_fee_bp")


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
    """The parameters which charge as the schedule says; ValueError says what they cannot. O(1)."""
    name = f"fee_schedule {schedule.id}"
    if schedule.currency != currency:
        raise ValueError(f"{name} is in {schedule.currency}, the market in {currency}")
    if len(schedule.part) != 1:
        parts = ", ".join(part.name for part in schedule.part)
        raise ValueError(
            f"{name} rounds {len(schedule.part)} parts on their own ({parts}); the engine charges "
            "one"
        )
    (part,) = schedule.part
    if part.sides != "both":
        raise ValueError(
            f"{name} charges the {part.sides} alone; the engine charges both sides alike"
        )
    if part.minor_per_lot:
        raise ValueError(
            f"{name} charges {part.minor_per_lot} minor units for {part.lot_t} t; the engine "
            "charges a share of the value"
        )
    if part.value_bp > FEE_BP_LIMIT:
        raise ValueError(
            f"{name} charges {part.value_bp} basis points; the engine at most {FEE_BP_LIMIT}"
        )
    return dict.fromkeys(FEE_PARAMETERS, part.value_bp)
