"""The engine's host: reads topic `orders`, feeds the state machine, writes topic `events`.

`matching.Engine` is the state machine; here is what keeps it running: `service` (reads, publishes,
leads or stands by), `outbox` (what was computed and does not stand on `events` yet), `snapshots`
(where a restart begins) and `bootstrap` (the commands with which a venue begins).
"""

from __future__ import annotations

from exchange.engine.outbox import HistoryMismatchError
from exchange.engine.service import EngineService

__all__ = ["EngineService", "HistoryMismatchError"]
