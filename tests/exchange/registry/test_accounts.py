"""Types of accounts, representatives, trusted lists, blocks: what each allows, refuses and ends."""

from __future__ import annotations

import datetime as dt

import pytest

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import AccountChanged, InstructionRefused, RegistryItem
from exchange.rulebook import Rulebook
from exchange.rulebook.loading import parse_rulebook, shipped
from exchange.settings import TRUST_APPROVAL_DAYS_MAX, TRUSTED_ACCOUNTS_MAX
from tests.books_registrar import RULEBOOK, Books, at

OPERATOR, TRADER, OTHER, OWN = 101, 102, 103, 104
FIRMS = {OPERATOR: 1, TRADER: 2, OTHER: 3, OWN: 1}
DAY_NS = 86_400 * 10**9


def typed(books: Books, account: int, kind: str, *keys: str, needs_two: bool = False) -> None:
    """Gives an account a type and representatives."""
    (said,) = books.tell(
        Instruction.SET_ACCOUNT_TYPE, account, 0, int(needs_two), f"office\n{kind}"
    )
    assert isinstance(said, AccountChanged), said
    for key in keys:
        books.tell(Instruction.APPOINT_REPRESENTATIVE, account, notes=f"office\n{key}")


@pytest.fixture
def books() -> Books:
    books = Books(FIRMS)
    books.tell(Instruction.ISSUE, OPERATOR, 1_000)
    return books


@pytest.mark.parametrize(
    ("told", "code", "eutl_code"),
    [
        ("operator_holding", "operator_holding", "100-7"),
        ("100-7", "operator_holding", "100-7"),
        ("100-9", "aircraft_operator_holding", "100-9"),
        ("100-12", "trading", "100-12"),
        ("100-8", "person_holding", "100-8"),
        ("121-0", "person_holding", "121-0"),
        ("120-0", "former_operator_holding", "120-0"),
        ("100-15", "aviation_auction", "100-15"),
        ("100-17", "aviation_total_quantity", "100-17"),
        ("100-19", "special_reserve", "100-19"),
        ("100-21", "aviation_allocation", "100-21"),
        ("100-22", "international_credit", "100-22"),
        ("100-23", "credit_exchange", "100-23"),
        ("110-0", "pending", "110-0"),
        ("venue_omnibus_delivery", "venue_omnibus_delivery", ""),
    ],
)
def test_an_account_is_given_a_type(books: Books, told: str, code: str, eutl_code: str) -> None:
    (said,) = books.tell(Instruction.SET_ACCOUNT_TYPE, TRADER, 0, 1, f"office\n{told}")
    assert isinstance(said, AccountChanged)
    assert (said.kind, said.text, said.eutl_code) == ("SET_ACCOUNT_TYPE", code, eutl_code)
    assert (said.given_by, said.needs_two, said.other_account) == ("office", True, 0)
    standing = books.holdings.standings.of(TRADER)
    assert (standing.kind, standing.eutl_code, standing.needs_two) == (code, eutl_code, True)


@pytest.mark.parametrize("told", ["", "nothing", "cn_key_emitter", "retirement", "300-0", "msr x"])
def test_what_is_no_type_of_this_market(books: Books, told: str) -> None:
    reason = books.refused(Instruction.SET_ACCOUNT_TYPE, TRADER, notes=f"office\n{told}")
    assert reason == (
        RegistryReason.UNKNOWN_ACCOUNT_TYPE if told else RegistryReason.REFERENCE_MISSING
    )


def test_types_of_the_chinese_market() -> None:
    books = Books({201: 1}, market="CN")
    for kind in ("cn_key_emitter", "cn_provincial_authority", "ccer_general_holding"):
        (said,) = books.tell(
            Instruction.SET_ACCOUNT_TYPE, 201, notes=f"office\n{kind}", instrument=21
        )
        assert isinstance(said, AccountChanged)
    reason = books.refused(Instruction.SET_ACCOUNT_TYPE, 201, notes="office\n100-7", instrument=21)
    assert reason == RegistryReason.UNKNOWN_ACCOUNT_TYPE


@pytest.mark.parametrize("second", ["cn_key_emitter", "cn_provincial_authority"])
def test_an_entity_has_one_registration_account_in_china(second: str) -> None:
    books = Books({201: 1, 202: 1, 203: 2}, market="CN")

    def told(account: int, kind: str) -> list[RegistryItem]:
        notes = f"office\n{kind}"
        return books.tell(Instruction.SET_ACCOUNT_TYPE, account, notes=notes, instrument=21)

    assert isinstance(told(201, "cn_key_emitter")[0], AccountChanged)
    (refusal,) = told(202, second)
    assert isinstance(refusal, InstructionRefused)
    assert refusal.reason == RegistryReason.SECOND_REGISTRATION_ACCOUNT
    assert (refusal.rule, "2021 No. 21" in refusal.source) == ("cn-registry", True)
    assert "account 201, a cn_key_emitter; account 202 would be its second" in refusal.text
    # Its account may be told again; another entity has its own; credits and the venue are others'.
    for account, kind in (
        (201, "cn_provincial_authority"), (203, "cn_key_emitter"), (202, "ccer_general_holding"),
        (202, "venue_omnibus_delivery"),
    ):  # fmt: skip
        assert isinstance(told(account, kind)[0], AccountChanged)
    # When the first account is of another type, the second may be the registration account.
    assert isinstance(told(201, "ccer_general_holding")[0], AccountChanged)
    assert isinstance(told(202, second)[0], AccountChanged)


def test_the_union_registry_lets_an_entity_have_several(books: Books) -> None:
    typed(books, OPERATOR, "100-7")
    typed(books, OWN, "100-7")


def test_a_verifier_holds_no_units(books: Books) -> None:
    held = books.refused(Instruction.SET_ACCOUNT_TYPE, OPERATOR, notes="office\n0-10")
    assert held == RegistryReason.UNITS_IN_ACCOUNT
    typed(books, OTHER, "0-10", "ann", "ben")
    assert books.refused(Instruction.ISSUE, OTHER, 1) == RegistryReason.TYPE_HOLDS_NO_UNITS
    moved = books.refused(Instruction.TRANSFER, OPERATOR, 1, OTHER, "ann")
    assert moved == RegistryReason.TYPE_HOLDS_NO_UNITS
    assert books.rule == "verifier"


def test_only_some_types_surrender(books: Books) -> None:
    books.owe(OPERATOR, "eu-ets", 2025, 100)
    typed(books, OPERATOR, "100-12", "ann", "ben")
    reason = books.refused(Instruction.SURRENDER, OPERATOR, 10, 2025)
    assert reason == RegistryReason.TYPE_MAY_NOT_SURRENDER
    typed(books, OPERATOR, "100-7")
    (said,) = books.tell(Instruction.SURRENDER, OPERATOR, 10, 2025)
    assert not isinstance(said, InstructionRefused)


@pytest.mark.parametrize(("representatives", "is_enough"), [(0, False), (1, False), (2, True)])
def test_fewer_than_two_representatives_block(
    books: Books, representatives: int, is_enough: bool
) -> None:
    typed(books, OPERATOR, "100-12", *("ann", "ben")[:representatives])
    for wanted in (
        (Instruction.DEPOSIT, OPERATOR, 1),
        (Instruction.TRANSFER, OPERATOR, 1, OTHER, "ann"),
        (Instruction.CANCEL, OPERATOR, 1, 0, "the air\nfor good"),
        (Instruction.PLEDGE, OPERATOR, 1, OTHER, "ann\nloan"),
        (Instruction.PROPOSE_TRUST, OPERATOR, 0, OTHER, "ann"),
    ):
        if is_enough:
            (said,) = books.tell(*wanted)
            assert not isinstance(said, InstructionRefused), said
        else:
            assert books.refused(*wanted) == RegistryReason.TOO_FEW_REPRESENTATIVES
    books.tell(Instruction.DISMISS_REPRESENTATIVE, OPERATOR, notes="office\nben")
    assert books.refused(Instruction.DEPOSIT, OPERATOR, 1) == (
        RegistryReason.TOO_FEW_REPRESENTATIVES
    )


def test_who_is_no_representative(books: Books) -> None:
    typed(books, OPERATOR, "100-12", "ann", "ben")
    for kind, argument in (
        (Instruction.TRANSFER, OTHER),
        (Instruction.PROPOSE_TRUST, OTHER),
        (Instruction.REMOVE_TRUST, OTHER),
    ):
        quantity = int(kind == Instruction.TRANSFER)
        reason = books.refused(kind, OPERATOR, quantity, argument, "eve")
        assert reason == RegistryReason.NOT_A_REPRESENTATIVE
    reason = books.refused(Instruction.DISMISS_REPRESENTATIVE, OPERATOR, notes="office\neve")
    assert reason == RegistryReason.NOT_A_REPRESENTATIVE


def test_trust_takes_two_and_four_working_days(books: Books) -> None:
    typed(books, OPERATOR, "100-7", "ann", "ben")
    early = books.refused(Instruction.APPROVE_TRUST, OPERATOR, 0, OTHER, "ben")
    assert early == RegistryReason.TRUST_NOT_PROPOSED
    books.tell(Instruction.PROPOSE_TRUST, OPERATOR, 0, OTHER, "ann")
    same = books.refused(Instruction.APPROVE_TRUST, OPERATOR, 0, OTHER, "ann")
    assert same == RegistryReason.SAME_PERSON
    (said,) = books.tell(Instruction.APPROVE_TRUST, OPERATOR, 0, OTHER, "ben", time_ns=at(23, 15))
    assert isinstance(said, AccountChanged)
    assert said.effective_ns == at(27, 15)
    twice = books.refused(Instruction.PROPOSE_TRUST, OPERATOR, 0, OTHER, "ann")
    assert twice == RegistryReason.TRUSTED_ALREADY
    before = (Instruction.TRANSFER, OPERATOR, 10, OTHER, "ann")
    reason = books.refused(*before, time_ns=at(27, 14, 59, 59))
    assert reason == RegistryReason.ACCOUNT_NOT_TRUSTED
    books.tell(*before, time_ns=at(27, 15))
    assert books.tonnes(OTHER) == {"REGISTRY": 10}
    books.tell(Instruction.REMOVE_TRUST, OPERATOR, 0, OTHER, "ben")
    assert books.refused(*before) == RegistryReason.ACCOUNT_NOT_TRUSTED
    gone = books.refused(Instruction.REMOVE_TRUST, OPERATOR, 0, OTHER, "ben")
    assert gone == RegistryReason.NOT_ON_TRUSTED_LIST


@pytest.mark.parametrize(
    ("hour", "kind", "effective"),
    [
        (9, "100-7", at(27, 10)),  # before the opening: the clock starts at 10:00
        (16, "100-7", at(30, 10)),  # after the close: on Tuesday at 10:00
        (12, "121-0", at(23, 12) + 9 * DAY_NS),  # seven working days
    ],
)
def test_when_trust_counts(books: Books, hour: int, kind: str, effective: int) -> None:
    typed(books, OPERATOR, kind, "ann", "ben")
    books.tell(Instruction.PROPOSE_TRUST, OPERATOR, 0, OTHER, "ann", time_ns=at(23, 8))
    (said,) = books.tell(Instruction.APPROVE_TRUST, OPERATOR, 0, OTHER, "ben", time_ns=at(23, hour))
    assert isinstance(said, AccountChanged)
    assert said.effective_ns == effective


def test_holidays_stop_the_clock() -> None:
    holidays = (dt.date(2026, 11, 24), dt.date(2026, 11, 26))
    books = Books(FIRMS, registry_holidays=holidays)
    books.tell(Instruction.PROPOSE_TRUST, OPERATOR, 0, OTHER, "ann")
    (said,) = books.tell(Instruction.APPROVE_TRUST, OPERATOR, 0, OTHER, "ben", time_ns=at(23, 11))
    assert isinstance(said, AccountChanged)
    # Wednesday, Friday, Monday, Tuesday
    assert said.effective_ns == at(23, 11) + 8 * DAY_NS


def test_own_accounts_are_trusted_already(books: Books) -> None:
    typed(books, OPERATOR, "100-7", "ann", "ben")
    reason = books.refused(Instruction.PROPOSE_TRUST, OPERATOR, 0, OWN, "ann")
    assert reason == RegistryReason.TRUSTED_ALREADY
    books.tell(Instruction.TRANSFER, OPERATOR, 10, OWN, "ann", time_ns=at(23, 10))
    assert books.tonnes(OWN) == {"REGISTRY": 10}
    nobody = books.refused(Instruction.PROPOSE_TRUST, OPERATOR, 0, 999, "ann")
    assert nobody == RegistryReason.UNKNOWN_REGISTRY_ACCOUNT


def test_a_proposal_of_trust_grows_old(books: Books) -> None:
    last_ns = at(23, 10) + TRUST_APPROVAL_DAYS_MAX * DAY_NS
    approval = (Instruction.APPROVE_TRUST, OPERATOR, 0, OTHER, "ben")
    books.tell(Instruction.PROPOSE_TRUST, OPERATOR, 0, OTHER, "ann", time_ns=at(23, 10))
    reason = books.refused(*approval, time_ns=last_ns + 1)
    assert reason == RegistryReason.TRUST_NOT_PROPOSED
    again = Books(FIRMS)
    again.tell(Instruction.PROPOSE_TRUST, OPERATOR, 0, OTHER, "ann", time_ns=at(23, 10))
    (said,) = again.tell(*approval, time_ns=last_ns)
    assert isinstance(said, AccountChanged)


def test_the_trusted_list_is_bounded() -> None:
    crowd = {number: number for number in range(1_000, 1_000 + TRUSTED_ACCOUNTS_MAX + 1)}
    books = Books({OPERATOR: 1, **crowd})
    *fitting, last = crowd
    for account in fitting:
        books.tell(Instruction.PROPOSE_TRUST, OPERATOR, 0, account, "ann")
    full = books.refused(Instruction.PROPOSE_TRUST, OPERATOR, 0, last, "ann")
    assert full == RegistryReason.REGISTRY_LIST_FULL
    books.tell(Instruction.REMOVE_TRUST, OPERATOR, 0, fitting[0], "ann")
    (said,) = books.tell(Instruction.PROPOSE_TRUST, OPERATOR, 0, last, "ann")
    assert isinstance(said, AccountChanged)


def test_a_blocked_account_neither_gives_nor_receives(books: Books) -> None:
    books.owe(OPERATOR, "eu-ets", 2025, 100)
    books.tell(Instruction.PLEDGE, OPERATOR, 50, OTHER, "ann\nloan 9")
    free = books.refused(Instruction.UNBLOCK_ACCOUNT, OPERATOR, notes="office\nfile 7")
    assert free == RegistryReason.ACCOUNT_NOT_BLOCKED
    silent = books.refused(Instruction.BLOCK_ACCOUNT, OPERATOR, notes="office")
    assert silent == RegistryReason.REFERENCE_MISSING
    books.tell(Instruction.BLOCK_ACCOUNT, OPERATOR, notes="office\nfile 7")
    for wanted in (
        (Instruction.DEPOSIT, OPERATOR, 1),
        (Instruction.TRANSFER, OPERATOR, 1, OTHER, "ann"),
        (Instruction.TRANSFER, TRADER, 1, OPERATOR, "tom"),
        (Instruction.CANCEL, OPERATOR, 1, 0, "the air\nfor good"),
        (Instruction.PLEDGE, OPERATOR, 1, OTHER, "ann\nloan"),
        (Instruction.ISSUE, OPERATOR, 1),
        (Instruction.PROPOSE_TRUST, OPERATOR, 0, OTHER, "ann"),
    ):
        assert books.refused(*wanted) == RegistryReason.ACCOUNT_BLOCKED
        assert books.rule == "union-registry"
    # what the authority does, what a lender gives back and what is owed goes on
    for done in (
        (Instruction.FREEZE, OPERATOR, 10, 0, "court\nfile 8"),
        (Instruction.UNFREEZE, OPERATOR, 10, 0, "court\nfile 9\nauthority"),
        (Instruction.RELEASE_PLEDGE, OTHER, 20, OPERATOR, "loans\n"),
        (Instruction.SURRENDER, OPERATOR, 10, 2025),
    ):
        (said,) = books.tell(*done)
        assert not isinstance(said, InstructionRefused), said
    books.both(Instruction.UNBLOCK_ACCOUNT, OPERATOR)
    (said,) = books.tell(Instruction.DEPOSIT, OPERATOR, 1)
    assert not isinstance(said, InstructionRefused), said


def test_a_blocked_lender_takes_nothing(books: Books) -> None:
    books.tell(Instruction.PLEDGE, OPERATOR, 50, OTHER, "ann\nloan 9")
    books.tell(Instruction.BLOCK_ACCOUNT, OTHER, notes="office\nfile 7")
    reason = books.refused(Instruction.ENFORCE_PLEDGE, OTHER, 50, OPERATOR, "loans\ndefault")
    assert reason == RegistryReason.ACCOUNT_BLOCKED


def test_one_binding_at_a_time(books: Books) -> None:
    none = books.refused(Instruction.BIND_ACCOUNT, OPERATOR, 0, 0, "office\nCN")
    assert none == RegistryReason.CREDITS_NOT_BOUND
    books.tell(Instruction.BIND_ACCOUNT, OPERATOR, 0, 301, "office\nCN")
    other = books.refused(Instruction.BIND_ACCOUNT, OPERATOR, 0, 302, "office\nCN")
    assert other == RegistryReason.ACCOUNT_BOUND_ALREADY
    books.tell(Instruction.BIND_ACCOUNT, OPERATOR, 0, 0, "office\nCN")
    books.tell(Instruction.BIND_ACCOUNT, OPERATOR, 0, 302, "office\nCN")
    assert books.holdings.standings.of(OPERATOR).bound_to == ("CN", 302)


def test_the_schemes_of_a_registry_are_known() -> None:
    def changed(scheme: str) -> Rulebook:
        text = shipped("rulebook.toml").replace('schemes = ["eu-ets"]', f'schemes = ["{scheme}"]')
        return parse_rulebook(text, "rules")

    with pytest.raises(ValueError, match="unknown scheme nowhere"):
        changed("nowhere")
    with pytest.raises(ValueError, match="cn-national of registry_rule stands twice"):
        changed("cn-national")
    assert changed("eu-ets") == RULEBOOK
