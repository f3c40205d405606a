"""An engine in a network namespace whose link goes down.

Where the proxy holds bytes back, here the packets of a real link are gone, new connections too.
Links are root's: others run the test inside a user namespace, where the kernel lets them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local.fault_tools import find_ip
from deploy.local.kafka import KafkaServer
from deploy.local.process import LocalServerError, free_port, spawn
from deploy.local.venue import exchange
from exchange import topics
from exchange.log.kafka import KafkaLog
from exchange.messages.frames import Command, EventFollower, build_commands, command
from tests.faults.proxy import Network
from tests.fixtures_kafka import own_kafka  # noqa: F401 - a fixture

NAME = f"faults{os.getpid()}"
HERE, THERE = "10.213.77.1", "10.213.77.2"
DOWN_S = 15.0  # longer than a request to Kafka may take
WAIT_S = 90.0
AS_ROOT = 'mount -t tmpfs tmpfs /run; $0 link set lo up; exec "$@"'
"""Shell: what `ip`, its name, needs of a user namespace that is new."""
ORDERS, EVENTS = topics.orders(0), topics.events(0)


def ip(*words: str) -> None:
    done = subprocess.run([str(find_ip()), *words], capture_output=True, text=True)
    if done.returncode:
        raise LocalServerError(f"ip {' '.join(words)}: {done.stderr.strip()} (root only)")


@contextmanager
def linked_namespace() -> Iterator[None]:
    """A network namespace, and a link of two ends between it and here."""
    ip("netns", "add", NAME)
    try:
        ip("link", "add", f"{NAME[:12]}a", "type", "veth", "peer", "name", f"{NAME[:12]}b")
        ip("link", "set", f"{NAME[:12]}b", "netns", NAME)
        ip("addr", "add", f"{HERE}/30", "dev", f"{NAME[:12]}a")
        ip("link", "set", f"{NAME[:12]}a", "up")
        ip("-n", NAME, "addr", "add", f"{THERE}/30", "dev", f"{NAME[:12]}b")
        ip("-n", NAME, "link", "set", f"{NAME[:12]}b", "up")
        ip("-n", NAME, "link", "set", "lo", "up")
        yield
    finally:
        ip("netns", "del", NAME)


def tick() -> bytes:
    return build_commands([command(Command.CLOCK_TICK)], writer=1, batch=0, time_ns=1)


def run_as_root() -> None:
    """Runs this file once more, where links are ours to make."""
    unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-ec", AS_ROOT]
    again = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run([*unshare, str(find_ip()), *again], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_an_engine_behind_a_link_that_is_down_goes_on_when_it_is_up(
    own_kafka: Callable[..., KafkaServer],  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if os.geteuid():
        await asyncio.to_thread(run_as_root)
        return
    caplog.set_level(logging.CRITICAL, "aiokafka")
    outside = free_port()
    with linked_namespace(), Network() as network:
        server = own_kafka(doors={"LINK": outside}, told_at=HERE)
        network.door(server.door_ports["LINK"], outside, HERE)
        environment = {
            "EXCHANGE_LOG": f"kafka:{HERE}:{outside}",
            "EXCHANGE_DATA": str(tmp_path),
            "EXCHANGE_LOG_LEVEL": "warning",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        words = [f"{name}={value}" for name, value in environment.items()]
        inside = [str(find_ip()), "netns", "exec", NAME]
        inside += ["env", "-C", environment["PYTHONPATH"], *words]
        output = tmp_path / "engine.log"
        process = spawn([*inside, *exchange("engine", "--market", "EU")], output)
        log = KafkaLog(server.bootstrap)
        await log.start()
        try:
            await log.create(topics.of_market(0))
            await answered(log, output)
            ip("link", "set", f"{NAME[:12]}a", "down")
            before = await log.end(EVENTS)
            await log.append(ORDERS, [tick()])
            await asyncio.sleep(DOWN_S)
            assert await log.end(EVENTS) <= before + 1
            ip("link", "set", f"{NAME[:12]}a", "up")
            await log.append(ORDERS, [tick()])
            await answered(log, output)
            assert process.poll() is None
        finally:
            process.kill()
            process.wait()
            await log.close()


async def answered(log: KafkaLog, output: Path) -> None:
    """Waits until `events` answers what `orders` holds now."""
    follower, end = EventFollower(), max(await log.end(ORDERS), 1)
    reader = await log.open_reader(EVENTS, 0)
    try:
        async with asyncio.timeout(WAIT_S):
            while follower.input_offset < end:
                for record in await reader.read(wait_s=0.5):
                    follower.accept(record.offset, record.value)
    except TimeoutError:
        raise AssertionError(output.read_text()) from None
    finally:
        await reader.close()
