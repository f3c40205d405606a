"""`exchange rulebook check` and `show`, as somebody at a terminal meets them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import build

GOOD = """
[[vector]]
id = "one"
function = "price_band"
input = { previous_close_minor = 6236, limit_bp = 1000, tick_minor = 1, rounding = "half_up" }
expected = { low_minor = 5612, high_minor = 6860 }
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["rulebook", *arguments])


def test_the_package_checks_itself() -> None:
    done = run("check")
    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert lines[0].startswith("rulebook 2026.")
    assert "is sound: 11 schemes" in lines[0]
    count = len(lines) - 2
    assert lines[-1] == f"{count} vectors, 0 failed"
    assert count >= 28 + 60
    assert all(line.startswith("ok ") for line in lines[1:-1])


def test_vectors_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cases.toml"
    file.write_text(GOOD)
    done = run("check", str(file))
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "1 vectors, 0 failed")
    assert done.stdout.splitlines()[0].endswith(f"/rulebook.toml, vectors of {file})")


def test_only_the_vectors_of_a_file_whose_rules_are_written_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text('[[scheme]]\nid = "eu-ets"\nother = 1\n' + GOOD)
    assert run("check", str(file)).exit_code == 1
    done = run("check", str(file), "--only-vectors")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "1 vectors, 0 failed")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("5612", "5611", "FAILED price_band               one: low_minor is 5612, expected 5611"),
        ("price_band", "price_bend", "unknown function price_bend"),
        ("low_minor", "lowest", "unknown key lowest in expected"),
        ("tick_minor = 1", "tick_minor = 1, ticks = 1", "unknown key ticks in input"),
    ],
)
def test_a_vector_that_fails(tmp_path: Path, old: str, new: str, words: str) -> None:
    file = tmp_path / "cases.toml"
    file.write_text(GOOD.replace(old, new))
    done = run("check", str(file))
    assert done.exit_code == 1
    assert words in done.stdout
    assert done.stdout.splitlines()[-1] == "1 vectors, 1 failed"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("6236", "62.36"), "vector one, input: previous_close_minor: a float"),
        (GOOD + "x = ", "cases.toml: "),
        ("[[scheme]]\nid = 1", "scheme 1: id: Expected `str`, got `int`"),
        ("[[vector]]\nid = 1", "vector 1: id: Expected `str`, got `int`"),
    ],
)
def test_a_file_that_is_not_sound(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "cases.toml"
    file.write_text(text)
    done = run("check", str(file))
    assert done.exit_code == 1
    assert "cases.toml" in done.stderr
    assert words in done.stderr


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = run("check", str(tmp_path / "none.toml"))
    assert (done.exit_code, "no such file" in done.stderr) == (2, True)


def test_show_names_rules_and_sources() -> None:
    done = run("show", "cn-national", "--on", "2025-12-31")
    assert done.exit_code == 0
    assert done.stdout.startswith("China national emission trading system on 2025-12-31\n")
    assert "\noffset cn-2024-ccer\n" in done.stdout
    assert "MEE Order 19" in done.stdout
    assert "usable_vintages: CEA19-20, CEA21, CEA22, CEA23, CEA24" in done.stdout
    assert "2025-12-31 for 2024: surrender" in done.stdout
    assert "cn-2025-2026" not in done.stdout
    assert "\nfalse data cn-false-data-775\n" in done.stdout
    assert "fine_max_minor: 200,000,000" in done.stdout
    assert "false data" not in run("show", "cn-national", "--on", "2024-04-30").stdout


@pytest.mark.parametrize("scheme", ["eu-ets", "ca-qc", "cn-pilot-fujian", "cn-pilot-shanghai"])
def test_show_says_what_is_not_known(scheme: str) -> None:
    done = run("show", scheme, "--on", "2025-06-01")
    assert done.exit_code == 0
    assert scheme == "ca-qc" or "not known, to be set: " in done.stdout


def test_show_before_any_rule_and_of_no_scheme() -> None:
    assert (
        "no rule is in force on that day"
        in run("show", "cn-pilot-fujian", "--on", "2001-01-01").stdout
    )
    done = run("show", "eu-etss")
    assert (done.exit_code, "known: eu-ets, cn-national" in done.stderr) == (2, True)


@pytest.mark.parametrize("words", [("check",), ("show", "eu-ets", "--file")])
def test_a_file_that_is_no_text_is_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    file = tmp_path / "bytes.toml"
    file.write_bytes(b"\xff\xfe")
    done = run(*words, str(file))
    assert done.exit_code in (1, 2)
    assert f"{file}: is not UTF-8" in done.stderr
