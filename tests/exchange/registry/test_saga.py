"""The two state machines alone: every order, loss, repeat and timeout of their messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from exchange.messages.registry import CreditLot
from exchange.registry.saga import (
    ALLOWANCE,
    ANSWERS,
    CREDIT,
    REQUESTS,
    RETURN,
    UNDO,
    UNDO_ANSWERS,
    UNDO_REQUESTS,
    AllowanceState,
    CreditState,
    Message,
    ReturnState,
    UndoState,
    Word,
    from_notes,
    to_notes,
)
from exchange.registry.saga_texts import (
    Wanted,
    lots_of,
    lots_text,
    surrender_of,
    wanted_of,
    wanted_text,
)
from exchange.settings import NOTE_BYTES_MAX

ENDS = (AllowanceState.DONE, AllowanceState.FAILED)


class World(NamedTuple):
    """Both registries, and every message that was ever said: each may arrive at any time again."""

    allowance: AllowanceState = AllowanceState.ASKED
    is_counted: bool = False
    credit: CreditState = CreditState.UNKNOWN
    requests: frozenset[Word] = frozenset({Word.FREEZE})
    answers: frozenset[Word] = frozenset()


def heard(world: World, word: Word) -> World:
    """The registry of the allowances hears an answer, or notices MISFIT or TIMEOUT."""
    step = ALLOWANCE.get((world.allowance, word))
    if step is None:
        return world
    is_counted = step.state in (AllowanceState.BOOKED, AllowanceState.DONE) or (
        world.is_counted and step.state != AllowanceState.FAILED
    )
    requests = world.requests | ({step.say} if step.say else set())
    return world._replace(allowance=step.state, is_counted=is_counted, requests=requests)


def asked(world: World, word: Word, *, is_refused: bool = False) -> World:
    """The registry of the credits hears a request; a first FREEZE may be impossible."""
    step = CREDIT[world.credit, word]
    state, say = step
    if is_refused:
        state, say = CreditState.REFUSED, Word.REFUSED
    return world._replace(credit=state, answers=world.answers | {say})


def following(world: World) -> Iterator[World]:
    for word in world.requests:
        yield asked(world, word)
        if (world.credit, word) == (CreditState.UNKNOWN, Word.FREEZE):
            yield asked(world, word, is_refused=True)
    for word in world.answers:
        yield heard(world, word)
        if (world.allowance, word) == (AllowanceState.ASKED, Word.FROZEN):
            yield heard(world, Word.MISFIT)
    yield heard(world, Word.TIMEOUT)


def reachable() -> set[World]:
    found, new = {World()}, [World()]
    while new:
        for world in following(new.pop()):
            if world not in found:
                found.add(world)
                new.append(world)
    return found


WORLDS = reachable()


def test_every_world_is_sound() -> None:
    assert {world.allowance for world in WORLDS} == set(AllowanceState)
    assert {world.credit for world in WORLDS} == set(CreditState) - {CreditState.RETURNED}
    for world in WORLDS:
        if world.credit == CreditState.RETIRED:
            assert world.is_counted, world  # never retired without being counted
        if world.allowance == AllowanceState.DONE:
            assert world.credit == CreditState.RETIRED, world  # nor counted for good without
            assert world.is_counted, world
        if world.allowance == AllowanceState.FAILED:
            assert world.credit in (CreditState.RELEASED, CreditState.REFUSED), world
            assert not world.is_counted, world


def test_nothing_is_retired_after_a_release_or_released_after_retiring() -> None:
    for world in WORLDS:
        for after in following(world):
            if world.credit in (CreditState.RETIRED, CreditState.RELEASED, CreditState.REFUSED):
                assert after.credit == world.credit
            if world.allowance in ENDS:
                assert after.allowance == world.allowance


def test_from_everywhere_it_ends_when_all_is_heard() -> None:
    for start in WORLDS:
        world = start
        for _ in range(4):  # each request heard, then each answer
            for word in sorted(world.requests):
                world = asked(world, word)
            for word in sorted(world.answers):
                world = heard(world, word)
            if world.allowance not in ENDS and world.allowance != AllowanceState.BOOKED:
                world = heard(world, Word.TIMEOUT)
        assert world.allowance in ENDS, (start, world)
        assert world.credit != CreditState.FROZEN


def test_the_tables_say_something_for_every_request() -> None:
    assert set(CREDIT) == {(state, word) for state in CreditState for word in REQUESTS}
    assert {word for _, word in ALLOWANCE} == {*ANSWERS, Word.MISFIT, Word.TIMEOUT}
    assert {state for state, _ in ALLOWANCE} == set(AllowanceState) - set(ENDS)
    assert all(step.say in ANSWERS for step in CREDIT.values())
    assert all(step.say in (None, *REQUESTS) for step in ALLOWANCE.values())


class Undoing(NamedTuple):
    """Both registries while a surrender is undone, and every message that was ever said."""

    allowance: UndoState = UndoState.ASKED
    is_counted: bool = True
    credit: ReturnState = ReturnState.UNKNOWN
    requests: frozenset[Word] = frozenset({Word.RESTORE})
    answers: frozenset[Word] = frozenset()


def undo_heard(world: Undoing, word: Word) -> Undoing:
    step = UNDO.get((world.allowance, word))
    if step is None:
        return world
    is_counted = world.is_counted and step.state not in (UndoState.UNDONE, UndoState.DONE)
    requests = world.requests | ({step.say} if step.say else set())
    return world._replace(allowance=step.state, is_counted=is_counted, requests=requests)


def undo_asked(world: Undoing, word: Word, *, is_refused: bool = False) -> Undoing:
    state, say = RETURN[world.credit, word]
    if is_refused:
        state, say = ReturnState.REFUSED, Word.REFUSED
    return world._replace(credit=state, answers=world.answers | {say})


def undo_following(world: Undoing) -> Iterator[Undoing]:
    for word in world.requests:
        yield undo_asked(world, word)
        if (world.credit, word) == (ReturnState.UNKNOWN, Word.RESTORE):
            yield undo_asked(world, word, is_refused=True)
    for word in world.answers:
        yield undo_heard(world, word)
        if (world.allowance, word) == (UndoState.ASKED, Word.RESTORED):
            yield undo_heard(world, Word.MISFIT)
    yield undo_heard(world, Word.TIMEOUT)


def undo_reachable() -> set[Undoing]:
    found, new = {Undoing()}, [Undoing()]
    while new:
        for world in undo_following(new.pop()):
            if world not in found:
                found.add(world)
                new.append(world)
    return found


UNDO_WORLDS = undo_reachable()


def test_every_world_of_a_reversal_is_sound() -> None:
    assert {world.allowance for world in UNDO_WORLDS} == set(UndoState)
    assert {world.credit for world in UNDO_WORLDS} == set(ReturnState)
    for world in UNDO_WORLDS:
        if world.credit == ReturnState.RETURNED:
            assert not world.is_counted, world  # never free while it counts
        if world.allowance == UndoState.DONE:
            assert world.credit == ReturnState.RETURNED, world
            assert not world.is_counted, world
        if world.allowance == UndoState.FAILED:
            assert world.credit in (ReturnState.KEPT, ReturnState.REFUSED), world
            assert world.is_counted, world


def test_from_where_it_turns_a_reversal_goes_forward_only() -> None:
    for world in UNDO_WORLDS:
        for after in undo_following(world):
            assert after.is_counted <= world.is_counted, (world, after)
            if world.allowance == UndoState.UNDONE:
                assert after.allowance in (UndoState.UNDONE, UndoState.DONE)
            if world.credit in (ReturnState.RETURNED, ReturnState.KEPT, ReturnState.REFUSED):
                assert after.credit == world.credit


def test_from_everywhere_a_reversal_ends_when_all_is_heard() -> None:
    ends = (UndoState.DONE, UndoState.FAILED)
    for start in UNDO_WORLDS:
        world = start
        for _ in range(4):
            for word in sorted(world.requests):
                world = undo_asked(world, word)
            for word in sorted(world.answers):
                world = undo_heard(world, word)
            if world.allowance not in ends:
                world = undo_heard(world, Word.TIMEOUT)
        assert world.allowance in ends, (start, world)
        assert world.credit != ReturnState.RESTORED


def test_the_tables_of_a_reversal_say_something_for_every_request() -> None:
    assert set(RETURN) == {(state, word) for state in ReturnState for word in UNDO_REQUESTS}
    assert {word for _, word in UNDO} == {*UNDO_ANSWERS, Word.MISFIT, Word.TIMEOUT}
    assert all(say in UNDO_ANSWERS for _, say in RETURN.values())
    assert all(step.say in (None, *UNDO_REQUESTS) for step in UNDO.values())


LOTS = (CreditLot(0, 3), CreditLot(7, 4, "wind", "CN-GD:meizhou", ("direct", "partner")))


def test_what_messages_say_beside_their_word() -> None:
    wanted = Wanted("cn-national", 2025, 10**18, 7)
    assert wanted_of(wanted_text(wanted)) == wanted
    assert lots_of(lots_text(LOTS), 7) == LOTS
    assert lots_of("", 9) == (CreditLot(0, 9),)
    assert surrender_of("77") == 77


@pytest.mark.parametrize(
    "text",
    ["", "cn 2025 1", "cn 0 1 0", "cn 10000 1 0", f"cn 2025 1 {2**31}", f"cn 2025 {2**63} 0",
     "cn -1 1 0", "cn 2025 1 0 0"],
)  # fmt: skip
def test_what_is_no_wish(text: str) -> None:
    with pytest.raises(ValueError, match="FREEZE"):
        wanted_of(text)


@pytest.mark.parametrize(
    "text",
    ["1 8 wind CN -", "1 3 wind CN -\n1 4 wind CN -", "1 7 wi-nd CN -", "1 7 wind CN",
     "1 7 wind cn -", f"{2**31} 7 - - -", "1 0 - - -\n2 7 - - -"],
)  # fmt: skip
def test_what_is_no_credit_of_a_project(text: str) -> None:
    with pytest.raises(ValueError, match="credits"):
        lots_of(text, 7)


@pytest.mark.parametrize("text", ["", "-1", "1 2", str(2**63), "٣"])
def test_what_is_no_number_of_a_surrender(text: str) -> None:
    with pytest.raises(ValueError, match="number of a surrender"):
        surrender_of(text)


def test_messages_as_text() -> None:
    message = Message(Word.REFUSED, "CN", 77, 203, 21, 601, "account 301 has 5 t\nnot 10 t")
    notes = to_notes(message, NOTE_BYTES_MAX)
    assert notes.startswith("REFUSED\nCN\n203\n21\n601\naccount 301")
    assert from_notes(notes, 77) == message
    long = to_notes(message._replace(text="碳" * 400), NOTE_BYTES_MAX)
    assert NOTE_BYTES_MAX - 3 < len(long.encode()) <= NOTE_BYTES_MAX
    assert set(from_notes(long, 77).text) == {"碳"}


@pytest.mark.parametrize(
    "notes",
    [
        "", "FREEZE", "FREEZE\nCN\n203\n21\n0", "EAT\nCN\n203\n21\n0\n", "MISFIT\nCN\n203\n21\n0\n",
        "FREEZE\nCN\n-1\n21\n0\n", "FREEZE\nCN\n203\n\n0\n", "FREEZE\nCN\n٣\n21\n0\n",
        f"FREEZE\nCN\n{2**32}\n21\n0\n", f"FREEZE\nCN\n203\n{2**16}\n0\n",
    ],
)  # fmt: skip
def test_what_is_no_message(notes: str) -> None:
    with pytest.raises(ValueError, match=r"no |six lines|out of range"):
        from_notes(notes, 1)
