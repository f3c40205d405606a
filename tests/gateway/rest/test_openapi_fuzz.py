"""The OpenAPI document against a running venue: what it promises is what comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.client import load_key
from gateway.demo.demo_keys import AUTHORITY, DESK, OPERATIONS, VERIFIER, key_path
from tests.fuzz.openapi import Prober
from tests.gateway.demo_venue import demo_venue

EXAMPLES = 1  # of each kind of data; `make fuzz` sends more
SEED = 1


async def test_every_operation_answers_as_its_document_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with demo_venue(tmp_path) as venue:
        keys = {
            holder.role: load_key(key_path(venue.data, holder))
            for holder in (OPERATIONS, AUTHORITY, VERIFIER, DESK)
        }
        prober = Prober(venue.url, keys, SEED)
        found = await asyncio.to_thread(lambda: list(prober.run(EXAMPLES)))
        assert not found, "\n\n".join("\n".join(item) for item in found[:5])
        # a run in which nothing got through, or nothing was refused, would show nothing
        assert {200, 400, 401, 403, 404, 422} <= set(prober.statuses)
        assert prober.statuses[200] > 50
        assert "request_failed" not in capsys.readouterr().out
        assert "EUA" in (await venue.run("book", "EUA", "--url", venue.url)).output
