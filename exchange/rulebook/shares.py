"""An amount divided by weights, whole and to the last unit: largest remainders."""

from __future__ import annotations

from collections.abc import Sequence


def apportion(amount: int, weights: Sequence[int], unit: int = 1) -> list[int]:
    """Parts of an amount by weights, in whole units; they add up to it. O(n log n).

    Each gets its share rounded down; what is left goes, a unit each, to the largest remainders, of
    equal ones to the first. No part is above its share rounded up. ValueError: an amount that is
    negative or no multiple, a negative weight, or no weight above zero.
    """
    total = sum(weights)
    if amount < 0 or unit < 1 or amount % unit or total <= 0 or min(weights) < 0:
        raise ValueError(
            "an amount is a multiple, not negative; weights are not negative, not all 0"
        )
    units = amount // unit
    parts = [units * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda at: -(units * weights[at] % total))
    for at in by_remainder[: units - sum(parts)]:
        parts[at] += 1
    return [part * unit for part in parts]
