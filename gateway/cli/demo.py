"""`exchange demo`: the whole venue in one process, with brokers, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from exchange.clock import SystemClock
from exchange.database.connection import DatabaseError
from exchange.log.protocol import LogError
from exchange.logging import configure
from exchange.settings import Settings
from exchange.simulation.scene import SceneError
from gateway.cli.training import DATA as TRAINING_DATA
from gateway.cli.training import hold_class
from gateway.client import VenueError
from gateway.client.keys import DEFAULT_URL
from gateway.demo.demo_keys import (
    DESK,
    OPERATIONS,
    OPERATOR,
    PASSWORD_FILE,
    TOTP_FILE,
    VENUE_FILE,
    key_path,
)
from gateway.demo.demonstration import Demonstration
from gateway.demo.members import Found

DATA = Path(".local/demo")
PORT_MAX = 65_535
LOG_LEVELS = ("debug", "info", "warning", "error")
TEMPLATE = Path(__file__).parents[2] / "deploy" / "venue" / "demo.toml"


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("demo")(demo)


def demo(
    data: Annotated[Path, typer.Option(help="Where log, books and keys are kept.")] = DATA,
    port: Annotated[
        int, typer.Option(min=0, max=PORT_MAX, help="REST and page; 0 = any free port.")
    ] = 8080,
    websocket_port: Annotated[
        int, typer.Option(min=0, max=PORT_MAX, help="Sockets; 0 = any free port.")
    ] = 8081,
    fix_port: Annotated[
        int, typer.Option(min=0, max=PORT_MAX, help="FIX 4.4; 0 = any free port.")
    ] = 8083,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=PORT_MAX, help="/metrics; 0 = any free port.")
    ] = 8082,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulated brokers.")] = 1,
    brokers: Annotated[bool, typer.Option(help="Simulated brokers and compliance scene.")] = True,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "error",
    training: Annotated[
        bool, typer.Option("--training", help="A class: a compliance year, then scores.")
    ] = False,
    students: Annotated[int, typer.Option(min=1, help="Of the class.")] = 12,
    minutes: Annotated[float, typer.Option(min=0, help="How long the class takes.")] = 60.0,
) -> None:
    """Run the whole venue in one process on an embedded log, until Ctrl-C.

    The first start makes keys, issues units, brings cash and opens the markets; a later one goes on
    from where the last one stopped. Exit code 1: the venue could not start or had to stop.

    exchange demo --training --minutes 60 --seed 7 --data .local/class
    """
    if training and data == DATA:
        data = TRAINING_DATA
    out = Console(highlight=False, soft_wrap=True, markup=False)
    settings = Settings(
        data=data,
        venue=data / VENUE_FILE,
        http_port=port,
        websocket_port=websocket_port,
        fix_port=fix_port or -1,
        metrics_port=metrics_port,
    )
    failures: list[BaseException] = []
    try:
        if log_level.lower() not in LOG_LEVELS:
            raise ValueError(f"--log-level {log_level}: must be one of {', '.join(LOG_LEVELS)}")
        configure(log_level, service="demo")
        if training:
            uvloop.run(hold_class(out, settings, TEMPLATE, seed, students, minutes))
        else:
            uvloop.run(_run(out, settings, seed, brokers))
    except* (
        OSError,
        ValueError,
        KeyError,
        TimeoutError,
        LogError,
        DatabaseError,
        sqlite3.Error,
        VenueError,
    ) as errors:
        failures = _leaves(errors)
    for failure in failures:
        Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(
            f"demo: {failure}"
        )
    if failures:  # raised out here: inside except* a group of one would come out, as a traceback
        raise typer.Exit(1)


def _leaves(errors: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in errors.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def _run(out: Console, settings: Settings, seed: int, with_brokers: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    out.print("starting the venue")
    async with Demonstration.opened(
        settings, TEMPLATE, SystemClock(), say=lambda words: out.print(f"  {words}")
    ) as venue:
        found = await venue.find()
        _print_found(out, found, await venue.ends())
        if found.is_first:
            await venue.endow()
        await venue.open_markets()
        _print_addresses(out, venue, settings)
        acting = asyncio.create_task(_act(out, venue, seed, with_brokers, found.is_first, stop))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([acting, stopping, venue.running], return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        out.print("stopping")
        await acting
    ends = ", ".join(f"{market} {end}" for market, end in venue.stopped_at.items())
    out.print(f"stopped cleanly at orders offset {ends}")


async def _act(
    out: Console,
    venue: Demonstration,
    seed: int,
    with_brokers: bool,
    is_first: bool,
    stop: asyncio.Event,
) -> None:
    """Brokers and, in the first run, the scene, until `stop`."""
    if not with_brokers:
        await stop.wait()
        return
    async with asyncio.TaskGroup() as group:
        group.create_task(venue.trade(seed, stop))
        if is_first:
            scene = group.create_task(_scene(out, venue))
            await stop.wait()
            scene.cancel()


async def _scene(out: Console, venue: Demonstration) -> None:
    with suppress(asyncio.CancelledError):
        try:
            await venue.play_scene(lambda text: out.print(f"  compliance: {text}"))
        except (SceneError, VenueError, ConnectionError) as error:
            out.print(f"  compliance: the scene stopped: {error}")


def _print_found(out: Console, found: Found, orders: dict[str, int]) -> None:
    if found.is_first:
        out.print("a new venue: making keys, issuing units, bringing cash")
        return
    records = ", ".join(f"{market} {count}" for market, count in orders.items())
    resting = ", ".join(f"{market} {count}" for market, count in found.open_orders.items())
    prices = ", ".join(f"{symbol} {price}" for symbol, price in found.last_trades.items())
    out.print(f"found an earlier run: records of orders {records}; orders on the books {resting}")
    dates = ", ".join(f"{market} {date}" for market, date in found.trading_dates.items())
    out.print(f"  last trades: {prices or 'none'}; trading dates {dates}")


def program_name() -> str:
    """How this program is called from here: by its name alone where the shell finds it."""
    called = Path(sys.argv[0])
    found = shutil.which(called.name)
    is_found = found is not None and Path(found).resolve() == called.resolve()
    return "exchange" if is_found or not called.is_file() else os.path.relpath(called)


def _print_addresses(out: Console, venue: Demonstration, settings: Settings) -> None:
    key = key_path(settings.data, DESK)
    where = "" if venue.url == DEFAULT_URL else f" --url {venue.url}"
    program = program_name()
    out.print(
        f"""
  page           {venue.url}/
  API (OpenAPI)  {venue.url}/openapi.json
  metrics        {venue.metrics_url}/metrics
  FIX 4.4        {venue.fix_address} (deploy/docs/fix.md)
  API key        {key} (participant 4, accounts 103 EUR and 203 CNY)
  operator's key {key_path(settings.data, OPERATIONS)}; a second operator logs in on the page as
                 {OPERATOR} with {PASSWORD_FILE} and a code from {TOTP_FILE}, both beside it

  {program} book EUA{where}
  export EXCHANGE_KEY_FILE={key}
  {program} order buy EUA 10 @71.25 --account 103
  {program} positions

  An auction of EUA is open most of the time; the page says until when. Northern proposes a block
  to account 103 again and again. Both are on the page too:

  {program} auctions bid EUA 500 @75.00 --account 103
  {program} block list

Ctrl-C stops it; the next start goes on from there.
"""
    )
