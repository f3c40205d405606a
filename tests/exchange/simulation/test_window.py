"""`exchange simulate` on the repository's own invented days: every check holds, oddities show."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.local.kafka import KafkaServer
from exchange.audit import Check
from exchange.clock import SystemClock
from exchange.log.protocol import LogUnavailableError
from exchange.settings import Settings
from exchange.simulation import run
from exchange.simulation.quotes import read_quotes
from exchange.simulation.window import Progress
from gateway.cli import build
from gateway.cli import simulate as command

FIXTURE = Path(__file__).parent / "quotes.csv"
ARGUMENTS = ["simulate", "--quotes", str(FIXTURE), "--from", "2019-03-04", "--to", "2019-03-06"]
FIRST, LAST = date(2019, 3, 4), date(2019, 3, 6)


async def trade(settings: Settings, seed: int = 1) -> run.Outcome:
    seen: list[Progress] = []
    outcome = await run.simulate(
        read_quotes(FIXTURE, FIRST, LAST), settings, SystemClock(), seed, seen.append
    )
    assert [progress.day_number for progress in seen] == [1, 2, 3]
    return outcome


def failed(outcome: run.Outcome) -> list[Check]:
    return [check for check in outcome.checks if not check.ok]


async def test_window_on_the_embedded_log(tmp_path: Path) -> None:
    outcome = await trade(Settings(data=tmp_path))
    assert failed(outcome) == []
    assert len(outcome.checks) == 14
    rows = {(row.quote.day.day, row.quote.product): row for row in outcome.rows}
    assert len(rows) == 13
    busy = rows[4, "SZA2016"]
    assert (busy.is_range_met, busy.is_volume_met, busy.is_open_met, busy.is_average_met) == (
        True,
        True,
        True,
        True,
    )
    # no trade: the close stays
    assert rows[4, "SZA2017"].produced.trades == 0
    assert rows[6, "HBEA"].produced.close == rows[5, "HBEA"].produced.close == 3110
    # Guangdong: 80 t are not above 100 t, so the close stays at the open; 5,000 t move it
    assert rows[5, "GDEA"].produced.average == 1831
    assert rows[5, "GDEA"].produced.close == 1820
    assert rows[6, "GDEA"].produced.close == 1844
    # the average of 16.00 counts block trades: the listed range holds, the low is nearest
    assert rows[4, "GDEA"].plan.marks == "b"
    assert rows[4, "GDEA"].marks == "bg"
    assert [row.quote.venue for row in outcome.rows if row.is_open_outside_trades] == ["Guangdong"]
    assert rows[4, "GDEA"].produced.average == 1820
    assert rows[4, "BEA"].plan.marks == "v"
    # two tonnes cannot show open, high and low
    assert "s" in rows[5, "HBEA"].plan.marks
    # 24.00 to 26.00 lie outside 10 percent around 20.33: operations move the reference
    assert rows[5, "SZA2016"].plan.marks == "r"


async def test_same_seed_same_trades_and_a_used_log_gives_the_next_market(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    first, again, other = [await trade(settings, seed) for seed in (1, 1, 2)]
    assert [outcome.market for outcome in (first, again, other)] == [0, 1, 2]
    assert first.rows == again.rows
    assert first.rows != other.rows
    assert not failed(first) + failed(again) + failed(other)


async def test_window_on_kafka(tmp_path: Path, kafka: KafkaServer) -> None:
    outcome = await trade(Settings(log=f"kafka:{kafka.bootstrap}", data=tmp_path))
    assert failed(outcome) == []


def test_command_prints_table_marks_rules_and_checks(tmp_path: Path) -> None:
    result = CliRunner().invoke(build(), [*ARGUMENTS, "--data", str(tmp_path / "kept")])
    assert result.exit_code == 0, result.output
    published = r"GDEA +Guangdong +published +18.05 +18.60 +18.20 +16.00 +250,000 +bg *\n"
    assert re.search(published, result.output)
    assert re.search(r"produced +18.05 +18.60 +18.20 +18.20 +250,000 +18.20", result.output)
    assert "day 3 of 3: 2019-03-06" in result.output
    assert "v  volume without any price" in result.output
    # 18.05 is the previous close: no trade was below 18.20
    assert "g  the open is no trade" in result.output
    assert "outside the day's trades (1 rows)" in result.output
    assert "market 0" not in result.output
    assert "Guangdong: band 10 %" in result.output
    assert result.output.count("\n  OK    ") == 14
    assert "all checks passed" in result.output
    assert (tmp_path / "kept" / "log.sqlite").exists()


def test_failed_check_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> run.Outcome:
        return run.Outcome(0, [], [Check("units conserved", 1, "a tonne is missing")], 1, 1, 1)

    monkeypatch.setattr(command, "run_simulation", broken)
    result = CliRunner().invoke(build(), ARGUMENTS)
    assert result.exit_code == 1
    assert "FAIL  units conserved: a tonne is missing" in result.output


def test_unreachable_log_and_bad_files_are_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable(*_: object) -> run.Outcome:
        raise LogUnavailableError("kafka 127.0.0.1:1: connection refused")

    monkeypatch.setattr(command, "run_simulation", unreachable)
    result = CliRunner().invoke(build(), ARGUMENTS)
    assert result.exit_code == 2
    assert "simulate: kafka 127.0.0.1:1: connection refused" in result.output
    missing = ["simulate", "--quotes", str(tmp_path / "none.csv"), *ARGUMENTS[3:]]
    assert CliRunner().invoke(build(), missing).exit_code == 2
    none = [*ARGUMENTS[:3], "--from", "2019-04-01", "--to", "2019-04-02"]
    result = CliRunner().invoke(build(), none)
    assert result.exit_code == 2
    assert "no quotes from 2019-04-01 to 2019-04-02" in result.output
    result = CliRunner().invoke(build(), [*ARGUMENTS[:-1], "2019-03-01"])
    assert result.exit_code == 2
    assert result.output == "simulate: --from is after --to\n"
