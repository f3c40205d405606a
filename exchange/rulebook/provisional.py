"""On what a provisional allocation rests, as rules say it in `provisional_base`. Pure.

`2018 output`, `previous year verified emissions`, either with `, per unit`: a figure of one year.
Verified emissions are in the registry's own books; an output is given with the allocation.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_WHEN, _WHAT, _HOW = ("YEAR", "previous year"), ("output", "verified emissions"), ", per unit"
BASE_WORDS = ", ".join(f"'{when} {what}'" for when in _WHEN for what in _WHAT) + (
    f", with or without '{_HOW}'"
)
_BASE = re.compile(rf"(\d{{4}}|{_WHEN[1]}) ({'|'.join(_WHAT)})(?:{_HOW})?")


class ProvisionalBase(NamedTuple):
    """A figure of a year, of which a share is allocated."""

    named_year: int | None  # None: the one before the emission year
    is_verified: bool  # verified emissions; else output

    def year_of(self, emission_year: int) -> int:
        """The year of the figure for an emission year. O(1)."""
        return emission_year - 1 if self.named_year is None else self.named_year


def provisional_base(text: str) -> ProvisionalBase | None:
    """What the words say; None: they are not such words. O(1)."""
    match = _BASE.fullmatch(text)
    if match is None:
        return None
    named = int(match[1]) if match[1].isdecimal() else None
    return ProvisionalBase(named, match[2] == _WHAT[1])
