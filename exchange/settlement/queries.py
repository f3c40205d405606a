"""Reading the ledger: balances, totals, and the proof that nothing was made or lost."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Select, and_, cast, func, or_, select

from exchange.database import Database
from exchange.database import schema as tables
from exchange.ledger import (
    CASH,
    EXTERNAL_CASH,
    EXTERNAL_UNITS,
    FEE_INCOME,
    Leg,
    held_settlement,
)
from exchange.settings import PAGE_MAX
from exchange.settlement.cycle import UNSETTLED
from exchange.settlement.open_trades import Proposal
from exchange.settlement.store import Position


class AssetTotals(NamedTuple):
    """One asset of a market: minor units for cash (asset 0), else tonnes of an instrument."""

    asset: int
    participants: int  # sum of the participants' balances
    fees: int
    external: int  # minus all that came in and has not gone out


class Proof(NamedTuple):
    """One check of the ledger: what, whether it holds, and the figures behind it."""

    name: str
    is_ok: bool
    detail: str


async def position_of(database: Database, market: int) -> Position:
    """How far a market is settled (the first position when it never was)."""
    table = tables.settlement_position
    async with database.reading() as connection:
        row = (await connection.execute(select(table).where(table.c.market == market))).first()
    return Position(*row[1:]) if row is not None else Position()


async def ledger_balances(database: Database, market: int) -> dict[tuple[int, int], int]:
    """{(account, asset): amount} of every account of a market, without zeros. O(accounts)."""
    table = tables.balance
    query = select(table.c.account, table.c.asset, table.c.amount).where(
        table.c.market == market, table.c.amount != 0
    )
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
    return {(row.account, row.asset): row.amount for row in rows}


async def account_balances(database: Database, market: int, account: int) -> dict[int, int]:
    """{asset: amount} of one account, held for settlement or not, without zeros. O(assets)."""
    table = tables.balance
    own = (account, held_settlement(account))
    total = cast(func.sum(table.c.amount), BigInteger)
    query = (
        select(table.c.asset, total)
        .where(table.c.market == market, table.c.account.in_(own), table.c.amount != 0)
        .group_by(table.c.asset)
        .order_by(table.c.asset)
    )
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
    return {row[0]: row[1] for row in rows}


def unsettled_legs(market: int) -> Select[Any]:
    """Buyer, seller, instrument, tonnes and proceeds of what is not settled, summed. O(due)."""
    trade, state = tables.trade, tables.trade_settlement
    parties = (trade.c.buyer_account, trade.c.seller_account, trade.c.instrument_id)
    proceeds = trade.c.price * trade.c.quantity - trade.c.seller_fee
    return (
        select(
            *parties,
            cast(func.sum(trade.c.quantity), BigInteger),
            cast(func.sum(proceeds), BigInteger),
        )
        .join(state, and_(state.c.market == trade.c.market, state.c.trade_id == trade.c.trade_id))
        .where(state.c.market == market, state.c.state.in_([int(item) for item in UNSETTLED]))
        .group_by(*parties)
        .order_by(*parties)
    )


class SettlementRow(NamedTuple):
    """A trade that is settled later, or that somebody cancels, and where it stands."""

    trade_id: int
    instrument_id: int
    quantity: int
    price: int
    buyer_account: int
    seller_account: int
    time_ns: int
    state: int  # a `cycle.TradeState`
    due_ns: int
    since_ns: int


async def settlements(
    database: Database,
    market: int,
    *,
    state: int | None = None,
    accounts: Collection[int] | None = None,
    before: int = 0,
    limit: int,
) -> list[SettlementRow]:
    """Trades with a state of their own, the newest first, below the id `before` (0 = all).

    `accounts`: only those in which one of them is a party. O(trades with a state), at most `limit`.
    """
    trade, known = tables.trade, tables.trade_settlement
    of_trade = SettlementRow._fields[:7]
    columns = [(trade if n in of_trade else known).c[n] for n in SettlementRow._fields]
    query = (
        select(*columns)
        .join(known, and_(known.c.market == trade.c.market, known.c.trade_id == trade.c.trade_id))
        .where(known.c.market == market)
        .order_by(known.c.trade_id.desc())
        .limit(limit)
    )
    if state is not None:
        query = query.where(known.c.state == state)
    if before:
        query = query.where(known.c.trade_id < before)
    if accounts is not None:
        own = sorted(accounts)
        query = query.where(or_(trade.c.buyer_account.in_(own), trade.c.seller_account.in_(own)))
    async with database.reading() as connection:
        return [SettlementRow(*row) for row in (await connection.execute(query)).all()]


async def open_proposals(database: Database, market: int, since_ns: int) -> list[Proposal]:
    """Proposals to cancel a trade from that time on which nobody approved, oldest first."""
    proposal, approval = tables.trade_cancel_proposal, tables.trade_cancel_approval
    approved: Select[tuple[int]] = select(approval.c.proposal).where(approval.c.market == market)
    query = (
        select(*(proposal.c[name] for name in Proposal._fields))
        .where(
            proposal.c.market == market,
            proposal.c.time_ns >= since_ns,
            proposal.c.instruction_id.not_in(approved),
        )
        .order_by(proposal.c.instruction_id)
        .limit(PAGE_MAX)
    )
    async with database.reading() as connection:
        return [Proposal(*row) for row in (await connection.execute(query)).all()]


async def asset_totals(database: Database, market: int) -> list[AssetTotals]:
    """The totals of every asset of a market, by asset. O(accounts)."""
    balances = await ledger_balances(database, market)
    external = {asset: EXTERNAL_UNITS for _, asset in balances} | {CASH: EXTERNAL_CASH}
    return [
        AssetTotals(
            asset,
            sum(amount for (account, a), amount in balances.items() if a == asset and account >= 0),
            balances.get((FEE_INCOME, asset), 0),
            balances.get((external[asset], asset), 0),
        )
        for asset in sorted({asset for _, asset in balances})
    ]


async def prove_ledger(database: Database, market: int) -> list[Proof]:
    """Proves the ledger from its postings, on one state of the books. O(postings).

    Postings sum to zero in each asset and in each cause; every balance is the sum of its postings;
    no participant is overdrawn; every trade has its two legs of delivery and of payment; every
    transfer is posted once, as it is.
    """
    post, held, trade = tables.posting, tables.balance, tables.trade
    total = cast(func.sum(post.c.amount), BigInteger)
    own = post.c.market == market
    async with database.reading() as connection:
        by_asset = (
            await connection.execute(select(post.c.asset, total).where(own).group_by(post.c.asset))
        ).all()
        causes = (
            select(post.c.event_number)
            .where(own)
            .group_by(post.c.event_number, post.c.asset)
            .having(total != 0)
        ).subquery()
        unbalanced = await connection.scalar(select(func.count()).select_from(causes))
        sums = (
            await connection.execute(
                select(post.c.account, post.c.asset, total)
                .where(own)
                .group_by(post.c.account, post.c.asset)
            )
        ).all()
        balances = (
            await connection.execute(
                select(held.c.account, held.c.asset, held.c.amount).where(held.c.market == market)
            )
        ).all()
        delivered = await connection.scalar(
            select(func.count()).where(own, post.c.leg.between(0, 3))
        )
        trades = await connection.scalar(select(func.count()).where(trade.c.market == market))
        moved = await connection.scalar(select(func.count()).where(own, post.c.leg == Leg.TRANSFER))
        as_said = await connection.scalar(_transfers_posted(market))
        transfers = await connection.scalar(
            select(func.count()).where(tables.transfer.c.market == market)
        )
    from_postings = {(a, b): c for a, b, c in sums if c}
    stored = {(a, b): c for a, b, c in balances if c}
    differing = sorted(set(from_postings.items()) ^ set(stored.items()))
    overdrawn = [key for key, amount in stored.items() if key[0] >= 0 and amount < 0]
    return [
        Proof(
            "postings of each asset sum to zero",
            not any(amount for _, amount in by_asset),
            ", ".join(f"asset {asset}: {amount}" for asset, amount in by_asset),
        ),
        Proof("postings of each cause sum to zero", unbalanced == 0, f"{unbalanced} do not"),
        Proof(
            "balances are the sums of their postings",
            not differing,
            f"{len(stored)} balances, {len(differing)} differences {differing[:3]}",
        ),
        Proof("no participant is overdrawn", not overdrawn, f"{len(overdrawn)} are"),
        Proof(
            "every trade was delivered and paid",
            delivered == 4 * (trades or 0),
            f"{trades} trades, {delivered} legs",
        ),
        Proof(
            "every transfer was posted",
            moved == transfers == as_said,
            f"{transfers} transfers, {moved} postings, {as_said} of them as said",
        ),
    ]


def _transfers_posted(market: int) -> Select[int]:
    post, said = tables.posting, tables.transfer
    return select(func.count()).where(
        post.c.market == market,
        said.c.market == market,
        post.c.event_number == said.c.event_number,
        post.c.leg == Leg.TRANSFER,
        post.c.account == said.c.account,
        post.c.asset == said.c.asset,
        post.c.amount == said.c.amount,
    )
