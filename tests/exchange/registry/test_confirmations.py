"""Account data are confirmed each year by the registry's day; else nothing leaves or comes."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import AccountChanged, TransferEnded, TransferWaits, UnitsMoved
from exchange.rulebook import Rulebook
from exchange.rulebook.soundness import problems_of
from tests.books_registrar import BRUSSELS, RULEBOOK, Books, ns
from tests.exchange.registry.test_accounts import FIRMS, OPERATOR, OTHER, typed

CONFIRM, TRANSFER = Instruction.CONFIRM_ACCOUNT, Instruction.TRANSFER
NOT_CONFIRMED = RegistryReason.ACCOUNT_NOT_CONFIRMED


def at(year: int, month: int, day: int, hour: int = 12) -> int:
    return ns(dt.datetime(year, month, day, hour, tzinfo=BRUSSELS))


NEW_YEAR = at(2028, 1, 1, 0)


def open_account(rulebook: Rulebook = RULEBOOK) -> Books:
    """A trading account since June 2026 with 1,000 t."""
    books = Books(FIRMS, time_ns=at(2026, 6, 1), rulebook=rulebook)
    books.tell(Instruction.ISSUE, OPERATOR, 1_000)
    typed(books, OPERATOR, "100-12", "ann", "ben")
    return books


def test_from_new_year_on_an_unconfirmed_account_gives_and_receives_nothing() -> None:
    books = open_account()
    move = (TRANSFER, OPERATOR, 1, OTHER, "ann")
    assert isinstance(books.tell(*move, time_ns=NEW_YEAR - 1)[0], TransferWaits)
    books.time_ns = NEW_YEAR
    told = books.tell(*move)[0]
    assert (told.reason, told.text) == (  # type: ignore[union-attr]
        NOT_CONFIRMED, "the data of account 101 were not confirmed for 2027"
    )  # fmt: skip
    assert books.refused(Instruction.ISSUE, OPERATOR, 1) == NOT_CONFIRMED
    assert books.refused(Instruction.DEPOSIT, OPERATOR, 1) == NOT_CONFIRMED
    assert books.refused(TRANSFER, OTHER, 1, OPERATOR, "cy") == NOT_CONFIRMED
    assert books.refused(Instruction.PROPOSE_TRUST, OPERATOR, 0, OTHER, "ann") == NOT_CONFIRMED
    (said,) = books.tell(CONFIRM, OPERATOR, 0, 2027, "ann")
    assert isinstance(said, AccountChanged)
    assert (said.kind, said.other_account, said.given_by) == ("CONFIRM_ACCOUNT", 2027, "ann")
    assert isinstance(books.tell(*move)[0], TransferWaits)


@pytest.mark.parametrize("year", [2027, 2028])
def test_confirmed_in_time_it_goes_on_for_another_year(year: int) -> None:
    books = open_account()
    books.tell(CONFIRM, OPERATOR, 0, year, "ann", time_ns=at(year, 1, 2))
    give = (Instruction.DEPOSIT, OPERATOR, 1)
    for moment in (at(2028, 6, 1), at(year + 1, 12, 31, 23)):
        assert isinstance(books.tell(*give, time_ns=moment)[0], UnitsMoved)
    books.time_ns = at(year + 2, 1, 1, 0)
    assert books.refused(*give) == NOT_CONFIRMED


def test_the_year_in_which_the_data_were_taken_in_needs_no_confirmation() -> None:
    books = open_account()
    move = (TRANSFER, OPERATOR, 1, OTHER, "ann")
    assert isinstance(books.tell(*move, time_ns=at(2027, 12, 1))[0], TransferWaits)
    typed(books, OPERATOR, "100-12")  # told again is not taken in again
    books.pass_time(NEW_YEAR)
    assert books.refused(*move) == NOT_CONFIRMED


def test_a_transfer_that_waits_over_new_year_is_stopped_and_its_units_are_back() -> None:
    books = open_account()
    books.tell(TRANSFER, OPERATOR, 10, OTHER, "ann", time_ns=at(2027, 12, 31, 13))
    (ended,) = books.pass_time(at(2028, 1, 4))
    assert isinstance(ended, TransferEnded)
    assert (ended.outcome, ended.text) == (
        "STOPPED", "the data of account 101 were not confirmed for 2027"
    )  # fmt: skip


def test_what_is_owed_can_be_surrendered() -> None:
    books = Books(FIRMS, time_ns=at(2026, 6, 1))
    books.tell(Instruction.ISSUE, OPERATOR, 1_000, 2026)
    typed(books, OPERATOR, "100-7", "ann", "ben")
    books.owe(OPERATOR, "eu-ets", 2026, 100)
    said = books.tell(Instruction.SURRENDER, OPERATOR, 100, 2026, time_ns=at(2028, 2, 1))
    assert type(said[0]).__name__ == "UnitsSurrendered"


@pytest.mark.parametrize("year", [0, 2026, 2029])
def test_this_year_and_the_last_are_confirmed(year: int) -> None:
    books = open_account()
    books.time_ns = NEW_YEAR
    refused = books.refused(CONFIRM, OPERATOR, 0, year, "ann")
    assert refused == RegistryReason.QUANTITY_OUT_OF_RANGE


def test_a_representative_confirms() -> None:
    books = open_account()
    stranger = books.refused(CONFIRM, OPERATOR, 0, 2026, "cy")
    assert stranger == RegistryReason.NOT_A_REPRESENTATIVE
    assert books.refused(CONFIRM, OPERATOR, 0, 2026) == RegistryReason.REFERENCE_MISSING
    nobody = books.refused(CONFIRM, 999, 0, 2026, "ann")
    assert nobody == RegistryReason.UNKNOWN_REGISTRY_ACCOUNT


def ruled(**changes: str) -> Rulebook:
    """The shipped rulebook with another rule of the Union Registry."""
    rules = [
        msgspec.structs.replace(rule, **changes) if rule.id == "union-registry" else rule
        for rule in RULEBOOK.registry_rule
    ]
    return msgspec.structs.replace(RULEBOOK, registry_rule=tuple(rules))


def test_where_silence_confirms_nothing_is_blocked() -> None:
    books = open_account(ruled(unconfirmed_account="open"))
    move = (TRANSFER, OPERATOR, 1, OTHER, "ann")
    assert isinstance(books.tell(*move, time_ns=at(2030, 1, 1))[0], TransferWaits)


def test_an_account_without_a_type_is_asked_for_nothing() -> None:
    books = Books(FIRMS, time_ns=at(2026, 6, 1))
    books.tell(Instruction.ISSUE, OPERATOR, 1_000)
    move = (TRANSFER, OPERATOR, 1, OTHER, "ann")
    assert isinstance(books.tell(*move, time_ns=at(2030, 1, 1))[0], TransferWaits)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"unconfirmed_account": "closed"}, "unconfirmed_account: closed is not blocked or open"),
        ({"data_confirmed_by": "12-32"}, "data_confirmed_by: 12-32 is no month and day"),
    ],
)
def test_a_rule_that_cannot_be_is_told(changes: dict[str, str], told: str) -> None:
    (problem,) = problems_of(ruled(**changes))
    assert problem == f"registry_rule union-registry: {told}"
