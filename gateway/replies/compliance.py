"""What is answered: the cheapest plan to surrender, and the room for credits."""

from __future__ import annotations

import msgspec


class PlannedRow(msgspec.Struct, frozen=True):
    """Tonnes of an instrument to surrender, what one would fetch, and the rule that takes it."""

    symbol: str
    quantity: int
    price: str
    rule: str
    project: int = 0  # of credits; 0 = not stated


class LeftRow(msgspec.Struct, frozen=True):
    """Tonnes of an instrument that are not in the plan, and why."""

    symbol: str
    quantity: int
    reason: str
    project: int = 0


class LimitRow(msgspec.Struct, frozen=True):
    """A limit of the rules, and what the plan leaves of it, tonnes."""

    rule: str
    name: str  # of the cap, in words
    limit: int  # tonnes it allows
    left: int  # tonnes it has left


class SurrenderPlanReply(msgspec.Struct, frozen=True):
    """A plan. Nothing is done by it: each row is a SurrenderUnits instruction to give."""

    market: str
    account: int
    scheme: str
    year: int
    due: str  # the last day, ISO; "" where the rulebook does not know it
    currency: str
    obligation: int
    surrendered: int
    owed: int
    cost: str  # of all that it takes, at last prices
    missing: int  # tonnes that the account lacks
    surrender: list[PlannedRow]  # what it takes
    left: list[LeftRow]  # what it leaves, and why
    limits: list[LimitRow]  # what each cap has left
    source: str


class YearRow(msgspec.Struct, frozen=True):
    """What the base of an emission year leaves of the offset, tonnes."""

    year: int
    base: int  # tonnes of which the cap is a share
    base_name: str  # what the base is, as the rule names it
    cap: int  # tonnes of offsets that may be surrendered for the year
    used: int  # tonnes of them that were
    left: int  # tonnes of them that still may be
    rule: str
    source: str
    elsewhere: int | None = None  # left of credits from elsewhere, if the offset has no others


class OffsetHeadroomReply(msgspec.Struct, frozen=True):
    """How much more of an offset an account could use: what is left, less what it has, tonnes."""

    market: str
    account: int
    symbol: str
    years: list[YearRow]  # caps of each open year
    held: int  # tonnes the account has
    buying: int  # tonnes in its open orders
    room: int  # tonnes it may still use
    is_enforced: bool  # a buy beyond it is refused
