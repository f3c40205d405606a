"""Daily quotes as venues publish them: one row a day and product, read exactly, oddities kept.

Columns: date, venue, product, open_cny, high_cny, low_cny, vwap_cny, volume_t, turnover_cny.
Decimal text; an empty field was not published. Prices and turnover become minor units (half up),
volumes whole tonnes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path

import msgspec

from exchange.settings import QUOTE_ROWS_MAX

COLUMNS = (
    "date",
    "venue",
    "product",
    "open_cny",
    "high_cny",
    "low_cny",
    "vwap_cny",
    "volume_t",
    "turnover_cny",
)
AMOUNT_LIMIT = Decimal(10) ** 13
UNNAMED = ("", "#N/A")


class Quote(msgspec.Struct, frozen=True):
    """One published row. Prices and turnover in minor units, volume in whole tonnes."""

    day: date
    venue: str
    product: str
    open: int | None
    high: int | None
    low: int | None
    average: int | None
    volume: int | None
    turnover: int | None
    is_cut: bool = False  # the published volume had a fraction of a tonne, dropped

    @property
    def key(self) -> tuple[str, str]:
        """What an instrument is: a product of a venue."""
        return (self.venue, self.product)


class Quotes(msgspec.Struct, frozen=True):
    """The rows of a window, by day, and what was known before it."""

    rows: tuple[Quote, ...]
    earlier: dict[tuple[str, str], int]  # last average published before the window
    unnamed: int  # rows of the window without a product, passed over

    def days(self) -> list[date]:
        """The days with at least one row, in order."""
        return sorted({row.day for row in self.rows})


def read_quotes(path: Path, first: date, last: date) -> Quotes:
    """The rows from `first` to `last`, both included.

    Raises ValueError naming file, line and field of a bad or doubled row, a missing column, or a
    window without rows. O(rows of the file).
    """
    rows: dict[tuple[date, str, str], Quote] = {}
    earlier: dict[tuple[str, str], tuple[date, int]] = {}
    unnamed = 0
    for line, quote in _parsed(path):
        if quote.day < first:
            known = earlier.get(quote.key)
            if quote.average is not None and (known is None or known[0] <= quote.day):
                earlier[quote.key] = (quote.day, quote.average)
        elif quote.day <= last:
            if quote.product in UNNAMED:
                unnamed += 1
                continue
            if (quote.day, *quote.key) in rows:
                raise ValueError(
                    f"{path} line {line}: {quote.day} {quote.venue} {quote.product} stands twice"
                )
            rows[quote.day, *quote.key] = quote
    if not rows:
        raise ValueError(f"{path}: no quotes from {first} to {last}")
    ordered = tuple(rows[key] for key in sorted(rows))
    return Quotes(ordered, {key: price for key, (_, price) in earlier.items()}, unnamed)


def _parsed(path: Path) -> Iterator[tuple[int, Quote]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}: missing columns: {', '.join(missing)}")
        for number, row in enumerate(table, 1):
            if number > QUOTE_ROWS_MAX:
                raise ValueError(f"{path}: more than {QUOTE_ROWS_MAX} rows")
            try:
                yield table.line_num, _quote(row)
            except ValueError as error:
                raise ValueError(f"{path} line {table.line_num}: {error}") from error


def _quote(row: dict[str, str | None]) -> Quote:
    text = {name: (row[name] or "").strip() for name in COLUMNS}
    try:
        day = date.fromisoformat(text["date"])
    except ValueError as error:
        raise ValueError(f"date: {text['date']!r} is not YYYY-MM-DD") from error
    volume = _decimal(text, "volume_t")
    tonnes = None if volume is None else int(volume.to_integral_value(ROUND_DOWN))
    return Quote(
        day,
        text["venue"],
        text["product"],
        _minor(text, "open_cny"),
        _minor(text, "high_cny"),
        _minor(text, "low_cny"),
        _minor(text, "vwap_cny"),
        tonnes,
        _minor(text, "turnover_cny"),
        volume is not None and volume != tonnes,
    )


def _decimal(text: dict[str, str], name: str) -> Decimal | None:
    if not text[name]:
        return None
    try:
        value = Decimal(text[name])
    except InvalidOperation as error:
        raise ValueError(f"{name}: {text[name]!r} is no decimal number") from error
    if not (value.is_finite() and 0 <= value < AMOUNT_LIMIT):
        raise ValueError(f"{name}: {text[name]!r} is outside 0 to {AMOUNT_LIMIT:.0e}")
    return value


def _minor(text: dict[str, str], name: str) -> int | None:
    value = _decimal(text, name)
    return None if value is None else int((value * 100).to_integral_value(ROUND_HALF_UP))
