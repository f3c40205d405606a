"""Each kind is found in its clear form, none below its limit, and honest trading says nothing."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest

from benchmarks.surveillance.abuse import ABUSE, ONE, ONE_MORE, OTHER
from benchmarks.surveillance.confusers import CONFUSERS, Honest, met_by_chance
from benchmarks.surveillance.measure import ABUSERS_ACCOUNTS, NEAR_DEADLINE, honest_day
from benchmarks.surveillance.ordinary import Ordinary
from benchmarks.surveillance.stage import INSTRUMENT, QUIET_DATE, Stage, account
from exchange.messages.alerts import Alert
from exchange.messages.frames import AccountParameter, Command, Side, pack_command
from exchange.surveillance import load_limits
from exchange.surveillance.detector import Detector
from exchange.surveillance.holdings import days_until
from exchange.surveillance.layering import LoadedSide
from exchange.surveillance.limits import Limits
from matching import reference

LIMITS = load_limits()
WEAK, CLEAR = 0, 1
AT_THE_CLOSE = ("MARKING_THE_CLOSE", "INDICATIVE_PRICE")


def changed(kind: str, **figures: int) -> Limits:
    row = LIMITS[kind]
    new = msgspec.structs.replace(row, figures=row.figures | figures)
    return msgspec.structs.replace(LIMITS, kinds=LIMITS.kinds | {kind: new})


def play(kind: str, strength: int, limits: Limits = LIMITS) -> list[Alert]:
    stage = Stage(limits, date=NEAR_DEADLINE if kind == "LARGE_POSITION" else QUIET_DATE)
    day = Ordinary(stage, 7)
    day.steps(20)
    ABUSE[kind](stage, day, strength)
    if kind not in AT_THE_CLOSE:
        day.steps(5)
    day.close()
    return stage.alerts


@functools.cache
def played(kind: str) -> tuple[Alert, ...]:
    return tuple(play(kind, CLEAR))


def of(alerts: tuple[Alert, ...] | list[Alert], kind: str) -> list[Alert]:
    return [alert for alert in alerts if alert.kind == kind]


def test_every_kind_has_limits_a_source_and_a_play() -> None:
    assert set(LIMITS.kinds) == set(ABUSE)
    for kind in LIMITS.kinds.values():
        assert kind.about
        assert re.search(r"MAR Art|2017/566", kind.source)


@pytest.mark.parametrize("kind", sorted(ABUSE))
def test_the_clear_form_is_found_and_nobody_else_is_named(kind: str) -> None:
    found = of(played(kind), kind)
    assert found
    for alert in played(kind):
        assert set(alert.accounts) <= set(ABUSERS_ACCOUNTS), alert.text
        assert set(alert.participants) <= {10, 11}
        assert alert.score >= 10_000
        assert alert.first_event <= alert.last_event
        assert alert.from_ns <= alert.to_ns
        assert alert.symbol in alert.text
        assert "limit" in alert.text
    assert [alert.number for alert in played(kind)] == list(range(1, len(played(kind)) + 1))


@pytest.mark.parametrize("kind", sorted(ABUSE))
def test_what_stays_below_the_limits_is_not_told(kind: str) -> None:
    assert of(play(kind, WEAK), kind) == []


DECIDING = {
    "WASH_TRADE": ("trades_min", 4),
    "CROSS_ACCOUNT": ("trades_min", 2),
    "CIRCULAR_TRADING": ("trades_min", 2),
    "MATCHED_ORDERS": ("trades_min", 4),
    "LAYERING": ("cycles_min", 3),
    "SPOOFING": ("cycles_min", 3),
    "MARKING_THE_CLOSE": ("move_min_bp", "moved_bp"),
    "INDICATIVE_PRICE": ("move_min_bp", "moved_bp"),
    "MOMENTUM_IGNITION": ("move_min_bp", "moved_bp"),
    "DOMINANT_SIDE": ("share_min_bp", "share_bp"),
    "BLOCK_OFF_MARKET": ("distance_max_bp", "distance_bp"),
    "LARGE_POSITION": ("share_min_bp", "share_bp"),
    "LARGE_HOLDER": ("share_min_bp", "share_bp"),
    "ORDER_TO_TRADE": ("messages_min", "messages"),
}


@pytest.mark.parametrize("kind", sorted(DECIDING))
def test_at_the_limit_it_is_told_and_one_below_it_is_not(kind: str) -> None:
    name, figure = DECIDING[kind]
    value = figure if isinstance(figure, int) else of(played(kind), kind)[0].figures[figure]
    assert of(play(kind, CLEAR, changed(kind, **{name: value})), kind)
    assert of(play(kind, CLEAR, changed(kind, **{name: value + 1})), kind) == []


@pytest.mark.parametrize("honest", CONFUSERS, ids=lambda play: play.__name__)
def test_honest_trading_says_nothing(honest: Honest) -> None:
    assert honest_day(LIMITS, honest, 3).wrong == {}


def test_honest_trading_would_say_something_under_narrower_limits() -> None:
    narrow = changed("WASH_TRADE", trades_min=2, quantity_min_t=80)
    assert honest_day(narrow, met_by_chance, 3).wrong == {"WASH_TRADE": 1}


def test_both_engines_lead_to_the_same_alerts() -> None:
    stages = [Stage(LIMITS), Stage(LIMITS, engine=reference.Engine)]
    for stage in stages:
        day = Ordinary(stage, 7)
        day.steps(20)
        ABUSE["WASH_TRADE"](stage, day, CLEAR)
        ABUSE["LAYERING"](stage, day, CLEAR)
    assert stages[0].alerts == stages[1].alerts
    assert {alert.kind for alert in stages[0].alerts} == {"WASH_TRADE", "LAYERING"}


def pairs(stage: Stage, seller: int, buyer: int, count: int) -> None:
    for _ in range(count):
        stage.order(seller, Side.SELL, 50, 7_000)
        stage.take(buyer, Side.BUY, 50, 7_000)
        stage.wait(60)


def test_a_self_trade_group_makes_participants_one_owner() -> None:
    apart, grouped = Stage(LIMITS), Stage(LIMITS)
    for who in (ONE, OTHER):
        grouped.send(
            pack_command(
                Command.ACCOUNT_PARAMETER, account_id=who,
                order_type=AccountParameter.STP_GROUP, quantity=77,
            )
        )  # fmt: skip
    for stage in (apart, grouped):
        pairs(stage, ONE, OTHER, 3)
    assert of(apart.alerts, "WASH_TRADE") == []
    alert = of(grouped.alerts, "WASH_TRADE")[0]
    assert (alert.accounts, alert.participants) == ((ONE, OTHER), (10, 11))
    pairs(grouped, ONE_MORE, account(11, 2), 3)
    assert of(grouped.alerts, "WASH_TRADE")[-1].accounts == (ONE, ONE_MORE, OTHER, account(11, 2))


def test_one_pattern_is_told_again_when_doubled_or_after_quiet() -> None:
    stage = Stage(LIMITS)
    pairs(stage, ONE, ONE_MORE, 5)
    assert [a.figures["trades"] for a in of(stage.alerts, "WASH_TRADE")] == [3]
    pairs(stage, ONE, ONE_MORE, 1)
    assert [a.figures["trades"] for a in of(stage.alerts, "WASH_TRADE")] == [3, 6]
    stage.wait(LIMITS["WASH_TRADE"]["quiet_s"] + LIMITS["WASH_TRADE"]["window_s"])
    pairs(stage, ONE, ONE_MORE, 3)
    assert [a.figures["trades"] for a in of(stage.alerts, "WASH_TRADE")] == [3, 6, 3]


def test_trades_outside_the_window_do_not_count() -> None:
    stage = Stage(LIMITS)
    for _ in range(5):
        pairs(stage, ONE, ONE_MORE, 1)
        stage.wait(LIMITS["WASH_TRADE"]["window_s"] // 2)
    assert stage.alerts == []


@pytest.mark.parametrize(
    ("date", "deadline", "days"),
    [
        (20_260_930, 930, 0),
        (20_260_929, 930, 1),
        (20_261_001, 930, 364),
        (20_240_228, 301, 2),
        (20_230_228, 301, 1),
        (20_261_231, 1_231, 0),
        (20_260_101, 1_231, 364),
    ],
)
def test_days_until_the_day_to_surrender(date: int, deadline: int, days: int) -> None:
    assert days_until(date, deadline) == days


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[WASH_TRADES]\ntrades_min = 2", "is no kind"),
        ("[WASH_TRADE]\ntrades = 2", "has no trades"),
        ("[WASH_TRADE]\ntrades_min = 0", "no whole number above 0"),
        ("[WASH_TRADE]\ntrades_min = 2.5", "no whole number above 0"),
        ("[deadlines]\neu-ets = 1301", "write MMDD"),
        ("trades_min = 2", "outside a table"),
        ("[WASH_TRADE", "limits.toml"),
    ],
)
def test_a_limits_file_that_is_wrong_is_refused(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "limits.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=wrong):
        load_limits(path)


def test_a_limits_file_changes_what_it_names_and_the_digest(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text("[WASH_TRADE]\ntrades_min = 9\n[deadlines]\nuk-ets = 430\n")
    limits = load_limits(path)
    assert limits["WASH_TRADE"]["trades_min"] == 9
    assert limits["WASH_TRADE"]["window_s"] == LIMITS["WASH_TRADE"]["window_s"]
    assert limits.deadlines == LIMITS.deadlines | {"uk-ets": 430}
    assert limits.digest() != LIMITS.digest()


def test_the_sides_of_every_owner_are_the_orders_in_the_book() -> None:
    stage = Stage(LIMITS)
    day = Ordinary(stage, 11)
    day.steps(150)
    for kind in ("LAYERING", "SPOOFING", "BLOCK_OFF_MARKET"):
        ABUSE[kind](stage, day, CLEAR)
    resting: dict[tuple[int, int], int] = defaultdict(int)
    for order in stage.monitor._orders.values():
        resting[order.owner, order.side] += order.leaves
    assert sum(resting.values()) > 1_000
    layering, spoofing = (item for item in detectors_of(stage) if isinstance(item, LoadedSide))
    for detector in (layering, spoofing):
        for owner in range(1, 13):
            row = detector._owners[INSTRUMENT, owner]
            for side in Side:
                load = row.sides[side - 1]
                assert load.resting == sum(load.orders.values()) == resting[owner, side]
                assert load.loaded == sum(leaves for _, leaves in load.young.values())


def detectors_of(stage: Stage) -> list[Detector]:
    return [hear.__self__ for hear in stage.monitor._hears["traded"]]
