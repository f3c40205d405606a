"""Places of projects: `CN-GD` a province, `CN-GD:Meizhou` a city in it, several by commas."""

from __future__ import annotations


def is_within(region: str, codes: str) -> bool:
    """Whether a region is one of the codes or lies in one. An unknown region ("") lies nowhere."""
    return any(region == code or region.startswith(f"{code}:") for code in codes.split(",") if code)
