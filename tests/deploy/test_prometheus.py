"""Alert rules, scrape configuration and metric names, as promtool sees them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from deploy.local.chromium import find_promtool
from exchange import metrics

FOLDER = Path(__file__).parents[2] / "deploy/prometheus"


def promtool(*arguments: str, stdin: bytes = b"", cwd: Path = FOLDER) -> str:
    command = [find_promtool(), *arguments]
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, check=False)
    output = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, output
    return output


def metric_names() -> set[str]:
    """The series names of every metric of the venue."""
    found = set()
    for item in vars(metrics).values():
        if isinstance(item, MetricWrapperBase):
            name, kind = item._name, item._type
            suffixes = {"counter": ("_total",), "gauge": ("",)}.get(
                kind, ("_bucket", "_sum", "_count")
            )
            found |= {name + suffix for suffix in suffixes}
    return found


def test_configuration_and_rules_are_sound() -> None:
    promtool("check", "config", "prometheus.yaml")
    assert "SUCCESS" in promtool("check", "rules", "alerts.yaml")


def test_rules_fire_when_they_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yaml")


def rules() -> list[dict[str, object]]:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_rule_is_seen_to_fire_and_to_stay_silent(rule: dict[str, object]) -> None:
    cases = [
        case
        for test in yaml.safe_load((FOLDER / "alerts_test.yaml").read_text("utf-8"))["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == rule["alert"]
    ]
    assert {bool(case["exp_alerts"]) for case in cases} == {True, False}
    named = set(re.findall(r"\bexchange_[a-z_]+", str(rule["expr"])))
    assert named <= metric_names()


def test_metric_names_follow_the_rules_of_prometheus() -> None:
    registry = CollectorRegistry()
    for item in vars(metrics).values():
        if isinstance(item, MetricWrapperBase):
            registry.register(item)
            if item._labelnames:
                item.labels(*("any" for _ in item._labelnames))
    text = generate_latest(registry)
    assert text.count(b"# TYPE") > 20
    promtool("check", "metrics", stdin=text)
