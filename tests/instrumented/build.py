"""A build of the compiled engine that watches it: sanitizers and line coverage in one.

It is a tree of its own under `build/instrumented` with a copy of `matching` in it; put first on the
path it hides the engine that is installed. It needs the headers of Python, and gcc with libasan,
libubsan and gcov, all of which Debian's package `gcc` brings.

The C of a module is what Cython wrote for the usual build, unless a source is newer than that.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
TREES = ROOT / "build" / "instrumented"
SUFFIX = str(sysconfig.get_config_var("EXT_SUFFIX"))
DAMAGE = Path(__file__).with_name("damage.pyx")  # reaches into the engine it is built with
SOURCES = ("*.py", "*.pyi", "*.pyx", "*.pxd", "*.h", "py.typed")


class Module(NamedTuple):
    """An extension module: its dotted name, and how the project compiles and links it."""

    name: str
    compile_flags: tuple[str, ...]
    link_flags: tuple[str, ...]

    @property
    def stem(self) -> str:
        return self.name.replace(".", "/")


GCC = (
    "-O0",  # a line that is optimised away cannot be counted
    "-g1",  # lines and functions, all that a report names
    "-fno-omit-frame-pointer",
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    # Inline functions that nobody calls are kept too: their lines count as not run.
    *("--coverage", "-DCYTHON_INLINE=", "-fkeep-static-functions"),
)


def modules() -> list[Module]:
    """The engine's extension modules in pyproject.toml, without their level of optimisation."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found = []
    for module in project["tool"]["setuptools"]["ext-modules"]:
        if not module["name"].startswith("matching."):
            continue
        flags = [word for word in module["extra-compile-args"] if not word.startswith("-O")]
        flags += [f"-I{folder}" for folder in module.get("include-dirs", [])]
        libraries = [f"-l{library}" for library in module.get("libraries", [])]
        libraries += module.get("extra-link-args", [])
        found.append(Module(module["name"], tuple(flags), tuple(libraries)))
    return found


def run(command: list[str], cwd: Path) -> str:
    """What the command prints; RuntimeError with its own words if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def write_c(tree: Path, module: Module) -> None:
    """The C of a module into the tree."""
    c_file, usual = tree / f"{module.stem}.c", ROOT / f"{module.stem}.c"
    newest = max(path.stat().st_mtime_ns for path in sources())
    if usual.exists() and usual.stat().st_mtime_ns > newest:
        shutil.copyfile(usual, c_file)
    else:
        run([sys.executable, "-m", "cython", "-3", f"{module.stem}.pyx"], tree)


def compile_module(tree: Path, module: Module) -> None:
    """From the .pyx in the tree to the extension module beside it."""
    write_c(tree, module)
    c_file, object_file = f"{module.stem}.c", f"{module.stem}.o"
    include = f"-I{sysconfig.get_path('include')}"
    flags = [*GCC, "-pthread", "-fPIC", include, "-I.", *module.compile_flags]
    run(["gcc", *flags, "-c", c_file, "-o", object_file], tree)
    linked = [object_file, "-o", module.stem + SUFFIX, *module.link_flags]
    run(["gcc", *GCC, "-shared", *linked], tree)


def build_one(source: Path) -> Path:
    """A tree with a module that stands alone, compiled as the engine's are."""
    tree = TREES / source.stem
    tree.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, tree / source.name)
    compile_module(tree, Module(source.stem, ("-fno-strict-aliasing",), ()))
    return tree


def sources() -> list[Path]:
    """All that the engine is made of."""
    return sorted(path for glob in SOURCES for path in (ROOT / "matching").rglob(glob))


def fingerprint(paths: list[Path]) -> str:
    """Of all that a build depends on."""
    content = hashlib.sha256(repr((GCC, modules(), sys.version)).encode())
    for path in paths:
        content.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return content.hexdigest()


def build() -> Path:
    """The engine's tree, made anew if anything in `matching` has changed since."""
    tree = TREES / "engine"
    made = [*modules(), Module(DAMAGE.stem, (*modules()[0].compile_flags,), ())]
    mark, now = tree / "fingerprint", fingerprint([DAMAGE, *sources()])
    if mark.exists() and mark.read_text() == now:
        return tree
    shutil.rmtree(tree, ignore_errors=True)
    for path in sources():
        copy = tree / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    shutil.copyfile(DAMAGE, tree / DAMAGE.name)
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda module: compile_module(tree, module), made))
    mark.write_text(now)
    return tree
