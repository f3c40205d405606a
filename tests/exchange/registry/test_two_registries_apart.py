"""Either registry against a stranger, and both over a net that loses, repeats and turns around."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter

import pytest
from msgspec.structs import replace

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import InstructionRefused, OffsetSurrenderChanged, RegistryItem
from exchange.registry.saga import AllowanceState, Message, Word, to_notes
from exchange.registry.standings import Outgoing
from exchange.settings import NOTE_BYTES_MAX, OFFSET_ANSWER_HOURS_MAX
from tests.books_registrar import RULEBOOK, Books, at
from tests.books_two import HOLDING, KEPT, STRANGER, TWO, WANTED
from tests.books_venue import CCER, CEA_2024, YANGTZE, YEAR

HOUR_NS = 3_600 * 10**9
ACCOUNT = (YANGTZE, "cn-national", YEAR)


def allowances(**more: object) -> Books:
    """The registry of the allowances: account 203 owes 1,000 t, so 50 t of credits at most."""
    books = Books({YANGTZE: 4}, market="CN", venue=TWO, **more)  # type: ignore[arg-type]
    books.tell(Instruction.ISSUE, YANGTZE, 10_000, instrument=CEA_2024)
    books.owe(*ACCOUNT, 1_000)
    books.tell(Instruction.BIND_ACCOUNT, YANGTZE, 0, HOLDING, "office\nCV", instrument=CCER)
    return books


def credits_() -> Books:
    """The registry of the credits: general holding 301 with 10,000 t, bound to account 203."""
    books = Books({HOLDING: 4, STRANGER: 5}, market="CV", venue=TWO)
    kind = "office\nccer_general_holding"
    books.tell(Instruction.SET_ACCOUNT_TYPE, HOLDING, notes=kind, instrument=KEPT)
    books.tell(Instruction.BIND_ACCOUNT, HOLDING, 0, YANGTZE, "office\nCN", instrument=KEPT)
    books.tell(Instruction.ISSUE, HOLDING, 10_000, instrument=KEPT)
    return books


def ask(books: Books, quantity: int) -> tuple[int, list[RegistryItem]]:
    number = books.number
    return number, books.tell(Instruction.SURRENDER, YANGTZE, quantity, YEAR, instrument=CCER)


def hear(books: Books, word: Word, number: int, quantity: int, reason: int = 0) -> str:
    """An answer of a stranger; the state that follows, "" when nothing is said."""
    notes = to_notes(Message(word, "CN", number, YANGTZE, CCER, reason), NOTE_BYTES_MAX)
    said = books.tell(Instruction.OFFSET_ANSWER, YANGTZE, quantity, number, notes, instrument=CCER)
    states = [item.state for item in said if isinstance(item, OffsetSurrenderChanged)]
    assert len(states) <= 1
    return states[0] if states else ""


def request(books: Books, word: Word, number: int, quantity: int, account: int = YANGTZE) -> str:
    """A request of a stranger; what is answered."""
    sent = len(books.holdings.changes.messages)
    text = WANTED if word == Word.FREEZE else ""
    notes = to_notes(Message(word, "CN", number, account, CCER, 0, text), NOTE_BYTES_MAX)
    books.tell(Instruction.OFFSET_REQUEST, HOLDING, quantity, number, notes, instrument=KEPT)
    (said,) = books.holdings.changes.messages[sent:]
    return said.notes.split("\n")[0]


def counted(books: Books) -> int:
    assert books.holdings.surrendered.get(ACCOUNT, 0) == books.holdings.used(ACCOUNT, ("CCER",))
    return books.holdings.surrendered.get(ACCOUNT, 0)


@pytest.mark.parametrize("word", [Word.RELEASED, Word.REFUSED])
@pytest.mark.parametrize("is_late", [False, True])
def test_what_was_counted_is_given_back(word: Word, *, is_late: bool) -> None:
    books = allowances()
    number, _ = ask(books, 50)
    assert hear(books, Word.FROZEN, number, 50) == "BOOKED"
    assert counted(books) == 50
    if is_late:
        (said,) = books.pass_time(books.time_ns + OFFSET_ANSWER_HOURS_MAX * HOUR_NS)
        assert isinstance(said, OffsetSurrenderChanged)
        assert (said.state, said.is_counted) == ("RELEASING", True)
        assert counted(books) == 50  # until it is known to be released
    assert hear(books, word, number, 50) == "FAILED"
    assert counted(books) == 0
    reason = books.holdings.changes.refusals[-1][2]
    assert reason == (
        RegistryReason.OFFSET_TIMED_OUT if is_late else RegistryReason.OFFSET_OUT_OF_STEP
    )
    assert books.holdings.changes.surrenders == []
    for late in (Word.FROZEN, Word.RETIRED, Word.RELEASED):
        assert hear(books, late, number, 50) == ""
    again, _ = ask(books, 50)
    assert hear(books, Word.FROZEN, again, 50) == "BOOKED"


def test_what_a_stranger_retired_unasked_counts() -> None:
    books = allowances()
    number, _ = ask(books, 50)
    assert hear(books, Word.RETIRED, number, 50) == "DONE"
    assert counted(books) == 50
    (row,) = books.holdings.changes.surrenders
    assert (row.instruction_id, row.quantity) == (number, 50)


def test_reasons_of_a_stranger() -> None:
    books = allowances()
    for told, shown in ((610, 610), (9_999, RegistryReason.OFFSET_OUT_OF_STEP), (0, 670)):
        number, _ = ask(books, 50)
        assert hear(books, Word.REFUSED, number, 50, told) == "FAILED"
        assert books.holdings.changes.refusals[-1][0] == number
        assert books.holdings.changes.refusals[-1][2] == shown


@pytest.mark.parametrize(
    ("at_ns", "is_soon"),
    [(OFFSET_ANSWER_HOURS_MAX * HOUR_NS - 1, True), (OFFSET_ANSWER_HOURS_MAX * HOUR_NS, False)],
)
def test_the_deadline(at_ns: int, *, is_soon: bool) -> None:
    books = allowances()
    begun = books.time_ns
    number, _ = ask(books, 50)
    said = books.pass_time(begun + at_ns)
    assert bool(said) != is_soon
    assert hear(books, Word.FROZEN, number, 50) == ("BOOKED" if is_soon else "")


def test_a_release_is_asked_for_until_it_is_answered() -> None:
    books = allowances()
    begun = books.time_ns
    ask(books, 50)
    for days in range(1, 4):
        books.pass_time(begun + days * OFFSET_ANSWER_HOURS_MAX * HOUR_NS)
    words = [message.notes.split("\n")[0] for message in books.holdings.changes.messages]
    assert words == ["FREEZE", "RELEASE", "RELEASE", "RELEASE"]
    assert [m.ref for m in books.holdings.changes.messages] == [1, 2, 3, 4]


def test_the_rules_of_the_day_when_it_was_asked_hold() -> None:
    last = dt.date(2026, 11, 23)
    schemes = tuple(
        replace(
            scheme,
            rules=tuple(
                replace(rule, effective_to=last) if rule.id == "cn-2025-2026-draft" else rule
                for rule in scheme.rules
            ),
        )
        for scheme in RULEBOOK.scheme
    )
    books = allowances(rulebook=replace(RULEBOOK, scheme=schemes))
    number, _ = ask(books, 50)
    books.time_ns = at(23, 23)  # in China the next day has begun
    _, late = ask(books, 1)
    assert isinstance(late[0], InstructionRefused)
    assert hear(books, Word.FROZEN, number, 50) == "BOOKED"


def test_a_binding_to_another_registry_is_none() -> None:
    books = allowances()
    books.tell(Instruction.BIND_ACCOUNT, YANGTZE, 0, 0, "office\nCV", instrument=CCER)
    books.tell(Instruction.BIND_ACCOUNT, YANGTZE, 0, HOLDING, "office\nEU", instrument=CCER)
    _, (said,) = ask(books, 10)
    assert isinstance(said, InstructionRefused)
    assert said.reason == RegistryReason.CREDITS_NOT_BOUND


def test_open_surrenders_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.registry.two_registries.OFFSET_SURRENDERS_OPEN_MAX", 2)
    books = allowances()
    first, _ = ask(books, 1)
    ask(books, 1)
    _, (full,) = ask(books, 1)
    assert isinstance(full, InstructionRefused)
    assert full.reason == RegistryReason.REGISTRY_LIST_FULL
    assert hear(books, Word.REFUSED, first, 1) == "FAILED"
    _, (asked,) = ask(books, 1)
    assert isinstance(asked, OffsetSurrenderChanged)


def test_only_for_the_account_that_it_is_bound_to() -> None:
    books = credits_()
    assert request(books, Word.FREEZE, 1, 10, account=999) == "REFUSED"
    assert request(books, Word.FREEZE, 2, 10) == "FROZEN"
    books.tell(Instruction.BIND_ACCOUNT, HOLDING, 0, 0, "office\nCN", instrument=KEPT)
    assert request(books, Word.FREEZE, 3, 10) == "REFUSED"
    assert request(books, Word.RETIRE, 2, 10) == "RETIRED"  # what is frozen stays bound to it
    books.tell(Instruction.BIND_ACCOUNT, HOLDING, 0, YANGTZE, "office\nCN", instrument=KEPT)
    books.tell(Instruction.SET_ACCOUNT_TYPE, HOLDING, notes="office\ncn_key_emitter",
               instrument=KEPT)  # fmt: skip
    assert request(books, Word.FREEZE, 4, 10) == "REFUSED"


def test_a_blocked_account_surrenders_what_is_owed() -> None:
    books = credits_()
    books.tell(Instruction.BLOCK_ACCOUNT, HOLDING, notes="office\nfile 7", instrument=KEPT)
    assert request(books, Word.FREEZE, 1, 10) == "FROZEN"
    assert request(books, Word.RETIRE, 1, 10) == "RETIRED"
    asking = allowances()
    asking.tell(Instruction.BLOCK_ACCOUNT, YANGTZE, notes="office\nfile 7", instrument=CCER)
    _, (said,) = ask(asking, 10)
    assert isinstance(said, OffsetSurrenderChanged)


class Net:
    """Messages under way between the two: lost, repeated and turned around."""

    def __init__(self, dice: random.Random) -> None:
        self.asking, self.keeping = allowances(), credits_()
        self.dice = dice
        self._taken = {id(self.asking): 0, id(self.keeping): 0}
        self._under_way: list[tuple[Books, Outgoing]] = []

    def collect(self) -> None:
        for books, other in ((self.asking, self.keeping), (self.keeping, self.asking)):
            sent = books.holdings.changes.messages[self._taken[id(books)] :]
            self._taken[id(books)] += len(sent)
            self._under_way += [(other, message) for message in sent]

    def deliver(self, *, loses: bool) -> bool:
        """One of the messages, whichever; False when none is under way."""
        self.collect()
        if not self._under_way:
            return False
        books, message = self._under_way.pop(self.dice.randrange(len(self._under_way)))
        fate = self.dice.random() if loses else 1.0
        if fate < 0.15:
            return True
        if fate < 0.3:
            self._under_way.append((books, message))
        said = books.tell(
            Instruction(message.kind), message.account, message.quantity, message.argument,
            message.notes, instrument=message.instrument_id,
        )  # fmt: skip
        assert not any(isinstance(item, InstructionRefused) and item.reason == 670 for item in said)
        return True

    def check(self) -> None:
        retired = 10_000 - sum(self.keeping.holdings.totals.values())
        assert retired <= counted_credits(self.asking)  # never retired without being counted


def counted_credits(books: Books) -> int:
    return books.holdings.used(ACCOUNT, ("CCER",))


@pytest.mark.parametrize("seed", range(6))
def test_over_a_bad_net_nothing_is_retired_twice_or_uncounted(seed: int) -> None:
    dice = random.Random(seed)
    net = Net(dice)
    asking, keeping = net.asking, net.keeping
    outcomes: Counter[str] = Counter()
    for _ in range(400):
        act = dice.randrange(10)
        if act == 0:
            ask(asking, dice.randrange(1, 30))
        elif act == 1:
            asking.tell(
                Instruction.SURRENDER, YANGTZE, dice.randrange(1, 20), YEAR, instrument=CEA_2024
            )
        elif act == 2 and dice.random() < 0.3:
            asking.pass_time(asking.time_ns + OFFSET_ANSWER_HOURS_MAX * HOUR_NS)
        elif act == 3:
            some = (HOLDING, dice.randrange(1, 9_990))
            if dice.random() < 0.5:
                keeping.tell(Instruction.FREEZE, *some, 0, "court\nfile", instrument=KEPT)
            else:
                keeping.both(Instruction.UNFREEZE, *some, "court\nfile", instrument=KEPT)
        elif act == 4:
            owed = asking.holdings.years[ACCOUNT].obligation or 0
            given = asking.holdings.surrendered[ACCOUNT]
            asking.owe(*ACCOUNT, max(given, owed + dice.randrange(-40, 60)))
        else:
            net.deliver(loses=True)
        net.check()
    for _ in range(4):  # what was lost is asked for again, now over a good net
        while net.deliver(loses=False):
            net.check()
        asking.pass_time(asking.time_ns + OFFSET_ANSWER_HOURS_MAX * HOUR_NS)
    while net.deliver(loses=False):
        net.check()
    assert not asking.holdings.standings.surrenders
    assert not keeping.holdings.standings.holds
    ended = asking.holdings.changes.offsets.values()
    done = {row.instruction_id: row.quantity for row in ended if row.state == AllowanceState.DONE}
    outcomes.update(AllowanceState(row.state).name for row in ended)
    assert outcomes.keys() == {"DONE", "FAILED"}
    assert done == {
        hold.surrender_id: hold.quantity
        for hold in keeping.holdings.changes.holds.values()
        if hold.state == 2
    }
    retired = 10_000 - sum(keeping.holdings.totals.values())
    assert retired == sum(done.values()) == counted_credits(asking)
    rows = [row for row in asking.holdings.changes.surrenders if row.rule]
    assert {row.instruction_id: row.quantity for row in rows} == done
    assert asking.holdings.surrendered[ACCOUNT] <= (asking.holdings.years[ACCOUNT].obligation or 0)
    assert len({row.instruction_id for row in rows}) == len(rows)
