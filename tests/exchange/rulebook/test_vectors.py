"""Every vector of the package comes true, and one that does not says why."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from exchange.rulebook import load_rulebook
from exchange.rulebook.catalogue import Vector
from exchange.rulebook.vector_functions import FUNCTIONS
from exchange.rulebook.vectors import read_vectors, run_vectors
from exchange.simulation.sealed_bids import auction

BOOK, VECTORS, _ = read_vectors()
MORE = {"auction": auction}
STEP = {"scheme": "cn-national", "emission_year": 2024, "step": "report", "on": dt.date(2025, 1, 1)}
BAND = {"previous_close_minor": 6236, "limit_bp": 1000, "tick_minor": 1}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.id)
def test_vector(vector: Vector) -> None:
    (outcome,) = run_vectors(BOOK, [vector], MORE)
    assert outcome.problem == ""


def test_every_function_and_scheme_has_a_vector() -> None:
    assert {vector.function for vector in VECTORS} == {*FUNCTIONS, *MORE}
    named = Counter(vector.input.get("scheme") for vector in VECTORS)
    assert {scheme.id for scheme in BOOK.scheme} <= named.keys()


def test_every_offset_rule_with_credits_has_a_vector() -> None:
    deciding = {
        rule
        for vector in VECTORS
        if vector.function == "offset_plan" and "scheme" in vector.input
        for rule in FUNCTIONS["offset_plan"](BOOK, **vector.input)["rules"]
    }
    without = {
        rule.id
        for scheme in BOOK.scheme
        for rules in scheme.rules
        for rule in rules.offset
        if rule.credit_types and rule.cap_bp is not None and rule.id not in deciding
    }
    assert without == set()


def problem(function: str, given: dict[str, Any], expected: dict[str, Any]) -> str:
    vector = Vector(id="it", function=function, input=given, expected=expected)
    (outcome,) = run_vectors(BOOK, [vector], MORE)
    return outcome.problem


@pytest.mark.parametrize(
    ("function", "given", "expected", "words"),
    [
        ("price_bend", BAND, {}, "unknown function price_bend; known: apportion, auction,"),
        ("price_band", {**BAND, "tik": 1}, {}, "unknown key tik in input; known: limit_bp"),
        ("price_band", {"limit_bp": 1}, {}, "missing key previous_close_minor, tick_minor"),
        ("price_band", BAND, {"low": 1}, "unknown key low in expected: it gives high_minor"),
        ("price_band", BAND, {"low_minor": 5613}, "low_minor is 5612, expected 5613"),
        ("price_band", {**BAND, "rounding": "floor"}, {"low_minor": 1}, "rounding is half_up"),
        ("price_band", {**BAND, "tick_minor": 0}, {"low_minor": 1}, "a tick are above zero"),
        ("price_band", {**BAND, "tick_minor": "1"}, {"low_minor": 1}, "unknown key low_minor"),
        ("msr_intake", {"regime": "no", "tnac_t": 1}, {"intake_t": 0}, "no supply_control no"),
        ("scheme_cap", {"scheme": "no", "year": 1}, {"cap_t": 0}, "knows no scheme no; known: eu"),
        ("year_step", {**STEP, "sector": "stel"}, {"due": ""}, "stel: known are aluminium, cement"),
        ("auction", {"format": "no", "offered_t": 1, "bids": []}, {"cancelled": True}, "known: eu"),
    ],
)
def test_a_vector_that_fails_says_why(
    function: str, given: dict[str, Any], expected: dict[str, Any], words: str
) -> None:
    assert words in problem(function, given, expected)


NUMBERS = {"emission_year", "year", "years", "vintage", "seq"}  # they name, and count nothing
SIGNED = {("auction_reserve", "price_rise_bp")}  # prices may fall


def below_zero(given: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The same input with one integer below zero, for each of its integers."""
    if isinstance(given, dict):
        for key, value in given.items():
            for where, changed in below_zero(value, (*path, key)):
                yield where, {**given, key: changed}
    elif isinstance(given, list):
        for at, value in enumerate(given):
            for where, changed in below_zero(value, path):
                yield where, [*given[:at], changed, *given[at + 1 :]]
    elif isinstance(given, int) and not isinstance(given, bool):
        yield path, -1


def test_no_function_takes_a_negative_figure() -> None:
    taken, seen = [], set()
    for vector in VECTORS:
        for path, given in below_zero(vector.input):
            case = (vector.function, *path)
            if case in seen or NUMBERS & set(path) or case[:2] in SIGNED:
                continue
            seen.add(case)
            with suppress(ValueError, KeyError):
                {**FUNCTIONS, **MORE}[vector.function](BOOK, **given)
                taken.append(case)
    assert taken == []


def test_ids_and_sources_of_vectors_are_checked() -> None:
    one = Vector(id="it", function="price_band", input=BAND, expected={"low_minor": 5612})
    assert [outcome.problem for outcome in run_vectors(BOOK, [one, one])] == [
        "",
        "the id stands twice",
    ]
    cited = Vector(id="it", function="price_band", input=BAND, expected={}, sources=("no",))
    assert [outcome.problem for outcome in run_vectors(BOOK, [cited])] == ["unknown source no"]


def test_a_file_may_hold_a_rulebook_or_vectors_alone(tmp_path: Path) -> None:
    vectors = Path(__file__).parents[3] / "exchange/rulebook/vectors.toml"
    rulebook, found, _ = read_vectors(vectors)
    assert (rulebook, found) == (load_rulebook(), VECTORS)
    whole = tmp_path / "rules.toml"
    rules = vectors.with_name("rulebook.toml").read_text("utf-8")
    whole.write_text(rules.replace("cap_bp = 500\n", "cap_bp = 600\n") + vectors.read_text("utf-8"))
    rulebook, found, name = read_vectors(whole)
    assert (found, name) == (VECTORS, str(whole))
    failed = {one.vector.id for one in run_vectors(rulebook, found, MORE) if one.problem}
    assert {"cn-2024-ccer-above-cap", "fujian-group-cap"} <= failed
    assert "eu-penalty" not in failed
