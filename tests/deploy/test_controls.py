"""The table of controls names every limit, and only refusals, routes and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from exchange.messages.operations import LimitWord
from exchange.messages.reasons import REASONS
from gateway.access.roles import ROLES

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "deploy/docs/controls.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and "---" not in line
]


@pytest.mark.parametrize("word", get_args(LimitWord))
def test_every_limit_stands_in_the_table(word: str) -> None:
    assert any(f"`{word}`" in cell for row in ROWS for cell in row)


def test_every_test_that_is_named_is_there() -> None:
    named = set(re.findall(r"`((?:gateway|scenarios|exchange)/[\w/]+\.(?:py|txt))(::\w+)?`", PAGE))
    assert len(named) > 15
    for path, function in named:
        text = (ROOT / "tests" / path).read_text("utf-8")
        assert f"def {function[2:]}(" in text if function else text, (path, function)


def test_every_refusal_and_route_that_is_named_is_there() -> None:
    numbers = {int(n) for row in ROWS for cell in row for n in re.findall(r"\b\d{3}\b", cell)}
    assert len(numbers) > 15
    assert numbers <= {int(number) for number in REASONS}, numbers - set(REASONS)
    routes = set(re.findall(r"`((?:GET|POST) /[\w/-]+)`", PAGE))
    assert len(routes) > 8
    assert routes <= set(ROLES)
