"""P9 on intake topics: what is not the sender's own is refused for its reason and does nothing.

Each record of a topic is judged anew, by the text that `gateway.access.identity` publishes and the
log's time, and held against what came back on the report topic and what stands on `orders`.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from exchange import topics
from exchange.log.protocol import Record
from exchange.log.simulated import SimulatedDisk
from exchange.messages.executions import ExecutionReport, Reject
from exchange.messages.intake import SignedRequest
from exchange.messages.reasons import AccessReason, EdgeReason, reason_text
from exchange.reference.venue import Key
from exchange.settings import CLOCK_AHEAD_MS_MAX, RECEIVE_WINDOW_MS
from exchange.simulation.faults.auditor import Seen
from exchange.simulation.faults.promises import require
from gateway.faults.members import Member

FORGED = "forged-"  # begins the label of each order that must not be done
MS = 1_000_000
_LABEL = slice(48, 64)  # of a command
_request = msgspec.json.Decoder(SignedRequest).decode
_answer = msgspec.json.Decoder(ExecutionReport | Reject).decode


class Topic:
    """An intake topic, what it held and what came back."""

    def __init__(self, disk: SimulatedDisk, keys: Iterable[Key], participant: int) -> None:
        self.participant = participant
        self.expected: Counter[int] = Counter()  # refusals by reason, as often as they are due
        self.unknown: set[str] = set()  # key ids that are nobody's
        self.good: set[tuple[int, int]] = set()  # (session, ref) of what has to be heard
        self.replayed = 0  # records that stood there before, to the byte
        self._keys = {key.id: key for key in keys}
        self.own = [k for k in self._keys.values() if k.participant == participant and k.expires]
        self._seen: set[str] = set()
        for record in disk.records(topics.intake(participant)):
            self._judge(record)
        answers = [_answer(row.value) for row in disk.records(topics.reports(participant))]
        self.refused = [a for a in answers if isinstance(a, Reject) and not a.ref]

    def _judge(self, record: Record) -> None:
        sent = _request(record.value)
        key = self._keys.get(sent.key)
        reason = self._reason(sent, key, record.append_ns)
        if reason == EdgeReason.UNKNOWN_KEY and key is None:
            self.unknown.add(sent.key)
        if reason:
            self.expected[reason] += 1
        elif sent.signature in self._seen:
            self.replayed += 1
        elif key is not None:
            self._seen.add(sent.signature)
            self.good.add((key.session, int(msgspec.json.decode(sent.body)["ref"])))

    def _reason(self, sent: SignedRequest, key: Key | None, now_ns: int) -> int:
        """Why a record is refused before its body is read, 0 if it is not. O(1)."""
        if key is None:
            return EdgeReason.UNKNOWN_KEY
        late_ms = (now_ns - sent.timestamp_ns) // MS
        if late_ms >= RECEIVE_WINDOW_MS or -late_ms > CLOCK_AHEAD_MS_MAX:
            return EdgeReason.TIMESTAMP_OUTSIDE_WINDOW
        digest = hashlib.sha256(sent.body.encode()).hexdigest()
        text = f"INTAKE\n\n{sent.key}\n{sent.timestamp_ns}\n{sent.window_ms}\n{digest}".encode()
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public_key))
            public.verify(base64.b64decode(sent.signature), text)
        except InvalidSignature:
            return EdgeReason.BAD_SIGNATURE
        if key.expires is not None and now_ns >= int(key.expires.timestamp()) * 1_000 * MS:
            return AccessReason.KEY_EXPIRED
        return 0 if key.participant == self.participant else EdgeReason.UNKNOWN_KEY


def check(topic: Topic, member: Member, every: list[Seen], shapes: Counter[str]) -> None:
    """One topic's refusals, and that nothing of them was done; BrokenPromiseError (P9).

    A gateway that starts again answers the last group again, and two serve a topic: each refusal
    is told once at least. O(records + log).
    """
    what = f"intake of {member.key.id}"
    told = Counter(reject.reason for reject in topic.refused)
    for reason in sorted(told.keys() | topic.expected.keys()):
        due, found = topic.expected[reason], told[reason]
        name = reason_text(reason).name
        shapes[f"intake_{name.lower()}"] += found
        if reason == EdgeReason.REPLAYED_REQUEST:
            # whoever started in between takes it for the first: a repeat, by its ref
            require(topic.replayed, "P9", f"{what}: {found} are told {name}, none was")
        else:
            is_told = found >= due > 0
            require(is_told, "P9", f"{what}: {found} are told {name} for {due} that are")
    words = " ".join(r.text for r in topic.refused if r.reason == EdgeReason.UNKNOWN_KEY)
    silent = [key for key in topic.unknown if repr(key) not in words]
    require(not silent, "P9", f"{what}: keys {silent} were never refused")
    for seen in every:
        _undone(topic, what, seen)
    _done(topic, what, member, every)


def _undone(topic: Topic, what: str, seen: Seen) -> None:
    """No command of a session or with a label that nobody good has sent."""
    sessions = {session for session, _ in topic.good}
    others = {key.session for key in topic.own if key.session not in sessions}
    for heard in seen.history.heard.values():
        label = heard.body[_LABEL]
        is_forged = heard.session in others or label.startswith(FORGED.encode())
        require(not is_forged, "P9", f"{what}: a forged request stands at {heard.position}")


def _done(topic: Topic, what: str, member: Member, every: list[Seen]) -> None:
    """Each good one stands on a log, or its sender was told why not."""
    first = {place for seen in every for place in seen.history.first}
    refused = {
        (member.key.session, ref)
        for (_, ref), sent in member.sent.items()
        if isinstance(sent.answer, Reject)
    }
    refused |= {  # whatever the member took for its answer: another order may bear its label
        (member.key.session, report.ref)
        for told in member.reports.values()
        for report in told.values()
        if report.reason == EdgeReason.REF_PASSED_OVER
    }
    lost = sorted(topic.good - first - refused)
    require(not lost, "P9", f"{what}: {lost} are good, and neither done nor refused")
