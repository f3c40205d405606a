"""The dashboard: made from its rows, and every query returns a series of a running venue."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from deploy.grafana import dashboard
from deploy.local.chromium import find_prometheus
from deploy.local.process import free_port
from gateway.client.feed import BookFeed
from tests.deploy.test_prometheus import metric_names, promtool

QUERIES = [query for _, panels in dashboard.ROWS for panel in panels for query, _ in panel.queries]
START_S = 120
SERIES_S = 120


def concrete(query: str) -> str:
    """The query as Grafana sends it."""
    return query.replace("$__rate_interval", "15s").replace("$market", ".*")


def test_the_file_is_made_from_the_rows() -> None:
    assert dashboard.FILE.read_text("utf-8") == dashboard.text(), (
        "remake it: python -m deploy.grafana.dashboard"
    )


def test_panels_fill_the_grid_without_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard.panels_json():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= dashboard.COLUMNS
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_metric_named_exists() -> None:
    named = {name for query in QUERIES for name in re.findall(r"\bexchange_[a-z_]+", query)}
    assert named <= metric_names(), named - metric_names()


def test_every_query_parses(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": concrete(query)}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), "utf-8")
    assert f"{len(QUERIES)} rules found" in promtool("check", "rules", str(file))


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
        return bytes(answer.read())


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until `url` answers 200; fails with the log when the process ends or time is up."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text("utf-8", "replace")[-4000:]
        try:
            fetch(url)
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"{url} did not answer: {log.read_text('utf-8', 'replace')[-4000:]}")


def without_series(prometheus: str, queries: list[str]) -> list[str]:
    """The queries which return nothing."""
    missing = []
    for query in queries:
        words = urllib.parse.urlencode({"query": concrete(query)})
        answer = json.loads(fetch(f"{prometheus}/api/v1/query?{words}"))
        if answer["status"] != "success" or not answer["data"]["result"]:
            missing.append(query)
    return missing


def assert_queries_return_series(prometheus: str, queries: list[str]) -> None:
    """Each query returns at least one series at the server within SERIES_S seconds."""
    deadline = time.monotonic() + SERIES_S
    missing = list(queries)
    while missing and time.monotonic() < deadline:
        time.sleep(1)
        missing = without_series(prometheus, missing)
    assert not missing, "no series for:\n" + "\n".join(missing)


class Running(NamedTuple):
    """A running `exchange demo`."""

    url: str
    metrics_port: int
    data: Path


EXCHANGE = Path(sys.executable).parent / "exchange"


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    http_port, port, folder = free_port(), free_port(), tmp_path_factory.mktemp("demo")
    command = [
        EXCHANGE,
        "demo",
        *("--data", folder / "venue"),
        *("--port", str(http_port)),
        *("--websocket-port", str(free_port())),
        *("--fix-port", "0"),
        *("--metrics-port", str(port)),
        *("--seed", "7"),
    ]
    log = folder / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/ready", process, log)
        yield Running(f"http://127.0.0.1:{http_port}", port, folder / "venue")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, log.read_text("utf-8", "replace")[-4000:]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


@pytest.fixture
def prometheus(tmp_path: Path, venue: Running) -> Iterator[str]:
    """A Prometheus server which watches the venue once a second, with the alert rules loaded."""
    alerts = Path(__file__).parents[2] / "deploy/prometheus/alerts.yaml"
    target = {"targets": [f"127.0.0.1:{venue.metrics_port}"]}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(alerts)],
        "scrape_configs": [{"job_name": "venue", "static_configs": [target]}],
    }
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = [
        find_prometheus(),
        f"--config.file={file}",
        f"--storage.tsdb.path={tmp_path / 'series'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    log = tmp_path / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "TZ": "UTC"}
        )
    try:
        wait_for(f"http://{address}/-/ready", process, log)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)


async def test_every_query_returns_a_series_in_a_demo_run(venue: Running, prometheus: str) -> None:
    async with BookFeed(venue.url, ["EUA", "CCER"]):  # somebody looks at the books
        await asyncio.to_thread(assert_queries_return_series, prometheus, QUERIES)
    answer = await asyncio.to_thread(fetch, f"{prometheus}/api/v1/alerts")
    alerts = json.loads(answer)["data"]["alerts"]
    firing = [alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"]
    assert not firing


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["verify"], "CN compiled: "),
        (["verify", "--engine", "reference", "--market", "EU"], "EU reference: "),
        (["replay", "--market", "EU"], "EU compiled: "),
        (["reconcile"], "CN units conserved: "),
        (["rebuild"], "CN books made anew from the log equal the books in use: "),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, list) else "",
)
def test_a_running_venue_proves_itself(venue: Running, command: list[str], told: str) -> None:
    done = subprocess.run(
        [EXCHANGE, *command, "--data", venue.data], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert told in done.stdout
    assert "FAIL" not in done.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--data", "/nowhere"], "no such folder"),
        (["--market", "XX"], "known are EU, CN"),
        (["--engine", "fast"], "known are compiled, reference"),
    ],
)
def test_proofs_name_what_is_wrong(venue: Running, options: list[str], told: str) -> None:
    words = options if "--data" in options else [*options, "--data", venue.data]
    done = subprocess.run([EXCHANGE, "verify", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert told in done.stderr
