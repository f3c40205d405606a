"""Days of abuse and days without, and what came of them: right, wrong and missed alerts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.surveillance.abuse import ABUSE, ONE, ONE_MORE, OTHER, SLOW, STRENGTHS, act
from benchmarks.surveillance.confusers import CONFUSERS, Honest
from benchmarks.surveillance.ordinary import Ordinary
from benchmarks.surveillance.stage import QUIET_DATE, Stage
from exchange.surveillance.limits import Limits

ABUSERS_ACCOUNTS = (ONE, ONE_MORE, OTHER)
WARM_UP = 60  # moments before anything happens
COOL_DOWN = 40
NEAR_DEADLINE = 20_260_914


class Day(NamedTuple):
    """What surveillance said of one day."""

    found: int  # alerts of the kind that was played, about those who played it
    also: Counter[str]  # other alerts about them
    wrong: Counter[str]  # alerts about everybody else
    events: int


class Row(NamedTuple):
    """One kind over all its days."""

    kind: str
    days: dict[str, tuple[int, int]]  # form: found, played
    right: int  # alerts of the kind about those who did it
    wrong: int  # alerts of the kind about others, or on days without abuse
    beside: int  # alerts of the kind about those who did something else

    @property
    def precision_bp(self) -> int:
        """Right alerts of all alerts of the kind; 10,000 when there is none."""
        told = self.right + self.wrong
        return self.right * 10_000 // told if told else 10_000

    @property
    def strict_precision_bp(self) -> int:
        """The same, where another kind told of an abuser is wrong, too."""
        told = self.right + self.wrong + self.beside
        return self.right * 10_000 // told if told else 10_000

    @property
    def recall_bp(self) -> int:
        """Days found of the clear and the gross ones."""
        found = sum(self.days[strength][0] for strength in STRENGTHS[1:])
        return found * 10_000 // sum(self.days[strength][1] for strength in STRENGTHS[1:])

    @property
    def strict_recall_bp(self) -> int:
        """Days found of all, with those that stay below the limits and those that are slow."""
        played = sum(count for _, count in self.days.values())
        return sum(found for found, _ in self.days.values()) * 10_000 // played


class Result(NamedTuple):
    """The whole measurement."""

    rows: list[Row]
    honest_days: int
    honest_alerts: Counter[str]  # by the play that led to them and the kind
    also: Counter[str]  # kind played > other kind told of the same accounts
    events: int


def day_of_abuse(limits: Limits, kind: str, form: str, seed: int) -> Day:
    """One day with abuse of one kind. O(events)."""
    stage = Stage(limits, date=NEAR_DEADLINE if kind == "LARGE_POSITION" else QUIET_DATE)
    day = Ordinary(stage, seed)
    day.steps(WARM_UP)
    act(kind, form, stage, day)
    if kind not in ("MARKING_THE_CLOSE", "INDICATIVE_PRICE"):
        day.steps(COOL_DOWN)
    day.close()
    found = stage.about(ABUSERS_ACCOUNTS, kind)
    also, wrong = Counter[str](), Counter[str]()
    for alert in stage.alerts:
        if not set(alert.accounts) & set(ABUSERS_ACCOUNTS):
            wrong[alert.kind] += 1
        elif alert.kind != kind:
            also[alert.kind] += 1
    return Day(len(found), also, wrong, stage.events)


def honest_day(limits: Limits, play: Honest, seed: int) -> Day:
    """One day without abuse: every alert is wrong. O(events)."""
    stage = Stage(limits)
    day = Ordinary(stage, seed)
    day.steps(WARM_UP)
    play(stage, day)
    if play.__name__ not in ("hedger_at_the_close", "order_leaves_a_call"):
        day.steps(COOL_DOWN)
    day.close()
    return Day(0, Counter(), Counter(alert.kind for alert in stage.alerts), stage.events)


def measure(limits: Limits, seeds: int, say: Callable[[str], None]) -> Result:
    """Every kind in every form and every honest play, each `seeds` times."""
    wrong, also, honest = Counter[str](), Counter[str](), Counter[str]()
    events, days = 0, 0
    played: dict[str, dict[str, tuple[int, int]]] = {kind: {} for kind in ABUSE}
    right = Counter[str]()
    for play in CONFUSERS:
        say(f"honest: {play.__name__}")
        for seed in range(seeds):
            day = honest_day(limits, play, seed)
            honest.update({f"{play.__name__} > {kind}": n for kind, n in day.wrong.items()})
            wrong += day.wrong
            events, days = events + day.events, days + 1
    for kind in ABUSE:
        say(f"abuse: {kind}")
        for name in (*STRENGTHS, SLOW):
            found = 0
            for seed in range(seeds):
                day = day_of_abuse(limits, kind, name, 1_000 + seed)
                found += day.found > 0
                right[kind] += day.found
                wrong += day.wrong
                also.update({f"{kind} > {other}": n for other, n in day.also.items()})
                events += day.events
            played[kind][name] = found, seeds
    beside = Counter[str]()
    for told, count in also.items():
        beside[told.partition(" > ")[2]] += count
    rows = [Row(kind, played[kind], right[kind], wrong[kind], beside[kind]) for kind in ABUSE]
    return Result(rows, days, honest, also, events)
