"""`make fuzz`: long runs of what the suite does briefly; ARGS says which and how long.

python -m tests.fuzz openapi [--examples N] [--seed N]
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from gateway.client import load_key
from gateway.demo.demo_keys import AUTHORITY, DESK, OPERATIONS, VERIFIER, key_path
from tests.fuzz.openapi import Prober
from tests.fuzz.targets import TARGETS
from tests.gateway.demo_venue import demo_venue

CORPORA = Path("build/corpora")


async def openapi(examples: int, number: int) -> int:
    """Requests from the OpenAPI document to a venue in this process; 1 when an answer was wrong."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        async with demo_venue(Path(folder)) as venue:
            keys = {
                holder.role: load_key(key_path(venue.data, holder))
                for holder in (OPERATIONS, AUTHORITY, VERIFIER, DESK)
            }
            prober = Prober(venue.url, keys, number)
            seen: Counter[tuple[str, str]] = Counter()
            for found in await asyncio.to_thread(lambda: list(prober.run(examples))):
                seen[found.operation, found.fault[:60]] += 1
                if seen[found.operation, found.fault[:60]] == 1:
                    print(f"{found.operation} as {found.role}: {found.fault}\n  {found.request}")
    answers = ", ".join(f"{status}: {count}" for status, count in sorted(prober.statuses.items()))
    print(
        f"{sum(prober.statuses.values())} requests (seed {number}) in "
        f"{time.monotonic() - began:.0f} s; answers {answers}; {sum(seen.values())} wrong"
    )
    return 1 if seen else 0


def bytes_(names: list[str], seconds: int) -> int:
    """Each target in a process of its own; what is new stays in CORPORA. The number that broke."""
    broken = 0
    for name in names or [target.name for target in TARGETS]:
        folder = CORPORA / name
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.coverage", name, str(folder),
             f"-max_total_time={seconds}", "-max_len=4096", f"-artifact_prefix={CORPORA}/{name}-"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        counted = [line for line in lines if line.startswith("Done")]
        print(f"{name}: {'holds' if done.returncode == 0 else 'BROKE'}; {(counted or ['?'])[-1]}")
        if done.returncode:
            broken += 1
            print("\n".join((done.stdout.splitlines() + lines)[-40:]))
    return broken


def main() -> int:
    """Runs what the command line names; 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    kinds = parser.add_subparsers(dest="kind", required=True)
    probe = kinds.add_parser("openapi", help="requests made from the OpenAPI document")
    probe.add_argument("--examples", type=int, default=25, help="of each kind, operation and role")
    probe.add_argument("--seed", type=int, default=1)
    reader = kinds.add_parser("bytes", help="every reader of bytes, guided by coverage")
    reader.add_argument("targets", nargs="*", help=", ".join(target.name for target in TARGETS))
    reader.add_argument("--seconds", type=int, default=60, help="of each target")
    given = parser.parse_args()
    if given.kind == "bytes":
        return bytes_(given.targets, given.seconds)
    return asyncio.run(openapi(given.examples, given.seed))


if __name__ == "__main__":
    sys.exit(main())
