"""Places of projects: `CN` a country, `CN-GD` a province, `CN-GD:Meizhou` a city in it."""

from __future__ import annotations


def is_within(region: str, codes: str) -> bool:
    """Whether a region is one of some codes, by commas, or in one; "" is nowhere. O(codes)."""
    return any(
        region == code or region.startswith((f"{code}:", f"{code}-"))
        for code in codes.split(",")
        if code
    )
