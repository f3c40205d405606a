"""Bounds of lists, and what changed between a proposal, its approval and its time."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import AccountChanged, TransferEnded, TransferWaits
from exchange.settings import REPRESENTATIVES_MAX, TRANSFER_APPROVAL_DAYS_MAX
from tests.books_registrar import Books, at
from tests.exchange.registry.test_accounts import FIRMS, OPERATOR, OTHER, typed

DAY_NS = 86_400 * 10**9


@pytest.fixture
def books() -> Books:
    books = Books(FIRMS)
    books.tell(Instruction.ISSUE, OPERATOR, 1_000)
    return books


def test_representatives_are_bounded(books: Books) -> None:
    for number in range(REPRESENTATIVES_MAX):
        books.tell(Instruction.APPOINT_REPRESENTATIVE, OPERATOR, notes=f"office\nkey{number}")
    full = books.refused(Instruction.APPOINT_REPRESENTATIVE, OPERATOR, notes="office\none more")
    assert full == RegistryReason.REGISTRY_LIST_FULL
    (again,) = books.tell(Instruction.APPOINT_REPRESENTATIVE, OPERATOR, notes="office\nkey0")
    assert isinstance(again, AccountChanged)


def test_waiting_transfers_are_bounded(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.registry.transfers.TRANSFERS_WAITING_MAX", 3)
    move = (Instruction.TRANSFER, OPERATOR, 1, OTHER, "ann")
    for _ in range(3):
        books.tell(*move)
    assert books.refused(*move) == RegistryReason.REGISTRY_LIST_FULL
    books.pass_time(at(24, 12))
    (waiting,) = books.tell(*move)
    assert isinstance(waiting, TransferWaits)


@pytest.mark.parametrize("blocked", [OPERATOR, OTHER])
def test_a_block_stops_an_approval(books: Books, blocked: int) -> None:
    typed(books, OPERATOR, "100-12", "ann", "ben", needs_two=True)
    number = books.number
    books.tell(Instruction.TRANSFER, OPERATOR, 10, OTHER, "ann", time_ns=at(23, 10))
    approval = (Instruction.APPROVE_TRANSFER, OPERATOR, 10, number, "ben")
    books.tell(Instruction.BLOCK_ACCOUNT, blocked, notes="office\nfile 7")
    assert books.refused(*approval) == RegistryReason.ACCOUNT_BLOCKED
    books.both(Instruction.UNBLOCK_ACCOUNT, blocked)
    (said,) = books.tell(*approval)
    assert isinstance(said, TransferWaits)


def test_an_approval_late_in_the_month_is_not_cut_short(books: Books) -> None:
    typed(books, OPERATOR, "100-12", "ann", "ben", needs_two=True)
    number = books.number
    books.tell(Instruction.TRANSFER, OPERATOR, 10, OTHER, "ann", time_ns=at(23, 10))
    lapses_ns = at(23, 10) + TRANSFER_APPROVAL_DAYS_MAX * DAY_NS
    (said,) = books.tell(
        Instruction.APPROVE_TRANSFER, OPERATOR, 10, number, "ben", time_ns=lapses_ns - 1
    )
    assert isinstance(said, TransferWaits)
    assert said.due_ns > lapses_ns
    assert books.pass_time(lapses_ns) == []
    assert books.pass_time(said.due_ns - 1) == []
    (done,) = books.pass_time(said.due_ns)
    assert isinstance(done, TransferEnded)
    assert done.outcome == "DONE"


@pytest.mark.parametrize("account", [OPERATOR, OTHER])
def test_too_few_representatives_stop_what_is_on_its_way(books: Books, account: int) -> None:
    books.tell(Instruction.TRANSFER, OPERATOR, 10, OTHER, "ann", time_ns=at(23, 10))
    typed(books, account, "100-12", "ann")
    (stopped,) = books.pass_time(at(24, 12))
    assert isinstance(stopped, TransferEnded)
    assert (stopped.outcome, stopped.ended_by) == ("STOPPED", 0)
    assert "has 1 representatives; a trading needs 2" in stopped.text
    assert books.tonnes(OPERATOR) == {"REGISTRY": 1_000}


def test_an_instruction_about_an_account_that_is_not_there(books: Books) -> None:
    wanted: list[tuple[Any, ...]] = [
        (Instruction.SET_ACCOUNT_TYPE, 999, 0, 0, "office\n100-7"),
        (Instruction.APPOINT_REPRESENTATIVE, 999, 0, 0, "office\nann"),
        (Instruction.BLOCK_ACCOUNT, 999, 0, 0, "office\nfile 7"),
        (Instruction.BIND_ACCOUNT, 999, 0, 301, "office\nCN"),
        (Instruction.APPROVE_TRUST, 999, 0, OTHER, "ann"),
    ]
    for asked in wanted:
        assert books.refused(*asked) == RegistryReason.UNKNOWN_REGISTRY_ACCOUNT
