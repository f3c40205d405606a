"""What the auditor makes of an intake topic: why each record is refused, and that none was done."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange import topics
from exchange.log.protocol import Partition, Record
from exchange.messages.executions import ExecutionReport, Reject
from exchange.messages.intake import SignedRequest
from exchange.messages.reasons import AccessReason, EdgeReason, reason_text
from exchange.reference.venue import Key
from exchange.simulation.faults.promises import BrokenPromiseError
from gateway.access.identity import sign
from gateway.client.keys import SigningKey
from gateway.faults.forged import FORGED, Topic, check
from gateway.faults.members import Member, Sent

FIRM, SESSION = 12, 2_012
NOW_NS = int(dt.datetime(2025, 12, 1, tzinfo=dt.UTC).timestamp()) * 10**9
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = SigningKey("desk", PRIVATE).public_key
KEYS = (
    Key("desk", FIRM, "participant", SESSION, PUBLIC),
    Key("old", FIRM, "participant", 5_000, PUBLIC, expires=dt.datetime(2025, 11, 1, tzinfo=dt.UTC)),
    Key("other", 10, "participant", 2_010, PUBLIC),
)


def record(key: str = "desk", ref: int = 1, before_s: int = 0, body: str = "") -> bytes:
    said = f'{{"ref":{ref}}}'
    signed = sign(PRIVATE, key, "INTAKE", "", said.encode(), timestamp_ns=NOW_NS - before_s * 10**9)
    sent = SignedRequest(signed.key, signed.timestamp_ns, signed.signature, body or said)
    return msgspec.json.encode(sent)


class Disk:
    """An intake topic and its reports."""

    def __init__(self, sent: list[bytes], refused: list[Reject]) -> None:
        self._rows = {
            topics.intake(FIRM): sent,
            topics.reports(FIRM): [msgspec.json.encode(reject) for reject in refused],
        }

    def records(self, partition: Partition) -> list[Record]:
        values = self._rows[partition]
        return [Record(at, NOW_NS, value) for at, value in enumerate(values)]


def topic(sent: list[bytes], refused: list[Reject] | None = None) -> Topic:
    disk: Any = Disk(sent, refused or [])
    return Topic(disk, KEYS, FIRM)


def reject(reason: int, text: str = "") -> Reject:
    return Reject(reason, reason_text(reason).name, text)


def judged(
    found: Topic,
    *,
    done: Any = ((SESSION, 1),),
    heard: Any = (),
    answer: Any = None,
    told: tuple[ExecutionReport, ...] = (),
) -> Any:
    key = KEYS[0]
    sent = {("EU", 1): SimpleNamespace(answer=answer)}
    reports = {"EU": {report.sequence: report for report in told}}
    member: Any = SimpleNamespace(key=key, sent=sent, reports=reports)
    history = SimpleNamespace(heard=dict(enumerate(heard)), first=dict.fromkeys(done, 0))
    seen: Any = SimpleNamespace(history=history)
    return check(found, member, [seen], Counter())


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (record("nobody-1"), EdgeReason.UNKNOWN_KEY),
        (record("other"), EdgeReason.UNKNOWN_KEY),
        (record(before_s=10_800), EdgeReason.TIMESTAMP_OUTSIDE_WINDOW),
        (record(body='{"ref":2}'), EdgeReason.BAD_SIGNATURE),
        (record("old"), AccessReason.KEY_EXPIRED),
    ],
)
def test_each_refusal_is_due_for_its_reason_and_at_least_once(sent: bytes, reason: int) -> None:
    assert topic([record(), sent]).expected == {reason: 1}
    told = reject(reason, "key 'nobody-1'")
    judged(topic([record(), sent], [told]))
    judged(topic([record(), sent], [told, told]))
    for wrong in ([], [reject(EdgeReason.VENUE_BUSY)]):
        with pytest.raises(BrokenPromiseError) as broken:
            judged(topic([record(), sent], wrong))
        assert broken.value.promise == "P9"


def test_a_record_that_comes_twice_may_be_told_so_and_counts_once() -> None:
    found = topic([record(), record()], [reject(EdgeReason.REPLAYED_REQUEST)])
    assert (found.expected, found.good, found.replayed) == ({}, {(SESSION, 1)}, 1)
    judged(found)
    judged(topic([record(), record()]))
    with pytest.raises(BrokenPromiseError, match="REPLAYED_REQUEST"):
        judged(topic([record()], [reject(EdgeReason.REPLAYED_REQUEST)]))


def test_a_key_that_nobody_has_is_refused_by_its_name() -> None:
    told = [reject(EdgeReason.UNKNOWN_KEY, "key 'nobody-2'")] * 2
    with pytest.raises(BrokenPromiseError, match="nobody-1"):
        judged(topic([record(), record("nobody-1"), record("nobody-2")], told))


@pytest.mark.parametrize(
    ("session", "label"), [(5_000, b""), (SESSION, FORGED.encode())], ids=["expired", "forged"]
)
def test_what_is_refused_must_not_stand_on_the_log(session: int, label: bytes) -> None:
    heard = SimpleNamespace(session=session, body=bytes(48) + label.ljust(16, b"\0"), position=7)
    with pytest.raises(BrokenPromiseError, match="stands at 7"):
        judged(topic([record()]), heard=[heard])


def test_a_good_one_is_done_or_its_sender_told() -> None:
    judged(topic([record()]))
    judged(topic([record()]), done=(), answer=reject(EdgeReason.VENUE_BUSY))
    with pytest.raises(BrokenPromiseError, match="neither done nor refused"):
        judged(topic([record()]), done=())


@pytest.mark.parametrize(
    ("ref", "reason", "is_told"),
    [(1, EdgeReason.REF_PASSED_OVER, True), (1, 0, False), (2, EdgeReason.REF_PASSED_OVER, False)],
)
def test_a_ref_that_was_passed_over_is_told_whatever_its_sender_took_for_the_answer(
    ref: int, reason: int, is_told: bool
) -> None:
    """The label of a later order may be that of the one passed over: its NEW is no answer to it."""
    new = ExecutionReport("EU", 212, "NEW", "NEW", 9, 77, client_order_id="12-8")
    told = ExecutionReport("EU", 212, "REJECTED", "REJECTED", 8, 76, ref=ref, reason=reason)
    if is_told:
        judged(topic([record()]), done=(), answer=new, told=(told, new))
        return
    with pytest.raises(BrokenPromiseError, match="neither done nor refused"):
        judged(topic([record()]), done=(), answer=new, told=(told, new))


def test_a_member_takes_no_answer_to_another_key_of_its_firm_for_its_own() -> None:
    """Each key counts its own refs; whose a report is says the place that PENDING named."""
    member: Any = None
    sent = Sent("CN", 8, {"type": "OrderCancelRequest", "order_id": 5})
    answer = ExecutionReport("CN", 212, "REJECTED", "REJECTED", 9, 77, ref=8)
    assert not Member._is_answer(member, answer, sent)
    sent.positions.add(77)
    assert Member._is_answer(member, answer, sent)
