"""A broker without a connection: it writes to its intake topic and reads its report topic.

Both gateways serve the topic at once, so everything may be entered and answered twice. It resends
under the same refs like any other member, and is judged by the same evidence.
"""

from __future__ import annotations

from typing import Any

import msgspec

from exchange import topics
from exchange.log.protocol import LogError, Reader
from exchange.log.simulated import SimulatedLog
from exchange.messages.executions import ExecutionReport, Reject
from exchange.messages.intake import SignedRequest
from exchange.reference.venue import Key
from gateway.client.keys import SigningKey
from gateway.faults.house import House
from gateway.faults.members import Member
from gateway.faults.wire import pause_s
from gateway.identity import sign

READ_MAX = 64
READ_WAIT_S = 0.02
RETRY_S = 0.2

_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(ExecutionReport | Reject).decode


class IntakeMember(Member):
    """One broker that trades over the log."""

    def __init__(self, house: House, key: Key, signing: SigningKey) -> None:
        super().__init__(house, key, signing)
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
        body = _encode(message).decode()
        signed = sign(
            self._private, self.key.id, "INTAKE", "", body.encode(),
            timestamp_ns=self.clock.now_ns(),
        )  # fmt: skip
        self._to_send.append(
            _encode(SignedRequest(signed.key, signed.timestamp_ns, signed.signature, body))
        )

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
