"""What one seed is about: a swarm of features, rates and limits, each drawn on its own.

A run that does everything at once hides what happens when one thing is rare, so every seed leaves
much out: the seeds together cover it. A plan is a pure function of its seed.
"""

from __future__ import annotations

import datetime as dt
import random
from typing import Any, NamedTuple

import msgspec

from exchange.log.simulated import Faults
from exchange.reference.venue import Account, Instrument, Key, Market, Participant, Venue

BEGINS = dt.datetime(2025, 12, 1, 1, tzinfo=dt.UTC)  # a Monday, within the surrender of 2024
YEAR = 2024
DEADLINE_NS = int(dt.datetime(2025, 12, 31, 16, tzinfo=dt.UTC).timestamp()) * 10**9
"""The end of the last day to surrender for YEAR: midnight in Shanghai."""
EMITTER = 203
CREDITS = "CCER"
ALLOWANCES = "CEA-2024"
LATER_VINTAGE = "CEA-2025"
OPERATORS = ("operator", "deputy")
EXPIRED_KEY = "expired"  # of the broker with the intake topic

KINDS = (
    "crash", "power_cut", "pause", "cut_both", "cut_answers", "clog", "wire_cut", "wire_clog",
    "clock", "log_away", "torn_snapshot", "disk_full", "point", "old_books", "retention",
)  # fmt: skip
"""What goes wrong around the venue, apart from the log's own faults."""
RETENTION_SHARE = 0.3  # of the seeds
INTAKE_SHARE = 0.3
AUCTION_SHARE = 0.3
BOUNDS_SHARE = 0.3
HOUSE = 200  # above a broker's trading account: the one that offers and bids in auctions

FLOWS = (
    "iceberg", "stop", "market", "post_only", "minimum", "gtd", "quote", "block", "replace",
    "mass_cancel", "call_orders", "other_body", "same_label", "resend", "short_of_funds",
    "self_trade", "fleeting",
)  # fmt: skip
"""What members do beside plain limit orders and cancels."""

TINY = {
    "exchange.engine.publisher.ENGINE_PUBLISH_PARTS_MAX": (1, 2),
    "exchange.engine.replica.ENGINE_OUTBOX_PARTS_MAX": (2, 8),
    "exchange.engine.service.READ_RECORDS_MAX": (1, 4),
    "exchange.engine.publisher.READ_RECORDS_MAX": (1, 4),
    "exchange.settlement.service.SETTLEMENT_BATCH_PARTS_MAX": (1, 3),
    "exchange.settlement.service.READ_RECORDS_MAX": (1, 4),
    "exchange.registry.service.REGISTRY_BATCH_ITEMS_MAX": (1, 3),
    "exchange.registry.service.REGISTRY_BLOCKS_MAX": (0, 1),
    "exchange.registry.store.REGISTRY_READ_BLOCKS": (1, 2),
    "exchange.registry.service.COUNT_MAX": (1, 2),
    "exchange.derived.DERIVED_SLICE_RECORDS_MAX": (1, 2),
    "gateway.entry.submitter.GATEWAY_BATCH_MAX": (256, 257),
    "gateway.websocket.sessions.SESSION_BATCH_MAX": (8, 9),
    "gateway.websocket.sessions.PAGE_MAX": (2, 3),
}
"""Limits that a run may set so low that they are always hit, with the values to draw from."""


class Plan(NamedTuple):
    """One seed's run."""

    seed: int
    days: int
    day_s: float  # virtual seconds of trading a day
    brokers: int
    requests_max: int  # of a member, before the last day
    pace_s: float  # between two requests of a member, on average
    log: Faults
    rates: dict[str, float]  # by KINDS: how often a virtual second, or how likely at each point
    flows: frozenset[str]
    tiny: dict[str, int]
    snapshot_every: int
    stand_every: int  # records of `events` until a stand is due; 0: none is kept
    later: bool  # some instruments settle T+1
    reference_node: int  # which of a market's engines is the reference: 1, 2; 0 = none
    intake: bool  # one more broker, which trades over the log
    auctions: bool  # primary auctions beside the book
    bounds: dict[str, int]  # of prices, and of calls that end by themselves; {} = none

    @property
    def firms(self) -> range:
        """The numbers of the brokers; the last has an intake topic where the plan says so."""
        return range(10, 10 + self.brokers + self.intake)

    @property
    def weather_s(self) -> float:
        """Virtual seconds during which things go wrong."""
        return self.days * self.day_s


def plan_of(seed: int) -> Plan:
    """The plan of a seed. O(features)."""
    rng = random.Random(f"{seed}/plan")

    def some(names: tuple[str, ...]) -> list[str]:
        share = rng.choice((0.2, 0.5, 0.8))
        return [name for name in names if rng.random() < share]

    rates = {kind: rng.choice((0.03, 0.1, 0.3)) for kind in some(KINDS[:-1])}
    if "point" in rates:
        rates["point"] = rng.choice((0.002, 0.01, 0.03))
    more = random.Random(f"{seed}/more")  # what came later leaves the other draws as they were
    if more.random() < RETENTION_SHARE:
        rates["retention"] = more.choice((0.1, 0.3))
    faults = {
        name: rng.choice((50, 300, 1_000))
        for name in some(("refused", "uncertain", "delayed", "repeated", "short"))
    }
    return Plan(
        seed=seed,
        days=rng.randint(1, 3),
        day_s=rng.choice((3.0, 5.0, 8.0)),
        brokers=rng.randint(2, 3),
        requests_max=rng.choice((40, 80, 160)),
        pace_s=rng.choice((0.05, 0.1, 0.2)),
        log=Faults(**faults, latency_ms_max=rng.choice((0, 2, 20, 100))),
        rates=rates,
        flows=frozenset(some(FLOWS)),
        tiny={name: rng.choice(TINY[name]) for name in some(tuple(TINY))},
        snapshot_every=rng.choice((5, 20, 60, 1_000_000)),
        stand_every=random.Random(f"{seed}/stands").choice((0, 5, 40, 1_000_000)),
        later=rng.random() < 0.6,
        reference_node=rng.randint(0, 2),
        intake=random.Random(f"{seed}/intake").random() < INTAKE_SHARE,
        auctions=random.Random(f"{seed}/auctions").random() < AUCTION_SHARE,
        bounds=_bounds(random.Random(f"{seed}/bounds")),
    )


def _bounds(rng: random.Random) -> dict[str, int]:
    """Parameters of the instruments: what starts a volatility call, how it ends, the collar."""
    if rng.random() >= BOUNDS_SHARE:
        return {}
    return {
        "volatility_bp": rng.choice((15, 30)),
        "volatility_call_ms": rng.choice((100, 400, 400)),
        "random_end_ms": rng.choice((0, 300)),
        "collar_bp": rng.choice((0, 60, 90)),
    }


def venue_of(plan: Plan, public_keys: dict[str, str]) -> Venue:
    """The venue of a plan: the demonstration's two markets in small. `public_keys` by key id."""
    most = 10**12  # one operator endows everybody
    eu = Market("EU", 0, "EUR", time_zone="Europe/Berlin", deposit_alone_max=most)
    cn = Market("CN", 1, "CNY", time_zone="Asia/Shanghai", deposit_alone_max=most)
    fees = {"maker_fee_bp": 3, "taker_fee_bp": 5}
    firm = {"protection_bp": 300, "quantity_max": 99_999, "block_open": 1, **fees}
    if plan.auctions:
        firm["auction_fee_bp"] = 4
    firm |= plan.bounds
    cycle: dict[str, Any] = (
        {"settlement_cycle": "T+1", "settlement_cutoff": "01:30"} if plan.later else {}
    )
    resale = {"resale_next_day": 2} if plan.later else {}
    instruments = (
        Instrument(
            1, "EU", "EUA", "EUA", "eu-ets", "allowance", reference_price=7_125,
            parameters={**firm, "close_rule": 1, **resale}, **cycle,
        ),
        Instrument(
            11, "CN", ALLOWANCES, "CEA", "cn-national", "allowance", vintage=2024,
            reference_price=7_410,
            parameters={**firm, "band_bp": 1_000, "resale_next_day": 1, "close_rule": 2},
        ),
        Instrument(
            12, "CN", LATER_VINTAGE, "CEA", "cn-national", "allowance", vintage=2025,
            reference_price=6_890,
            parameters={**firm, "band_bp": 1_000, "resale_next_day": 1, "close_rule": 2},
        ),
        Instrument(
            21, "CN", CREDITS, "CCER", "cn-national", "offset", vintage=2024,
            generation="new_registered_from_2024-01-22", reference_price=8_350,
            parameters={**firm, "band_bp": 1_000, "close_rule": 2},
        ),
    )  # fmt: skip
    firms = plan.firms
    accounts = [Account(EMITTER, 4, "CN", "emitter", "emitter")]
    for number in firms:
        accounts.append(Account(100 + number, number, "EU", f"broker {number}"))
        accounts.append(Account(200 + number, number, "CN", f"broker {number}"))
    if plan.auctions:
        for number in firms:
            accounts.append(Account(100 + HOUSE + number, number, "EU", "auctions", "house"))
            accounts.append(Account(200 + HOUSE + number, number, "CN", "auctions", "house"))
    return Venue(
        "Simulated venue",
        (eu, cn),
        instruments,
        (
            Participant(1, "Market operations"),
            Participant(4, "Emitter"),
            Participant(5, "Verification House"),
            *(Participant(n, f"Broker {n}", intake=_has_intake(plan, n)) for n in firms),
        ),
        tuple(accounts),
        tuple(_keys(plan, public_keys)),
    )


def _keys(plan: Plan, public_keys: dict[str, str]) -> list[Key]:
    keys = [
        Key("operator", 1, "operator", 1_001, public_keys["operator"]),
        Key("deputy", 1, "operator", 1_002, public_keys["deputy"]),
        Key("authority", 1, "authority", 1_003, public_keys["authority"]),
        Key("verifier", 5, "verifier", 1_004, public_keys["verifier"]),
        Key("emitter", 4, "participant", 1_005, public_keys["emitter"]),
    ]
    firms = plan.firms
    for n, desk in zip(firms, _desks(plan), strict=True):
        keys.append(Key(desk, n, "participant", 2_000 + n, public_keys[desk]))
        keys.append(Key(f"office-{n}", n, "participant", 3_000 + n, public_keys[f"office-{n}"]))
    if plan.intake:
        key = Key(EXPIRED_KEY, firms[-1], "participant", 5_000, public_keys[EXPIRED_KEY])
        keys.append(msgspec.structs.replace(key, expires=BEGINS - dt.timedelta(days=1)))
    if plan.auctions:
        keys.append(Key("auctions", 1, "operator", 1_006, public_keys["auctions"]))
        for n in firms:
            keys.append(Key(f"bids-{n}", n, "participant", 4_000 + n, public_keys[f"bids-{n}"]))
    return keys


def key_names(plan: Plan) -> list[str]:
    """The ids of every key of a plan's venue."""
    offices = [f"office-{n}" for n in plan.firms]
    desks = [name for pair in zip(_desks(plan), offices, strict=True) for name in pair]
    bidders = ["auctions", *(f"bids-{n}" for n in plan.firms)] if plan.auctions else []
    expired = [EXPIRED_KEY] if plan.intake else []
    return [*OPERATORS, "authority", "verifier", "emitter", *desks, *expired, *bidders]


def _has_intake(plan: Plan, firm: int) -> bool:
    return plan.intake and firm == plan.firms[-1]


def _desks(plan: Plan) -> list[str]:
    return [f"{'intake' if _has_intake(plan, n) else 'broker'}-{n}" for n in plan.firms]
