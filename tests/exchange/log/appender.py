"""Appends for ever and prints `OFFSET VALUE` for each acknowledged record, `!...` for failures.

    python appender.py embedded:FILE|kafka:HOST:PORT TOPIC NAME

Started by the tests and killed at any moment: what it printed must be in the log.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from exchange.clock import SystemClock
from exchange.log.embedded import EmbeddedLog
from exchange.log.kafka import KafkaLog
from exchange.log.protocol import Log, LogError, Partition

TASKS = 8


async def append_for_ever(log: Log, partition: Partition, name: str) -> None:
    number = 0
    while True:
        values = [f"{name}:{number + i}:".encode() + b"x" * 200 for i in range(1 + number % 3)]
        try:
            offsets = await log.append(partition, values)
        except LogError as error:
            print(f"! {type(error).__name__} {error}", flush=True)
            await asyncio.sleep(0.05)
        else:
            for offset, value in zip(offsets, values, strict=True):
                print(offset, value.decode(), flush=True)
        number += len(values)


async def main(where: str, topic: str, name: str) -> None:
    kind, _, rest = where.partition(":")
    log: Log = EmbeddedLog(Path(rest), SystemClock()) if kind == "embedded" else KafkaLog(rest)
    partition = Partition(topic)
    await log.start()
    await log.create([partition])
    await asyncio.gather(
        *(append_for_ever(log, partition, f"{name}.{task}") for task in range(TASKS))
    )


asyncio.run(main(*sys.argv[1:]))
