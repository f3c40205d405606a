"""The public feed against a bare picows server that sends the same messages, in the same run.

`python -m benchmarks.feed [--subscribers 200] [--rates 500,900,1300] [--seconds 4]` offers each
rate (messages a second that each subscriber is to get) in an open loop: a message counts from the
time at which it was planned, whoever is late. Subscribers live in a process of their own. Both
servers run once for each rate, in turn; the feed's process decodes, checks and keeps the books
besides, the bare server has the bytes ready and only sends.

Loss is what did not arrive. Every subscriber's bytes must be the same, and the local book that they
lead to must have the venue's checksum after each delta. In a last run two more subscribers never
read: one of the book, who is to be cut, and one of the top alone, who is not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.figures import Figures, Target, wide

COLUMNS = ("server", "offered/s", "delivered/s", "a CPU second", "p50 ms", "p99 ms", "loss")
TARGETS = (
    Target("delivered without loss", "messages/s", 150_000),
    Target("delivered for a second of CPU", "messages/s", 150_000),
    Target("bare picows, delivered", "messages/s"),
    Target("bare picows, for a second of CPU", "messages/s"),
    Target("feed over bare, for a second of CPU", "x", 1),
    Target("delay at the rate nearest 150,000, p50", "ms"),
    Target("delay at the rate nearest 150,000, p99", "ms"),
    Target("lost at that rate", "messages", 0, is_ceiling=True),
    Target("memory grown while two never read", "MiB", 16, is_ceiling=True),
)
AIM = 150_000
DEAF_RUNS = 4  # as long as one rate: until what a socket takes unread is full


class Child:
    """A process of its own, told what to do line by line."""

    def __init__(self, name: str, *arguments: object) -> None:
        command = [sys.executable, "-m", f"benchmarks.feed.{name}", *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, **what: Any) -> None:
        """One order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What it says to the last order; EOFError when it died."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EOFError("the process is gone")
        found: dict[str, Any] = json.loads(line)
        return found

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait()


def measure(server: Child, load: Child, rate: int, seconds: int) -> dict[str, Any]:
    """One rate on one server: what was sent and what arrived."""
    load.tell(do="begin")
    load.answer()
    server.tell(rate=rate, seconds=seconds)
    sent = server.answer()
    load.tell(do="report", **sent)
    got = load.answer()
    checksums = sent.pop("checksums", {})
    is_equal = got.pop("checksums") == checksums
    delivered = got["delivered"]
    return {
        **sent, **got, "rate": rate, "is_equal": is_equal,
        "per_cpu_s": delivered / max(sent["cpu_s"], 1e-9),
    }  # fmt: skip


def run_server(
    kind: str, subscribers: int, rates: list[int], seconds: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every rate on one server; then, on the feed, readers who never read."""
    server = Child("server", kind, (sum(rates) + DEAF_RUNS * rates[-1]) * seconds)
    deaf: dict[str, Any] = {}
    load = Child("load", server.answer()["port"], subscribers, kind)
    try:
        runs = [measure(server, load, rate, seconds) for rate in rates]
        if kind == "feed":
            load.tell(do="deaf")
            load.answer()
            last = measure(server, load, rates[-1], DEAF_RUNS * seconds)
            deaf = {
                "grown_kib": last["grown_kib"],
                "cut": last["dropped"],
                "lost_by_others": last["lost"],
                "still_subscribed_to_top": last["top_members"],
            }
    finally:
        load.stop()
        server.stop()
    return runs, deaf


def figures_of(
    feed: list[dict[str, Any]], bare: list[dict[str, Any]], deaf: dict[str, Any]
) -> Figures:
    """What the table is about."""
    whole = [run for run in feed if not run["lost"]] or feed[:1]
    best = max(run["delivered_per_s"] for run in whole)
    near = min(feed, key=lambda run: abs(run["delivered_per_s"] - AIM))
    ours = max(run["per_cpu_s"] for run in feed)
    theirs = max(run["per_cpu_s"] for run in bare)
    values = (
        best, ours, max(run["delivered_per_s"] for run in bare), theirs, ours / theirs,
        near["p50_ms"], near["p99_ms"], near["lost"],
        max(deaf["grown_kib"] / 1_024, 0.1),
    )  # fmt: skip
    figures = Figures("feed", TARGETS)
    figures.add({target.name: value for target, value in zip(TARGETS, values, strict=True)})
    return figures


def table_of(runs: list[tuple[str, dict[str, Any]]], subscribers: int) -> Table:
    """Rate by rate."""
    table = Table(title=f"{subscribers} subscribers", box=SIMPLE_HEAD, title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "server" else "right")
    for name, row in runs:
        table.add_row(
            name, f"{row['rate'] * subscribers:,}", f"{row['delivered_per_s']:,.0f}",
            f"{row['per_cpu_s']:,.0f}", f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}",
            f"{row['lost']:,}",
        )  # fmt: skip
    return table


def main(argv: list[str] | None = None) -> int:
    """Runs both servers, prints, writes results/feed.json; 1 when a check fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feed", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--subscribers", type=int, default=200)
    parser.add_argument("--rates", default="500,900,1300", help="messages a second, with commas")
    parser.add_argument("--seconds", type=int, default=4, help="for each rate")
    parser.add_argument("--keep", action="store_true", help="add the figures to the history")
    given = parser.parse_args(argv)
    rates = sorted(int(rate) for rate in given.rates.split(","))
    feed, deaf = run_server("feed", given.subscribers, rates, given.seconds)
    bare, _ = run_server("bare", given.subscribers, rates, given.seconds)
    console = wide()
    both = [("feed", run) for run in feed] + [("bare picows", run) for run in bare]
    console.print(table_of(both, given.subscribers))
    figures = figures_of(feed, bare, deaf)
    figures.show(console)
    checks = {
        "every subscriber had the same bytes": all(run["streams"] == 1 for run in (*feed, *bare)),
        "the book they lead to has the venue's checksum": all(run["is_equal"] for run in feed),
        "who never read the book was cut, who never read the top was not": (
            deaf["cut"] == 1 and deaf["still_subscribed_to_top"] == 1
        ),
        "nobody else lost anything by it": deaf["lost_by_others"] == 0,
    }
    for name, is_right in checks.items():
        console.print(f"{'OK' if is_right else 'FAIL'}: {name}")
    console.print(f"Two who never read: {deaf}")
    figures.save({**checks, "runs": both, "deaf": deaf}, given.keep)
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
