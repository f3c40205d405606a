"""What operators do: one may stop, two are needed to let go, and the log keeps who and why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from exchange.audit import verify
from exchange.clock import SystemClock
from exchange.engine.bootstrap import bootstrap
from exchange.messages.executions import OperationReport
from exchange.messages.frames import Parameter
from exchange.messages.operations import (
    Approve,
    CashDeposit,
    DayRoll,
    Decline,
    Halt,
    Kill,
    Lift,
    PhaseChange,
    ReferencePrice,
    Resume,
    SetLimit,
)
from exchange.messages.orders import NewOrderSingle
from exchange.messages.reasons import AccessReason, EdgeReason, Reason
from exchange.reference.venue import DECISION_SESSION, Key
from exchange.settings import PROPOSAL_S_MAX
from gateway.client import Client, RefNotTakenError, VenueError, generate_key
from gateway.control.operations import HALT_LEAP
from gateway.control.persons_audit import PersonsAudit
from gateway.replies.control import ActList, ProposalList
from gateway.replies.limits import LimitsReply
from tests.gateway.conftest import House, demo_venue

one_venue = pytest.mark.asyncio(loop_scope="module")
SECOND = 10**9
PATHS: dict[type[msgspec.Struct], str] = {
    Halt: "halt", Resume: "resume", Kill: "kill", Lift: "lift", SetLimit: "limit",
    Approve: "approve", Decline: "decline", CashDeposit: "cash-deposit", PhaseChange: "phase",
    ReferencePrice: "reference-price", DayRoll: "day-roll",
}  # fmt: skip


class Clock(SystemClock):
    """The machine's clock, moved forward by hand."""

    ahead = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One venue for all: each test leaves its market open and its participant free."""
    venue, keys = demo_venue()
    more = []
    for number, (name, person) in enumerate((("second", "Li"), ("third", "Li"))):
        keys[name] = generate_key(name)
        public = keys[name].public_key
        more.append(Key(name, 1, "operator", 1_901 + number, public, person=person))
    made = House(
        tmp_path_factory.mktemp("venue"),
        msgspec.structs.replace(
            venue,
            key=(*venue.key, *more),
            market=tuple(
                msgspec.structs.replace(item, deposit_alone_max=500_000_000)
                if item.code == "CN"
                else item
                for item in venue.market
            ),
        ),
        keys,
        Clock(),
    )
    await made.start()
    await made.endow()
    try:
        yield made
    finally:
        await made.close()


class Desk:
    """An operator's client, by short words."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def do(self, kind: type[Any], **fields: Any) -> OperationReport:
        of_market = {} if kind is ReferencePrice else {"market": "EU"}
        body = kind(ref=0, **{**of_market, "reason": "a test", **fields})
        return await self.client.operate(f"/operations/{PATHS[kind]}", body)

    async def refused(self, kind: type[Any], **fields: Any) -> int:
        with pytest.raises(VenueError) as refused:
            await self.do(kind, **fields)
        return refused.value.reason

    async def proposals(self, market: str = "EU") -> list[int]:
        reply = await self.client.rest.get("/operations/proposals", ProposalList, market=market)
        return [row.proposal_id for row in reply.proposals]


@pytest_asyncio.fixture(loop_scope="module")
async def first(house: House) -> AsyncIterator[Desk]:
    async with house.client("operator") as client:
        yield Desk(client)


@pytest_asyncio.fixture(loop_scope="module")
async def second(house: House) -> AsyncIterator[Desk]:
    async with house.client("second") as client:
        yield Desk(client)


async def phase_of(client: Client, symbol: str = "EUA") -> str:
    return next(row.phase for row in (await client.phases()).phases if row.symbol == symbol)


@one_venue
async def test_one_halts_a_market_and_two_resume_it(
    house: House, first: Desk, second: Desk
) -> None:
    halted = await first.do(Halt, reason="news")
    assert (halted.status, halted.events) == ("DONE", 1)
    await house.until(lambda: house.gateway.context.views["EU"].acts.market_halt > 0)
    for phase in ("CONTINUOUS", "OPENING_CALL"):
        for symbol in ("", "EUA"):
            reason = await first.refused(PhaseChange, phase=phase, symbol=symbol)
            assert reason == AccessReason.TWO_PERSONS_NEEDED
    one = await first.do(Resume, symbol="EUA")
    assert one.status == "PROPOSED"  # not by its parts either
    wanted = await first.do(Resume, reason="calm")
    assert (wanted.status, wanted.proposal_id) == ("PROPOSED", wanted.request_id)
    await house.until(lambda: second_sees(house, wanted.proposal_id))
    assert (await second.proposals())[-2:] == [one.proposal_id, wanted.proposal_id]
    assert await first.refused(Approve, proposal_id=wanted.proposal_id) == (
        AccessReason.SAME_PERSON_APPROVES
    )
    assert await phase_of(first.client) == "HALT"
    done = await second.do(Approve, proposal_id=wanted.proposal_id)
    assert (done.status, done.proposal_id) == ("DONE", wanted.proposal_id)
    assert await phase_of(first.client) == "CONTINUOUS"
    await house.until(lambda: house.gateway.context.views["EU"].acts.market_halt == 0)
    assert await second.refused(Approve, proposal_id=wanted.proposal_id) == (
        AccessReason.PROPOSAL_OVER
    )


def second_sees(house: House, proposal_id: int) -> bool:
    return proposal_id in house.gateway.context.views["EU"].acts.proposals


@one_venue
async def test_one_instrument_is_resumed_by_one_person_and_only_out_of_a_halt(
    house: House, first: Desk
) -> None:
    assert (await first.do(Halt, market="CN", symbol="CCER")).status == "DONE"
    await house.until(lambda: halted(house, 21))
    assert (await first.do(Resume, market="CN", symbol="CCER")).status == "DONE"
    await house.until(lambda: not halted(house, 21))
    assert await first.refused(Resume, market="CN", symbol="CCER") == (
        Reason.PHASE_TRANSITION_REFUSED
    )
    assert await first.refused(Halt, market="CN", symbol="EUA") == EdgeReason.INVALID_FIELD


def halted(house: House, instrument: int) -> bool:
    found = house.gateway.context.views["CN"].positions.instruments[instrument]
    return found.phase.name == "HALT"


@one_venue
async def test_every_phase_is_reached_and_a_call_ends_at_random(house: House, first: Desk) -> None:
    for phase in ("VOLATILITY_CALL", "CLOSING_CALL", "CLOSED", "START_OF_DAY", "OPENING_CALL"):
        assert (await first.do(PhaseChange, phase=phase)).status == "DONE"
        assert await phase_of(first.client) == phase
    ending = await first.do(PhaseChange, phase="CONTINUOUS", seed=-7)
    assert (ending.status, await phase_of(first.client)) == ("DONE", "OPENING_CALL")
    await first.do(PhaseChange, phase="CONTINUOUS")
    assert await phase_of(first.client) == "CONTINUOUS"


@pytest.mark.parametrize("what", ["participant", "account", "session"])
@one_venue
async def test_a_kill_ends_every_order_and_two_lift_it(
    house: House, first: Desk, second: Desk, what: str
) -> None:
    async with house.client("northern") as northern:
        for price in ("60.00", "61.00"):
            await northern.new_order("EUA", 101, "BUY", 5, price)
        session = house.gateway.context.identities.ring.find("northern").session
        named = {what: {"participant": 2, "account": 101, "session": session}[what]}
        killed = await first.do(Kill, reason="it runs away", **named)
        assert (killed.status, killed.text) == ("DONE", "2 live orders were cancelled")
        await house.until(lambda: killed_is_read(house, killed.request_id))
        assert await northern.orders() == []
        wanted = AccessReason.SESSION_KILLED if what == "session" else Reason.ACCOUNT_SUSPENDED
        for _ in range(2):
            with pytest.raises(VenueError) as stopped:
                await northern.new_order("EUA", 101, "BUY", 5, "60.00")
            assert stopped.value.reason == wanted
        with pytest.raises(VenueError) as nothing:  # a cancel is heard
            await northern.cancel_order("EUA", 101, order_id=65_536 * 10**6)
        assert nothing.value.reason == Reason.UNKNOWN_ORDER
        lift = await first.do(Lift, **named)
        assert lift.status == "PROPOSED"
        with pytest.raises(VenueError):
            await northern.new_order("EUA", 101, "BUY", 5, "60.00")
        await house.until(lambda: second_sees(house, lift.proposal_id))
        await second.do(Approve, proposal_id=lift.proposal_id)
        await house.until(lambda: not house.gateway.context.views["EU"].acts.killed_sessions)
        free = await northern.new_order("EUA", 101, "BUY", 5, "60.00", time_in_force="IOC")
        assert free.exec_type == "CANCELLED"


def killed_is_read(house: House, position: int) -> bool:
    return any(row.position == position for row in house.gateway.context.views["EU"].acts.rows)


@one_venue
async def test_a_kill_under_an_old_number_does_nothing_at_all(
    house: House, first: Desk, second: Desk
) -> None:
    """The cancels of a kill go with its switch: both are done, or neither."""
    acts = house.gateway.context.views["EU"].acts
    async with house.client("northern") as client:
        order = await client.new_order("EUA", 101, "BUY", 10, "60.00")
        done = await first.do(Kill, participant=4)
        before = len(acts.rows)
        for body in (
            Kill(market="EU", participant=2, reason="another", ref=done.ref),
            Kill(market="EU", account=101, reason="another", ref=done.ref),
        ):
            with pytest.raises(RefNotTakenError, match="Nothing was done"):
                await first.client.rest.call(
                    "POST", "/operations/kill", OperationReport, body=body, query={"wait_ms": 5_000}
                )
        assert [row.order_id for row in await client.orders("EU")] == [order.order_id]
        assert len(acts.rows) == before
        await client.cancel_order("EUA", 101, order_id=order.order_id)
    lift = await first.do(Lift, participant=4)
    await house.until(lambda: second_sees(house, lift.proposal_id))
    assert (await second.do(Approve, proposal_id=lift.proposal_id)).status == "DONE"


@one_venue
async def test_a_limit_is_tightened_by_one_and_loosened_by_two(
    house: House, first: Desk, second: Desk
) -> None:
    band = {"parameter": "BAND_BP", "symbol": "CCER", "market": "CN"}
    view = house.gateway.context.views["CN"]
    tight = await first.do(SetLimit, value=500, **band)
    assert tight.status == "DONE"
    await house.until(lambda: view.positions.instruments[21].parameters[5] == 500)
    market = house.venue.market_of("CN")
    assert await bootstrap(house.log, house.venue, market, house.clock) == 0  # it stays
    for looser in (501, 0):
        wide = await first.do(SetLimit, value=looser, **band)
        assert wide.status == "PROPOSED"
        assert view.positions.instruments[21].parameters[5] == 500
    await house.until(lambda: wide.proposal_id in view.acts.proposals)
    await second.do(Approve, market="CN", proposal_id=wide.proposal_id)
    await house.until(lambda: view.positions.instruments[21].parameters[5] == 0)
    assert await first.refused(SetLimit, value=1, parameter="BAND_BP") == EdgeReason.INVALID_FIELD
    assert (
        await first.refused(SetLimit, value=-1, parameter="BAND_BP", symbol="EUA")
        == EdgeReason.INVALID_FIELD
    )
    assert (  # the engine judges values
        await first.refused(SetLimit, value=0, parameter="QUANTITY_MAX", symbol="EUA")
        == Reason.PARAMETER_OUT_OF_RANGE
    )


@one_venue
async def test_blocks_picks_and_random_ends_are_limits_too(
    house: House, first: Desk, second: Desk
) -> None:
    known = house.gateway.context.views["EU"].positions.instruments[1].parameters
    outside = Reason.PARAMETER_OUT_OF_RANGE
    for word, tight, loose, senseless, wanted in (
        ("BLOCK_QUANTITY_MIN", 500, 400, 10**10 + 1, outside), ("PICK_LEVELS", 3, 4, 0, outside),
        ("PICK_OLDEST", 1, 0, 2, outside), ("RANDOM_END_MS", 40_000, 0, 86_400_001, outside),
        ("BLOCK_OPEN", 0, 1, -1, EdgeReason.INVALID_FIELD),
    ):  # fmt: skip
        parameter = Parameter[word]
        done = await first.do(SetLimit, parameter=word, value=tight, symbol="EUA")
        assert done.status == "DONE"
        await house.until(lambda p=parameter, v=tight: known[p] == v)
        wide = await first.do(SetLimit, parameter=word, value=loose, symbol="EUA")
        assert (wide.status, known[parameter]) == ("PROPOSED", tight)
        await house.until(lambda number=wide.proposal_id: second_sees(house, number))
        await second.do(Approve, proposal_id=wide.proposal_id)
        await house.until(lambda p=parameter, v=loose: known[p] == v)
        refused = await first.refused(
            SetLimit, parameter=word, value=senseless, symbol="EUA"
        )  # the engine judges values
        assert refused == wanted
        assert await first.refused(SetLimit, parameter=word, value=1) == EdgeReason.INVALID_FIELD


@one_venue
async def test_limits_of_accounts_and_participants_reach_the_engine(
    house: House, first: Desk
) -> None:
    async with house.client("huadong") as huadong:
        await first.do(SetLimit, parameter="ORDER_RATE", value=1, participant=3)
        await first.do(SetLimit, parameter="POSITION_MAX", value=1_000_010, account=102)
        codes = set()
        for _ in range(3):
            try:
                await huadong.new_order("EUA", 102, "BUY", 11, "60.00")
            except VenueError as error:
                codes.add(error.reason)
        assert Reason.POSITION_ABOVE_MAX in codes
        await first.do(
            SetLimit, parameter="INSTRUMENT_HOLDING_MAX", value=9, account=102, symbol="EUA"
        )
        view = house.gateway.context.views["EU"]
        await house.until(lambda: view.controls.of_account(102, 5, 1) == 9)
        assert view.controls.of_participant(3, 3) == 1
        told = await huadong.rest.get("/limits", LimitsReply)
    (firm,) = [row for row in told.participants if row.market == "EU"]
    assert (firm.participant, firm.order_rate, firm.is_suspended) == (3, 1, False)
    (row,) = [row for row in told.accounts if row.account == 102]
    assert (row.position_max, row.holding_max) == (1_000_010, {"EUA": 9})
    assert {row.account for row in told.accounts} == {102, 202}
    (eua,) = [row for row in told.instruments if row.symbol == "EUA"]
    known = view.positions.instruments[1].parameters
    assert eua.limits["QUANTITY_MAX"] == known[3]
    assert (eua.limits["TICK_SIZE"], eua.phase) == (known[1], "CONTINUOUS")
    assert eua.reference_price == "71.25"
    async with house.client("northern") as client:
        (row,) = [row for row in (await client.instruments()).instruments if row.symbol == "EUA"]
    steps = {name: row.parameters[name] for name in ("tick_size", "tick_from_2", "tick_size_2")}
    assert steps == {"tick_size": "0.01", "tick_from_2": "0.00", "tick_size_2": "0.00"}


@one_venue
@pytest.mark.parametrize("whose", ["participant", "session"])
async def test_a_throttle_set_in_session_slows_orders_and_lets_cancels_pass(
    house: House, first: Desk, second: Desk, whose: str
) -> None:
    key = house.gateway.context.identities.ring.find("deputy")
    number = {"participant": key.participant, "session": key.session}[whose]
    await first.do(SetLimit, parameter="MESSAGE_RATE", value=2, **{whose: number})
    await house.until(lambda: 2 in house.gateway.context.rates(key))
    async with house.client("deputy") as deputy, house.client("yangtze") as other:
        told = await deputy.rest.get("/limits", LimitsReply)
        assert told.session_per_second == 2
        assert told.orders_per_second == (2 if whose == "participant" else 3_000)
        assert min(house.gateway.context.rates(key)) == 2
        assert told.cancels_per_second == 1_000
        one = NewOrderSingle(
            ref=0, symbol="EUA", account=103, side="BUY", quantity=1, price="60.00"
        )  # fmt: skip
        assert (await deputy.new_order("EUA", 103, "BUY", 1, "60.00")).exec_type == "NEW"
        waiting = [await deputy.send(one) for _ in range(4)]
        answers = await asyncio.gather(*(w.answered for w in waiting), return_exceptions=True)
        throttled = [a for a in answers if isinstance(a, VenueError)]
        assert len(throttled) >= 2
        assert {error.reason for error in throttled} == {EdgeReason.THROTTLED}
        assert all(error.retry_after_ms > 0 for error in throttled)
        for order in await other.orders("EU"):
            gone = await deputy.cancel_order("EUA", 103, order_id=order.order_id)
            assert gone.exec_type == "CANCELLED"
    wide = await first.do(SetLimit, parameter="MESSAGE_RATE", value=3_000, **{whose: number})
    assert wide.status == "PROPOSED"
    await house.until(lambda: second_sees(house, wide.proposal_id))
    await second.do(Approve, proposal_id=wide.proposal_id)
    await house.until(lambda: 3_000 in house.gateway.context.rates(key))


@one_venue
async def test_proposals_end_by_time_by_decline_and_once(
    house: House, first: Desk, second: Desk
) -> None:
    pay_out = {"account": 101, "amount": "-1000000.01"}
    before = house.gateway.context.views["EU"].positions.cash(101).available
    alone = await first.do(CashDeposit, account=101, amount="-1000000.00")
    assert alone.status == "DONE"
    large = [await first.do(CashDeposit, **pay_out) for _ in range(3)]
    assert {report.status for report in large} == {"PROPOSED"}
    ids = [report.proposal_id for report in large]
    await house.until(lambda: second_sees(house, ids[-1]))
    assert await second.refused(Approve, proposal_id=ids[0] + 1) == AccessReason.UNKNOWN_PROPOSAL
    assert (await first.do(Decline, proposal_id=ids[0])).status == "DONE"
    await house.until(lambda: not open_now(house, ids[0]))
    assert await second.refused(Approve, proposal_id=ids[0]) == AccessReason.PROPOSAL_OVER
    assert (await second.do(Approve, proposal_id=ids[1])).status == "DONE"
    house.clock.ahead = PROPOSAL_S_MAX * SECOND
    assert await second.refused(Approve, proposal_id=ids[2]) == AccessReason.PROPOSAL_OVER
    house.clock.ahead = 0
    assert (await first.do(Decline, proposal_id=ids[2])).status == "DONE"
    after = house.gateway.context.views["EU"].positions.cash(101).available
    assert before - after == 100_000_000 + 100_000_001


@one_venue
async def test_a_large_deposit_takes_two_where_the_venue_file_says_so(
    house: House, first: Desk, second: Desk
) -> None:
    view = house.gateway.context.views["CN"]
    before = view.positions.cash(201).available
    for account, market, amount in ((101, "EU", "9000000.00"), (201, "CN", "5000000.00")):
        small = await first.do(CashDeposit, market=market, account=account, amount=amount)
        assert small.status == "DONE"
    large = await first.do(CashDeposit, market="CN", account=201, amount="5000000.01")
    assert large.status == "PROPOSED"
    await house.until(lambda: large.proposal_id in view.acts.proposals)
    number = {"market": "CN", "proposal_id": large.proposal_id}
    assert await first.refused(Approve, **number) == AccessReason.SAME_PERSON_APPROVES
    assert view.positions.cash(201).available == before + 500_000_000
    assert (await second.do(Approve, **number)).status == "DONE"
    await house.until(lambda: view.positions.cash(201).available == before + 1_000_000_001)


@one_venue
async def test_what_one_moves_alone_is_a_sum(house: House, first: Desk, second: Desk) -> None:
    """Small pieces, at once or one by one, by one key or two of a person: as one large payment."""
    view = house.gateway.context.views["CN"]
    whose, most = {"market": "CN", "account": 203}, 100_000_000
    await second.do(CashDeposit, **whose, amount="2000000.00")
    house.clock.ahead = 26 * 3_600 * SECOND
    before = view.positions.cash(203).available
    piece = {**whose, "amount": "-300000.00"}
    async with house.client("third") as client:
        told = await asyncio.gather(
            *(desk.do(CashDeposit, **piece) for desk in (second, Desk(client)) for _ in range(3))
        )
    assert sorted(report.status for report in told) == ["DONE"] * 3 + ["PROPOSED"] * 3
    await house.until(lambda: view.positions.cash(203).available == before - 90_000_000)
    again = {**whose, "amount": "-100000.01"}
    assert (await second.do(CashDeposit, **again)).status == "PROPOSED"
    again["amount"] = "-100000.00"
    done = await second.do(CashDeposit, **again)
    same = await second.client.rest.call(  # sent again: what it was
        "POST", "/operations/cash-deposit", OperationReport, query={"wait_ms": 5_000},
        body=CashDeposit(**again, reason="a test", ref=done.ref),
    )  # fmt: skip
    assert (done.status, same.status, same.request_id) == ("DONE", "DONE", done.request_id)
    await house.until(lambda: view.positions.cash(203).available == before - most)
    said = [row.act.alone_max for row in view.acts.rows if isinstance(row.act.body, CashDeposit)]
    assert said[-1] == most  # the limit by which it was judged stands with it
    assert (await second.do(CashDeposit, **whose, amount="-0.01")).status == "PROPOSED"
    assert (await second.do(CashDeposit, **whose, amount="0.01")).status == "DONE"  # the other way
    assert (await first.do(CashDeposit, **whose, amount="-0.01")).status == "DONE"  # another person
    house.clock.ahead += 26 * 3_600 * SECOND
    assert (await second.do(CashDeposit, **whose, amount="-0.01")).status == "DONE"
    house.clock.ahead = 0


@one_venue
async def test_a_reference_price_outside_the_band_takes_two(
    house: House, first: Desk, second: Desk
) -> None:
    view = house.gateway.context.views["CN"]
    known = view.positions.instruments[12]
    assert (known.reference_price, known.parameters[Parameter.BAND_BP]) == (7_463, 1_000)
    set_to = {"symbol": "CEA-2025"}
    await first.do(Halt, market="CN", **set_to)
    assert (await first.do(ReferencePrice, price="82.09", **set_to)).status == "DONE"
    await house.until(lambda: known.reference_price == 8_209)
    # neither a price outside, nor a second step from there, nor far down from there
    for price in ("82.10", "90.00", "73.00", "60.00"):
        told = await first.do(ReferencePrice, price=price, **set_to)
        assert (told.status, known.reference_price) == ("PROPOSED", 8_209), price
    await house.until(lambda: told.proposal_id in view.acts.proposals)
    number = {"market": "CN", "proposal_id": told.proposal_id}
    assert await first.refused(Approve, **number) == AccessReason.SAME_PERSON_APPROVES
    assert (await second.do(Approve, **number)).status == "DONE"
    await house.until(lambda: known.reference_price == 6_000)
    back = await second.do(ReferencePrice, price="74.63", **set_to)  # what two decided, two undo
    assert (back.status, known.opening_reference) == ("PROPOSED", 7_463)
    assert (await first.do(Resume, market="CN", **set_to)).status == "DONE"


def open_now(house: House, proposal_id: int) -> bool:
    acts = house.gateway.context.views["EU"].acts
    return acts.proposals[proposal_id].state == "OPEN"


@one_venue
async def test_of_two_approvals_at_once_the_engine_takes_one(
    house: House, first: Desk, second: Desk
) -> None:
    ids = [
        (await first.do(CashDeposit, account=101, amount="-2000000.00")).proposal_id
        for _ in range(2)
    ]
    await house.until(lambda: second_sees(house, ids[1]))
    before = house.gateway.context.views["EU"].positions.cash(101).available
    async with house.client("third") as client:
        both = await asyncio.gather(
            second.do(Approve, proposal_id=ids[0], reason="a"),
            Desk(client).do(Approve, proposal_id=ids[0], reason="b"),
            return_exceptions=True,
        )
    failed = [item for item in both if isinstance(item, VenueError)]
    assert len(failed) == 1
    assert failed[0].reason in (AccessReason.APPROVED_MEANWHILE, AccessReason.PROPOSAL_OVER)
    after = house.gateway.context.views["EU"].positions.cash(101).available
    assert before - after == 200_000_000
    await house.until(lambda: not open_now(house, ids[0]))
    assert (await second.do(Approve, proposal_id=ids[1])).status == "DONE"


@one_venue
async def test_two_keys_of_one_person_are_one_person(house: House, second: Desk) -> None:
    wanted = await second.do(Lift, participant=2)
    await house.until(lambda: second_sees(house, wanted.proposal_id))
    async with house.client("third") as client:
        reason = await Desk(client).refused(Approve, proposal_id=wanted.proposal_id)
    assert reason == AccessReason.SAME_PERSON_APPROVES


@one_venue
async def test_acts_and_what_follows_from_them_outlive_the_gateway(
    house: House, first: Desk, second: Desk
) -> None:
    session = house.gateway.context.identities.ring.find("northern").session
    before = house.gateway.context.views["EU"].acts
    start, decided = before.rows[-1].position if before.rows else 0, before.next_decision
    await first.do(Halt, reason="Störung 停")
    await first.do(Kill, session=session, reason="a loop")
    await first.do(SetLimit, parameter="MESSAGE_RATE", value=7, participant=2)
    lift = await second.do(Lift, session=session, reason="mended")
    refused = await first.refused(SetLimit, parameter="TONNE_FEE", value=1, symbol="EUA")
    assert refused == EdgeReason.INVALID_FIELD
    await house.stop("gateway")
    await house.open_gateway()
    acts = house.gateway.context.views["EU"].acts
    assert acts.market_halt
    assert acts.killed_sessions == {session}
    assert acts.participant_rates[2] == 7
    assert acts.proposals[lift.proposal_id].state == "OPEN"
    async with house.client("operator") as client:
        listed = await client.rest.get("/operations/acts", ActList, market="EU", after=start)
        assert [(line.stage, line.who, line.reason) for line in listed.acts] == [
            ("DONE", "operator", "Störung 停"), ("DONE", "operator", "a loop"),
            ("DONE", "operator", "a test"), ("PROPOSED", "Li", "mended"),
        ]  # fmt: skip
        assert {line.outcome for line in listed.acts} == {"DONE"}
        done = await Desk(client).do(Approve, proposal_id=lift.proposal_id)
        assert done.status == "DONE"
        await house.until(lambda: not house.gateway.context.views["EU"].acts.killed_sessions)
        acts = house.gateway.context.views["EU"].acts
        after = decided + HALT_LEAP + 2  # the halt; the limit, and the approval behind it
        assert acts.last_ref[DECISION_SESSION] == after
        resume = await Desk(client).do(Resume)
        async with house.client("second") as other:
            await house.until(lambda: second_sees(house, resume.proposal_id))
            await Desk(other).do(Approve, proposal_id=resume.proposal_id)
        await house.until(lambda: not acts.market_halt)


@one_venue
async def test_what_names_nothing_or_gives_no_reason_is_refused(first: Desk) -> None:
    for fields in ({}, {"participant": 2, "account": 101}, {"participant": -2}, {"session": 2**32}):
        assert await first.refused(Kill, **fields) == EdgeReason.INVALID_FIELD
    assert await first.refused(Kill, account=999) == Reason.UNKNOWN_ACCOUNT
    assert await first.refused(Kill, participant=999) == Reason.UNKNOWN_ACCOUNT
    for reason in ("", "  ", "a\nb", "x" * 401):
        assert await first.refused(Halt, reason=reason) == EdgeReason.INVALID_FIELD
    assert await first.refused(Halt, market="XX") == EdgeReason.INVALID_FIELD


@one_venue
async def test_the_log_of_all_this_keeps_the_rule_of_two_persons(house: House) -> None:
    for market in house.venue.market:
        persons = PersonsAudit(house.venue, market, house.settings.throttle_per_second)
        found = await verify(house.log, market.partition, observer=persons)
        assert (found.differences, persons.difference) == ((), "")
        assert persons.done > 0
        assert persons.approved > 0
