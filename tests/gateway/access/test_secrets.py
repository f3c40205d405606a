"""A venue that runs, two operators who act, and no secret of them anywhere but in its own file."""

from __future__ import annotations

import base64
import io
import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
import structlog
from typer.testing import CliRunner

from exchange.logging import REDACTED, configure, redacted
from gateway.access.operators import FILE
from gateway.cli import build
from gateway.client import load_key
from gateway.demo.demo_keys import (
    HOLDERS,
    KEYS_FOLDER,
    OPERATIONS,
    OPERATOR,
    PASSWORD_FILE,
    SUPERVISION,
    TOTP_FILE,
    key_path,
)

PROGRAM = "from gateway.cli import main; main()"
ASKED = ["--port", "0", "--websocket-port", "0", "--fix-port", "0",
         "--metrics-port", "0", "--no-brokers",
         "--log-level", "debug"]  # fmt: skip
CANARY = "canary-wrong-password"
READY = "Ctrl-C stops it"
PATIENCE_S = 90.0


def until(output: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while READY not in output.read_text():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.1)


def run(words: list[str], key: Path) -> str:
    done = CliRunner().invoke(build(words[0]), [*words, "--key-file", str(key)])
    assert done.exit_code == 0, done.output
    return done.output


def act(data: Path) -> None:
    """One key halts and proposes, the other approves."""
    one, two = key_path(data, OPERATIONS), key_path(data, SUPERVISION)
    assert "DONE" in run(["halt", "EU", "--reason", "a rumour"], one)
    said = run(["resume", "EU", "--reason", "it was none"], one)
    number = said.split("PROPOSED")[1].split(":")[0].strip()
    assert f"exchange approve EU {number}" in said
    assert number in run(["proposals", "EU"], two)
    assert "DONE" in run(["approve", "EU", number], two)
    assert "no" not in run(["proposals", "EU"], two).split()
    assert "0 live orders" in run(["kill", "EU", "--account", "103", "--reason", "a test"], one)
    told = run(["limit", "EU", "MESSAGE_RATE", "5", "--participant", "4", "--reason", "b"], two)
    assert "DONE" in told
    assert "PROPOSED" in run(["lift", "EU", "--account", "103", "--reason", "c"], two)
    assert "a rumour" in run(["acts", "EU"], one)


def log_in(url: str, data: Path) -> list[str]:
    """Logs in with the wrong and with the right password; what only the browser may know."""
    password = (data / KEYS_FOLDER / PASSWORD_FILE).read_text().strip()
    secret = (data / KEYS_FOLDER / TOTP_FILE).read_text().strip()
    said = {"name": OPERATOR, "password": CANARY, "code": pyotp.TOTP(secret).now()}
    with httpx.Client(base_url=url, trust_env=False) as browser:
        assert browser.post("/login", json=said).status_code == 401
        answer = browser.post("/login", json=said | {"password": password})
        assert answer.status_code == 200, answer.text
        token = answer.headers["set-cookie"].split(";")[0].split("=", 1)[1]
        assert browser.get("/operations/proposals?market=EU").status_code == 200
        limits = browser.get("/limits").json()
        suspended = [row["account"] for row in limits["accounts"] if row["is_suspended"]]
        assert suspended == [103]
        return [password, secret, token, answer.json()["csrf_token"], CANARY]


def test_no_secret_is_in_a_log_a_table_or_a_command_line(tmp_path: Path) -> None:
    data, output = tmp_path / "venue", tmp_path / "output"
    with output.open("w") as file:
        command = [sys.executable, "-c", PROGRAM, "demo", "--data", str(data), *ASKED]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, text=True)
        try:
            until(output, process)
            url = load_key(key_path(data, OPERATIONS)).url
            act(data)
            secrets = log_in(url, data)
            limits = run_limits(url, key_path(data, HOLDERS[-2]))
            assert limits["orders_per_second"] == 5
            lines = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0, output.read_text()
        finally:
            process.kill()
            process.wait()
    for holder in HOLDERS:
        private: Any = load_key(key_path(data, holder)).private
        secrets.append(base64.b64encode(private.private_bytes_raw()).decode())
    own = {data / FILE, *(data / KEYS_FOLDER).iterdir()}
    places = [path for path in data.rglob("*") if path.is_file() and path not in own]
    assert {path.suffix for path in places} >= {".sqlite"}
    found = {path: path.read_bytes() for path in [*places, output]}
    found[Path("cmdline")] = lines
    for secret in secrets:
        for path, content in found.items():
            assert secret.encode() not in content, (path, secret)
    assert all(path.stat().st_mode & 0o077 == 0 for path in own)


def run_limits(url: str, key: Path) -> dict[str, Any]:
    """GET /limits of a member's key."""
    from gateway.access.identity import sign

    owner = load_key(key)
    signed = sign(owner.private, owner.id, "GET", "/limits", b"", timestamp_ns=time.time_ns())
    headers = {
        "X-Exchange-Key": signed.key, "X-Exchange-Timestamp": str(signed.timestamp_ns),
        "X-Exchange-Signature": signed.signature,
    }  # fmt: skip
    answer = httpx.get(f"{url}/limits", headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


# -- logs -----------------------------------------------------------------------------------------


@contextmanager
def logged() -> Any:
    """What is written while it is open, as entries."""
    before, said = structlog.get_config(), io.StringIO()
    entries: list[dict[str, Any]] = []
    with redirect_stderr(said):
        configure()
        yield entries
    entries += [json.loads(line) for line in said.getvalue().splitlines()]
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize(
    "name",
    ["password", "new_password", "totp_secret", "csrf_token", "Set-Cookie", "X-Signature", "code",
     "private_key", "authorization"],
)  # fmt: skip
def test_a_value_with_the_name_of_a_secret_is_not_written(name: str) -> None:
    with logged() as entries:
        structlog.get_logger().info("log in", **{name: CANARY, "who": "ada"})
    (entry,) = entries
    assert (entry["event"], entry["who"], entry[name]) == ("log in", "ada", REDACTED)
    assert redacted(None, "", {"event": "token", "key": "k"}) == {"event": "token", "key": "k"}
