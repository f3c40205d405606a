"""What a gateway remembers of a market is bounded, however long the market runs."""

from __future__ import annotations

import datetime as dt
import gc
import random
from collections.abc import Callable, Iterator

import pytest

from exchange.clock import SystemClock
from exchange.log.protocol import Log
from exchange.messages.frames import (
    GENESIS,
    Command,
    OrderType,
    Phase,
    Side,
    TimeInForce,
    build_commands,
    command,
    order_id_of,
    seal_events,
)
from exchange.positions import OpenOrder
from exchange.reference.venue import Venue
from exchange.settings import ORDER_LABELS_MAX
from gateway.views import reports, venue_view
from gateway.views.executions import Execution
from gateway.views.reports import OrderState
from gateway.views.venue_view import PART_BYTES, MarketView
from matching import Engine
from tests.gateway.conftest import demo_venue


class Tape:
    """An engine and a view that reads what it says, without a log between them."""

    def __init__(self, venue: Venue, log: Log | None = None) -> None:
        market = venue.market_of("EU")
        self.view = MarketView(log, venue, market, SystemClock())  # type: ignore[arg-type]
        self.offset = 0
        self.between: Callable[[], object] = lambda: None  # an output is accepted, not yet applied
        self._engine = Engine()
        self._chain = GENESIS

    def feed(self, *commands: bytes) -> int:
        frame = build_commands(list(commands), writer=1, batch=self.offset, time_ns=self.offset + 1)
        first = self._engine.next_event
        events = self._engine.apply(self.offset, self.offset + 1, frame)
        parts, self._chain = seal_events(
            events, input_offset=self.offset, first_event=first, epoch=self._engine.epoch,
            time_ns=self._engine.time_ns, chain=self._chain,
        )  # fmt: skip
        self.view.requests.note(self.offset, frame)
        for part in parts:
            accepted = self.view.follower.accept(self.offset, part)
            assert accepted is not None
            self.between()
            self.view._apply(accepted)
        self.offset += 1
        return self.offset - 1


@pytest.fixture
def tape() -> Iterator[Tape]:
    venue, _ = demo_venue()
    made = Tape(venue)
    made.feed(
        command(Command.INSTRUMENT_OPEN, instrument_id=1),
        command(Command.ACCOUNT_OPEN, account_id=101, order_id=2),
        command(Command.CASH_DEPOSIT, account_id=101, quantity=10**12),
        command(Command.PHASE_CHANGE, order_type=1),
    )
    return made


def test_idle_hours_leave_no_more_than_the_bound(tape: Tape, monkeypatch) -> None:
    monkeypatch.setattr(venue_view, "OUTCOME_BYTES_MAX", 50 * PART_BYTES)
    for _ in range(500):
        tape.feed(command(Command.CLOCK_TICK))
    assert len(tape.view._outputs) <= 50


def test_a_replaced_order_is_found_by_its_last_labels_and_leaves_none(
    tape: Tape, monkeypatch
) -> None:
    monkeypatch.setattr(reports, "ORDERS_ENDED_MAX", 0)
    order = {
        "account_id": 101, "session_id": 1_003, "quantity": 5, "price": 100,
    }  # fmt: skip
    order_id = order_id_of(
        tape.feed(
            command(
                Command.NEW_ORDER, side=Side.BUY, order_type=OrderType.LIMIT,
                time_in_force=TimeInForce.DAY, instrument_id=1, ref=1, client_order_id=b"a",
                **order,
            )
        ),
        0,
    )  # fmt: skip
    for number in range(3 * ORDER_LABELS_MAX):
        label = b"L%d" % number
        tape.feed(
            command(
                Command.REPLACE_ORDER, ref=2 + number, order_id=order_id, client_order_id=label,
                **order | {"price": 100 + number % 2},
            )
        )  # fmt: skip
    kept = tape.view.reports
    assert kept.labels_kept == ORDER_LABELS_MAX
    found = kept.order_labelled(101, f"L{3 * ORDER_LABELS_MAX - 2}")
    assert found is not None
    assert found.order_id == order_id
    assert kept.order_labelled(101, "a") is None
    tape.feed(
        command(
            Command.CANCEL_ORDER, account_id=101, session_id=1_003, ref=9_999, order_id=order_id
        )
    )
    assert kept.labels_kept == 0
    assert not tape.view.requests._unanswered


@pytest.mark.parametrize("seed", range(4))
def test_orders_are_found_by_the_labels_of_those_that_are_kept(
    tape: Tape, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """However seldom somebody asks."""
    monkeypatch.setattr(reports, "ORDERS_ENDED_MAX", 3)
    draw, kept = random.Random(seed), tape.view.reports
    latest: dict[str, int] = {}  # of each label
    standing: dict[str, int] = {}
    ended: list[int] = []
    used: set[str] = set()  # a label is free again the day after its order has ended
    today = dt.date(2026, 12, 1)
    who = {"account_id": 101, "session_id": 1_003}
    for ref in range(1, 400):
        label = f"L{draw.randrange(9)}"
        if label in standing:
            order_id = standing.pop(label)
            tape.feed(command(Command.CANCEL_ORDER, ref=ref, order_id=order_id, **who))
            ended.append(order_id)
        elif label in used:
            used = set(standing)
            today += dt.timedelta(1)
            tape.feed(
                command(Command.PHASE_CHANGE, order_type=Phase.CLOSED),
                command(Command.DAY_ROLL, quantity=int(f"{today:%Y%m%d}")),
                command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS),
            )
        else:
            used.add(label)
            order = {"side": Side.BUY, "order_type": OrderType.LIMIT, "instrument_id": 1} | who
            offset = tape.feed(
                command(
                    Command.NEW_ORDER, ref=ref, quantity=5, price=100,
                    time_in_force=TimeInForce.GTC, client_order_id=label.encode(), **order,
                )
            )  # fmt: skip
            latest[label] = standing[label] = order_id_of(offset, 0)
        if draw.random() < 0.04:
            known = {*standing.values(), *ended[-3:]}
            for name in (f"L{number}" for number in range(9)):
                found = kept.order_labelled(101, name)
                wanted = latest.get(name)
                assert (found and found.order_id) == (wanted if wanted in known else None)
    assert [order.order_id for order in kept.open_orders(frozenset({101}))] == list(kept.orders)
    assert kept.orders.keys() == set(standing.values())


async def test_an_answer_that_is_accepted_but_not_yet_applied_is_waited_for(tape: Tape) -> None:
    watched = []
    tape.between = lambda: watched.append(tape.view.watch(order_id_of(tape.offset, 0)))
    tape.feed(command(Command.ACCOUNT_OPEN, account_id=7, order_id=1))
    assert not [future for future in watched if future.result() is None]


@pytest.mark.parametrize("kind", [Execution, OrderState, OpenOrder])
def test_what_is_kept_of_each_order_is_not_looked_over_for_rings(kind: type) -> None:
    """Or a gateway with a million of them stands still for a second now and then."""
    assert not gc.is_tracked(kind.__new__(kind))
