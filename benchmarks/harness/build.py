"""Builds the adapter for a copy of the benchmark."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

HOME = Path(__file__).parent
ROOT = HOME.parent.parent
NAME = "carbon_exchange_adapter.so"


def build(harness: Path) -> Path:
    """The shared library, beside the benchmark's own adapters.

    CalledProcessError, with the compiler's words on the screen, if it cannot be built; RuntimeError
    if this Python has no shared library.
    """
    library = Path(sysconfig.get_config_var("LIBDIR")) / sysconfig.get_config_var("INSTSONAME")
    if library.suffix == ".a":
        raise RuntimeError(f"{sys.executable} was built without a shared library")
    made = ROOT / "build" / "benchmarks" / "harness"
    made.mkdir(parents=True, exist_ok=True)
    adapter = made / "adapter.c"
    source = str(HOME / "adapter.pyx")
    cython = [sys.executable, "-m", "cython", "-3", "-I", str(ROOT), "-o", str(adapter), source]
    subprocess.run(cython, check=True, cwd=ROOT)
    target = harness / NAME
    command = ["gcc", "-O3", "-march=native", "-fno-strict-aliasing", "-fPIC", "-shared"]
    command += [f"-I{harness / 'api'}", f"-I{sysconfig.get_paths()['include']}"]
    command += [f'-DPYTHON="{sys.executable}"', f'-DROOT="{ROOT}"', f'-DLIBPYTHON="{library}"']
    command += [str(adapter), str(HOME / "host.c"), str(library), "-ldl", "-o", str(target)]
    command += [f"-Wl,-rpath,{library.parent}"]
    subprocess.run(command, check=True)
    return target
