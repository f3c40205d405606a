"""Fee schedules: each rule at the edges of its rounding, each choice by date, each fault named."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.rulebook import RulebookError
from exchange.rulebook.fees import (
    FILE,
    Fee,
    FeeSchedule,
    FeeSchedules,
    fee_of,
    fees_of,
    half_up,
    load_fee_schedules,
    parse_fee_schedules,
)

SCHEDULES: FeeSchedules = load_fee_schedules()
RULES = {item.id: item for item in SCHEDULES.fee}
SOURCE = '[[source]]\nid = "s"\ntitle = "a text"\nkind = "stored"\n'
ROW = """
[[fee]]
id = "a"
market = "m"
venue = "v"
currency = "EUR"
effective_from = 2020-01-01
dated = "notice"
part = [{ name = "trading", sides = "both", value_bp = 50 }]
confidence = "high"
basis = "stored"
sources = ["s"]
"""


def parse(text: str) -> FeeSchedules:
    return parse_fee_schedules("schema_version = 1\n" + text, "x.toml")


# -- every rule at the edges of its rounding ------------------------------------------------------

# id: (tonnes, price) -> (buyer's charges, seller's charges)
EDGES: list[tuple[str, int, int, list[int], list[int]]] = [
    # 0.25 and 0.05 cents a tonne: the half cent is reached at 2 t and at 10 t
    ("eex-eua-spot-2018", 1, 7_125, [0, 0], [0, 0]),
    ("eex-eua-spot-2018", 2, 7_125, [1, 0], [1, 0]),
    ("eex-eua-spot-2018", 5, 7_125, [1, 0], [1, 0]),
    ("eex-eua-spot-2018", 6, 7_125, [2, 0], [2, 0]),
    ("eex-eua-spot-2018", 9, 7_125, [2, 0], [2, 0]),
    ("eex-eua-spot-2018", 10, 7_125, [3, 1], [3, 1]),
    ("eex-eua-spot-2018", 1_000, 7_125, [250, 50], [250, 50]),
    ("eex-eua-spot-2018", 5_000, 1, [1_250, 250], [1_250, 250]),
    # 0.5 %: half a fen at a value of 1.00
    ("hb-negotiated-2014", 1, 99, [0], [0]),
    ("hb-negotiated-2014", 1, 100, [1], [1]),
    ("hb-negotiated-2014", 1, 299, [1], [1]),
    ("hb-negotiated-2014", 3, 100, [2], [2]),
    ("hb-negotiated-2014", 10_000, 2_500, [125_000], [125_000]),
    # 4 % from the seller alone: half a fen at 12.5 fen
    ("hb-fixed-price-transfer-2014", 1, 12, [], [0]),
    ("hb-fixed-price-transfer-2014", 1, 13, [], [1]),
    ("hb-fixed-price-transfer-2014", 25, 1, [], [1]),
    ("hb-fixed-price-transfer-2014", 75, 1, [], [3]),
    ("hb-fixed-price-transfer-2014", 1_000, 2_000, [], [80_000]),
    # 0.75 %: half a fen at 66.67 fen
    ("bj-public-2013", 1, 66, [0], [0]),
    ("bj-public-2013", 1, 67, [1], [1]),
    ("bj-public-2013", 2, 100, [2], [2]),
    ("bj-agreement-2013", 1, 99, [0], [0]),
    ("bj-agreement-2013", 1, 100, [1], [1]),
    # 0.7 %: half a fen at 71.43 fen
    ("tj-listed-2013", 1, 71, [0], [0]),
    ("tj-listed-2013", 1, 72, [1], [1]),
    ("tj-listed-2013", 5, 100, [4], [4]),
    ("cq-listed-2014", 1, 71, [0], [0]),
    ("cq-listed-2014", 1, 72, [1], [1]),
    # 0.08 %: half a fen at 6.25
    ("sh-listed-2013", 1, 624, [0], [0]),
    ("sh-listed-2013", 1, 625, [1], [1]),
    ("sh-listed-2013", 3, 625, [2], [2]),
    ("gd-listed-2013", 1, 99, [0], [0]),
    ("gd-listed-2013", 1, 100, [1], [1]),
    # 0.6 %: half a fen at 83.33 fen
    ("sz-listed-2013", 1, 83, [0], [0]),
    ("sz-listed-2013", 1, 84, [1], [1]),
    ("sz-listed-2013", 5, 50, [2], [2]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "tonnes", "price", "buyer", "seller"), EDGES)
def test_each_rule_at_the_edges_of_its_rounding(
    rule: str, tonnes: int, price: int, buyer: list[int], seller: list[int]
) -> None:
    assert [fee.amount for fee in fees_of(RULES[rule], "buyer", tonnes, price)] == buyer
    assert [fee.amount for fee in fees_of(RULES[rule], "seller", tonnes, price)] == seller
    assert fee_of(RULES[rule], "seller", tonnes, price) == sum(seller)


def test_no_rule_is_left_out() -> None:
    assert {edge[0] for edge in EDGES} == set(RULES)


@given(
    st.sampled_from(sorted(RULES)),
    st.integers(1, 10**10),
    st.integers(1, 10**9),
)
def test_a_fee_is_the_exact_one_rounded_half_up(rule: str, tonnes: int, price: int) -> None:
    schedule = RULES[rule]
    exact = {
        part.name: Fraction(tonnes * price * part.value_bp, 10_000)
        if part.value_bp
        else Fraction(tonnes * part.minor_per_lot, part.lot_t)
        for part in schedule.part
    }
    for name, amount in fees_of(schedule, "seller", tonnes, price):
        assert amount - Fraction(1, 2) <= exact[name] < amount + Fraction(1, 2)
    assert fee_of(schedule, "seller", tonnes + 1, price) >= fee_of(
        schedule, "seller", tonnes, price
    )


@given(st.integers(0, 10**20), st.integers(1, 10**7))
def test_half_up_is_that_of_decimal(amount: int, divisor: int) -> None:
    quotient = Fraction(amount, divisor)
    whole = Decimal(quotient.numerator // quotient.denominator)
    rest = Decimal(quotient.numerator % quotient.denominator) / Decimal(quotient.denominator)
    expected = int(whole) + int(rest.quantize(Decimal(1), ROUND_HALF_UP))
    assert half_up(amount, divisor) == expected


def test_parts_are_charges_of_their_own() -> None:
    trade = fees_of(RULES["eex-eua-spot-2018"], "buyer", 6_002, 7_000)
    assert trade == (Fee("trading", 1_501), Fee("clearing", 300))  # 1500.5 and 300.1


@pytest.mark.parametrize(("tonnes", "price"), [(0, 1), (-1, 1), (1, 0), (1, -5)])
def test_what_is_no_trade_has_no_fee(tonnes: int, price: int) -> None:
    with pytest.raises(ValueError, match="has no fee"):
        fees_of(RULES["hb-negotiated-2014"], "buyer", tonnes, price)


# -- chosen by market and date --------------------------------------------------------------------


def test_the_schedule_of_the_day_is_chosen() -> None:
    later = ROW.replace('id = "a"', 'id = "b"').replace("2020-01-01", "2022-07-01")
    first = ROW.replace("dated", "effective_to = 2022-06-30\ndated")
    both = parse(SOURCE + first + later)
    days = {
        dt.date(2020, 1, 1): "a",
        dt.date(2022, 6, 30): "a",
        dt.date(2022, 7, 1): "b",
        dt.date(2099, 1, 1): "b",
    }
    assert {day: both.schedule_of("m", day).id for day in days} == days
    with pytest.raises(RulebookError, match=r"effective_from: m has none on 2019-12-31: a 2020"):
        both.schedule_of("m", dt.date(2019, 12, 31))


def test_what_is_not_known_is_not_guessed() -> None:
    on = dt.date(2026, 11, 27)
    for market in ("cneeex-listed", "bgex-ccer-listed", "fj-listed"):
        with pytest.raises(RulebookError, match=rf"\[\[unknown\]\], key market: {market}"):
            SCHEDULES.schedule_of(market, on)
    with pytest.raises(RulebookError, match=r"key market: no moon; known: bj-agreement"):
        SCHEDULES.schedule_of("moon", on)


def test_each_row_says_where_it_is_from() -> None:
    said = SCHEDULES.citation(SCHEDULES.schedule_of("sh-listed", dt.date(2020, 1, 1)))
    assert said.startswith("Knowledge of the market")
    assert said.endswith("[confidence low]")
    eex = SCHEDULES.schedule_of("eex-eua-spot", dt.date(2018, 11, 14))
    assert SCHEDULES.citation(eex).endswith("2.50 EUR and 0.50 EUR per 1,000 t. [confidence high]")
    for item in SCHEDULES.fee:
        assert (item.basis == "knowledge") == (item.sources == ("knowledge",))
        assert item.basis != "knowledge" or item.confidence != "high"


# -- faults ---------------------------------------------------------------------------------------

FAULTS = [
    ('"v"', "7", r"table \[\[fee\]\] a, key venue: Expected `str`"),
    ("value_bp = 50", "value_bp = 0.5", r"table \[\[fee\]\] a, key part\[0\]\.value_bp: Expected"),
    ("value_bp = 50", 'value_bp = "5"', r"table \[\[fee\]\] a, key part\[0\]\.value_bp"),
    ("value_bp = 50", "value_bq = 50", r"table \[\[fee\]\] a, key part\[0\]\.value_bq: "),
    ('currency = "EUR"\n', "", r"table \[\[fee\]\] a, key currency: "),
    ('"EUR"', '"Euro"', r"table \[\[fee\]\] a, key currency: 'Euro'"),
    ('["s"]', '["t"]', r"table \[\[fee\]\] a, key sources: unknown source t"),
    ('["s"]', "[]", r"key sources: is empty"),
    ('"both"', '"us"', r"key part\[0\]\.sides: Invalid enum value 'us'"),
    ('"high"', '"sure"', r"key confidence: Invalid enum value 'sure'"),
    ("2020-01-01", "2020-01-01\neffective_to = 2019-01-01", r"key effective_to: is before"),
    ("2020-01-01", '"soon"', r"key effective_from: "),
    ("value_bp = 50", "value_bp = 50, minor_per_lot = 2, lot_t = 1", "and not both"),
    ("value_bp = 50", "value_bp = 0", r"part trading: needs value_bp or minor_per_lot"),
    ("value_bp = 50", "value_bp = 10_001", r"part trading\.value_bp: 10001 is outside 0\.\.10000"),
    ("value_bp = 50", "minor_per_lot = 5", r"part trading\.lot_t: 0 is outside 1"),
    ("value_bp = 50", "minor_per_lot = -5, lot_t = 1", r"part trading\.minor_per_lot: is outside"),
    ("value_bp = 50", "value_bp = 50, lot_t = 9", r"part trading\.lot_t: 9 is outside 0\.\.0"),
    ("value_bp = 50 }", "value_bp = 50 }, { name = \"trading\", sides = \"both\", value_bp = 1 }",
     r"part\.name: trading stands twice"),
    ('[{ name = "trading", sides = "both", value_bp = 50 }]', "[]", r"key part: is empty"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words"), FAULTS)
def test_each_fault_names_file_table_and_key(old: str, new: str, words: str) -> None:
    assert isinstance(parse(SOURCE + ROW).fee[0], FeeSchedule)
    assert old in ROW
    with pytest.raises(RulebookError, match=words) as fault:
        parse(SOURCE + ROW.replace(old, new))
    assert str(fault.value).startswith("x.toml: table [[fee]] a, key ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SOURCE + ROW + ROW, r"x\.toml: table \[\[fee\]\] a, key id: stands twice"),
        (SOURCE + SOURCE + ROW, r"x\.toml: table \[\[source\]\] s, key id: stands twice"),
        (
            SOURCE + ROW + ROW.replace('id = "a"', 'id = "b"'),
            r"x\.toml: table \[\[fee\]\] b, key effective_from: a is in force in m at the",
        ),
        (
            SOURCE + ROW + '[[unknown]]\nmarket = "m"\nvenue = "v"\nnote = "none"\n',
            r"x\.toml: table \[\[unknown\]\] m, key market: has a row of \[\[fee\]\] too",
        ),
        (ROW, r"x\.toml: table \(top\), key source: "),
        ("fee = 3\n" + SOURCE, r"x\.toml: table \(top\), key fee: Expected `array`"),
        ("[[fee]", r"x\.toml: "),
    ],
)
def test_each_fault_of_the_whole_names_its_place(text: str, words: str) -> None:
    with pytest.raises(RulebookError, match=words):
        parse(text)
    assert FILE.endswith("fees.toml")
