"""What is answered: the limits in force, and orders to trades."""

from __future__ import annotations

import msgspec


class ParticipantLimits(msgspec.Struct, frozen=True):
    """What holds for all accounts of a participant in one market; 0 = no limit."""

    market: str
    participant: int
    is_suspended: bool
    order_rate: int  # orders a second of engine time
    position_max: int  # tonnes of all instruments


class AccountLimits(msgspec.Struct, frozen=True):
    """What holds for one account; 0 = no limit. The participant's and the instrument's hold too."""

    market: str
    account: int
    is_suspended: bool
    order_rate: int  # orders a second, 0 = no limit
    position_max: int  # tonnes of all instruments held or being bought, 0 = no limit
    holding_max: dict[str, int]  # by symbol, tonnes, where the account has one of its own


class InstrumentLimits(msgspec.Struct, frozen=True):
    """What holds for every order in an instrument.

    `limits` by the names and in the units of `SetLimit`: money in whole minor units.
    """

    market: str
    symbol: str
    phase: str
    reference_price: str
    limits: dict[str, int]  # by name; 0 = no such limit


class LimitsReply(msgspec.Struct, frozen=True):
    """The limits that a sender meets."""

    orders_per_second: int  # orders, changes and other requests that write, of a member
    cancels_per_second: int  # cancels of a member, counted apart
    reads_per_second: int  # requests that only read, of a member
    body_bytes_max: int  # bytes of a request's body
    json_depth_max: int  # how deep arrays and objects may nest
    session_batch_max: int  # requests in one message of the order socket
    client_order_id_bytes_max: int  # bytes of a client_order_id
    receive_window_ms: int  # age that a signed request may have, ms, if it names no other
    receive_window_ms_max: int  # the largest age that a request may name, ms
    clock_ahead_ms_max: int  # how far a sender's clock may be ahead, ms
    page_max: int  # rows of one answer
    wait_ms_max: int  # how long a request may wait for the engine's word, ms
    session_per_second: int  # of the key's own session, at most `orders_per_second`
    address_per_second: int  # of one address, before it says who it is
    headers_max: int  # header lines of a request
    header_bytes_max: int  # bytes of all header lines of a request
    body_timeout_s: int  # seconds for a body to arrive
    is_session_killed: bool  # whether nothing but cancels is taken from the key's session
    scopes: list[str]  # what the key may do; deploy/docs/security.md has each
    participants: list[ParticipantLimits]  # limits of the member firms that the key sees
    accounts: list[AccountLimits]
    instruments: list[InstrumentLimits]  # limits of each instrument of the venue


class RatioRow(msgspec.Struct, frozen=True):
    """Orders to trades of a member in an instrument, as RTS 9 counts; a limit of 0 is none."""

    market: str
    participant: int
    symbol: str
    messages: int  # orders, changes and cancels that it asked for
    ordered: int  # their tonnes
    trades: int  # how many it had
    traded: int  # tonnes
    number_ratio: int  # messages to trades less one, rounded down
    volume_ratio: int  # tonnes ordered to tonnes traded less one, rounded down
    number_limit: int  # the largest number_ratio, 0 = none
    volume_limit: int  # the largest volume_ratio, 0 = none
    is_exceeded: bool  # it is slowed down


class RatioList(msgspec.Struct, frozen=True):
    """The members that the key sees, the highest ratio first."""

    ratios: list[RatioRow]  # a row for each member and instrument
