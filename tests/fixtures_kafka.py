"""A real Kafka for tests. In a conftest: `from tests.fixtures_kafka import kafka, own_kafka`.

`kafka` is one broker shared by all folders of a session: use names of your own, do not stop it.
`own_kafka` makes brokers for one test, to kill. A missing Java or Maven is an error, no skip.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.kafka import KafkaServer, build_class_archive

_shared: list[KafkaServer] = []
_users = 0


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """The shared broker, running."""
    global _users  # each conftest which imports the fixture has a definition of its own
    if not _shared:
        build_class_archive()
        data = Path(tempfile.mkdtemp(prefix="kafka-"))
        _shared.append(KafkaServer(data, fast_start=True).start())
    _users += 1
    yield _shared[0]
    _users -= 1
    if not _users:
        server = _shared.pop()
        server.stop()
        shutil.rmtree(server.data)


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Callable[..., KafkaServer]]:
    """Makes and starts brokers of this test's own; keywords go to `KafkaServer`."""
    servers: list[KafkaServer] = []

    def make(**options: object) -> KafkaServer:
        build_class_archive()
        data = tmp_path / f"kafka-{len(servers)}"
        server = KafkaServer(data, fast_start=True, **options)  # type: ignore[arg-type]
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.kill()
