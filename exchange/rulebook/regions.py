"""Places of projects: `CN` a country, `CN-GD` a province, `CN-GD:Meizhou` a city in it.

A registry may write `CN-GD:meizhou`: capitals and small letters name the same place.
"""

from __future__ import annotations


def is_within(region: str, codes: str) -> bool:
    """Whether a region is one of some codes, by commas, or in one; "" is nowhere. O(codes)."""
    place = region.lower()
    return any(
        place == code or place.startswith((f"{code}:", f"{code}-"))
        for code in codes.lower().split(",")
        if code
    )
