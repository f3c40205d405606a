"""The measurement of precision and recall, as it is printed: on days whose abuse is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.surveillance import __main__ as measured
from benchmarks.surveillance.abuse import ABUSE
from benchmarks.surveillance.measure import Row

LAX = "[SPOOFING]\ncycles_min = 1_000\n"


@pytest.mark.parametrize(("file", "code", "found"), [("", 0, "1 of 1"), (LAX, 1, "0 of 1")])
def test_what_is_missed_is_told_and_fails(
    file: str,
    code: int,
    found: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(measured, "RESULTS", tmp_path / "results.json")
    limits = tmp_path / "limits.toml"
    limits.write_text(file)
    assert measured.main(["--seeds", "1", "--limits", str(limits)]) == code
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ SPOOFING")]
    assert found in lines[0].split("│")[3]
    kinds = json.loads((tmp_path / "results.json").read_text())["kinds"]
    assert [row["kind"] for row in kinds] == list(ABUSE)


def test_what_is_left_out_of_a_figure_is_in_the_stricter_one() -> None:
    days = {"weak": (0, 4), "clear": (4, 4), "gross": (4, 4), "slow": (1, 4)}
    row = Row("SPOOFING", days, right=9, wrong=1, beside=5)
    assert (row.precision_bp, row.strict_precision_bp) == (9_000, 6_000)
    assert (row.recall_bp, row.strict_recall_bp) == (10_000, 5_625)
