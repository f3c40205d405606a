"""The wheel, built so that the same sources give the same bytes, wherever and whenever.

    python -m deploy.reproducible build [--output DIR]     one wheel
    python -m deploy.reproducible check                    two, in different folders; compares bytes

What a build would leave of its place and time is taken away: paths in machine code
(-ffile-prefix-map), debug sections (-g0), times in the archive (SOURCE_DATE_EPOCH, the commit's),
the order of hashes, the umask. The compiler and Python must be the same: the wheel names its own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from exchange.build import this_build

ROOT = Path(__file__).resolve().parents[1]
VENDOR = Path("gateway/console/vendor")
FALLBACK_EPOCH = 1_767_225_600  # outside a git clone: 2026-01-01
NAMES = ("first", "a-second-folder-with-a-longer-name/below")


def epoch(root: Path = ROOT) -> int:
    """Seconds of the commit that is checked out; a fixed time outside of git."""
    command = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else FALLBACK_EPOCH


def environment(folder: Path, seconds: int) -> dict[str, str]:
    """What a build in a folder is told."""
    # -g0 after what Python was built with; distutils appends CFLAGS.
    flags = f"-g0 -ffile-prefix-map={folder}=. -fmacro-prefix-map={folder}=."
    return {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(seconds),
        "PYTHONHASHSEED": "0",
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} {flags}".strip(),
        "LDFLAGS": f"{os.environ.get('LDFLAGS', '')} -Wl,--build-id=none".strip(),
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    }


def copy_sources(folder: Path, root: Path = ROOT) -> None:
    """The tracked files as they are, and the page's scripts, with plain modes."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True)
    names = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    names += [item.relative_to(root) for item in sorted((root / VENDOR).glob("*"))]
    for name in names:
        source, target = root / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(0o644)


def write_truth(folder: Path, commit: str) -> None:
    """Tells the sources in a folder what they are, for `exchange --version` and GET /version."""
    lock = hashlib.sha256((folder / "deploy" / "requirements.txt").read_bytes()).hexdigest()
    text = f'commit = "{commit}"\nlock = "{lock}"\n'
    (folder / "exchange" / "build.toml").write_text(text, "utf-8")


def build(folder: Path, output: Path, seconds: int) -> Path:
    """The wheel of the sources in a folder; RuntimeError with the words of a failed build."""
    code = (
        "import sys; from setuptools import build_meta; "
        "sys.stdout.write(build_meta.build_wheel(sys.argv[1]))"
    )
    output.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", code, str(output)],
        cwd=folder, capture_output=True, text=True, env=environment(folder, seconds), check=False,
        umask=0o022,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the build in {folder} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return output / done.stdout.splitlines()[-1]


def differences(one: Path, other: Path) -> list[str]:
    """Members of two wheels that are not the same bytes; [] when the archives are equal."""
    if one.read_bytes() == other.read_bytes():
        return []
    with zipfile.ZipFile(one) as left, zipfile.ZipFile(other) as right:
        ours = {item.filename: (item.date_time, item.external_attr, left.read(item))
                for item in left.infolist()}  # fmt: skip
        theirs = {item.filename: (item.date_time, item.external_attr, right.read(item))
                  for item in right.infolist()}  # fmt: skip
    names = ours.keys() | theirs.keys()
    return sorted(name for name in names if ours.get(name) != theirs.get(name)) or ["the archive"]


def check() -> int:
    """Builds twice and compares; the exit code."""
    seconds, commit, made = epoch(), this_build().commit, []
    with tempfile.TemporaryDirectory(prefix="reproducible-") as work:
        folders = [Path(work, name) for name in NAMES]
        for folder in folders:  # all before the first build: somebody may be editing
            copy_sources(folder)
            write_truth(folder, commit)
        for folder in folders:
            made.append(build(folder, Path(work, f"{folder.name}-wheel"), seconds))
        wrong = differences(*made)
        for name in wrong:
            print(f"differs: {name}")
        if wrong:
            return 1
        digest = hashlib.sha256(made[0].read_bytes()).hexdigest()
        print(f"{made[0].name}: the same bytes twice, sha256 {digest}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """One wheel into a folder, or the check."""
    parser = argparse.ArgumentParser(prog="python -m deploy.reproducible", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=["build", "check"])
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    given = parser.parse_args(argv)
    if given.what == "check":
        return check()
    with tempfile.TemporaryDirectory(prefix="wheel-") as work:
        folder = Path(work, "source")
        copy_sources(folder)
        write_truth(folder, this_build().commit)
        wheel = build(folder, given.output.absolute(), epoch())
    print(f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}  {wheel}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
