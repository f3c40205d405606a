"""Issuances, allocations and surrenders of two persons: who, what is held, when it counts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from exchange.messages.frames import Instruction
from exchange.messages.instructions import AS_BEFORE
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    AccountChanged,
    EncumbranceChanged,
    RegistryItem,
    TransferEnded,
    TransferWaits,
    UnitsAllocated,
    UnitsIssued,
    UnitsSurrendered,
    YearFigures,
)
from exchange.registry.blocks import untiled
from exchange.registry.standings import Standing
from exchange.rulebook.soundness import problems_of
from exchange.settings import TRANSFER_APPROVAL_DAYS_MAX
from tests.books_registrar import RULEBOOK, Books, at
from tests.exchange.registry.test_accounts import FIRMS, OPERATOR, OTHER, typed

DAY_NS = 86_400 * 10**9
LAPSE_NS = TRANSFER_APPROVAL_DAYS_MAX * DAY_NS
OFFICE = "clerk\noperator"
ALLOCATION = "anna\nstage final\nmethod benchmarking"


@pytest.fixture
def books() -> Books:
    books = Books(FIRMS)
    books.tell(Instruction.ISSUE, OPERATOR, 1_000)
    typed(books, OPERATOR, "100-7", "ann", "ben", needs_two=True)
    books.owe(OPERATOR, "eu-ets", 2025, 100)
    return books


def surrender(books: Books, quantity: int, by: str = "by ann", **more: Any) -> list[RegistryItem]:
    return books.tell(Instruction.SURRENDER, OPERATOR, quantity, 2025, by, **more)


def approve(books: Books, quantity: int, number: int, by: str, **more: Any) -> list[RegistryItem]:
    return books.tell(Instruction.APPROVE_TRANSFER, OPERATOR, quantity, number, by, **more)


def waits(items: list[RegistryItem]) -> TransferWaits:
    (item,) = items
    assert isinstance(item, TransferWaits), item
    return item


def serials(item: TransferWaits | TransferEnded | UnitsIssued) -> tuple[int, int]:
    (one,) = item.ranges
    return one.first, one.last


def given(books: Books) -> int:
    return books.holdings.surrendered.get((OPERATOR, "eu-ets", 2025), 0)


def agree(books: Books) -> None:
    """What `registry` told a gateway is what lies in the books, and no serial is there twice."""
    held = {
        (account, 1, position): quantity
        for account in FIRMS
        for position, quantity in books.tonnes(account).items()
    }
    assert books.told() == held
    blocks = [block for place in books.holdings.totals for block in books.holdings.lying(place)]
    whole = sum(block.quantity for block in blocks) + given(books)
    assert whole == books.holdings.issued[1]


def test_a_surrender_waits_for_another_representative(books: Books) -> None:
    number = books.number
    said = waits(surrender(books, 60))
    assert (said.kind, said.argument, said.state, said.given_by) == (
        "SURRENDER", 2025, "PROPOSED", "ann"
    )  # fmt: skip
    assert (said.due_ns, serials(said)) == (books.time_ns + LAPSE_NS, (1, 60))
    assert (books.tonnes(OPERATOR), given(books)) == ({"REGISTRY": 940, "PENDING": 60}, 0)
    agree(books)
    refused = [
        (60, "", RegistryReason.REFERENCE_MISSING),
        (60, "ann", RegistryReason.SAME_PERSON),
        (60, "eve", RegistryReason.NOT_A_REPRESENTATIVE),
        (60, "ben\nauthority", RegistryReason.OTHER_SIDE_DECIDES),
        (59, "ben", RegistryReason.UNKNOWN_TRANSFER),
        (61, "ben", RegistryReason.UNKNOWN_TRANSFER),
    ]
    for quantity, by, reason in refused:
        approval = (Instruction.APPROVE_TRANSFER, OPERATOR, quantity, number, by)
        assert books.refused(*approval) == reason, by
    by = books.number
    approved, ended, done = approve(books, 60, number, "ben")
    assert isinstance(approved, TransferWaits)
    assert (approved.approved_by, approved.approval_id, approved.ranges) == ("ben", by, ())
    assert isinstance(ended, TransferEnded)
    assert (ended.kind, ended.outcome, serials(ended)) == ("SURRENDER", "DONE", (1, 60))
    assert isinstance(done, UnitsSurrendered)
    assert (done.instruction_id, done.quantity, done.ranges) == (number, 60, ended.ranges)
    assert (books.tonnes(OPERATOR), given(books)) == ({"REGISTRY": 940}, 60)
    agree(books)
    approval = (Instruction.APPROVE_TRANSFER, OPERATOR, 60, number, "ben")
    assert books.refused(*approval) == RegistryReason.UNKNOWN_TRANSFER
    row = books.holdings.changes.transfers[number]
    assert (row.given_by, row.approved_by, row.ended_ns) == ("ann", "ben", books.time_ns)


@pytest.mark.parametrize(("quantity", "by", "reason"), [
    (60, "", RegistryReason.REFERENCE_MISSING),
    (60, "by eve", RegistryReason.NOT_A_REPRESENTATIVE),
    (101, "by ann", RegistryReason.SURRENDER_ABOVE_OBLIGATION),
])  # fmt: skip
def test_what_cannot_be_done_is_not_proposed(
    books: Books, quantity: int, by: str, reason: RegistryReason
) -> None:
    assert books.refused(Instruction.SURRENDER, OPERATOR, quantity, 2025, by) == reason
    assert not books.holdings.standings.transfers


def test_what_is_held_is_not_free(books: Books) -> None:
    surrender(books, 100)
    move = (Instruction.TRANSFER, OPERATOR, 901, OTHER, "ann")
    books.tell(Instruction.PROPOSE_TRUST, OPERATOR, 0, OTHER, "ann")
    books.tell(Instruction.APPROVE_TRUST, OPERATOR, 0, OTHER, "ben")
    books.time_ns = at(30, 12)
    assert books.refused(*move) == RegistryReason.NOT_ENOUGH_UNITS
    assert waits(books.tell(Instruction.TRANSFER, OPERATOR, 900, OTHER, "ann")).quantity == 900


@pytest.mark.parametrize("ending", ["cancel", "lapse"])
def test_what_is_not_approved_gives_its_units_back(books: Books, ending: str) -> None:
    number, begun_ns = books.number, at(23, 10)
    surrender(books, 60, time_ns=begun_ns)
    if ending == "cancel":
        cancel = (Instruction.CANCEL_TRANSFER, OPERATOR, 0, number)
        assert books.refused(*cancel, "eve") == RegistryReason.NOT_A_REPRESENTATIVE
        assert books.refused(*cancel, OFFICE) == RegistryReason.OTHER_SIDE_DECIDES
        last = begun_ns + LAPSE_NS - 1
        (said,) = books.tell(*cancel, "ann", time_ns=last)
    else:
        assert books.pass_time(begun_ns + LAPSE_NS - 1) == []
        (said,) = books.pass_time(begun_ns + LAPSE_NS)
    assert isinstance(said, TransferEnded)
    assert (said.kind, said.outcome) == ("SURRENDER", {"cancel": "CANCELLED"}.get(ending, "LAPSED"))
    assert (books.tonnes(OPERATOR), given(books)) == ({"REGISTRY": 1_000}, 0)
    agree(books)
    late = (Instruction.APPROVE_TRANSFER, OPERATOR, 60, number, "ben")
    assert books.refused(*late) == RegistryReason.UNKNOWN_TRANSFER
    blocks = [block for place in books.holdings.totals for block in books.holdings.lying(place)]
    assert untiled(blocks, {"EUA": 1_000}) == []


def test_an_approval_is_judged_by_what_is_owed_then(books: Books) -> None:
    first, second = books.number, books.number + 1
    surrender(books, 60)
    surrender(books, 60)  # each alone is within 100 t
    approve(books, 60, first, "ben")
    approval = (Instruction.APPROVE_TRANSFER, OPERATOR, 60, second, "ben")
    assert books.refused(*approval) == RegistryReason.SURRENDER_ABOVE_OBLIGATION
    books.owe(OPERATOR, "eu-ets", 2025, 120)
    *_, done = approve(books, 60, second, "ben")
    assert isinstance(done, UnitsSurrendered)
    assert given(books) == 120
    agree(books)


def test_the_authority_surrenders_by_two_of_its_own(books: Books) -> None:
    number = books.number
    assert waits(surrender(books, 60, "authority anna")).given_by == "anna"
    approval = (Instruction.APPROVE_TRANSFER, OPERATOR, 60, number)
    assert books.refused(*approval, "ben") == RegistryReason.OTHER_SIDE_DECIDES
    assert books.refused(*approval, OFFICE) == RegistryReason.OTHER_SIDE_DECIDES
    assert books.refused(*approval, "anna\nauthority") == RegistryReason.SAME_PERSON
    *_, done = books.tell(*approval, "otto\nauthority")
    assert isinstance(done, UnitsSurrendered)


def test_an_issuance_waits_for_another_operator(books: Books) -> None:
    number = books.number
    issue = (Instruction.ISSUE, OPERATOR, 500)
    assert books.refused(*issue) == RegistryReason.REFERENCE_MISSING
    number = books.number
    said = waits(books.tell(*issue, 0, "operator olga"))
    assert (said.kind, said.given_by, said.ranges) == ("ISSUE", "olga", ())
    assert books.tonnes(OPERATOR) == {"REGISTRY": 1_000}
    approval = (Instruction.APPROVE_TRANSFER, OPERATOR, 500, number)
    assert books.refused(*approval, "ben") == RegistryReason.OTHER_SIDE_DECIDES
    assert books.refused(*approval, "olga\noperator") == RegistryReason.SAME_PERSON
    assert books.refused(*approval, "olga\nauthority") == RegistryReason.SAME_PERSON
    assert books.refused(*approval, "anna\nauthority") == RegistryReason.OTHER_SIDE_DECIDES
    *_, done = books.tell(*approval, OFFICE)
    assert isinstance(done, UnitsIssued)
    assert (done.instruction_id, serials(done)) == (number, (1_001, 1_500))
    agree(books)
    assert isinstance(books.tell(Instruction.ISSUE, OTHER, 5)[0], UnitsIssued)  # needs none


def test_an_issuance_lapses_without_a_trace_in_units(books: Books) -> None:
    number = books.number
    books.tell(Instruction.ISSUE, OPERATOR, 500, 0, "operator olga", time_ns=at(23, 10))
    (said,) = books.pass_time(at(23, 10) + LAPSE_NS)
    assert isinstance(said, TransferEnded)
    assert (said.kind, said.outcome, said.ranges) == ("ISSUE", "LAPSED", ())
    late = (Instruction.APPROVE_TRANSFER, OPERATOR, 500, number, OFFICE)
    assert books.refused(*late) == RegistryReason.UNKNOWN_TRANSFER
    assert books.holdings.issued[1] == 1_000
    agree(books)


@pytest.mark.parametrize("quantity", [0, 700])
def test_an_allocation_waits_for_another_of_the_authority(books: Books, quantity: int) -> None:
    number = books.number
    allocation = (Instruction.ALLOCATE, OPERATOR, quantity, 2025, ALLOCATION)
    said = waits(books.tell(*allocation))
    assert (said.kind, said.argument, said.given_by) == ("ALLOCATE", 2025, "anna")
    assert books.holdings.years[OPERATOR, "eu-ets", 2025].final is None
    approval = (Instruction.APPROVE_TRANSFER, OPERATOR, quantity, number)
    assert books.refused(*approval, OFFICE) == RegistryReason.OTHER_SIDE_DECIDES
    assert books.refused(*approval, "anna\nauthority") == RegistryReason.SAME_PERSON
    said_then = books.tell(*approval, "otto\nauthority")
    assert [type(item) for item in said_then] == [
        TransferWaits, TransferEnded, YearFigures, UnitsAllocated
    ]  # fmt: skip
    assert books.holdings.years[OPERATOR, "eu-ets", 2025].final == quantity
    assert books.tonnes(OPERATOR) == {"REGISTRY": 1_000 + quantity}
    agree(books)
    assert books.refused(*allocation) == RegistryReason.ALLOCATED_ALREADY


def retype(books: Books, needs_two: int, by: str, kind: str = "100-7") -> list[RegistryItem]:
    notes = f"{by.partition(chr(10))[0]}\n{kind}\n{by.partition(chr(10))[2]}"
    return books.tell(Instruction.SET_ACCOUNT_TYPE, OPERATOR, 0, needs_two, notes)


def test_two_persons_end_the_need_of_two(books: Books) -> None:
    """One would end it, act alone, and begin it again."""
    waiting = waits(retype(books, 0, OFFICE))
    assert (waiting.kind, waiting.quantity) == ("SET_ACCOUNT_TYPE", 0)
    assert books.registrar.holdings.standings.of(OPERATOR).needs_two
    waits(surrender(books, 60))  # two are still needed
    number = waiting.instruction_id
    approval = (Instruction.APPROVE_TRANSFER, OPERATOR, 0, number)
    assert books.refused(*approval, OFFICE) == RegistryReason.SAME_PERSON
    assert books.refused(*approval, "ann\n") == RegistryReason.OTHER_SIDE_DECIDES
    *_, changed = approve(books, 0, number, "lead\noperator")
    assert isinstance(changed, AccountChanged)
    assert (changed.kind, changed.needs_two) == ("SET_ACCOUNT_TYPE", False)
    (done,) = surrender(books, 40)
    assert isinstance(done, UnitsSurrendered)


def test_what_was_proposed_before_the_type_was_told_anew_is_over(books: Books) -> None:
    """It would be done last and yet stand before it in the books: a restart would undo it."""
    waiting = waits(retype(books, 0, OFFICE))
    retype(books, AS_BEFORE, OFFICE, "100-12")
    approval = (Instruction.APPROVE_TRANSFER, OPERATOR, 0, waiting.instruction_id)
    assert books.refused(*approval, "lead\noperator") == RegistryReason.TYPE_TOLD_ANEW
    standing = books.holdings.standings.of(OPERATOR)
    assert (standing.eutl_code, standing.needs_two) == ("100-12", True)
    approve(books, 0, waits(retype(books, 0, OFFICE)).instruction_id, "lead\noperator")
    again = Standing()
    for act in sorted(books.holdings.changes.acts):  # as after a restart
        if act.account == OPERATOR:
            again.apply(act)
    assert (again.eutl_code, again.needs_two) == (standing.eutl_code, standing.needs_two)
    assert not again.needs_two


def frozen(books: Books) -> dict[str, int]:
    books.tell(Instruction.FREEZE, OPERATOR, 100, notes="judge\nfile 7")
    return books.tonnes(OPERATOR)


def test_a_freeze_begun_by_one_is_ended_by_two(books: Books) -> None:
    before = frozen(books)
    assert before == {"REGISTRY": 900, "FROZEN": 100}
    thaw = (Instruction.UNFREEZE, OPERATOR, 60, 0)
    assert books.refused(*thaw, "judge\nfile 8") == RegistryReason.REFERENCE_MISSING  # no office
    above = (Instruction.UNFREEZE, OPERATOR, 101, 0)
    assert books.refused(*above, "judge\nfile 8\nauthority") == RegistryReason.NOT_FROZEN
    waiting = waits(books.tell(*thaw, "judge (jo)\nfile 8\nauthority"))
    assert (waiting.kind, waiting.quantity, books.tonnes(OPERATOR)) == ("UNFREEZE", 60, before)
    approval = (Instruction.APPROVE_TRANSFER, OPERATOR, 60, waiting.instruction_id)
    assert books.refused(*approval, "clerk (jo)\nauthority") == RegistryReason.SAME_PERSON
    assert books.refused(*approval, "ann\n") == RegistryReason.OTHER_SIDE_DECIDES
    *_, thawed = approve(books, 60, waiting.instruction_id, "clerk\nauthority")
    assert isinstance(thawed, EncumbranceChanged)
    assert (thawed.kind, thawed.given_by, thawed.reference) == ("UNFREEZE", "judge (jo)", "file 8")
    assert books.tonnes(OPERATOR) == {"REGISTRY": 960, "FROZEN": 40}
    again = waits(books.tell(*thaw[:2], 40, 0, "judge\nfile 9\nauthority"))
    twice = waits(books.tell(*thaw[:2], 40, 0, "judge\nfile 9\nauthority"))
    approve(books, 40, again.instruction_id, "clerk\nauthority")
    late = (Instruction.APPROVE_TRANSFER, OPERATOR, 40, twice.instruction_id, "clerk\nauthority")
    assert books.refused(*late) == RegistryReason.NOT_FROZEN
    agree(books)


def test_a_block_set_by_one_is_ended_by_two(books: Books) -> None:
    block = (Instruction.BLOCK_ACCOUNT, OPERATOR, 0, 0)
    unblock = (Instruction.UNBLOCK_ACCOUNT, OPERATOR, 0, 0, "desk\nclosed\noperator")
    books.tell(*block, "desk\nfile 7")
    waiting = waits(books.tell(*unblock))
    standing = books.registrar.holdings.standings.of(OPERATOR)
    assert (waiting.kind, len(standing.blocks)) == ("UNBLOCK_ACCOUNT", 1)
    approval = (Instruction.APPROVE_TRANSFER, OPERATOR, 0, waiting.instruction_id)
    assert books.refused(*approval, "desk\noperator") == RegistryReason.SAME_PERSON
    books.tell(*block, "judge\nfile 9")  # what came since is not ended with it
    *_, changed = approve(books, 0, waiting.instruction_id, "lead\noperator")
    assert isinstance(changed, AccountChanged)
    assert (changed.kind, changed.text) == ("UNBLOCK_ACCOUNT", "closed")
    assert [act.text for act in standing.blocks.values()] == ["file 9"]
    assert books.refused(*approval, "lead\noperator") == RegistryReason.UNKNOWN_TRANSFER


@pytest.mark.parametrize(("own", "other"), [("authority", "operator"), ("operator", "authority")])
def test_an_office_of_one_ends_with_the_other_what_it_began(
    books: Books, own: str, other: str
) -> None:
    """Never alone, with whichever keys and in whichever office, and never with the owner."""
    frozen(books)
    books.tell(Instruction.BLOCK_ACCOUNT, OPERATOR, notes="judge (jo)\nfile 7")
    acts = {
        Instruction.UNFREEZE: 100, Instruction.UNBLOCK_ACCOUNT: 0, Instruction.SET_ACCOUNT_TYPE: 0
    }  # fmt: skip
    for kind, quantity in acts.items():
        text = "100-7" if kind == Instruction.SET_ACCOUNT_TYPE else "file 8"
        waiting = waits(books.tell(kind, OPERATOR, quantity, 0, f"judge (jo)\n{text}\n{own}"))
        approval = (Instruction.APPROVE_TRANSFER, OPERATOR, quantity, waiting.instruction_id)
        for alone in (f"judge (jo)\n{other}", f"second (jo)\n{other}", f"second (jo)\n{own}"):
            assert books.refused(*approval, alone) == RegistryReason.SAME_PERSON
        assert books.refused(*approval, "ann\n") == RegistryReason.OTHER_SIDE_DECIDES
        approve(books, quantity, waiting.instruction_id, f"clerk (cy)\n{other}")
    standing = books.holdings.standings.of(OPERATOR)
    assert (books.tonnes(OPERATOR), standing.blocks) == ({"REGISTRY": 1_000}, {})
    assert not standing.needs_two
    agree(books)


def test_what_is_begun_anew_takes_the_office_that_proposed(books: Books) -> None:
    """An issuance ends no protection: an authority's approval is not an operator's."""
    waiting = waits(books.tell(Instruction.ISSUE, OPERATOR, 10, 0, "operator clerk"))
    approval = (Instruction.APPROVE_TRANSFER, OPERATOR, 10, waiting.instruction_id)
    assert books.refused(*approval, "judge\nauthority") == RegistryReason.OTHER_SIDE_DECIDES


def test_a_type_told_anew_keeps_what_is_not_said(books: Books) -> None:
    for kind, needs_two in (("100-12", AS_BEFORE), ("100-7", 1)):  # at once: nothing ends
        (changed,) = retype(books, needs_two, OFFICE, kind)
        assert isinstance(changed, AccountChanged)
        assert changed.needs_two
    fields = (Instruction.SET_ACCOUNT_TYPE, OPERATOR, 0, 0)
    assert books.refused(*fields, "clerk\n100-7") == RegistryReason.REFERENCE_MISSING
    assert books.refused(*fields, "clerk\n9-9\noperator") == RegistryReason.UNKNOWN_ACCOUNT_TYPE
    one = Books(FIRMS)
    (changed,) = retype(one, AS_BEFORE, OFFICE)
    assert isinstance(changed, AccountChanged)
    assert not changed.needs_two


def test_one_person_is_enough_where_the_rule_does_not_ask() -> None:
    told = [
        msgspec.structs.replace(rule, two_persons_for=("issuance",))
        for rule in RULEBOOK.registry_rule
    ]
    asked = Books(FIRMS, rulebook=msgspec.structs.replace(RULEBOOK, registry_rule=tuple(told)))
    alone = Books(FIRMS)
    for one, two in ((alone, False), (asked, True)):  # the account does not ask, or the rule not
        one.tell(Instruction.ISSUE, OPERATOR, 1_000)
        typed(one, OPERATOR, "100-7", "ann", "ben", needs_two=two)
        one.owe(OPERATOR, "eu-ets", 2025, 100)
        (done,) = surrender(one, 60)
        assert isinstance(done, UnitsSurrendered), done
        (done,) = surrender(one, 40, "")  # as records of before say it
        assert isinstance(done, UnitsSurrendered), done


def test_a_rule_names_transactions_that_need_four_eyes() -> None:
    wrong = [
        msgspec.structs.replace(rule, two_persons_for=("surrender", "banking", "anything"))
        for rule in RULEBOOK.registry_rule[:1]
    ]
    (problem,) = problems_of(msgspec.structs.replace(RULEBOOK, registry_rule=tuple(wrong)))
    assert problem == (
        "registry_rule union-registry: two_persons_for: anything is no transaction_type with "
        "four_eyes"
    )
