"""`python -m benchmarks`: every measurement in turn; fails when one's own check fails."""

from __future__ import annotations

import subprocess
import sys

MEASUREMENTS = ("engine", "settlement", "path")


def main(arguments: list[str]) -> int:
    """Runs those named, or all, each in a process of its own; the number that failed."""
    chosen = arguments or list(MEASUREMENTS)
    unknown = [name for name in chosen if name not in MEASUREMENTS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(MEASUREMENTS)}", file=sys.stderr)
        return 2
    failed = []
    for name in chosen:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
