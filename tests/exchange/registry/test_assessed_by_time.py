"""Years assessed by themselves when the log's time passes their last day for surrender."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from exchange.database import schema as tables
from exchange.database import table_hash
from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import InstructionRefused, RegistryItem, YearAssessed, YearFigures
from exchange.rebuild import rebuild
from exchange.registry.saga import AllowanceState
from exchange.registry.years import FINE_NOT_KNOWN
from exchange.rulebook import load_rulebook
from exchange.rulebook.shapes import SurrenderRule
from tests.books_desk import CN, Desk, owed, surrender
from tests.books_registrar import EUA, Books
from tests.books_two import HOLDING, TWO
from tests.books_venue import CCER, CEA_2024, MARKET, VENUE, YANGTZE, YEAR, issue
from tests.books_years import Office, at
from tests.exchange.registry.test_two_registries_apart import Net
from tests.fixtures_postgres import MakeBooks

EMITTER, VERIFIER = 103, 9
REPORT, VERIFY = Instruction.REPORT_EMISSIONS, Instruction.VERIFY_EMISSIONS
ASSESS, SURRENDER, ISSUE = Instruction.ASSESS, Instruction.SURRENDER, Instruction.ISSUE
EU_END = at("2026-10-01T00:00:00", "+02:00")  # after 30 September, Brussels
CN_END = at("2027-01-01T00:00:00", "+08:00")


def eu(verified_on: str = "2026-03-20", quantity: int = 1_000) -> Books:
    books = Books({EMITTER: 3}, time_ns=at("2026-03-01"))
    books.tell(REPORT, EMITTER, quantity, 2025, "emitter")
    books.tell(ISSUE, EMITTER, 5_000, 2025)
    verify(books, verified_on, quantity)
    return books


def verify(books: Books, on: str, quantity: int) -> None:
    text = f"verifier\nparticipant {VERIFIER}"
    said = books.tell(VERIFY, EMITTER, quantity, 2025, text, time_ns=at(on))
    assert isinstance(said[0], YearFigures), said


def assessed(said: list[RegistryItem]) -> list[YearAssessed]:
    return [item for item in said if isinstance(item, YearAssessed)]


def test_it_happens_when_the_last_day_is_over_and_once() -> None:
    books = eu()
    books.tell(SURRENDER, EMITTER, 700, 2025)
    assert books.pass_time(EU_END - 1) == []
    said = books.pass_time(EU_END)
    (told,) = assessed(said)
    assert (told.instruction_id, told.given_by, told.due) == (0, "", "2026-09-30")
    assert (told.obligation, told.surrendered, told.shortfall) == (1_000, 700, 300)
    assert told.fine_min == told.fine_max == FINE_NOT_KNOWN  # indexed, and not observed
    assert "set observed_minor of 2025" in told.consequence
    assert told.carried == 300
    years = {(item.year, item.shortfall, item.carried_in) for item in said[:2]}  # type: ignore[union-attr]
    assert years == {(2025, 300, 0), (2026, None, 300)}
    for later in (EU_END, EU_END + 1):
        assert books.pass_time(later) == []
    (row,) = books.holdings.changes.assessments
    assert row.instruction_id == -1
    assert books.refused(ASSESS, EMITTER, 0, 2025, "authority") == RegistryReason.YEAR_ASSESSED


def test_a_surrender_in_the_last_record_counts_and_one_in_the_next_is_too_late() -> None:
    books = eu()
    books.tell(SURRENDER, EMITTER, 1_000, 2025, time_ns=EU_END - 1)
    (told,) = assessed(books.pass_time(EU_END))
    assert (told.shortfall, told.fine_max, told.carried) == (0, 0, 0)
    late = eu()
    said = late.tell(SURRENDER, EMITTER, 1_000, 2025, time_ns=EU_END)
    (told,) = assessed(said)
    assert told.shortfall == 1_000
    assert isinstance(said[-1], InstructionRefused)
    assert said[-1].reason == RegistryReason.SURRENDER_ABOVE_OBLIGATION


def test_by_hand_it_is_refused_until_then() -> None:
    books = eu()
    books.time_ns = EU_END - 1
    assert books.refused(ASSESS, EMITTER, 0, 2025, "authority") == RegistryReason.DUE_DAY_NOT_OVER


@pytest.mark.parametrize("verified_on", ["2026-10-02", ""])
def test_what_was_not_verified_by_then_waits_for_the_authority(verified_on: str) -> None:
    books = Books({EMITTER: 3}, time_ns=at("2026-03-01"))
    books.tell(REPORT, EMITTER, 1_000, 2025, "emitter")
    assert books.pass_time(EU_END) == []
    verify(books, verified_on or "2026-11-01", 1_000)
    assert books.pass_time(at("2026-12-24")) == []
    (told,) = assessed(books.tell(ASSESS, EMITTER, 0, 2025, "authority"))
    assert (told.given_by, told.shortfall) == ("authority", 1_000)


def test_a_corrected_figure_is_the_one_that_counts() -> None:
    books = eu()
    verify(books, "2026-09-29", 900)
    (told,) = assessed(books.pass_time(EU_END))
    assert told.shortfall == 900
    assert len(books.holdings.changes.assessments) == 1


def test_each_account_and_year_of_its_own() -> None:
    books = Books({EMITTER: 3, 104: 4}, time_ns=at("2026-03-01"))
    for account in (EMITTER, 104):
        books.tell(REPORT, account, 10, 2025, f"emitter-{account}")
        text = f"verifier\nparticipant {VERIFIER}"
        books.tell(VERIFY, account, 10, 2025, text)
    told = assessed(books.pass_time(EU_END))
    assert [(item.account_id, item.shortfall) for item in told] == [(EMITTER, 10), (104, 10)]
    assert [row.instruction_id for row in books.holdings.changes.assessments] == [-1, -2]


# -- where the fine needs a price, and where another registry still has to answer ----------------


class China(Net):
    """1,000 t are owed, of which credits kept elsewhere may be 50 t."""

    def __init__(self) -> None:
        super().__init__(random.Random(0))
        books = self.asking
        books.tell(REPORT, YANGTZE, 1_000, YEAR, "emitter", instrument=CEA_2024)
        text = f"verifier\nparticipant {VERIFIER}"
        said = books.tell(VERIFY, YANGTZE, 1_000, YEAR, text, instrument=CEA_2024)
        assert isinstance(said[0], YearFigures), said

    def give(self, quantity: int) -> None:
        told = (SURRENDER, YANGTZE, quantity, YEAR)
        assert not isinstance(self.asking.tell(*told, instrument=CEA_2024)[0], InstructionRefused)

    def ask(self, quantity: int) -> int:
        number = self.asking.number
        told = (SURRENDER, YANGTZE, quantity, YEAR)
        self.asking.tell(*told, instrument=CCER, time_ns=CN_END - 1)
        return number

    def deliver_all(self) -> None:
        while self.deliver(loses=False):
            pass


def test_who_gave_all_needs_no_price() -> None:
    china = China()
    china.give(1_000)
    assert china.asking.pass_time(CN_END - 1) == []
    (told,) = assessed(china.asking.pass_time(CN_END))
    assert (told.shortfall, told.fine_max) == (0, 0)


def test_a_fine_that_needs_a_price_waits_for_the_authority() -> None:
    china = China()
    china.give(999)
    assert china.asking.pass_time(CN_END) == []
    assert china.asking.holdings.changes.assessments == []
    said = china.asking.tell(ASSESS, YANGTZE, 0, YEAR, "authority\nprice 8000", instrument=CEA_2024)
    (told,) = assessed(said)
    assert (told.shortfall, told.average_price, told.given_by) == (1, 8_000, "authority")


def test_a_surrender_that_was_asked_in_time_is_waited_for() -> None:
    china = China()
    china.give(950)
    number = china.ask(50)
    assert assessed(china.asking.pass_time(CN_END)) == []
    china.deliver_all()
    assert china.asking.holdings.changes.offsets[number].state == AllowanceState.DONE
    (row,) = china.asking.holdings.changes.assessments
    assert (row.surrendered, row.shortfall) == (1_000, 0)
    (kept,) = (r for r in china.asking.holdings.changes.surrenders if r.rule)
    assert not kept.is_late  # asked before the end


def test_one_that_fails_leaves_the_shortfall_to_the_authority() -> None:
    china = China()
    china.give(950)
    bind = Instruction.BIND_ACCOUNT
    china.keeping.tell(bind, HOLDING, 0, 0, "office\nCN", instrument=77)
    number = china.ask(50)
    china.asking.pass_time(CN_END)
    china.deliver_all()
    assert china.asking.holdings.changes.offsets[number].state == AllowanceState.FAILED
    assert china.asking.holdings.changes.assessments == []  # 50 t short: a price is needed


def test_one_asked_too_late_starts_nothing() -> None:
    china = China()
    china.give(999)
    china.asking.pass_time(CN_END)
    china.asking.tell(SURRENDER, YANGTZE, 1, YEAR, instrument=CCER)
    china.deliver_all()
    assert [row.is_late for row in china.asking.holdings.changes.surrenders if row.rule] == [1]
    assert china.asking.holdings.changes.assessments == []


def test_the_calendar_is_of_the_market() -> None:
    assert {item.scheme for item in TWO.instruments_of("CN")} == {"cn-national"}
    assert EUA in {item.id for item in VENUE.instruments_of("EU")}


# -- in the books --------------------------------------------------------------------------------


async def test_the_agenda_outlives_a_process(
    desk: Desk, market_log: Any, books: Any, make_books: MakeBooks
) -> None:
    await desk.act(issue(YANGTZE, CEA_2024, 900), *owed(YANGTZE, YEAR, 800))
    await desk.act(surrender(YANGTZE, CEA_2024, 800))
    again = Desk(market_log, books)
    again.pump = desk.pump
    again.settlement = desk.settlement
    await again.registry.take_up(again.stop)
    due = again.registry.holdings.standings.next_due()
    assert due is not None
    assert (due.time_ns, due.kind, due.number) == (CN_END, "YEAR", YANGTZE)
    assert due == desk.registry.holdings.standings.next_due()
    assert again.registry.holdings.standings.whose(due) == (YANGTZE, 11)
    again.pump.time_ns = CN_END
    (told,) = assessed(await again.act(issue(YANGTZE, CEA_2024, 1)))
    assert (told.account_id, told.shortfall) == (YANGTZE, 0)
    async with books.reading() as connection:
        row = (await connection.execute(select(tables.assessment))).one()
    assert (row.instruction_id, row.given_by) == (-1, "")
    third = Desk(market_log, books)
    await third.registry.load()
    assert third.registry.holdings.standings.next_due() is None
    assert third.registry.holdings.assessed_by_time == -1
    rebuilt = await rebuild(market_log, MARKET, VENUE, await make_books())
    assert rebuilt == await table_hash(books, CN)


def test_while_a_year_waits_nothing_more_is_asked_of_another_registry() -> None:
    """What is asked after the last day does not get in the way of what was asked in time."""
    china = China()
    china.give(950)
    first = china.ask(50)
    china.asking.pass_time(CN_END)
    late = (Instruction.SURRENDER, YANGTZE, 1, YEAR)
    (told,) = china.asking.tell(*late, instrument=CCER)
    china.deliver_all()
    assert isinstance(told, InstructionRefused)
    assert told.reason == RegistryReason.YEAR_WAITS
    assert china.asking.holdings.changes.offsets[first].state == AllowanceState.DONE
    (row,) = china.asking.holdings.changes.assessments
    assert (row.surrendered, row.shortfall) == (1_000, 0)


# -- where tonnes are taken by force -------------------------------------------------------------


def shenzhen() -> Office:
    """1,000 t are owed to a rule that takes them by force, and has a last day; 700 t are held."""
    rulebook = load_rulebook()
    last = SurrenderRule(obligation="verified_emissions", deadline_md="06-30")
    schemes = [
        msgspec.structs.replace(
            scheme,
            rules=tuple(
                msgspec.structs.replace(
                    rules, surrender=msgspec.structs.replace(last, deadline_year_offset=1)
                )
                for rules in scheme.rules
            ),
        )
        if scheme.id == "cn-pilot-shenzhen"
        else scheme
        for scheme in rulebook.scheme
    ]
    office = Office("2020-02-01", msgspec.structs.replace(rulebook, scheme=tuple(schemes)))
    office.owe("SZEA", 1_000, 2019)
    office.issue("SZEA", 700)
    return office


def test_nothing_is_taken_by_force_before_an_authority_says_the_price() -> None:
    office = shenzhen()
    assert office.pass_time("2020-07-02") == []
    assert office.holdings.changes.surrenders == []
    said = office.act(ASSESS, "SZEA", 0, 2019, "authority\nprice 2500")
    (told,) = assessed(said)
    assert (told.shortfall, told.forced, told.given_by) == (1_000, 700, "authority")
    (row,) = office.holdings.changes.surrenders
    assert (row.instruction_id, row.quantity, row.is_late) == (office.number, 700, 1)


def test_who_gave_all_is_assessed_by_time_where_tonnes_would_be_taken() -> None:
    office = shenzhen()
    office.issue("SZEA", 300)
    office.act(SURRENDER, "SZEA", 1_000, 2019)
    (told,) = assessed(office.pass_time("2020-07-02"))
    assert (told.shortfall, told.forced) == (0, 0)
