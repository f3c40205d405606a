"""A surrender over two registries undone by two persons: each step, and crashes of both sides."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from exchange.database import table_hash
from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    CreditsHeld,
    InstructionRefused,
    OffsetReversalChanged,
    RegistryItem,
)
from exchange.rebuild import rebuild
from exchange.registry import queries as registry_queries
from exchange.registry.blocks import Position, State
from exchange.registry.refusals import RefusalError
from exchange.registry.reversals import Past, Retirement
from exchange.registry.saga import Message, ReturnState, UndoState, Word, to_notes
from exchange.settings import NOTE_BYTES_MAX, OFFSET_ANSWER_HOURS_MAX
from tests.books_desk import act_of
from tests.books_registrar import Books
from tests.books_two import HOLDING, KEPT, RULES, TWO, Side, Two
from tests.books_venue import CCER, YANGTZE, YEAR
from tests.exchange.registry.test_two_registries_apart import ACCOUNT, Net, allowances
from tests.fixtures_postgres import MakeBooks

SQLITE = pytest.mark.parametrize("make_books", ["sqlite"], indirect=True)
HOUR_NS = 3_600 * 10**9
DONE, FAILED = UndoState.DONE, UndoState.FAILED


@pytest.fixture
async def two(memory_log: Any, make_books: MakeBooks) -> AsyncIterator[Two]:
    two = Two(memory_log, await make_books(), await make_books())
    await two.open()
    yield two
    await two.check()
    await two.close()


async def begin(two: Two, at: int) -> int:
    """A surrender that is done, and a reversal of it approved; its id. A crash comes after."""
    number = await two.surrender(10)
    await two.quiet()
    approval = await two.approve_reversal(number, 10)
    two.crash.arm(at)
    return approval


async def straight(two: Two, at: int) -> tuple[int, UndoState]:
    """Restored, undone, returned."""
    approval = await begin(two, at)
    await two.quiet()
    return approval, DONE


async def silence(two: Two, at: int) -> tuple[int, UndoState]:
    """RESTORE is heard when KEEP was said: the credits stay retired."""
    approval = await begin(two, at)
    await two.quiet(two.allowances)
    await two.pass_time(two.allowances, OFFSET_ANSWER_HOURS_MAX)
    await two.quiet(two.allowances)
    await two.quiet()
    return approval, FAILED


async def returned_late(two: Two, at: int) -> tuple[int, UndoState]:
    """RETURN has no answer in time: it is said again, and never taken back."""
    approval = await begin(two, at)
    await two.quiet(two.allowances)
    await two.quiet(two.credits)
    await two.quiet(two.allowances)  # undone, asked to return
    for _ in range(2):
        await two.pass_time(two.allowances, OFFSET_ANSWER_HOURS_MAX)
        await two.quiet(two.allowances)
    await two.quiet()
    return approval, DONE


Story = Callable[[Two, int], Awaitable[tuple[int, UndoState]]]
STORIES: tuple[Story, ...] = (straight, silence, returned_late)


async def tell(two: Two, story: Story, at: int) -> None:
    """A story with a crash at its `at`-th moment."""
    approval, end = await story(two, at)
    two.crash.arm(-1)
    await two.quiet()
    ended = [item for item in reversals(two) if item.instruction_id == approval]
    assert ended[-1].state == end.name, (story.__name__, at)
    await two.restore_time()


@SQLITE
@pytest.mark.parametrize(("story", "stride"), [(straight, 2), (silence, 5), (returned_late, 5)])
async def test_a_crash_at_every_moment_of_a_reversal(
    two: Two, make_books: MakeBooks, story: Story, stride: int
) -> None:
    tries = 0
    while two.crash.seen == tries:
        await tell(two, story, tries * stride)
        tries += 1
    assert two.crash.seen * stride > 15
    await two.check()
    for side in two.sides:
        fresh = await make_books()
        rebuilt = await rebuild(two.log, side.market, TWO, fresh, rulebook=RULES)
        assert rebuilt == await table_hash(side.books, side.market.partition)


@pytest.mark.parametrize("make_books", ["postgresql"], indirect=True)
async def test_some_crashes_of_a_reversal_on_postgresql(two: Two) -> None:
    for story in STORIES:
        for at in (1, 6):
            await tell(two, story, at)
    assert two.crash.seen == 2 * len(STORIES)


@SQLITE
async def test_step_by_step(two: Two) -> None:
    number = await two.surrender(10)
    await two.quiet()
    approval = await two.approve_reversal(number, 10)
    await two.quiet(two.allowances)
    holdings = two.allowances.registry.holdings
    (asked,) = reversals(two)
    assert (asked.instruction_id, asked.original_id, asked.state) == (approval, number, "ASKED")
    assert (asked.proposed_by, asked.approved_by, asked.reason) == ("ann", "ben", "wrong year")
    assert holdings.surrendered[ACCOUNT] == 10  # until the credits are restored
    await two.quiet(two.credits)
    assert two.credits.registry.holdings.pending_tonnes(HOLDING, KEPT) == 10
    assert holds(two)[-1].state == "RESTORED"
    await two.quiet(two.allowances)
    assert holdings.surrendered[ACCOUNT] == holdings.used(ACCOUNT, ("CCER",)) == 0
    await two.quiet()
    assert [item.state for item in reversals(two)] == ["ASKED", "UNDONE", "DONE"]
    assert holds(two)[-1].state == "RETURNED"
    assert [r.last for r in holds(two)[-1].ranges] == [10]
    free = two.credits.registry.holdings.held(HOLDING, Position.REGISTRY, KEPT)
    assert free == two.credits.registry.holdings.issued[KEPT]
    compliance = await registry_queries.compliance_of(two.allowances.books, 1, YANGTZE)
    assert [row.surrendered for row in compliance] == [0]
    # what came back is surrendered again, and may be undone again
    again = await two.surrender(10)
    await two.quiet()
    await two.approve_reversal(again, 10)
    await two.quiet()
    assert [item.state for item in reversals(two)[3:]] == ["ASKED", "UNDONE", "DONE"]


@SQLITE
async def test_who_may_not_undo_it(two: Two) -> None:
    number = await two.surrender(10)
    await two.quiet()
    told = (YANGTZE, CCER, 10)
    propose, approve = Instruction.PROPOSE_REVERSAL, Instruction.APPROVE_REVERSAL
    await two.allowances.pump.send(*act_of(propose, YANGTZE, CCER, 9, number, "ann\nwhy"))
    await two.quiet()
    assert refusals(two.allowances)[-1].reason == RegistryReason.NOT_REVERSIBLE
    proposal = await two.allowances.pump.instruct(
        propose, "ann\nwhy", account_id=YANGTZE, instrument_id=CCER, quantity=10, price=number
    )
    await two.quiet()
    await two.allowances.pump.send(*act_of(approve, *told, proposal, "ann\n"))
    await two.quiet()
    assert refusals(two.allowances)[-1].reason == RegistryReason.SAME_PERSON
    for _ in range(2):  # the second while the first is on its way
        await two.allowances.pump.send(*act_of(approve, *told, proposal, "ben\n"))
    await two.quiet()
    (first,) = {item.instruction_id for item in reversals(two)}
    late = refusals(two.allowances)[-1]
    assert (late.reason, late.text) == (
        RegistryReason.NOT_REVERSIBLE, f"reversal {first} of {number} is on its way"
    )  # fmt: skip
    await two.allowances.pump.send(*act_of(approve, *told, proposal, "ben\n"))
    await two.quiet()
    assert refusals(two.allowances)[-1].reason == RegistryReason.NOT_REVERSIBLE


def reversals(two: Two) -> list[OffsetReversalChanged]:
    return [item for item in two.allowances.said() if isinstance(item, OffsetReversalChanged)]


def holds(two: Two) -> list[CreditsHeld]:
    return [item for item in two.credits.said() if isinstance(item, CreditsHeld)]


def refusals(side: Side) -> list[InstructionRefused]:
    return [item for item in side.said() if isinstance(item, InstructionRefused)]


# -- without books -----------------------------------------------------------------------------


class Pair(Net):
    """Both registrars and the messages between them, with what the books would look up."""

    def surrender(self, quantity: int) -> int:
        number = self.asking.number
        self.asking.tell(Instruction.SURRENDER, YANGTZE, quantity, YEAR, instrument=CCER)
        self.run()
        return number

    def run(self) -> None:
        self.look_up()
        while self.deliver(loses=False):
            self.look_up()

    def look_up(self) -> None:
        holdings = self.keeping.holdings
        gone = [*holdings.changes.moved.values(), *holdings.changes.new.values()]
        history = holdings.changes.history
        retired = {row[4]: row[13] for row in history if row[3] == 4}  # block: instruction
        found: dict[int, Any] = {}
        for block in {block.block_id: block for block in gone}.values():
            if block.state == State.SURRENDERED:
                found.setdefault(retired[block.block_id], []).append(block)
        holdings.standings.retired = found

    def undo(self, number: int, quantity: int) -> tuple[int, list[RegistryItem]]:
        """Approves to undo a surrender; the approval's id, and what is said at once."""
        told = (YANGTZE, quantity)
        books, reversals_ = self.asking, self.asking.registrar.reversals
        surrender = books.holdings.standings.ended_surrenders[number]
        (row,) = (r for r in books.holdings.changes.surrenders if r.instruction_id == number)
        retired = Retirement(number, State.SURRENDERED, YANGTZE, CCER, quantity, row, surrender)
        reversals_.past = Past({}, {number: retired}, {})
        propose = Instruction.PROPOSE_REVERSAL
        books.tell(propose, *told, number, "ann\nwhy", instrument=CCER)
        proposal = books.holdings.changes.proposals[-1]
        reversals_.past = Past({proposal.instruction_id: proposal}, {number: retired}, {})
        approval = books.number
        approve = Instruction.APPROVE_REVERSAL
        said = books.tell(approve, *told, proposal.instruction_id, "ben\n", instrument=CCER)
        return approval, said

    def state(self, approval: int) -> UndoState:
        return UndoState(self.asking.holdings.changes.undoing[approval].state)


@pytest.fixture
def pair() -> Pair:
    return Pair(random.Random(1))


def assess(books: Books) -> None:
    """The year is assessed meanwhile."""
    figures = books.holdings.years[ACCOUNT]
    books.holdings.set_year(ACCOUNT, figures._replace(shortfall=0))


def test_a_year_that_was_assessed_meanwhile_keeps_its_surrender(pair: Pair) -> None:
    number = pair.surrender(10)
    approval, _ = pair.undo(number, 10)
    pair.collect()
    assess(pair.asking)
    pair.run()
    assert pair.state(approval) == FAILED
    assert pair.asking.holdings.surrendered[ACCOUNT] == 10
    assert pair.asking.holdings.changes.reversals == []
    reason, text = pair.asking.holdings.changes.refusals[-1][2:4]
    assert reason == RegistryReason.YEAR_ASSESSED
    assert "was assessed" in text
    (row,) = pair.keeping.holdings.changes.returns.values()
    assert row.state == ReturnState.KEPT
    assert pair.keeping.tonnes(HOLDING, KEPT) == {"REGISTRY": 9_990}
    _, (at_once,) = pair.undo(number, 10)
    assert isinstance(at_once, InstructionRefused)
    assert at_once.reason == RegistryReason.YEAR_ASSESSED


def test_what_was_kept_once_can_be_undone_later(pair: Pair) -> None:
    number = pair.surrender(10)
    approval, _ = pair.undo(number, 10)
    pair.asking.pass_time(pair.asking.time_ns + OFFSET_ANSWER_HOURS_MAX * HOUR_NS)  # KEEP
    pair.run()
    assert pair.state(approval) == FAILED
    again, _ = pair.undo(number, 10)
    pair.run()
    assert pair.state(again) == DONE
    assert pair.keeping.tonnes(HOLDING, KEPT) == {"REGISTRY": 10_000}
    assert pair.asking.holdings.surrendered[ACCOUNT] == 0
    (reversal,) = pair.asking.holdings.changes.reversals
    assert (reversal.instruction_id, reversal.original) == (again, number)


def test_what_a_stranger_wants_back(pair: Pair) -> None:
    known = pair.surrender(10)
    pair.look_up()
    assert restore(pair, 901, 77, 10) == (
        "REFUSED",
        "no credits are retired for surrender 77 of CN",
    )
    other = f"surrender {known} of CN retired other credits"
    assert restore(pair, 902, known, 9) == ("REFUSED", other)
    assert restore(pair, 903, known, 10) == ("RESTORED", "")


def test_credits_come_back_once(pair: Pair) -> None:
    number = pair.surrender(10)
    pair.look_up()
    assert restore(pair, 901, number, 10) == ("RESTORED", "")
    assert restore(pair, 902, number, 10) == (
        "REFUSED", f"the credits of surrender {number} come back already"
    )  # fmt: skip
    assert restore(pair, 901, number, 10, Word.RETURN)[0] == "RETURNED"
    pair.look_up()
    assert restore(pair, 903, number, 10) == (
        "REFUSED", f"no credits are retired for surrender {number} of CN"
    )  # fmt: skip
    assert restore(pair, 901, number, 10, Word.KEEP)[0] == "RETURNED"  # too late
    assert restore(pair, 904, number, 10, Word.KEEP)[0] == "KEPT"
    assert restore(pair, 904, number, 10)[0] == "KEPT"
    assert restore(pair, 905, number, 10, Word.RETURN)[0] == "REFUSED"


def restore(
    pair: Pair, reversal: int, number: int, quantity: int, word: Word = Word.RESTORE
) -> tuple[str, str]:
    """A request of a stranger; the word of the answer, and why."""
    books = pair.keeping
    sent = len(books.holdings.changes.messages)
    message = Message(word, "CN", reversal, YANGTZE, CCER, 0, str(number))
    books.tell(
        Instruction.OFFSET_REQUEST, HOLDING, quantity, reversal,
        to_notes(message, NOTE_BYTES_MAX), instrument=KEPT,
    )  # fmt: skip
    (said,) = books.holdings.changes.messages[sent:]
    word_said, *_, text = said.notes.split("\n", 5)
    return word_said, text


def test_what_a_stranger_returned_unasked_counts_no_longer(pair: Pair) -> None:
    number = pair.surrender(10)
    approval, _ = pair.undo(number, 10)
    message = Message(Word.RETURNED, "CN", approval, YANGTZE, CCER)
    pair.asking.tell(
        Instruction.OFFSET_ANSWER, YANGTZE, 10, approval, to_notes(message, NOTE_BYTES_MAX),
        instrument=CCER,
    )  # fmt: skip
    assert pair.state(approval) == DONE
    assert pair.asking.holdings.surrendered[ACCOUNT] == 0


def test_open_reversals_are_bounded(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = pair.surrender(5), pair.surrender(5)
    monkeypatch.setattr("exchange.registry.two_reversals.OFFSET_SURRENDERS_OPEN_MAX", 1)
    pair.undo(first, 5)
    _, (full,) = pair.undo(second, 5)
    assert isinstance(full, InstructionRefused)
    assert full.reason == RegistryReason.REGISTRY_LIST_FULL


def test_over_a_bad_net_credits_are_free_or_counted() -> None:
    for seed in range(4):
        pair = Pair(random.Random(seed))
        approvals = []
        for _ in range(12):
            number = pair.surrender(pair.dice.randrange(1, 4))
            quantity = pair.asking.holdings.standings.ended_surrenders[number].quantity
            approvals.append(pair.undo(number, quantity)[0])
            for _ in range(pair.dice.randrange(8)):
                pair.look_up()
                pair.deliver(loses=True)
                pair.look_up()
            if pair.dice.random() < 0.5:
                pair.asking.pass_time(pair.asking.time_ns + OFFSET_ANSWER_HOURS_MAX * HOUR_NS)
        for _ in range(4):
            pair.run()
            pair.asking.pass_time(pair.asking.time_ns + OFFSET_ANSWER_HOURS_MAX * HOUR_NS)
        pair.run()
        states = [pair.state(approval) for approval in approvals]
        assert set(states) == {DONE, FAILED}
        counted = pair.asking.holdings.used(ACCOUNT, ("CCER",))
        assert counted == pair.asking.holdings.surrendered[ACCOUNT]
        assert sum(pair.keeping.holdings.totals.values()) == 10_000 - counted
        assert pair.keeping.tonnes(HOLDING, KEPT) == {"REGISTRY": 10_000 - counted}


def test_other_offsets_are_not_left_beyond_their_limits(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = pair.surrender(10)
    two = pair.asking.registrar._two_reversals
    seen: list[Any] = []

    def refuse(*told: Any) -> None:
        seen.append(told[3])
        raise RefusalError(RegistryReason.OFFSET_CAP_EXCEEDED, "beyond")

    monkeypatch.setattr(two, "_check_fit", refuse)
    _, (said,) = pair.undo(number, 10)
    assert isinstance(said, InstructionRefused)
    assert said.reason == RegistryReason.OFFSET_CAP_EXCEEDED
    assert seen == [{("CCER", 0): 10}]


def test_messages_of_another_surrender_change_nothing(pair: Pair) -> None:
    number = pair.surrender(10)
    pair.look_up()
    assert restore(pair, 901, number, 10)[0] == "RESTORED"
    for told in ((901, number + 1, 10), (901, number, 11)):
        message = Message(Word.RETURN, "CN", told[0], YANGTZE, CCER, 0, str(told[1]))
        said = pair.keeping.refused(
            Instruction.OFFSET_REQUEST, HOLDING, told[2], told[0],
            to_notes(message, NOTE_BYTES_MAX), instrument=KEPT,
        )  # fmt: skip
        assert said == RegistryReason.OFFSET_OUT_OF_STEP
    message = Message(Word.RESTORED, "CN", 5, YANGTZE, CCER)
    said = allowances().refused(
        Instruction.OFFSET_ANSWER, YANGTZE, 10, 5, to_notes(message, NOTE_BYTES_MAX),
        instrument=CCER,
    )  # fmt: skip
    assert said == RegistryReason.OFFSET_OUT_OF_STEP
