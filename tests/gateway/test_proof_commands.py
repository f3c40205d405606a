"""The proofs on a wrong folder: refused in one line, and nothing is written there."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import build


@pytest.mark.parametrize("name", ["verify", "replay", "reconcile", "rebuild", "rebuild-marketdata"])
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
