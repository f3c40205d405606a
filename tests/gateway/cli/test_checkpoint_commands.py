"""Checkpoints as operators, members and outsiders meet them: the commands, the route, the proof."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.exceptions import InvalidSignature
from typer.testing import CliRunner

from deploy.examples.check_proof import check, main
from exchange.audit.signed_note import parse_verifier
from gateway.cli import build
from gateway.client import VenueError
from gateway.demo.demo_keys import DESK
from tests.gateway.demo_venue import DemoVenue, demo_venue

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DemoVenue]:
    async with demo_venue(tmp_path_factory.mktemp("checkpoints")) as made:
        yield made


async def test_everybody_may_keep_the_checkpoints(venue: DemoVenue, tmp_path: Path) -> None:
    client = await venue.members.client(DESK)
    rows = (await client.checkpoints()).checkpoints
    assert {row.market for row in rows} == {"EU", "CN"}
    row = (await client.checkpoints("EU", number=1)).checkpoints[0]
    assert (row.market, row.number) == ("EU", 1)
    key = parse_verifier((venue.data / "checkpoints" / "public.key").read_text())
    assert key.open(row.note).startswith("carbon-exchange checkpoint v1\n")
    assert (await client.checkpoints("EU", number=10**6)).checkpoints == []
    with pytest.raises(VenueError, match="limit"):
        await client.checkpoints("EU", limit=0)

    kept, public = tmp_path / "kept.note", venue.data / "checkpoints" / "public.key"
    kept.write_text(row.note)
    data = str(venue.data)
    done = await venue.run("verify", "--data", data, "--against", str(kept))
    assert (done.exit_code, "no public.key in it or in a folder" in done.output) == (2, True)
    given = ("--against", str(kept), "--public-key", str(public))
    done = await venue.run("verify", "--data", data, *given)
    assert done.exit_code == 0, done.output
    assert "EU orders is what checkpoint" in done.output
    assert "CN" not in done.output
    done = await venue.run("verify", "--market", "CN", "--data", data, *given)
    assert (done.exit_code, "CN has a checkpoint" in done.output) == (1, True)
    done = await venue.run("verify", "--data", data, "--against", str(public.parent))
    assert done.exit_code == 0, done.output
    assert "CN events is what checkpoint" in done.output
    without = shutil.copytree(public.parent, tmp_path / "without")
    shutil.rmtree(without / "CN")
    done = await venue.run("verify", "--data", data, "--against", str(without))
    assert done.exit_code == 1, done.output
    assert f"none below {without}: nothing of CN was compared" in done.output
    done = await venue.run("verify", "--data", data, "--against", str(public.parent / "EU"))
    assert done.exit_code == 0, done.output
    kept.write_text(row.note.replace("number 1\n", "number 2\n"))
    done = await venue.run("verify", "--data", data, *given)
    assert (done.exit_code, "forged or altered" in done.output) == (1, True)


async def test_an_outsider_checks_one_record(
    venue: DemoVenue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, public = str(venue.data), (venue.data / "checkpoints" / "public.key").read_text()
    done = await venue.run("prove", "EU", "1", "--topic", "orders", "--data", data)
    assert done.exit_code == 0, done.output
    proof = json.loads(done.output)
    assert (proof["market"], proof["topic"], proof["offset"]) == ("EU", "orders", 1)
    assert check(proof, public, proof["checkpoint"]).startswith("EU orders record 1 is under")
    files = tmp_path / "proof.json", tmp_path / "public.key"
    files[0].write_text(done.output)
    files[1].write_text(public)
    assert main([str(path) for path in files]) == 0
    for field, value in (("offset", 0), ("append_ns", 5), ("value", "AAAA"), ("topic", "events")):
        with pytest.raises(ValueError, match="not under this checkpoint"):
            check({**proof, field: value}, public)
    with pytest.raises(ValueError, match="not under this checkpoint"):
        check({**proof, "path": proof["path"][1:]}, public)
    with pytest.raises(InvalidSignature):
        check({**proof, "checkpoint": proof["checkpoint"].replace("EU", "CN", 1)}, public)
    with pytest.raises(ValueError, match="another checkpoint"):
        check(proof, public, "the one that was kept")
    wrong = tmp_path / "wrong.json"
    capsys.readouterr()
    for text, code in (
        (json.dumps({**proof, "offset": 0}), 1),
        (json.dumps({**proof, "checkpoint": proof["checkpoint"].replace("EU", "CN", 1)}), 1),
        (json.dumps({**proof, "checkpoint": "no note"}), 1),
        ("{", 1),
        ("[]", 1),
    ):
        wrong.write_text(text)
        assert main([str(wrong), str(files[1])]) == code
        assert capsys.readouterr().out.startswith("FALSE: ")
    assert main([str(tmp_path / "nothing"), str(files[1])]) == main(["one"]) == 2
    for words, told in (
        (("1000000",), "covers"),
        (("1", "--topic", "intake"), "topic intake: known are orders, events"),
        (("1", "--against", str(files[1])), "no signed note"),
    ):
        done = await venue.run("prove", "EU", *words, "--data", data)
        assert (done.exit_code, told in done.output) == (2, True), done.output


async def test_the_process_names_what_it_lacks(
    venue: DemoVenue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(build(words[0]), list(words))
        return done.exit_code, done.output

    monkeypatch.setenv("EXCHANGE_VENUE", str(venue.data / "venue.toml"))
    monkeypatch.setenv("EXCHANGE_DATA", str(venue.data))
    code, told = await asyncio.to_thread(run, "checkpoints", "--once")
    assert (code, "EXCHANGE_CHECKPOINTS names the folder" in told) == (2, True)
    key = tmp_path / "checkpoint.key"
    code, told = await asyncio.to_thread(run, "checkpoint-key", str(key), "--name", "elsewhere")
    assert (code, parse_verifier(told).name) == (0, "elsewhere")
    assert key.stat().st_mode & 0o777 == 0o600
    assert (await asyncio.to_thread(run, "checkpoint-key", str(key)))[0] == 2
    monkeypatch.setenv("EXCHANGE_CHECKPOINTS", str(tmp_path / "vault"))
    monkeypatch.setenv("EXCHANGE_CHECKPOINT_KEY_FILE", str(key))
    code, told = await asyncio.to_thread(run, "checkpoints", "--once", "--market", "EU")
    assert (code, told.splitlines()[-1].startswith("EU checkpoint ")) == (0, True), told
    assert len(list((tmp_path / "vault").rglob("*.note"))) == 1  # its own: the key is new
