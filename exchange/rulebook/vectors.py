"""Cases of the rules with their expected ends, and running them: `[[vector]]` tables.

A vector names a function, its input and what must come out, in the words of the file: tonnes,
minor units, basis points, local dates. An unknown function, an unknown or missing key, or another
value is a failure. Who can run auctions gives their function along: the rulebook has no engine.
"""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from exchange.rulebook import vector_functions
from exchange.rulebook.book import Rulebook, RulebookError
from exchange.rulebook.catalogue import Meta, Source, Vector
from exchange.rulebook.loading import (
    RULEBOOK,
    VECTORS,
    convert,
    load_rulebook,
    parse_rulebook,
    parse_toml,
    shipped,
)
from exchange.rulebook.shapes import Table

Function = Callable[..., Mapping[str, Any]]
HOME = "exchange/rulebook/"


class Outcome(NamedTuple):
    """How a vector ended: "" in `problem` = as expected."""

    vector: Vector
    problem: str


class _Vectors(Table, frozen=True, kw_only=True):
    vector: tuple[Vector, ...]
    meta: Meta | None = None
    source: tuple[Source, ...] = ()


def read_vectors(
    path: Path | None = None, *, only_vectors: bool = False
) -> tuple[Rulebook, tuple[Vector, ...], str]:
    """The rulebook and the vectors of a file, and in words where both stand.

    A file with schemes is a rulebook, which its vectors are run against; one with vectors alone is
    run against the rulebook of the package, as is any with `only_vectors`, whatever else it holds.
    Without a path: the package's own. RulebookError says what is not sound.
    """
    if path is None:
        rulebook = load_rulebook()
        raw = parse_toml(shipped(VECTORS), HOME + VECTORS)
        return rulebook, convert(raw, _Vectors, HOME + VECTORS).vector, HOME + RULEBOOK
    text = path.read_text("utf-8")
    raw = parse_toml(text, str(path))
    if only_vectors:
        raw = {"vector": raw.get("vector", [])}
    if raw.keys() - {"meta", "source", "vector"}:
        rulebook = parse_rulebook(text, str(path))
        return rulebook, rulebook.vector, str(path)
    vectors = convert(raw, _Vectors, str(path)).vector
    return load_rulebook(), vectors, f"{HOME + RULEBOOK}, vectors of {path}"


def run_vectors(
    rulebook: Rulebook, vectors: Iterable[Vector], more: Mapping[str, Function] | None = None
) -> Iterator[Outcome]:
    """Each vector's outcome in turn; `more` are functions beside those of this package."""
    functions = {**vector_functions.FUNCTIONS, **(more or {})}
    seen: set[str] = set()
    sources = {source.id for source in rulebook.source}
    for vector in vectors:
        problem = "" if vector.id not in seen else "the id stands twice"
        if set(vector.sources) - sources:
            problem = f"unknown source {', '.join(sorted(set(vector.sources) - sources))}"
        seen.add(vector.id)
        yield Outcome(vector, problem or _run(rulebook, vector, functions))


def _run(rulebook: Rulebook, vector: Vector, functions: Mapping[str, Function]) -> str:
    function = functions.get(vector.function)
    if function is None:
        known = ", ".join(sorted(functions))
        return f"unknown function {vector.function}; known: {known}"
    problem = _keys(function, vector.input)
    if problem:
        return problem
    try:
        found = _plain(function(rulebook, **vector.input))
    except (RulebookError, ValueError, KeyError, TypeError) as error:
        found = {"error": str(error.args[0] if error.args else error)}
    unknown = sorted(vector.expected.keys() - found.keys())
    if unknown:
        told = found.get("error") or f"it gives {', '.join(sorted(found))}"
        return f"unknown key {', '.join(unknown)} in expected: {told}"
    expected = _plain(vector.expected)
    wrong = [key for key, value in expected.items() if found[key] != value]
    return "; ".join(f"{key} is {found[key]}, expected {expected[key]}" for key in wrong)


def _keys(function: Function, given: Mapping[str, Any]) -> str:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    known = {item.name for item in parameters}
    needed = {item.name for item in parameters if item.default is item.empty}
    unknown, missing = sorted(given.keys() - known), sorted(needed - given.keys())
    if unknown:
        return f"unknown key {', '.join(unknown)} in input; known: {', '.join(sorted(known))}"
    return f"missing key {', '.join(missing)} in input" if missing else ""


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, msgspec.Struct):
        return _plain(msgspec.structs.asdict(value))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    return value
