"""Each process can do what it needs and nothing else, at a real Kafka and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import trustme

from deploy import access
from deploy.local.postgres import PostgresServer
from exchange import topics
from exchange.audit.checkpoints import CheckpointService
from exchange.audit.signed_note import make_key
from exchange.audit.vault import Vault
from exchange.audit.watch import ReconciliationService
from exchange.clock import SystemClock
from exchange.database import Database, open_database, upgrade
from exchange.database.schema import METADATA
from exchange.engine.bootstrap import bootstrap
from exchange.engine.service import EngineService
from exchange.log.kafka import KafkaLog
from exchange.log.kafka_access import load_access
from exchange.log.protocol import LogError, LogUnavailableError, Partition
from exchange.marketdata.service import MarketDataService
from exchange.reference.venue import Venue, load_venue
from exchange.registry.service import RegistryService
from exchange.service import Service, run_together
from exchange.settings import Settings
from exchange.settlement import SettlementService
from exchange.surveillance import SurveillanceService, load_limits
from gateway.control.opening import OpeningGate
from gateway.demo.demo_keys import prepare
from gateway.demo.members import Members
from gateway.service import GatewayService
from tests.deploy.secured import PARTICIPANT, WRITERS, Secured, issue, secured_kafka
from tests.fixtures_postgres import postgres

__all__ = ["postgres"]

ROOT = Path(__file__).parents[2]
DATABASE = "access_venue"
UNUSED = 2  # a partition that no market of the demonstration has
BROKERS = f"broker-{PARTICIPANT}"
READERS = sorted(set(access.processes()) - WRITERS)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "aiokafka")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    certificate = issue(authority, folder, "broker", "127.0.0.1")
    with secured_kafka(folder, certificate, folder / "authority.pem") as made:
        asyncio.run(made.set_rights())
        yield made


async def test_the_map_is_what_the_brokers_allow(secured: Secured) -> None:
    """Every process and every topic: append and read succeed exactly where the map says so."""
    async with AsyncExitStack() as stack:
        owner = secured.log(access.OWNER)
        await owner.start()
        stack.push_async_callback(owner.close)
        everywhere = [*topics.of_market(UNUSED), *topics.of_participant(PARTICIPANT)]
        await owner.create(everywhere)
        anybody = KafkaLog(secured.server.bootstrap)  # the administrator's listener
        await anybody.start()
        stack.push_async_callback(anybody.close)
        for partition in everywhere:
            await anybody.append(partition, [b"to be read, or not"])

        async def look(who: str) -> list[str]:
            log = secured.log(who)
            stack.push_async_callback(log.close)
            await log.start()
            wrong = []
            for partition in everywhere:
                topic = next(t for t in topics.TOPICS if partition.topic.split(".")[0] == t.name)
                reads = who in topic.readers or (
                    who == access.AUDIT and topic in topics.MARKET_TOPICS
                )
                may = {"read": reads, "write": who in topic.writers}
                if who == BROKERS:
                    may = {"read": topic is topics.REPORTS, "write": topic is topics.INTAKE}
                does = {
                    "read": await reading(log, partition),
                    "write": await writing(log, partition),
                }
                if may != does:
                    wrong.append(f"{who} {partition.topic}: may {may}, does {does}")
            return wrong

        found = await asyncio.gather(*(look(who) for who in (*access.processes(), BROKERS)))
    assert [text for texts in found for text in texts] == []


def refused(error: LogError) -> bool:
    """Whether the brokers refused; who may not even describe a topic hears that there is none."""
    words = (
        "do not let us read", "TopicAuthorizationFailed", "was never created",
        "opened for reading alone",
    )  # fmt: skip
    return any(word in str(error) for word in words)


async def reading(log: KafkaLog, partition: Partition) -> bool:
    try:
        reader = await log.open_reader(partition, 0)
    except LogError as error:
        if not refused(error):
            raise
        return False
    try:
        async with asyncio.timeout(60):
            while not await reader.read(1, 1.0):
                continue
    except LogError as error:
        if not refused(error):
            raise
        return False
    finally:
        await reader.close()
    return True


async def writing(log: KafkaLog, partition: Partition) -> bool:
    try:
        await log.append(partition, [b"x"])
    except LogError as error:
        if not refused(error):
            raise
        return False
    return True


@pytest.mark.parametrize("who", READERS)
async def test_who_only_reads_is_given_no_producer(secured: Secured, who: str) -> None:
    assert "ClusterAuthorizationFailed" in await refusal(secured.log(who, writes=True))
    reads = secured.log(who)
    await reads.start()
    with pytest.raises(LogError, match="opened for reading alone"):
        await reads.append(topics.orders(UNUSED), [b"x"])
    await reads.close()


async def test_nobody_but_operations_makes_topics(secured: Secured) -> None:
    async with AsyncExitStack() as stack:
        log = secured.log("engine")
        stack.push_async_callback(log.close)
        await log.start()
        with pytest.raises(LogError, match=r"cannot be made: (Cluster|Topic)AuthorizationFailed"):
            await log.create([Partition("something.else", 0)])


async def test_another_brokers_topics_are_not_its_own(secured: Secured) -> None:
    async with AsyncExitStack() as stack:
        owner, broker = secured.log(access.OWNER), secured.log(BROKERS)
        for log in (owner, broker):
            await log.start()
            stack.push_async_callback(log.close)
        await owner.create(topics.of_participant(3))
        with pytest.raises(LogError, match="never created"):  # it is not even told that it exists
            await broker.append(topics.intake(3), [b"forged"])


# -- who lets whom in -----------------------------------------------------------------------------


async def refusal(log: object) -> str:
    with pytest.raises(LogUnavailableError) as caught:
        await log.start()  # type: ignore[attr-defined]
    return str(caught.value)


async def test_a_wrong_authority_host_time_or_password_is_refused_in_words(
    secured: Secured, tmp_path: Path, authority: trustme.CA
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    told = await refusal(secured.log("engine", kafka_ca_file=str(other)))
    assert "its certificate is refused: unable to get local issuer certificate" in told
    elsewhere = secured.address.replace("127.0.0.1", "localhost")
    told = await refusal(secured.log("engine", log=f"kafka:{elsewhere}"))
    assert "its certificate is refused: Hostname mismatch" in told
    wrong = tmp_path / "wrong.password"
    wrong.write_text("canary-that-must-not-be-told")
    wrong.chmod(0o600)
    told = await refusal(secured.log("engine", kafka_password_file=str(wrong)))
    assert "SaslAuthenticationFailed" in told
    assert "canary" not in told
    assert "canary" not in repr(
        load_access(secured.settings("engine", kafka_password_file=str(wrong)))
    )
    plain = secured.settings("engine")
    bare = Settings(log=plain.log)
    from exchange.log import open_log

    assert "Kafka at" in await refusal(open_log(bare))


async def test_a_certificate_whose_time_is_over_is_refused(
    secured: Secured, tmp_path: Path, authority: trustme.CA
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issue(authority, tmp_path, "old", "127.0.0.1", not_after=yesterday))

    async def never(*_: object) -> None:
        raise AssertionError("the client must not go on")

    server = await asyncio.start_server(never, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        told = await refusal(secured.log("engine", log=f"kafka:127.0.0.1:{port}"))
    assert "its certificate is refused: certificate has expired" in told


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kafka_protocol": "TLS"}, "one of PLAINTEXT, SSL"),
        ({"kafka_protocol": "SASL_PLAINTEXT", "kafka_ca_file": "OPEN"}, "has no TLS"),
        ({"kafka_protocol": "SSL"}, "go with SASL_SSL"),
        ({"kafka_user": ""}, "go with SASL_SSL"),
        ({"kafka_password_file": "OPEN"}, "others may read it; chmod 600"),
        ({"kafka_password_file": "EMPTY"}, "1 to 1024 bytes"),
        ({"kafka_ca_file": "EMPTY"}, "no certificates"),
        ({"kafka_certificate_file": "EMPTY"}, "go together"),
        ({"kafka_certificate_file": "EMPTY", "kafka_key_file": "EMPTY"}, "no certificate with"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    tmp_path: Path, changed: dict[str, str], message: str
) -> None:
    for name, mode in (("OPEN", 0o644), ("EMPTY", 0o600), ("password", 0o600)):
        path = tmp_path / name
        path.write_text("x" if name != "EMPTY" else "")
        path.chmod(mode)
    given = {
        "log": "kafka:127.0.0.1:9", "kafka_protocol": "SASL_SSL", "kafka_user": "engine",
        "kafka_password_file": "password",
    } | changed  # fmt: skip
    files = {name for name in given if name.endswith("_file")}
    where = {name: str(tmp_path / given[name]) if name in files else given[name] for name in given}
    with pytest.raises(ValueError, match=message):
        load_access(Settings(**where))


# -- the venue under its rights -------------------------------------------------------------------


def role(server: PostgresServer, database: str, who: str) -> str:
    return server.dsn(database).replace("postgres@", f"{access.ROLE_PREFIX}{who}@")


async def grant(server: PostgresServer) -> None:
    link = await asyncpg.connect(server.dsn(DATABASE))
    for statement in access.postgresql(DATABASE):
        await link.execute(statement)
    await link.close()


class Names:
    """A log and books for each name, closed at the end."""

    def __init__(self, stack: AsyncExitStack, secured: Secured, server: PostgresServer) -> None:
        self._stack, self._secured, self._server = stack, secured, server

    async def log(self, who: str) -> KafkaLog:
        log = self._secured.log(who)
        await log.start()
        self._stack.push_async_callback(log.close)
        return log

    async def books(self, who: str) -> Database:
        books = open_database(role(self._server, DATABASE, who))
        self._stack.push_async_callback(books.close)
        await upgrade(books)  # as each process does at its start
        return books


async def services(names: Names, venue: Venue, settings: Settings) -> list[Service]:
    """Every process of the venue, each under its own name; the gateway last."""
    clock, made = SystemClock(), list[Service]()
    signer = make_key(settings.data / "checkpoint.key", "test")
    logs = {who: await names.log(who) for who in access.processes()}
    books = {who: await names.books(who) for who in access.grants() if who != access.AUDIT}
    for market in venue.market:
        instruments = venue.instruments_of(market.code)
        vault = Vault(settings.data / "vault", market.code)
        made += [
            EngineService(logs["engine"], market, settings, clock),
            SettlementService(
                logs["settlement"], market, books["settlement"],
                instruments=instruments, clock=clock,
            ),
            RegistryService(logs["registry"], market, venue, books["registry"], clock=clock),
            MarketDataService(logs["marketdata"], market, clock),
            SurveillanceService(logs["surveillance"], market, venue, load_limits(), clock),
            CheckpointService(logs["checkpoints"], venue.name, market, vault, signer, clock, 1),
            ReconciliationService(logs["reconcile"], market, books["reconcile"], 0.5, clock=clock),
        ]  # fmt: skip
        await bootstrap(logs[access.OWNER], venue, market, clock)
    gate = OpeningGate(books["gateway"], clock)
    return [*made, GatewayService(logs["gateway"], venue, settings, clock, books["gateway"], gate)]


async def test_the_venue_trades_and_settles_under_its_rights(
    secured: Secured, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Units are issued, markets open, brokers trade; each service has only its own rights."""
    postgres.create_database(DATABASE)
    venue_file = prepare(tmp_path, ROOT / "deploy/venue/demo.toml", "http://127.0.0.1:1")
    venue = load_venue(venue_file)
    settings = Settings(data=tmp_path, venue=venue_file, http_port=0, websocket_port=0)
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        names = Names(stack, secured, postgres)
        await grant(postgres)
        await names.books(access.OWNER)
        await grant(postgres)
        owner = await names.log(access.OWNER)
        await owner.create(p for m in venue.market for p in topics.of_market(m.partition))
        for participant in venue.participant:
            if participant.intake:
                await owner.create(topics.of_participant(participant.id))
        made = await services(names, venue, settings)
        running = asyncio.create_task(run_together(made, stop))
        stack.push_async_callback(ended, running, stop)
        async with asyncio.timeout(300):
            while not all(service.is_ready for service in made):
                assert not running.done(), running.result()
                await asyncio.sleep(0.05)
            link = await asyncpg.connect(role(postgres, DATABASE, access.AUDIT))
            url = f"http://127.0.0.1:{made[-1].http_port}"  # type: ignore[attr-defined]
            prepare(tmp_path, venue_file, url)
            await play(tmp_path, venue, url, link)
        await refuse_the_rest(postgres)
        await link.close()
    postgres.drop_database(DATABASE)


async def ended(running: asyncio.Task[None], stop: asyncio.Event) -> None:
    stop.set()
    await running


async def play(data: Path, venue: Venue, url: str, audit: asyncpg.Connection) -> None:
    """Brokers trade until settlement and registry have booked a trade."""
    async with Members(data, venue, url, SystemClock()) as members:
        await members.endow()
        await members.open_markets()
        enough = asyncio.Event()
        trading = asyncio.create_task(members.trade(1, enough))
        while not await audit.fetchval("SELECT count(*) FROM trade"):
            await asyncio.sleep(0.1)
        enough.set()
        await trading
    assert await audit.fetchval("SELECT count(*) FROM block") > 0
    assert await audit.fetchval("SELECT count(*) FROM reconciliation") > 0
    assert await audit.fetchval("SELECT count(*) FROM reconciliation WHERE breaks > 0") == 0


async def refuse_the_rest(server: PostgresServer) -> None:
    """What a role must not do is refused by the server, table by table."""
    denied = asyncpg.exceptions.InsufficientPrivilegeError
    rights = access.grants()
    for who in ("settlement", "registry", "gateway", "reconcile", access.AUDIT):
        link = await asyncpg.connect(role(server, DATABASE, who))
        for table, made in METADATA.tables.items():
            own = rights[who].get(table, ())
            column = made.columns.values()[-1].name
            for verb, statement in (
                ("SELECT", f"SELECT 1 FROM {table} LIMIT 0"),  # noqa: S608
                ("DELETE", f"DELETE FROM {table} WHERE false"),  # noqa: S608
                ("INSERT", f"INSERT INTO {table} SELECT * FROM {table} WHERE false"),  # noqa: S608
                ("UPDATE", f"UPDATE {table} SET {column} = {column} WHERE false"),  # noqa: S608
            ):
                if verb in own:
                    await link.execute(statement)
                else:
                    with pytest.raises(denied):
                        await link.execute(statement)
            with pytest.raises(denied):
                await link.execute(f"TRUNCATE {table}")
            with pytest.raises(denied):
                await link.execute(f"ALTER TABLE {table} ADD COLUMN more integer")
        with pytest.raises(denied):
            await link.execute("CREATE TABLE mine (id integer)")
        await link.close()
