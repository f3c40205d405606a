"""Bytes in and out: what is garbled, what has a fault, that nothing else can come of any bytes."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.settings import FIX_FIELDS_MAX, FIX_GROUP_MAX, FIX_MESSAGE_BYTES_MAX
from gateway.fix.codec import (
    BEGIN_STRING,
    Framer,
    GarbledError,
    Message,
    body_text,
    decode,
    encode,
    plain,
    utc_ns,
    utc_text,
)
from gateway.fix.dictionary import CHECKS, FIELDS, HEADER, MESSAGES, TRAILER

NOW = 1_795_889_259_123_000_000
TIME = utc_text(NOW)
ORDER = "11=one|1=101|55=EUA|54=1|38=10|40=2|44=70.00|60=" + TIME + "|"
HEAD = f"35=D|49=northern|56=CARBON|34=2|52={TIME}|"


def wire(
    body: str, *, begin: str = BEGIN_STRING, length: int | None = None, total: int | None = None
) -> bytes:
    inside = body.replace("|", "\x01").encode("latin-1")
    data = f"8={begin}\x019={len(inside) if length is None else length}\x01".encode() + inside
    return data + b"10=%03d\x01" % (sum(data) % 256 if total is None else total)


def read(body: str) -> Message:
    (found,) = Framer().feed(wire(body))
    assert isinstance(found, bytes)
    return decode(found)


def test_an_order_is_read_and_written_alike() -> None:
    values = [(11, "one"), (1, 101), (55, "EUA"), (54, 1), (38, 10), (40, 2), (44, "70.00")]
    data = encode("D", 2, "northern", "CARBON", NOW, [*values, (60, TIME)])
    assert data == wire(HEAD + ORDER)
    message = decode(data)
    assert message.fault is None
    assert (message.msg_type, message.sequence, message.get(44)) == ("D", 2, "70.00")
    assert not message.is_dup
    again = decode(
        encode("D", 2, "northern", "CARBON", NOW + 1, [*values, (60, TIME)], original_ns=NOW)
    )
    assert (again.is_dup, again.get(122)) == (True, TIME)
    assert again.fault is None


@pytest.mark.parametrize(
    ("body", "reason", "tag"),
    [
        (HEAD + ORDER + "44=70.00|", 13, 44),
        (HEAD + ORDER + "58=|", 2, 58),
        (HEAD + ORDER + "59=|", 4, 59),
        (HEAD + ORDER.replace("38=10|", ""), 1, 38),
        (HEAD.replace("34=2|", "") + ORDER, 1, 34),
        (HEAD + ORDER + "43=Y|", 14, 43),
        (HEAD + ORDER + "31337=x|", 3, 31337),
        (HEAD + ORDER + "31=1|", 2, 31),
        (HEAD + ORDER + "059=0|", 0, 0),
        (HEAD + ORDER + "nonsense|", 0, 0),
        (HEAD + ORDER + "|", 0, 0),
        (HEAD + ORDER + "=x|", 0, 0),
        (HEAD + ORDER + "1234567890=x|", 0, 0),
        (HEAD + ORDER.replace("54=1", "54=3"), 5, 54),
        (HEAD + ORDER.replace("38=10", "38=10.5"), 6, 38),
        (HEAD + ORDER.replace("38=10", "38=-1"), 6, 38),
        (HEAD + ORDER.replace("38=10", "38=²"), 6, 38),
        (HEAD + ORDER.replace("44=70.00", "44=70."), 6, 44),
        (HEAD + ORDER.replace("44=70.00", "44=7e1"), 6, 44),
        (HEAD + ORDER.replace("11=one", "11=ö"), 6, 11),
        (HEAD + ORDER.replace("11=one", "11=a\x02"), 6, 11),
        (HEAD + ORDER.replace(f"60={TIME}", "60=20261301-00:00:00"), 6, 60),
        (HEAD + ORDER + "20002=1x|", 6, 20002),
        (HEAD + ORDER + "59=0|" * FIX_FIELDS_MAX, 99, 0),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_message_is_told(body: str, reason: int, tag: int) -> None:
    fault = read(body).fault
    assert fault is not None
    assert (fault.reason, fault.tag) == (reason, tag), fault


@pytest.mark.parametrize("faulty", [HEAD + "59=|", HEAD.replace("34=2|", "") + "1=1|34=2|"])
def test_a_fault_keeps_the_number_of_its_message(faulty: str) -> None:
    message = read(faulty)
    assert message.fault is not None
    assert message.sequence == 2


def test_a_type_that_is_not_known_is_read_as_far_as_its_header() -> None:
    message = read(HEAD.replace("35=D", "35=ZZ") + "5000=x|11=y|")
    assert (message.msg_type, message.sequence, message.fault) == ("ZZ", 2, None)
    assert 11 not in message.fields
    assert read("35=ZZ|49=a|34=2|34=3|").fault is not None


GROUP = HEAD.replace("35=D", "35=AE") + "571=t|856=0|55=EUA|32=5|31=70|20005=102|"


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        ("552=1|54=1|1=101|", 0),
        ("552=2|54=1|1=101|54=2|1=102|", 0),
        ("552=2|54=1|1=101|", 16),
        ("552=1|54=1|1=101|54=2|1=102|", 16),
        ("552=0|", 16),
        (f"552={FIX_GROUP_MAX + 1}|" + "54=1|1=1|" * (FIX_GROUP_MAX + 1), 16),
        ("552=1|1=101|54=1|", 15),
        ("552=1|54=1|1=101|1=101|", 13),
        ("552=1|54=1|", 1),
        ("552=1|54=7|1=101|", 5),
        ("552=1|54=1|1=|", 4),
        ("552=1|54=1|37=\x7f|1=1|", 6),
        ("", 1),
    ],
)  # fmt: skip
def test_groups_are_counted_and_begin_with_their_first_field(group: str, reason: int) -> None:
    message = read(GROUP + group)
    assert (message.fault.reason if message.fault else 0) == reason, message.fault
    if not reason:
        assert [row[1] for row in message.groups[552]] == ["101", "102"][: len(message.groups[552])]


def test_raw_data_may_hold_the_separator() -> None:
    head = HEAD.replace("35=D", "35=A") + "98=0|108=30|"
    assert read(head + "95=5|96=a|b|c|141=Y|").get(96) == "a\x01b\x01c"
    assert read(head + "95=5|96=a|b|c|141=Y|").get(141) == "Y"
    assert read(head + "95=4|96=a|b|c|").fault is not None
    assert read(head + "95=500|96=abc|").get(96) == "abc"
    assert read(head + "95=x|96=abc|").fault is not None


# -- the stream -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "is_fatal"),
    [
        (wire(HEAD + ORDER, total=257), False),
        (wire(HEAD + ORDER, total=1), False),
        (wire(HEAD + ORDER, length=len(ORDER)), False),
        (wire(HEAD + ORDER).replace(b"\x019=", b"\x0199="), False),
        (wire(HEAD + ORDER).replace(b"\x019=1", b"\x019=0"), False),
        (wire(HEAD + ORDER).replace(b"\x019=1", b"\x019=x"), False),
        (wire(HEAD + ORDER).replace(b"\x019=1", b"\x019=12345678"), False),
        (wire("49=x|35=D|"), False),
        (b"GET / HTTP/1.1\r\n\r\n", False),
        (wire(HEAD + ORDER, begin="FIX.4.2"), True),
        (wire(HEAD + "58=" + "x" * FIX_MESSAGE_BYTES_MAX + "|"), True),
    ],
)  # fmt: skip
def test_garbled_bytes_are_dropped_and_the_next_message_is_read(
    damage: bytes, is_fatal: bool
) -> None:
    good = wire(HEAD + ORDER)
    found = list(Framer().feed(damage + good + good))
    errors = [item for item in found if isinstance(item, GarbledError)]
    assert errors
    assert errors[-1].is_fatal == is_fatal
    assert (good in found) != is_fatal


def test_the_largest_message_is_taken_and_one_byte_more_is_not() -> None:
    room = FIX_MESSAGE_BYTES_MAX - len(wire(HEAD + "58=|")) - 2  # BodyLength has two digits more
    for extra, count in ((0, 1), (1, 0)):
        data = wire(HEAD + "58=" + "x" * (room + extra) + "|")
        assert len(data) == FIX_MESSAGE_BYTES_MAX + extra
        assert [isinstance(item, bytes) for item in Framer().feed(data)] == [bool(count)]


def test_a_stream_in_any_pieces_gives_the_same_messages() -> None:
    stream = (wire(HEAD + ORDER) + wire("35=0|49=a|56=b|34=3|52=" + TIME + "|")) * 3
    whole = list(Framer().feed(stream))
    assert len(whole) == 6
    for size in (1, 2, 7, 50):
        framer = Framer()
        pieces = [stream[place : place + size] for place in range(0, len(stream), size)]
        assert [item for piece in pieces for item in framer.feed(piece)] == whole


# -- any bytes ------------------------------------------------------------------------------------

_tags = st.one_of(st.sampled_from(sorted(FIELDS)), st.integers(0, 10**10))
_text = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=12)
_fields = st.lists(st.tuples(_tags, st.one_of(_text, st.integers(0, 300).map(str))), max_size=20)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(MESSAGES)), _fields)
def test_any_fields_give_a_message_or_a_fault(msg_type: str, fields: list[tuple[int, str]]) -> None:
    body = f"35={msg_type}|" + "".join(f"{tag}={value}|" for tag, value in fields)
    for found in Framer().feed(wire(body)):
        if isinstance(found, GarbledError):
            continue
        message = decode(found)
        assert message.sequence >= 0
        if message.fault is None:
            layout = MESSAGES[msg_type]
            needed = {tag for tag, is_needed in {**HEADER, **layout.members}.items() if is_needed}
            assert needed <= set(message.fields)
            assert all(
                CHECKS[FIELDS[tag].kind](value)
                for tag, value in message.fields.items()
                if tag not in TRAILER
            )


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6), st.integers(1, 40))
def test_any_bytes_give_nothing_but_messages_and_refusals(chunks: list[bytes], size: int) -> None:
    stream = b"8=FIX.4.4\x019=".join([wire(HEAD + ORDER), *chunks])
    framer = Framer()
    started = time.perf_counter()
    for place in range(0, len(stream), size):
        for found in framer.feed(stream[place : place + size]):
            if isinstance(found, bytes):
                decode(found)
    assert time.perf_counter() - started < 1


@given(st.integers(0, 4_102_444_800_000))
def test_times_come_back(milliseconds: int) -> None:
    ns = milliseconds * 1_000_000
    assert utc_ns(utc_text(ns)) == ns
    said = dt.datetime.fromtimestamp(milliseconds // 1_000, dt.UTC)
    assert utc_text(ns).startswith(f"{said:%Y%m%d-%H:%M:%S}.")


def test_times_of_no_day_are_none() -> None:
    assert utc_ns("20260230-00:00:00") == -1
    assert utc_ns("20260228-24:00:00") == -1
    assert utc_ns("") == -1
    assert utc_ns("19700101-00:00:01.5") == 1_500_000_000


@given(st.text(max_size=700))
def test_any_words_fit_a_field(text: str) -> None:
    assert CHECKS["STRING"](plain(text))
    assert body_text([(58, plain(text))]).count("\x01") == 1
