"""A year's supply, reserve prices, revenue: the edges that vectors do not say, and the data."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.rulebook import RulebookError, load_rulebook
from exchange.rulebook.auction_calendar import Share, plan_calendar
from exchange.rulebook.auction_data import (
    VolumePeriod,
    load_programme,
    load_supply_data,
    parse_supply_data,
)
from exchange.rulebook.reserves import TradedDay, months_before, reserve_on
from exchange.rulebook.revenue import by_auctioneer, by_beneficiary
from exchange.rulebook.supply import ReserveMove
from exchange.rulebook.year_supply import (
    Move,
    programme_volumes,
    series_volumes,
    within,
    year_supply,
)

BOOK = load_rulebook()
DATA = load_supply_data()
HOME = Path(__file__).parents[3] / "exchange/rulebook"
TEXT = (HOME / "auction_calendars.toml").read_text("utf-8")


def date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


# -- the reserve -----------------------------------------------------------------------------------


@given(amount=st.integers(0, 10**10))
def test_the_parts_of_a_move_add_up_to_it(amount: int) -> None:
    move = Move(2018, 0, date("2019-09-01"), date("2020-08-31"), ReserveMove(amount, 0))
    autumn = within(move, date("2019-01-01"), date("2019-12-31"))
    rest = within(move, date("2020-01-01"), date("2020-12-31"))
    assert autumn.intake_t + rest.intake_t == amount
    assert autumn.intake_t == amount * 4 // 12
    months = [within(move, date(f"2020-{m:02}-01"), date(f"2020-{m:02}-28")) for m in range(1, 13)]
    assert sum(month.intake_t for month in months) == rest.intake_t
    assert [month.intake_t for month in months[8:]] == [0] * 4
    assert all(abs(month.intake_t * 12 - amount) < 12 for month in months[:8])


def test_the_reductions_of_autumn_2019_as_published() -> None:
    """117,563,500 t for all but the United Kingdom, a third of 397,178,358 t for all."""
    supply = year_supply(BOOK, DATA, "eu-ets", 2019)
    autumn = supply.moved(date("2019-09-01"), date("2019-12-31")).intake_t
    assert autumn == 132_392_786
    assert 0.88 < 117_563_500 / autumn < 0.90


@pytest.mark.parametrize(
    ("tnac_t", "net_t"),
    [
        (400_000_000, 1_000_000_000),
        (399_999_999, 1_000_000_000 + 33_333_333),
        (833_000_000, 1_000_000_000),
        (833_000_003, 1_000_000_000 - 1),
    ],
)
def test_a_reserve_acts_from_its_thresholds_on(tnac_t: int, net_t: int) -> None:
    given_t = {2025: 500_000_000, 2026: tnac_t}  # nothing moves before September
    found = year_supply(BOOK, DATA, "eu-ets", 2027, tnac_t=given_t, gross_t=1_000_000_000)
    assert found.net_t == net_t


def test_what_is_not_known_is_named() -> None:
    with pytest.raises(RulebookError, match="share of 2005 that is auctioned is not known"):
        year_supply(BOOK, DATA, "eu-ets", 2005)
    with pytest.raises(RulebookError, match="knows no scheme no"):
        year_supply(BOOK, DATA, "no", 2019)
    with pytest.raises(RulebookError, match="more is taken from 2019 than is auctioned"):
        year_supply(BOOK, DATA, "eu-ets", 2019, gross_t=1_000)
    assert year_supply(BOOK, DATA, "ca-qc", 2019, gross_t=1_000).net_t == 1_000  # no reserve


def test_a_series_gets_its_share_of_each_period() -> None:
    series = DATA.series_of("eex-de")
    rule = series.year_of(2021)
    supply = year_supply(BOOK, DATA, "eu-ets", 2021)
    periods = series_volumes(series, rule, supply, 10_000)
    assert sum(period.volume_t for period in periods) == supply.net_t
    half = series_volumes(series, rule, supply, 5_000)
    assert [period.volume_t for period in half] == [period.volume_t // 2 for period in periods]
    few = year_supply(BOOK, DATA, "eu-ets", 2021, gross_t=350_000_000)
    with pytest.raises(RulebookError, match="more is taken until 2021-08-31 than is auctioned"):
        series_volumes(series, rule, few, 10_000)


# -- programmes ------------------------------------------------------------------------------------

PROGRAMME = """
series = "eex-de"
symbol = "EUA"
holding_account = 301
delivery_account = 302

[year]
year = 2026
first = 2026-01-09
last = 2026-12-18
volumes = [{ until = 2026-08-31, volume_t = 3000000 }, { until = 2026-12-31, volume_t = 1000001 }]
"""


def programme(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "programme.toml"
    path.write_text(PROGRAMME + text, "utf-8")
    return path


def volumes(tmp_path: Path, text: str) -> dict[str, list[int]]:
    plan = load_programme(programme(tmp_path, text))
    series = DATA.series_of(plan.series)
    supply = year_supply(BOOK, DATA, "eu-ets", 2026, gross_t=700_000_000)
    found = programme_volumes(plan, series, supply)
    calendar = plan_calendar(series, plan.year, found)
    assert calendar.total_t == sum(p.volume_t for periods in found.values() for p in periods)
    return {name: [period.volume_t for period in periods] for name, periods in found.items()}


def test_a_programme_says_what_a_series_leaves_open(tmp_path: Path) -> None:
    assert volumes(tmp_path, "") == {"eex-de": [3_000_000, 1_000_001]}
    found = volumes(
        tmp_path,
        """
        [[auctioneer]]
        name = "Saxony"
        weight = 2
        [[auctioneer]]
        name = "fund"
        volumes = [{ until = 2026-12-31, volume_t = 500000 }]
        [[auctioneer]]
        name = "Bavaria"
        weight = 1
        [[auctioneer]]
        name = "share"
        share_bp = 1000
        """,
    )
    assert list(found) == ["Saxony", "fund", "Bavaria", "share"]
    assert found["Saxony"] == [2_000_000, 666_667]
    assert found["Bavaria"] == [1_000_000, 333_334]
    assert found["fund"] == [500_000]
    assert sum(found["share"]) == 45_281_399  # a tenth of the net, each period rounded down


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[auctioneer]]\nname = "a"', "auctioneer a: one of volumes, share_bp"),
        ('[[auctioneer]]\nname = "a"\nweight = 1\nshare_bp = 1', "one of volumes, share_bp"),
        ('[[auctioneer]]\nname = "a"\nshare_bp = 10001', "one of volumes, share_bp"),
        ('[[auctioneer]]\nname = "a"\nweight = -1', "one of volumes, share_bp"),
        ('[[auctioneer]]\nname = "a"\nweight = 1\n' * 2, "a name stands twice"),
        (
            '[[auctioneer]]\nname = "a"\n'
            "volumes = [{ until = 2026-08-31, volume_t = 1 }, "
            "{ until = 2026-01-31, volume_t = 1 }]",
            "periods rise",
        ),
        ("holdng_account = 1", "holdng_account"),
    ],
)
def test_a_programme_is_checked(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RulebookError, match=words):
        load_programme(programme(tmp_path, text))


# -- reserve prices --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "months", "begins"),
    [("2017-06-08", 3, "2017-03-08"), ("2017-05-31", 3, "2017-02-28"), ("2024-05-31", 3,
     "2024-02-29"), ("2017-01-15", 6, "2016-07-15"), ("2017-12-31", 12, "2016-12-31")],
)  # fmt: skip
def test_months_are_counted_back(on: str, months: int, begins: str) -> None:
    assert months_before(date(on), months) == date(begins)


def test_a_reserve_found_by_rule_is_not_given_and_a_given_one_is() -> None:
    with pytest.raises(RulebookError, match=r"found by rule \(share_of_close\)"):
        reserve_on(DATA.reserve_of("cn-one-way"), date("2025-07-10"), given_minor=1)
    assert reserve_on(DATA.reserve_of("uk-primary"), date("2025-07-10"), given_minor=2200) == 2200
    with pytest.raises(RulebookError, match="none before 2012"):
        reserve_on(DATA.reserve_of("ca-joint"), date("2011-12-31"))
    with pytest.raises(RulebookError, match="nothing is known of the reserve price of no"):
        DATA.reserve_of("no")
    days = [TradedDay(date("2017-06-07"), 1500, 0, 0)]
    with pytest.raises(RulebookError, match="no listed trade"):
        reserve_on(DATA.reserve_of("gd-phcer-2017"), date("2017-06-08"), days=days)


def test_a_yearly_reserve_rises_from_the_last_announced_one() -> None:
    rule = DATA.reserve_of("ca-joint")
    rises = {2015: 166, 2016: 20}
    assert reserve_on(rule, date("2012-11-14")) == 1000
    assert reserve_on(rule, date("2013-02-19")) == 1071
    assert reserve_on(rule, date("2016-02-17"), price_rise_bp=rises) == 1273  # 12.10, + 5.2 %
    with pytest.raises(RulebookError, match="prices rose for 2016 is not known"):
        reserve_on(rule, date("2016-02-17"), price_rise_bp={2015: 166})


# -- revenue ---------------------------------------------------------------------------------------


@given(
    revenue=st.integers(0, 10**13),
    offered=st.lists(st.integers(1, 10**8), min_size=1, max_size=28),
)
def test_the_revenue_is_divided_to_the_cent(revenue: int, offered: list[int]) -> None:
    shares = [Share(f"state {at}", volume_t) for at, volume_t in enumerate(offered)]
    assert sum(due.amount for due in by_auctioneer(revenue, shares)) == revenue
    for year in (2013, 2020):
        due = by_beneficiary(DATA.revenue_of("eu-ets", year), revenue)
        assert sum(item.amount for item in due) == revenue
        assert all(abs(item.amount * 10_000 - revenue * bp) < 10_000
                   for item, bp in zip(due, (8_800, 1_000, 200), strict=True))  # fmt: skip
    due = by_beneficiary(
        DATA.revenue_of("eu-ets", 2021), revenue, cap_t=1_571_583_007, auctioned_t=547_821_132
    )
    assert sum(item.amount for item in due) == revenue


def test_a_fund_needs_the_cap_and_what_is_auctioned() -> None:
    rule = DATA.revenue_of("eu-ets", 2021)
    for cap_t, auctioned_t in ((0, 100), (1_000, 0), (1_000, 20)):
        with pytest.raises(RulebookError, match="give the year's cap and what is auctioned"):
            by_beneficiary(rule, 100, cap_t=cap_t, auctioned_t=auctioned_t)
    assert by_beneficiary(rule, 100, cap_t=1_000, auctioned_t=21)[0].amount == 95


# -- the file --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('id = "eex-de"', 'id = "eex-deu2"', "series eex-deu2: an id has 1..7 ASCII"),
        ('id = "eex-de"', 'id = "eex-cap"', "eex-cap stands twice"),
        ('time_zone = "Asia/Shanghai"', 'time_zone = "Asia/No"', "unknown time zone Asia/No"),
        ("closes = 11:30:00", "closes = 09:30:00", "closes is not after opens"),
        ('["fri"]', '["friday"]', "unknown weekday friday"),
        ("every_weeks = 2", "every_weeks = 0", "every_weeks is outside 1..52"),
        ("multiple_t = 1000\n", "multiple_t = 1500\n", "no multiple of the bids' 1000"),
        ('format = "ca-joint"\ntime', 'format = "no"\ntime', "unknown auction format no"),
        ("first = 2019-02-01", "first = 2019-12-14", "first is after last"),
        ("first = 2019-02-01", "first = 2018-02-01", "a day lies in another year"),
        ("first = 2019-02-01\n", "", "either first and last, or dates"),
        ("2020-03-11, 2020-05-06", "2020-05-06, 2020-03-11", "dates rise, each once"),
        ("until = 2019-12-31, volume_t = 7", "until = 2019-08-31, volume_t = 7", "periods rise"),
        ('["eu-backloading"]', '["no"]', "deduction backloading: unknown source no"),
        ("end_of_year = 2018", "end_of_year = 2017", "eu-ets 2017 stands twice"),
        ("applies_from = 2019-09-01", "applies_from = 2019-09-02", "whole months"),
        ("share_bp = 8800", "share_bp = 8801", "shares do not add up to 10000"),
        ("shares_bp = [12000]", "shares_bp = []", "lacks what it is found from"),
        ("months = 6", "months = 0", "lacks what it is found from"),
        ("shares_bp = [12000]", "shares_bp = [0]", "a share is above zero"),
        ("base_minor = 1000", "base_minor = 0", "lacks what it is found from"),
        ("year = 2022\nfirst = 2022-01-14", "year = 2021\nfirst = 2021-01-14", "stands twice"),
        ("volume_t = 4862500", "volume_t = 4862500.0", "a float is not allowed"),
    ],
)
def test_the_file_is_checked(old: str, new: str, words: str) -> None:
    assert old in TEXT
    with pytest.raises(RulebookError, match=words):
        parse_supply_data(TEXT.replace(old, new, 1), "it")


def test_every_year_of_the_shipped_series_can_be_planned() -> None:
    for series in DATA.series:
        for rule in series.year:
            end = VolumePeriod(until=dt.date(rule.year, 12, 31), volume_t=10**9)
            assert plan_calendar(series, rule, {"all": [end]}).total_t == 10**9
