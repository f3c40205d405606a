"""`exchange simulate-faults`: its words and its exit codes, with results that no run gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exchange.simulation.faults.promises import PROMISES
from gateway.cli import build
from gateway.faults import campaign
from gateway.faults.campaign import CAMPAIGN_SEEDS, SHAPES
from gateway.faults.planted import PLANTED
from gateway.faults.run import Result

ALL_SHAPES = Counter(dict.fromkeys(SHAPES, 1))
BROKEN = {4_711: ("P4", "EU: account 110 has 7, by its own reports 8")}


def answer(seed: int, shapes: Counter[str], broken: dict[int, tuple[str, str]]) -> Result:
    promise, event = broken.get(seed, ("", ""))
    trace = "Traceback of seed [4711]" if promise else ""
    return Result(seed, 12.5, 10, 300, 20, 15, shapes, "f" * 64, promise, event, trace)


class Runs:
    """Stands for the worker: says what it was asked, and answers at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []
        self.shapes = ALL_SHAPES
        self.broken: dict[int, tuple[str, str]] = {}
        self.finds: dict[str, set[int]] = {}

    def __call__(self, seed: int, plant: str = "") -> Result:
        self.asked.append((seed, plant))
        broken = self.broken
        if seed in self.finds.get(plant, ()):
            broken = {seed: ("P1", f"{plant} was found")}
        return answer(seed, self.shapes, broken)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    made = Runs()
    monkeypatch.setattr(campaign, "run_seed", made)
    return made


def invoke(tmp_path: Path, *words: str, known: Sequence[int] = ()) -> Any:
    path = tmp_path / "seeds.txt"
    path.write_text("".join(f"{seed}  # a remark\n" for seed in known), "utf-8")
    all_words = ["simulate-faults", *words, "--known", str(path)]
    return CliRunner().invoke(build("simulate-faults"), all_words)


def test_good_seeds_end_well_and_the_figures_are_said(runs: Runs, tmp_path: Path) -> None:
    done = invoke(tmp_path, "--seeds", "3", "--first-seed", "7", known=(16, 1_010))
    assert done.exit_code == 0, done.output
    assert runs.asked == [(16, ""), (1_010, ""), (7, ""), (8, ""), (9, "")]
    assert "5 seeds kept every promise: 62 virtual seconds, 1,500 commands" in done.output


def test_a_broken_promise_is_exit_code_one_with_seed_promise_and_event(
    runs: Runs, tmp_path: Path
) -> None:
    runs.broken = BROKEN
    done = invoke(tmp_path, "--seeds", "9", "--first-seed", "4710")
    assert done.exit_code == 1
    assert runs.asked == [(4_710, ""), (4_711, "")], "it stops at the first"
    assert f"seed 4711 broke P4, {PROMISES['P4']}:" in done.output
    assert BROKEN[4_711][1] in done.output
    assert "Traceback of seed [4711]" in done.output
    assert "again: exchange simulate-faults --first-seed 4711" in done.output
    assert "kept every promise" not in done.output


def test_one_seed_again_is_that_seed_alone(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that a broken promise prints; without a first seed the known ones come first."""
    known = tmp_path / "seeds.txt"
    known.write_text("16\n", "utf-8")
    monkeypatch.setattr("gateway.cli.simulate_faults.KNOWN", known)
    words = ["simulate-faults", "--first-seed", "4711"]
    assert CliRunner().invoke(build("simulate-faults"), words).exit_code == 0
    assert runs.asked == [(4_711, "")]
    assert CliRunner().invoke(build("simulate-faults"), words[:1]).exit_code == 0
    assert runs.asked[1:] == [(16, ""), (1, "")]
    known.unlink()
    done = CliRunner().invoke(build("simulate-faults"), words[:1])
    assert done.exit_code == 0
    assert "not found here, so no known seeds are run first" in " ".join(done.output.split())


@pytest.mark.parametrize("content", [b"abc\n", b"-5\n", b"\xff\xfe\x00", None, "folder"])
def test_known_seeds_that_cannot_be_read_are_bad_input(
    runs: Runs, tmp_path: Path, content: bytes | str | None
) -> None:
    path = tmp_path / "known"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    done = CliRunner().invoke(build("simulate-faults"), ["simulate-faults", "--known", str(path)])
    assert done.exit_code == 2
    assert done.output.startswith(f"simulate-faults: --known {path}: ")
    assert len(done.output.splitlines()) == 1
    assert runs.asked == []


def test_a_seed_that_is_known_fails_the_command_too(runs: Runs, tmp_path: Path) -> None:
    runs.broken = BROKEN
    done = invoke(tmp_path, "--seeds", "1", known=(4_711,))
    assert done.exit_code == 1
    assert "seed 4711 broke P4" in done.output


def test_a_campaign_without_one_of_its_shapes_fails_and_names_it(
    runs: Runs, tmp_path: Path
) -> None:
    runs.shapes = ALL_SHAPES - Counter({"old_books": 1})
    done = invoke(tmp_path, "--seeds", str(CAMPAIGN_SEEDS))
    assert len(runs.asked) == CAMPAIGN_SEEDS
    assert done.exit_code == 1
    assert done.output.splitlines()[-1] == "never made: old_books"
    few = invoke(tmp_path, "--seeds", str(CAMPAIGN_SEEDS - 1))
    assert few.exit_code == 0, "fewer seeds need not make everything"


def test_a_campaign_with_every_shape_is_good(runs: Runs, tmp_path: Path) -> None:
    done = invoke(tmp_path, "--seeds", str(CAMPAIGN_SEEDS), "--shapes")
    assert done.exit_code == 0, done.output
    assert f"{CAMPAIGN_SEEDS} seeds kept every promise" in done.output
    assert "old_books" in done.output


def test_a_planted_bug_is_named_in_the_command_that_repeats_it(runs: Runs, tmp_path: Path) -> None:
    runs.finds = {"hold-lost": {3}}
    done = invoke(tmp_path, "--seeds", "5", "--plant", "hold-lost", known=(16,))
    assert done.exit_code == 1
    assert runs.asked == [(seed, "hold-lost") for seed in (1, 2, 3)]
    assert "--first-seed 3 --plant hold-lost" in done.output
    unknown = invoke(tmp_path, "--plant", "no-such-bug")
    assert unknown.exit_code == 2
    assert "hold-lost" in unknown.output


def test_the_table_says_how_many_seeds_find_each_planted_bug(runs: Runs, tmp_path: Path) -> None:
    runs.finds = {"hold-lost": {2, 4}}
    done = invoke(tmp_path, "--seeds", "4", "--plant", "all")
    assert done.exit_code == 0, done.output
    assert len(runs.asked) == 4 * len(PLANTED)
    (line,) = [line for line in done.output.splitlines() if "hold-lost" in line]
    assert " 2 " in line
    assert "P1" in line
