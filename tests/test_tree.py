"""The style of the house, as far as a machine can check it."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "exchange", "matching", "deploy", "benchmarks")
TOP_LEVEL = {
    ".ci", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md",
    "SECURITY.md", "benchmarks", "deploy", "exchange", "gateway", "matching", "pyproject.toml",
    "tests",
}  # fmt: skip
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = {".py": 600, ".pyi": 600, ".js": 600, ".pyx": 900, ".pxd": 600}
LINE_COLUMNS_MAX = 100

PURE = ("matching", "exchange/ledger.py", "exchange/rulebook", "exchange/positions.py",
        "exchange/auctions.py")  # fmt: skip
INTEGER = (*PURE, "exchange/settlement", "exchange/registry")
IMPURE_MODULES = {
    "aiokafka", "asyncio", "datetime", "logging", "random", "secrets", "socket", "sqlalchemy",
    "structlog", "subprocess", "threading", "time", "uuid",
}  # fmt: skip
DATE_MODULE_ALLOWED = "exchange/rulebook"  # a rule is chosen by dates; it reads no clock


def sources(*roots: str, suffixes: tuple[str, ...] = (".py",)) -> Iterator[Path]:
    for root in roots:
        path = ROOT / root
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for item in found:
            hidden = {"vendor", "node_modules", "__pycache__"} & set(item.parts)
            if item.suffix in suffixes and item.is_file() and not hidden:
                yield item


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def trees(*roots: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sources(*roots):
        yield str(path.relative_to(ROOT)), parsed(path)


def tracked() -> list[str]:
    command = ["git", "ls-files", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return [name for name in done.stdout.decode().split("\0") if name]


def names(problems: list[str]) -> str:
    return "\n" + "\n".join(problems)


def test_top_level_is_the_one_agreed() -> None:
    found = {name.split("/")[0] for name in tracked()}
    assert found <= TOP_LEVEL, f"not agreed: {sorted(found - TOP_LEVEL)}"
    assert found >= TOP_LEVEL, f"missing: {sorted(TOP_LEVEL - found)}"


def test_what_is_built_is_not_kept() -> None:
    made = (".so", ".c", ".o", ".pyc", ".whl", ".egg")
    found = [name for name in tracked() if name.endswith(made)]
    assert found == ["benchmarks/harness/host.c"]  # written by hand


def test_files_fit_a_sitting() -> None:
    problems = []
    for path in sources(*PACKAGES, "tests", suffixes=tuple(FILE_LINES_MAX)):
        text = path.read_text("utf-8")
        lines = text.splitlines()
        if len(lines) > FILE_LINES_MAX[path.suffix]:
            problems.append(f"{path.relative_to(ROOT)}: {len(lines)} lines")
        problems += [
            f"{path.relative_to(ROOT)}:{number}: {len(line)} columns"
            for number, line in enumerate(lines, 1)
            if len(re.split(r"  # (?:noqa|type:)", line)[0]) > LINE_COLUMNS_MAX
        ]
    assert not problems, names(problems)


def test_functions_fit_a_screen() -> None:
    problems = []
    for name, tree in trees(*PACKAGES, "tests"):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    problems.append(f"{name}:{node.lineno}: {node.name} has {length} lines")
    assert not problems, names(problems)


def test_cython_functions_fit_a_screen() -> None:
    """By indentation: from a `def` line to the next line that is not deeper."""
    problems = []
    start = re.compile(r"^(\s*)(?:def|cpdef|cdef(?!\s+(?:class|struct|enum|extern)))\s.*")
    for path in sources("matching", suffixes=(".pyx",)):
        lines = path.read_text("utf-8").splitlines()
        for number, line in enumerate(lines):
            head = start.match(line)
            if not head or "(" not in line:
                continue
            last = number
            for after in range(number + 1, len(lines)):
                text = lines[after]
                if text.strip() and not text.startswith(head[1] + " ") and text[0] != ")":
                    break
                last = after if text.strip() else last
            if last - number + 1 > FUNCTION_LINES_MAX:
                problems.append(f"{path.name}:{number + 1}: {last - number + 1} lines")
    assert not problems, names(problems)


def test_packages_explain_themselves() -> None:
    problems = []
    for path in sources("gateway", "exchange", "matching"):
        home = path.parent / "__init__.py"
        if "migrations" in path.parts:
            continue
        if not home.exists():
            problems.append(f"{path.parent.relative_to(ROOT)} has no __init__.py")
        elif not ast.get_docstring(ast.parse(home.read_text("utf-8"))):
            problems.append(f"{home.relative_to(ROOT)} has no docstring")
    assert not problems, names(sorted(set(problems)))


def test_the_core_is_a_function() -> None:
    """No input, output, clock, chance or logging where state comes from messages alone."""
    problems = []
    for name, tree in trees(*PURE):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                continue
            banned = {module.split(".")[0] for module in modules} & IMPURE_MODULES
            if name.startswith(DATE_MODULE_ALLOWED):
                banned.discard("datetime")
            problems += [f"{name}:{node.lineno}: imports {module}" for module in banned]
    assert not problems, names(problems)


def duration(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether a float is a wait in seconds: the only use it has in these packages."""
    while node in parents:
        node = parents[node]
        if isinstance(node, ast.keyword):
            return (node.arg or "").endswith(("_s", "timeout", "seconds"))
        if isinstance(node, ast.arg):
            return node.arg.endswith("_s")
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            return ast.unparse(target).lower().endswith(("_s", "_seconds"))
        if isinstance(node, ast.Call) and "sleep" in ast.unparse(node.func):
            return True
        if isinstance(node, ast.arguments):
            named = [*node.posonlyargs, *node.args, *node.kwonlyargs]
            return any(item.arg.endswith("_s") for item in named)
        if isinstance(node, ast.stmt):
            return ".set(" in ast.unparse(node) or ".observe(" in ast.unparse(node)
    return False


def test_integers_only() -> None:
    """No float in what counts units and money, but waits in seconds and metrics."""
    problems = []
    for name, tree in trees(*INTEGER):
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        expressions = (node for node in ast.walk(tree) if isinstance(node, ast.expr))
        for node in expressions:
            literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
            named = isinstance(node, ast.Name) and node.id == "float"
            if (literal or named) and not duration(node, parents):
                problems.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
    assert not problems, names(problems)


def test_quantities_are_never_divided_into_floats() -> None:
    problems = []
    for name, tree in trees(*PURE):
        for node in ast.walk(tree):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                sides = (node.left, node.right)
                path = any(isinstance(side, ast.JoinedStr | ast.Constant) for side in sides)
                if not path or any(isinstance(getattr(s, "value", ""), int) for s in sides):
                    problems.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
    assert not problems, names(problems)


def test_cython_has_no_float_and_no_text_macros() -> None:
    banned = re.compile(r"^\s*(DEF|IF|include)\s|\b(double|float)\b")
    problems = []
    for path in sources("matching", suffixes=(".pyx", ".pxd")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if banned.search(line.split("#")[0]):
                problems.append(f"{path.name}:{number}: {line.strip()}")
    assert not problems, names(problems)


def test_every_queue_has_a_limit() -> None:
    """In its call, or in a comment `bounded by ...` on its line."""
    problems = []
    for name, tree in trees("gateway", "exchange", "matching"):
        lines = (ROOT / name).read_text("utf-8").splitlines()
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func).split(".")[-1].split("[")[0]
            limits = {word.arg for word in node.keywords}
            if called in {"Queue", "LifoQueue", "PriorityQueue"}:
                bounded = bool(node.args) or "maxsize" in limits
            elif called == "deque":
                bounded = len(node.args) > 1 or "maxlen" in limits
            else:
                bounded = called != "SimpleQueue"
            if not bounded and "bounded by" not in lines[node.lineno - 1]:
                problems.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
    assert not problems, names(problems)


def test_the_vocabulary_is_frozen() -> None:
    problems = []
    for name, tree in trees("exchange/messages"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and any(
                "Struct" in ast.unparse(b) for b in node.bases
            ):
                words = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if words.get("frozen") != "True":
                    problems.append(f"{name}:{node.lineno}: {node.name} is not frozen")
    assert not problems, names(problems)


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    problems = []
    everything = (*PACKAGES, "tests")
    kinds = (".py", ".pyx", ".pxd", ".pyi", ".js", ".html", ".css", ".toml", ".yaml", ".sh", ".md")
    for path in sources(*everything, suffixes=kinds):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if marks.search(line):
                problems.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not problems, names(problems)


def test_no_exception_is_swallowed_unnamed() -> None:
    problems = []
    for name, tree in trees(*PACKAGES, "tests"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                problems.append(f"{name}:{node.lineno}: bare except")
    assert not problems, names(problems)


def test_no_test_is_skipped() -> None:
    banned = re.compile(r"pytest\.(skip|importorskip|xfail)|mark\.(skip|skipif|xfail)\b")
    problems = []
    for path in sources("tests"):
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if banned.search(line):
                problems.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not problems, names(problems)


def test_readme_draws_every_topic() -> None:
    from exchange.topics import TOPICS

    readme = (ROOT / "README.md").read_text("utf-8")
    figures = readme.split("```")[1::2]
    figure = next((text for text in figures if "orders" in text and "events" in text), "")
    assert figure, "README.md has no figure of the data's way"
    missing = [topic.name for topic in TOPICS if not re.search(rf"\b{topic.name}\b", figure)]
    assert not missing, f"the figure lacks the topics {missing}"


def test_every_rule_names_its_scenarios() -> None:
    """In `matching/RULES.md`: no section without one, no scenario without a rule, no dead link."""
    rules = ROOT / "matching/RULES.md"
    text = rules.read_text("utf-8")
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    dead = [link for link in links if "://" not in link and not (rules.parent / link).is_file()]
    assert not dead, f"links that lead nowhere: {dead}"
    sections = re.split(r"^## ", text, flags=re.M)[1:]
    shown = re.compile(r"\*\*Scenarios to begin with\*\*: \[.*\]\(.*\)\.")
    bare = [
        section.splitlines()[0]
        for section in sections
        if not shown.fullmatch(section.strip().splitlines()[-1])
    ]
    assert sections
    assert not bare, f"sections that end without their scenarios: {bare}"
    named = {(rules.parent / link).resolve() for link in links}
    scenarios = set((ROOT / "tests/scenarios").iterdir())
    missing = sorted(path.name for path in scenarios - named)
    assert scenarios
    assert not missing, f"no rule names {missing}"


def test_every_metric_is_moved_by_somebody() -> None:
    tree = ast.parse((ROOT / "exchange/metrics.py").read_text("utf-8"))
    metrics = [
        ast.unparse(node.targets[0])
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
    ]
    text = "\n".join(
        path.read_text("utf-8")
        for path in sources("gateway", "exchange")
        if path.name != "metrics.py"
    )
    assert metrics
    unmoved = [name for name in metrics if not re.search(rf"\b{name}\b", text)]
    assert not unmoved, f"named but never moved: {unmoved}"


def pins(requirements: list[str]) -> dict[str, str]:
    found = (
        re.match(r"([A-Za-z0-9_.-]+)(?:\[[a-z,]+\])?==([^ ;\\]+)", line) for line in requirements
    )
    return {pin[1].lower().replace("_", "-"): pin[2] for pin in found if pin}


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("requirements.txt", ["build"]), ("requirements-dev.txt", ["build", "node", "dev"])],
)
def test_locks_agree_with_pyproject(lock: str, extras: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    text = (ROOT / "deploy" / lock).read_text("utf-8")
    locked = pins(text.splitlines())
    for name, version in pins(wanted).items():
        assert locked.get(name) == version, f"{lock}: {name}; remake it with `make lock`"
    entries = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.S | re.M)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?://|^-|file:", text, re.M), f"{lock} names a place"


def test_the_version_is_said_once() -> None:
    from exchange import __version__

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == __version__


def test_build_requirements_are_the_locked_ones() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    build = pins(project["build-system"]["requires"])
    assert build == pins(project["project"]["optional-dependencies"]["build"])
