"""A class of two from the opening to the scores: one complies, one does nothing."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exchange.messages.instructions import ReleaseUnits, SurrenderUnits
from exchange.settings import Settings
from exchange.simulation.training import ALLOWANCE, YEAR, Act, Step, make_class, ranking
from gateway.cli import build
from gateway.cli.demo import TEMPLATE
from gateway.client import client
from gateway.demo import demonstration
from gateway.demo.demo_keys import NORTHERN, key_path
from gateway.demo.demonstration import Demonstration
from gateway.demo.training import (
    REFERENCES,
    Exercise,
    TurnedClock,
    holder_of,
    load,
    prepared,
    template_of,
)


async def test_a_class_lives_through_its_year(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demonstration, "RECONCILE_S", 0.05)  # ten days open, each reconciled
    monkeypatch.setattr(client, "OPENING_PAUSE_S", 0.05)
    data = tmp_path / "class"
    template, students = prepared(data, TEMPLATE, 7, 2)
    first, second = students
    settings = Settings(
        data=data, venue=data / "venue.toml", http_port=0, websocket_port=0, metrics_port=0
    )
    said: list[str] = []
    clock = TurnedClock()
    stop = asyncio.Event()
    holders = tuple(map(holder_of, students))
    async with Demonstration.opened(settings, template, clock, holders) as venue:
        student = await venue.client(holders[0])
        seller = await venue.client(NORTHERN)

        async def due(step: Step) -> None:
            lacking = first.verified - first.allocated + 1_000
            if step.act is Act.LAST_DAYS:
                for quantity in (lacking // 2, lacking - lacking // 2):
                    # in this order: what is offered at 70.00 others may take first
                    await student.new_order(ALLOWANCE, first.account, "BUY", quantity, "79.00")
                    await seller.new_order(ALLOWANCE, 201, "SELL", quantity, "70.00")
            if step.act is Act.ASSESSMENT:
                words = ["positions", "--json", "--key-file", str(key_path(data, holders[0]))]
                shown = await asyncio.to_thread(CliRunner().invoke, build("positions"), words)
                assert shown.exit_code == 0, shown.output  # a machine whose clock is of today
                units = json.loads(shown.stdout)["units"]
                what = {"ref": 0, "symbol": ALLOWANCE, "account": first.account}
                await student.instruct(ReleaseUnits(**what, quantity=units[0]["available"]))
                give = SurrenderUnits(**what, quantity=first.verified, year=YEAR)
                await student.instruct(give)

        ranked = await Exercise(venue, clock, students, 7, said.append).run(due, stop)
    assert [item.account for item in ranked] == [first.account, second.account]
    kept = load(data)
    assert ranked == ranking(kept.figures, kept.prices)
    mine, idle = kept.figures
    assert (mine.surrendered, mine.shortfall, mine.fine) == (first.verified, 0, 0)
    assert mine.allowances_left == first.allocated + 1_000 - first.allocated
    assert mine.cash_before - mine.cash_after > 0
    assert (idle.surrendered, idle.shortfall) == (0, second.verified)
    assert idle.cash_after == second.cash
    assert idle.fine == 5 * second.verified * kept.prices.allowance
    assert idle.offset_cap == second.verified * 5 // 100
    assert ranked[1].cost == -idle.allowances_left * kept.prices.allowance
    assert any("auction CLEARED: 10,000 t" in text for text in said)
    check_scores(data, tmp_path / "scores.csv")


def check_scores(data: Path, out: Path) -> None:
    words = ["training", "scores", "--data", str(data), "--out", str(out)]
    done = CliRunner().invoke(build("training"), words)
    assert done.exit_code == 0, done.output
    title, head, *rows = done.output.splitlines()
    assert title == "Scores"
    assert head.startswith("rank\taccount\tname\tverified")
    assert len(rows) == 2
    (best, worst) = csv.DictReader(out.read_text().splitlines())
    assert (best["rank"], best["penalty"], worst["rank"]) == ("1", "0.00", "2")
    with pytest.raises(ValueError, match="a class was held here"):
        prepared(data, TEMPLATE, 7, 2)


def test_scores_of_no_class_are_a_usage_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(build("training"), ["training", "scores", "--data", str(tmp_path)])
    assert done.exit_code == 2
    assert "no class has come to its end here" in done.output


def test_the_venue_file_has_the_class(tmp_path: Path) -> None:
    students = make_class(1, 3, 7_410)
    text = template_of(TEMPLATE.read_text(), students)
    assert text.count('type = "emitter"') == 4
    assert f"reference_price = {REFERENCES['CCER']}\n" in text
    with pytest.raises(ValueError, match="no reference price"):
        template_of("", students)
