"""A broker without a connection: it writes to its intake topic and reads its report topic.

Both gateways serve the topic at once, so everything may be entered and answered twice. It resends
under the same refs like any other member, and is judged by the same evidence. In between stand
records that are none of its own or not sound: `gateway.faults.forged` judges what became of them.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange import topics
from exchange.log.protocol import LogError, Reader
from exchange.log.simulated import SimulatedLog
from exchange.messages.executions import ExecutionReport, Reject
from exchange.messages.intake import SignedRequest
from exchange.reference.venue import Key
from gateway.access.identity import sign
from gateway.client.keys import SigningKey
from gateway.faults.flow import money
from gateway.faults.forged import FORGED
from gateway.faults.house import House
from gateway.faults.members import Member
from gateway.faults.wire import pause_s

FORGED_SHARE = 0.2  # of its turns
OLD_NS = 3 * 3_600 * 10**9  # later than any clock here is wrong
READ_MAX = 64
READ_WAIT_S = 0.02
RETRY_S = 0.2

_request = msgspec.json.Decoder(SignedRequest).decode
_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(ExecutionReport | Reject).decode


class IntakeMember(Member):
    """One broker that trades over the log."""

    def __init__(
        self, house: House, key: Key, signing: SigningKey, others: dict[str, SigningKey]
    ) -> None:
        """`others` are keys that must not be used here: of another broker, and an expired one."""
        super().__init__(house, key, signing)
        self._others = others
        self._forgery = random.Random(f"{house.plan.seed}/forged")
        self._forged = 0
        self._last = b""  # the last sound record
        self._private = signing.private
        self._log = SimulatedLog(house.disk)
        self._to_send: list[bytes] = []
        self._reader: Reader | None = None
        self._is_logged_on = True

    async def run(self) -> None:
        """Until cancelled."""
        await self._log.start()
        self._reader = await self._log.open_reader(topics.reports(self.key.participant), 0)
        while True:
            await self._hear(self._reader)
            self._work(self.house.loop.time())
            if self.is_trading and self._forgery.random() < FORGED_SHARE:
                self._to_send.append(self._forge())
            await self._post()
            await pause_s(self.house.plan.pace_s * (0.2 + 1.6 * self.rng.random()))

    @property
    def has_heard_all(self) -> bool:
        """Whether it has read every report that is on its topic. O(1)."""
        records = self.house.disk.records(topics.reports(self.key.participant))
        return self._reader is not None and self._reader.position == len(records)

    def hang_up(self) -> None:
        """There is no other gateway to go to: whoever serves the topic answers."""
        self._answered_s = self.house.loop.time()

    def _say(self, message: Any) -> None:
        self._last = _signed(self._private, self.key.id, message, self.clock.now_ns())
        self._to_send.append(self._last)

    def _forge(self) -> bytes:
        """A record that must do nothing: its order would stand under the broker's next ref."""
        self._forged += 1
        now_ns = self.clock.now_ns()
        instrument = self._forgery.choice(self.house.venue.instrument)
        order = {
            "type": "NewOrderSingle", "symbol": instrument.symbol,
            "account": self._accounts[instrument.market], "side": "BUY", "quantity": 1,
            "price": money(instrument.reference_price), "time_in_force": "DAY",
            "client_order_id": f"{FORGED}{self._forged}", "ref": self._ref + 1,
        }  # fmt: skip
        kind = self._forgery.choice(("unknown", "signature", "body", "old", "replay", "other"))
        if kind == "replay" and self._last:
            return self._last
        if kind == "other":
            name = self._forgery.choice(sorted(self._others))
            return _signed(self._others[name].private, name, order, now_ns)
        if kind == "unknown":
            return _signed(self._private, f"nobody-{self._forged}", order, now_ns)
        own = self._private, self.key.id, order
        if kind == "old":
            return _signed(*own, now_ns - OLD_NS)
        sound = _request(_signed(*own, now_ns))
        if kind == "body":
            return _encode(msgspec.structs.replace(sound, body=sound.body.replace("DAY", "GTC")))
        return _encode(msgspec.structs.replace(sound, timestamp_ns=now_ns + 1))

    async def _post(self) -> None:
        values, self._to_send = self._to_send, []
        if not values:
            return
        try:
            await self._log.append(topics.intake(self.key.participant), values)
        except LogError:  # taken or not: what is not answered is sent again
            self.house.shapes["intake_in_doubt"] += 1

    async def _hear(self, reader: Reader) -> None:
        try:
            records = await reader.read(READ_MAX, READ_WAIT_S)
        except LogError:
            await pause_s(RETRY_S)
            return
        for record in records:
            self._answered_s = self.house.loop.time()
            answer = msgspec.structs.replace(_answer(record.value), intake_offset=-1)
            if isinstance(answer, Reject):
                self._rejected(answer)
            else:
                self.house.shapes["intake_acknowledged"] += answer.exec_type == "PENDING"
                self._told(answer)


def _signed(private: Ed25519PrivateKey | bytes, key: str, message: Any, timestamp_ns: int) -> bytes:
    body = _encode(message)
    signed = sign(private, key, "INTAKE", "", body, timestamp_ns=timestamp_ns)
    return _encode(SignedRequest(signed.key, timestamp_ns, signed.signature, body.decode()))
