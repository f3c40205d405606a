"""`python -m benchmarks.surveillance [--seeds N] [--limits FILE]`: a table, and JSON in results/.

Exit code 1 when a kind misses a clear or gross day, or when honest trading led to an alert.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.surveillance.abuse import SLOW, SLOW_PACE, STRENGTHS
from benchmarks.surveillance.measure import Result, measure
from exchange.surveillance import load_limits

RESULTS = Path(__file__).parents[1] / "results" / "surveillance.json"


def main(argv: list[str] | None = None) -> int:
    """Measures and prints; 0 when everything clear was found and nothing honest was told."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.surveillance", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seeds", type=int, default=5, help="days of each play")
    parser.add_argument("--limits", type=Path, help="a file that changes the shipped limits")
    chosen = parser.parse_args(argv)
    limits = load_limits(chosen.limits)
    began = time.perf_counter()
    result = measure(limits, chosen.seeds, lambda text: print(text, file=sys.stderr))
    seconds = time.perf_counter() - began
    show(result, seconds)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(as_json(result, limits.digest()), indent=1) + "\n", "utf-8")
    missed = any(row.recall_bp < 10_000 for row in result.rows)
    return 1 if missed or result.honest_alerts else 0


def show(result: Result, seconds: float) -> None:
    """The table of kinds, then what honest trading led to."""
    out = Console(highlight=False, width=110)
    table = Table(
        title="Days of abuse that were found, by form, and the alerts of all days",
        title_justify="left",
    )
    table.add_column("kind")
    for name in (*STRENGTHS, SLOW, "right", "wrong", "beside", "precision", "recall"):
        table.add_column(name, justify="right")
    for row in result.rows:
        found = (f"{f} of {played}" for f, played in row.days.values())
        table.add_row(
            row.kind, *found, str(row.right), str(row.wrong), str(row.beside),
            f"{row.precision_bp / 100:.0f}, {row.strict_precision_bp / 100:.0f} %",
            f"{row.recall_bp / 100:.0f}, {row.strict_recall_bp / 100:.0f} %",
        )  # fmt: skip
    out.print(table)
    honest = ", ".join(f"{name} {n}" for name, n in sorted(result.honest_alerts.items()))
    also = ", ".join(f"{name} {n}" for name, n in sorted(result.also.items()))
    out.print(f"{result.honest_days} honest days led to alerts: {honest or 'none'}")
    out.print(f"other kinds told of those who played: {also or 'none'}")
    out.print(
        "recall: over clear and gross days, then over all; weak ones stay below the limits by "
        f"design, slow ones are clear ones {SLOW_PACE} times as slow. Precision: of alerts about "
        "whoever did nothing, then with alerts of a kind beside the one that was played"
    )
    out.print(f"{result.events:,} events in {seconds:.1f} s, engine and flow included")


def as_json(result: Result, digest: str) -> dict[str, object]:
    """The figures, with the digest of the limits they were made under."""
    return {
        "limits": digest,
        "kinds": [
            {
                "kind": row.kind,
                "days": {name: {"found": f, "played": n} for name, (f, n) in row.days.items()},
                "right": row.right,
                "wrong": row.wrong,
                "beside": row.beside,
                "precision_bp": row.precision_bp,
                "strict_precision_bp": row.strict_precision_bp,
                "strict_recall_bp": row.strict_recall_bp,
                "recall_bp": row.recall_bp,
            }
            for row in result.rows
        ],
        "honest_days": result.honest_days,
        "honest_alerts": dict(sorted(result.honest_alerts.items())),
        "also": dict(sorted(result.also.items())),
        "events": result.events,
    }


if __name__ == "__main__":
    sys.exit(main())
