"""`exchange match` as one types it: formats, engines, exit codes, and the page that shows it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from deploy.docs.json_lines import BLOCK, remade
from exchange import topics
from exchange.clock import SystemClock
from exchange.log.embedded import EmbeddedLog
from exchange.messages.frames import seal_events
from exchange.messages.lines import event_lines
from gateway.cli import build
from matching import reference
from tests.matching.flows import Flow, broken_frames, everything

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "deploy/docs/match.md"
SCENARIOS = sorted((ROOT / "tests/scenarios").glob("*.txt"))
TICK = '{"kind": "CLOCK_TICK"}\n'
STATE = re.compile(r"^state (\w{64}) ", re.M)


def run(*words: str, said: str | bytes = "") -> Result:
    return CliRunner().invoke(build("match"), ["match", *words], input=said)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_comes_true_on_both_engines(path: Path) -> None:
    done = run(str(path), "--format", "scenario", "--engine", "both", "--check-every", "1")
    assert done.exit_code == 0, done.stderr
    state = STATE.findall(done.stderr)
    commands = run(str(path), "--commands")
    again = run("-", "--engine", "reference", said=commands.stdout)
    assert (again.stdout, STATE.findall(again.stderr)) == (done.stdout, state)
    only_hash = run("--hash", said=commands.stdout)
    assert [only_hash.stdout.strip()] == state
    twice = run("--commands", said=commands.stdout)
    assert twice.stdout == commands.stdout


async def record(path: Path, market: int) -> list[bytes]:
    """A log as a venue leaves it; the lines of its `events`."""
    orders, events = topics.orders(market), topics.events(market)
    log = EmbeddedLog(path, SystemClock())
    await log.start()
    await log.create([*topics.of_market(0), *topics.of_market(1)])
    flow = Flow(5)
    frames = [*flow.opening(), *flow.frames(50, everything), *broken_frames(flow, 20)]
    await log.append(orders, [data for _, _, data in frames])
    engine, chain, lines = reference.Engine(), bytes(32), []
    for taken in await (await log.open_reader(orders, 0)).read():
        first = engine.next_event
        said = engine.apply(*taken)
        parts, chain = seal_events(
            said,
            input_offset=taken.offset,
            first_event=first,
            epoch=engine.epoch,
            time_ns=engine.time_ns,
            chain=chain,
        )
        await log.append(events, parts)
        lines += event_lines(taken.offset, first, said)
    await log.close()
    return lines


@pytest.mark.parametrize("is_folder", [True, False])
def test_a_recorded_log_gives_its_own_events(tmp_path: Path, is_folder: bool) -> None:
    path = tmp_path / "log.sqlite"
    recorded = asyncio.run(record(path, 1))
    assert len(recorded) > 100
    shutil.copy(ROOT / "deploy/venue/demo.toml", tmp_path / "venue.toml")
    file = str(tmp_path if is_folder else path)
    done = run(file, "--market", "CN", "--engine", "both")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.encode() == b"".join(recorded)
    dumped = run(file, "--market", "CN", "--commands")
    again = run(said=dumped.stdout)
    assert (again.stdout, again.stderr) == (done.stdout, done.stderr.replace(
        "reference and compiled, the same", "compiled"))  # fmt: skip
    empty = run(file, "--market", "EU")
    assert (empty.stdout, empty.exit_code) == ("", 0)
    for words, told in (([], "has the markets EU, CN: choose by --market"), (["--market", "US"],
        "no market US, only EU, CN")):  # fmt: skip
        refused = run(file, *words)
        assert refused.exit_code == 2
        assert told in refused.stderr


@pytest.mark.parametrize(
    ("words", "said", "code", "told"),
    [
        (["-"], '{"kind": "TICK"}', 2, '-: line 1: kind: "TICK" is not allowed; one of NEW_ORDER'),
        (["-"], TICK + "[]", 2, "-: line 2: [] is no object"),
        (["-"], "instrument EUA -> REJECTED", 1, "line 1: instrument EUA -> REJECTED\n  heard: IN"),
        (["-"], "amend alice", 2, "line 1: 'amend alice'"),
        (["--format", "scenario"], TICK, 2, "line 1: "),
        (["--format", "json"], "tick", 2, "line 1: no JSON"),
        (["--format", "log"], "", 2, "a log is a file or a folder"),
        (["--market", "EU"], TICK, 2, "only a log has markets"),
        (["--hash", "--commands"], TICK, 2, "one of them"),
        (["--engine", "best"], TICK, 2, "'best'"),
        (["no-such-file"], "", 2, "no-such-file"),
        (["."], "", 2, "log.sqlite is missing"),
        (["no-such-file", "--format", "log"], "", 2, "no-such-file is missing"),
    ],
)
def test_what_is_wrong_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*words, said=said)
    assert done.exit_code == code
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_came_before_a_fault_is_printed() -> None:
    opened = '{"kind": "ACCOUNT_OPEN", "account_id": 5}\n'
    done = run(said=opened + opened + "{")
    kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
    assert (kinds, done.exit_code) == (["ACCOUNT_OPENED", "REJECTED"], 2)
    assert done.stderr.startswith("exchange: -: line 3: ")


def test_the_summary_counts() -> None:
    done = run(str(ROOT / "tests/scenarios/price_time_priority.txt"))
    figures = re.match(r"(\d+) records, (\d+) commands, (\d+) events, (\d+) trades: ", done.stderr)
    assert figures
    kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
    assert int(figures[3]) == len(kinds) > int(figures[4]) == kinds.count("FILL") // 2 > 0


def test_the_page_shows_what_it_says() -> None:
    """The page is remade by its own commands; here, that they mean what stands around them."""
    page = PAGE.read_text("utf-8")
    printed = [body for form, _, body in BLOCK.findall(page) if form == "console"]
    assert [body.count("(reference and compiled, the same)") for body in printed[:2]] == [1, 0]
    events, wrong, only_hash, scenario, false, commands = printed
    assert events.count('"kind":"FILL"') == 2
    assert 'line 2: side: "BYE" is not allowed; one of BUY, SELL' in wrong
    (state,) = STATE.findall(events)
    assert only_hash.splitlines()[1] == state
    assert "1 trades" in scenario
    assert "heard: REJECTED INSUFFICIENT_UNITS" in false
    again = run(said="".join(line + "\n" for line in commands.splitlines() if line[0] == "{"))
    assert STATE.findall(again.stderr) == STATE.findall(scenario) == STATE.findall(commands)


def test_a_page_that_lies_is_found() -> None:
    page = PAGE.read_text("utf-8")
    assert remade(page) == page
    assert remade(page.replace("INSUFFICIENT_UNITS", "INSUFFICIENT_CASH")) == page
    with pytest.raises(ValueError, match="no `\\$ exchange`"):
        remade("```console\n$ rm x\n```\n")


LONG = "instrument EUA\naccount a EUA 9\nphase CONTINUOUS\nnew a abcdefghijklmnop1 sell 1 70.00 DAY"
MANY = '{"limits": {"orders_max": 4194305}}'


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("late 99999999999999999999 tick\n", "is out of its range, 0 to 1000000000"),
        ("instrument EUA tick\n", "'tick' has no value: names and values take turns"),
        ("instrument EUA tick NaN\n", "NaN is no amount"),
        ("instrument EUA tick x\n", "'x' is no number"),
        ("instrument EUA policy FOO\n", "'FOO' is none of PRICE_TIME, LISTED"),
        ("roll x\n", "'x' is no whole number"),
        ("@5 tick\n", "'@5': a session and a number, as in @5.1"),
        ("limits foo 5\n", "no limit is foo: "),
        (
            "instrument EUA\naccount a\nsettle VOID a a EUA 1 1.00 99999999999999999999.00 7\n",
            "cash to the buyer 9999999999999999999900 or trade 7: outside 64 bits",
        ),
        (
            "instrument EUA\naccount a\noffer a x sell 5 UNIFORM BY_TIME carry 256\n",
            "256 is out of its range, 0 to 255",
        ),
        (LONG, "line 4: 'new a abcdefghijklmnop1 sell 1 70.00 DAY': client_order_id: 'abcdefghij"),
        (LONG.replace("p1", "é"), "client_order_id: 'abcdefghijklmnoé' has 17 bytes, at most 16"),
        ("within 65536 tick", "valid_ms: 65536 is not allowed; a whole number, 0 to 65535"),
        ("limits orders_max 4194305", "limits.orders_max: 4194305 is not allowed; a whole number"),
        ("limits orders_max 5\nlimits orders_max 6", "line 2: 'limits orders_max 6': limits: only"),
        (MANY, "limits.orders_max: 4194305 is not allowed; a whole number, 0 to 4194304"),
        ("5", "line 1: 5 is no object: a command, a frame, a hex or limits"),
        ("\n null\n", "line 2: null is no object"),
    ],
)
def test_a_number_out_of_its_range_is_told(said: str, told: str) -> None:
    done = run(said=said)
    assert done.exit_code == 2
    assert told in done.stderr
    assert "\n" not in done.stderr.strip()


@pytest.mark.parametrize("said", [TICK, "tick\n"])
def test_a_byte_order_mark_is_no_part_of_the_input(said: str) -> None:
    done = run(said=b"\xef\xbb\xbf" + said.encode())
    assert (done.exit_code, STATE.findall(done.stderr)) == (0, STATE.findall(run(said=said).stderr))


def test_a_label_of_sixteen_bytes_is_heard() -> None:
    done = run(said=LONG.replace("p1", "p") + " -> ACCEPTED abcdefghijklmnop\n")
    assert done.exit_code == 0, done.stderr


def test_a_log_without_its_venue_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.sqlite"
    asyncio.run(record(log, 1))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.delenv("EXCHANGE_VENUE", raising=False)
    done = run(str(log), "--market", "CN")
    assert done.exit_code == 2
    for told in (
        f"{tmp_path / 'venue.toml'} is missing",
        "deploy/venue/demo.toml",
        "EXCHANGE_VENU",
    ):
        assert told in done.stderr
    monkeypatch.setenv("EXCHANGE_VENUE", str(ROOT / "deploy/venue/demo.toml"))
    assert run(str(log), "--market", "CN").exit_code == 0


OPEN = '{"kind": "ACCOUNT_OPEN", "account_id": 5}\n'


@pytest.mark.parametrize(
    ("words", "said", "told"),
    [
        ([], OPEN, []),
        (["--hash"], OPEN, []),
        (["--commands"], OPEN * 1_000, []),
        ([], OPEN + "{", ["exchange: x.txt: line 2: no JSON"]),
    ],
)
def test_an_output_that_is_full_is_named(
    tmp_path: Path, words: list[str], said: str, told: list[str]
) -> None:
    (tmp_path / "x.txt").write_text(said)
    command = [Path(sys.executable).parent / "exchange", "match", "x.txt", *words]
    with Path("/dev/full").open("wb") as full:
        buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=buffered,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    first, *others = done.stderr.splitlines()
    name = f"exchange: standard output: {os.strerror(errno.ENOSPC)}"
    assert (first, done.returncode) == (name, 2), done.stderr
    assert [line[: len(told[0])] for line in others] == told
