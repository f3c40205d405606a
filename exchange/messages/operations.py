"""What operators of the venue send: phases, cash, auctions, halts, the kill switch, limits.

Bodies of REST, like those of `orders`. An `Act` is what the log keeps of an operation: it stands as
text (NOTE records) behind the command that carries it out, so whoever reads `orders` knows who did
what and why. The engine hears notes behind an INSTRUCTION only, so no act changes what it computes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from exchange.messages.orders import Body

PhaseWord = Literal[
    "CLOSED", "CONTINUOUS", "HALT", "START_OF_DAY", "OPENING_CALL", "VOLATILITY_CALL",
    "CLOSING_CALL",
]  # fmt: skip
ResumedPhaseWord = Literal["CONTINUOUS", "OPENING_CALL"]
LimitWord = Literal[
    "BAND_BP", "COLLAR_BP", "PROTECTION_BP", "VOLATILITY_BP", "VOLATILITY_CALL_MS",
    "BLOCK_BAND_BP", "QUANTITY_MIN", "QUANTITY_MAX",
    "VALUE_MAX", "HOLDING_MAX", "ORDER_RATE", "POSITION_MAX", "INSTRUMENT_HOLDING_MAX",
    "MESSAGE_RATE", "ORDER_TRADE_RATIO", "VOLUME_TRADE_RATIO",
    "RANDOM_END_MS", "PICK_LEVELS", "PICK_OLDEST", "BLOCK_OPEN", "BLOCK_QUANTITY_MIN",
]  # fmt: skip
AlertStateWord = Literal["OPEN", "TAKEN", "CLOSED"]
StageWord = Literal["DONE", "PROPOSED", "APPROVED", "DECLINED"]


class OpeningOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Opens a market though its reconciliation is red or missing; both words are kept."""

    name: str  # who answers for it
    reason: str


class PhaseChange(Body, frozen=True, kw_only=True):
    """Moves one instrument, or all of the market (no symbol), to a trading phase (operator)."""

    market: str
    phase: PhaseWord
    symbol: str = ""
    override: OpeningOverride | None = None  # to open on books that do not agree; null = none
    seed: int = 0  # draws the moment, within RANDOM_END_MS, at which a call ends; 0 = at once
    reason: str = ""


class DayRoll(Body, frozen=True, kw_only=True):
    """Ends the trading day of a market and starts `trading_date`, YYYYMMDD (operator)."""

    market: str
    trading_date: int  # YYYYMMDD, later than the present one
    reason: str = ""


class CashDeposit(Body, frozen=True, kw_only=True):
    """Cash arrived for an account (operator); a negative amount is a withdrawal."""

    market: str
    account: int
    amount: str  # currency units; more than `*_alone_max` of the market takes two
    reason: str = ""


class ReferencePrice(Body, frozen=True, kw_only=True):
    """Sets the reference price of an instrument (operator; not in CONTINUOUS)."""

    symbol: str
    price: str  # outside the band about the one in force or the day's first, a second approves
    reason: str = ""


class Halt(Body, frozen=True, kw_only=True):
    """Trading stops in one instrument, or in all of the market (no symbol) (operator)."""

    market: str
    reason: str
    symbol: str = ""


class Resume(Body, frozen=True, kw_only=True):
    """Ends a halt (operator); of a whole market two persons decide."""

    market: str
    reason: str
    symbol: str = ""
    phase: ResumedPhaseWord = "CONTINUOUS"


class Kill(Body, frozen=True, kw_only=True):
    """Kill switch: nothing more is taken but cancels, and every live order ends (operator).

    Of a participant with all its accounts, of an account, or of a key's session: one of them.
    """

    market: str
    reason: str
    participant: int = 0
    account: int = 0
    session: int = 0


class Lift(Body, frozen=True, kw_only=True):
    """Ends what `Kill` began; two operators decide. Orders stay cancelled."""

    market: str
    reason: str
    participant: int = 0
    account: int = 0
    session: int = 0


class SetLimit(Body, frozen=True, kw_only=True):
    """Sets a limit (operator): tighter at once, looser when a second person approves.

    Of an instrument (`symbol`), an account, an account in an instrument (INSTRUMENT_HOLDING_MAX:
    both), a participant, or a session (MESSAGE_RATE, messages a second at the gateway).
    ORDER_TRADE_RATIO and VOLUME_TRADE_RATIO are of a participant, or of an instrument for all.
    """

    market: str
    parameter: LimitWord  # which limit; deploy/docs/security.md has what each counts
    value: int  # in its unit: tonnes, minor units, basis points, ms, or how many a second
    reason: str
    symbol: str = ""
    account: int = 0
    participant: int = 0
    session: int = 0


class HandleAlert(Body, frozen=True, kw_only=True):
    """What becomes of an alert of surveillance: taken by whoever sends this, closed with what was
    found, opened again (operator, authority)."""

    market: str
    number: int  # of the alert in its market
    state: AlertStateWord  # what becomes of it
    reason: str = ""  # needed unless it is taken


class Approve(Body, frozen=True, kw_only=True):
    """A second person approves a proposal, which is carried out by it (operator)."""

    market: str
    proposal_id: int
    reason: str = ""


class Decline(Body, frozen=True, kw_only=True):
    """Ends a proposal; whoever made it may also do that (operator)."""

    market: str
    proposal_id: int
    reason: str = ""


class AuctionOpen(Body, frozen=True, kw_only=True):
    """Opens a sealed-bid auction for an account that offers (operator)."""

    symbol: str
    account: int
    quantity: int | str
    format: str  # an id of `auction_formats.toml`
    label: str  # of the calendar, at most 16 characters
    price: str = ""  # the public reserve, "" = none
    pricing: str = ""  # "" = the usual one of the format
    closes_ns: int = 0  # until when bids are heard, ns UTC; 0 = until it is cleared


class AuctionClear(Body, frozen=True, kw_only=True):
    """Closes an auction: the best bids win (operator)."""

    symbol: str
    auction_id: int
    reserve: str = ""  # the secret one, "" = none


class AuctionCancel(Body, frozen=True, kw_only=True):
    """Calls an auction off; nothing is sold (operator)."""

    symbol: str
    auction_id: int


Control = Halt | Resume | Kill | Lift | SetLimit
Decision = Approve | Decline
AuctionOperation = AuctionOpen | AuctionClear | AuctionCancel
Recorded = PhaseChange | DayRoll | CashDeposit | ReferencePrice | Control | HandleAlert


class Act(msgspec.Struct, frozen=True, tag=True, tag_field="type"):
    """Who did what, as the log keeps it."""

    stage: StageWord
    key: str  # id of the key
    who: str  # the person behind the key
    reason: str
    body: Recorded  # what was asked; of a decision, what it decides
    proposal_id: int = 0  # of a decision
    # of cash: minor units that one person could move alone then, by the venue file of who judged
    alone_max: int | None = None
