"""Which log a setting names."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.log import open_log
from exchange.log.embedded import EmbeddedLog
from exchange.log.protocol import Partition
from exchange.settings import Settings


async def test_embedded_is_a_file_under_data(tmp_path: Path) -> None:
    log = open_log(Settings(data=tmp_path / "venue"))
    await log.start()
    await log.create([Partition("orders")])
    await log.close()
    assert isinstance(log, EmbeddedLog)
    assert (tmp_path / "venue" / "log.sqlite").exists()


async def test_kafka_is_a_list_of_addresses() -> None:
    from exchange.log.kafka import KafkaLog

    log = open_log(Settings(log="kafka:a:9092,b:9092", kafka_replication=3, kafka_min_insync=2))
    assert isinstance(log, KafkaLog)


@pytest.mark.parametrize("name", ["", "kafka", "kafka:", "redis:localhost:1", "Embedded"])
async def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"embedded.*kafka:HOST:PORT.*EXCHANGE_LOG"):
        open_log(Settings(log=name))
