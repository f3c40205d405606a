"""A log on which the rule of two persons was gone around: the first act that did is named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from exchange.messages.frames import (
    GENESIS,
    AccountParameter,
    Command,
    EventFollower,
    Parameter,
    Phase,
    build_commands,
    notes,
    order_id_of,
    pack_command,
    seal_events,
)
from exchange.messages.operations import (
    Act,
    CashDeposit,
    DayRoll,
    Halt,
    Lift,
    PhaseChange,
    Recorded,
    ReferencePrice,
    Resume,
    SetLimit,
    StageWord,
)
from exchange.reference.venue import DECISION_SESSION, TIMETABLE, TIMETABLE_SESSION
from gateway.control.persons_audit import PersonsAudit
from matching.reference import Engine
from tests.gateway.conftest import demo_venue

SECOND = 10**9
BEGIN_NS = 1_780_000_000 * SECOND
SUSPENDED = AccountParameter.SUSPENDED
EUA, FIRM, ACCOUNT = 1, 2, 101
LIFT = {"order_type": SUSPENDED, "quantity": 0, "order_id": FIRM}
WIDE = {"instrument_id": EUA, "order_type": Parameter.QUANTITY_MAX, "quantity": 90}


def lift() -> Lift:
    return Lift(ref=1, market="EU", reason="a test", participant=FIRM)


def limit(value: int) -> SetLimit:
    return SetLimit(
        ref=1, market="EU", parameter="QUANTITY_MAX", value=value, symbol="EUA", reason="a test"
    )


class Tape:
    """A log of one market as it is written, and who goes along with it."""

    def __init__(self, **changes: Any) -> None:
        venue, _ = demo_venue()
        market = msgspec.structs.replace(venue.market_of("EU"), **changes)
        self.audit = PersonsAudit(venue, market, 100)
        self.engine = Engine()
        self.follower = EventFollower()
        self.chain = GENESIS
        self.refs: dict[int, int] = {}
        self.raw(Command.INSTRUMENT_OPEN, instrument_id=EUA)
        self.raw(Command.ACCOUNT_OPEN, account_id=ACCOUNT, order_id=FIRM)
        self.raw(
            Command.INSTRUMENT_PARAMETER, instrument_id=EUA, order_type=Parameter.BAND_BP,
            quantity=500,
        )  # fmt: skip
        self.raw(Command.REFERENCE_PRICE, instrument_id=EUA, price=7_000)

    def raw(self, kind: Command, *words: bytes, **fields: Any) -> int:
        """One command and what stands behind it; its position."""
        offset, engine = self.engine.next_offset, self.engine
        time_ns = BEGIN_NS + offset * SECOND
        commands = [pack_command(kind, **fields), *words]
        frame = build_commands(commands, writer=1, batch=0, time_ns=time_ns)
        self.audit.record(offset, time_ns, frame)
        first = engine.next_event
        parts, self.chain = seal_events(
            engine.apply(offset, time_ns, frame), input_offset=offset, first_event=first,
            epoch=engine.epoch, time_ns=engine.time_ns, chain=self.chain,
        )  # fmt: skip
        for value in parts:
            part = self.follower.accept(offset, value)
            assert part is not None
            self.audit.part(part)
            self.audit.positions.apply(part)
        return order_id_of(offset, 0)

    def act(
        self,
        stage: StageWord,
        body: Recorded,
        kind: Command = Command.CLOCK_TICK,
        *,
        key: str = "ada",
        who: str = "",
        session: int = DECISION_SESSION,
        proposal: int = 0,
        alone_max: int | None = None,
        **fields: Any,
    ) -> int:
        ref = self.refs[session] = self.refs.get(session, 0) + 1
        act = Act(stage, key, who or key, "a test", body, proposal, alone_max)
        words = notes(msgspec.json.encode(act).decode())
        return self.raw(kind, *words, session_id=session, ref=ref, **fields)

    def kill(self) -> None:
        self.raw(Command.PARTICIPANT_PARAMETER, order_type=SUSPENDED, quantity=1, order_id=FIRM)


def test_two_persons_lift_a_kill() -> None:
    tape = Tape()
    tape.kill()
    wanted = tape.act("PROPOSED", lift())
    tape.act("APPROVED", lift(), Command.PARTICIPANT_PARAMETER, key="bo", proposal=wanted, **LIFT)
    assert (tape.audit.difference, tape.audit.approved) == ("", 1)


def test_one_person_lifts_a_kill() -> None:
    tape = Tape()
    tape.kill()
    tape.act("DONE", lift(), Command.PARTICIPANT_PARAMETER, **LIFT)
    assert tape.audit.difference == (
        "orders record 5: DONE Lift by ada: it took two persons, and one did it"
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"key": "ada-2", "who": "Ada"}, "Ada proposed it, too"),
        ({"key": "ada", "who": "Eve"}, "Eve proposed it, too"),
        ({"proposal": 4}, "no proposal stands at 4"),
        ({"session": 1_001}, "a decision has its number in session 999"),
        ({"reason": "other"}, "what was proposed at"),
        ({"quantity": 0, "order_id": 3}, "does something else than its words say"),
    ],
)
def test_an_approval_that_is_none(changed: dict[str, Any], told: str) -> None:
    tape = Tape()
    tape.kill()
    body = lift()
    wanted = tape.act("PROPOSED", body, who="Ada")
    fields = {"key": "bo", "proposal": wanted, **LIFT} | changed
    if fields.pop("reason", ""):
        body = msgspec.structs.replace(body, reason="other")
    tape.act("APPROVED", body, Command.PARTICIPANT_PARAMETER, **fields)
    assert told in tape.audit.difference


def test_a_proposal_is_approved_once() -> None:
    tape = Tape()
    wanted = tape.act("PROPOSED", lift())
    for _ in range(2):
        tape.act(
            "APPROVED", lift(), Command.PARTICIPANT_PARAMETER, key="bo", proposal=wanted, **LIFT
        )
    assert "was APPROVED before" in tape.audit.difference


@pytest.mark.parametrize(
    ("body", "kind", "fields"),
    [
        (limit(90), Command.INSTRUMENT_PARAMETER, WIDE),
        (
            CashDeposit(1, market="EU", account=ACCOUNT, amount="-1000000.01"),
            Command.CASH_WITHDRAW,
            {"account_id": ACCOUNT, "quantity": 100_000_001},
        ),
        (
            ReferencePrice(1, symbol="EUA", price="74.00"),
            Command.REFERENCE_PRICE,
            {"instrument_id": EUA, "price": 7_400},
        ),
        (
            Resume(1, market="EU", reason="a test", symbol="EUA"),
            Command.PHASE_CHANGE,
            {"instrument_id": EUA, "order_type": Phase.CONTINUOUS},
        ),
        (
            PhaseChange(1, market="EU", phase="OPENING_CALL"),
            Command.PHASE_CHANGE,
            {"order_type": Phase.OPENING_CALL},
        ),
    ],
)
def test_what_one_may_not_do_alone(body: Any, kind: Command, fields: dict[str, Any]) -> None:
    tape = Tape()
    tight = WIDE | {"quantity": 50}
    tape.act("DONE", limit(50), Command.INSTRUMENT_PARAMETER, **tight)
    halt = Halt(1, market="EU", reason="a test")
    tape.act("DONE", halt, Command.PHASE_CHANGE, order_type=Phase.HALT)
    assert not tape.audit.difference
    tape.act("DONE", body, kind, **fields)
    number = tape.engine.next_offset - 1
    assert tape.audit.difference == (
        f"orders record {number}: DONE {type(body).__name__} by ada: it took two persons, and one "
        "did it"
    )


def test_a_day_that_has_not_come_takes_two() -> None:
    tape = Tape()
    for date in (20280101, 20280102):
        roll = DayRoll(1, market="EU", trading_date=date)
        tape.act("DONE", roll, Command.DAY_ROLL, quantity=date)
    assert "DONE DayRoll by ada: it took two persons" in tape.audit.difference


@pytest.mark.parametrize(
    ("kind", "fields", "told"),
    [
        (Command.PARTICIPANT_PARAMETER, LIFT, "lifts a kill"),
        (Command.INSTRUMENT_PARAMETER, WIDE, "widens QUANTITY_MAX of instrument 1 to 90"),
        (
            Command.PHASE_CHANGE,
            {"instrument_id": EUA, "order_type": Phase.CONTINUOUS},
            "ends a halt",
        ),
    ],
)
def test_what_loosens_with_no_words_is_found(
    kind: Command, fields: dict[str, Any], told: str
) -> None:
    tape = Tape()
    tape.raw(Command.PHASE_CHANGE, instrument_id=EUA, order_type=Phase.CONTINUOUS)
    tape.kill()
    tape.act("DONE", limit(50), Command.INSTRUMENT_PARAMETER, **(WIDE | {"quantity": 50}))
    halt = Halt(1, market="EU", reason="a test")
    tape.act("DONE", halt, Command.PHASE_CHANGE, order_type=Phase.HALT)
    assert not tape.audit.difference
    tape.raw(kind, **fields)
    number = tape.engine.next_offset - 1
    assert tape.audit.difference == (
        f"orders record {number} {told}, with no words: no two persons decided it"
    )


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("amounts", "then", "today", "is_found"),
    [
        ((500,), 500, 100, False),  # the file is narrower today
        ((501,), 500, 9_000, True),  # and here wider: one would have changed it afterwards
        ((300, 201), 500, 9_000, True),
        ((500,), 0, 9_000, True),
        ((100,), None, 100, False),  # an older record says nothing: the file of today
        ((101,), None, 100, True),
    ],
)
def test_cash_is_judged_by_the_limit_of_the_act(
    sign: int, amounts: tuple[int, ...], then: int | None, today: int, is_found: bool
) -> None:
    tape = Tape(withdrawal_alone_max=today, deposit_alone_max=today)
    tape.raw(Command.CASH_DEPOSIT, account_id=ACCOUNT, quantity=10_000)
    kind = Command.CASH_DEPOSIT if sign > 0 else Command.CASH_WITHDRAW
    for amount in amounts:
        assert not tape.audit.difference
        words = f"{sign * amount / 100:.2f}"
        body = CashDeposit(1, market="EU", account=ACCOUNT, amount=words, reason="a test")
        cash = {"account_id": ACCOUNT, "quantity": amount, "alone_max": then}
        tape.act("DONE", body, kind, **cash)
    assert ("it took two persons, and one did it" in tape.audit.difference) is is_found
    assert ("1 of cash judged by the venue file of today" in tape.audit.figures) is (then is None)


@pytest.mark.parametrize("session", [TIMETABLE_SESSION, DECISION_SESSION])
def test_the_timetable_lifts_nothing(session: int) -> None:
    """Nor sets a limit but the hours of blocks; of both sessions, now and in older logs."""
    for body, kind, fields in (
        (lift(), Command.PARTICIPANT_PARAMETER, LIFT),
        (limit(50), Command.INSTRUMENT_PARAMETER, WIDE | {"quantity": 50}),
    ):
        tape = Tape()
        tape.act("DONE", body, kind, key=TIMETABLE, session=session, **fields)
        assert "the timetable has no such step" in tape.audit.difference


@pytest.mark.parametrize(
    ("key", "session", "told"),
    [
        (TIMETABLE, TIMETABLE_SESSION, ""),
        (TIMETABLE, DECISION_SESSION, ""),
        (TIMETABLE, 1_001, "it took two persons, and one did it"),
        ("ada", DECISION_SESSION, "it took two persons, and one did it"),
    ],
)
def test_who_opens_blocks_alone_is_the_timetable(key: str, session: int, told: str) -> None:
    tape = Tape()
    for value in (0, 1):
        who = key if value else TIMETABLE
        body = SetLimit(
            1, market="EU", symbol="EUA", parameter="BLOCK_OPEN", value=value, reason="a test"
        )
        fields = {"instrument_id": EUA, "order_type": Parameter.BLOCK_OPEN, "quantity": value}
        at = session if value else DECISION_SESSION
        tape.act("DONE", body, Command.INSTRUMENT_PARAMETER, key=who, session=at, **fields)
    assert told in tape.audit.difference
    assert bool(told) == bool(tape.audit.difference)
