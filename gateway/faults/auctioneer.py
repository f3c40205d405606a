"""Primary auctions of a run: an operator opens and ends them, brokers bid through the gateways.

Every format that a few brokers can fill is drawn, with prices that meet, too few bids now and then,
bids that come too late, and auctions that are called off. Brokers look up the results.
"""

from __future__ import annotations

import asyncio
import random
from typing import NamedTuple

from exchange.messages import instructions as body
from exchange.messages import operations as ops
from exchange.messages.orders import AuctionBid, SideWord
from exchange.reference.venue import Account, Instrument
from exchange.simulation.faults.plan import YEAR
from gateway.faults.clerks import Clerk, EdgeRefusalError
from gateway.faults.flow import money
from gateway.faults.house import House
from gateway.routes.auctions import AuctionsQuery, get_auctions

CASH = "2000000.00"
UNITS = 12_000
STEP = 5  # minor units between prices, few enough of them that bids meet
PAUSE_S_MAX = 0.8
SECOND_NS = 1_000_000_000
OPEN_NS = SECOND_NS  # how long bids are heard
TIMED_EVERY = 3  # of how many auctions one has a closing time


class Shape(NamedTuple):
    """A format as it is used here: tonnes, and how many multiples a bid asks for at most."""

    format: str
    offered: int
    multiple: int
    multiples_max: int
    pricings: tuple[str, ...] = ("",)
    reserves: tuple[str, ...] = ("",)  # each "", "public" or "secret"
    side: SideWord = "BUY"  # of the bids


SHAPES = (
    Shape("eu-primary", 2_000, 500, 2, reserves=("", "secret")),
    Shape("uk-primary", 1_500, 500, 2, reserves=("", "public")),
    Shape("ca-joint", 4_000, 1_000, 1),
    Shape("sh-allowance-2024", 300, 1, 120, reserves=("", "public")),
    Shape("gd-allowance-2017", 2_000, 1_000, 1, pricings=("UNIFORM", "PAY_AS_BID")),
    Shape("au-reverse", 150, 1, 60, reserves=("public", "both"), side="SELL"),
)


class Auctioneer:
    """The auctions of one run."""

    def __init__(self, house: House, clerks: dict[str, Clerk]) -> None:
        self.is_over = False  # no new auction
        self._house = house
        self._operator = clerks["auctions"]
        self._bidders = {c.key.participant: c for n, c in clerks.items() if n.startswith("bids")}
        self._rng = random.Random(f"{house.plan.seed}/auctioneer")
        self._count = 0
        self._closes_ns = 0  # of the auction at hand, 0 = none

    async def endow(self) -> None:
        """Cash and units for the accounts that offer and bid."""
        houses = [account for account in self._house.venue.account if account.type == "house"]
        for account in houses:
            await self._operator.operate(
                lambda ref, a=account: ops.CashDeposit(  # type: ignore[misc]
                    ref, market=a.market, account=a.id, amount=CASH, reason="endowed"
                )
            )
            for item in self._house.venue.instruments_of(account.market):
                await self._operator.instruct(
                    lambda ref, a=account, i=item: body.IssueUnits(  # type: ignore[misc]
                        ref, symbol=i.symbol, account=a.id, quantity=UNITS, year=i.vintage or YEAR
                    )
                )
        await asyncio.gather(*(self._deposit(account) for account in houses))

    async def _deposit(self, account: Account) -> None:
        clerk = self._bidders[account.participant]
        for item in self._house.venue.instruments_of(account.market):
            await clerk.instruct(
                lambda ref, i=item: body.DepositUnits(  # type: ignore[misc]
                    ref, symbol=i.symbol, account=account.id, quantity=UNITS
                )
            )

    async def run(self) -> None:
        """One auction after the other, until the story is over."""
        while not self.is_over:
            await asyncio.sleep(self._rng.uniform(0.1, PAUSE_S_MAX))
            try:
                await self._auction(self._rng.choice(SHAPES))
            except EdgeRefusalError:
                self._house.shapes["auction_refused_at_the_edge"] += 1

    async def _auction(self, shape: Shape) -> None:
        item = self._rng.choice(self._house.venue.instrument)
        seller = self._rng.choice(
            [a for a in self._house.venue.accounts_of(item.market) if a.type == "house"]
        )
        reserve = self._rng.choice(shape.reserves)
        auction = await self._open(shape, item, seller, reserve)
        if not auction:
            return
        bidders = list(self._bidders.values())
        if self._rng.random() < 0.25:  # too few for what is offered
            bidders = bidders[:1]
        await asyncio.gather(*(self._bids(c, shape, item, seller, auction) for c in bidders))
        await self._look(item)
        if self._closes_ns:
            left_ns = self._closes_ns - self._house.log_clock.now_ns()
            await asyncio.sleep(max(0, left_ns) / SECOND_NS)
            await self._bids(bidders[-1], shape, item, seller, auction)  # too late
        await self._end(shape, item, auction, reserve)
        if self._rng.random() < 0.3:
            await self._bids(bidders[-1], shape, item, seller, auction)
        await self._look(item)

    async def _open(self, shape: Shape, item: Instrument, seller: Account, reserve: str) -> int:
        """The id of the auction, 0 if it was refused."""
        self._count += 1
        number, pricing = self._count, self._rng.choice(shape.pricings)
        is_timed = number % TIMED_EVERY == 0
        self._closes_ns = self._house.log_clock.now_ns() + OPEN_NS if is_timed else 0
        price = self._reserve(shape, item) if reserve in ("public", "both") else ""
        report = await self._operator.operate(
            lambda ref: ops.AuctionOpen(
                ref, symbol=item.symbol, account=seller.id, quantity=shape.offered,
                format=shape.format, label=f"auction-{number}", price=price, pricing=pricing,
                closes_ns=self._closes_ns,
            )
        )  # fmt: skip
        return report.request_id if report.status == "DONE" else 0

    async def _end(self, shape: Shape, item: Instrument, auction: int, reserve: str) -> None:
        if self._rng.random() < 0.15:
            await self._operator.operate(
                lambda ref: ops.AuctionCancel(ref, symbol=item.symbol, auction_id=auction)
            )
            return
        secret = self._reserve(shape, item) if reserve in ("secret", "both") else ""
        await self._operator.operate(
            lambda ref: ops.AuctionClear(
                ref, symbol=item.symbol, auction_id=auction, reserve=secret
            )
        )

    def _reserve(self, shape: Shape, item: Instrument) -> str:
        worse = -STEP if shape.side == "BUY" else STEP
        return money(item.reference_price + worse * self._rng.randint(-1, 2))

    async def _bids(
        self, clerk: Clerk, shape: Shape, item: Instrument, seller: Account, auction: int
    ) -> None:
        """The bids of one broker, for each of its accounts but the one that offers."""
        own = [
            account
            for account in self._house.venue.accounts_of(item.market)
            if account.participant == clerk.key.participant and account.id != seller.id
        ]
        for account in own:
            quantity = shape.multiple * self._rng.randint(1, shape.multiples_max)
            price = money(item.reference_price + STEP * self._rng.randint(-2, 2))
            valid_ms = self._rng.choice((0, 5_000))
            try:
                await clerk.bid(
                    lambda ref, a=account, q=quantity, p=price, v=valid_ms: AuctionBid(  # type: ignore[misc]
                        ref, symbol=item.symbol, account=a.id, auction_id=auction, quantity=q,
                        price=p, side=shape.side, valid_ms=v,
                    )
                )  # fmt: skip
            except EdgeRefusalError:
                self._house.shapes["bid_refused_at_the_edge"] += 1

    async def _look(self, item: Instrument) -> None:
        clerk = self._rng.choice(list(self._bidders.values()))
        await clerk.look(AuctionsQuery(symbol=item.symbol), get_auctions)
