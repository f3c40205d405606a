"""The limits of every kind of alert: named figures with their legal source, from one TOML file.

Another file may change single figures; what it does not name stays as shipped.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from exchange.settings import Settings

SHIPPED = Path(__file__).with_name("limits.toml")
DEADLINES, PUBLISHED = "deadlines", "published"
_BY_SCHEME = (DEADLINES, PUBLISHED)
_WORDS = frozenset({"about", "source"})


class Kind(msgspec.Struct, frozen=True):
    """The limits of one kind of alert."""

    name: str
    about: str
    source: str
    figures: dict[str, int]

    def __getitem__(self, name: str) -> int:
        return self.figures[name]

    def ns(self, name: str) -> int:
        """A duration of the table in nanoseconds. O(1)."""
        return self.figures[name] * 1_000_000_000


class Limits(msgspec.Struct, frozen=True):
    """All of them, the day to surrender of each scheme (MMDD), and what its venue publishes.

    `published`: holders above so many tonnes less than they may hold.
    """

    kinds: dict[str, Kind]
    deadlines: dict[str, int]
    published: dict[str, int] = {}

    def __getitem__(self, kind: str) -> Kind:
        return self.kinds[kind]

    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with any figure or deadline. O(figures)."""
        figures = {name: dict(sorted(kind.figures.items())) for name, kind in self.kinds.items()}
        by_scheme = (sorted(self.deadlines.items()), sorted(self.published.items()))
        told = msgspec.json.encode([sorted(figures.items()), *by_scheme])
        return hashlib.blake2b(told, digest_size=8).hexdigest()


def load_limits(changes: Path | None = None) -> Limits:
    """The shipped limits, with the figures of another file in their place.

    Raises OSError, and ValueError naming the file, the table and the figure that is wrong.
    """
    tables = _read(SHIPPED)
    if changes is not None:
        for name, table in _read(changes).items():
            if name not in tables:
                raise ValueError(f"{changes}: [{name}] is no kind; known: {', '.join(tables)}")
            unknown = sorted(table.keys() - tables[name].keys())
            if unknown and name not in _BY_SCHEME:
                raise ValueError(f"{changes}: [{name}] has no {', '.join(unknown)}")
            tables[name] = tables[name] | table
    where = changes or SHIPPED
    deadlines = {name: _figure(where, DEADLINES, name, v) for name, v in tables[DEADLINES].items()}
    for name, day in deadlines.items():
        if not (1 <= day // 100 <= 12 and 1 <= day % 100 <= 31):
            raise ValueError(f"{where}: [{DEADLINES}] {name} = {day}: write MMDD")
    published = {name: _figure(where, PUBLISHED, name, v) for name, v in tables[PUBLISHED].items()}
    kinds = {
        name: _kind(where, name, table) for name, table in tables.items() if name not in _BY_SCHEME
    }
    return Limits(kinds, deadlines, published)


def limits_file(settings: Settings) -> Path | None:
    """The file of EXCHANGE_SURVEILLANCE_LIMITS; None for the shipped limits alone. O(1)."""
    return Path(settings.surveillance_limits) if settings.surveillance_limits else None


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"{path}: {name} stands outside a table")
    return tables


def _kind(where: Path, name: str, table: Mapping[str, Any]) -> Kind:
    figures = {key: _figure(where, name, key, table[key]) for key in table if key not in _WORDS}
    return Kind(name, str(table["about"]), str(table["source"]), figures)


def _figure(where: Path, table: str, name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**40:
        raise ValueError(f"{where}: [{table}] {name} = {value!r} is no whole number above 0")
    return value
