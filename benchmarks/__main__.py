"""`python -m benchmarks [NAME ...] [--keep]`: every measurement in turn, or those named.

Fails when a measurement's own check fails. With `--keep` the figures of the engine, its peers,
settlement and failover are added to history.jsonl, from which `python -m benchmarks.plot` draws
history.svg.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

MEASUREMENTS = (
    "engine", "peers", "settlement", "registry", "path", "order_entry", "flood", "surveillance",
    "feed", "failover", "recovery",
)  # fmt: skip
KEPT = ("engine", "peers", "settlement", "failover")


def main() -> int:
    """Runs each in a process of its own; the number that failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--keep", action="store_true", help="add the figures to the history")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(MEASUREMENTS)}")
    failed = []
    for name in chosen.names or MEASUREMENTS:
        print(f"\n== {name}", flush=True)
        keep = ["--keep"] if chosen.keep and name in KEPT else []
        command = [sys.executable, "-m", f"benchmarks.{name}", *keep]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
