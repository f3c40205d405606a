"""What a member types: only plain digits are a number."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from gateway.cli import build
from gateway.cli import trading as commands

ORDER = ["order", "buy", "EUA"]


@pytest.mark.parametrize("text", ["1_0", "\u0661\u0660", "+10", " 10", "1e1", "10.0", "9" * 20])
def test_only_digits_are_a_number(text: str) -> None:
    done = CliRunner().invoke(build(), [*ORDER, text, "@71", "--account", "101"])
    assert done.exit_code == 2
    assert "quantity" in done.output
    assert "is no whole number" in done.output
    done = CliRunner().invoke(build(), [*ORDER, "10", "@71", "--account", text])
    assert done.exit_code == 2
    assert "is no whole number" in done.output


def test_no_tonnes_are_refused() -> None:
    done = CliRunner().invoke(build(), [*ORDER, "0", "@71", "--account", "101"])
    assert done.exit_code == 2
    assert "at least 1" in done.output


def test_digits_arrive_as_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(commands, "_order", lambda *given: seen.extend(given[:5]))
    done = CliRunner().invoke(build(), [*ORDER, "10", "@71", "--account", "101"])
    assert done.exit_code == 0, done.output
    assert seen == ["BUY", "EUA", 10, "@71", 101]
