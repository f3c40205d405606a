"""`exchange timetable`: a venue file's trading day in print, and its faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exchange.reference.venue import load_venue
from gateway.cli import build

FOLDER = Path(__file__).parents[3] / "deploy/venue"
EXAMPLE = FOLDER / "demo-timetable.toml"


def run(*words: str) -> Result:
    return CliRunner().invoke(build("timetable"), ["timetable", *words])


@pytest.mark.parametrize(
    ("moment", "rows"),
    [
        ("2026-11-30T08:59:59+01:00", (
            "EU EUA OPENING_CALL 2026-11-30_08:45 closed 2026-11-30_09:00:00 20261130",
            "CN CEA-2025 CLOSED 2026-11-30_15:00 closed 2026-12-01_09:30:00 20261130",
        )),
        ("2026-11-30T09:00:00+01:00", (
            "EU EUA CONTINUOUS 2026-11-30_09:00 open 2026-11-30_16:55:00 20261130",
            "CN CEA-2025 CLOSED 2026-11-30_15:00 closed 2026-12-01_09:30:00 20261201",
        )),
        ("2026-12-25T03:30:00Z", (
            "EU EUA CLOSED 2026-12-24_17:05 closed 2026-12-28_08:45:00 20261228",
            "CN CEA-2025 CLOSED 2026-12-25_11:30 closed 2026-12-25_13:00:00 20261225",
        )),
    ],
)  # fmt: skip
def test_what_is_due_and_when_it_changes(moment: str, rows: tuple[str, ...]) -> None:
    done = run("--venue", str(EXAMPLE), "--at", moment)
    assert done.exit_code == 0, done.output
    told = [line.replace(" ", "_").replace("\t", " ") for line in done.output.splitlines()]
    assert [line for line in told if line.startswith(("EU ", "CN CEA"))] == list(rows)
    assert any(line.startswith("CN CCER moved_by_operators") for line in told)
    assert "EUA" not in run("--venue", str(EXAMPLE), "--market", "CN").output


def test_faults_are_named(tmp_path: Path) -> None:
    wrong = tmp_path / "venue.toml"
    text = EXAMPLE.read_text("utf-8")
    for before, after, words in (
        ('"17:05"', '"16:50"', "market EU: timetable: 16:50 stands behind 16:55"),
        ('"18:00"', '"17:00"', "market EU: roll_at 17:00 is not after the step at 17:05"),
        ('phase = "CLOSING_CALL"', 'phase = "HALT"', "Invalid enum value 'HALT'"),
        ("at_random = true, blocks", "random = true, blocks", "unknown field `random`"),
    ):
        wrong.write_text(text.replace(before, after, 1), "utf-8")
        done = run("--venue", str(wrong))
        assert done.exit_code == 2
        assert words in done.output
    for more, words in (
        (("--market", "XX"), "market XX: known are EU, CN"),
        (("--at", "2026-11-30T09:00:00"), "no offset from UTC"),
        (("--at", "soon"), "Invalid isoformat string"),
    ):
        done = run("--venue", str(EXAMPLE), *more)
        assert done.exit_code == 2
        assert words in done.output


def test_a_venue_without_timetables_is_moved_by_operators() -> None:
    assert not any(map(load_venue(FOLDER / "demo.toml").timetable_of,
                       load_venue(FOLDER / "demo.toml").instrument))  # fmt: skip
    assert run("--venue", str(FOLDER / "demo.toml")).output.count("moved by operators") == 4
