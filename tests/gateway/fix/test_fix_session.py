"""The session layer as a function: each rule of numbers, time and session messages."""

from __future__ import annotations

import pytest

from exchange.settings import (
    FIX_HEARTBEAT_S_MAX,
    FIX_HEARTBEAT_S_MIN,
    FIX_LOGOUT_TIMEOUT_S,
    FIX_SENDING_TIME_S_MAX,
    LOGON_TIMEOUT_S,
)
from gateway.fix.codec import Fault, Message, utc_text
from gateway.fix.session import (
    SECOND,
    Phase,
    Sent,
    State,
    Step,
    leave,
    numbered,
    open_state,
    received,
    resent,
    ticked,
)

NOW = 1_795_889_259_000_000_000
HEARTBEAT = 30


def said(
    msg_type: str, sequence: int, *, at: int = NOW, sender: str = "northern", **fields: str
) -> Message:
    own = {int(name[1:]): value for name, value in fields.items()}
    header = {35: msg_type, 49: sender, 56: "CARBON", 34: str(sequence), 52: utc_text(at)}
    return Message(msg_type, {**header, **own}, {})


def logon(sequence: int = 1, seconds: int = HEARTBEAT, **fields: str) -> Message:
    return said("A", sequence, t98="0", t108=str(seconds), **fields)


def active(next_in: int = 1, next_out: int = 1) -> State:
    step = received(open_state("northern", "CARBON", next_in, next_out, NOW), logon(next_in), NOW)
    assert step.state.phase is Phase.ACTIVE
    return step.state


def kinds(step: Step) -> list[str]:
    return [item.msg_type for item in step.out]


def values(step: Step, place: int = 0) -> dict[int, str]:
    return {tag: str(value) for tag, value in step.out[place].values}


# -- logon ----------------------------------------------------------------------------------------


def test_a_logon_is_answered_and_numbers_go_on() -> None:
    step = received(open_state("northern", "CARBON", 5, 9, NOW), logon(5), NOW)
    assert (step.state.next_in, step.state.next_out) == (6, 10)
    assert (kinds(step), step.out[0].sequence, values(step)[108]) == (["A"], 9, "30")
    assert not step.is_reset


def test_a_reset_begins_both_numbers_anew() -> None:
    step = received(open_state("northern", "CARBON", 5, 9, NOW), logon(1, t141="Y"), NOW)
    assert step.is_reset
    assert (step.state.next_in, step.state.next_out, values(step)[141]) == (2, 2, "Y")
    wrong = received(open_state("northern", "CARBON", 5, 9, NOW), logon(2, t141="Y"), NOW)
    assert (kinds(wrong), wrong.state.phase) == (["5"], Phase.CLOSED)


@pytest.mark.parametrize(
    ("seconds", "is_taken"),
    [
        (FIX_HEARTBEAT_S_MIN - 1, False), (FIX_HEARTBEAT_S_MIN, True),
        (FIX_HEARTBEAT_S_MAX, True), (FIX_HEARTBEAT_S_MAX + 1, False),
    ],
)  # fmt: skip
def test_heartbeats_have_bounds(seconds: int, is_taken: bool) -> None:
    step = received(open_state("northern", "CARBON", 1, 1, NOW), logon(1, seconds), NOW)
    assert (step.state.phase is Phase.ACTIVE) == is_taken
    assert bool(step.close) != is_taken


@pytest.mark.parametrize(
    "first",
    [
        said("0", 1), logon(0), logon(1, t56="OTHER"), logon(4)._replace(fault=Fault(1, 96, "no")),
        said("A", 1, at=NOW - (FIX_SENDING_TIME_S_MAX + 1) * SECOND, t98="0", t108="30"),
        logon(4),
    ],
)  # fmt: skip
def test_a_connection_that_does_not_begin_well_is_closed(first: Message) -> None:
    step = received(open_state("northern", "CARBON", 5, 9, NOW), first, NOW)
    assert step.close
    assert step.state.phase is Phase.CLOSED
    assert received(step.state, logon(5), NOW) == Step(step.state)


def test_a_logon_ahead_of_its_number_is_answered_and_the_gap_asked_for() -> None:
    step = received(open_state("northern", "CARBON", 5, 9, NOW), logon(8), NOW)
    assert (kinds(step), step.state.next_in) == (["A", "2"], 5)
    assert values(step, 1) == {7: "5", 16: "0"}


def test_a_second_logon_is_for_a_reset_only() -> None:
    again = received(active(), logon(2), NOW)
    assert (kinds(again), again.state.phase) == (["5"], Phase.LEAVING)
    anew = received(active(), logon(1, t141="Y"), NOW)
    assert (anew.is_reset, kinds(anew), anew.state.next_in) == (True, ["A"], 2)


# -- numbers --------------------------------------------------------------------------------------


def test_messages_in_order_are_delivered() -> None:
    step = received(active(), said("D", 2), NOW)
    assert (step.is_delivered, step.state.next_in, step.out) == (True, 3, ())
    unknown = received(step.state, said("ZZ", 3), NOW)
    assert unknown.is_delivered


def test_a_gap_is_asked_for_once_and_what_is_ahead_waits_for_it() -> None:
    ahead = received(active(), said("D", 5), NOW)
    assert (kinds(ahead), ahead.is_delivered, ahead.state.next_in) == (["2"], False, 2)
    more = received(ahead.state, said("D", 6), NOW)
    assert (more.out, more.is_delivered) == ((), False)
    filled = received(more.state, said("4", 2, t123="Y", t36="5"), NOW)
    assert filled.state.next_in == 5
    repeated = received(filled.state, said("D", 5, t43="Y", t122=utc_text(NOW)), NOW)
    assert (repeated.is_delivered, repeated.state.gap_ns) == (True, 0)


def test_a_gap_that_is_not_filled_is_asked_for_again_then_ends_the_session() -> None:
    state = received(active(), said("D", 5), NOW).state
    late = NOW + HEARTBEAT * SECOND * 12 // 10 + 1
    again = ticked(state._replace(heard_ns=late, said_ns=late), late)
    assert kinds(again) == ["2"]
    later = late + HEARTBEAT * SECOND * 12 // 10 + 1
    end = ticked(again.state._replace(heard_ns=later, said_ns=later), later)
    assert (kinds(end), end.state.phase) == (["5"], Phase.LEAVING)


def test_a_low_number_ends_the_session_unless_it_is_a_resend() -> None:
    low = received(active(5), said("D", 4), NOW)
    assert (kinds(low), low.state.phase) == (["5"], Phase.LEAVING)
    assert "expected 6, received 4" in values(low)[58]
    dup = received(active(5), said("D", 4, t43="Y", t122=utc_text(NOW)), NOW)
    assert (dup.out, dup.is_delivered, dup.state.next_in) == ((), False, 6)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({}, "1"), ({"t122": utc_text(NOW + SECOND)}, "10"), ({"t122": utc_text(NOW)}, "")],
)
def test_a_resend_says_when_it_was_sent_first(fields: dict[str, str], reason: str) -> None:
    step = received(active(), said("D", 2, t43="Y", **fields), NOW)
    assert step.state.next_in == 3
    assert step.is_delivered == (not reason)
    assert (values(step)[373] if step.out else "") == reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (said("D", 2, sender="huadong"), "9"),
        (said("D", 2, t56="OTHER"), "9"),
        (said("D", 2, at=NOW - (FIX_SENDING_TIME_S_MAX + 1) * SECOND), "10"),
        (said("D", 2, at=NOW + (FIX_SENDING_TIME_S_MAX + 1) * SECOND), "10"),
    ],
)
def test_doubtful_senders_and_clocks_are_rejected_and_logged_out(
    message: Message, reason: str
) -> None:
    step = received(active(), message, NOW)
    assert (kinds(step), values(step)[373]) == (["3", "5"], reason)
    assert (step.is_delivered, step.state.phase) == (False, Phase.LEAVING)


def test_clocks_at_the_bound_are_taken() -> None:
    for shift in (-FIX_SENDING_TIME_S_MAX, FIX_SENDING_TIME_S_MAX):
        assert received(active(), said("D", 2, at=NOW + shift * SECOND), NOW).is_delivered


def test_a_message_without_a_number_ends_the_session() -> None:
    for number in ("0", "2147483648"):
        step = received(active(), said("D", 2, t34=number), NOW)
        assert (kinds(step), step.state.phase) == (["5"], Phase.LEAVING)


def test_a_fault_is_rejected_and_uses_up_its_number() -> None:
    faulty = said("D", 2)._replace(fault=Fault(1, 38, "OrderQty is missing"))
    step = received(active(), faulty, NOW)
    assert (kinds(step), step.state.next_in, step.is_delivered) == (["3"], 3, False)
    assert values(step) == {45: "2", 371: "38", 372: "D", 373: "1", 58: "OrderQty is missing"}


# -- session messages -----------------------------------------------------------------------------


def test_a_test_request_is_answered_with_its_word() -> None:
    step = received(active(), said("1", 2, t112="are you there"), NOW)
    assert (kinds(step), values(step)) == (["0"], {112: "are you there"})


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("1", "0", (1, 9)), ("3", "5", (3, 5)), ("9", "9", (9, 9)), ("1", "999999", (1, 9)),
        ("0", "0", None), ("10", "0", None), ("5", "4", None),
    ],
)  # fmt: skip
def test_what_was_sent_is_sent_again(
    first: str, last: str, expected: tuple[int, int] | None
) -> None:
    step = received(active(1, 9), said("2", 2, t7=first, t16=last), NOW)
    assert step.resend == expected
    assert kinds(step) == ([] if expected else ["3"])


def test_a_resend_request_ahead_of_its_number_is_answered_before_the_gap() -> None:
    step = received(active(1, 9), said("2", 7, t7="1", t16="0"), NOW)
    assert (step.resend, kinds(step), step.state.next_in) == ((1, 9), ["2"], 2)
    again = received(step.state, said("2", 8, t7="1", t16="0"), NOW)
    assert (again.resend is not None, again.out) == (True, ())


@pytest.mark.parametrize(("new", "is_taken"), [("2", False), ("3", True), ("90", True)])
def test_gap_fills_go_forward(new: str, is_taken: bool) -> None:
    step = received(active(), said("4", 2, t123="Y", t36=new), NOW)
    assert step.state.next_in == (int(new) if is_taken else 3)
    assert kinds(step) == ([] if is_taken else ["3"])


@pytest.mark.parametrize(("new", "is_taken"), [("1", False), ("2", True), ("90", True)])
def test_a_hard_reset_ignores_its_own_number(new: str, is_taken: bool) -> None:
    step = received(active(), said("4", 77, t36=new), NOW)
    assert step.state.next_in == (int(new) if is_taken else 2)
    assert kinds(step) == ([] if is_taken else ["3"])


def test_a_logout_is_answered_even_ahead_of_its_number() -> None:
    for sequence in (2, 50):
        step = received(active(), said("5", sequence), NOW)
        assert (kinds(step), step.state.phase) == (["5"], Phase.CLOSED)
        assert step.close


def test_our_logout_waits_for_its_answer_and_hears_nothing_else() -> None:
    left = leave(active(), "enough", NOW, 521)
    assert (kinds(left), values(left), left.close) == (["5"], {58: "enough", 20001: "521"}, "")
    deaf = received(left.state, said("D", 2), NOW)
    assert (deaf.is_delivered, deaf.state.next_in, deaf.close) == (False, 2, "")
    answered = received(deaf.state, said("5", 2), NOW)
    assert (answered.state.next_in, bool(answered.close)) == (3, True)
    bound = NOW + FIX_LOGOUT_TIMEOUT_S * SECOND
    assert not ticked(left.state, bound).close
    assert ticked(left.state, bound + 1).close


# -- time -----------------------------------------------------------------------------------------


def test_a_logon_has_its_time() -> None:
    state = open_state("northern", "CARBON", 1, 1, NOW)
    assert not ticked(state, NOW + LOGON_TIMEOUT_S * SECOND).close
    assert ticked(state, NOW + LOGON_TIMEOUT_S * SECOND + 1).close


def test_heartbeats_tests_and_the_end_of_silence() -> None:
    beat = NOW + HEARTBEAT * SECOND
    assert ticked(active(), beat - 1).out == ()
    step = ticked(active(), beat)
    assert kinds(step) == ["0"]
    late = NOW + HEARTBEAT * SECOND * 12 // 10
    assert kinds(ticked(step.state, late)) == []
    tested = ticked(step.state, late + 1)
    assert kinds(tested) == ["1"]
    over = late + 1 + HEARTBEAT * SECOND * 12 // 10
    assert not ticked(tested.state, over).close
    assert ticked(tested.state, over + 1).close == "no answer to a TestRequest"
    heard = received(tested.state, said("0", 2, at=over), over)
    assert (heard.state.tested_ns, ticked(heard.state, over + 1).close) == (0, "")


def test_an_application_message_is_a_heartbeat_too() -> None:
    state, number = numbered(active(), NOW + 20 * SECOND)
    assert (number, state.next_out) == (2, 3)
    assert ticked(state, NOW + HEARTBEAT * SECOND).out == ()


# -- resends --------------------------------------------------------------------------------------


def test_a_resend_gives_what_is_kept_and_fills_the_gaps() -> None:
    kept = [Sent(3, NOW, "8", "x"), Sent(4, NOW, "8", "y"), Sent(7, NOW, "8", "z")]
    answer = [(r.sequence, r.new, r.sent is not None) for r in resent(kept, 1, 9)]
    assert answer == [(1, 3, False), (3, 0, True), (4, 0, True), (5, 7, False), (7, 0, True),
                      (8, 10, False)]  # fmt: skip
    assert [(r.sequence, r.new) for r in resent([], 2, 2)] == [(2, 3)]
    assert [r.sequence for r in resent(kept[:2], 3, 4)] == [3, 4]
