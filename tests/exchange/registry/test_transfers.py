"""Transfers that wait: until when, who approves, what stops them, and that no tonne is lost."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    InstructionRefused,
    RegistryItem,
    TransferEnded,
    TransferWaits,
    UnitsMoved,
)
from exchange.registry.blocks import untiled
from exchange.registry.standings import TransferState
from exchange.settings import TRANSFER_APPROVAL_DAYS_MAX
from tests.books_registrar import EUA, Books, at
from tests.exchange.registry.test_accounts import FIRMS, OPERATOR, OTHER, OWN, TRADER, typed

HOUR_NS = 3_600 * 10**9
DAY_NS = 24 * HOUR_NS


@pytest.fixture
def books() -> Books:
    books = Books(FIRMS)
    books.tell(Instruction.ISSUE, OPERATOR, 1_000)
    return books


def waits(items: list[RegistryItem]) -> TransferWaits:
    (item,) = items
    assert isinstance(item, TransferWaits), item
    return item


def test_nobody_transfers_to_itself(books: Books) -> None:
    refused = books.refused(Instruction.TRANSFER, OPERATOR, 10, OPERATOR, "ann")
    assert refused == RegistryReason.TRANSFER_TO_ITSELF


def ended(items: list[RegistryItem]) -> TransferEnded:
    (item,) = items
    assert isinstance(item, TransferEnded), item
    return item


@pytest.mark.parametrize(
    ("told_ns", "due_ns"),
    [
        (at(23, 10), at(24, 12)),  # before 12:00: the next working day
        (at(23, 11, 59, 59), at(24, 12)),
        (at(23, 12), at(25, 12)),  # from 12:00: the second
        (at(23, 18), at(25, 12)),
        (at(26, 11), at(27, 12)),
        (at(26, 13), at(30, 12)),  # Thursday noon: over the weekend
        (at(27, 11), at(30, 12)),
        (at(28, 9), at(30, 12) + DAY_NS),  # Saturday counts as Monday's opening
        (at(23, 3), at(24, 12)),  # night, before the opening of the same day
    ],
)
def test_to_an_account_that_is_not_trusted(books: Books, told_ns: int, due_ns: int) -> None:
    said = waits(books.tell(Instruction.TRANSFER, OPERATOR, 10, OTHER, "ann", time_ns=told_ns))
    assert (said.state, said.due_ns, said.cancel_until_ns) == (
        "WAITING", due_ns, due_ns - 2 * HOUR_NS
    )  # fmt: skip
    assert (said.ranges[0].first, said.ranges[0].last, said.approval_id) == (1, 10, 0)
    assert books.tonnes(OPERATOR) == {"REGISTRY": 990, "PENDING": 10}
    assert books.pass_time(due_ns - 1) == []
    done = ended(books.pass_time(due_ns))
    assert (done.outcome, done.to_account, done.ended_by) == ("DONE", OTHER, 0)
    assert (done.ranges[0].first, done.ranges[0].last) == (1, 10)
    assert (books.tonnes(OPERATOR), books.tonnes(OTHER)) == ({"REGISTRY": 990}, {"REGISTRY": 10})
    assert books.pass_time(due_ns + 1) == []


@pytest.mark.parametrize(
    ("told_ns", "due_ns"),
    [
        (at(23, 10), 0),
        (at(23, 15, 59, 59), 0),
        (at(23, 9, 59, 59), at(23, 10)),
        (at(23, 16), at(24, 10)),
        (at(27, 16), at(30, 10)),
        (at(28, 12), at(30, 10)),
    ],
)
def test_to_a_trusted_account(books: Books, told_ns: int, due_ns: int) -> None:
    said = books.tell(Instruction.TRANSFER, OPERATOR, 10, OWN, "ann", time_ns=told_ns)
    if due_ns:
        assert waits(said).due_ns == due_ns
        assert ended(books.pass_time(due_ns)).outcome == "DONE"
    else:
        assert isinstance(said[0], UnitsMoved)
    assert books.tonnes(OWN) == {"REGISTRY": 10}


def test_a_market_whose_registry_has_no_hours_known(books: Books) -> None:
    chinese = Books({201: 1, 202: 2}, market="CN")
    chinese.tell(Instruction.ISSUE, 201, 10, instrument=21)
    (said,) = chinese.tell(
        Instruction.TRANSFER, 201, 4, 202, "ann", instrument=21, time_ns=at(28, 3)
    )
    assert isinstance(said, UnitsMoved)
    assert chinese.tonnes(202, 21) == {"REGISTRY": 4}


def test_a_kyoto_account_waits_26_hours(books: Books) -> None:
    typed(books, OPERATOR, "121-0", "ann", "ben")
    said = waits(books.tell(Instruction.TRANSFER, OPERATOR, 10, OWN, "ann", time_ns=at(27, 11)))
    assert said.due_ns == at(27, 11) + 26 * HOUR_NS
    assert said.cancel_until_ns == said.due_ns - 2 * HOUR_NS


@pytest.mark.parametrize(("late_ns", "is_late"), [(-1, False), (0, False), (1, True)])
def test_cancelling_until_two_hours_before(books: Books, late_ns: int, is_late: bool) -> None:
    number = books.number
    books.tell(Instruction.TRANSFER, OPERATOR, 10, OTHER, "ann", time_ns=at(23, 10))
    cancel = (Instruction.CANCEL_TRANSFER, OPERATOR, 0, number, "ann")
    strange = books.refused(Instruction.CANCEL_TRANSFER, OTHER, 0, number, "tom")
    assert strange == RegistryReason.UNKNOWN_TRANSFER
    moment = at(24, 10) + late_ns
    if is_late:
        reason = books.refused(*cancel, time_ns=moment)
        assert reason == RegistryReason.TRANSFER_PAST_CANCELLING
        return
    by = books.number
    done = ended(books.tell(*cancel, time_ns=moment))
    assert (done.outcome, done.ended_by) == ("CANCELLED", by)
    assert books.tonnes(OPERATOR) == {"REGISTRY": 1_000}
    assert books.refused(*cancel) == RegistryReason.UNKNOWN_TRANSFER
    assert books.pass_time(at(24, 12)) == []


def test_pending_units_are_not_free(books: Books) -> None:
    books.owe(OPERATOR, "eu-ets", 2025, 2_000)
    books.tell(Instruction.TRANSFER, OPERATOR, 600, OTHER, "ann")
    for wanted in (
        (Instruction.TRANSFER, OPERATOR, 401, OTHER, "ann"),
        (Instruction.DEPOSIT, OPERATOR, 401),
        (Instruction.SURRENDER, OPERATOR, 401, 2025),
        (Instruction.FREEZE, OPERATOR, 401, 0, "court\nfile 7"),
        (Instruction.PLEDGE, OPERATOR, 401, OTHER, "ann\nloan"),
        (Instruction.CANCEL, OPERATOR, 401, 0, "the air\nfor good"),
    ):
        (said,) = books.tell(*wanted)
        assert isinstance(said, InstructionRefused)
        assert said.reason == RegistryReason.NOT_ENOUGH_UNITS
        assert "600 t are on their way" in said.text
    (said,) = books.tell(Instruction.FREEZE, OPERATOR, 400, 0, "court\nfile 7")
    assert not isinstance(said, InstructionRefused)


def test_each_transfer_keeps_its_own_units(books: Books) -> None:
    first = waits(books.tell(Instruction.TRANSFER, OPERATOR, 10, OTHER, "ann", time_ns=at(23, 13)))
    later = waits(books.tell(Instruction.TRANSFER, OPERATOR, 5, OWN, "ann", time_ns=at(23, 17)))
    assert later.due_ns < first.due_ns
    done = ended(books.pass_time(at(24, 10)))
    assert (done.to_account, done.ranges) == (OWN, later.ranges)
    assert (done.ranges[0].first, done.ranges[0].last) == (11, 15)
    assert ended(books.pass_time(at(25, 12))).ranges == first.ranges


def test_what_is_due_together_is_done_in_order(books: Books) -> None:
    numbers = []
    for moment in (at(23, 10), at(23, 11)):
        numbers.append(books.number)
        books.tell(Instruction.TRANSFER, OPERATOR, 10, OTHER, "ann", time_ns=moment)
    said = books.tell(Instruction.ISSUE, OTHER, 1, time_ns=at(30, 12))
    assert [type(item).__name__ for item in said] == [
        "TransferEnded", "TransferEnded", "UnitsIssued"
    ]  # fmt: skip
    assert [item.instruction_id for item in said[:2] if isinstance(item, TransferEnded)] == numbers


def test_two_persons_transfer(books: Books) -> None:
    typed(books, OPERATOR, "100-12", "ann", "ben", needs_two=True)
    number = books.number
    proposed = waits(
        books.tell(Instruction.TRANSFER, OPERATOR, 10, OTHER, "ann", time_ns=at(23, 10))
    )
    assert (proposed.state, proposed.given_by, proposed.approved_by) == ("PROPOSED", "ann", "")
    assert books.pass_time(at(25, 12)) == []  # nothing happens without an approval
    approval = (Instruction.APPROVE_TRANSFER, OPERATOR, 10, number)
    assert books.refused(*approval, "ann") == RegistryReason.SAME_PERSON
    assert books.refused(*approval, "eve") == RegistryReason.NOT_A_REPRESENTATIVE
    assert books.refused(*approval, "") == RegistryReason.REFERENCE_MISSING
    other = (Instruction.APPROVE_TRANSFER, OPERATOR, 11, number, "ben")
    assert books.refused(*other) == RegistryReason.UNKNOWN_TRANSFER
    by = books.number
    approved = waits(books.tell(*approval, "ben", time_ns=at(25, 13)))
    assert (approved.state, approved.approved_by, approved.approval_id) == ("WAITING", "ben", by)
    assert (approved.due_ns, approved.ranges) == (at(27, 12), ())
    assert books.refused(*approval, "ben") == RegistryReason.UNKNOWN_TRANSFER
    assert ended(books.pass_time(at(27, 12))).outcome == "DONE"
    assert books.tonnes(OTHER) == {"REGISTRY": 10}


def test_an_approval_to_a_trusted_account_is_carried_out_at_once(books: Books) -> None:
    typed(books, OPERATOR, "100-7", "ann", "ben", needs_two=True)
    number = books.number
    books.tell(Instruction.TRANSFER, OPERATOR, 10, OWN, "ann", time_ns=at(23, 10))
    approved, done = books.tell(Instruction.APPROVE_TRANSFER, OPERATOR, 10, number, "ben")
    assert isinstance(approved, TransferWaits)
    assert isinstance(done, TransferEnded)
    assert books.tonnes(OWN) == {"REGISTRY": 10}


def test_a_proposed_transfer_lapses(books: Books) -> None:
    typed(books, OPERATOR, "100-12", "ann", "ben", needs_two=True)
    number = books.number
    books.tell(Instruction.TRANSFER, OPERATOR, 10, OTHER, "ann", time_ns=at(23, 10))
    last_ns = at(23, 10) + TRANSFER_APPROVAL_DAYS_MAX * DAY_NS
    assert books.pass_time(last_ns - 1) == []
    lapsed = ended(books.pass_time(last_ns))
    assert (lapsed.outcome, lapsed.to_account) == ("LAPSED", OTHER)
    assert books.tonnes(OPERATOR) == {"REGISTRY": 1_000}
    late = books.refused(Instruction.APPROVE_TRANSFER, OPERATOR, 10, number, "ben")
    assert late == RegistryReason.UNKNOWN_TRANSFER


@pytest.mark.parametrize("blocked", [OPERATOR, OTHER])
def test_a_block_stops_what_is_on_its_way(books: Books, blocked: int) -> None:
    books.tell(Instruction.TRANSFER, OPERATOR, 10, OTHER, "ann", time_ns=at(23, 10))
    books.tell(Instruction.BLOCK_ACCOUNT, blocked, notes="office\nstolen key")
    stopped = ended(books.pass_time(at(24, 12)))
    assert (stopped.outcome, stopped.text) == (
        "STOPPED", f"account {blocked} is blocked: stolen key"
    )  # fmt: skip
    assert books.tonnes(OPERATOR) == {"REGISTRY": 1_000}


def test_transfers_in_hundreds_keep_every_tonne() -> None:
    dice = random.Random(5)
    books = Books(FIRMS)
    for account in (OPERATOR, TRADER, OTHER):
        books.tell(Instruction.ISSUE, account, 10_000)
    typed(books, OTHER, "100-12", "ann", "ben", needs_two=True)
    outcomes: Counter[str] = Counter()
    open_ones: list[int] = []
    for _ in range(600):
        source, target = dice.sample((OPERATOR, TRADER, OTHER, OWN), 2)
        number = books.number
        act = dice.randrange(8)
        time_ns = books.time_ns + dice.randrange(4 * HOUR_NS)
        if act < 4:
            said = books.tell(
                Instruction.TRANSFER, source, dice.randrange(1, 200), target,
                dice.choice(("ann", "ben")), time_ns=time_ns,
            )  # fmt: skip
        elif act == 4 and open_ones:
            transfer = books.holdings.standings.transfers.get(dice.choice(open_ones))
            said = [] if transfer is None else books.tell(
                Instruction.APPROVE_TRANSFER, transfer.account, transfer.quantity,
                transfer.instruction_id, "ben", time_ns=time_ns,
            )  # fmt: skip
        elif act == 5 and open_ones:
            said = books.tell(
                Instruction.CANCEL_TRANSFER, source, 0, dice.choice(open_ones), "ann",
                time_ns=time_ns,
            )  # fmt: skip
        elif act == 6:
            books.time_ns = time_ns
            if dice.random() < 0.5:
                said = books.tell(Instruction.BLOCK_ACCOUNT, OWN, notes="office\nfile")
            else:
                said = books.both(Instruction.UNBLOCK_ACCOUNT, OWN)
        else:
            said = books.pass_time(time_ns)
        outcomes.update(type(item).__name__ for item in said)
        outcomes.update(item.outcome for item in said if isinstance(item, TransferEnded))
        open_ones += [number] * (number in books.holdings.standings.transfers)
        pending = sum(t.quantity for t in books.holdings.standings.transfers.values())
        assert sum(books.holdings.totals.values()) == 30_000
        found = sum(books.tonnes(account).get("PENDING", 0) for account in FIRMS)
        assert found == pending
        assert books.told() == {
            (account, EUA, position): quantity
            for account in FIRMS
            for position, quantity in books.tonnes(account).items()
        }
    books.pass_time(books.time_ns + 40 * DAY_NS)
    assert not books.holdings.standings.transfers
    assert not any("PENDING" in books.tonnes(account) for account in FIRMS)
    assert {"DONE", "CANCELLED", "LAPSED", "STOPPED", "InstructionRefused"} <= outcomes.keys()
    blocks = [block for place in books.holdings.totals for block in books.holdings.lying(place)]
    assert untiled(blocks, {"EUA": 30_000}) == []
    assert {t.state for t in books.holdings.changes.transfers.values()} == {
        TransferState.DONE, TransferState.CANCELLED, TransferState.LAPSED, TransferState.STOPPED
    }  # fmt: skip
    assert books.holdings.issued[EUA] == 30_000
