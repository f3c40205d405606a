"""The whole demonstration venue in this process, endowed and open, for tests of users' tools."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from typer.testing import CliRunner

from exchange.clock import SystemClock
from exchange.settings import Settings
from gateway.cli import build
from gateway.cli.demo import TEMPLATE
from gateway.demo.demo_keys import DESK, Holder, key_path
from gateway.demo.demonstration import Demonstration

LISTED = "policy = 2, "


class DemoVenue:
    """A running venue and what a test types at it."""

    def __init__(self, members: Demonstration) -> None:
        self.members = members
        self.url = members.url
        self.data = members.data

    def key(self, holder: Holder = DESK) -> str:
        return str(key_path(self.data, holder))

    async def run(self, *words: str, given: str | None = None) -> Any:
        """A command line without a key."""
        return await asyncio.to_thread(
            CliRunner().invoke, build(words[0]), list(words), input=given
        )

    async def do(
        self, *words: str, holder: Holder = DESK, code: int = 0, given: str | None = None
    ) -> str:
        """What a command with a key prints; its exit code must be `code`."""
        done = await self.run(*words, "--key-file", self.key(holder), given=given)
        assert done.exit_code == code, (words, done.exit_code, done.output, done.exception)
        return done.output


@asynccontextmanager
async def demo_venue(folder: Path) -> AsyncIterator[DemoVenue]:
    """Takers who choose in CEA-2024, beside what the demonstration has."""
    before, mark, after = TEMPLATE.read_text("utf-8").partition('symbol = "CEA-2024"')
    assert mark
    text = before + mark + after.replace("parameters = { ", f"parameters = {{ {LISTED}", 1)
    template = folder / "template.toml"
    template.write_text(text, "utf-8")
    settings = Settings(
        data=folder / "data",
        venue=folder / "data" / "venue.toml",
        http_port=0,
        websocket_port=0,
        metrics_port=0,
    )
    usual = structlog.get_config()
    # What services log must not get into what a command prints: both are in this process.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    try:
        async with Demonstration.opened(settings, template, SystemClock()) as members:
            await members.endow()
            await members.open_markets()
            yield DemoVenue(members)
    finally:
        structlog.configure(**usual)
