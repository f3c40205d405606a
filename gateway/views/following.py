"""Following a topic, as the gateway's projections of one do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from exchange.log.protocol import Log, LogUnavailableError, Partition, Reader

READ_WAIT_S = 0.5
RETRY_S = 0.2
SLICE_S = 0.005  # then others have their turn


async def follow(
    log: Log,
    partition: Partition,
    market: str,
    stop: asyncio.Event,
    take: Callable[[int, bytes], None],
    caught_up: Callable[[], None] = lambda: None,
    *,
    last: int = 0,
    begin: int = 0,
) -> None:
    """Hands (offset, value) of each record to `take` until `stop`; raises what that raises.

    From record `begin` on, or with `last` from so many before the end. `caught_up` is called when
    all is read that was there at the start, and after each read since. While the log is away it is
    tried again. O(1) a record besides `take`.
    """
    loop = asyncio.get_running_loop()
    logger = structlog.get_logger().bind(service="gateway", market=market)
    reader: Reader | None = None
    target, sliced = 0, loop.time()
    try:
        while not stop.is_set():
            try:
                if reader is None:
                    target = await log.end(partition)
                    first = max(target - last, begin) if last else begin
                    reader = await log.open_reader(partition, first)
                    if first >= target:
                        caught_up()
                records = await reader.read(wait_s=READ_WAIT_S)
            except LogUnavailableError as error:
                logger.warning("log_unavailable", topic=partition.topic, error=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            for record in records:
                take(record.offset, record.value)
                if loop.time() - sliced > SLICE_S:
                    await asyncio.sleep(0)
                    sliced = loop.time()
            if reader.position >= target:
                caught_up()
    finally:
        if reader is not None:
            await reader.close()
