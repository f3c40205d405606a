"""What is answered: whether the day may open."""

from __future__ import annotations

import msgspec


class CheckRow(msgspec.Struct, frozen=True):
    """One check of a reconciliation."""

    name: str  # what was compared
    is_green: bool  # whether the books agree
    breaks: int  # how many differences were found
    figures: str  # what was compared, in words


class OpeningReply(msgspec.Struct, frozen=True):
    """The opening gate's verdict on a market."""

    market: str
    trading_date: int  # YYYYMMDD, 0 before the first day
    closed: list[str]  # symbols that the gate would let open, or not
    may_open: bool  # whether the gate lets the market open
    reason: int  # why not; 0 = it may
    title: str
    text: str
    reconciled_ns: int  # when the books were compared last, wall clock; 0 = never
    reconciled_date: int  # the trading date then
    input_offset: int  # of `orders`, up to which they were compared
    checks: list[CheckRow]  # of the last reconciliation
