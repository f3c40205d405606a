"""What is answered: open orders, blocks and executions."""

from __future__ import annotations

import msgspec

from exchange.messages.executions import ExecutionReport


class OrderList(msgspec.Struct, frozen=True):
    """Open orders, oldest first in each market; if not complete, ask on by market and `after`."""

    orders: list[ExecutionReport]  # oldest first in each market
    is_complete: bool


class BlockList(msgspec.Struct, frozen=True):
    """Proposals of blocks to accounts of the key; `account` is the one that may confirm."""

    proposals: list[ExecutionReport]  # oldest first
    is_complete: bool


class ExecutionList(msgspec.Struct, frozen=True):
    """Reports by sequence; `first_sequence` is where the gateway's memory begins (0: the start)."""

    market: str
    first_sequence: int  # reports before it are no longer kept
    executions: list[ExecutionReport]  # in order of sequence
