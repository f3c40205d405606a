"""THE MAP: each topic, who writes it, who reads it, what a record is, in the data's order.

A *market* (what shares cash and accounts) is one partition of every topic below; markets are
independent. Offsets of `orders` are the total order of everything that happens in a market.
"""

from __future__ import annotations

from typing import NamedTuple

from exchange.log.protocol import Partition


class Topic(NamedTuple):
    """One row of the map."""

    name: str
    value: str  # what one record holds
    writers: tuple[str, ...]  # processes; `deploy.access` makes their rights from this
    readers: tuple[str, ...]  # a writer that goes on from its own last record is one
    retention: str


INTAKE = Topic(
    "intake",
    "a broker's signed request (JSON, `messages.intake.SignedRequest`); one topic a participant",
    ("broker",),
    ("gateway",),
    "for ever: readers begin at its first record",
)
ORDERS = Topic(
    "orders",
    "a frame of commands (`matching.layout`)",
    ("gateway", "engine", "settlement", "registry", "operations"),
    ("engine", "gateway", "operations", "checkpoints"),
    "for ever: it is the venue",
)
EVENTS = Topic(
    "events",
    "one part of the output of one record of `orders` (`matching.layout`), hash-chained",
    ("engine",),
    (
        "engine",
        "gateway",
        "settlement",
        "marketdata",
        "surveillance",
        "operations",
        "reconcile",
        "checkpoints",
    ),
    "for ever",
)
SETTLEMENTS = Topic(
    "settlements",
    "MessagePack of `messages.settlement.SettlementRecord`, numbered without gaps",
    ("settlement",),
    ("settlement", "registry", "checkpoints"),
    "for ever",
)
REGISTRY = Topic(
    "registry",
    "MessagePack of `messages.registry.RegistryRecord`, numbered without gaps",
    ("registry",),
    ("registry", "gateway", "reconcile", "checkpoints"),
    "for ever",
)
MARKETDATA = Topic(
    "marketdata",
    "MessagePack of `messages.market_data.MarketDataRecord`, a pure function of `events`",
    ("marketdata",),
    ("marketdata", "gateway"),
    "for ever: readers begin at its first record",
)
ALERTS = Topic(
    "alerts",
    "MessagePack of `messages.alerts.Alert`, numbered without gaps, a pure function of `events`",
    ("surveillance",),
    ("surveillance", "gateway", "checkpoints"),
    "for ever: readers begin at its first record",
)
CHECKPOINTS = Topic(
    "checkpoints",
    "a signed note (text, `messages.checkpoints`): size and Merkle root of the topics above",
    ("checkpoints",),
    ("checkpoints", "gateway"),
    "for ever",
)
REPORTS = Topic(
    "reports",
    "JSON of `messages.executions.ExecutionReport`; one topic a participant",
    ("gateway",),
    ("gateway", "broker"),
    "for ever: readers begin at its first record",
)

TOPICS: tuple[Topic, ...] = (
    INTAKE, ORDERS, EVENTS, SETTLEMENTS, REGISTRY, MARKETDATA, ALERTS, CHECKPOINTS,
    REPORTS,
)  # fmt: skip
MARKET_TOPICS: tuple[Topic, ...] = (
    ORDERS, EVENTS, SETTLEMENTS, REGISTRY, MARKETDATA, ALERTS, CHECKPOINTS,
)  # fmt: skip


def orders(market: int) -> Partition:
    """The command log of a market."""
    return Partition(ORDERS.name, market)


def events(market: int) -> Partition:
    """What the engine of a market said."""
    return Partition(EVENTS.name, market)


def settlements(market: int) -> Partition:
    """What settlement booked."""
    return Partition(SETTLEMENTS.name, market)


def registry(market: int) -> Partition:
    """What the registry did."""
    return Partition(REGISTRY.name, market)


def marketdata(market: int) -> Partition:
    """Depth changes, trades and phases."""
    return Partition(MARKETDATA.name, market)


def alerts(market: int) -> Partition:
    """What surveillance saw."""
    return Partition(ALERTS.name, market)


def checkpoints(market: int) -> Partition:
    """Signed statements of what the topics held."""
    return Partition(CHECKPOINTS.name, market)


def intake(participant: int) -> Partition:
    """A broker's own way in over Kafka."""
    return Partition(f"{INTAKE.name}.{participant}", 0)


def reports(participant: int) -> Partition:
    """A broker's own way back over Kafka."""
    return Partition(f"{REPORTS.name}.{participant}", 0)


def of_market(market: int) -> tuple[Partition, ...]:
    """Every partition a market has."""
    return tuple(Partition(topic.name, market) for topic in MARKET_TOPICS)


def of_participant(participant: int) -> tuple[Partition, ...]:
    """Every partition a participant has."""
    return (intake(participant), reports(participant))
