"""Blocks of one account: each a measure of its own, ended alone; free when the last has ended."""

from __future__ import annotations

import pytest

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import AccountChanged, InstructionRefused, RegistryItem
from exchange.registry.standings import Act, Standing
from exchange.settings import BLOCKS_MAX
from tests.books_registrar import Books
from tests.exchange.registry.test_accounts import FIRMS, OPERATOR, OTHER
from tests.exchange.registry.test_two_persons import waits

BLOCK, UNBLOCK = Instruction.BLOCK_ACCOUNT, Instruction.UNBLOCK_ACCOUNT
APPROVE = Instruction.APPROVE_TRANSFER


@pytest.fixture
def books() -> Books:
    books = Books(FIRMS)
    books.tell(Instruction.ISSUE, OPERATOR, 1_000)
    return books


def block(books: Books, notes: str) -> int:
    """Sets a block; its number."""
    (said,) = books.tell(BLOCK, OPERATOR, notes=notes)
    assert isinstance(said, AccountChanged), said
    return said.instruction_id


def propose_end(books: Books, number: int, notes: str = "court\nover\nauthority") -> int:
    """Proposes to end a block, 0 = the only one; the number of the proposal."""
    waiting = waits(books.tell(UNBLOCK, OPERATOR, 0, number, notes))
    return waiting.instruction_id


def approve(books: Books, proposal: int, by: str = "judge\nauthority") -> RegistryItem:
    """What is said last when a second person approves."""
    *_, said = books.tell(APPROVE, OPERATOR, 0, proposal, by)
    return said


def moves(books: Books) -> bool:
    """Whether a unit can leave the account now."""
    (said,) = books.tell(Instruction.DEPOSIT, OPERATOR, 1)
    return not isinstance(said, InstructionRefused)


def references(books: Books) -> list[str]:
    standing = books.holdings.standings.of(OPERATOR)
    return [act.text for act in standing.blocks.values()]


@pytest.mark.parametrize("is_last_first", [False, True])
def test_two_blocks_end_one_by_one(books: Books, is_last_first: bool) -> None:
    blocks = {block(books, f"court\n{file}"): file for file in ("file 7", "file 9")}
    assert references(books) == ["file 7", "file 9"]
    first, last = sorted(blocks, reverse=is_last_first)
    said = approve(books, propose_end(books, first))
    assert isinstance(said, AccountChanged)
    assert (said.kind, said.other_account, said.text) == ("UNBLOCK_ACCOUNT", first, "over")
    assert references(books) == [blocks[last]]
    assert not moves(books)
    approve(books, propose_end(books, last))
    assert references(books) == []
    assert moves(books)


def test_of_several_blocks_one_is_named(books: Books) -> None:
    one, two = block(books, "court\nfile 7"), block(books, "tax\nfile 9")
    (said,) = books.tell(UNBLOCK, OPERATOR, 0, 0, "court\nover\nauthority")
    assert isinstance(said, InstructionRefused)
    assert said.reason == RegistryReason.BLOCK_NOT_NAMED
    for words in (f"{one} (file 7)", f"{two} (file 9)"):
        assert words in said.text
    none = books.refused(UNBLOCK, OPERATOR, 0, 999, "court\nover\nauthority")
    assert none == RegistryReason.ACCOUNT_NOT_BLOCKED
    books.tell(BLOCK, OTHER, notes="court\nfile 7")
    other = books.number - 1  # a block of another account
    assert books.refused(UNBLOCK, OPERATOR, 0, other, "court\nover\nauthority") == none
    assert references(books) == ["file 7", "file 9"]


def test_the_only_block_needs_no_name_and_is_the_one_that_was_there(books: Books) -> None:
    one = block(books, "court\nfile 7")
    proposal = propose_end(books, 0)
    assert books.holdings.standings.transfers[proposal].argument == one
    block(books, "tax\nfile 9")  # came while the end of the first waited
    approve(books, proposal)
    assert references(books) == ["file 9"]
    assert not moves(books)


def test_a_block_ends_once(books: Books) -> None:
    one = block(books, "court\nfile 7")
    twice = [propose_end(books, one), propose_end(books, one)]
    approve(books, twice[0])
    block(books, "tax\nfile 9")
    late = books.refused(APPROVE, OPERATOR, 0, twice[1], "judge\nauthority")
    assert late == RegistryReason.ACCOUNT_NOT_BLOCKED
    assert references(books) == ["file 9"]


def test_blocks_of_an_account_are_bounded(books: Books) -> None:
    for number in range(BLOCKS_MAX):
        block(books, f"court\nfile {number}")
    full = books.refused(BLOCK, OPERATOR, notes="court\none more")
    assert full == RegistryReason.REGISTRY_LIST_FULL
    (said,) = books.tell(Instruction.DEPOSIT, OPERATOR, 1)
    assert isinstance(said, InstructionRefused)
    assert said.text.endswith(f"file 0; file 1; file 2; and {BLOCKS_MAX - 3} more")


def test_what_ended_every_block_in_older_books_still_does() -> None:
    """An end of before says no block: it ended whatever stood."""
    standing = Standing()
    for number, kind in ((1, BLOCK), (2, BLOCK), (3, UNBLOCK), (4, BLOCK)):
        standing.apply(Act(number, kind, OPERATOR, 0, "court", f"file {number}", "", 0, 0))
    assert list(standing.blocks) == [4]


def test_an_end_that_waited_in_older_books_means_what_stood_then(books: Books) -> None:
    """It says no block: of one it is that one, of two it is neither, and never one that came."""
    waiting = books.holdings.standings.transfers

    def older(proposal: int) -> int:
        waiting[proposal] = waiting[proposal]._replace(argument=0)
        return proposal

    one = block(books, "court\nfile 7")
    first, second, third = (older(propose_end(books, one)) for _ in range(3))
    two = block(books, "tax\nfile 9")
    approve(books, first)
    assert references(books) == ["file 9"]
    approval = (APPROVE, OPERATOR, 0, second, "judge\nauthority")
    assert books.refused(*approval) == RegistryReason.ACCOUNT_BLOCKED
    both = older(propose_end(books, two))
    approve(books, propose_end(books, two))
    assert books.refused(*approval) == RegistryReason.ACCOUNT_NOT_BLOCKED
    assert books.refused(APPROVE, OPERATOR, 0, both, "judge\nauthority") == (
        RegistryReason.ACCOUNT_NOT_BLOCKED
    )
    named = block(books, "court\nfile 11")
    block(books, "tax\nfile 12")
    last = older(propose_end(books, named))
    refusal = books.refused(APPROVE, OPERATOR, 0, last, "judge\nauthority")
    assert refusal == RegistryReason.BLOCK_NOT_NAMED
    assert third in waiting
