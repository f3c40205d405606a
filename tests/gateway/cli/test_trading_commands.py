"""What a member types: only plain digits are a number, and wrong words are told before sending."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from gateway.cli import build
from gateway.cli import trading as commands
from gateway.client import Client
from gateway.replies.compliance import OffsetHeadroomReply

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


class Heard:
    """A client that takes an order and answers nothing."""

    def __init__(self) -> None:
        self.given: tuple[object, ...] = ()
        self.terms: dict[str, Any] = {}

    async def new_order(self, *given: object, **terms: object) -> None:
        self.given, self.terms = given, terms

    async def offset_headroom(self, account: int, symbol: str) -> OffsetHeadroomReply:
        assert self.given[2] == "BUY"
        return OffsetHeadroomReply("EU", account, symbol, [], 0, 0, 0, is_enforced=False)


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> Heard:
    heard = Heard()

    def with_client(_key: Path | None, work: Callable[[Client], Awaitable[None]]) -> None:
        coroutine = cast(Any, work(cast(Client, heard)))
        with pytest.raises(StopIteration):
            coroutine.send(None)

    monkeypatch.setattr(commands, "with_client", with_client)
    monkeypatch.setattr(commands, "show_report", lambda *_: None)
    done = CliRunner().invoke(build(), ["order", *words, "--account", "101"])
    assert done.exit_code == 0, done.output
    return heard


def test_digits_arrive_as_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = typed(monkeypatch, "buy", "EUA", "10", "@71")
    assert heard.given == ("EUA", 101, "BUY", 10, "71")
    assert (heard.terms["order_type"], heard.terms["time_in_force"]) == ("LIMIT", "DAY")


@pytest.mark.parametrize(
    ("words", "order_type", "time_in_force", "price"),
    [
        (["market"], "MARKET", "IOC", ""),
        (["market", "--stop", "@74"], "STOP", "DAY", ""),
        (["@75", "--stop", "74"], "STOP_LIMIT", "DAY", "75"),
        (["@75", "--until", "2030-01-31"], "LIMIT", "GTD", "75"),
        (["@75", "--tif", "AT_THE_CLOSE"], "LIMIT", "AT_THE_CLOSE", "75"),
        (["75"], "LIMIT", "DAY", "75"),
    ],
)
def test_words_make_the_kind_of_order(
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    order_type: str,
    time_in_force: str,
    price: str,
) -> None:
    heard = typed(monkeypatch, "sell", "EUA", "10", *words)
    assert heard.given[2:] == ("SELL", 10, price)
    assert heard.terms["order_type"] == order_type
    assert heard.terms["time_in_force"] == time_in_force


@pytest.mark.parametrize(
    "words",
    [
        ["order", "hold", "EUA", "1", "@71", "--account", "1"],
        ["order", "buy", "EUA", "1", "@71", "--account", "1", "--tif", "SOON"],
        ["order", "buy", "EUA", "1", "@71", "--account", "1", "--until", "tomorrow"],
        ["order", "buy", "EUA", "1", "@71"],
        ["block", "confirm", "x"],
    ],
)
def test_words_that_mean_nothing_are_a_usage_error(words: list[str]) -> None:
    assert CliRunner().invoke(build(), words).exit_code == 2


@pytest.mark.parametrize("text", ["100", "100@", "@71", "1.5@71", "0@71"])
def test_a_side_of_a_quote_is_tonnes_at_a_price(text: str) -> None:
    with pytest.raises(commands.typer.BadParameter):
        commands._tonnes_at(text)
    assert commands._tonnes_at("100@71.00") == (100, "71.00")
