"""What people do during a run: operators open and close days, offices move units, one emits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from exchange.messages import instructions as body
from exchange.messages import operations
from exchange.messages import operations as ops
from exchange.messages.reasons import AccessReason
from exchange.reference.venue import Market
from exchange.simulation.faults.loop import SimulatedClock
from exchange.simulation.faults.plan import (
    ALLOWANCES,
    BEGINS,
    CREDITS,
    DEADLINE_NS,
    EMITTER,
    LATER_VINTAGE,
    YEAR,
)
from gateway.faults.clerks import Clerk, EdgeRefusalError
from gateway.faults.flow import money
from gateway.faults.house import House

DAY_NS = 24 * 3_600 * 10**9
CASH = "500000.00"
UNITS = 1_000
DEPOSITED = 800
VERIFIED = 10_000
BEFORE_DEADLINE_NS = 1_500_000_000
RANDOM_END_S = 0.3  # after which a call must be over, if somebody leads the engines
AFTER_DEADLINE_NS = 500_000_000


class Story:
    """The clerks of a run and their days."""

    def __init__(self, house: House, clerks: dict[str, Clerk]) -> None:
        self.is_over = False  # no new day, no new incident
        self.days_done = 0
        self.surrendered = 0  # credits that the emitter was told are taken
        self.cap = 0
        self.faults: list[str] = []
        self._house = house
        self._clerks = clerks
        self._rng = random.Random(f"{house.plan.seed}/story")
        self._date = BEGINS.date()

    # -- before the weather ---------------------------------------------------------------------

    async def endow(self) -> None:
        """Cash and units for everybody, by the venue's own ways."""
        operator = self._clerks["operator"]
        for account in self._house.venue.account:
            if account.type == "trading":
                code, number = account.market, account.id
                await operator.operate(
                    lambda ref, code=code, number=number: operations.CashDeposit(  # type: ignore[misc]
                        ref, market=code, account=number, amount=CASH, reason="endowed"
                    )
                )
        for item in self._house.venue.instrument:
            for account in self._house.venue.accounts_of(item.market):
                quantity = 20 * UNITS if account.type == "emitter" else UNITS
                await self._issue(item.symbol, account.id, quantity, item.vintage or YEAR)
        for name, clerk in self._clerks.items():
            if name.startswith("office"):
                for item in self._house.venue.instrument:
                    await self._move(body.DepositUnits, clerk, item.symbol, DEPOSITED)

    async def _issue(self, symbol: str, account: int, quantity: int, year: int) -> None:
        await self._clerks["operator"].instruct(
            lambda ref: body.IssueUnits(
                ref, symbol=symbol, account=account, quantity=quantity, year=year
            )
        )

    async def _move(self, kind: Any, clerk: Clerk, symbol: str, quantity: int) -> Any:
        account = self._account(clerk, symbol)
        return await clerk.instruct(
            lambda ref: kind(ref, symbol=symbol, account=account, quantity=quantity)
        )

    def _account(self, clerk: Clerk, symbol: str) -> int:
        market = next(i.market for i in self._house.venue.instrument if i.symbol == symbol)
        return next(
            a.id
            for a in self._house.venue.accounts_of(market)
            if a.participant == clerk.key.participant
        )

    # -- the operators --------------------------------------------------------------------------

    async def phase(self, phase: Any, symbol: str = "", market: str = "") -> None:
        """Moves every market, or one, to a phase."""
        for item in self._house.venue.market:
            if market in ("", item.code):
                await self._operate(
                    lambda ref, code=item.code: operations.PhaseChange(  # type: ignore[misc]
                        ref, market=code, phase=phase, symbol=symbol, reason="the day's plan"
                    )
                )

    async def _end_call(self, phase: Any) -> None:
        """The call that is on ends; where the plan has random ends, at a moment that is drawn."""
        lasting_ms = self._house.plan.bounds.get("random_end_ms", 0)
        if lasting_ms:
            for item in self._house.venue.market:
                seed = self._rng.randrange(1, 2**63)
                await self._operate(
                    lambda ref, code=item.code, seed=seed: operations.PhaseChange(  # type: ignore[misc]
                        ref, market=code, phase=phase, seed=seed, reason="the call ends"
                    )
                )
            await asyncio.sleep(lasting_ms / 1_000 + RANDOM_END_S)
        await self.phase(phase)

    async def _operate(self, make: Callable[[int], Any]) -> Any:
        try:
            return await self._clerks["operator"].operate(make)
        except EdgeRefusalError:
            self._house.shapes["operator_refused"] += 1
            return None

    async def days(self) -> None:
        """The trading days of the plan, each with its calls, incidents and night."""
        for number in range(self._house.plan.days):
            begun = self._house.loop.time()
            if number:
                await self._night()
            if self._rng.random() < 0.7:
                await self.phase("OPENING_CALL")
                await asyncio.sleep(self._house.plan.day_s / 10)
                await self._end_call("CONTINUOUS")
            else:
                await self.phase("CONTINUOUS")
            while self._house.loop.time() - begun < self._house.plan.day_s:
                await asyncio.sleep(self._rng.uniform(0.2, 1.2))
                await self._incident()
            if self._rng.random() < 0.7:
                await self.phase("CLOSING_CALL")
                await asyncio.sleep(self._house.plan.day_s / 10)
                await self._end_call("CLOSED")
            else:
                await self.phase("CLOSED")
            self.days_done += 1

    async def reopen(self) -> None:
        """After the weather: one more day, so that it can be seen that all goes on."""
        await self._night()
        await self.phase("CONTINUOUS")

    async def _night(self) -> None:
        """A day of wall clock passes at once; then the next trading day begins."""
        self._house.world.epoch_ns += DAY_NS
        self._date = self._date.fromordinal(self._date.toordinal() + 1)
        date = int(self._date.strftime("%Y%m%d"))
        for market in self._house.venue.market:
            await self._operate(
                lambda ref, code=market.code: operations.DayRoll(  # type: ignore[misc]
                    ref, market=code, trading_date=date, reason="night"
                )
            )

    async def _incident(self) -> None:
        market = self._rng.choice(self._house.venue.market)
        acts = (self._halt, self._kill, self._limit, self._withdraw, self._nothing, self._nothing)
        await self._rng.choice(acts)(market)

    async def _nothing(self, _market: Market) -> None:
        """A quiet time."""

    async def _halt(self, market: Market) -> None:
        await self._operate(lambda ref: ops.Halt(ref, market=market.code, reason="news"))
        await asyncio.sleep(self._rng.uniform(0, 0.5))
        await self._by_two(lambda ref: ops.Resume(ref, market=market.code, reason="news out"))

    async def _kill(self, market: Market) -> None:
        firm = self._rng.choice(
            [a.participant for a in self._house.venue.accounts_of(market.code) if a.id != EMITTER]
        )
        await self._operate(
            lambda ref: ops.Kill(ref, market=market.code, participant=firm, reason="limits")
        )
        await asyncio.sleep(self._rng.uniform(0, 1))
        await self._by_two(
            lambda ref: ops.Lift(ref, market=market.code, participant=firm, reason="sorted out")
        )

    async def _by_two(self, make: Callable[[int], Any]) -> None:
        deputy = self._clerks["deputy"]
        report = await self._operate(make)
        while report is not None and report.status == "PROPOSED":
            proposal, market = report.proposal_id, report.market
            try:
                await deputy.operate(partial(_approval, market, proposal))
                return
            except EdgeRefusalError as refusal:
                self._house.shapes["approval_refused"] += 1
                if refusal.reason == AccessReason.PROPOSAL_OVER:
                    return  # an earlier try was heard after all
                if refusal.reason != AccessReason.UNKNOWN_PROPOSAL:
                    raise
            await asyncio.sleep(0.3)  # this gateway has not heard of the proposal

    async def _limit(self, market: Market) -> None:
        item = self._rng.choice(self._house.venue.instruments_of(market.code))
        await self._operate(
            lambda ref: ops.SetLimit(
                ref, market=market.code, symbol=item.symbol, parameter="QUANTITY_MAX",
                value=self._house.plan.seed % 20 + 20, reason="tighter",
            )
        )  # fmt: skip
        await self._by_two(
            lambda ref: ops.SetLimit(
                ref, market=market.code, symbol=item.symbol, parameter="QUANTITY_MAX",
                value=99_999, reason="as before",
            )
        )  # fmt: skip

    async def _withdraw(self, market: Market) -> None:
        account = self._rng.choice(
            [a.id for a in self._house.venue.accounts_of(market.code) if a.id != EMITTER]
        )
        amount = money(self._rng.randint(1, 10_000))
        await self._operate(
            lambda ref: operations.CashDeposit(
                ref, market=market.code, account=account, amount=f"-{amount}", reason="asked"
            )
        )

    # -- offices and the emitter ----------------------------------------------------------------

    async def office(self, clerk: Clerk) -> None:
        """Moves units between positions and accounts until the story is over."""
        while not self.is_over:
            await asyncio.sleep(self._rng.uniform(0.1, 0.8))
            item = self._rng.choice(self._house.venue.instrument)
            try:
                await self._office_act(clerk, item.symbol, item.market)
            except EdgeRefusalError:
                self._house.shapes["office_refused"] += 1

    async def _office_act(self, clerk: Clerk, symbol: str, market: str) -> None:
        quantity = self._rng.choice((1, 5, 5_000))
        kind = self._rng.choice(("deposit", "deposit", "release", "transfer", "cancel"))
        account = self._account(clerk, symbol)
        if kind == "deposit":
            report = await self._move(body.DepositUnits, clerk, symbol, quantity)
        elif kind == "release":
            report = await self._move(body.ReleaseUnits, clerk, symbol, quantity)
        elif kind == "transfer":
            other = self._rng.choice(
                [a.id for a in self._house.venue.accounts_of(market) if a.id != account]
            )
            report = await clerk.instruct(
                lambda ref: body.TransferUnits(
                    ref, symbol=symbol, account=account, quantity=quantity, to_account=other
                )
            )
        else:
            report = await clerk.instruct(
                lambda ref: body.CancelUnits(
                    ref, symbol=symbol, account=account, quantity=min(quantity, 2),
                    beneficiary="The public", reason="voluntary",
                )
            )  # fmt: skip
        self._house.shapes[f"{kind}_{report.status.lower()}"] += 1

    async def emit(self, cap_of: Callable[[int], int]) -> None:
        """The emitter's year: reported, verified, credits surrendered to the cap to the tonne."""
        emitter, verifier = self._clerks["emitter"], self._clerks["verifier"]
        base = VERIFIED + self._rng.randint(0, 39)
        self.cap = cap_of(base)
        for clerk, kind, tonnes in (
            (emitter, body.ReportEmissions, base + self._rng.choice((-400, 400))),
            (verifier, body.VerifyEmissions, base),
        ):
            await clerk.instruct(
                lambda ref, kind=kind, tonnes=tonnes: kind(  # type: ignore[misc]
                    ref, symbol=ALLOWANCES, account=EMITTER, quantity=tonnes, year=YEAR
                )
            )
            await asyncio.sleep(self._rng.uniform(0, 1))
        first = self._rng.randint(1, self.cap - 1)
        await self._surrender(1, LATER_VINTAGE, is_taken=False)
        for quantity, is_taken in (
            (self.cap + 1, False), (first, True), (self.cap - first + 1, False),
            (self.cap - first, True), (1, False),
        ):  # fmt: skip
            await self._surrender(quantity, CREDITS, is_taken=is_taken)
            await asyncio.sleep(self._rng.uniform(0, 1))
        self._house.shapes["cap_hit_exactly"] += 1
        self._house.shapes["cap_missed_by_one_tonne"] += 1

    async def deadline(self) -> None:
        """The last day to surrender ends while the emitter surrenders: the log's time decides."""
        world, clock = self._house.world, SimulatedClock(self._house.world)
        world.epoch_ns += DEADLINE_NS - BEFORE_DEADLINE_NS - clock.now_ns()
        while clock.now_ns() < DEADLINE_NS + AFTER_DEADLINE_NS:
            await self._surrender(1, ALLOWANCES, is_taken=True)
            await asyncio.sleep(self._rng.uniform(0, 0.3))

    async def _surrender(self, quantity: int, symbol: str, *, is_taken: bool) -> None:
        report = await self._clerks["emitter"].instruct(
            lambda ref: body.SurrenderUnits(
                ref, symbol=symbol, account=EMITTER, quantity=quantity, year=YEAR
            )
        )
        if report.status == "DONE" and symbol == CREDITS:
            self.surrendered += quantity
        expected = "DONE" if is_taken else "REFUSED"
        if report.status != expected:
            self.faults.append(
                f"surrender of {quantity} t of {symbol}, {self.surrendered} t of credits used "
                f"under a cap of {self.cap} t: {report.status} for {expected} ({report.text})"
            )


def _approval(market: str, proposal: int, ref: int) -> ops.Approve:
    return ops.Approve(ref, market=market, proposal_id=proposal)
