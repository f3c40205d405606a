"""`make venue` with a proxy before Kafka and PostgreSQL, for its processes to meet them by."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from deploy.local.kafka import KafkaServer, build_class_archive
from deploy.local.process import LOOPBACK, free_port
from deploy.local.supervisor import Program
from deploy.local.venue import LocalVenue
from exchange.database import Database, open_database
from exchange.log import open_log
from exchange.log.protocol import Log
from exchange.settings import Settings
from tests.faults.proxy import Door, Network

WAIT_S = 90.0
WATCH_S = 0.05
GATEWAY, ENGINE_EU, ENGINE_CN, BOOKS = "gateway", "engine-EU", "engine-CN", "books"
LISTENERS = {GATEWAY: "GATEWAY", ENGINE_EU: "ENGINEEU", ENGINE_CN: "ENGINECN"}
"""Processes that have a way of their own to Kafka, and the name of the broker's listener for it."""


class FaultyVenue(LocalVenue):
    """A venue of processes, its doors, and what a test asks of it."""

    def __init__(self, data: Path, network: Network) -> None:
        super().__init__(
            data,
            http_port=0,
            websocket_port=0,
            fix_port=0,
            metrics_port=0,
            fast_start=True,
            log_level="warning",
            say=lambda _: None,
        )
        self.network = network
        self.doors: dict[str, Door] = {}
        ports = {listener: free_port() for listener in LISTENERS.values()}
        self.kafka = KafkaServer(self.data / "kafka", fast_start=True, doors=ports)

    def program(self, name: str, command: Sequence[str], metrics_port: int, node: int) -> Program:
        """Who has a door of its own meets Kafka there; all meet PostgreSQL behind one."""
        if BOOKS not in self.doors:
            self.doors[BOOKS] = self.network.door(self.postgres.port)
        books = self.dsn.replace(f":{self.postgres.port}/", f":{self.doors[BOOKS].port}/")
        settings = {**self.environment(metrics_port, node), "EXCHANGE_DATABASE": books}
        if name in LISTENERS:
            listener = LISTENERS[name]
            inside, outside = self.kafka.door_ports[listener], self.kafka.doors[listener]
            self.doors[name] = self.network.door(inside, outside)
            settings["EXCHANGE_LOG"] = f"kafka:{LOOPBACK}:{outside}"
        return Program(name, command, settings)

    def pids(self) -> dict[str, int | None]:
        """The process ids of all programs."""
        return {name: self.supervisor.pid(name) for name in self.metrics}

    def pid(self, name: str) -> int:
        """The process id of a program that runs."""
        found = self.supervisor.pid(name)
        assert found is not None, self.supervisor.log_tail(name)
        return found

    def kill_everything(self) -> None:
        """A power cut: every process of the venue, Kafka and PostgreSQL too."""
        for name in self.metrics:
            self.supervisor.hold(name)
        self.kafka.kill()
        self.postgres.kill()

    def power_up(self) -> None:
        """Everything starts again, on what the disks hold."""
        self.postgres.start(wait=False)
        self.kafka.start()
        self.postgres.wait_ready()
        for name in self.metrics:
            self.supervisor.release(name)

    def ready(self, *names: str) -> None:
        """Waits until programs (all, if none is named) say that they have caught up."""
        deadline = time.monotonic() + WAIT_S
        for name in names or tuple(self.metrics):
            while not self.is_ready(name):
                assert time.monotonic() < deadline, self.supervisor.log_tail(name)
                time.sleep(0.05)


@contextmanager
def faulty_venue(data: Path) -> Iterator[FaultyVenue]:
    """A running venue, watched by a thread that starts again what ends."""
    build_class_archive()
    stop = threading.Event()
    with Network() as network:
        venue = FaultyVenue(data, network)

        def watch() -> None:
            while not stop.wait(WATCH_S):
                venue.watch()

        watching = threading.Thread(target=watch, daemon=True)
        try:
            with venue:
                watching.start()
                venue.ready()
                yield venue
                stop.set()
                watching.join()
        finally:
            stop.set()
            venue.postgres.remove()


@asynccontextmanager
async def opened(venue: LocalVenue) -> AsyncIterator[tuple[Log, Database]]:
    """The venue's log and books, not through any door."""
    settings = Settings(log=f"kafka:{venue.kafka.bootstrap}", data=venue.data)
    log, database = open_log(settings), open_database(venue.dsn)
    await log.start()
    try:
        yield log, database
    finally:
        await log.close()
        await database.close()


async def until(fact: Callable[[], bool], what: Callable[[], str] = str) -> None:
    """Waits for a fact; AssertionError with `what` after WAIT_S."""
    deadline = time.monotonic() + WAIT_S
    while not await asyncio.to_thread(fact):
        assert time.monotonic() < deadline, what()
        await asyncio.sleep(0.05)


def resident_mib(pid: int) -> int:
    """Memory that a process has now, MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20
