"""Credits exchanged for allowances: within the entitlement of a period, one for one, for good."""

from __future__ import annotations

import pytest

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    CreditsExchanged,
    EntitlementSet,
    ProjectRegistered,
    UnitsAllocated,
    UnitsIssued,
)
from exchange.registry.blocks import HistoryKind
from exchange.registry.store import RegistryStore
from tests.books_desk import CN, Desk
from tests.books_years import BY_SYMBOL, EMITTER, OTHER, VERIFIER, Office, allocation

EXCHANGE, ENTITLE = Instruction.EXCHANGE, Instruction.SET_ENTITLEMENT
EUA = BY_SYMBOL["EUA"].id
AUTHORITY = "authority"


def project(office: Office, number: int, details: str = "", since: str = "2013-01-01") -> None:
    kind = "" if "project_type" in details else ', "project_type": "wind"'
    told = f'{{"name": "p"{kind}{details}}}'
    office.done(ProjectRegistered, Instruction.REGISTER_PROJECT, "CER", 0, number, told)
    year = since[:4]
    made = f'{{"project": {number}, "period_from": "{since}", "period_to": "{year}-12-31"}}'
    office.done(UnitsIssued, Instruction.ISSUE, "CER", 2_000, int(year), made)


def entitled(day: str, group: str = "stationary", base: int = 10_000) -> Office:
    """Of 10,000 t of the second phase the third lets 1,100 t be exchanged."""
    office = Office(day)
    project(office, 1, ', "registered_on": "2012-06-30"')
    found = office.done(EntitlementSet, ENTITLE, "EUA", base, 0, f"{AUTHORITY}\ngroup {group}")
    assert (found.group, found.base) == (group, base)
    return office


def test_as_many_allowances_as_the_entitlement_lets_over_the_whole_period() -> None:
    office = entitled("2014-03-01")
    done = office.done(CreditsExchanged, EXCHANGE, "CER", 700, EUA, "emitter")
    assert (done.quantity, done.allowance_id, done.rule) == (700, EUA, "eu-p3-rice-stationary")
    assert [(r.programme, r.first, r.last) for r in (*done.cancelled, *done.ranges)] == [
        ("CER", 1, 700),
        ("EUA", 1, 700),
    ]
    kinds = [row[3] for row in office.holdings.changes.history]
    assert HistoryKind.EXCHANGED in kinds
    assert office.holdings.held(EMITTER, 1, EUA) == 700
    # the cap is one for the period, not one a year
    office.on("2016-03-01")
    over = office.refused(EXCHANGE, "CER", 401, EUA, "emitter")
    assert (over.reason, over.rule) == (RegistryReason.OFFSET_CAP_EXCEEDED, "eu-p3-rice-stationary")
    assert "caps CER at 1100 t = 1100 basis points" in over.text
    assert "used 700 t, headroom 400 t" in over.text
    office.done(CreditsExchanged, EXCHANGE, "CER", 400, EUA, "emitter")
    none = office.refused(EXCHANGE, "CER", 1, EUA, "emitter")
    assert none.reason == RegistryReason.OFFSET_CAP_EXCEEDED
    # a later statement of the authority leaves what was exchanged counted
    office.done(EntitlementSet, ENTITLE, "EUA", 20_000, 0, f"{AUTHORITY}\ngroup stationary")
    office.done(CreditsExchanged, EXCHANGE, "CER", 900, EUA, "emitter")  # no more are held


@pytest.mark.parametrize(("group", "most"), [("new_entrant", 45), ("aircraft", 15)])
def test_others_exchange_a_share_of_what_they_emitted_in_the_period(group: str, most: int) -> None:
    office = entitled("2016-03-01", group, 0)
    office.owe("EUA", 600, 2014)
    office.owe("EUA", 400, 2015)
    over = office.refused(EXCHANGE, "CER", most + 1, EUA, "emitter")
    assert over.reason == RegistryReason.OFFSET_CAP_EXCEEDED
    done = office.done(CreditsExchanged, EXCHANGE, "CER", most, EUA, "emitter")
    assert done.quantity == most


@pytest.mark.parametrize(
    ("day", "details", "since", "words"),
    [
        ("2014-03-01", ', "registered_on": "2012-12-31"', "2013-01-01", ""),
        ("2014-03-01", ', "registered_on": "2013-01-01"', "2013-01-01", "least developed"),
        (
            "2014-03-01",
            ', "registered_on": "2013-01-01", "host": "least_developed_country"',
            "2013-01-01",
            "",
        ),
        ("2015-03-31", ', "registered_on": "2012-01-01"', "2012-01-01", ""),
        ("2015-04-01", ', "registered_on": "2012-01-01"', "2012-01-01", "before 2013 until"),
        ("2013-04-30", ', "registered_on": "2012-01-01", "flags": []', "2013-01-01", ""),
        (
            "2014-03-01",
            ', "registered_on": "2012-01-01", "project_type": "hydro_over_20mw"',
            "2013-01-01",
            "with the flag wcd_checked only: above 20 MW the criteria of the World Commission",
        ),
        (
            "2014-03-01",
            ', "registered_on": "2012-01-01", "project_type": "hydro_over_20mw", '
            '"flags": ["wcd_checked"]',
            "2013-01-01",
            "",
        ),
        (
            "2014-03-01",
            ', "registered_on": "2012-01-01", "project_type": "hydro_up_to_20mw"',
            "2013-01-01",
            "",
        ),
        (
            "2014-03-01",
            ', "registered_on": "2012-01-01", "project_type": ""',
            "2013-01-01",
            "the type of this project is not stated",
        ),
    ],
)
def test_which_credits_the_third_phase_takes(
    day: str, details: str, since: str, words: str
) -> None:
    office = Office(day)
    project(office, 2, details, since)
    office.done(EntitlementSet, ENTITLE, "EUA", 10_000, 0, f"{AUTHORITY}\ngroup stationary")
    if not words:
        office.done(CreditsExchanged, EXCHANGE, "CER", 10, EUA, "emitter")
        return
    refusal = office.refused(EXCHANGE, "CER", 10, EUA, "emitter")
    assert refusal.reason == RegistryReason.UNIT_NOT_ELIGIBLE
    assert words in refusal.text


def test_credits_of_no_stated_project_and_day_are_not_exchanged() -> None:
    office = Office("2015-04-01")
    office.done(EntitlementSet, ENTITLE, "EUA", 10_000, 0, f"{AUTHORITY}\ngroup stationary")
    office.issue("CER", 10, 2013)
    refusal = office.refused(EXCHANGE, "CER", 10, EUA, "emitter")
    assert refusal.reason == RegistryReason.UNIT_NOT_ELIGIBLE
    assert "the type of this project is not stated" in refusal.text


def test_refusals() -> None:
    office = entitled("2014-03-01")
    cea = BY_SYMBOL["CEA-2025"].id
    assert (
        office.refused(EXCHANGE, "CER", 1, cea, "emitter").reason
        == office.refused(EXCHANGE, "EUA", 1, EUA, "emitter").reason
        == RegistryReason.NOT_ALLOWANCE_OF_YEAR
    )
    stranger = office.refused(EXCHANGE, "CER", 1, EUA, "other", account=OTHER)
    assert stranger.reason == RegistryReason.ENTITLEMENT_UNKNOWN
    group = office.refused(ENTITLE, "EUA", 1, 0, f"{AUTHORITY}\ngroup ships")
    assert group.reason == RegistryReason.ENTITLEMENT_UNKNOWN
    assert office.refused(ENTITLE, "EUA", 1).reason == RegistryReason.WORDS_NOT_READABLE
    few = office.refused(EXCHANGE, "CER", 2_001, EUA, "emitter")
    assert few.reason == RegistryReason.NOT_ENOUGH_UNITS
    # such credits are never surrendered
    office.owe("EUA", 1_000, 2013)
    direct = office.refused(Instruction.SURRENDER, "CER", 1, 2013)
    assert "exchanged for allowances, and not surrendered" in direct.text
    # and after the phase there is no rule to exchange by
    late = office.on("2022-03-01").refused(EXCHANGE, "CER", 1, EUA, "emitter")
    assert late.reason == RegistryReason.UNIT_NOT_ELIGIBLE


def test_allowances_for_credits_are_beside_the_cap() -> None:
    office = entitled("2014-03-01")
    office.done(CreditsExchanged, EXCHANGE, "CER", 1_000, EUA, "emitter")
    assert office.holdings.issued_of(EUA, 2014) == 1_000
    assert office.holdings.beside_cap(EUA, 2014) == 1_000
    office.done(UnitsAllocated, Instruction.ALLOCATE, "EUA", 500, 2014, allocation("final"))


@pytest.mark.parametrize(("group", "most"), [("new_entrant", 45), ("aircraft", 15)])
def test_a_lower_figure_does_not_leave_too_much_exchanged(group: str, most: int) -> None:
    office = entitled("2016-03-01", group, 0)
    office.owe("EUA", 600, 2014)
    office.owe("EUA", 400, 2015)
    office.done(CreditsExchanged, EXCHANGE, "CER", most, EUA, "emitter")
    verify = (Instruction.VERIFY_EMISSIONS, "EUA")
    by = f"verifier\nparticipant {VERIFIER}"
    low = office.refused(*verify, 399, 2015, by)
    assert low.reason == RegistryReason.OFFSET_CAP_EXCEEDED
    assert low.rule.startswith("eu-p3-rice")
    assert f"of 999 t cap of {low.rule} would be {most - 1} t, 1 t less than were" in low.text
    office.verify("EUA", 400, 2015)  # the same again
    office.verify("EUA", 500, 2015)
    office.verify("EUA", 400, 2015)
    office.owe("EUA", 1, 2013)  # a year more leaves room of its own
    office.verify("EUA", 399, 2015)
    # what is of no year of the period, or of who exchanged nothing, is not asked
    office.on("2022-03-01").owe("EUA", 10, 2021)
    office.verify("EUA", 0, 2021)
    office.owe("EUA", 10, 2015, OTHER)
    office.verify("EUA", 0, 2015, OTHER)


def test_who_has_an_entitlement_of_a_fixed_base_may_lower_emissions() -> None:
    office = entitled("2016-03-01")
    office.owe("EUA", 600, 2014)
    office.done(CreditsExchanged, EXCHANGE, "CER", 1_100, EUA, "emitter")
    office.verify("EUA", 0, 2014)


def test_exchanges_take_no_memory_each() -> None:
    office = entitled("2014-03-01")
    for _ in range(5):
        office.done(CreditsExchanged, EXCHANGE, "CER", 10, EUA, "emitter")
    assert len(office.holdings.changes.exchanges) == 5
    kept = office.holdings._exchanged[EMITTER, "eu-ets"]
    assert kept == {(BY_SYMBOL["CER"].id, 1): 50}


async def test_entitlements_and_exchanges_come_back_from_the_books(desk: Desk) -> None:
    changes = desk.registry.holdings
    source = entitled("2014-03-01")
    source.done(CreditsExchanged, EXCHANGE, "CER", 700, EUA, "emitter")
    for entitlement in source.holdings.changes.entitlements:
        changes.add_entitlement(entitlement)
    for row in source.holdings.changes.exchanges:
        changes.add_exchange(row)
    store = RegistryStore(desk.books, CN, {})
    position = desk.registry.position
    await store.write(position, position, changes.take_changes(), [])
    loaded = (await store.load()).holdings
    assert loaded.entitlements == changes.entitlements
    assert loaded.exchanged_by(EMITTER, "eu-ets") == {(BY_SYMBOL["CER"].id, 1): 700}
    assert loaded.beside_cap(EUA, 2014) == 700
