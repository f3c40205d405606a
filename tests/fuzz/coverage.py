"""Coverage-guided runs of the targets with atheris: `python -m tests.fuzz bytes` starts one each.

    python -m tests.fuzz.coverage TARGET CORPUS [libFuzzer options]

Only Python is instrumented; the compiled engine is judged by its answers. What libFuzzer finds to
be new goes into the folder CORPUS, what breaks a target into the present folder.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import atheris

READERS = (  # what the targets run through; to instrument all that they import takes minutes
    "gateway.fix.codec", "gateway.fix.session", "gateway.fix.requests", "gateway.entry.fields",
    "exchange.messages.orders", "exchange.engine.snapshots", "matching.reference",
    "matching.snapshot",
)  # fmt: skip


def main() -> None:
    """Runs libFuzzer over one target until its own options end it."""
    name, corpus, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["gateway", "exchange", "matching"]):
        for reader in READERS:
            importlib.import_module(reader)
    targets = importlib.import_module("tests.fuzz.targets")
    target = next(target for target in targets.TARGETS if target.name == name)
    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate([*target.seeds(), *target.kept()]):
        (folder / f"seed-{number:04}").write_bytes(data)
    atheris.Setup([sys.argv[0], *options, str(folder)], target.try_all)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
