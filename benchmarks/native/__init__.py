"""Measurements that Python itself would blur: a small compiled driver, built on demand."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path
from types import ModuleType

import matching

SOURCE = Path(__file__).parent / "driver.pyx"
ENGINE = Path(matching.__file__).parent
ROOT = ENGINE.parent
FLAGS = ("-O3", "-fno-strict-aliasing")

_BUILD = """
import sys
from pathlib import Path
from Cython.Build import cythonize
from setuptools import Extension, setup

source, root, target, *flags = sys.argv[1:]
module = Extension("driver", [source], extra_compile_args=flags)
made = cythonize([module], include_path=[root], build_dir=target, quiet=True)
arguments = ["-q", "build_ext", "--build-lib", target, "--build-temp", target]
setup(ext_modules=made, script_args=arguments)
"""


def driver() -> ModuleType:
    """The driver for the engine as it stands, compiled anew when either has changed.

    CalledProcessError, with the compiler's words on the screen, if it cannot be built.
    """
    digest = blake2b(digest_size=8)
    for path in (SOURCE, *sorted(ENGINE.glob("*.pxd")), *sorted(ENGINE.glob("*.so"))):
        digest.update(path.read_bytes())
    home = ROOT / "build" / "benchmarks" / f"{sys.implementation.cache_tag}-{digest.hexdigest()}"
    if not (found := sorted(home.glob("driver.*.so"))):
        home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-c", _BUILD, str(SOURCE), str(ROOT), str(home), *FLAGS]
        subprocess.run(command, check=True, cwd=home)  # away from pyproject.toml
        found = sorted(home.glob("driver.*.so"))
    spec = importlib.util.spec_from_file_location("driver", found[0])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
