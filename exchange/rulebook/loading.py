"""Reading a rulebook from TOML: typed, with errors that name file, table and key.

Another scheme is another `[[scheme]]` table; nothing here names a country. `rulebook.toml` holds
the rules, `vectors.toml` the cases that its functions must give (`exchange.rulebook.vectors`).
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from exchange.rulebook.book import Rulebook, RulebookError
from exchange.rulebook.soundness import problems_of

SCHEMA_VERSION = 1
RULEBOOK, VECTORS = "rulebook.toml", "vectors.toml"
_HOME = "exchange/rulebook/"
_STEP = re.compile(r"\.?([A-Za-z_]\w*)((?:\[\d+\])?)")
Shape = TypeVar("Shape")


def load_rulebook(path: Path | None = None) -> Rulebook:
    """The rulebook at `path`, or the one shipped with the package, without its vectors.

    Raises RulebookError naming file, table and key: not TOML, a float, an unknown or missing key,
    a wrong type, an id that stands twice, a source that is not listed, dates in the wrong order or
    over those of another rule, an unknown base, kind or time zone.
    """
    if path is None:
        return parse_rulebook(shipped(RULEBOOK), _HOME + RULEBOOK)
    return parse_rulebook(path.read_text("utf-8"), str(path))


def shipped(name: str) -> str:
    """The text of a file of the package."""
    return files("exchange.rulebook").joinpath(name).read_text("utf-8")


@lru_cache(maxsize=4)
def parse_rulebook(text: str, name: str) -> Rulebook:
    """`load_rulebook` for text that is at hand; `name` stands in error messages.

    Kept for the same text: whoever runs several registries or asks several questions reads it once.
    """
    raw = parse_toml(text, name)
    rulebook = convert(raw, Rulebook, name)
    if rulebook.meta.schema_version != SCHEMA_VERSION:
        raise RulebookError(
            f"{name}: meta: schema_version is {rulebook.meta.schema_version}, this program reads "
            f"{SCHEMA_VERSION}"
        )
    problems = problems_of(rulebook)
    if problems:
        raise RulebookError(f"{name}: " + "; ".join(problems))
    return rulebook


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """The tables of a file; RulebookError if it is no TOML or holds a float."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulebookError(f"{name}: {error}") from error
    broken = _floats(raw, "$")
    if broken:
        where = _in_words(broken[0], raw)
        raise RulebookError(f"{name}: {where}: a float is not allowed: write basis points")
    return raw


def convert(raw: dict[str, Any], shape: type[Shape], name: str) -> Shape:
    """The tables as a typed struct; RulebookError names file, table and key."""
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `")
        where = _in_words(path.rstrip("`"), raw) if path else "the file"
        raise RulebookError(f"{name}: {where}: {said}") from error


def _in_words(path: str, raw: Any) -> str:
    """`$.scheme[1].rules[0].cap_bp` as `scheme cn-national, rules cn-2023: cap_bp`."""
    tables: list[str] = []
    keys: list[str] = []
    for match in _STEP.finditer(path.removeprefix("$")):
        word, index = match[1], match[2]
        raw = raw.get(word) if isinstance(raw, dict) else None
        if index and isinstance(raw, list):
            raw = raw[int(index[1:-1])]
        if isinstance(raw, dict):
            label = raw.get("id") or raw.get("code") or raw.get("scheme") or index
            tables.append(f"{word} {label}".strip())
        else:
            keys.append(word + index)
    where = ", ".join(tables)
    return f"{where}: {'.'.join(keys)}" if tables and keys else where or ".".join(keys) or "$"


def _floats(value: Any, path: str) -> list[str]:
    """Paths of float values, depth first. The words `float` and `inf` alone are TOML's own."""
    if isinstance(value, dict):
        return [hit for key, item in value.items() for hit in _floats(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [hit for at, item in enumerate(value) for hit in _floats(item, f"{path}[{at}]")]
    return [] if isinstance(value, str | int | dt.date | dt.time) else [path]
