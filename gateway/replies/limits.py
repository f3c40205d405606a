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
    order_rate: int
    position_max: int
    holding_max: dict[str, int]  # by symbol, tonnes, where the account has one of its own


class InstrumentLimits(msgspec.Struct, frozen=True):
    """What holds for every order in an instrument.

    `limits` by the names and in the units of `SetLimit`: money in whole minor units.
    """

    market: str
    symbol: str
    phase: str
    reference_price: str
    limits: dict[str, int]


class LimitsReply(msgspec.Struct, frozen=True):
    """The limits that a sender meets."""

    orders_per_second: int
    cancels_per_second: int
    reads_per_second: int
    body_bytes_max: int
    json_depth_max: int
    session_batch_max: int
    client_order_id_bytes_max: int
    receive_window_ms: int
    receive_window_ms_max: int
    clock_ahead_ms_max: int
    page_max: int
    wait_ms_max: int
    session_per_second: int  # of the key's own session, at most `orders_per_second`
    address_per_second: int  # of one address, before it says who it is
    headers_max: int
    header_bytes_max: int
    body_timeout_s: int
    is_session_killed: bool
    scopes: list[str]
    participants: list[ParticipantLimits]
    accounts: list[AccountLimits]
    instruments: list[InstrumentLimits]


class RatioRow(msgspec.Struct, frozen=True):
    """Orders to trades of a member in an instrument, as RTS 9 counts; a limit of 0 is none."""

    market: str
    participant: int
    symbol: str
    messages: int  # orders, changes and cancels that it asked for
    ordered: int  # their tonnes
    trades: int
    traded: int  # tonnes
    number_ratio: int
    volume_ratio: int
    number_limit: int
    volume_limit: int
    is_exceeded: bool  # it is slowed down


class RatioList(msgspec.Struct, frozen=True):
    """The members that the key sees, the highest ratio first."""

    ratios: list[RatioRow]
