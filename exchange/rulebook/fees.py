"""Fee schedules of venues as dated data (`fees.toml`), and what a trade costs under them. Pure.

A schedule is chosen by market and the date of the trade. Money is minor units of the schedule's
currency, quantity tonnes; a part is rounded half up to the minor unit, per trade and per side.
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import msgspec

from exchange.rulebook.allocation import BP, half_up
from exchange.rulebook.book import RulebookError
from exchange.rulebook.figures import require_whole
from exchange.rulebook.shapes import Basis, Confidence

FILE = "exchange/rulebook/fees.toml"
FOR_EVER = dt.date(9999, 12, 31)
MINOR_PER_LOT_MAX = 10**9
LOT_T_MAX = 10**6

FeeSide = Literal["buyer", "seller"]


class FeeSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a schedule is read from."""

    id: str
    title: str
    kind: Literal["stored", "stored-excerpt", "knowledge"]
    url: str = ""


class FeePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One charge: a share of the trade's value, or an amount for so many tonnes."""

    name: str
    sides: Literal["both", "buyer", "seller"]
    value_bp: int = 0  # basis points of price x quantity
    minor_per_lot: int = 0  # minor units for each `lot_t`, in proportion
    lot_t: int = 0


class FeeSchedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one market charges from a day on, and how well that is known."""

    id: str
    market: str
    venue: str
    currency: str
    effective_from: dt.date
    dated: Literal["notice", "as_of", "market_start"]
    part: tuple[FeePart, ...]
    confidence: Confidence
    basis: Basis
    sources: tuple[str, ...]
    effective_to: dt.date = FOR_EVER  # the last day
    note: str = ""


class UnknownFee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A market of which no fee is known: asked for one, the answer is that, not a guess."""

    market: str
    venue: str
    note: str


class FeeSchedules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    schema_version: Literal[1]
    source: tuple[FeeSource, ...]
    fee: tuple[FeeSchedule, ...]
    unknown: tuple[UnknownFee, ...] = ()

    def schedule_of(self, market: str, on: dt.date) -> FeeSchedule:
        """The schedule in force in a market on a day. O(schedules).

        Raises RulebookError for a market that is not in the file, one whose fees are not known, and
        a day outside every schedule.
        """
        own = [item for item in self.fee if item.market == market]
        for item in own:
            if item.effective_from <= on <= item.effective_to:
                return item
        if own:
            spans = ", ".join(f"{i.id} {i.effective_from}..{i.effective_to}" for i in own)
            raise RulebookError(
                f"{FILE}: table [[fee]], key effective_from: {market} has none on {on}: {spans}"
            )
        for lack in self.unknown:
            if lack.market == market:
                raise RulebookError(
                    f"{FILE}: table [[unknown]], key market: {market} ({lack.venue}): {lack.note}"
                )
        known = ", ".join(sorted({item.market for item in self.fee}))
        raise RulebookError(f"{FILE}: table [[fee]], key market: no {market}; known: {known}")

    def citation(self, schedule: FeeSchedule) -> str:
        """Where a schedule comes from and how well it is known, in words. O(sources)."""
        titles = {item.id: item.title for item in self.source}
        named = "; ".join(titles[key] for key in schedule.sources)
        note = f"; {schedule.note}" if schedule.note else ""
        return f"{named}{note} [confidence {schedule.confidence}]"


class Fee(NamedTuple):
    """One charge of one trade, minor units."""

    name: str
    amount: int


def fees_of(
    schedule: FeeSchedule, side: FeeSide, quantity_t: int, price_minor: int
) -> tuple[Fee, ...]:
    """What a side pays for a trade, a charge each, zeros included. Pure, O(parts).

    `price_minor` is minor units a tonne. ValueError unless quantity and price are above zero.
    """
    if quantity_t <= 0 or price_minor <= 0:
        raise ValueError(f"a trade of {quantity_t} t at {price_minor} has no fee")
    return tuple(
        Fee(part.name, amount_of(part, quantity_t, price_minor))
        for part in schedule.part
        if part.sides in ("both", side)
    )


def fee_of(schedule: FeeSchedule, side: FeeSide, quantity_t: int, price_minor: int) -> int:
    """All charges of `fees_of` together, minor units: the sum of rounded parts. O(parts)."""
    return sum(fee.amount for fee in fees_of(schedule, side, quantity_t, price_minor))


def amount_of(part: FeePart, quantity_t: int, price_minor: int) -> int:
    """One charge of a trade, half up to the minor unit. ValueError for a negative figure. O(1)."""
    require_whole(
        quantity_t=quantity_t,
        price_minor=price_minor,
        value_bp=part.value_bp,
        minor_per_lot=part.minor_per_lot,
    )
    if part.value_bp:
        return half_up(quantity_t * price_minor * part.value_bp, BP)
    return half_up(quantity_t * part.minor_per_lot, part.lot_t)


def load_fee_schedules() -> FeeSchedules:
    """The schedules shipped with the package; RulebookError says what is wrong. O(n^2) in rows."""
    text = files("exchange.rulebook").joinpath("fees.toml").read_text("utf-8")
    return parse_fee_schedules(text, FILE)


def parse_fee_schedules(text: str, name: str) -> FeeSchedules:
    """`load_fee_schedules` for text that is at hand; `name` stands in error messages.

    Raises RulebookError naming file, table and key: not TOML, an unknown, missing or ill-typed key
    (a float too), a source that is not listed, an id that stands twice, two schedules at once.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulebookError(f"{name}: {error}") from error
    try:
        schedules = msgspec.convert(raw, FeeSchedules)
    except msgspec.ValidationError as error:
        raise RulebookError(f"{name}: {_located(str(error), raw)}") from error
    problems = _unsound(schedules)
    if problems:
        raise RulebookError("; ".join(f"{name}: {problem}" for problem in problems))
    return schedules


_PLACE = re.compile(r"^(.*?)(?: - at `\$\.?(\w*)(?:\[(\d+)\])?\.?(.*)`)?$")
_FIELD = re.compile(r"field `(\w+)`")


def _located(words: str, raw: dict[str, Any]) -> str:
    """`Expected int - at $.fee[3].part[0].value_bp` -> table and key as the file has them."""
    match = _PLACE.match(words)
    what, table, index, key = match.groups() if match else (words, None, None, None)
    field = _FIELD.search(what)
    path = ".".join(item for item in (key, field[1] if field else "") if item)
    if table is None or index is None:
        return f"table (top), key {path or table or '(any)'}: {what}"
    row = raw[table][int(index)]
    named = row.get("id") or row.get("market") if isinstance(row, dict) else None
    return f"table [[{table}]] {named or int(index) + 1}, key {path or '(any)'}: {what}"


def _unsound(schedules: FeeSchedules) -> list[str]:
    known = {source.id for source in schedules.source}
    problems = [
        f"table [[{table}]] {twice}, key {key}: stands twice"
        for table, key, values in (
            ("source", "id", [item.id for item in schedules.source]),
            ("fee", "id", [item.id for item in schedules.fee]),
            ("unknown", "market", [item.market for item in schedules.unknown]),
        )
        for twice in sorted({value for value in values if values.count(value) > 1})
    ]
    priced = {item.market for item in schedules.fee}
    problems += [
        f"table [[unknown]] {item.market}, key market: has a row of [[fee]] too"
        for item in schedules.unknown
        if item.market in priced
    ]
    for at, item in enumerate(schedules.fee):
        where = f"table [[fee]] {item.id}, key"
        problems += [f"{where} {words}" for words in _unsound_row(item, known)]
        problems += [
            f"{where} effective_from: {other.id} is in force in {item.market} at the same time"
            for other in schedules.fee[:at]
            if other.market == item.market
            and other.effective_from <= item.effective_to
            and item.effective_from <= other.effective_to
        ]
    return problems


def _unsound_row(item: FeeSchedule, known: set[str]) -> list[str]:
    problems = [f"sources: unknown source {s}" for s in item.sources if s not in known]
    if not item.sources:
        problems.append("sources: is empty")
    if item.effective_from > item.effective_to:
        problems.append("effective_to: is before effective_from")
    if re.fullmatch("[A-Z]{3}", item.currency) is None:
        problems.append(f"currency: {item.currency!r} is no currency code")
    if not item.part:
        problems.append("part: is empty")
    names = [part.name for part in item.part]
    problems += [f"part.name: {n} stands twice" for n in sorted(set(names)) if names.count(n) > 1]
    for part in item.part:
        where = f"part {part.name}"
        if bool(part.value_bp) == bool(part.minor_per_lot):
            problems.append(f"{where}: needs value_bp or minor_per_lot, and not both")
        if not 0 <= part.value_bp <= BP:
            problems.append(f"{where}.value_bp: {part.value_bp} is outside 0..{BP}")
        if not 0 <= part.minor_per_lot <= MINOR_PER_LOT_MAX:
            problems.append(f"{where}.minor_per_lot: is outside 0..{MINOR_PER_LOT_MAX}")
        least = 1 if part.minor_per_lot else 0
        most = LOT_T_MAX if part.minor_per_lot else 0
        if not least <= part.lot_t <= most:
            problems.append(f"{where}.lot_t: {part.lot_t} is outside {least}..{most}")
    return problems
