"""What a credit is, checked over two registries: in Beijing's scheme, of credits that CV keeps."""

from __future__ import annotations

import datetime as dt
import random

import msgspec
import pytest

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    InstructionRefused,
    IssuanceDetails,
    OffsetSurrenderChanged,
    ProjectDetails,
    RegistryItem,
    UnitsIssued,
)
from exchange.reference.venue import Instrument, Market, Venue
from exchange.registry.saga import AllowanceState
from exchange.registry.years import Figures
from exchange.rulebook.selection import lives_elsewhere
from gateway.views.holdings import Holdings as View
from tests.books_registrar import RULEBOOK, Books
from tests.books_years import at
from tests.exchange.registry.test_two_registries_apart import Net

EMITTER, HOLDING, ALLOWANCE, LISTED, KEPT = 203, 301, 11, 21, 77
ACCOUNT = (EMITTER, "cn-pilot-beijing", 2014)
WIND = ProjectDetails(name="w", project_type="wind", gas="CO2", region="CN-BJ")
HEBEI = msgspec.structs.replace(WIND, region="CN-HE")


def venue(**listed: object) -> Venue:
    there = Instrument(KEPT, "CV", "CCER-CV", "CCER", "cn-voluntary", "offset", 0, "")
    here = Instrument(
        LISTED, "BJ", "CCER", "CCER", "cn-pilot-beijing", "offset", 0, "", kept_by="CV"
    )
    allowance = Instrument(ALLOWANCE, "BJ", "BEA", "BEA", "cn-pilot-beijing", "allowance", 0, "")
    markets = (Market("BJ", 1, "CNY"), Market("CV", 5, "CNY"))
    return Venue("two", markets, (allowance, msgspec.structs.replace(here, **listed), there))


class Beijing(Net):
    """An emitter that was given 10,000 t: 500 t of credits, 250 t of them from elsewhere."""

    def __init__(self, **listed: object) -> None:
        super().__init__(random.Random(0))
        when = {"time_ns": at("2015-03-02"), "venue": venue(**listed)}
        self.asking = Books({EMITTER: 4}, market="BJ", **when)  # type: ignore[arg-type]
        self.keeping = Books({HOLDING: 4}, market="CV", **when)  # type: ignore[arg-type]
        self._taken = {id(self.asking): 0, id(self.keeping): 0}
        figures = Figures(reported=10_000, verified=10_000, provisional=10_000)
        self.asking.holdings.set_year(ACCOUNT, figures)
        bind = Instruction.BIND_ACCOUNT
        self.asking.tell(bind, EMITTER, 0, HOLDING, "office\nCV", instrument=LISTED)
        kind = "office\nccer_general_holding"
        self.keeping.tell(Instruction.SET_ACCOUNT_TYPE, HOLDING, notes=kind, instrument=KEPT)
        self.keeping.tell(bind, HOLDING, 0, EMITTER, "office\nBJ", instrument=KEPT)

    def issue(
        self, details: ProjectDetails, quantity: int, first: dt.date = dt.date(2014, 1, 1)
    ) -> int:
        """Credits of a new project; its number."""
        number = len(self.keeping.holdings.projects) + 1
        text = msgspec.json.encode(details).decode()
        told = (Instruction.REGISTER_PROJECT, HOLDING, 0, number, text)
        self.keeping.tell(*told, instrument=KEPT)
        made = IssuanceDetails(number, first, dt.date(first.year, 12, 31))
        text = msgspec.json.encode(made).decode()
        (said,) = self.keeping.tell(
            Instruction.ISSUE, HOLDING, quantity, first.year, text, instrument=KEPT
        )
        assert isinstance(said, UnitsIssued), said
        return number

    def surrender(self, quantity: int, project: str = "") -> RegistryItem:
        """Over both registries; what was said last where it is owed."""
        number = self.asking.number
        said = self.asking.tell(
            Instruction.SURRENDER, EMITTER, quantity, 2014, project, instrument=LISTED
        )
        while self.deliver(loses=False):
            pass
        changes = self.asking.holdings.changes
        if number not in changes.offsets:
            return said[-1]
        row = changes.offsets[number]
        if row.state == AllowanceState.DONE:
            assert self.keeping.holdings.changes.holds["BJ", number].state == 2
            return said[-1]
        (refusal,) = (item for item in changes.refusals if item[0] == number)
        return InstructionRefused(*refusal[:4])

    def done(self, quantity: int, project: str = "") -> dict[int, int]:
        """A surrender that is carried out; tonnes by project, of all that were."""
        said = self.surrender(quantity, project)
        assert isinstance(said, OffsetSurrenderChanged), said
        used = self.asking.holdings.credits[ACCOUNT]
        return {number: tonnes for (_, number), tonnes in used.items()}

    def refused(self, quantity: int, project: str = "") -> tuple[int, str]:
        """A surrender that is refused, whichever registry refuses it; reason and text."""
        before = dict(self.keeping.holdings.totals)
        said = self.surrender(quantity, project)
        assert isinstance(said, InstructionRefused), said
        assert dict(self.keeping.holdings.totals) == before
        return said.reason, said.text


@pytest.mark.parametrize(
    ("details", "first", "why"),
    [
        (msgspec.structs.replace(WIND, project_type="hydro_small"), dt.date(2014, 1, 1), "hydro"),
        (msgspec.structs.replace(WIND, gas="HFC"), dt.date(2014, 1, 1), "excludes HFC"),
        (WIND, dt.date(2012, 12, 31), "these are of 2012-12-31"),
        (msgspec.structs.replace(WIND, covered_by="scheme"), dt.date(2014, 1, 1), "covered"),
    ],
)
def test_what_the_rules_do_not_take(details: ProjectDetails, first: dt.date, why: str) -> None:
    beijing = Beijing()
    beijing.issue(details, 100, first)
    reason, text = beijing.refused(10)
    assert reason == RegistryReason.UNIT_NOT_ELIGIBLE
    assert "rule bj-offset" in text
    assert why in text
    beijing.issue(WIND, 10, dt.date(2013, 1, 1))  # the first day that counts
    assert beijing.done(10) == {2: 10}
    assert beijing.refused(1)[0] == RegistryReason.UNIT_NOT_ELIGIBLE


def test_local_ones_go_first_and_others_up_to_their_share() -> None:
    beijing = Beijing()
    beijing.issue(HEBEI, 400)
    beijing.issue(WIND, 100)
    assert beijing.done(350) == {2: 100, 1: 250}
    reason, text = beijing.refused(1)
    assert reason == RegistryReason.OFFSET_NO_LONGER_FITS
    assert "from outside CN-BJ: 250 t, headroom 0 t" in text
    beijing.issue(WIND, 151)
    assert beijing.done(150) == {1: 250, 2: 100, 3: 150}
    reason, text = beijing.refused(1)  # its own registry knows that: it does not ask
    assert reason == RegistryReason.OFFSET_CAP_EXCEEDED
    assert "used 500 t, headroom 0 t" in text
    rows = beijing.asking.holdings.changes.credits
    assert sorted(row[1:] for row in rows) == [(1, 250), (2, 100), (3, 150)]
    regions = {row.project: row.region for row in beijing.asking.holdings.changes.foreign}
    assert regions == {1: "CN-HE", 2: "CN-BJ", 3: "CN-BJ"}
    view = beijing.asking._view
    assert isinstance(view, View)
    assert view.used[EMITTER, 2014, LISTED] == {2: 100, 1: 250, 3: 150}


def test_one_tonne_of_the_share_is_one_tonne() -> None:
    beijing = Beijing()
    beijing.issue(HEBEI, 400)
    assert beijing.refused(251)[0] == RegistryReason.OFFSET_NO_LONGER_FITS
    assert beijing.done(250) == {1: 250}


def test_a_project_is_named() -> None:
    beijing = Beijing()
    beijing.issue(WIND, 100)
    second = beijing.issue(HEBEI, 40)
    assert beijing.done(40, str(second)) == {second: 40}
    reason, text = beijing.refused(1, str(second))
    assert reason == RegistryReason.NOT_ENOUGH_UNITS
    assert f"less than 1 t of project {second}" in text
    for wrong in ("0", "x", str(2**31)):
        assert beijing.refused(1, wrong)[0] == RegistryReason.PROJECT_INVALID


def test_the_pile_of_projects_that_a_message_names() -> None:
    beijing = Beijing()
    for _ in range(40):
        beijing.issue(WIND, 1)
    reason, text = beijing.refused(40)
    assert reason == RegistryReason.TOO_MANY_PROJECTS
    assert "40 t would be of 40 projects" in text
    assert len(beijing.done(20)) == 20


def test_what_the_instrument_says_is_refused_at_once() -> None:
    beijing = Beijing(project_types=("hydro_small", "hydro_large"))
    beijing.issue(WIND, 100)
    assert beijing.refused(1)[0] == RegistryReason.UNIT_NOT_ELIGIBLE
    assert beijing.asking.holdings.changes.messages == []
    some = Beijing(project_types=("hydro_small", "wind"))
    some.issue(WIND, 100)
    assert some.done(1) == {1: 1}


def test_a_project_is_registered_where_it_is_kept() -> None:
    beijing = Beijing()
    reason = beijing.asking.refused(
        Instruction.REGISTER_PROJECT, EMITTER, 0, 1, '{"name": "w"}', instrument=LISTED
    )
    assert reason == RegistryReason.PROJECT_INVALID


def test_credits_of_another_scheme_live_elsewhere() -> None:
    taken = {
        (scheme.id, unit)
        for scheme in RULEBOOK.scheme
        for rules in scheme.rules
        for rule in rules.offset
        for unit in rule.credit_types
    }
    two = {scheme for scheme, unit in taken if lives_elsewhere(RULEBOOK, scheme, unit)}
    assert {s for s, unit in taken if unit == "CCER"} == two - {"eu-ets"}
    assert len(two) == 10  # the national scheme, eight pilots, and the EU's Kyoto units
    assert not lives_elsewhere(RULEBOOK, "cn-pilot-beijing", "BCER")
    assert not lives_elsewhere(RULEBOOK, "cn-national", "CEA")
    assert not lives_elsewhere(RULEBOOK, "cn-national", "NONE")
