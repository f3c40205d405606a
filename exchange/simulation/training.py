"""A class that lives through a compliance year: who emits what, what happens when, the scores.

Pure and seeded: the same seed makes the same class and the same news, the same figures the same
scores. `gateway.demo.training` plays it on a venue. Quantities are tonnes, money minor units of
CNY, shares basis points. The year is that of China's national market for emissions of 2024, by its
days.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

import msgspec

SCHEME = "cn-national"
MARKET = "CN"
YEAR = 2024
ALLOWANCE = "CEA-2024"
OFFSET = "CCER"
STUDENTS_MAX = 60
FIRST_ACCOUNT = 301
BP = 10_000

_EMISSIONS_T = (4_000, 20_000)  # verified, tonnes
_ALLOCATED_BP = (8_500, 11_500)  # of what is verified: some lack, some have over
_REPORTED_BP = (9_700, 10_300)  # of what is verified: a report may be wrong
_CASH_BP = 3_000  # of what the emissions would cost at the reference price


class Student(NamedTuple):
    """One account of the class."""

    number: int
    account: int
    reported: int
    verified: int
    allocated: int  # for the whole year
    cash: int


class Act(Enum):
    """What a step of the year does."""

    OPENING = "the venue opens; provisional allocations are in the registry positions"
    NEWS = "news"
    REPORTS = "emissions are reported"
    AUCTION = "an auction by the EU's format is open for bids"
    CLEARING = "the auction is cleared at one price"
    VERIFICATION = "emissions are verified: as much is owed"
    ALLOCATION = "final allocations are in the registry positions"
    LAST_DAYS = "the last days: what is to be surrendered must be in the registry position"
    ASSESSMENT = "the deadline has passed: every year is assessed"


class Step(NamedTuple):
    """A step: when, in thousandths of the exercise, on which day of the venue, and what."""

    at_permille: int
    date: dt.date
    act: Act


STEPS: tuple[Step, ...] = (
    Step(0, dt.date(2025, 4, 14), Act.OPENING),
    Step(150, dt.date(2025, 5, 12), Act.NEWS),
    Step(250, dt.date(2025, 6, 16), Act.REPORTS),
    Step(350, dt.date(2025, 7, 14), Act.AUCTION),
    Step(450, dt.date(2025, 7, 14), Act.CLEARING),
    Step(500, dt.date(2025, 8, 25), Act.VERIFICATION),
    Step(600, dt.date(2025, 9, 15), Act.NEWS),
    Step(700, dt.date(2025, 10, 13), Act.ALLOCATION),
    Step(800, dt.date(2025, 11, 17), Act.NEWS),
    Step(900, dt.date(2025, 12, 29), Act.LAST_DAYS),
    Step(1_000, dt.date(2026, 1, 5), Act.ASSESSMENT),
)


class News(NamedTuple):
    """What is told, and how the simulated brokers' fair prices move on it, basis points."""

    text: str
    allowance_bp: int
    offset_bp: int


_NEWS: tuple[News, ...] = (
    News("A cold winter is forecast: more power from coal.", 250, 150),
    News("Record output of hydropower in the south-west.", -250, -100),
    News("Steel output falls for the third month.", -200, -50),
    News("The regulator confirms that credits count up to 5 percent.", 0, 250),
    News("A large issue of credits from afforestation is registered.", 50, -300),
    News("A generator is fined for false data: verifiers look twice.", 150, 100),
    News("Gas becomes cheap: generators switch fuel.", -150, -50),
    News("A paper on tighter benchmarks for next year is leaked.", 300, 150),
)


class Figures(msgspec.Struct, frozen=True):
    """What an account had and did, as the venue's books say."""

    account: int
    name: str
    cash_before: int
    cash_after: int
    allocated: int
    verified: int
    surrendered: int
    offsets: int  # of these
    offset_cap: int
    allowances_left: int
    offsets_left: int
    shortfall: int
    fine: int  # the lowest the rule allows
    deduction: int  # tonnes off the next allocation


class Prices(msgspec.Struct, frozen=True):
    """Averages of the exercise by volume, minor units a tonne."""

    allowance: int
    offset: int


class Score(msgspec.Struct, frozen=True):
    """How an account did; money in minor units, negative = earned."""

    rank: int
    account: int
    name: str
    verified: int
    allocated: int
    surrendered: int
    offsets: int
    shortfall: int
    cost: int  # cash spent, less what is left at the average prices
    penalty: int  # fine, and what is taken off the next allocation at the average price
    optimum: int  # the same at the average prices, with as many offsets as pay
    above_optimum: int
    profit: int  # of the exercise: less cost and penalty


def make_class(seed: int, students: int, reference: int) -> tuple[Student, ...]:
    """The accounts of a class; ValueError outside 1..STUDENTS_MAX. O(students).

    `reference` is the allowance's price, minor units a tonne.
    """
    if not 1 <= students <= STUDENTS_MAX:
        raise ValueError(f"{students} students: a class has 1 to {STUDENTS_MAX}")
    rng = random.Random(f"{seed}/class")
    made = []
    for number in range(1, students + 1):
        verified = rng.randint(*_EMISSIONS_T) // 10 * 10
        reported = verified * rng.randint(*_REPORTED_BP) // BP
        allocated = verified * rng.randint(*_ALLOCATED_BP) // BP
        cash = verified * reference * _CASH_BP // BP
        account = FIRST_ACCOUNT + number - 1
        made.append(Student(number, account, reported, verified, allocated, cash))
    return tuple(made)


def make_news(seed: int) -> tuple[News, ...]:
    """The news of a year in order, each once."""
    count = sum(step.act is Act.NEWS for step in STEPS)
    return tuple(random.Random(f"{seed}/news").sample(_NEWS, count))


def score(figures: Figures, prices: Prices, rank: int = 0) -> Score:
    """How an account did. O(1).

    The optimum is what its obligation costs at the average prices, with no offset or as many as
    the cap lets count, whichever is cheaper. Who traded better than the average can be below it.
    """
    left = figures.allowances_left * prices.allowance + figures.offsets_left * prices.offset
    cost = figures.cash_before - figures.cash_after - left
    penalty = figures.fine + figures.deduction * prices.allowance
    optimum = min(
        (figures.verified - offsets - figures.allocated) * prices.allowance
        + offsets * prices.offset
        for offsets in (0, min(figures.offset_cap, figures.verified))
    )
    return Score(
        rank=rank,
        account=figures.account,
        name=figures.name,
        verified=figures.verified,
        allocated=figures.allocated,
        surrendered=figures.surrendered,
        offsets=figures.offsets,
        shortfall=figures.shortfall,
        cost=cost,
        penalty=penalty,
        optimum=optimum,
        above_optimum=cost + penalty - optimum,
        profit=-cost - penalty,
    )


def ranking(every: Iterable[Figures], prices: Prices) -> list[Score]:
    """The scores of a class, least above the optimum first. O(students x log)."""
    scored = [score(figures, prices) for figures in every]
    scored.sort(key=lambda item: (item.above_optimum, item.account))
    return [msgspec.structs.replace(item, rank=n) for n, item in enumerate(scored, 1)]
