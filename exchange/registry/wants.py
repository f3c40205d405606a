"""Which blocks an item of `settlements` may take, so that they are read before it is applied.

Rather too many than too few: an item that is refused in the end may have wanted blocks. Whatever it
takes of a place it takes from the front, but where the rules choose among blocks they see all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from exchange.messages.frames import Instruction
from exchange.messages.settlement import (
    InstructionPassed,
    SettlementItem,
    TradeCancelled,
    TradeDelivered,
    TradeSettled,
    UnitsReleased,
)
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Position
from exchange.registry.encumbrances import signed
from exchange.registry.holdings import Holdings
from exchange.registry.others import held_for, named_in
from exchange.registry.refusals import PLEDGES_NAMED
from exchange.registry.rows import Place
from exchange.registry.transfers import pending_of

Wanted = dict[Place, int | None]
"""Tonnes from the front of each place; None: all of it."""

_FROM_FREE = frozenset(
    {
        Instruction.DEPOSIT,
        Instruction.TRANSFER,
        Instruction.SURRENDER,
        Instruction.CANCEL,
        Instruction.FREEZE,
        Instruction.PLEDGE,
        Instruction.EXCHANGE,
        Instruction.OFFSET_REQUEST,
    }
)
_CHOOSING = frozenset(
    {
        Instruction.EXCHANGE,
        Instruction.ALLOCATE,
        Instruction.OFFSET_REQUEST,
    }
)

_JUDGED_AGAIN = (Instruction.ALLOCATE, Instruction.UNFREEZE)  # when they are approved


def wanted_by(
    holdings: Holdings, instruments: Mapping[int, Instrument], items: Iterable[SettlementItem]
) -> Wanted:
    """What some items want together. O(items + places named)."""
    found: Wanted = {}
    for item in items:
        for place, tonnes in _of(holdings, instruments, item):
            before = found.get(place, 0)
            found[place] = None if tonnes is None or before is None else before + tonnes
    return found


def wanted_when_due(
    holdings: Holdings, instruments: Mapping[int, Instrument], time_ns: int
) -> Wanted:
    """What those want whose time has come: waiting transfers, and years that are assessed, also
    since what they waited for got no answer. O(log n), O(all that waits) when some.
    """
    standings = holdings.standings
    found: Wanted = {}
    for due in standings.due_by(time_ns):
        if due.kind == "TRANSFER":
            transfer = standings.transfers[due.number]
            found[pending_of(transfer)] = transfer.quantity
        else:
            account = standings.whose(due)[0]
            found |= dict.fromkeys(_allowances_of(holdings, account, instruments))
    return found


def _allowances_of(
    holdings: Holdings, account: int, instruments: Mapping[int, Instrument]
) -> Iterable[Place]:
    """Where the rules may take from when a year of the account is assessed."""
    for instrument in instruments.values():
        if instrument.kind == "allowance":
            yield Place(account, Position.REGISTRY, instrument.id)
            yield from held_for(holdings, account, instrument.id)


def _of(
    holdings: Holdings, instruments: Mapping[int, Instrument], item: SettlementItem
) -> Iterable[tuple[Place, int | None]]:
    match item:
        case TradeSettled() | TradeDelivered():
            yield Place(item.seller_account, Position.TRADING, item.instrument_id), item.quantity
        case TradeCancelled():
            yield Place(item.buyer_account, Position.TRADING, item.instrument_id), item.quantity
        case UnitsReleased():
            yield Place(item.account_id, Position.TRADING, item.instrument_id), item.quantity
        case InstructionPassed() if item.instrument_id in instruments:
            yield from _of_instruction(holdings, instruments, item)


def _of_instruction(
    holdings: Holdings, instruments: Mapping[int, Instrument], item: InstructionPassed
) -> Iterable[tuple[Place, int | None]]:
    account, instrument = item.account_id, instruments[item.instrument_id]
    free = Place(account, Position.REGISTRY, instrument.id)
    is_surrender = item.kind == Instruction.SURRENDER
    entity = named_in(signed(item)[1].notes) if is_surrender else 0
    is_mixed = instrument.kind == "offset" or not instrument.vintage
    if item.kind in _CHOOSING or (is_surrender and is_mixed):
        yield free, None
    elif item.kind in _FROM_FREE:
        yield free, item.quantity
    if item.kind in _FROM_FREE and holdings.held(*free) < item.quantity:
        yield free._replace(position=Position.FROZEN), 1  # a refusal names the first of them
        for place in holdings.pledges(account, instrument.id)[:PLEDGES_NAMED]:
            yield place, 1
    match item.kind:
        case Instruction.UNFREEZE if item.argument:  # of all its vintages something may be owed
            yield free._replace(position=Position.FROZEN, lender=item.argument), None
        case Instruction.UNFREEZE:
            yield free._replace(position=Position.FROZEN), item.quantity
        case Instruction.SURRENDER if entity:
            yield free._replace(position=Position.FROZEN, lender=entity), None
        case Instruction.ALLOCATE:
            for place in held_for(holdings, account, instrument.id):
                yield place, None
        case Instruction.RELEASE_PLEDGE | Instruction.ENFORCE_PLEDGE:
            yield Place(item.argument, Position.PLEDGED, instrument.id, account), item.quantity
        case Instruction.APPROVE_TRANSFER | Instruction.CANCEL_TRANSFER:
            transfer = holdings.standings.transfers.get(item.argument)
            if transfer is not None:
                yield pending_of(transfer), transfer.quantity
            if transfer is not None and transfer.kind in _JUDGED_AGAIN:
                yield from _of_instruction(holdings, instruments, transfer.act())
        case Instruction.OFFSET_REQUEST:
            for place in holdings.under_way(account, instrument.id):
                yield place, item.quantity
        case Instruction.OFFSET_ANSWER | Instruction.ASSESS:  # a year may have waited for it
            for place in _allowances_of(holdings, account, instruments):
                yield place, None
        case Instruction.CARRY_OVER:
            for old in instruments.values():
                if old.kind == "allowance":
                    held = holdings.held(account, Position.REGISTRY, old.id)
                    yield Place(account, Position.REGISTRY, old.id), min(held, item.quantity)
