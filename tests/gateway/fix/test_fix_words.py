"""Words both ways: every reason has FIX's, every order word comes back, nothing unsaid is sent."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.docs import generate
from exchange.messages.executions import EXEC_TYPES, ORDER_STATUSES, ExecutionReport
from exchange.messages.orders import (
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderRequest,
    OrderTypeWord,
    SelfTradeWord,
    TimeInForceWord,
)
from exchange.messages.reasons import REASONS, EdgeReason, Reason
from exchange.reference.venue import Market, load_venue
from gateway.entry.order_commands import ORDER_TYPE, PACKERS, SELF_TRADE, TIME_IN_FORCE
from gateway.fix import reports, requests
from gateway.fix.codec import Message, decode, encode
from gateway.fix.days import TradeDays
from gateway.fix.dictionary import BY_NAME, FIELDS, HEADER, MESSAGES, TRAILER
from gateway.fix.refusals import BUSINESS_REJECT, CANCEL_REJECT, ORDER_REJECT, codes
from gateway.fix.reports import Asked, Said
from gateway.refusal import Refused

NOW = 1_795_889_259_123_000_000
REPORT = ExecutionReport(
    "EU", 101, "NEW", "NEW", sequence=7, request_id=65_536, order_id=65_536,
    client_order_id="one", symbol="EUA", side="BUY", order_type="LIMIT", time_in_force="DAY",
    order_quantity=10, leaves_quantity=10, price="70.00", transact_time_ns=NOW,
)  # fmt: skip


def message(msg_type: str, **fields: str) -> Message:
    own = {int(name[1:]): value for name, value in fields.items()}
    common = {11: "two", 41: "one", 1: "101", 55: "EUA", 54: "1", 38: "10", 40: "2", 44: "70.00"}
    return Message(msg_type, {**common, 34: "9", **own}, {552: [{54: "1", 1: "101"}]})


def asked(msg_type: str, **fields: str) -> Asked:
    return Asked(9, NOW + 9, message(msg_type, **fields), "EU")


def changed(**changes: object) -> ExecutionReport:
    return msgspec.structs.replace(REPORT, **changes)


def read(said: Said | None) -> Message:
    """What the other side reads: our own table finds no fault in what we send."""
    assert said is not None
    back = decode(encode(said.msg_type, 1, "CARBON", "northern", NOW, said.values))
    assert back.fault is None, (back.fault, said)
    return back


# -- the table ------------------------------------------------------------------------------------


def test_every_reason_has_its_codes() -> None:
    assert set(ORDER_REJECT) == set(CANCEL_REJECT) == set(BUSINESS_REJECT) == set(REASONS)
    for table, tag in ((ORDER_REJECT, 103), (CANCEL_REJECT, 102), (BUSINESS_REJECT, 380)):
        assert {str(code) for code in table.values()} <= set(FIELDS[tag].values)
    assert codes(Reason.UNKNOWN_ORDER) == (5, 1, 0)
    assert codes(Reason.EXPIRED).order == 8
    assert codes(999_999) == (99, 99, 0)
    engine = [r for r in Reason if 200 <= REASONS[r].number < 300]
    assert sum(ORDER_REJECT[r] != 99 for r in engine) > len(engine) * 2 // 3


def test_the_dictionary_is_whole() -> None:
    assert len(BY_NAME) == len(FIELDS)
    for layout in MESSAGES.values():
        for group in layout.groups.values():
            assert FIELDS[group.count_tag].kind == "NUMINGROUP"
            assert group.count_tag not in layout.members
        tags = {*layout.members, *(t for g in layout.groups.values() for t in g.members)}
        assert tags <= set(FIELDS)
        assert not set(layout.members) & {*HEADER, *TRAILER}
    assert generate.PAGES["FIX44-carbon.xml"]() == (generate.HERE / "FIX44-carbon.xml").read_text(
        "utf-8"
    )


def test_every_word_of_the_venue_has_its_value() -> None:
    for words, values, names in (
        (OrderTypeWord, requests.ORDER_TYPE, ORDER_TYPE),
        (TimeInForceWord, requests.TIME_IN_FORCE, TIME_IN_FORCE),
        (SelfTradeWord, requests.SELF_TRADE, SELF_TRADE),
    ):
        said = {word for word in words.__args__ if word}
        assert set(values.values()) == said
        assert said <= set(names)
    assert set(requests.ORDER_TYPE) == set(FIELDS[40].values)
    assert set(requests.TIME_IN_FORCE) == set(FIELDS[59].values)
    assert set(reports.ORDER_STATUS) == {*ORDER_STATUSES, ""}
    told_otherwise = {"PENDING", "MASS_CANCELLED", "QUOTED", "BLOCK_PROPOSED"}
    assert set(reports.EXEC_TYPE) == set(EXEC_TYPES) - told_otherwise


# -- in -------------------------------------------------------------------------------------------


def made(kind: str, **fields: str) -> OrderRequest:
    (request,) = requests.TRANSLATORS[kind](message(kind, **fields), 77, ["CN", "EU"])
    return request


def test_requests_carry_what_was_said() -> None:
    assert made("D") == NewOrderSingle(
        ref=77, symbol="EUA", account=101, side="BUY", quantity="10", price="70.00",
        client_order_id="two",
    )  # fmt: skip
    assert made("G", t37="123", t38="12.00", t20002="0") == OrderCancelReplaceRequest(
        ref=77, symbol="EUA", account=101, quantity="12", price="70.00", order_id=123,
        client_order_id="two", valid_ms=0,
    )  # fmt: skip
    assert len(requests.mass_cancel(message("q", t530="7", t55=""), 77, ["CN", "EU"])) == 2


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("D", {"t1": "1e3"}), ("D", {"t18": "6 Z"}), ("D", {"t20003": "Y"}),
        ("D", {"t432": "20270229"}), ("D", {"t20004": "x"}), ("F", {"t37": "-1"}),
        ("q", {"t530": "6", "t336": "XX"}),
        ("AE", {"t856": "1", "t572": "5"}), ("AE", {"t856": "2"}), ("AE", {"t856": "0"}),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(kind: str, fields: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        made(kind, **fields)
    assert refused.value.row.number == EdgeReason.INVALID_FIELD


def test_what_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(Refused) as refused:
        made("q", t530="1", t55="")
    assert refused.value.row.number == EdgeReason.MISSING_FIELD
    assert codes(EdgeReason.MISSING_FIELD).business == 5  # CONDITIONALLY_REQUIRED_FIELD_MISSING


def test_a_block_has_one_side() -> None:
    two = message("AE", t856="0")._replace(groups={552: [{54: "1", 1: "1"}, {54: "2", 1: "2"}]})
    with pytest.raises(Refused):
        requests.block(two, 77, ["EU"])


_VALUES = {
    "STRING": st.one_of(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1,
                                max_size=20), st.integers(0, 10**20).map(str)),
    "CHAR": st.sampled_from("0123456789AZ"),
    "INT": st.integers(0, 10**18 - 1).map(str),
    "BOOLEAN": st.sampled_from("YN"),
    "QTY": st.one_of(st.integers(0, 10**19 - 1).map(str), st.just("5.00")),
    "PRICE": st.from_regex(r"\A-?[0-9]{1,19}(\.[0-9]{1,19})?\Z"),
    "UTCTIMESTAMP": st.just("20260230-23:59:60.123456789"),
    "LOCALMKTDATE": st.sampled_from(["20261231", "00000101", "20260231", "99991231"]),
    "MULTIPLEVALUESTRING": st.sampled_from(["6", "K", "6 K", "K K", "Z"]),
}  # fmt: skip


def value_of(tag: int) -> st.SearchStrategy[str]:
    field = FIELDS[tag]
    words = field.values and field.kind != "MULTIPLEVALUESTRING"
    return st.sampled_from(sorted(field.values)) if words else _VALUES[field.kind]


@st.composite
def client_messages(draw: st.DrawFn) -> bytes:
    layout = MESSAGES[draw(st.sampled_from(sorted(requests.TRANSLATORS)))]
    values = [
        (tag, draw(value_of(tag)))
        for tag, is_required in layout.members.items()
        if is_required or draw(st.booleans())
    ]
    for group in layout.groups.values():
        rows = draw(st.integers(1, 2))
        values.append((group.count_tag, str(rows)))
        values += [(tag, draw(value_of(tag))) for _ in range(rows) for tag in group.members]
    return encode(layout.msg_type, 9, "northern", "CARBON", NOW, values)


@settings(max_examples=150, deadline=None)
@given(client_messages())
def test_any_message_that_fits_the_table_becomes_commands_or_a_refusal(data: bytes) -> None:
    asked_for = decode(data)
    assert asked_for.fault is None, asked_for
    said: Refused | None = None
    try:
        made_of = requests.TRANSLATORS[asked_for.msg_type](asked_for, 77, ["CN", "EU"])
        for request in made_of:
            pack = PACKERS.get(type(request))
            if pack is not None:
                who = {"session_id": 1, "ref": 77, "account_id": 1, "instrument_id": 1}
                assert pack(request, who, Market("EU", 0, "EUR"))
    except Refused as refused:
        said = refused
    assert said is None or read(reports.refused_at_the_edge(asked_for, said, 77)).get(20001)


def test_a_fill_tells_its_days_as_settlement_counts_them() -> None:
    venue = load_venue(generate.HERE.parent / "venue" / "demo.toml")
    eua = msgspec.structs.replace(venue.instrument[0], settlement_cycle="T+1")
    venue = msgspec.structs.replace(
        venue,
        instrument=(eua, *venue.instrument[1:]),
        market=(msgspec.structs.replace(venue.market[0], holidays=(dt.date(2026, 11, 30),)),
                *venue.market[1:]),
    )  # fmt: skip
    days = TradeDays(venue)
    friday = int(dt.datetime(2026, 11, 27, 23, 30, tzinfo=dt.UTC).timestamp()) * 10**9
    fill = changed(exec_type="TRADE", last_quantity=3, last_price="70.00", transact_time_ns=friday)
    for report, traded, settled in (
        (fill, "20261128", "20261201"),  # in Berlin it is Saturday; Monday is a holiday
        (msgspec.structs.replace(fill, symbol="CCER"), "20261128", "20261128"),  # at once
    ):
        said = read(reports.told(report, None, days.of(report)))
        assert (said.get(75), said.get(64)) == (traded, settled)
    assert days.of(REPORT) is None


# -- out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exec_type", EXEC_TYPES)
@pytest.mark.parametrize("kind", ["", "D", "F", "G", "q", "S", "AE"])
def test_every_report_to_every_request_can_be_read(exec_type: str, kind: str) -> None:
    if exec_type == "PENDING":
        return
    whole = changed(
        exec_type=exec_type, reason=206, title="UNKNOWN_ORDER", text="Zu spät\n", fee="0.10",
        last_quantity=5, last_price="70.00", trade_id=6, liquidity="MAKER", trade_method="BOOK",
        stop_price="71.00", display_quantity=1, minimum_quantity=2, expire_date="2026-12-31",
        post_only="REPRICE", self_trade_prevention="DECREMENT", is_persistent=False,
    )  # fmt: skip
    request = asked(kind, t117="q", t530="1", t571="b", t856="0", t572="5") if kind else None
    said = reports.told(whole, request)
    if said is None:
        answers_nobody = exec_type in (
            "REJECTED", "ORDER_STATUS", "RESTATED", "MASS_CANCELLED", "QUOTED",
        )  # fmt: skip
        assert (answers_nobody and not kind) or (exec_type == "BLOCK_PROPOSED" and kind)
        return
    assert read(said).get(20001) == ("" if exec_type == "BLOCK_PROPOSED" else "206")


def test_the_sides_of_a_quote_name_it() -> None:
    answer = read(reports.told(changed(exec_type="QUOTED", order_id=9), asked("S", t117="q")))
    assert (answer.get(117), answer.get(20025)) == ("q", "9")
    side = read(reports.told(changed(order_id=9 + 32_768, quote_id=9), None))
    assert (side.get(37), side.get(20025)) == ("32777", "9")


def test_a_cancel_is_told_under_its_own_id() -> None:
    done = changed(exec_type="CANCELLED", order_status="CANCELLED", leaves_quantity=0, reason=401)
    mine = read(reports.told(done, asked("F")))
    assert (mine.get(11), mine.get(41), mine.get(150)) == ("two", "one", "4")
    other = read(reports.told(done, None))
    assert (other.get(11), other.get(41)) == ("one", "")
    expired = read(reports.told(changed(exec_type="CANCELLED", reason=int(Reason.DAY_ENDED)), None))
    assert (expired.get(150), expired.get(39)) == ("C", "C")


def test_refusals_of_other_doors_are_not_told() -> None:
    """Else a cancel that REST refused would look like the end of the order it named."""
    assert reports.told(changed(exec_type="REJECTED", order_status="REJECTED"), None) is None


@pytest.mark.parametrize("kind", ["D", "F", "G", "q", "S", "AE", "H", "g", "e"])
@pytest.mark.parametrize("reason", [EdgeReason.THROTTLED, EdgeReason.STATUS_UNKNOWN])
def test_every_refusal_at_the_edge_can_be_read(kind: str, reason: EdgeReason) -> None:
    request = message(kind, t117="q", t530="1", t571="b", t856="0", t572="5")
    back = read(reports.refused_at_the_edge(request, Refused(reason, "grüße"), 5, "EU"))
    assert back.get(20001) == str(int(reason))
    if reason == EdgeReason.STATUS_UNKNOWN:
        assert back.msg_type == "j", "what may stand on the log is not called rejected"


def test_answers_of_the_gateway_alone_can_be_read() -> None:
    assert read(reports.unsupported(message("ZZ"))).get(380) == "3"
    assert read(reports.unknown_status(message("H", t790="q"), 5)).get(790) == "q"
    assert read(reports.session_status("EU", "EUA", "HALT", "")).get(340) == "1"
    news = Message("B", {}, {})
    said = reports.reports_forgotten("EU", 9)
    news = decode(encode(said.msg_type, 1, "CARBON", "northern", NOW, said.values))
    assert (news.fault, news.groups[33][0][58][:13]) == (None, "Reports of EU")


def test_which_report_is_the_last_word() -> None:
    assert reports.is_answer(REPORT, asked("D"))
    assert not reports.is_answer(changed(exec_type="CANCELLED"), asked("q"))
    assert reports.is_answer(changed(exec_type="MASS_CANCELLED"), asked("q"))
    assert not reports.is_answer(REPORT, asked("S"))
    assert reports.is_answer(changed(exec_type="QUOTED"), asked("S"))
