"""The parts of the gateway by themselves: tables, numbers, queue, signatures, serial sets."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.decimals import from_minor
from exchange.log.protocol import AppendUncertainError, LogUnavailableError
from exchange.messages.frames import Command, command, pack_command, read_commands
from exchange.messages.reasons import (
    REASONS,
    AccessReason,
    DayReason,
    EdgeReason,
    Reason,
    RegistryReason,
    SettlementReason,
    SupplyReason,
    reason_text,
)
from exchange.reference.venue import Market
from exchange.settings import GATEWAY_CANCEL_RESERVE, GATEWAY_QUEUE_MAX, REPLAY_CACHE_MAX
from gateway.access import identity
from gateway.access.identity import Identities, sign, signed_text
from gateway.access.roles import PUBLIC, ROLES
from gateway.access.throttle import Throttle
from gateway.client import (
    InsufficientFundsError,
    OperationFailedError,
    RefusedError,
    VenueError,
    generate_key,
    load_key,
    save_key,
)
from gateway.client.errors import error_class
from gateway.entry.decimals import to_minor
from gateway.entry.submitter import Submitter, Ticket
from gateway.refusal import Refused
from gateway.rest.openapi import describe
from gateway.routes import ROUTES
from gateway.views.holdings import SerialSet
from tests.gateway.conftest import ROOT, demo_venue

SECOND = 10**9


class HandClock:
    def __init__(self, now: int = 1_000 * SECOND) -> None:
        self.now = now

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now


# -- tables -------------------------------------------------------------------------------------


EVERY_REASON = [
    *Reason, *EdgeReason, *AccessReason, *RegistryReason, *DayReason, *SettlementReason,
    *SupplyReason,
]  # fmt: skip


@pytest.mark.parametrize("reason", EVERY_REASON, ids=lambda r: r.name)
def test_each_reason_has_words_a_status_and_an_exception(reason: Any) -> None:
    row = REASONS[reason.value]
    assert row.name == reason.name
    assert row.text.endswith(".")
    assert 200 <= row.status < 600
    if reason.value:
        kind = error_class(reason.value)
        assert issubclass(kind, VenueError)
        if issubclass(kind, OperationFailedError):
            assert row.may_retry


def test_reasons_are_told_apart_and_an_unknown_one_is_no_crash() -> None:
    numbers = [reason.value for reason in EVERY_REASON]
    assert len(numbers) == len(set(numbers)) == len(REASONS)
    assert reason_text(999).name == "REASON_999"
    assert error_class(260) is InsufficientFundsError
    assert issubclass(error_class(999), RefusedError)


def test_every_route_has_a_row_of_roles_and_every_row_a_route() -> None:
    actions = {row.action for row in ROUTES}
    served = {"GET /", "GET /console/{name:str}", "GET /openapi.json"}
    assert actions <= set(ROLES)
    rows = {action for action in ROLES if " " in action}
    assert rows == actions | served
    for row in ROUTES:
        is_public = ROLES[row.action] == PUBLIC
        assert is_public == (row.budget == "public"), row.action
        assert is_public or "public" not in ROLES[row.action]


def test_the_description_checked_in_is_the_one_made() -> None:
    written = json.loads((ROOT / "deploy/docs/openapi.json").read_text("utf-8"))
    assert written == json.loads(json.dumps(describe())), (
        "run `python -m gateway.rest.openapi > deploy/docs/openapi.json`"
    )
    ids = [op["operationId"] for path in written["paths"].values() for op in path.values()]
    assert len(ids) == len(set(ids)) == len(ROUTES)


# -- numbers ------------------------------------------------------------------------------------


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 4))
def test_decimals_go_in_and_out_exactly(value: int, digits: int) -> None:
    assert to_minor(from_minor(value, digits), digits) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", 503), (".5", 503), ("1.", 503), ("1,5", 503), ("+1", 503), ("1.234", 506),
     ("١", 503), ("1 ", 503), ("NaN", 503), ("0x1", 503), ("9" * 20, 503)],
)  # fmt: skip
def test_what_is_no_price_is_refused(text: str, reason: int) -> None:
    with pytest.raises(Refused) as refused:
        to_minor(text, 2)
    assert refused.value.row.number == reason


def test_trailing_zeros_are_no_precision() -> None:
    assert to_minor("71.2500", 2) == 7125


@given(st.integers(0, 2**63 - 1), st.integers(0, 65_535), st.binary(max_size=16))
def test_a_packed_command_is_the_command(value: int, small: int, label: bytes) -> None:
    fields: dict[str, Any] = {
        "side": 1, "order_type": 2, "time_in_force": 3, "instrument_id": small, "valid_ms": small,
        "account_id": small, "session_id": small, "ref": value, "quantity": value, "price": value,
        "order_id": value, "client_order_id": label,
    }  # fmt: skip
    assert pack_command(Command.NEW_ORDER, **fields) == command(Command.NEW_ORDER, **fields)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("client_order_id", b"a" * 17, "has 17 bytes, at most 16"),
        ("valid_ms", 65_536, "valid_ms: 65536 is not allowed; a whole number, 0 to 65535"),
        ("quantity", 2**63, "quantity: 9223372036854775808 is not allowed"),
        ("order_id", -1, "order_id: -1 is not allowed; a whole number, 0 to 18446744073709551615"),
    ],
)
def test_what_does_not_fit_a_command_is_not_cut(field: str, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        pack_command(Command.NEW_ORDER, **{field: value})


@given(st.data())
def test_serial_sets_hold_what_was_added_less_what_was_removed(data: Any) -> None:
    held, model = SerialSet(), set[int]()
    for _ in range(data.draw(st.integers(1, 30))):
        first = data.draw(st.integers(0, 60))
        last = first + data.draw(st.integers(0, 8))
        span = set(range(first, last + 1))
        if data.draw(st.booleans()):
            if span & model:
                with pytest.raises(ValueError, match="held already"):
                    held.add(first, last)
            else:
                held.add(first, last)
                model |= span
        elif span <= model:
            held.remove(first, last)
            model -= span
        else:
            with pytest.raises(ValueError, match="not held"):
                held.remove(first, last)
        found = [n for low, high in held.ranges() for n in range(low, high + 1)]
        assert (found, held.total) == (sorted(model), len(model))
        ends = held.ranges()
        assert all(ends[i][1] + 1 < ends[i + 1][0] for i in range(len(ends) - 1))


# -- signatures ---------------------------------------------------------------------------------


def test_the_signed_text_is_the_documented_one() -> None:
    text = signed_text("POST", "/orders?wait_ms=5", "northern", 17, 5_000, b"{}")
    assert text.decode().split("\n") == [
        "POST", "/orders?wait_ms=5", "northern", "17", "5000",
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    ]  # fmt: skip


def test_signatures_are_forgotten_after_their_window_and_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert REPLAY_CACHE_MAX >= 60 * 1_000  # a minute of one member's full rate
    monkeypatch.setattr(identity, "REPLAY_CACHE_MAX", 3)
    venue, keys = demo_venue()
    clock = HandClock()
    identities = Identities(venue, clock)

    def send(body: bytes) -> None:
        key = keys["northern"]
        signed = sign(key.private, key.id, "GET", "/", body, timestamp_ns=clock.now)
        identities.verify("GET", "/", signed, body)

    for number in range(3):
        send(b"%d" % number)
    with pytest.raises(Refused) as full:
        send(b"3")
    assert full.value.row.number == EdgeReason.VENUE_BUSY
    assert full.value.retry_after_ms > 0
    clock.now += 6 * SECOND
    send(b"3")


def test_a_key_file_is_private_and_says_nothing_when_broken(tmp_path: Path) -> None:
    key = generate_key("northern", "http://127.0.0.1:1")
    path = tmp_path / "keys" / "northern.key"
    save_key(path, key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(path).public_key == key.public_key
    with pytest.raises(FileExistsError):
        save_key(path, key)
    secret = path.read_text().replace('private_key = "', 'private_key = "x')
    path.write_text(secret)
    with pytest.raises(ValueError, match="no key file") as wrong:
        load_key(path)
    assert "x" + key.private.private_bytes_raw().hex()[:4] not in str(wrong.value)


# -- throttle -----------------------------------------------------------------------------------


def test_the_throttle_gives_its_rate_and_its_burst_and_no_more() -> None:
    clock = HandClock()
    throttle = Throttle(clock, 10)
    for left in range(9, -1, -1):
        assert throttle.take(1, "orders").remaining == left
    with pytest.raises(Refused) as refused:
        throttle.take(1, "orders")
    assert refused.value.retry_after_ms == 101
    throttle.take(1, "cancels")
    throttle.take(2, "orders")
    taken = 0
    for _ in range(1_000):
        clock.now += SECOND // 100
        try:
            throttle.take(1, "orders")
            taken += 1
        except Refused:
            continue
    assert taken == 100


def test_refusals_are_told_at_a_rate_and_never_later_than_the_longest_wait() -> None:
    clock = HandClock()
    throttle = Throttle(clock, 10)
    waits = [throttle.refusal_wait_s(1) for _ in range(1_000)]
    assert waits[:3] == [0.01, 0.02, 0.03]
    assert max(waits) == waits[-1] == 5
    assert throttle.refusal_wait_s(2) == 0.01
    clock.now += 4 * SECOND
    assert throttle.refusal_wait_s(1) == pytest.approx(1.01)
    clock.now += 60 * SECOND
    assert throttle.refusal_wait_s(1) == 0.01


# -- the queue ----------------------------------------------------------------------------------


class SlowLog:
    """Takes an append when told to, or fails it."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    async def append(self, partition: object, values: list[bytes]) -> list[int]:
        await self.gate.wait()
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        self.frames += values
        return [len(self.frames) - 1]


def submitter(log: SlowLog, clock: HandClock | None = None) -> Submitter:
    market = Market("EU", 0, "EUR")
    return Submitter(log, market, clock or HandClock(), writer=1, batch_interval_us=0)  # type: ignore[arg-type]


async def drained(made: Submitter, log: SlowLog) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(made.run(stop))
    await asyncio.sleep(0)
    log.gate.set()
    stop.set()
    await task


async def test_what_gathers_goes_in_one_frame_and_keeps_its_order() -> None:
    log, done = SlowLog(), []
    made = submitter(log)
    for number in range(10):
        records = [pack_command(Command.NEW_ORDER, ref=number)] * (1 + number % 3)
        made.submit(Ticket(records, done.append))
    await drained(made, log)
    refs = [int(ref) for ref in read_commands(log.frames[0])["ref"]]
    assert refs == sorted(refs)
    assert len(refs) == sum(1 + n % 3 for n in range(10))
    positions = [ticket.position for ticket in done]
    assert positions[:4] == [0, 1, 3, 6]
    assert len(log.frames) == 1


async def test_the_queue_is_bounded_and_keeps_places_for_cancels() -> None:
    log, done = SlowLog(), []
    made = submitter(log)
    one = [bytes(64)]
    for _ in range(GATEWAY_QUEUE_MAX - GATEWAY_CANCEL_RESERVE):
        made.submit(Ticket(one, done.append))
    with pytest.raises(Refused) as busy:
        made.submit(Ticket(one, done.append))
    assert (busy.value.row.number, busy.value.retry_after_ms > 0) == (521, True)
    for _ in range(GATEWAY_CANCEL_RESERVE):
        made.submit(Ticket(one, done.append, is_cancel=True))
    with pytest.raises(Refused):
        made.submit(Ticket(one, done.append, is_cancel=True))
    await drained(made, log)
    assert len(done) == GATEWAY_QUEUE_MAX
    assert all(ticket.refused is None for ticket in done)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(AppendUncertainError("lost"), 522), (LogUnavailableError("down"), 521)],
)
async def test_a_failing_log_is_told_apart_from_a_refusal(failure: Exception, reason: int) -> None:
    log, done = SlowLog(), []
    log.failure = failure
    made = submitter(log)
    made.submit(Ticket([bytes(64)], done.append))
    await drained(made, log)
    (ticket,) = done
    assert ticket.refused is not None
    row = ticket.refused.row
    assert (row.number, row.may_retry) == (reason, True)
    assert "same" in row.text or "again" in row.text


async def test_what_waits_longer_than_it_allows_never_reaches_the_log() -> None:
    log, done, clock = SlowLog(), [], HandClock()
    made = submitter(log, clock)
    made.submit(Ticket([bytes(64)], done.append, valid_ms=50))
    made.submit(Ticket([bytes(64)], done.append))
    clock.now += SECOND
    await drained(made, log)
    assert [bool(ticket.refused) for ticket in done] == [True, False]
    assert done[0].refused.row.number == Reason.EXPIRED
    assert len(read_commands(log.frames[0])) == 1


async def test_the_wait_for_the_log_counts_in_the_receive_window() -> None:
    log, done, clock = SlowLog(), [], HandClock()
    made = submitter(log, clock)
    for window in (50, 0):
        records = [pack_command(Command.NEW_ORDER, valid_ms=window, ref=7)]
        made.submit(Ticket(records, done.append, valid_ms=window))
    clock.now += 30 * SECOND // 1_000
    made.submit(Ticket([pack_command(Command.NEW_ORDER, valid_ms=9)], done.append, valid_ms=9))
    await drained(made, log)
    commands = read_commands(log.frames[0])
    assert commands["valid_ms"].tolist() == [20, 0, 9]
    assert commands["ref"].tolist() == [7, 7, 0]


def test_a_refusal_names_its_request_without_changing_itself() -> None:
    class Request(msgspec.Struct):
        ref: int = 7
        client_order_id: str = "mine"

    refused = Refused(EdgeReason.VENUE_BUSY, "full", retry_after_ms=5)
    reject = refused.about(Request()).reject()
    assert (reject.ref, reject.client_order_id, reject.retry_after_ms) == (7, "mine", 5)
    assert refused.reject().ref == 0
