"""`exchange simulate-faults`: the whole venue under faults, seed by seed, judged by an auditor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from exchange.simulation.faults.promises import PROMISES
from exchange.simulation.report import console
from gateway.cli.output import figures_bar
from gateway.faults.campaign import CAMPAIGN_SEEDS, Campaign, run_seeds, seeds_in
from gateway.faults.planted import PLANTED
from gateway.faults.run import Result

SEEDS_MAX = 10_000_000
WORKERS_MAX = 64
KNOWN = Path("tests/simulation/seeds.txt")


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("simulate-faults")(simulate_faults)


def simulate_faults(
    seeds: Annotated[int, typer.Option(min=1, max=SEEDS_MAX, help="How many seeds.")] = 1,
    first_seed: Annotated[
        int | None,
        typer.Option(min=0, help="The first of them, 1 if not said; alone: that seed only."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=WORKERS_MAX, help="Processes.")] = 1,
    plant: Annotated[
        str, typer.Option(help="Plant this bug; `all` prints how many seeds find each.")
    ] = "",
    known: Annotated[
        Path | None,
        typer.Option(
            help="Seeds to run first: those that once broke a promise.", show_default=str(KNOWN)
        ),
    ] = None,
    shapes: Annotated[bool, typer.Option(help="Print how often each shape was made.")] = False,
) -> None:
    """Run the whole venue in one process under faults, and let an auditor check every promise.

    Gateways, engines, settlement, registry, market data, brokers, operators and an emitter run on
    a simulated log, network, disk and clock. A seed gives the same run, bit by bit. Exit code 1: a
    promise was broken, or a campaign of 200 seeds never made one of the shapes that it must.
    """
    out = console()
    first = 1 if first_seed is None else first_seed
    wanted = list(range(first, first + seeds))
    if plant == "all":
        _table(out, wanted, workers)
        return
    if plant and plant not in PLANTED:
        out.print(f"simulate-faults: --plant {plant}: known are {', '.join(PLANTED)}, all")
        raise typer.Exit(2)
    is_one_again = first_seed is not None and seeds == 1 and known is None
    regressions = [] if plant or is_one_again else _known(out, known)
    campaign = _run(out, [*regressions, *wanted], plant, workers)
    if shapes:
        for name, count in sorted(campaign.shapes.items()):
            out.print(f"{count:>9,}  {name}", highlight=False)
    if campaign.failed:
        _broken(out, campaign.failed[0], plant)
        raise typer.Exit(1)
    if seeds >= CAMPAIGN_SEEDS and campaign.missing:
        out.print(f"never made: {', '.join(campaign.missing)}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)
    out.print(_figures(campaign), highlight=False, soft_wrap=True)


def _known(out: Console, named: Path | None) -> list[int]:
    """The seeds to run first; ends the program where a file cannot be read."""
    if named is None and not KNOWN.exists():
        out.print(f"{KNOWN}: not found here, so no known seeds are run first", highlight=False)
        return []
    path = named or KNOWN
    try:
        return seeds_in(path)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        typer.echo(f"simulate-faults: --known {path}: {said}", err=True)
        raise typer.Exit(2) from None


def _run(
    out: Console, seeds: list[int], plant: str, workers: int, *, stops_at_first: bool = True
) -> Campaign:
    with figures_bar(out) as bar:
        task = bar.add_task(plant or "seeds", total=len(seeds), figures="")

        def done(result: Result) -> None:
            figures = f"seed {result.seed}: {result.commands:,} commands, {result.trades:,} trades"
            bar.update(task, advance=1, figures=figures)
            if not out.is_terminal and len(seeds) <= CAMPAIGN_SEEDS and stops_at_first:
                out.print(_line(result), highlight=False, soft_wrap=True)

        return run_seeds(
            seeds, plant=plant, workers=workers, stops_at_first=stops_at_first, progress=done
        )


def _line(result: Result) -> str:
    return (
        f"seed {result.seed}: {result.virtual_s:.1f} virtual s, {result.commands:,} commands, "
        f"{result.trades:,} trades, {result.starts} starts of processes, "
        f"digest {result.digest[:16]}"
    )


def _figures(campaign: Campaign) -> str:
    results = campaign.results
    crashes = {name: count for name, count in campaign.shapes.items() if name.startswith("crash_")}
    return (
        f"{len(results)} seeds kept every promise: {sum(r.virtual_s for r in results):,.0f} "
        f"virtual seconds, {sum(r.commands for r in results):,} commands, "
        f"{sum(r.trades for r in results):,} trades, {sum(r.starts for r in results):,} starts "
        f"of processes, {sum(crashes.values()):,} crashes of {len(crashes)} kinds, "
        f"{len(campaign.shapes)} shapes"
    )


def _broken(out: Console, result: Result, plant: str) -> None:
    if result.trace:
        out.print(result.trace, highlight=False, soft_wrap=True, markup=False)
    again = f"exchange simulate-faults --first-seed {result.seed}"
    again += f" --plant {plant}" if plant else ""
    out.print(
        f"seed {result.seed} broke {result.promise}, {PROMISES[result.promise]}:\n"
        f"{result.event}\nafter {result.virtual_s:.3f} virtual s; again: {again}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )


def _table(out: Console, seeds: list[int], workers: int) -> None:
    table = Table("bug", "what it does", f"of {len(seeds)} seeds find it", "first", "as")
    for name, (_, text) in PLANTED.items():
        found = _run(out, seeds, name, workers, stops_at_first=False).failed
        first = str(found[0].seed) if found else ""
        promises = ", ".join(sorted({result.promise for result in found}))
        table.add_row(name, text, str(len(found)), first, promises)
    out.print(table)
