"""Integers inside -> decimal strings for people and files: exact, nothing is rounded. Pure."""

from __future__ import annotations


def from_minor(value: int, digits: int) -> str:
    """Minor units as a decimal: 7125 -> `71.25` with two minor digits. O(digits)."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    if digits == 0:
        return f"{sign}{value}"
    whole, fraction = divmod(value, 10**digits)
    return f"{sign}{whole}.{fraction:0{digits}d}"


def grouped(decimal: str) -> str:
    """A decimal with its thousands apart, for reading: `-1234567.80` -> `-1,234,567.80`."""
    whole, dot, fraction = decimal.partition(".")
    return f"{int(whole):,}{dot}{fraction}" if int(whole) else decimal
