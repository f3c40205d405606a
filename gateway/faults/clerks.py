"""Those who ask one thing after the other and wait for it: operators, offices, the emitter.

A clerk asks through the routes' own functions at any gateway that is there, and asks again under
the same ref until it is told what became of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from exchange.messages.executions import InstructionReport, OperationReport
from exchange.messages.operations import Approve, Control
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Key
from gateway.context import Context
from gateway.faults.house import House
from gateway.refusal import Refused
from gateway.routes.control import post_control, post_decision
from gateway.routes.operations import post_operation
from gateway.routes.registry import post_instruction
from gateway.routes.table import Call, Wait

ANSWER_S = 2.0
PAUSE_S_MAX = 0.3
Report = InstructionReport | OperationReport


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
        if isinstance(request, Approve):
            route = post_decision
        elif isinstance(request, Control):
            route = post_control
        report = await self._ask(make, route)
        assert isinstance(report, OperationReport)  # noqa: S101 - what the routes answer
        return report

    async def _ask(self, make: Callable[[int], Any], route: Callable[[Call], Any]) -> Report:
        self._ref += 1
        request = make(self._ref)
        self.asking = request
        while True:
            found = self._house.gateways()
            report = None
            if found:
                report = await self._try(self._rng.choice(found), request, route)
            if report is not None and _is_last_word(report):
                self.told.append((request, report))
                self.asking = None
                return report
            self._house.shapes["clerk_asked_again"] += 1
            await asyncio.sleep(self._rng.random() * PAUSE_S_MAX)

    async def _try(self, node: Any, request: Any, route: Callable[[Call], Any]) -> Report | None:
        context: Context = node.service.context
        call = Call(context, self.key, request, Wait(wait_ms=int(ANSWER_S * 1_000)), "")
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
        result: Any = task.result()
        return result  # type: ignore[no-any-return]


async def _answer(route: Callable[[Call], Any], call: Call) -> Any:
    reply = await route(call)
    return reply.value


def _is_last_word(report: Report) -> bool:
    """Whether it will not change before its day comes: some transfers wait for hours."""
    if report.status != "PENDING":
        return True
    return isinstance(report, InstructionReport) and report.due_ns != 0
