"""Simulated members on the real client: what `exchange.simulation.trading` asks for, over sockets.

Refusals become outcomes; only a lost venue is an error (ConnectionError).
"""

from __future__ import annotations

from typing import Any

from exchange.messages.executions import ExecutionReport, InstructionReport
from exchange.messages.instructions import Instruction
from exchange.messages.operations import PhaseWord
from exchange.messages.orders import SideWord, TimeInForceWord
from exchange.simulation.trading import OpenOrder, Outcome
from gateway.client import Client, NetworkError, StatusUnknownError, VenueError


def money(minor: int) -> str:
    """Minor units of a currency with two digits, as the venue's decimal strings."""
    return f"{minor // 100}.{minor % 100:02}"


def minor_units(text: str) -> int:
    """The opposite of `money`, for strings of the venue."""
    whole, _, rest = text.partition(".")
    return int(whole) * 100 + int(rest.ljust(2, "0"))


class SimulatedTrader:
    """A `TradingClient` over one `Client`; several may share it."""

    def __init__(self, client: Client) -> None:
        self._client = client

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
        try:
            report = await self._client.new_order(
                symbol, account, side, quantity, money(price), time_in_force=time_in_force
            )
        except VenueError as error:
            return _refusal(error)
        return _outcome(report)

    async def cancel_order(self, symbol: str, account: int, order_id: int) -> Outcome:
        """Cancels an order and waits for the engine's answer."""
        try:
            return _outcome(await self._client.cancel_order(symbol, account, order_id))
        except VenueError as error:
            return _refusal(error)

    async def open_orders(self, symbol: str, account: int) -> list[OpenOrder]:
        """One's limit orders that rest on the book now: offers of auctions have no price."""
        try:
            reports = await self._client.orders()
        except VenueError as error:
            raise ConnectionError(str(error)) from error
        return [
            OpenOrder(r.order_id, "BUY" if r.side == "BUY" else "SELL", minor_units(r.price))
            for r in reports
            if (r.symbol, r.account) == (symbol, account) and r.order_type == "LIMIT"
        ]

    async def instruct(self, instruction: Instruction) -> InstructionReport:
        """Sends an instruction and waits until DONE or REFUSED."""
        try:
            return await self._client.instruct(instruction)
        except (NetworkError, StatusUnknownError) as error:
            raise ConnectionError(str(error)) from error
        except VenueError as error:
            if isinstance(error.report, InstructionReport):
                return error.report
            return _not_taken(instruction, error)


class SimulatedOperations:
    """An `OperationsClient` over the operator's `Client`; a refusal is a VenueError."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def set_phase(self, market: str, phase: PhaseWord) -> None:
        """Moves all instruments of a market to a phase, once the market may open."""
        if phase == "CONTINUOUS":
            await self._client.open_market(market)
        else:
            await self._client.set_phase(market, phase)

    async def roll_day(self, market: str, trading_date: int) -> None:
        """Ends the trading day and starts `trading_date` (YYYYMMDD)."""
        await self._client.roll_day(market, trading_date)


def _outcome(report: ExecutionReport) -> Outcome:
    return Outcome(
        report.order_id,
        report.order_status,
        report.cumulative_quantity,
        report.reason if report.exec_type == "REJECTED" else 0,
        report.text,
    )


def _refusal(error: VenueError) -> Outcome:
    if isinstance(error, (NetworkError, StatusUnknownError)):
        raise ConnectionError(str(error)) from error
    return Outcome(0, "REJECTED", 0, error.reason, error.text)


def _not_taken(instruction: Any, error: VenueError) -> InstructionReport:
    """An instruction refused at the edge or by the engine, before the registry saw it."""
    return InstructionReport(
        market="",
        instruction_id=0,
        account=instruction.account,
        kind=type(instruction).__name__,
        status="REFUSED",
        symbol=instruction.symbol,
        quantity=int(instruction.quantity),
        reason=error.reason,
        title=error.title,
        text=error.text,
    )
