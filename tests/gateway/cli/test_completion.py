"""TAB offers commands, words of options, and what the venue has; a lost venue offers nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import completion
from gateway.replies.accounts import AccountPosition, CashRow, PositionList
from gateway.replies.market import InstrumentList, InstrumentRow
from gateway.replies.trading import OrderList

PROGRAM = "import sys; from gateway.cli import main; sys.argv[0] = 'exchange'; main()"


def offered(line: str, **more: str) -> list[str]:
    """What zsh, the cursor at the end of the line, would be told."""
    words = {"_EXCHANGE_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **words, **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.splitlines()


def test_commands_and_words_of_options_are_offered() -> None:
    said = "\n".join(offered("exchange can"))
    assert '"cancel"' in said
    assert '"cancel-all"' in said
    assert '"cancel-trade"' in said
    said = "\n".join(offered("exchange order buy EUA 1 @71 --tif AT_"))
    assert "AT_THE_OPENING" in said
    assert "AT_THE_CLOSE" in said
    assert "GTC" not in said


def test_a_venue_that_is_not_there_offers_nothing(tmp_path: Path) -> None:
    key = tmp_path / "broken.key"
    key.write_text("nothing")
    assert not [
        line for line in offered("exchange book EU", EXCHANGE_KEY_FILE=str(key)) if "EUA" in line
    ]


class Context:
    """What completion reads of a command line."""

    params: dict[str, object] = {}


class Asked:
    """A venue of two markets."""

    def __init__(self, *_: object) -> None: ...

    async def get(self, path: str, _reply: type) -> object:
        if path == "/instruments":
            rows = [
                InstrumentRow(
                    symbol, 1, market, "EUR", 2, "", "", "", 0, "named", "", "", "", 0, {}
                )
                for symbol, market in (("EUA", "EU"), ("CEA-2024", "CN"), ("CCER", "CN"))
            ]
            return InstrumentList("venue", 1, rows)
        if path == "/orders":
            return OrderList([], is_complete=True)
        cash = CashRow("1", "0")
        rows_of = [AccountPosition("EU", number, "EUR", cash, []) for number in (101, 203)]
        return PositionList(rows_of)

    async def close(self) -> None: ...


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXCHANGE_KEY_FILE", raising=False)
    monkeypatch.setattr(completion, "Rest", Asked)
    return


def test_the_venues_own_words_are_offered(asked: None) -> None:
    context: object = Context()
    assert completion.symbols(context, "c") == [("CEA-2024", "named"), ("CCER", "named")]  # type: ignore[arg-type]
    assert completion.markets(context, "") == [("EU", "EUR"), ("CN", "EUR")]  # type: ignore[arg-type]
    assert completion.accounts(context, "2") == [("203", "EU, EUR")]  # type: ignore[arg-type]
    assert completion.open_orders(context, "") == []  # type: ignore[arg-type]
