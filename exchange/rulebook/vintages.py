"""Labels of vintages: `CEA19-20` holds the years 2019 and 2020, `CEA24` the year 2024."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LABEL = re.compile(r"^[A-Z]+-?(\d{2}|\d{4})(?:-(\d{2}|\d{4}))?$")


def vintage_years(label: str) -> tuple[int, ...]:
    """The years of a label, rising; () when it names none. O(years)."""
    found = _LABEL.match(label)
    if found is None:
        return ()
    first, last = (_year(text) for text in (found[1], found[2] or found[1]))
    return tuple(range(first, last + 1))


def is_among(vintage: int, labels: Iterable[str]) -> bool:
    """Whether a vintage is of one of the labels. O(labels x years)."""
    return any(vintage in vintage_years(label) for label in labels)


def _year(text: str) -> int:
    return int(text) + (2000 if len(text) == 2 else 0)
