"""What is written straight from a report's numbers is, to the byte, what msgspec makes of it."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from exchange.messages.executions import Gap
from exchange.messages.frames import GENESIS, EventFollower, EventPart, seal_events
from exchange.positions import Positions
from exchange.reference.venue import Venue, load_venue
from gateway.views.controls import Controls
from gateway.views.executions import json_array
from gateway.views.figures import Figures
from gateway.views.reports import Reports
from gateway.views.requests import Requests
from gateway.websocket.sockets import encode
from matching import Engine
from matching.layout import QUOTE_SELL_BIT, Command, ExecInst
from tests.matching import flows
from tests.matching.flows import Flow
from tests.matching.frames import command, frame

VENUE = load_venue(Path(__file__).parents[3] / "deploy/venue/demo.toml")
MARKET = VENUE.market[0].code
LABELS = (b"plain-1", b'"quoted"', b"back\\slash", b"\x07bell", b"\xffhigh", b"<&>", b"", b"\0x")


class Desk:
    """An engine, and reports of all it says."""

    def __init__(self, venue: Venue = VENUE) -> None:
        self.engine, self.chain, self.said = Engine(), GENESIS, 0
        self.follower = EventFollower()
        self.positions, self.controls = Positions(), Controls()
        figures = Figures(venue.market[0], self.positions, self.controls)
        self.reports, self.requests = Reports(venue, MARKET, figures.of), Requests()

    def parts(self, offset: int, time_ns: int, value: bytes) -> list[EventPart]:
        first = self.engine.next_event
        values, self.chain = seal_events(
            self.engine.apply(offset, time_ns, value),
            input_offset=offset,
            first_event=first,
            epoch=self.engine.epoch,
            time_ns=self.engine.time_ns,
            chain=self.chain,
        )
        found = [self.follower.accept(self.said + at, part) for at, part in enumerate(values)]
        self.said += len(values)
        return [part for part in found if part is not None]

    def check(self, offset: int, time_ns: int, value: bytes) -> int:
        self.requests.note(offset, value)
        count = 0
        for part in self.parts(offset, time_ns, value):
            self.positions.apply(part)
            self.controls.apply(part)
            resent, proposed = self.requests.answered(part), self.requests.proposed(part)
            made = self.reports.apply(part, resent, proposed, self.requests.record(part))
            assert json_array(made) == encode([item.report for item in made])
            count += len(made)
        return count


@pytest.mark.parametrize(
    "make",
    [flows.everything, flows.trading, flows.slices, flows.calls, flows.labels, flows.extremes],
    ids=lambda make: make.__name__,
)
def test_json_is_that_of_the_report(make: Callable[[Flow], bytes]) -> None:
    flow, desk = Flow(5), Desk()
    records = [*flow.opening(), *flow.frames(80, make)]
    assert sum(desk.check(*record) for record in records) > len(records)


def test_a_refused_order_tells_its_type() -> None:
    flow, desk = Flow(1), Desk()
    for record in flow.opening():
        desk.check(*record)
    kinds = [
        (Command.NEW_ORDER, 1, "MARKET"), (Command.NEW_ORDER, 2, "LIMIT"),
        (Command.NEW_ORDER, 4, "STOP_LIMIT"), (Command.BLOCK_PROPOSE, 0, "BLOCK"),
        (Command.AUCTION_BID, 0, "BID"), (Command.PICK_ORDER, 0, "PICK"),
    ]  # fmt: skip
    refused = [
        command(kind, account_id=1, instrument_id=99, order_type=number, quantity=1)
        for kind, number, _ in kinds
    ]
    desk.check(flow.offset, flow.now, frame(refused))
    said = desk.reports.after(1, -1)[-len(kinds) :]
    assert [report.exec_type for report in said] == ["REJECTED"] * len(kinds)
    assert [report.order_type for report in said] == [word for *_, word in kinds]


def test_the_sides_of_a_quote_say_whose_they_are() -> None:
    flow, desk = Flow(1), Desk()
    for record in flow.opening():
        desk.check(*record)
    here = {"account_id": 1, "instrument_id": 1, "price": 7_000, "quantity": 1}
    sell = struct.pack("<qq", 1, 7_100)
    asked = [
        command(Command.NEW_ORDER, side=1, order_type=2, client_order_id=b"plain", **here),
        command(Command.QUOTE, order_type=ExecInst.POST_ONLY, client_order_id=sell, **here),
        command(Command.NEW_ORDER, side=1, order_type=2, client_order_id=b"another", **here),
    ]
    desk.check(flow.offset, flow.now, frame(asked))
    plain, quoted, buy, offered, another = desk.reports.after(1, -1)[-5:]
    assert (quoted.exec_type, quoted.quote_id) == ("QUOTED", 0)
    assert (buy.order_id, offered.order_id) == (quoted.order_id, quoted.order_id | QUOTE_SELL_BIT)
    for side in (buy, offered):
        assert (side.quote_id, side.is_persistent, side.post_only) == (
            quoted.order_id, False, "REFUSE"
        )  # fmt: skip
    for order in (plain, another):
        assert (order.quote_id, order.is_persistent, order.post_only) == (0, True, "")
    stand = pickle.loads(pickle.dumps(desk.reports.stand()))  # noqa: S301 - our own
    later = Reports(VENUE, MARKET)
    later.go_on(stand, None)
    assert later.status(later.order(offered.order_id)).quote_id == quoted.order_id


def test_labels_that_need_care() -> None:
    flow, desk = Flow(1), Desk()
    for record in flow.opening():
        desk.check(*record)
    orders = [
        command(
            Command.NEW_ORDER, account_id=1, instrument_id=1, side=1, order_type=2, quantity=1,
            price=7_000, client_order_id=label,
        )
        for label in LABELS
    ]  # fmt: skip
    assert desk.check(flow.offset, flow.now, frame(orders)) == len(LABELS)


def test_other_messages_stand_between_reports() -> None:
    gap = Gap(MARKET, 7)
    assert json_array([]) == b"[]"
    assert json_array([gap, gap]) == encode([gap, gap])


def test_reports_after_a_sequence() -> None:
    flow, desk = Flow(9), Desk()
    for record in [*flow.opening(), *flow.frames(40, flows.trading)]:
        desk.check(*record)
    every = desk.reports.after(1, -1)
    sequences = [report.sequence for report in every]
    assert len(every) > 20
    assert sequences == sorted(sequences)
    for at in (0, 7, len(every) - 1):
        assert desk.reports.after(1, sequences[at]) == every[at + 1 :]
