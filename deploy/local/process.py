"""Child servers that never outlive this process.

Two ties hold a server to the Python process that started it:

* PR_SET_PDEATHSIG (Linux), set by `trampoline.py`: the kernel signals the server when this
  process ends in any way, SIGKILL included.  Linux sends that signal at the end of the *thread*
  that forked, so all servers are forked by one daemon thread that lasts as long as the process;
  a server started in a worker thread survives that thread.
* `atexit`: a normal end of this process stops its servers in good order first.

A server holds a lock on its data directory for as long as it lives: the file descriptor of the
locked file is handed down to it.  Servers' own locks are not enough: a second Kafka on the same
directory writes to the metadata log before it looks at Kafka's lock, and breaks the first one.

Servers run in a session of their own, so Ctrl-C at a terminal reaches only this process.
"""

import atexit
import fcntl
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

REPO = Path(__file__).resolve().parents[2]
CACHE = REPO / ".local"
TRAMPOLINE = Path(__file__).with_name("trampoline.py")
LOOPBACK = "127.0.0.1"
LOCK_FILE = "server.lock"
LOCK_SECONDS = 3.0
ENV = "/usr/bin/env"


class LocalServerError(RuntimeError):
    """A server or a tool of this package could not be found, started or reached."""


class _Forker:
    """One daemon thread that forks every server of this process (see the module docstring)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[
            tuple[Future[subprocess.Popen[bytes]], Callable[[], subprocess.Popen[bytes]]]
        ]
        self._pid = 0

    def popen(self, make: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._pid != os.getpid():  # first use, or first use after a fork
                self._pid, self._jobs = os.getpid(), queue.SimpleQueue()
                threading.Thread(target=self._loop, name="server-forker", daemon=True).start()
        done: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((done, make))
        return done.result()

    def _loop(self) -> None:
        while True:
            done, make = self._jobs.get()
            try:
                done.set_result(make())
            except BaseException as error:  # handed to the caller, who raises it
                done.set_exception(error)


_forker = _Forker()


def spawn(
    command: Sequence[str],
    log: Path,
    death_signal: signal.Signals = signal.SIGKILL,
    user: tuple[int, int] | None = None,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `command` with its output appended to `log`; it gets `death_signal` when we end.

    `user` is (uid, gid) to run as; only root may give one.  `keep` are file descriptors that
    the server inherits under the same numbers.  Raises OSError if no process can
    be made; a command that cannot be executed shows as exit code 127 and a line in the log.
    """
    uid, gid = user or (-1, -1)
    full = [sys.executable, "-I", "-S", str(TRAMPOLINE), str(os.getpid()), str(int(death_signal))]
    full += [str(uid), str(gid), *command]
    with log.open("ab") as out:
        return _forker.popen(
            lambda: subprocess.Popen(
                full,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
                pass_fds=tuple(keep),
            )
        )


def within(environment: Mapping[str, str], command: Sequence[str]) -> list[str]:
    """The command with these variables on top of ours; itself when there are none."""
    given = [f"{name}={value}" for name, value in environment.items()]
    # by its path: a user that may not read our Python's files looks nothing up
    return [ENV, *given, *command] if given else list(command)


def port_is_free(port: int) -> bool:
    """Whether a TCP server can listen on `port` of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Neighbouring free loopback TCP ports below the range that outgoing connections are given.

    The servers bind them only later; ports of the ephemeral range could be taken meanwhile.
    """
    for _ in range(200):
        first = random.SystemRandom().randrange(20000, 32000 - count)
        ports = list(range(first, first + count))
        if all(map(port_is_free, ports)):
            return ports
    raise LocalServerError(f"no {count} free TCP ports between 20000 and 32000 on {LOOPBACK}")


def free_port() -> int:
    """One such port."""
    return free_ports(1)[0]


def tail(path: Path, lines: int = 25) -> str:
    """The last `lines` lines of a text file, or a note that it is not there."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"({path}: {error.strerror})"


def child_pids(parent: int) -> list[int]:
    """Process ids of the direct children of `parent` (Linux; elsewhere an empty list)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or is a zombie that only waits to be collected (Linux)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class LocalServer:
    """One server process with its data directory; the common part of Kafka and PostgreSQL.

    A subclass names itself and its log, builds the process in `_launch` and tells in `_answers`
    whether the server replies.  Methods are not safe to call from several threads at once.
    """

    name = "server"
    stop_signal = signal.SIGTERM
    stop_seconds = 30.0

    def __init__(self, data: Path, port: int) -> None:
        self.data = data.absolute()
        self.port = port
        self._auto_port = port == 0
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    @property
    def log(self) -> Path:
        """The file the server's output is appended to."""
        return self.data / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Process id of the running server, None when it is not running."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def running(self) -> bool:
        """Whether the process is there (it may not answer yet)."""
        return self.pid is not None

    def start(self, wait: bool = True, timeout: float = 60.0) -> Self:
        """Start the server, keeping what its data directory holds; do nothing if it runs.

        With `wait` return only when it answers, at most `timeout` seconds later.  Raises
        `LocalServerError`, with the end of the log, when it ends or does not answer; the
        process is not left behind then.
        """
        if self.running:
            return self
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            lock = self._lock()
            try:
                self._prepare()
                self._choose_port()
                self._process, self._owner = self._launch(lock), os.getpid()
            finally:
                os.close(lock)  # the server has its own copy and so keeps the lock
        except OSError as error:
            raise LocalServerError(f"{self.name} in {self.data}: {error}") from error
        atexit.register(self._at_exit)
        if wait:
            try:
                self.wait_ready(timeout)
            except BaseException:
                self.kill()
                raise
        return self

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Return when the server really replies; `timeout` in seconds.

        Raises `LocalServerError` with the end of the log when it ends or stays silent.
        """
        deadline = time.monotonic() + timeout
        while not self._answers():
            code = self._process.poll() if self._process else None
            if self._process is None or code is not None:
                raise LocalServerError(f"{self.name} ended with code {code}; {self._log_tail()}")
            if time.monotonic() > deadline:
                raise LocalServerError(
                    f"{self.name} gave no answer on port {self.port} within {timeout:.0f} s; "
                    + self._log_tail()
                )
            time.sleep(0.02)

    def wait(self) -> int:
        """Wait until the server ends by itself; its exit code (negative: by that signal)."""
        return self._process.wait() if self._process else 0

    def kill(self) -> None:
        """SIGKILL the server and wait until it is gone, as a crash of the process would do."""
        if self.running and self._process:
            self._process.kill()
        self._reap()

    def stop(self) -> None:
        """Stop the server in good order; SIGKILL it if that takes over `stop_seconds`."""
        if self.running and self._process:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(self.stop_seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self._reap()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _prepare(self) -> None:
        """Make in the data directory whatever must exist before a port is chosen."""
        raise NotImplementedError

    def _launch(self, lock: int) -> subprocess.Popen[bytes]:
        """Start the process on `self.port`; it inherits the file descriptor `lock`."""
        raise NotImplementedError

    def _answers(self) -> bool:
        """Whether the server replies to a request of its own protocol."""
        raise NotImplementedError

    def _lock(self) -> int:
        """Take the lock of the data directory; the file descriptor that holds it.

        Waits a little, for a server whose parent has just died.
        """
        descriptor = os.open(self.data / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise LocalServerError(
                        f"{self.name}: another server runs on {self.data}"
                    ) from None
                time.sleep(0.02)
            else:
                return descriptor

    def _choose_port(self) -> None:
        """Keep the port over restarts; with port 0 move to another when it has been taken."""
        if self.port and port_is_free(self.port):
            return
        if not self._auto_port:
            raise LocalServerError(f"{self.name}: port {self.port} of {LOOPBACK} is in use")
        self.port = free_port()

    def _reap(self) -> None:
        if self._process:
            self._process.wait()
            self._process = None
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        if self._owner == os.getpid():  # a forked copy of this object must not stop it
            self.stop()

    def _log_tail(self) -> str:
        return f"end of {self.log}:\n{tail(self.log)}"


def run_in_foreground(server: LocalServer) -> int:
    """Start a server, say where it listens, and wait for a signal or for its end.

    Returns 0 after SIGINT or SIGTERM, 1 when the server could not start or ended by itself.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.start()
        print(f"{server.name} answers on {LOOPBACK}:{server.port}, log {server.log}", flush=True)
        code = server.wait()
        print(f"{server.name} ended with code {code}\n{tail(server.log)}", file=sys.stderr)
        return 1
    except LocalServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        server.stop()
