"""A TCP proxy that does to connections what networks do: late, one way only, dead, cut, half-open.

    with Network() as network:
        door = network.door(server_port)      # clients come to door.port
        door.hold(TO_CLIENT)                  # what the server says waits, as when a link is down
        door.release()                        # and arrives after all
        door.lose(TO_CLIENT)                  # what the server says is gone for good
        door.cut()                            # every connection is reset, new ones are welcome
        door.strand()                         # open connections are dead, new ones are fine
        door.close()                          # nobody is there: connections refused

The proxies run in a thread with a loop of their own, so that a test may block, and may be sync.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self, TypeVar

from deploy.local.process import LOOPBACK, free_port

Way = Literal["to server", "to client"]
TO_SERVER: Way = "to server"
TO_CLIENT: Way = "to client"
WAYS: tuple[Way, Way] = (TO_SERVER, TO_CLIENT)
CHUNK_BYTES = 64 << 10

Result = TypeVar("Result")
Edit = Callable[[bytes], bytes]


class Link:
    """One connection of a client, and ours to the server for it."""

    def __init__(self, door: Door, client: asyncio.StreamWriter) -> None:
        self.door = door
        self.client = client
        self.server: asyncio.StreamWriter | None = None
        self.flows = {way: asyncio.Event() for way in WAYS}
        self.is_stranded = False
        self.has_lost = False
        for event in self.flows.values():
            event.set()

    async def carry(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Passes bytes one way until either side ends."""
        edit = self.door.edit(way)
        while data := await reader.read(CHUNK_BYTES):
            if self.door.delay_s:
                await asyncio.sleep(self.door.delay_s)
            await self.flows[way].wait()
            if way in self.door.losing:
                self.has_lost = True
                continue
            self.door.carried[way] += len(data)
            writer.write(edit(data))
            await writer.drain()

    def reset(self) -> None:
        """Ends both connections with a reset, as a crashed peer's system does."""
        for writer in (self.client, self.server):
            if writer is not None:
                _reset(writer)


class Door:
    """A port in front of a server's port. Faults hold until `release`, on old and new links."""

    def __init__(self, target: int, host: str, port: int, run: Callable[..., object]) -> None:
        self.target = target
        self.host = host
        self.port = port
        self.delay_s = 0.0
        self.losing: set[Way] = set()
        self.holding: set[Way] = set()
        self.carried: dict[Way, int] = dict.fromkeys(WAYS, 0)
        self.links: set[Link] = set()
        self.edits: dict[Way, Callable[[], Edit]] = {}  # makes one for each connection
        self._run = run
        self._server: asyncio.Server | None = None

    def edit(self, way: Way) -> Edit:
        """What changes a new connection's bytes."""
        return self.edits[way]() if way in self.edits else bytes

    def hold(self, *ways: Way) -> None:
        """Bytes of these ways (all, if none is named) wait here until `release`."""
        self._run(self._hold, ways or WAYS)

    def lose(self, *ways: Way) -> None:
        """Bytes of these ways are gone; `release` resets the links that lost some."""
        self._run(lambda: self.losing.update(ways or WAYS))

    def cut(self) -> None:
        """Resets every connection."""
        self._run(self._cut)

    def strand(self) -> None:
        """Open connections carry nothing more and stay open; new ones are served."""
        self._run(self._strand)

    def release(self) -> None:
        """As before: what was held goes on; what lost bytes or was stranded is reset."""
        self._run(self._release)

    def close(self) -> None:
        """Nobody listens and nobody is connected."""
        self._run(self._close)

    def open(self) -> None:
        """Listens (again)."""
        self._run(self._open)

    # -- in the network's loop ------------------------------------------------------------------

    def _hold(self, ways: tuple[Way, ...]) -> None:
        self.holding.update(ways)
        for link in self.links:
            for way in ways:
                link.flows[way].clear()

    def _cut(self) -> None:
        for link in list(self.links):
            link.reset()

    def _strand(self) -> None:
        for link in self.links:
            link.is_stranded = True
            for event in link.flows.values():
                event.clear()

    def _release(self) -> None:
        self.losing.clear()
        self.holding.clear()
        for link in list(self.links):
            if link.has_lost or link.is_stranded:
                link.reset()
            for event in link.flows.values():
                event.set()

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, self.host, self.port)

    async def _close(self) -> None:
        server, self._server = self._server, None
        self._cut()
        if server is not None:
            server.close()

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        link = Link(self, client)
        for way in self.holding:
            link.flows[way].clear()
        self.links.add(link)
        try:
            back, server = await asyncio.open_connection(LOOPBACK, self.target)
            link.server = server
            ways = [link.carry(TO_SERVER, reader, server), link.carry(TO_CLIENT, back, client)]
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        except OSError:  # nobody is behind the door: the client sees a reset
            pass
        finally:
            self.links.discard(link)
            link.reset()


class Network:
    """The loop of all proxies of a test, in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._doors: list[Door] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for door in self._doors:
            door.close()
        self.run(self._finish)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def door(self, target: int, port: int = 0, host: str = LOOPBACK) -> Door:
        """An open door to the server at `target`, clients come to its `port` of `host`."""
        made = Door(target, host, port or free_port(), self.run)
        self._doors.append(made)
        made.open()
        return made

    def run(self, work: Callable[..., Result], *given: object) -> Result:
        """Calls in the loop's thread, awaits what it gives, and gives the result."""

        async def call() -> Result:
            found = work(*given)
            return await found if asyncio.iscoroutine(found) else found

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(30)

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        linger = struct.pack("ii", 1, 0)  # nothing more is sent, the other side is told
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
