"""The proofs as one types them: on a log, and on a wrong folder, where nothing is written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exchange import topics
from exchange.clock import SystemClock
from exchange.log.embedded import EmbeddedLog
from gateway.cli import build
from gateway.cli.demo import TEMPLATE
from matching import reference
from tests.matching.flows import Flow, everything

WORDS = ["verify", "replay", "self-check", "reconcile", "rebuild", "rebuild-marketdata"]
FRAMES = 40


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_without_a_log_is_refused_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_there: bool
) -> None:
    monkeypatch.delenv("EXCHANGE_LOG", raising=False)
    wrong = tmp_path / "wrong"
    if is_there:
        wrong.mkdir()
    done = CliRunner().invoke(build(), [name, "--data", str(wrong)])
    assert done.exit_code == 2
    lack = "no log.sqlite there" if is_there else "no such folder"
    assert done.output == f"exchange: {wrong}: {lack}; --data names that of a venue\n"
    assert wrong.exists() == is_there
    assert not is_there or list(wrong.iterdir()) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log as a venue leaves it, with orders that rest; the venue file beside it."""

    async def record() -> int:
        log = EmbeddedLog(made / "log.sqlite", SystemClock())
        await log.start()
        await log.create([*topics.of_market(0), *topics.of_market(1)])
        flow = Flow(5)
        frames = [data for _, _, data in [*flow.opening(), *flow.frames(FRAMES, everything)]]
        await log.append(topics.orders(0), frames)
        await log.close()
        return len(frames)

    made = tmp_path_factory.mktemp("venue")
    (made / "venue.toml").write_text(TEMPLATE.read_text("utf-8"), "utf-8")
    assert asyncio.run(record()) > FRAMES
    return made


def self_check(folder: Path, *words: str) -> Result:
    named = ["self-check", "--market", "EU", "--data", str(folder), *words]
    return CliRunner(env={"EXCHANGE_LOG": "embedded"}).invoke(build(), named)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "1 proofs"), (("--every", "1", "--until", "30"), "before offset 30, 30 proofs"),
        (("--every", "7", "--until", "30"), "5 proofs"), (("--until", "0"), "offset 0, 1 proofs"),
    ],
)  # fmt: skip
def test_holds_are_proved_at_any_offset(
    folder: Path, engine: str, words: tuple[str, ...], told: str
) -> None:
    done = self_check(folder, "--engine", engine, *words)
    assert done.exit_code == 0, done.output
    assert told in done.output


def test_the_first_difference_of_a_hold_is_named_by_its_offset(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loses(reference.Engine):
        """It forgets one cent of what an account's orders hold, from the 21st record on."""

        def apply(self, offset: int, append_ns: int, frame: bytes) -> bytes:
            events = super().apply(offset, append_ns, frame)
            if offset == 20:
                self._state.accounts[1].held -= 1
            return events

    monkeypatch.setattr("exchange.audit.engine_named", lambda _: Loses)
    assert self_check(folder, "--until", "20", "--every", "1").exit_code == 0
    done = self_check(folder, "--every", "1")
    assert done.exit_code == 1, done.output
    assert "before offset 21, 21 proofs" in done.output
    assert "account 1: cash held is not that of its orders" in done.output
    assert self_check(folder).exit_code == 1


def test_a_proof_past_the_logs_end_is_refused(folder: Path) -> None:
    done = self_check(folder, "--until", "1000")
    assert done.exit_code == 2
    assert "end 1000 is past the log's end" in done.output
