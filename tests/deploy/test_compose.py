"""The compose file and the image say what the code understands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from exchange.reference.venue import load_venue
from exchange.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == COMPOSE["name"]}
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text("utf-8")


def environment(service: dict[str, Any]) -> dict[str, str]:
    image = re.findall(r"(EXCHANGE_[A-Z_]+)=([^\s\\]+)", DOCKERFILE)
    return {**dict(image), **service["environment"]}


def test_every_part_of_the_venue_is_there() -> None:
    venue = load_venue(ROOT / "deploy/venue/demo.toml")
    engines = {
        service["command"][2] for service in OURS.values() if service["command"][0] == "engine"
    }
    assert engines == {market.code for market in venue.market}
    commands = {service["command"][0] for service in OURS.values()}
    parts = {"bootstrap", "gateway", "engine", "settlement", "registry", "marketdata"}
    assert commands == parts | {"surveillance", "reconcile", "checkpoints"}
    assert set(SERVICES) - set(OURS) == {"kafka", "postgres", "prometheus", "grafana"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_commands_are_known_to_the_command_line(name: str) -> None:
    from gateway.cli import build

    command, *options = OURS[name]["command"]
    known = typer.main.get_command(build()).commands  # type: ignore[attr-defined]
    assert command in known
    flags = {flag for parameter in known[command].params for flag in parameter.opts}
    assert {option for option in options if option.startswith("--")} <= flags


@pytest.mark.parametrize("name", sorted(OURS))
def test_environments_are_settings(name: str) -> None:
    given = {
        key: re.sub(r"\$\{[^}]*\}", "secret", value)
        for key, value in environment(OURS[name]).items()
    }
    settings = Settings.from_environment(given)
    assert settings.log.startswith("kafka:")
    assert settings.database.startswith("postgresql://")
    assert settings.metrics_port


def test_engines_are_told_apart() -> None:
    nodes = [
        environment(service)["EXCHANGE_NODE"]
        for service in OURS.values()
        if service["command"][0] == "engine"
    ]
    assert len(set(nodes)) == len(nodes)


def test_prometheus_asks_every_process_at_its_port() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text("utf-8"))
    asked = {
        target: job["job_name"]
        for job in config["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    wanted = {
        f"{name}:{environment(service)['EXCHANGE_METRICS_PORT']}": service["command"][0]
        for name, service in OURS.items()
        if name != "bootstrap"
    }
    assert asked == wanted


def test_published_ports_are_the_ones_listened_at() -> None:
    settings = Settings()
    inside = {port.split(":")[-1] for port in OURS["gateway"]["ports"]}
    fix_port = environment(OURS["gateway"])["EXCHANGE_FIX_PORT"]
    assert inside == {str(settings.http_port), str(settings.websocket_port), fix_port}


def test_mounted_files_exist() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / "deploy" / source).exists(), f"{name}: {source}"
            else:
                assert source in COMPOSE["volumes"], f"{name}: {source}"


def test_the_image_copies_what_exists() -> None:
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), line


def test_kafka_is_the_version_the_tests_run_against() -> None:
    pom = (ROOT / "deploy/local/pom.xml").read_text("utf-8")
    tested = re.search(r"<kafka.version>(.+)</kafka.version>", pom)
    assert tested
    assert SERVICES["kafka"]["image"] == f"${{KAFKA_IMAGE:-apache/kafka:{tested[1]}}}"


def test_grafana_finds_its_source_and_dashboard() -> None:
    folder = ROOT / "deploy/grafana"
    sources = yaml.safe_load((folder / "provisioning/datasources/prometheus.yaml").read_text())
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    providers = yaml.safe_load((folder / "provisioning/dashboards/venue.yaml").read_text())
    path = providers["providers"][0]["options"]["path"]
    mounted = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert f"{path}/venue.json" in mounted
    assert json.loads((folder / "venue.json").read_text("utf-8"))["uid"] == "carbon-exchange"


def test_every_image_can_be_given_by_digest() -> None:
    """A tag is moved by whoever holds it; no digest can be known where no registry is asked."""
    theirs = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    bases = [OURS["gateway"]["build"]["args"]["PYTHON_IMAGE"]]
    for image in (*theirs, *bases):
        assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z/-]+:[\w.-]+\}", image), image
    bases_of_image = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert bases_of_image == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
    assert f"ARG PYTHON_IMAGE={bases[0][len('${PYTHON_IMAGE:-') : -1]}" in DOCKERFILE


def test_a_stop_goes_in_the_datas_order() -> None:
    """Who is depended on stops later: each reads to its end what those before it said."""

    def later(name: str) -> set[str]:
        named = set(OURS[name]["depends_on"]) & set(OURS) - {"bootstrap"}
        return named.union(*(later(other) for other in named))

    readers = {"marketdata", "surveillance", "reconciliation", "checkpoints"}
    assert later("registry") == readers
    assert later("settlement") == readers | {"registry"}
    for engine in (name for name, one in OURS.items() if one["command"][0] == "engine"):
        assert later(engine) == readers | {"registry", "settlement"}
    assert later("gateway") == set(OURS) - {"gateway", "bootstrap"}
