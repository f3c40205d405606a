"""Flows of listings that are picked, of blocks, and of sealed-bid auctions, sound and unsound."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from matching.layout import (
    PRICE_LIMIT,
    QUANTITY_LIMIT,
    AccountParameter,
    Command,
    OrderType,
    Parameter,
    Phase,
    Policy,
    Side,
    TimeInForce,
)
from tests.matching.controls import control
from tests.matching.frames import EventRow, command

if TYPE_CHECKING:
    from tests.matching.flows import Flow

ACCOUNTS = (1, 2, 3, 4)
LISTED = 2  # the instrument that is made one
SELLER = 5  # of most auctions
WRONG = (0, -1, PRICE_LIMIT, PRICE_LIMIT + 1, QUANTITY_LIMIT, QUANTITY_LIMIT + 1, 2**63 - 1)


def deals(flow: Flow) -> bytes:
    """Listings, blocks and auctions side by side, with days that end between them."""
    _prepare(flow)
    if flow.queue:
        return flow.queue.pop(0)
    pieces: tuple[Callable[[Flow], bytes], ...] = (listing, block, auction, change, rule)
    return flow.random.choices(pieces, (30, 20, 40, 12, 4))[0](flow)


def auctions(flow: Flow) -> bytes:
    """Auctions one after the other, many bids at few prices."""
    _prepare(flow)
    if flow.queue:
        return flow.queue.pop(0)
    return flow.random.choices((auction, change), (9, 1))[0](flow)


def _some(flow: Flow, *types: OrderType) -> EventRow | None:
    """A live order of these types."""
    found = [e for e in flow.live.values() if e.order_type in types]
    return flow.random.choice(found) if found else None


def _fields(flow: Flow, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with a label and a session, now and then with one that is wrong."""
    r = flow.random
    fields["client_order_id"] = flow.label()
    if r.random() < 0.06:
        wrong = r.choice(("quantity", "price", "side", "instrument_id", "account_id", "order_id"))
        small = {"side": 4, "instrument_id": 3, "account_id": 9}
        fields[wrong] = r.randrange(small[wrong]) if wrong in small else r.choice(WRONG)
        if wrong == "order_id":
            fields[wrong] %= 2**64
    flow.orders.append((flow.offset << 16 | flow.index, fields["account_id"]))
    return fields | flow.session()


def listing(flow: Flow) -> bytes:
    """A listing, or a pick of one: mostly of a good one."""
    r = flow.random
    found = _some(flow, OrderType.LIMIT)
    if found is None or r.random() < 0.45:
        terms = {"instrument_id": LISTED, "account_id": r.choice(ACCOUNTS)}
        if r.random() < 0.9:
            tif = r.choice((TimeInForce.DAY, TimeInForce.GTC))
            terms |= {"order_type": OrderType.LIMIT, "time_in_force": tif}
        return flow.new_order(**terms)
    fields = {
        "account_id": r.choice(ACCOUNTS),
        "instrument_id": found.instrument_id,
        "side": Side.BUY + Side.SELL - found.side,
        "order_id": found.order_id,
        "quantity": min(found.quantity, r.choice((2, 10, 50, 10**4))),
        "price": found.price + (r.random() < 0.05),
    }
    return command(Command.PICK_ORDER, **_fields(flow, fields))


def block(flow: Flow) -> bytes:
    """A proposal, a confirmation, or a word that declines."""
    r = flow.random
    found = _some(flow, OrderType.BLOCK)
    if found is None or r.random() < 0.4:
        fields = {
            "account_id": r.choice(ACCOUNTS),
            "instrument_id": r.choice((1, 1, LISTED)),
            "side": r.choice(tuple(Side)),
            "order_id": r.choice((*ACCOUNTS, 99, 2**32 + 1)),
            "quantity": r.choice((10, 500, 501, 2_000)),
            "price": flow.price() * r.choice((10, 10, 10, 9, 12)) // 10,
        }
        flow.counterparties[flow.offset << 16 | flow.index] = fields["order_id"]
        return command(Command.BLOCK_PROPOSE, **_fields(flow, fields))
    other = flow.counterparties.get(found.order_id, 1)
    if r.random() < 0.2:
        named = {"account_id": r.choice((other, *ACCOUNTS)), "order_id": found.order_id}
        return command(Command.CANCEL_ORDER, **named)
    fields = {
        "account_id": other if r.random() < 0.95 else r.choice(ACCOUNTS),
        "instrument_id": found.instrument_id,
        "side": Side.BUY + Side.SELL - found.side,
        "order_id": found.order_id,
        "quantity": found.quantity,
        "price": found.price,
    }
    return command(Command.BLOCK_CONFIRM, **_fields(flow, fields))


def auction(flow: Flow) -> bytes:
    """An auction that opens, hears a bid, clears, or is called off."""
    r = flow.random
    found = _some(flow, OrderType.OFFER)
    if found is None or r.random() < 0.03:
        return _offer(flow)
    named = {"instrument_id": found.instrument_id, "order_id": r.choice((0, found.order_id))}
    kind = r.random()
    if kind < 0.08:
        reserve = r.choice((0, 0, flow.price(), flow.price(), *WRONG))
        return command(
            Command.AUCTION_CLEAR, quantity=r.choice((0, r.getrandbits(63))), price=reserve, **named
        )
    if kind < 0.09:
        return command(Command.AUCTION_CANCEL, **named | {"order_id": r.choice((0, 5))})
    multiple = flow.multiples.get(found.order_id, 1)
    fields = {
        "account_id": r.choice(ACCOUNTS),
        "instrument_id": found.instrument_id,
        "side": Side.BUY + Side.SELL - found.side,
        "order_id": found.order_id,
        "quantity": max(found.quantity // multiple // r.choice((1, 2, 3, 5, 9)), 1) * multiple,
        "price": flow.mid + r.randint(-3, 3) * 5,
    }
    return command(Command.AUCTION_BID, **_fields(flow, fields))


def _offer(flow: Flow) -> bytes:
    r = flow.random
    multiple = r.choice((1, 1, 5, 10, 500))
    flags = r.choices((0, 1, 2, 4, 8, 9, 16, 26, 31, 32), (9, 3, 2, 2, 3, 2, 2, 1, 1, 1))[0]
    packed = flags | r.choices((0, 4, 255), (20, 10, 1))[0] << 8
    packed |= r.choices((0, 6_000, 10_001), (20, 4, 1))[0] << 16
    packed |= (multiple if multiple > 1 else r.choice((0, 1))) << 32
    side = r.choices(tuple(Side), (1, 3))[0]
    fields: dict[str, Any] = {
        "account_id": SELLER,
        "instrument_id": r.choice((1, LISTED)),
        "side": side,
        "order_type": r.choices((1, 2, 3), (8, 8, 1))[0],
        "time_in_force": r.choices((1, 2, 3, 0), (5, 5, 8, 1))[0],
        "quantity": r.choice((1, 3, 20, 97)) * multiple + (r.random() < 0.05),
        "price": 7_020 if side == Side.BUY else r.choice((0, 0, 6_990)),
        "order_id": packed,
    }
    flow.multiples[flow.offset << 16 | flow.index] = multiple
    closes_ns, seed = 0, r.choice((0, r.getrandbits(63), r.getrandbits(63), -r.getrandbits(63)))
    if r.random() < 0.3:  # mostly some frames from now
        wait_ns = r.choice((30_000_000, 60_000_000, 60_000_000, 1, 0, -flow.now, -flow.now - 1))
        closes_ns = flow.now + wait_ns
    if closes_ns or seed:
        flow.behind = [command(Command.AUCTION_TERMS, quantity=closes_ns, price=seed)]
    return command(Command.AUCTION_OPEN, **_fields(flow, fields))


def change(flow: Flow) -> bytes:
    """A live order, block, bid or offer withdrawn or changed."""
    r = flow.random
    found = _some(flow, OrderType.LIMIT, OrderType.BLOCK, OrderType.BID, OrderType.OFFER)
    if found is None or r.random() < 0.4:
        return flow.cancel()
    multiple = r.choice((1, 5, 10, 500))
    return command(
        Command.REPLACE_ORDER,
        account_id=found.account_id,
        order_id=found.order_id,
        quantity=r.choice((found.quantity, found.quantity // 2, r.randint(1, 9) * multiple)),
        price=r.choice((found.price, found.price, flow.mid + 5, flow.price())),
        client_order_id=flow.label(),
    )


def rule(flow: Flow) -> bytes:
    """A parameter of listings, blocks and auctions; groups of accounts; the end of a day."""
    r = flow.random
    kind = r.random()
    if kind < 0.08:
        return flow.end_of_day()
    if kind < 0.2:
        return command(
            Command.ACCOUNT_PARAMETER,
            account_id=r.choice(ACCOUNTS),
            order_type=AccountParameter.STP_GROUP,
            quantity=r.choice((0, 0, 1, 2)),
        )
    if kind < 0.23:
        return control(flow, 24)
    if kind < 0.27:
        phase = r.choice((Phase.HALT, Phase.CONTINUOUS, Phase.CLOSED))
        flow.queue.append(command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS))
        return command(Command.PHASE_CHANGE, order_type=phase)
    parameter, values = r.choice(
        (
            (Parameter.PICK_LEVELS, (1, 2, 3, 1_000, 0)),
            (Parameter.PICK_OLDEST, (0, 1)),
            (Parameter.BLOCK_OPEN, (0, 1, 1, 1)),
            (Parameter.BLOCK_QUANTITY_MIN, (1, 500)),
            (Parameter.BLOCK_BAND_BP, (0, 1_000, 3_000)),
            (Parameter.BLOCK_FEE_BP, (0, 3, 1_000)),
            (Parameter.AUCTION_FEE_BP, (0, 7, 333)),
            (Parameter.HOLDING_MAX, (0, 0, 10**7 + 500)),
            (Parameter.POLICY, tuple(Policy)),
        )
    )
    return command(
        Command.INSTRUMENT_PARAMETER,
        instrument_id=r.choice((1, LISTED)) if parameter != Parameter.POLICY else LISTED,
        order_type=parameter,
        quantity=r.choice(values),
    )


def _prepare(flow: Flow) -> None:
    """What makes the flows meet anything: a listed instrument, blocks open, a reference price."""
    if flow.is_prepared:
        return
    flow.is_prepared = True
    listed = {"instrument_id": LISTED, "order_type": Parameter.POLICY, "quantity": Policy.LISTED}
    commands = [command(Command.INSTRUMENT_PARAMETER, **listed)]
    for instrument_id in (1, LISTED):
        for parameter, value in ((Parameter.BLOCK_OPEN, 1), (Parameter.PICK_LEVELS, 3)):
            fields = {"order_type": parameter, "quantity": value, "instrument_id": instrument_id}
            commands.append(command(Command.INSTRUMENT_PARAMETER, **fields))
    commands.append(command(Command.PHASE_CHANGE, order_type=Phase.HALT))
    for instrument_id in (1, LISTED):
        fields = {"instrument_id": instrument_id, "price": flow.mid}
        commands.append(command(Command.REFERENCE_PRICE, **fields))
    commands.append(command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS))
    flow.queue = commands + flow.queue
