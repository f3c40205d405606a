"""QuickFIX as a broker against a real gateway process: `make fix-conformance`.

Run by the Python of an environment of its own, which has `quickfix` and nothing of this project's;
`--exchange` is the venue's program. Starts `exchange demo` on a new folder, logs on as its desk,
trades with another member, misses messages, kills the gateway and goes on. Prints a line for each
step; exit code 1 at the first that fails.
"""

from __future__ import annotations

import argparse
import base64
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import quickfix as fix
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HERE = Path(__file__).resolve().parents[2]
DICTIONARY = HERE / "deploy/docs/FIX44-carbon.xml"
PROGRAMME = HERE / "deploy/venue/demo-auctions.toml"
AUCTION = "eex-de-20260109"
SOH = "\x01"
WAIT_S = 20.0
ORDERS = 500

CONFIG = """
[DEFAULT]
ConnectionType=initiator
ReconnectInterval=1
HeartBtInt=10
StartTime=00:00:00
EndTime=00:00:00
UseDataDictionary=Y
DataDictionary={dictionary}
FileStorePath={store}
ResetOnLogon=N
ResetOnLogout=N
ResetOnDisconnect=N
ValidateUserDefinedFields=Y
[SESSION]
BeginString=FIX.4.4
SenderCompID=desk
TargetCompID=CARBON
SocketConnectHost=127.0.0.1
SocketConnectPort={port}
"""


class Desk(fix.Application):
    """What QuickFIX tells its application, as a queue."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        super().__init__()
        self._key = key
        self.session: fix.SessionID | None = None
        self.logons: queue.Queue[str] = queue.Queue(1_000)
        self.came: queue.Queue[dict[int, str]] = queue.Queue(100_000)
        self.admin: list[dict[int, str]] = []
        self.said: list[dict[int, str]] = []

    def onCreate(self, session: fix.SessionID) -> None:  # noqa: N802 - QuickFIX's names
        self.session = session

    def onLogon(self, session: fix.SessionID) -> None:  # noqa: N802
        self.logons.put("on")

    def onLogout(self, session: fix.SessionID) -> None:  # noqa: N802
        self.logons.put("off")

    def toAdmin(self, message: fix.Message, session: fix.SessionID) -> None:  # noqa: N802
        fields = read(message)
        if fields[35] == "A":
            text = SOH.join(("A", fields[49], fields[56], fields[34], fields[52]))
            signature = base64.b64encode(self._key.sign(text.encode())).decode()
            message.setField(95, str(len(signature)))
            message.setField(96, signature)
        self.said.append(fields)

    def fromAdmin(self, message: fix.Message, session: fix.SessionID) -> None:  # noqa: N802
        self.admin.append(read(message))

    def toApp(self, message: fix.Message, session: fix.SessionID) -> None:  # noqa: N802
        self.said.append(read(message))

    def fromApp(self, message: fix.Message, session: fix.SessionID) -> None:  # noqa: N802
        self.came.put(read(message))

    # -- what the steps use ---------------------------------------------------------------------

    def send(self, msg_type: str, *values: tuple[int, object]) -> None:
        message = fix.Message()
        message.getHeader().setField(fix.MsgType(msg_type))
        for tag, value in values:
            message.setField(tag, str(value))
        if msg_type not in ("H", "e"):
            message.setField(fix.TransactTime())
        assert fix.Session.sendToTarget(message, self.session)

    def order(self, label: str, side: int, quantity: int, price: str, **more: object) -> None:
        own = [(int(name[1:]), value) for name, value in more.items()]
        self.send("D", (11, label), (1, 103), (55, "EUA"), (54, side), (38, quantity), (40, 2),
                  (44, price), *own)  # fmt: skip

    def take(self, label: str = "", exec_type: str = "") -> dict[int, str]:
        """The next report that fits."""
        deadline = time.monotonic() + WAIT_S
        while True:
            report = self.came.get(timeout=max(deadline - time.monotonic(), 0.001))
            if report.get(11, "") == label and report.get(150, "") == exec_type:
                return report


def read(message: fix.Message) -> dict[int, str]:
    """A message's fields; of a repeated one the last."""
    parts = (part.partition("=") for part in message.toString().split(SOH) if part)
    return {int(tag): value for tag, _, value in parts}


class Venue:
    """`exchange demo` on a folder."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.data = folder / "venue"
        self._log = folder / "venue.log"
        self._command = [
            program, "demo", "--data", str(self.data), "--no-brokers", "--port", "0",
            "--websocket-port", "0", "--metrics-port", "0", "--fix-port", str(self.port),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)
        deadline = time.monotonic() + 6 * WAIT_S
        while "Ctrl-C stops it" not in self._log.read_text():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)

    def end(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(60)

    def other(self, side: str, quantity: int, price: str) -> None:
        """An order of another member, through the venue's own program."""
        key = self.data / "keys/northern.key"
        command = [self._command[0], "order", side, "EUA", str(quantity), f"@{price}",
                   "--account", "101", "--key-file", str(key)]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)

    def auction(self, act: str) -> None:
        """What the operator does with the first auction of the demonstration's programme."""
        command = [self._command[0], "auctions", act, AUCTION, "--programme", PROGRAMME,
                   "--key-file", self.data / "keys/operations.key", "--any-time"]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)

    def key(self) -> Ed25519PrivateKey:
        text = (self.data / "keys/desk.key").read_text()
        found = re.search(r"[A-Za-z0-9+/]{43}=", text)
        assert found, "the key file holds no private key"
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(found[0]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchange", required=True, help="the venue's program")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fix-conformance-") as name:
        folder = Path(name)
        venue = Venue(given.exchange, folder)
        venue.start()
        try:
            steps(venue, folder)
        except (AssertionError, queue.Empty) as error:
            print(f"FAILED: {error!r}")
            return 1
        finally:
            venue.end(signal.SIGINT)
    print("conformance: every step passed")
    return 0


def steps(venue: Venue, folder: Path) -> None:
    """The certificate."""
    config = folder / "quickfix.cfg"
    config.write_text(CONFIG.format(dictionary=DICTIONARY, store=folder / "store", port=venue.port))
    desk = Desk(venue.key())
    settings = fix.SessionSettings(str(config))
    initiator = fix.SocketInitiator(desk, fix.FileStoreFactory(settings), settings)
    initiator.start()
    try:
        assert desk.logons.get(timeout=WAIT_S) == "on"
        done("QuickFIX logs on with an Ed25519 signature")
        trade(desk, venue)
        auction(desk, venue)
        many(desk)
        resend(desk)
        restart(desk, venue)
    finally:
        initiator.stop()
    rejects = [fields for fields in desk.said if fields[35] in ("3", "j")]
    assert not rejects, f"QuickFIX rejected what the venue sent: {rejects[:3]}"
    done("QuickFIX found no fault in any message, by the venue's dictionary")


def trade(desk: Desk, venue: Venue) -> None:
    desk.order("sell-1", 2, 10, "71.00")
    new = desk.take("sell-1", "0")
    assert new[39] == "0", new
    desk.send("G", (11, "sell-2"), (41, "sell-1"), (1, 103), (55, "EUA"), (54, 2), (38, 12),
              (40, 2), (44, "71.50"))  # fmt: skip
    replaced = desk.take("sell-2", "5")
    assert (replaced[41], replaced[37]) == ("sell-1", new[37]), replaced
    venue.other("buy", 5, "71.50")
    fill = desk.take("sell-2", "F")
    assert [fill[tag] for tag in (32, 31, 151, 6)] == ["5", "71.50", "7", "71.500000"], fill
    desk.send("F", (11, "gone"), (41, "sell-2"), (1, 103), (55, "EUA"), (54, 2))
    cancelled = desk.take("gone", "4")
    assert (cancelled[41], cancelled[14], cancelled[151]) == ("sell-2", "5", "0"), cancelled
    desk.send("F", (11, "late"), (41, "sell-2"), (1, 103), (55, "EUA"), (54, 2))
    reject = desk.take("late")
    assert (reject[35], reject[102]) == ("9", "1"), reject
    done("order, replace, fill, cancel, and a cancel that comes too late")


def auction(desk: Desk, venue: Venue) -> None:
    """The messages of an auction have fields of the venue's own; QuickFIX checks each."""
    desk.send("e", (324, "s"), (55, "EUA"), (263, 1))
    status = desk.take()
    assert [status[tag] for tag in (35, 324, 336, 625)] == ["f", "s", "EU", "CONTINUOUS"], status
    venue.auction("open")
    terms = desk.take()
    assert [terms[tag] for tag in (35, 20009, 20010)] == ["f", "OPEN", AUCTION], terms
    desk.order("bid", 1, 500, "71.25", t20008=terms[20008])
    assert desk.take("bid", "0")[39] == "0"
    venue.auction("close")
    ended = [desk.came.get(timeout=WAIT_S) for _ in range(2)]
    told = {fields[35]: fields for fields in ended}
    assert [told["f"][tag] for tag in (20008, 20009)] == [terms[20008], "CANCELLED"], told
    assert (told["8"][11], told["8"][150]) == ("bid", "4"), told
    done("an auction: asked for, told of, bid in, and cancelled, for the bids do not cover it")


def many(desk: Desk) -> None:
    started = time.perf_counter()
    for number in range(ORDERS):
        desk.order(f"m{number}", 1, 1, "60.00")
    for number in range(ORDERS):
        desk.take(f"m{number}", "0")
    took = time.perf_counter() - started
    desk.send("q", (11, "all"), (530, 1), (55, "EUA"))
    for number in range(ORDERS):
        desk.take(f"m{number}", "4")
    report = desk.take("all")
    assert (report[35], report[533]) == ("r", str(ORDERS)), report
    done(f"{ORDERS} orders in {took:.2f} s, all cancelled by one mass cancel")


def resend(desk: Desk) -> None:
    """QuickFIX is made to miss messages; it asks for them itself, the venue sends them again."""
    session = fix.Session.lookupSession(desk.session)
    time.sleep(1)  # QuickFIX counts a message after its application has had it
    missed = session.getExpectedTargetNum() - 50
    session.setNextTargetMsgSeqNum(missed)
    desk.send("H", (11, "m1"), (1, 103), (55, "EUA"), (54, 1))
    repeated = [desk.came.get(timeout=WAIT_S) for _ in range(50)]
    assert all(fields.get(43) == "Y" for fields in repeated), repeated
    assert [int(fields[34]) for fields in repeated] == list(range(missed, missed + 50))
    desk.take("m1", "I")
    done("50 messages that were missed came again, in order and marked")


def restart(desk: Desk, venue: Venue) -> None:
    desk.order("before", 1, 3, "60.00")
    first = desk.take("before", "0")
    venue.end(signal.SIGKILL)
    assert desk.logons.get(timeout=WAIT_S) == "off"
    desk.order("during", 1, 4, "60.00", t20002=0)
    venue.start()
    while desk.logons.get(timeout=WAIT_S) != "on":
        pass  # each attempt of QuickFIX that found no gateway
    during = desk.take("during", "0")
    assert int(during[34]) > int(first[34])
    desk.send("H", (11, "before"), (1, 103), (55, "EUA"), (54, 1))
    assert desk.take("before", "I")[37] == first[37]
    desk.send("q", (11, "end"), (530, 1), (55, "EUA"))
    report = desk.take("end")
    assert report[533] == "2", report
    done("gateway killed with -9: numbers go on, an order sent meanwhile is entered once")


def done(text: str) -> None:
    print(f"ok  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
