"""The ordered log under all topics: one protocol, two real bodies, one double for tests.

`protocol.py` says what is promised, `embedded.py` keeps it in one SQLite file, `kafka.py` in
Apache Kafka, `simulated.py` in memory under a seed. Services get a log from `open_log` and never
know which one it is.
"""

from __future__ import annotations

from exchange.clock import Clock, SystemClock
from exchange.log.protocol import Log
from exchange.settings import Settings

EMBEDDED_FILE = "log.sqlite"


def open_log(settings: Settings, clock: Clock | None = None, *, writes: bool = True) -> Log:
    """The log that `settings.log` names, not started yet; ValueError says which names there are.

    `embedded` is the file `log.sqlite` under `settings.data`; `kafka:HOST:PORT[,HOST:PORT]` is a
    cluster, spoken to as `kafka_protocol` says. `clock` gives the append times of the embedded log
    (Kafka's brokers have their own). Who only reads says so, and needs no more rights at Kafka.
    """
    if settings.log == "embedded":
        from exchange.log.embedded import EmbeddedLog

        return EmbeddedLog(settings.data / EMBEDDED_FILE, clock or SystemClock())
    kind, _, bootstrap = settings.log.partition(":")
    if kind == "kafka" and bootstrap:
        from exchange.log.kafka import KafkaLog
        from exchange.log.kafka_access import load_access

        return KafkaLog(
            bootstrap,
            access=load_access(settings),
            replication=settings.kafka_replication,
            min_insync=settings.kafka_min_insync,
            writes=writes,
        )
    raise ValueError(
        f"log {settings.log!r}: write `embedded` or `kafka:HOST:PORT[,HOST:PORT]` (EXCHANGE_LOG)"
    )
