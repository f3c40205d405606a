"""Credits surrendered over two registries: each step, each refusal, and a crash at every moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from exchange.database import Database, table_hash
from exchange.database.schema import REGISTRY_TABLES, refusal
from exchange.messages.frames import Instruction, order_id_of
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import CreditsHeld, InstructionRefused, OffsetSurrenderChanged
from exchange.rebuild import rebuild
from exchange.registry import queries as registry_queries
from exchange.registry.blocks import Position
from exchange.registry.saga import AllowanceState
from exchange.settings import OFFSET_ANSWER_HOURS_MAX
from tests.books_desk import Desk, act_of, check, owed, surrender, verified
from tests.books_two import (
    HOLDING,
    KEPT,
    RULES,
    STRANGER,
    TWO,
    Side,
    Two,
    answer,
    request,
)
from tests.books_venue import (
    CCER,
    CEA_2024,
    MARKET,
    NORTHERN,
    VENUE,
    YANGTZE,
    YEAR,
    issue,
)
from tests.fixtures_postgres import MakeBooks

SQLITE = pytest.mark.parametrize("make_books", ["sqlite"], indirect=True)
DONE, FAILED = AllowanceState.DONE, AllowanceState.FAILED
TABLES = tuple(table for table in REGISTRY_TABLES if table is not refusal)


@pytest.fixture
async def two(memory_log: Any, make_books: MakeBooks) -> AsyncIterator[Two]:
    two = Two(memory_log, await make_books(), await make_books())
    await two.open()
    yield two
    await two.check()
    await two.close()


async def straight(two: Two) -> AllowanceState:
    """Asked, frozen, booked, retired, done."""
    await two.surrender(10)
    await two.quiet()
    return DONE


async def refused(two: Two) -> AllowanceState:
    """More than the holding has."""
    held = two.credits.registry.holdings.held(HOLDING, Position.REGISTRY, KEPT)
    await two.credits.pump.send(
        *act_of(Instruction.FREEZE, HOLDING, KEPT, held - 9, text="court\nfile 7")
    )
    await two.quiet(two.credits)
    await two.surrender(10)
    await two.quiet()
    thaw = (HOLDING, KEPT, held - 9)
    sent = await two.credits.pump.send(
        *act_of(Instruction.UNFREEZE, *thaw, text="court\nfile 8\nauthority")
    )
    told = (*thaw, order_id_of(sent, 0), "judge\nauthority")
    await two.credits.pump.send(*act_of(Instruction.APPROVE_TRANSFER, *told))
    await two.quiet(two.credits)
    return FAILED


async def misfit(two: Two) -> AllowanceState:
    """While the credits are being frozen the obligation falls to what is surrendered."""
    before = two.allowances.registry.holdings
    account = (YANGTZE, "cn-national", YEAR)
    is_owed, given = before.years[account].obligation, before.surrendered.get(account, 0)
    assert is_owed is not None
    await two.surrender(10)
    await two.quiet(two.allowances)
    await two.allowances.pump.send(*verified(YANGTZE, YEAR, given + 9))
    await two.quiet()
    await two.allowances.pump.send(*verified(YANGTZE, YEAR, is_owed))
    await two.quiet()
    return FAILED


async def silence(two: Two) -> AllowanceState:
    """The registry of the credits hears nothing until it is too late, then both requests."""
    await two.surrender(10)
    await two.quiet(two.allowances)
    await two.pass_time(two.allowances, OFFSET_ANSWER_HOURS_MAX)
    await two.quiet(two.allowances)
    await two.quiet()
    return FAILED


async def frozen_too_late(two: Two) -> AllowanceState:
    """FROZEN comes when the credits are being released."""
    await two.surrender(10)
    await two.quiet(two.allowances)
    await two.quiet(two.credits)  # frozen, and said so
    two.allowances.pump.time_ns += OFFSET_ANSWER_HOURS_MAX * 3_600 * 10**9
    await two.quiet()
    return FAILED


async def retired_too_late(two: Two) -> AllowanceState:
    """RETIRED comes when the release is asked for: what is retired stays retired, and counts."""
    await two.surrender(10)
    await two.quiet(two.allowances)
    await two.quiet(two.credits)
    await two.quiet(two.allowances)  # booked, asked to retire
    await two.quiet(two.credits)  # retired, and said so
    two.allowances.pump.time_ns += OFFSET_ANSWER_HOURS_MAX * 3_600 * 10**9
    await two.quiet()
    return DONE


async def asked_twice(two: Two) -> AllowanceState:
    """The release is asked for twice before anything is heard: RETIRE came first and stays."""
    await two.surrender(10)
    await two.quiet(two.allowances)
    await two.quiet(two.credits)
    await two.quiet(two.allowances)
    for _ in range(2):  # asked twice to release
        await two.pass_time(two.allowances, OFFSET_ANSWER_HOURS_MAX)
        await two.quiet(two.allowances)
    await two.quiet()
    return DONE


Story = Callable[[Two], Awaitable[AllowanceState]]
STORIES: tuple[Story, ...] = (
    straight, refused, misfit, silence, frozen_too_late, retired_too_late, asked_twice,
)  # fmt: skip


async def tell(two: Two, story: Story, at: int) -> None:
    """A story with a crash at its `at`-th moment."""
    two.crash.arm(at)
    before = await two.states()
    end = await story(two)
    two.crash.arm(-1)
    await two.quiet()
    after = await two.states()
    (new,) = after.keys() - before.keys()
    assert after[new] == end, (story.__name__, at)
    done = sum(state == DONE for state in after.values())
    holdings = two.allowances.registry.holdings  # in memory, not only in the books
    assert holdings.used((YANGTZE, "cn-national", YEAR), ("CCER",)) == 10 * done
    await two.restore_time()


@SQLITE
@pytest.mark.parametrize(
    ("story", "stride"),
    [
        (straight, 1), (refused, 1), (silence, 1), (retired_too_late, 1),
        (misfit, 3), (frozen_too_late, 3), (asked_twice, 5),
    ],
)  # fmt: skip
async def test_a_crash_at_every_moment_of_both_registries(
    two: Two, make_books: MakeBooks, story: Story, stride: int
) -> None:
    if story is misfit:  # so that its lower obligation leaves room for what was surrendered
        await two.surrender(500_000, CEA_2024)
        await two.quiet()
    await tell(two, story, -1)
    tries = 0
    while two.crash.seen == tries:
        await tell(two, story, tries * stride)
        tries += 1
    assert two.crash.seen * stride > 20
    await two.check()
    for side in two.sides:
        fresh = await make_books()
        rebuilt = await rebuild(two.log, side.market, TWO, fresh, rulebook=RULES)
        assert rebuilt == await table_hash(side.books, side.market.partition)


@pytest.mark.parametrize("make_books", ["postgresql"], indirect=True)
async def test_some_crashes_on_postgresql(two: Two) -> None:
    await two.surrender(500_000, CEA_2024)
    await two.quiet()
    for story in STORIES:
        for at in (1, 4, 9, 14):
            await tell(two, story, at)
    assert two.crash.seen == 4 * len(STORIES)


@SQLITE
async def test_step_by_step(two: Two) -> None:
    number = await two.surrender(10)
    await two.quiet(two.allowances)
    holdings, account = two.allowances.registry.holdings, (YANGTZE, "cn-national", YEAR)
    (asked,) = offsets(two)
    assert (asked.instruction_id, asked.state, asked.is_counted) == (number, "ASKED", False)
    assert (asked.credit_market, asked.credit_account) == ("CV", HOLDING)
    assert holdings.surrendered.get(account, 0) == 0
    await two.quiet(two.credits)
    (held,) = holds(two)
    assert (held.origin, held.surrender_id, held.state) == ("CN", number, "FROZEN")
    assert (held.ranges[0].first, held.ranges[0].last) == (1, 10)
    assert two.credits.registry.holdings.pending_tonnes(HOLDING, KEPT) == 10
    await two.quiet(two.allowances)
    booked = offsets(two)[-1]
    assert (booked.state, booked.is_counted, booked.rule) == ("BOOKED", True, asked.rule)
    assert holdings.surrendered[account] == holdings.used(account, ("CCER",)) == 10
    await two.quiet(two.credits)
    assert holds(two)[-1].state == "RETIRED"
    assert holds(two)[-1].ranges[0].last == 10
    await two.quiet()
    assert [item.state for item in offsets(two)] == ["ASKED", "BOOKED", "DONE"]
    assert holdings.surrendered[account] == 10


@SQLITE
async def test_what_is_on_its_way_counts_against_the_cap(two: Two) -> None:
    await two.surrender(50_000)
    await two.quiet(two.allowances)
    await two.quiet(two.credits)
    await two.quiet(two.allowances)  # booked: 50,000 t of a cap of 50,000 t
    await two.surrender(1)
    await two.quiet(two.allowances)
    (refusal,) = refusals(two.allowances)
    assert refusal.reason == RegistryReason.OFFSET_CAP_EXCEEDED
    assert "used 50000 t" in refusal.text
    await two.allowances.pump.send(*verified(YANGTZE, YEAR, 999_999))
    await two.quiet()
    assert refusals(two.allowances)[-1].reason == RegistryReason.OFFSET_CAP_EXCEEDED
    assert "cap them at 49999 t" in refusals(two.allowances)[-1].text


@SQLITE
async def test_a_release_gives_the_use_back(two: Two) -> None:
    await two.surrender(50_000)
    await two.quiet(two.allowances)
    await two.pass_time(two.allowances, OFFSET_ANSWER_HOURS_MAX)
    await two.quiet()
    (failed,) = refusals(two.allowances)
    assert failed.reason == RegistryReason.OFFSET_TIMED_OUT
    await two.restore_time()
    await two.surrender(50_000)
    await two.quiet()
    assert Counter((await two.states()).values()) == {DONE: 1, FAILED: 1}


@SQLITE
async def test_who_is_not_bound(two: Two) -> None:
    await two.allowances.pump.send(
        *act_of(Instruction.BIND_ACCOUNT, YANGTZE, CCER, 0, 0, "office\nCV")
    )
    await two.surrender(10)
    await two.quiet()
    (unbound,) = refusals(two.allowances)
    assert unbound.reason == RegistryReason.CREDITS_NOT_BOUND
    assert "no general holding in the registry of CV is bound to account 203" in unbound.text
    # bound here to an account which over there is bound to nobody
    await two.allowances.pump.send(
        *act_of(Instruction.BIND_ACCOUNT, YANGTZE, CCER, 0, STRANGER, "office\nCV")
    )
    await two.credits.pump.send(issue(STRANGER, KEPT, 100))
    await two.surrender(10)
    await two.quiet()
    strange = refusals(two.allowances)[-1]
    assert strange.reason == RegistryReason.CREDITS_NOT_BOUND
    assert "account 302 is no ccer_general_holding bound to account 203 of CN" in strange.text
    assert [item.state for item in holds(two)] == ["REFUSED"]
    two.credits.registry.holdings.issued[KEPT] -= 100  # the stranger's, for the last check


@SQLITE
async def test_messages_that_fit_nothing_change_nothing(two: Two) -> None:
    number = await two.surrender(10)
    await two.quiet()
    hashes = [await table_hash(side.books, side.market.partition, TABLES) for side in two.sides]
    for word in ("FREEZE", "RETIRE", "RELEASE"):  # heard once more, under another ref
        await two.credits.pump.send(*request(word, number, 10))
    for word in ("FROZEN", "RETIRED", "RELEASED", "REFUSED"):
        await two.allowances.pump.send(*answer(word, number, 10))
    await two.quiet()
    assert refusals(two.allowances) == refusals(two.credits) == []
    for wrong in (
        request("FREEZE", number, 11),
        request("FREEZE", number, 10, STRANGER),
        request("FROZEN", number, 10),
        request("DANCE", number, 10),
    ):
        await two.credits.pump.send(*wrong)
    for unknown in (
        answer("RETIRED", number + 1, 10),
        answer("RETIRED", number, 9),
        answer("RETIRE", number, 10),
    ):
        await two.allowances.pump.send(*unknown)
    await two.quiet()
    assert {item.reason for side in two.sides for item in refusals(side)} == {
        RegistryReason.OFFSET_OUT_OF_STEP
    }
    assert (len(refusals(two.credits)), len(refusals(two.allowances))) == (4, 3)
    assert hashes == [
        await table_hash(side.books, side.market.partition, TABLES) for side in two.sides
    ]


@SQLITE
async def test_a_release_before_the_freeze_wins(two: Two) -> None:
    for word in ("RELEASE", "FREEZE", "RETIRE"):
        await two.credits.pump.send(*request(word, 999, 10))
    await two.quiet()
    assert [item.state for item in holds(two)] == ["RELEASED"]
    assert two.credits.registry.holdings.held(HOLDING, Position.REGISTRY, KEPT) == 100_000


@SQLITE
async def test_units_kept_elsewhere_are_not_issued_here(two: Two) -> None:
    await two.allowances.pump.send(issue(YANGTZE, CCER, 10))
    await two.quiet()
    assert refusals(two.allowances)[-1].reason == RegistryReason.UNIT_NOT_ELIGIBLE


def offsets(two: Two) -> list[OffsetSurrenderChanged]:
    return [i for i in two.allowances.said() if isinstance(i, OffsetSurrenderChanged)]


def holds(two: Two) -> list[CreditsHeld]:
    return [item for item in two.credits.said() if isinstance(item, CreditsHeld)]


def refusals(side: Side) -> list[InstructionRefused]:
    return [item for item in side.said() if isinstance(item, InstructionRefused)]


async def test_both_registries_in_one_market(
    market_log: Any, books: Database, make_books: MakeBooks
) -> None:
    desk = Desk(market_log, books)
    await desk.open()
    await desk.act(
        issue(NORTHERN, CCER, 100),
        *owed(YANGTZE, YEAR, 1_000),
        *act_of(Instruction.SET_ACCOUNT_TYPE, NORTHERN, CCER, 0, 0, "office\nccer_general_holding"),
    )
    unbound = await desk.refused(surrender(YANGTZE, CCER, 10))  # from the account itself
    assert unbound.reason == RegistryReason.NOT_ENOUGH_UNITS
    await desk.act(
        *act_of(Instruction.BIND_ACCOUNT, YANGTZE, CCER, 0, NORTHERN, "office\nCN"),
        *act_of(Instruction.BIND_ACCOUNT, NORTHERN, CCER, 0, YANGTZE, "office\nCN"),
    )
    said = await desk.act(surrender(YANGTZE, CCER, 10))
    assert [(type(item).__name__, getattr(item, "state", "")) for item in said] == [
        ("OffsetSurrenderChanged", "ASKED"),
        ("CreditsHeld", "FROZEN"),
        ("OffsetSurrenderChanged", "BOOKED"),
        ("CreditsHeld", "RETIRED"),
        ("OffsetSurrenderChanged", "DONE"),
    ]
    too_many = await desk.act(surrender(YANGTZE, CCER, 50))
    assert [item.reason for item in too_many if isinstance(item, InstructionRefused)] == [
        RegistryReason.OFFSET_CAP_EXCEEDED  # 5 percent of 1,000 t, of which 10 t are used
    ]
    (row,) = await registry_queries.compliance_of(books, 1, YANGTZE)
    assert (row.surrendered, row.offsets) == (10, 10)
    await check(desk)
    again = await make_books()
    assert await rebuild(market_log, MARKET, VENUE, again) == await table_hash(books, 1)
    await desk.close()
