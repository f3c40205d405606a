"""The compliance scene: an emitter buys what it lacks on the venue and surrenders for its year.

It reports 1,234,567 t, which a verifier confirms: so much it owes. The scheme lets it surrender
offset credits up to 5 percent of that, rounded down: 61,728 t. It buys one tonne more than that in
credits and the rest in allowances, releases both to the registry (allowances bought today may leave
the venue only after the day roll), is refused the tonne too many with rule, cap, base and source,
is refused allowances of a vintage that no longer counts, and surrenders the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from exchange.messages.executions import InstructionReport
from exchange.messages.instructions import (
    ReleaseUnits,
    ReportEmissions,
    SurrenderUnits,
    VerifyEmissions,
)
from exchange.simulation.trading import OperationsClient, TradingClient

OBLIGATION_T = 1_234_567
OFFSET_CAP_T = 61_728  # 5 percent of it, rounded down
ORDER_MAX_T = 99_999
ORDINARY_T = 1_000  # up to this an offer is taken whole, of a larger one two thirds
ROUNDS_MAX = 200  # orders the emitter sends at most to get its units


class SceneError(Exception):
    """The scene could not be played; the message says at which step and what the venue said."""


class Lot(NamedTuple):
    """What the emitter buys: the price in minor units is the most it pays."""

    symbol: str
    quantity: int
    price: int


class Cast(NamedTuple):
    """Who plays: clients, accounts of the market, the compliance year, the next trading date."""

    market: str
    emitter: TradingClient
    emitter_account: int
    seller: TradingClient
    seller_account: int
    verifier: TradingClient
    operations: OperationsClient
    year: int
    next_date: int  # YYYYMMDD
    offset: Lot
    allowances: tuple[Lot, ...]
    old_allowance: str  # a vintage that does not count for the year


class Scene(msgspec.Struct, frozen=True):
    """How it ended."""

    bought: dict[str, int]
    refused: InstructionReport  # the tonne above the cap
    refused_vintage: InstructionReport
    surrendered: tuple[InstructionReport, ...]


def lots(offset: tuple[str, int], allowances: tuple[tuple[str, int], ...]) -> tuple[Lot, ...]:
    """What to buy at which price: credits to one tonne above the cap, the rest in allowances.

    The first lot is the credits; the last allowance takes what the others leave.
    """
    rest = OBLIGATION_T - OFFSET_CAP_T
    share = rest // (3 * len(allowances)) if len(allowances) > 1 else 0
    bought = [Lot(symbol, share, price) for symbol, price in allowances[:-1]]
    symbol, price = allowances[-1]
    bought.append(Lot(symbol, rest - share * len(bought), price))
    return (Lot(offset[0], OFFSET_CAP_T + 1, offset[1]), *bought)


async def play(cast: Cast, say: Callable[[str], None]) -> Scene:
    """Plays the scene; SceneError when a step does not end as the rules say."""
    allowance = cast.allowances[0].symbol
    account, year = cast.emitter_account, cast.year
    reported = ReportEmissions(
        ref=0, symbol=allowance, account=account, quantity=OBLIGATION_T, year=year
    )
    verified = VerifyEmissions(
        ref=0, symbol=allowance, account=account, quantity=OBLIGATION_T, year=year
    )
    await _instruct(cast.emitter, reported)
    await _instruct(cast.verifier, verified)
    say(f"emissions of account {cast.emitter_account} reported and verified")
    say(f"obligation of account {cast.emitter_account} for {cast.year}: {OBLIGATION_T:,} t")
    bought = {}
    for lot in (cast.offset, *cast.allowances):
        bought[lot.symbol] = await _buy(cast, lot)
        say(f"bought {lot.quantity:,} t {lot.symbol} at {lot.price / 100:.2f} or better")
    await _release(cast, cast.offset)
    say(f"{cast.offset.symbol} released to the registry at once")
    await cast.operations.set_phase(cast.market, "CLOSED")
    await cast.operations.roll_day(cast.market, cast.next_date)
    await cast.operations.set_phase(cast.market, "CONTINUOUS")
    say(f"day rolled to {cast.next_date}: allowances bought yesterday are free")
    for lot in cast.allowances:
        await _release(cast, lot)
    refused = await cast.emitter.instruct(_surrender(cast, cast.offset.symbol, OFFSET_CAP_T + 1))
    if refused.status != "REFUSED":
        raise SceneError(f"{OFFSET_CAP_T + 1} t of credits were not refused: {refused}")
    say(f"surrender of {OFFSET_CAP_T + 1:,} t refused: {refused.text} Source: {refused.source}")
    old = await cast.emitter.instruct(_surrender(cast, cast.old_allowance, 1))
    if old.status != "REFUSED":
        raise SceneError(f"{cast.old_allowance} was not refused for {cast.year}: {old}")
    say(f"surrender of {cast.old_allowance} refused: {old.text}")
    surrendered = [
        await _instruct(cast.emitter, _surrender(cast, lot.symbol, quantity))
        for lot, quantity in (
            (cast.offset, OFFSET_CAP_T),
            *((lot, lot.quantity) for lot in cast.allowances),
        )
    ]
    say(f"surrendered {sum(report.quantity for report in surrendered):,} t for {cast.year}")
    return Scene(bought, refused, old, tuple(surrendered))


def _surrender(cast: Cast, symbol: str, quantity: int) -> SurrenderUnits:
    return SurrenderUnits(
        ref=0, symbol=symbol, account=cast.emitter_account, quantity=quantity, year=cast.year
    )


async def _instruct(
    client: TradingClient,
    instruction: ReportEmissions | VerifyEmissions | SurrenderUnits | ReleaseUnits,
) -> InstructionReport:
    report = await client.instruct(instruction)
    if report.status != "DONE":
        raise SceneError(f"{instruction}: {report.status} {report.reason} {report.text}")
    return report


async def _release(cast: Cast, lot: Lot) -> None:
    await _instruct(
        cast.emitter,
        ReleaseUnits(ref=0, symbol=lot.symbol, account=cast.emitter_account, quantity=lot.quantity),
    )


async def _buy(cast: Cast, lot: Lot) -> int:
    """The emitter takes of what the seller offers (and whatever else is as good) until it has all.

    Not the whole of a large offer: orders of one size that meet again and again look agreed upon.
    """
    got = 0
    for _ in range(ROUNDS_MAX):
        if got == lot.quantity:
            return got
        quantity = min(lot.quantity - got, ORDER_MAX_T)
        offer = await cast.seller.new_order(
            lot.symbol, cast.seller_account, "SELL", quantity, lot.price, "DAY"
        )
        if offer.status == "REJECTED":
            raise SceneError(f"offer of {quantity} t {lot.symbol}: {offer.reason} {offer.text}")
        wanted = quantity if quantity <= ORDINARY_T else quantity * 2 // 3
        taken = await cast.emitter.new_order(
            lot.symbol, cast.emitter_account, "BUY", wanted, lot.price, "IOC"
        )
        if taken.status == "REJECTED":
            raise SceneError(f"bid for {wanted} t {lot.symbol}: {taken.reason} {taken.text}")
        got += taken.filled
        if offer.is_open:
            await cast.seller.cancel_order(lot.symbol, cast.seller_account, offer.order_id)
    if got == lot.quantity:
        return got
    raise SceneError(f"only {got} t of {lot.quantity} t {lot.symbol} after {ROUNDS_MAX} orders")
