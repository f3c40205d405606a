"""Those who ask one thing after the other and wait: operators, offices, bidders, the emitter.

A clerk asks through the routes' own functions at any gateway that is there, and asks again under
the same ref until it is told what became of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from exchange.messages.executions import ExecutionReport, InstructionReport, OperationReport
from exchange.messages.operations import Approve, AuctionOperation, Control
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Key
from gateway.context import Context
from gateway.faults.house import House
from gateway.refusal import Refused
from gateway.routes.auctions import post_auction
from gateway.routes.control import post_control, post_decision
from gateway.routes.operations import post_operation
from gateway.routes.registry import post_instruction
from gateway.routes.table import Call, Wait, awaiting
from gateway.routes.trading import post_request

ANSWER_S = 2.0
PAUSE_S_MAX = 0.3
Report = InstructionReport | OperationReport | ExecutionReport


class EdgeRefusalError(Exception):
    """The edge refused it for good; the text says why."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(str(refused))
        self.reason = refused.row.number


class Clerk:
    """One key that is used by one person."""

    def __init__(self, house: House, key: Key) -> None:
        self.key = key
        self.told: list[tuple[Any, Report]] = []  # what was asked, and the last word to it
        self.read: list[tuple[Any, Any]] = []  # what was looked up, and what was shown
        self.asking: Any = None
        self._house = house
        self._rng = random.Random(f"{house.plan.seed}/{key.id}")
        self._ref = 0

    async def instruct(self, make: Callable[[int], Any]) -> InstructionReport:
        """Sends an instruction until it is DONE or REFUSED; `make` gives it for a ref."""
        report = await self._ask(make, post_instruction)
        assert isinstance(report, InstructionReport)  # noqa: S101 - what the route answers
        return report

    async def operate(self, make: Callable[[int], Any]) -> OperationReport:
        """Sends an operator's request until it is DONE, REFUSED or PROPOSED."""
        self._ref += 1
        request = make(self._ref)
        self._ref -= 1
        route = post_operation
        if isinstance(request, AuctionOperation):
            route = post_auction
        elif isinstance(request, Approve):
            route = post_decision
        elif isinstance(request, Control):
            route = post_control
        report = await self._ask(make, route)
        assert isinstance(report, OperationReport)  # noqa: S101 - what the routes answer
        return report

    async def bid(self, make: Callable[[int], Any]) -> ExecutionReport:
        """Sends a sealed bid until the engine's word to it is told."""
        report = await self._ask(make, awaiting(post_request))
        assert isinstance(report, ExecutionReport)  # noqa: S101 - what the route answers
        return report

    async def look(self, query: Any, route: Callable[[Call], Any]) -> None:
        """Reads from any gateway that answers, and keeps what was shown."""
        while True:
            found = self._house.gateways()
            shown = await self._try(self._rng.choice(found), None, query, route) if found else None
            if shown is not None:
                self.read.append((query, shown))
                return
            await asyncio.sleep(self._rng.random() * PAUSE_S_MAX)

    async def _ask(self, make: Callable[[int], Any], route: Callable[[Call], Any]) -> Report:
        self._ref += 1
        request = make(self._ref)
        self.asking = request
        while True:
            found = self._house.gateways()
            report: Any = None
            if found:
                wait = Wait(wait_ms=int(ANSWER_S * 1_000))
                report = await self._try(self._rng.choice(found), request, wait, route)
            if report is not None and _is_last_word(report):
                self.told.append((request, report))
                self.asking = None
                return report  # type: ignore[no-any-return]
            self._house.shapes["clerk_asked_again"] += 1
            await asyncio.sleep(self._rng.random() * PAUSE_S_MAX)

    async def _try(
        self, node: Any, request: Any, query: Any, route: Callable[[Call], Any]
    ) -> Any | None:
        context: Context = node.service.context
        call = Call(context, self.key, request, query, "")
        task = self._house.loop.spawn(node.process, _answer(route, call))
        done, _ = await asyncio.wait([task], timeout=3 * ANSWER_S)
        if not done:
            task.cancel()
            return None
        if task.cancelled():
            return None
        error = task.exception()
        if isinstance(error, Refused):
            if error.row.may_retry or error.row.number == EdgeReason.STATUS_UNKNOWN:
                return None
            self.asking = None
            raise EdgeRefusalError(error)
        if error is not None and node.process.is_alive:
            raise error
        if error is not None:
            return None
        return task.result()


async def _answer(route: Callable[[Call], Any], call: Call) -> Any:
    reply = await route(call)
    return reply.value


def _is_last_word(report: Report) -> bool:
    """Whether it will not change before its day comes: some transfers wait for hours."""
    if isinstance(report, ExecutionReport):
        return report.exec_type != "PENDING"
    if report.status != "PENDING":
        return True
    return isinstance(report, InstructionReport) and report.due_ns != 0
