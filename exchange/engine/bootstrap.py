"""The commands with which a venue begins, and those of its operators: each one is bytes.

`missing` compares the venue file with what `events` says exists, so `exchange bootstrap` may run at
any time: it appends only what is not there. A parameter that an operator has set in session stays
as the operator left it. Instruments with their parameters and reference price stand in one frame,
so a crash leaves an instrument whole or absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from exchange import topics
from exchange.clock import Clock, random_id
from exchange.log.protocol import Log, records
from exchange.messages.frames import (
    COUNT_MAX,
    Command,
    EventFollower,
    Parameter,
    Phase,
    Resale,
    build_commands,
    command,
    is_sound,
    kinds_mask,
    read_commands,
)
from exchange.messages.scan import command_kinds_of
from exchange.positions import Positions
from exchange.reference.fees import fee_parameters, schedule_named, shipped
from exchange.reference.venue import TIMETABLE_SESSION, Instrument, Market, Venue
from exchange.stands import Keeper, Stands, Stood, leads_to

_SETS = kinds_mask(Command.INSTRUMENT_PARAMETER)


def missing(
    venue: Venue,
    market: Market,
    positions: Positions,
    in_session: AbstractSet[tuple[int, int]] = frozenset(),
) -> list[list[bytes]]:
    """Commands that make the market what the venue file says, in groups that belong together.

    What exists is left alone, but for parameters that differ from the file and are not among those
    set `in_session`, (instrument, parameter). ValueError names a parameter that is none.
    O(instruments + accounts).
    """
    groups = []
    for instrument in venue.instruments_of(market.code):
        group = _instrument_commands(instrument, positions, in_session)
        if group:
            groups.append(group)
    groups += [
        [open_account(account.id, account.participant)]
        for account in venue.accounts_of(market.code)
        if account.id not in positions.accounts
    ]
    return groups


def frames_of(groups: Sequence[list[bytes]], clock: Clock) -> list[bytes]:
    """Frames that hold the groups in order, none of them torn. O(commands)."""
    writer = random_id()
    frames: list[bytes] = []
    records: list[bytes] = []
    for group in [*groups, []]:
        if records and (not group or len(records) + len(group) > COUNT_MAX):
            frames.append(
                build_commands(
                    records, writer=writer, batch=len(frames) + 1, time_ns=clock.now_ns()
                )
            )
            records = []
        records = records + group
    return frames


async def bootstrap(
    log: Log, venue: Venue, market: Market, clock: Clock, stands: Stands | None = None
) -> int:
    """Appends to `orders` what the market lacks; how many commands that were. O(events).

    Asks `events` only: while the engine has not answered an earlier bootstrap, a second one repeats
    its commands, which the engine then refuses as existing. Raises LogError, ChainBrokenError and,
    for a venue file that is wrong, ValueError.
    """
    await log.create(topics.of_market(market.partition))
    known = await _known(log, market.partition, Keeper(stands))
    groups = missing(venue, market, known.positions, known.in_session)
    for frame in frames_of(groups, clock):
        await log.append(topics.orders(market.partition), [frame])
    return sum(len(group) for group in groups)


class _Known:
    """What a market's log says of it, and how far it was read."""

    def __init__(self) -> None:
        self.positions = Positions()
        self.follower = EventFollower()
        self.events_next = self.orders_next = 0
        self.orders_last = b""  # the record before
        self.in_session: set[tuple[int, int]] = set()
        """(instrument, parameter) of what operators or the timetable set, with a number."""

    async def is_of(self, log: Log, partition: int) -> bool:
        """Whether the log as it is now led to it. Raises LogError."""
        orders, events = topics.orders(partition), topics.events(partition)
        return await leads_to(log, orders, self.orders_next, self.orders_last) and await Stood(
            self.follower
        ).follows(log, events)

    def note(self, frame: bytes) -> None:
        """A record of `orders`. O(commands)."""
        if not is_sound(frame) or not command_kinds_of(frame) & _SETS:
            return
        commands = read_commands(frame)
        is_set = (commands["kind"] == Command.INSTRUMENT_PARAMETER) & (
            commands["session_id"] >= TIMETABLE_SESSION
        )
        for row in commands[np.flatnonzero(is_set)]:
            self.in_session.add((int(row["instrument_id"]), int(row["order_type"])))


async def _known(log: Log, partition: int, keeper: Keeper) -> _Known:
    """All that the log says, read on from the last stand. O(records since).

    Raises LogError, ChainBrokenError.
    """
    known = await keeper.load()
    if known is None or not await known.is_of(log, partition):
        known = _Known()
    keeper.begins(known.events_next)
    events, orders = topics.events(partition), topics.orders(partition)
    async for record in records(log, events, known.events_next, await log.end(events)):
        part = known.follower.accept(record.offset, record.value)
        known.events_next = record.offset + 1
        if part is not None:
            known.positions.apply(part)
    async for record in records(log, orders, known.orders_next, await log.end(orders)):
        known.note(record.value)
        known.orders_next, known.orders_last = record.offset + 1, record.value
    await keeper.close(known, known.events_next)
    return known


def _instrument_commands(
    instrument: Instrument, positions: Positions, in_session: AbstractSet[tuple[int, int]]
) -> list[bytes]:
    known = positions.instruments.get(instrument.id)
    group = [] if known else [open_instrument(instrument.id)]
    for name, value in parameters_of(instrument).items():
        if name.upper() not in Parameter.__members__:
            names = ", ".join(p.name.lower() for p in Parameter)
            raise ValueError(f"instrument {instrument.symbol}: parameter {name} is none of {names}")
        parameter = Parameter[name.upper()]
        is_left = (instrument.id, parameter) in in_session
        if known is None or (known.parameters[parameter] != value and not is_left):
            group.append(set_parameter(instrument.id, parameter, value))
    if known is None and instrument.reference_price:
        group.append(set_reference_price(instrument.id, instrument.reference_price))
    return group


def parameters_of(instrument: Instrument) -> dict[str, int]:
    """The parameters that the venue file means: its own, of its fees and its cycle. O(1)."""
    meant = dict(instrument.parameters)
    if instrument.fee_schedule:
        schedule = schedule_named(shipped(), instrument.fee_schedule)
        meant |= fee_parameters(schedule, schedule.currency)
    if instrument.settlement_cycle == "T+1":
        meant["resale_next_day"] = int(Resale.SETTLED)
    return meant


# -- one command each ------------------------------------------------------------------------------


def open_instrument(instrument_id: int) -> bytes:
    """INSTRUMENT_OPEN: CLOSED, with the default parameters."""
    return command(Command.INSTRUMENT_OPEN, instrument_id=instrument_id)


def set_parameter(instrument_id: int, parameter: Parameter, value: int) -> bytes:
    """INSTRUMENT_PARAMETER; units and ranges: `Parameter`."""
    return command(
        Command.INSTRUMENT_PARAMETER,
        instrument_id=instrument_id,
        order_type=parameter,
        quantity=value,
    )


def set_reference_price(instrument_id: int, price: int) -> bytes:
    """REFERENCE_PRICE, minor units a tonne; refused while trading is continuous."""
    return command(Command.REFERENCE_PRICE, instrument_id=instrument_id, price=price)


def open_account(account_id: int, participant: int) -> bytes:
    """ACCOUNT_OPEN for a participant."""
    return command(Command.ACCOUNT_OPEN, account_id=account_id, order_id=participant)


def change_phase(phase: Phase, instrument_id: int = 0) -> bytes:
    """PHASE_CHANGE of one instrument, or (0) of all that may enter the phase."""
    return command(Command.PHASE_CHANGE, order_type=phase, instrument_id=instrument_id)


def roll_day(trading_date: int) -> bytes:
    """DAY_ROLL to a later date, YYYYMMDD; needs every instrument CLOSED."""
    return command(Command.DAY_ROLL, quantity=trading_date)


def deposit_cash(account_id: int, amount: int, transfer_id: int = 0) -> bytes:
    """CASH_DEPOSIT, minor units; `transfer_id` names the payment."""
    return command(
        Command.CASH_DEPOSIT, account_id=account_id, quantity=amount, order_id=transfer_id
    )


def withdraw_cash(account_id: int, amount: int, transfer_id: int = 0) -> bytes:
    """CASH_WITHDRAW, minor units; refused above what is available."""
    return command(
        Command.CASH_WITHDRAW, account_id=account_id, quantity=amount, order_id=transfer_id
    )


def release_units(
    account_id: int, instrument_id: int, quantity: int, transfer_id: int = 0
) -> bytes:
    """UNITS_RELEASE, tonnes, from the trading to the registry position."""
    return command(
        Command.UNITS_RELEASE,
        account_id=account_id,
        instrument_id=instrument_id,
        quantity=quantity,
        order_id=transfer_id,
    )
