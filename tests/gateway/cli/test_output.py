"""One table in three forms, and exit codes that tell a refusal from a venue that is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from exchange.messages.executions import ExecutionReport
from gateway.cli import READER_GONE, authority, build, output
from gateway.cli.options import with_client
from gateway.client import (
    InvalidOrderError,
    NetworkError,
    RateLimitError,
    SigningKey,
    StatusUnknownError,
    VenueError,
    generate_key,
    save_key,
)


class Row(msgspec.Struct):
    symbol: str
    tonnes: int


ROWS = [Row("EUA", 1_234), Row("CER, old", 5)]


def shown(capsys: pytest.CaptureFixture[str], **how: Any) -> str:
    table = output.make_table("Units", "symbol", ">tonnes", "where")
    for row in ROWS:
        table.add_row(row.symbol, f"{row.tonnes:,}", "one\ntwo")
    output.show(table, ROWS, **how)
    return capsys.readouterr().out


def test_lines_with_tabs_and_plain_figures_where_no_terminal_reads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown(capsys) == (
        "Units\nsymbol\ttonnes\twhere\nEUA\t1234\tone, two\nCER, old\t5\tone, two\n"
    )


def test_json_lines_are_what_the_venue_sent(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, as_json=True).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"symbol": "EUA", "tonnes": 1_234},
        {"symbol": "CER, old", "tonnes": 5},
    ]


def test_a_table_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "Console", lambda: Console(force_terminal=True, color_system=None))
    said = shown(capsys)
    assert "1,234" in said
    assert "│" in said


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_command_ends_quietly_when_nobody_reads_its_pipe(unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "rulebook", "show"]
    done = subprocess.run(
        [*command, "cn-national"], stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (READER_GONE, b"")


def test_what_is_not_answered_is_exit_code_4(capsys: pytest.CaptureFixture[str]) -> None:
    pending = ExecutionReport("EU", 101, "PENDING", "PENDING", symbol="EUA", side="BUY")
    with pytest.raises(typer.Exit) as ended:
        output.show_report(pending)
    assert ended.value.exit_code == 4
    assert capsys.readouterr().out.startswith("PENDING: BUY")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidOrderError(203, "no"), 1),
        (NetworkError(0, "nobody there"), 3),
        (RateLimitError(520, "too many"), 3),
        (StatusUnknownError(0, "no answer"), 4),
        (ValueError("not so"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_kind_of_failure_is_the_exit_code(
    tmp_path: Path, error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    key: SigningKey = generate_key("somebody")
    save_key(tmp_path / "some.key", key)

    async def work(_: object) -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        with_client(tmp_path / "some.key", work)
    assert ended.value.exit_code == code
    if isinstance(error, VenueError):
        assert capsys.readouterr().err.startswith(f"{error.title} ({error.reason}): {error.text}")


def test_every_page_of_a_list_is_in_its_json(monkeypatch: pytest.MonkeyPatch) -> None:
    told = SimpleNamespace(
        name="n", project_type="t", region="r", methodology="m", flags=()
    )  # fmt: skip

    class Pages:
        async def projects(self, after: int = 0) -> object:
            rows = [SimpleNamespace(project=after + 1, programme="CCER", details=told)]
            return SimpleNamespace(projects=rows if after < 2 else [])

    def run(_key: Path | None, work: Callable[[Any], Awaitable[None]]) -> None:
        with pytest.raises(StopIteration):
            work(Pages()).send(None)  # type: ignore[attr-defined]

    seen: list[int] = []
    monkeypatch.setattr(authority, "with_client", run)
    monkeypatch.setattr(
        authority, "show", lambda _t, rows, _j: seen.extend(r.project for r in rows)
    )
    assert CliRunner().invoke(build("projects"), ["projects", "--json"]).exit_code == 0
    assert seen == [1, 2]
