"""FX-01 to FX-26: a raw client over a real socket against a whole gateway, in FIX's own terms."""

from __future__ import annotations

import asyncio

import pytest

from exchange.clock import SystemClock
from exchange.settings import FIX_GARBLED_MAX, FIX_MESSAGE_BYTES_MAX
from gateway.fix import reports, session
from gateway.fix.codec import encode, utc_text
from gateway.fix.member import MemberSession
from gateway.fix.session import SECOND
from gateway.fix.store import FixStore, Numbers, StoreError
from gateway.websocket import disconnects
from tests.gateway.fix.client import VENUE, b64, order
from tests.gateway.fix.conftest import FixHouse


class MovedClock(SystemClock):
    """The machine's clock, moved forward by a test."""

    moved_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.moved_ns


@pytest.fixture
async def quiet(house_made) -> FixHouse:
    """A gateway without an engine: enough for the session layer."""
    return await house_made(with_engine=False, clock=MovedClock())


# -- logon ----------------------------------------------------------------------------------------


async def test_fx01_logon(quiet: FixHouse) -> None:
    broker = quiet.broker()
    answer = await broker.enter(quiet.port)
    assert (answer.sequence, answer.get(108), answer.get(49)) == (1, "30", VENUE)
    broker.say("1", (112, "ping"))
    assert (await broker.take("0")).get(112) == "ping"
    broker.say("5")
    await broker.take("5")
    await broker.over()


async def test_fx02_logons_that_are_turned_away(quiet: FixHouse) -> None:
    other = quiet.keys["huadong"].private
    for wrong, reason in (
        ({"signature": b64(other.sign(b"northern"))}, "511"),
        ({"signature": "no base64"}, "511"),
        ({"sender": "nobody"}, "510"),
        ({"sender": "huadong"}, "511"),
        ({"target": "OTHER"}, "503"),
        ({"number": 7}, "503"),
    ):
        broker = quiet.broker()
        await broker.connect(quiet.port)
        broker.logon(**wrong)
        answer = await broker.take("5")
        assert answer.get(20001) == reason, (wrong, answer)
        await broker.over()
    operator = quiet.broker("operator")
    await operator.connect(quiet.port)
    operator.logon()
    assert (await operator.take("5")).get(20001) == "514"
    first = quiet.broker()
    await first.connect(quiet.port)
    first.say("0")
    assert (await first.take("5")).get(20001) == "510"
    await first.over()
    assert (await quiet.broker().enter(quiet.port)).sequence == 1, "none of them used up a number"


async def test_fx03_a_logon_is_good_once_and_for_a_short_time(quiet: FixHouse) -> None:
    broker = quiet.broker()
    await broker.connect(quiet.port)
    sent: list[bytes] = []
    broker.raw = sent.append  # type: ignore[method-assign]
    broker.logon()
    await broker.connect(quiet.port)
    assert broker.writer is not None
    broker.writer.write(sent[0])
    await broker.take("A")
    broker.cut()
    await settled(lambda: not quiet.fix.connections)
    for moved_s, reason in ((0, "513"), (6, "512")):
        quiet.clock.moved_ns += moved_s * SECOND
        await broker.connect(quiet.port)
        broker.writer.write(sent[0])
        assert (await broker.take("5")).get(20001) == reason
        await broker.over()


async def test_fx04_one_connection_a_session(quiet: FixHouse) -> None:
    broker, second = quiet.broker(), quiet.broker()
    await broker.enter(quiet.port)
    await second.connect(quiet.port)
    second.logon(number=2)
    assert (await second.take("5")).get(20001) == "525"
    broker.say("1", (112, "still here"))
    await broker.take("0")


# -- time -----------------------------------------------------------------------------------------


async def test_fx05_silence(quiet: FixHouse) -> None:
    quiet_one, mute = quiet.broker(), quiet.broker()
    await mute.connect(quiet.port)
    await quiet_one.enter(quiet.port, seconds=10)
    await settled(lambda: len(quiet.fix.connections) == 2)
    for moved_s, expected in ((10, "0"), (3, "1"), (9, "0")):
        quiet.clock.moved_ns += moved_s * SECOND
        quiet.fix.tick()
        await quiet_one.take(expected)
        if moved_s == 10:
            await mute.over()
    quiet.clock.moved_ns += 4 * SECOND
    quiet.fix.tick()
    await quiet_one.over()


async def test_fx06_a_word_ends_the_suspicion(quiet: FixHouse) -> None:
    broker = quiet.broker()
    await broker.enter(quiet.port, seconds=10)
    quiet.clock.moved_ns += 13 * SECOND
    quiet.fix.tick()
    asked = await broker.take("1")
    broker.say("0", (112, asked.get(112)))
    broker.say("1", (112, "x"))
    await broker.take("0")
    quiet.clock.moved_ns += 9 * SECOND
    quiet.fix.tick()
    assert await broker.silent()


# -- numbers --------------------------------------------------------------------------------------


async def test_fx07_gaps_both_ways(quiet: FixHouse) -> None:
    broker = quiet.broker()
    await broker.enter(quiet.port)
    broker.next_out = 5
    broker.say("1", (112, "ahead"))
    assert (await broker.take("2")).get(7) == "2"
    broker.say("4", (123, "Y"), (36, 5), number=2, original_ns=quiet.clock.now_ns())
    broker.repeat(5)
    assert (await broker.take("0")).get(112) == "ahead"
    broker.say("2", (7, 1), (16, 0))
    fill = await broker.take("4")
    assert (fill.sequence, fill.get(36), fill.get(123), fill.is_dup) == (1, "4", "Y", True)
    broker.say("Z")
    unsupported = await broker.take("j")
    assert (unsupported.get(380), unsupported.get(45)) == ("3", "7")
    broker.say("2", (7, 1), (16, 0))
    assert [(await broker.take(kind)).get(36) for kind in "4j"] == ["4", ""]
    again = broker.came[-1]
    assert (again.is_dup, again.sequence, again.get(122)) == (True, 4, unsupported.get(52))


async def test_fx08_low_numbers(quiet: FixHouse) -> None:
    broker = quiet.broker()
    await broker.enter(quiet.port)
    broker.say("1", (112, "a"))
    await broker.take("0")
    broker.repeat(2)
    assert await broker.silent(), "a resend of what was done is ignored"
    broker.say("1", (112, "b"), number=2)
    assert "expected 3, received 2" in (await broker.take("5")).get(58)
    broker.say("5")
    await broker.over()
    await broker.connect(quiet.port)
    broker.logon(number=1)
    assert "MsgSeqNum too low" in (await broker.take("5")).get(58)
    await broker.over()


async def test_fx09_reset(quiet: FixHouse) -> None:
    broker = quiet.broker()
    await broker.enter(quiet.port)
    broker.say("Z")
    await broker.take("j")
    broker.cut()
    await settled(lambda: not quiet.fix.connections)
    broker.next_out = 1
    answer = await broker.enter(quiet.port, (141, "Y"))
    assert (answer.sequence, answer.get(141)) == (1, "Y")
    broker.say("2", (7, 1), (16, 0))
    assert (await broker.take("4")).get(36) == "2", "what was sent before is forgotten"
    broker.next_out = 1
    broker.logon((141, "Y"))
    assert (await broker.take("A")).sequence == 1


async def test_fx10_garbled_bytes_are_ignored(quiet: FixHouse) -> None:
    broker = quiet.broker()
    await broker.enter(quiet.port)
    good = encode("1", 2, broker.key.id, VENUE, quiet.clock.now_ns(), [(112, "good")])
    for damage in (good[:-2] + b"x\x01", good.replace(b"112=good", b"112=gold"), b"noise"):
        broker.raw(damage)
    broker.raw(good)
    assert (await broker.take("0")).get(112) == "good"
    broker.raw(b"noise" + good[:-2] + b"x\x01")
    for _ in range(FIX_GARBLED_MAX):
        broker.raw(good[:-2] + b"x\x01")
    await broker.take("5")
    await broker.over()


async def test_fx11_messages_too_large_or_of_another_version(quiet: FixHouse) -> None:
    for damage in (
        b"8=FIX.4.4\x019=%d\x0135=0\x01" % FIX_MESSAGE_BYTES_MAX,
        b"8=FIX.4.2\x019=5\x0135=0\x0110=161\x01",
    ):
        broker = quiet.broker()
        await broker.enter(quiet.port, (141, "Y"))
        broker.raw(damage)
        await broker.take("5")
        await broker.over()
        await settled(lambda: not quiet.fix.connections)


async def test_fx12_faults_are_rejected_one_by_one(quiet: FixHouse) -> None:
    broker = quiet.broker()
    await broker.enter(quiet.port)
    now = quiet.clock.now_ns()
    for number, (changes, reason, tag) in enumerate(
        (({"t38": None}, "1", "38"), ({"t54": "9"}, "5", "54"), ({"t31": "1"}, "2", "31")), 2
    ):
        broker.say("D", *order("one", now, **changes))
        fault = await broker.take("3")
        assert (fault.get(45), fault.get(373), fault.get(371), fault.get(372)) == (
            str(number), reason, tag, "D",
        )  # fmt: skip
    broker.say("1", (112, "x"), sender="huadong")
    assert (await broker.take("3")).get(373) == "9"
    await broker.take("5")


# -- orders ---------------------------------------------------------------------------------------


async def test_fx13_an_order_from_its_entry_to_its_fills(house: FixHouse, huadong) -> None:
    broker = house.broker()
    await broker.enter(house.port)
    broker.order("one", t44="72.00", t38=10)
    new = await broker.take("8")
    assert [new.get(tag) for tag in (150, 39, 11, 38, 151, 14, 6)] == [
        "0", "0", "one", "10", "10", "0", "0",
    ]  # fmt: skip
    await huadong.new_order("EUA", 102, "SELL", 4, "72.00")
    fill = await broker.take("8")
    assert [fill.get(tag) for tag in (150, 39, 32, 31, 151, 14, 851, 37)] == [
        "F", "1", "4", "72.00", "6", "4", "1", new.get(37),
    ]  # fmt: skip
    assert fill.get(6) == "72.000000"
    now = utc_text(house.clock.now_ns())
    about = [(1, 101), (55, "EUA"), (54, 1), (60, now)]
    broker.say("G", (11, "two"), (41, "one"), *about, (38, 20), (40, 2), (44, "71.00"))
    replaced = await broker.take("8")
    assert [replaced.get(tag) for tag in (150, 11, 41, 38, 44, 151)] == [
        "5", "two", "one", "20", "71.00", "16",
    ]  # fmt: skip
    broker.say("H", (11, "two"), (1, 101), (55, "EUA"), (54, 1), (790, "q1"))
    status = await broker.take("8")
    assert [status.get(tag) for tag in (150, 39, 790, 14)] == ["I", "1", "q1", "4"]
    broker.say("F", (11, "three"), (41, "two"), *about)
    cancelled = await broker.take("8")
    assert [cancelled.get(tag) for tag in (150, 39, 11, 41, 20001)] == [
        "4", "4", "three", "two", "401",
    ]  # fmt: skip
    ids = [m.get(17) for m in broker.came if m.msg_type == "8"]
    assert len(set(ids)) == len(ids) == 5


async def test_fx14_refusals_by_the_engine_and_at_the_edge(house: FixHouse) -> None:
    broker = house.broker()
    await broker.enter(house.port)
    for changes, code, reason in (
        ({"t44": "70.001"}, "0", "506"), ({"t55": "NONE"}, "1", "505"), ({"t38": 0}, "13", "230"),
        ({"t1": 102}, "15", "515"), ({"t1": "x"}, "99", "503"), ({"t38": 10**10}, "3", "231"),
        ({"t40": 1, "t44": None, "t59": 3}, "0", "245"),
    ):  # fmt: skip
        broker.order("bad", **changes)
        refused = await broker.take("8")
        told = [refused.get(tag) for tag in (150, 39, 103, 20001)]
        assert told == ["8", "8", code, reason], (changes, refused)
        assert refused.get(58)
    broker.cancel("c", "nothing")
    reject = await broker.take("9")
    assert [reject.get(tag) for tag in (434, 102, 37, 39, 11, 41)] == [
        "1", "1", "NONE", "8", "c", "nothing",
    ]  # fmt: skip
    broker.say("H", (11, "nothing"), (1, 101), (55, "EUA"), (54, 1))
    unknown = await broker.take("8")
    assert [unknown.get(tag) for tag in (150, 39, 103)] == ["I", "8", "5"]
    broker.say("H", (11, "nothing"), (1, 102), (55, "EUA"), (54, 1))
    assert (await broker.take("j")).get(20001) == "515"


async def test_fx15_the_terms_of_orders(house: FixHouse) -> None:
    broker = house.broker()
    await broker.enter(house.port)
    for label, changes, echoed in (
        ("stop", {"t40": 4, "t99": "75.00", "t44": "75.50"}, {99: "75.00", 40: "4"}),
        ("iceberg", {"t38": 100, "t111": 10}, {111: "10", 38: "100"}),
        ("post", {"t18": "6 K"}, {18: "6 K"}),
        ("reprice", {"t18": "6", "t20003": "Y"}, {18: "6", 20003: "Y"}),
        ("gtd", {"t59": 6, "t432": "20991231"}, {59: "6", 432: "20991231"}),
        ("own", {"t7928": "D"}, {7928: "D"}),
        ("gtc", {"t59": 1, "t38": "10.00"}, {59: "1", 38: "10"}),
    ):
        broker.order(label, **changes)
        report = await broker.take("8")
        assert report.get(150) == "0", (label, report)
        assert {tag: report.get(tag) for tag in echoed} == echoed
    for changes in ({"t18": "Z"}, {"t20003": "Y"}, {"t59": 6, "t432": "20260230"}):
        broker.order("no", **changes)
        assert [(await broker.take("8")).get(20001)] == ["503"]
    now = utc_text(house.clock.now_ns())
    broker.say("q", (11, "all"), (530, 1), (55, "EUA"), (60, now))
    cancelled = [await broker.take("8") for _ in range(7)]
    assert {m.get(150) for m in cancelled} == {"4"}
    report = await broker.take("r")
    assert [report.get(tag) for tag in (11, 531, 533, 336)] == ["all", "1", "7", "EU"]
    broker.say("q", (11, "all2"), (530, 7), (60, now))
    assert {(await broker.take("r")).get(336) for _ in range(2)} == {"EU", "CN"}
    broker.say("q", (11, "all3"), (530, 6), (336, "XX"), (60, now))
    assert (await broker.take("r")).get(531) == "0"


async def test_fx16_quotes_blocks_and_phases(house: FixHouse) -> None:
    broker, other = house.broker(), house.broker("huadong")
    await broker.enter(house.port)
    await other.enter(house.port)
    broker.say("S", (117, "q1"), (1, 101), (55, "EUA"), (132, "70.00"), (134, 5), (133, "74.00"),
               (135, 6))  # fmt: skip
    came = [await broker.next() for _ in range(3)]
    assert sorted(m.msg_type for m in came if m) == ["8", "8", "AI"]
    side = [(54, 2), (1, 101)]
    broker.say("AE", (571, "b1"), (856, 0), (55, "EUA"), (32, 150), (31, "71.00"), (20005, 102),
               (552, 1), *side)  # fmt: skip
    ack = await broker.take("AR")
    assert (ack.get(939), ack.get(571)) == ("0", "b1"), ack
    alleged = await other.take("AE")
    assert [alleged.get(tag) for tag in (856, 572, 32, 31)] == ["1", ack.get(572), "150", "71.00"]
    assert alleged.groups[552] == [{54: "1", 37: ack.get(572), 1: "102"}]
    other.say("AE", (571, "b2"), (856, 2), (572, ack.get(572)), (55, "EUA"), (32, 150),
              (31, "71.00"), (552, 1), (54, 1), (1, 102))  # fmt: skip
    assert (await other.take("AR")).get(939) == "0"
    mine, theirs = await broker.take("8"), await other.take("8")
    assert [m.get(150) + m.get(20007) for m in (mine, theirs)] == ["FBLOCK", "FBLOCK"]
    assert mine.get(527) == theirs.get(527)
    broker.order("list", t55="CEA-2024", t1=201, t54=2, t44="74.00", t38=50)
    listing = await broker.take("8")
    picked = {"t55": "CEA-2024", "t1": 202, "t44": "74.00", "t38": 20}
    other.order("pick", t20004=listing.get(37), **picked)
    new, fill = await other.take("8"), await other.take("8")
    assert [new.get(150), fill.get(150), fill.get(20007)] == ["0", "F", "LISTED"]
    assert (await broker.take("8")).get(151) == "30"
    broker.say("g", (335, "p1"), (263, 1), (336, "EU"))
    (first,) = [await broker.take("h")]
    assert [first.get(tag) for tag in (335, 336, 55, 340, 625)] == [
        "p1", "EU", "EUA", "2", "CONTINUOUS",
    ]  # fmt: skip


# -- restarts -------------------------------------------------------------------------------------


async def test_fx17_a_restart_goes_on_with_the_numbers_and_sends_again(house: FixHouse) -> None:
    broker = house.broker()
    await broker.enter(house.port)
    broker.order("one")
    new = await broker.take("8")
    await house.stop("gateway")
    farewell = await broker.take("5")
    assert farewell.get(58) == "The gateway stops"
    await broker.over()
    await house.open_gateway()
    answer = await broker.enter(house.port)
    assert answer.sequence == farewell.sequence + 1
    broker.say("2", (7, 2), (16, 0))
    again = await broker.take("8")
    assert (again.is_dup, again.sequence, again.get(17)) == (True, new.sequence, new.get(17))
    assert (await broker.take("4")).get(36) == str(answer.sequence + 1)
    broker.cancel("two", "one")
    assert (await broker.take("8")).get(150) == "4"


async def test_fx18_what_happened_meanwhile_is_told_once(house: FixHouse, huadong) -> None:
    broker = house.broker()
    await broker.enter(house.port)
    broker.order("one", t44="72.00")
    new = await broker.take("8")
    broker.cut()
    await settled(lambda: not house.fix.connections)
    await huadong.new_order("EUA", 102, "SELL", 3, "72.00")
    await house.restart()
    assert (await broker.enter(house.port)).sequence == new.sequence + 1
    fill = await broker.take("8")
    assert (fill.get(150), fill.get(32), fill.is_dup) == ("F", "3", False)
    assert await broker.silent()


async def test_fx19_an_order_sent_again_after_a_crash_is_done_once(house: FixHouse) -> None:
    broker = house.broker()
    await broker.enter(house.port)
    number = broker.order("one")
    new = await broker.take("8")
    broker.cut()
    await house.stop("gateway")
    store = FixStore(house.settings.data / "fix.sqlite")
    kept = store.load("northern")
    assert kept is not None
    assert kept.next_in == number + 1
    store.save("northern", kept._replace(next_in=number), [])  # as if it had not got so far
    store.close()
    before = await house.ends()
    await house.open_gateway()
    await broker.enter(house.port)
    assert (await broker.take("2")).get(7) == str(number)
    broker.repeat(number)
    broker.say("4", (123, "Y"), (36, broker.next_out), number=number + 1,
               original_ns=house.clock.now_ns())  # fmt: skip
    again = await broker.take("8")
    assert [again.get(tag) for tag in (150, 39, 11, 37)] == ["I", "0", "one", new.get(37)]
    assert [after - was for after, was in zip(await house.ends(), before, strict=True)] == [1, 0]
    views = house.gateway.context.views
    assert len(views["EU"].reports.orders) == 1


async def test_fx20_an_order_that_is_too_old_when_it_comes_is_not_entered(house: FixHouse) -> None:
    broker = house.broker()
    await broker.enter(house.port)
    past = house.clock.now_ns() - 6 * SECOND
    broker.say("D", *order("late", past), original_ns=past)
    refused = await broker.take("8")
    assert [refused.get(tag) for tag in (150, 103, 20001)] == ["8", "8", "112"]
    broker.say("D", *order("later", past, t20002=0), original_ns=past)
    assert (await broker.take("8")).get(150) == "0"


async def test_fx21_a_store_that_fails_ends_the_connection_and_nothing_is_lost(
    house: FixHouse, monkeypatch
) -> None:
    broker = house.broker()
    await broker.enter(house.port)

    def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(FixStore, "save", fail)
        number = broker.order("one")
        with pytest.raises((ConnectionError, AssertionError)):
            await broker.take("8")
    await settled(lambda: not house.fix.connections)
    await broker.enter(house.port)
    came = [await broker.next() for _ in range(2)]
    assert {m.msg_type for m in came if m} == {"8", "2"}
    broker.repeat(number)
    assert (await broker.take("8")).get(11) == "one"
    assert len(house.gateway.context.views["EU"].reports.orders) == 1


async def test_fx22_orders_end_with_the_connection_where_the_logon_says_so(
    house: FixHouse, monkeypatch
) -> None:
    monkeypatch.setattr(disconnects, "DISCONNECT_GRACE_S", 0.02)
    broker = house.broker()
    reports = house.gateway.context.views["EU"].reports
    for scope, count in (("N", 1), ("S", 0)):
        await broker.enter(house.port, (8013, scope))
        broker.order(f"of-{scope}")
        while (await broker.take("8")).get(11) != f"of-{scope}":
            pass
        broker.cut()
        await settled(
            lambda count=count: len(reports.orders) == count and not house.fix.connections
        )
        await asyncio.sleep(0.05)
        assert len(reports.orders) == count
    await broker.enter(house.port)
    told = [await broker.take("8") for _ in range(2)]
    assert [m.get(150) for m in told] == ["4", "4"]


async def test_fx23_a_report_that_comes_before_the_log_has_answered_waits_for_it(
    house: FixHouse, monkeypatch
) -> None:
    taken = MemberSession._taken

    def late(*arguments: object) -> None:
        asyncio.get_running_loop().call_later(0.1, taken, *arguments)

    monkeypatch.setattr(MemberSession, "_taken", late)
    broker = house.broker()
    await broker.enter(house.port)
    broker.order("one")
    await broker.take("8")
    broker.cancel("two", "one")
    cancelled = await broker.take("8")
    assert (cancelled.get(11), cancelled.get(41)) == ("two", "one")


async def test_fx24_a_drop_copy_hears_everything_and_asks_for_nothing(
    house: FixHouse, northern
) -> None:
    risk = house.broker()
    await risk.enter(house.port, (9406, "Y"))
    order_id = (await northern.new_order("EUA", 101, "BUY", 5, "60.00")).order_id
    new = await risk.take("8")
    assert (new.get(150), new.get(37)) == ("0", str(order_id))
    risk.order("one")
    refused = await risk.take("8")
    assert (refused.get(150), refused.get(20001)) == ("8", "514")
    risk.cancel("two", "one")
    assert (await risk.take("9")).get(20001) == "514"
    assert len(house.gateway.context.views["EU"].reports.orders) == 1


async def test_fx25_a_session_that_breaks_takes_nothing_else_with_it(
    house: FixHouse, huadong, monkeypatch
) -> None:
    broker, other = house.broker(), house.broker("huadong")
    await broker.enter(house.port)
    await other.enter(house.port)

    def broken(*_: object) -> None:
        raise KeyError("a word that is not known")

    with monkeypatch.context() as patch:
        patch.setattr(reports, "told", broken)
        broker.order("one")
        await broker.over()
        patch.setattr(session, "ticked", broken)
        house.fix.tick()
        await other.over()
    assert (await huadong.new_order("EUA", 102, "SELL", 1, "90.00")).order_status == "NEW"
    await broker.enter(house.port)
    assert (await broker.take("2")).get(7) == "2", "nothing says that it was answered"
    assert (await broker.take("8")).get(11) == "one"


def test_fx26_one_gateway_holds_the_file(tmp_path) -> None:
    path = tmp_path / "fix.sqlite"
    store = FixStore(path)
    store.save("a", Numbers(1, 2, 3, {"EU": 4}), [])
    with pytest.raises(OSError, match="another gateway"):
        FixStore(path)
    store.close()
    again = FixStore(path)
    assert again.load("a") == Numbers(1, 2, 3, {"EU": 4})
    again.close()
    (tmp_path / "other").write_text("no database, and long enough to be seen as none")
    with pytest.raises(OSError, match="not a database"):
        FixStore(tmp_path / "other")


async def test_fx27_no_order_stays_because_a_drop_copy_is_there(
    house: FixHouse, monkeypatch
) -> None:
    monkeypatch.setattr(disconnects, "DISCONNECT_GRACE_S", 0.02)
    broker, risk = house.broker("yangtze"), house.broker("deputy")
    await risk.enter(house.port, (9406, "Y"))
    await broker.enter(house.port, (8013, "P"))
    broker.order("one", t1=103)
    assert (await broker.take("8")).get(150) == "0"
    broker.cut()
    told = [await risk.take("8") for _ in range(2)]
    assert [m.get(150) for m in told] == ["0", "4"]


async def settled(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)
