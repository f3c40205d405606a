"""Each fault of the table ends as a test that exists, or as a reason why there is none."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "deploy" / "docs" / "faults.md"
ROWS = [f"F{number}" for number in range(1, 31)]
HOW = re.compile(r"processes: |in one process, for [^:|]{20,}: ")
WHY_NOT = re.compile(r"not tested: ")
LONG = "make faults"
INSTRUMENTED = "tests/instrumented/"  # collected by a test that runs it under sanitizers
NAMED = re.compile(r"`(tests/[\w/.]+?\.(?:py|txt))(?:::(\w+))?`")


@cache
def functions(path: Path) -> dict[str, bool]:
    """The functions of a module, and whether only the long table has them (`if LONG:`)."""
    tree = ast.parse(path.read_text("utf-8"))
    found = dict.fromkeys(_named(tree), False)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "LONG" in ast.unparse(node.test):
            found |= dict.fromkeys(_named(node), True)
    return found


def _named(tree: ast.AST) -> list[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node.name for node in ast.walk(tree) if isinstance(node, kinds)]


def fault_of(path: str, test: str, row: str) -> str:
    """Why that is no test which the suite runs; "" = it is one, or the row says when it is run."""
    if not (ROOT / path).exists():
        return f"there is no {path}"
    if path.endswith(".txt"):
        return ""
    if not path.startswith(INSTRUMENTED) and not Path(path).name.startswith("test_"):
        return f"the suite does not collect {path}"
    if not test.startswith("test_") or test not in functions(ROOT / path):
        return f"{path} has no {test or 'test of that name'}"
    if functions(ROOT / path)[test] and LONG not in row:
        return f"{path}::{test} is run by {LONG} alone"
    return ""


def problems(text: str) -> list[str]:
    """What is wrong with the table in a page."""
    table = text.partition("## The table")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line[:3] == "| F"]
    found = [] if [row[0] for row in rows] == ROWS else [f"rows {[row[0] for row in rows]}"]
    for row in rows:
        if len(row) != 4 or not all(row):
            found.append(f"{row[0]}: has {len(row)} filled columns, not 4")
            continue
        named = NAMED.findall(row[3])
        if not (HOW if named else WHY_NOT).match(row[3]):
            found.append(f"{row[0]}: no test and no reason, or not how it runs")
        found += [
            f"{row[0]}: {wrong}" for path, test in named if (wrong := fault_of(path, test, row[3]))
        ]
    return found


def test_every_row_is_shown_by_tests_that_exist() -> None:
    assert problems(PAGE.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (lambda text: text.replace("| F7 |", "| F70 |"), "rows"),
        (lambda text: text.replace("::test_kill_9_at", "::test_gone_at"), "has no test_gone_at"),
        (lambda text: text.replace("::test_kill_9_at", "::write_at"), "has no write_at"),
        (lambda text: text.replace("/test_clients.py", "/engines.py"), "does not collect"),
        (lambda text: text.replace("in one process, for", "in one process:"), "how it runs"),
        (lambda text: text.replace("(a minute: in `make faults`)", ""), "by make faults alone"),
        (lambda text: text.replace("scenarios/phases.txt", "scenarios/x.txt"), "there is no"),
        (lambda text: re.sub(r"(\| F4 \|.*?\|.*?\|).*", r"\1 later |", text), "no reason"),
        (lambda text: re.sub(r"(\| F4 \|.*?\|).*", r"\1 x |", text), "columns"),
    ],
)
def test_a_row_that_is_wrong_is_told(changed, told: str) -> None:  # type: ignore[no-untyped-def]
    text = changed(PAGE.read_text("utf-8"))
    assert any(told in problem for problem in problems(text))


def test_a_row_without_a_test_may_have_a_reason() -> None:
    text = PAGE.read_text("utf-8")
    assert problems(re.sub(r"(\| F4 \|.*?\|.*?\|).*", r"\1 not tested: because |", text)) == []
