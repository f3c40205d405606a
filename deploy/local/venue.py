"""`make venue`: the whole venue as processes on a real Kafka and PostgreSQL of this machine.

Starts the two servers, makes keys, runs `exchange bootstrap`, then keeps one process for each
service running, restarted when it ends, until Ctrl-C. Output of each goes to DATA/logs/NAME.log.

    python -m deploy.local.venue [--data DIR] [--port N] [--websocket-port N] [--metrics-port N]
                                 [--fix-port N] [--no-brokers] [--standby] [--log-level LEVEL]
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from deploy.local.kafka import KafkaServer
from deploy.local.postgres import PostgresServer
from deploy.local.process import LOOPBACK, REPO, LocalServerError, free_port
from deploy.local.supervisor import Program, Supervisor
from exchange.audit.signed_note import key_name, make_key
from exchange.audit.vault import CHECKPOINTS_FOLDER
from exchange.clock import SystemClock
from exchange.reference.venue import Venue, load_venue
from exchange.simulation.scene import SceneError
from gateway.client import VenueError
from gateway.demo.demo_keys import CHECKPOINT_KEY, DESK, KEYS_FOLDER, VENUE_FILE, key_path, prepare
from gateway.demo.members import Members

TEMPLATE = REPO / "deploy" / "venue" / "demo.toml"
DATABASE = "exchange"
READY_S = 60.0
POLL_S = 0.1
BOOTSTRAP_S = 120
SHARED = ("surveillance", "marketdata", "registry", "settlement")  # one process for all markets

Say = Callable[[str], None]


class LocalVenue:
    """Servers, processes and keys of one data directory. Use it as a context manager."""

    def __init__(
        self,
        data: Path,
        *,
        http_port: int = 8080,
        websocket_port: int = 8081,
        fix_port: int = 8083,
        metrics_port: int = 9100,
        fast_start: bool = False,
        standby: bool = False,
        log_level: str = "info",
        say: Say = print,
    ) -> None:
        """`metrics_port` is the first of a row, one a process; ports 0 are chosen here.

        With `standby` each market has a second engine, `engine-CODE-2`, as node 2.
        """
        self.data = data.absolute()
        self.kafka = KafkaServer(self.data / "kafka", fast_start=fast_start)
        self.postgres = PostgresServer(self.data / "postgres")
        self._http_port = http_port
        self._websocket_port = websocket_port
        self.fix_port = fix_port
        self._metrics_port = metrics_port
        self._standby = standby
        self._log_level = log_level
        self._say = say
        self.metrics: dict[str, str] = {}  # process: address of its /metrics, /ready, /health
        self.dsn = ""
        self._taken: set[int] = set()

    @property
    def url(self) -> str:
        """The gateway's address."""
        return f"http://{LOOPBACK}:{self._http_port}"

    @property
    def venue_file(self) -> Path:
        """The venue file with the public keys."""
        return self.data / VENUE_FILE

    @property
    def venue(self) -> Venue:
        """The venue as its processes read it."""
        return load_venue(self.venue_file)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        self._say("starting Kafka and PostgreSQL")
        self.kafka.start()
        self.postgres.start()
        self._http_port = self._http_port or self._free_port()
        self._websocket_port = self._websocket_port or self._free_port()
        self.fix_port = self.fix_port or self._free_port()
        prepare(self.data, TEMPLATE, self.url)
        checkpoint_key = self.data / KEYS_FOLDER / CHECKPOINT_KEY
        if not checkpoint_key.exists():
            make_key(checkpoint_key, key_name(self.venue.name))
        self.dsn = self.postgres.create_database(DATABASE)
        self._bootstrap()
        self.supervisor = Supervisor(self._programs(), self.data / "logs")
        self.supervisor.start()

    def _free_port(self) -> int:
        """A free port that no process of ours will ask for: they bind theirs only later."""
        port = free_port()
        while port in self._taken:
            port = free_port()
        self._taken.add(port)
        return port

    def close(self) -> None:
        """Stops processes, then servers; idempotent."""
        if hasattr(self, "supervisor"):
            self.supervisor.stop()
        self.postgres.stop()
        self.kafka.stop()

    def environment(self, metrics_port: int = 0, node: int = 1) -> dict[str, str]:
        """The settings of a process of this venue; `node` is its number among engines."""
        return {
            "PYTHONPATH": str(REPO),
            "MATCHING_PURE": "0",  # a venue's processes run the compiled engine, whatever tests do
            "EXCHANGE_LOG": f"kafka:{self.kafka.bootstrap}",
            "EXCHANGE_DATABASE": self.dsn,
            "EXCHANGE_DATA": str(self.data),
            "EXCHANGE_VENUE": str(self.venue_file),
            "EXCHANGE_HTTP_PORT": str(self._http_port),
            "EXCHANGE_WEBSOCKET_PORT": str(self._websocket_port),
            "EXCHANGE_FIX_PORT": str(self.fix_port),
            "EXCHANGE_METRICS_PORT": str(metrics_port),
            "EXCHANGE_NODE": str(node),
            "EXCHANGE_LOG_LEVEL": self._log_level,
            "EXCHANGE_CHECKPOINTS": str(self.data / CHECKPOINTS_FOLDER),
            "EXCHANGE_CHECKPOINT_KEY_FILE": str(self.data / KEYS_FOLDER / CHECKPOINT_KEY),
        }

    def _bootstrap(self) -> None:
        """Topics, tables, instruments and accounts, before anyone reads them."""
        result = subprocess.run(
            ["env", *(f"{k}={v}" for k, v in self.environment().items()), *exchange("bootstrap")],
            capture_output=True,
            text=True,
            timeout=BOOTSTRAP_S,
            check=False,
            cwd="/",
        )
        if result.returncode:
            raise LocalServerError(f"exchange bootstrap: {result.stderr or result.stdout}")
        self._say(f"bootstrap: {', '.join(result.stdout.split(chr(10))).strip(', ')}")

    def _programs(self) -> list[Program]:
        """The data's order backwards, for a stop goes the other way: each process then still reads
        to its end what those before it said, and the books stand level afterwards.
        """
        commands = [
            ("checkpoints", exchange("checkpoints"), 1),
            ("reconcile", exchange("reconcile", "--watch"), 1),  # a day opens on its word
            *((name, exchange(name), 1) for name in SHARED),
        ]
        commands += [
            (f"engine-{market.code}{mark}", exchange("engine", "--market", market.code), node)
            for market in self.venue.market
            for node, mark in ((1, ""), (2, "-2"))[: 1 + self._standby]
        ]
        commands += [("gateway", exchange("gateway"), 1)]
        programs = []
        for number, (name, command, node) in enumerate(commands):
            port = self._metrics_port + number if self._metrics_port else self._free_port()
            self.metrics[name] = f"http://{LOOPBACK}:{port}"
            programs.append(self.program(name, command, port, node))
        return programs

    def program(self, name: str, command: Sequence[str], metrics_port: int, node: int) -> Program:
        """A process of this venue; another venue may run it otherwise."""
        return Program(name, command, self.environment(metrics_port, node))

    def is_ready(self, name: str) -> bool:
        """Whether a process says that it has caught up."""
        try:
            with urllib.request.urlopen(f"{self.metrics[name]}/ready", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, seconds: float = READY_S, names: Sequence[str] = ()) -> None:
        """Waits for every process, restarting those that end; LocalServerError with a log's end."""
        deadline = time.monotonic() + seconds
        waiting = list(names or self.metrics)
        while waiting:
            self.watch()
            waiting = [name for name in waiting if not self.is_ready(name)]
            if waiting and time.monotonic() > deadline:
                tails = "\n".join(self.supervisor.log_tail(name) for name in waiting)
                raise LocalServerError(f"not ready: {', '.join(waiting)}\n{tails}")
            time.sleep(POLL_S)

    def watch(self) -> None:
        """Restarts what ended, and says so."""
        for ended in self.supervisor.poll():
            self._say(
                f"{ended.name} ended with code {ended.code}, starts again in "
                f"{ended.restart_in_s:g} s; log {self.supervisor.log_of(ended.name)}"
            )


def exchange(*arguments: str) -> list[str]:
    """The command line of `exchange ...` in this environment."""
    script = Path(sys.executable).with_name("exchange")
    if script.exists():
        return [str(script), *arguments]
    return [sys.executable, "-c", "from gateway.cli import main; main()", *arguments]


async def attend(venue: LocalVenue, stop: asyncio.Event) -> None:
    """Restarts what ends, until `stop`."""
    while not stop.is_set():
        venue.watch()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), POLL_S)


async def act(members: Members, say: Say, seed: int, stop: asyncio.Event) -> None:
    """Brokers trade until `stop`; in the first run the compliance scene is played."""
    async with asyncio.TaskGroup() as group:
        group.create_task(members.trade(seed, stop))
        try:
            await members.play_scene(lambda text: say(f"  compliance: {text}"))
        except (SceneError, VenueError, ConnectionError) as error:
            say(f"  compliance: the scene stopped: {error}")


async def serve(venue: LocalVenue, *, with_brokers: bool, seed: int, say: Say) -> None:
    """The venue until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        group.create_task(attend(venue, stop))
        async with Members(venue.data, venue.venue, venue.url, SystemClock()) as members:
            if (await members.find()).is_first:
                say("a new venue: issuing units, bringing cash")
                await members.endow()
            await members.open_markets()
            print_addresses(venue, say)
            if with_brokers:
                await act(members, say, seed, stop)
            await stop.wait()
    say("stopping")


def print_addresses(venue: LocalVenue, say: Say) -> None:
    """Where everything answers."""
    key = key_path(venue.data, DESK)
    rows = [
        ("page", f"{venue.url}/"),
        ("API (OpenAPI)", f"{venue.url}/openapi.json"),
        ("FIX 4.4", f"{LOOPBACK}:{venue.fix_port}"),
        ("Kafka", venue.kafka.bootstrap),
        ("PostgreSQL", venue.dsn),
        ("API key", f"{key} (participant 4, accounts 103 EUR and 203 CNY)"),
        ("logs", str(venue.data / "logs")),
        *((f"metrics {name}", f"{url}/metrics") for name, url in venue.metrics.items()),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f"  {name:<{width}} {value}")
    say("Ctrl-C stops everything; the next start goes on from there.")


def main(argv: list[str] | None = None) -> int:
    """Runs the venue in the foreground; 1 when a server or process could not be started."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.venue", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, default=REPO / ".local" / "venue")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--websocket-port", type=int, default=8081)
    parser.add_argument("--fix-port", type=int, default=8083)
    parser.add_argument("--metrics-port", type=int, default=9100, help="first of a row; 0: free")
    parser.add_argument("--no-brokers", action="store_true")
    parser.add_argument("--standby", action="store_true", help="a second engine for each market")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-level", default="info")
    given = parser.parse_args(argv)

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        with LocalVenue(
            given.data,
            http_port=given.port,
            websocket_port=given.websocket_port,
            fix_port=given.fix_port,
            metrics_port=given.metrics_port,
            standby=given.standby,
            log_level=given.log_level,
            say=say,
        ) as venue:
            say("starting the venue's processes")
            venue.wait_ready()
            asyncio.run(serve(venue, with_brokers=not given.no_brokers, seed=given.seed, say=say))
    except* (LocalServerError, OSError, ValueError, VenueError) as errors:
        for error in errors.exceptions:
            print(f"venue: {error}", file=sys.stderr)
        return_code = 1
    else:
        say("stopped cleanly")
        return_code = 0
    return return_code


if __name__ == "__main__":
    sys.exit(main())
