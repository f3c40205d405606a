"""What simulated members need of a client, whatever carries it: orders and instructions, answered.

`gateway.client` is what carries it in the demo and in the tests; nothing here knows the gateway.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from exchange.messages.executions import InstructionReport
from exchange.messages.instructions import Instruction
from exchange.messages.operations import PhaseWord
from exchange.messages.orders import SideWord, TimeInForceWord


class Outcome(NamedTuple):
    """What became of a request: `status` in FIX words, `filled` in tonnes, reason 0 = none."""

    order_id: int
    status: str
    filled: int
    reason: int
    text: str

    @property
    def is_open(self) -> bool:
        """True while (part of) the order rests on the book."""
        return self.status in ("NEW", "PARTIALLY_FILLED")


class OpenOrder(NamedTuple):
    """An order of one's own that rests on the book. Price in minor units."""

    order_id: int
    side: SideWord
    price: int


class TradingClient(Protocol):
    """One member's connection. Prices are minor units; a refusal is an outcome, not an error.

    Raises ConnectionError when the venue cannot be reached.
    """

    async def new_order(
        self,
        symbol: str,
        account: int,
        side: SideWord,
        quantity: int,
        price: int,
        time_in_force: TimeInForceWord,
    ) -> Outcome:
        """Sends a limit order and waits for the engine's answer."""

    async def cancel_order(self, symbol: str, account: int, order_id: int) -> Outcome:
        """Cancels an order and waits for the engine's answer."""

    async def open_orders(self, symbol: str, account: int) -> list[OpenOrder]:
        """One's orders that rest on the book now."""

    async def instruct(self, instruction: Instruction) -> InstructionReport:
        """Sends an instruction (its `ref` is set by the client) and waits until DONE or REFUSED."""


class OperationsClient(Protocol):
    """Market operations' connection; each call waits until the engine has done it or raises."""

    async def set_phase(self, market: str, phase: PhaseWord) -> None:
        """Moves all instruments of a market to CLOSED, CONTINUOUS or HALT."""

    async def roll_day(self, market: str, trading_date: int) -> None:
        """Ends the trading day and starts `trading_date` (YYYYMMDD)."""
