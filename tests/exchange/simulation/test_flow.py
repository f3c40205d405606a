"""The orders of a plan trade exactly the plan on the engine, whatever else is sent around them."""

from __future__ import annotations

from datetime import date

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.messages.frames import (
    EVENT,
    Command,
    Event,
    Liquidity,
    Parameter,
    Phase,
    Reason,
    build_commands,
    command,
    order_id_of,
)
from exchange.simulation.flow import Broker, Desk, ProductFlow
from exchange.simulation.pilots import PilotRules
from exchange.simulation.planner import DayPlan, Trade, plan_day
from exchange.simulation.quotes import Quote
from matching import Engine

INSTRUMENT = 7
RULES = PilotRules(1_000, 50, True, 0, False, "")
BROKERS = [Broker(account, 1_000 + account) for account in (1, 2, 3)]
PLENTY = 10**13


class Venue:
    """The engine with one instrument and rich brokers."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.desk = Desk(BROKERS)
        self.rejected: list[int] = []
        self.trades: list[Trade] = []
        fees = (Parameter.MAKER_FEE_BP, Parameter.TAKER_FEE_BP)
        self.send(
            [command(Command.INSTRUMENT_OPEN, instrument_id=INSTRUMENT)]
            + [self._parameter(Parameter.BAND_BP, RULES.band_bp)]
            + [self._parameter(fee, RULES.fee_bp) for fee in fees]
            + [self._parameter(Parameter.RESALE_NEXT_DAY, 1)]
        )
        for account, _ in BROKERS:
            self.send(
                [
                    command(Command.ACCOUNT_OPEN, account_id=account, order_id=account),
                    command(Command.CASH_DEPOSIT, account_id=account, quantity=PLENTY),
                    command(
                        Command.UNITS_DEPOSIT,
                        account_id=account,
                        instrument_id=INSTRUMENT,
                        quantity=10**8,
                    ),
                ]
            )

    @staticmethod
    def _parameter(parameter: Parameter, value: int) -> bytes:
        return command(
            Command.INSTRUMENT_PARAMETER,
            instrument_id=INSTRUMENT,
            order_type=parameter,
            quantity=value,
        )

    def send(self, records: list[bytes]) -> int:
        offset = self.engine.next_offset
        frame = build_commands(records, writer=1, batch=offset, time_ns=offset)
        events = np.frombuffer(self.engine.apply(offset, offset, frame), EVENT)
        self.rejected += events["reason"][events["kind"] == Event.REJECTED].tolist()
        fills = events[(events["kind"] == Event.FILL) & (events["order_type"] == Liquidity.MAKER)]
        self.trades += [
            Trade(int(p), int(q)) for p, q in zip(fills["price"], fills["quantity"], strict=True)
        ]
        return order_id_of(offset, 0)

    def phase(self, phase: Phase) -> None:
        self.send([command(Command.PHASE_CHANGE, instrument_id=INSTRUMENT, order_type=phase)])

    def trade_day(self, flow: ProductFlow, plan: DayPlan, day: date) -> int:
        """Runs one day and gives the close."""
        price = command(Command.REFERENCE_PRICE, instrument_id=INSTRUMENT, price=plan.reference)
        self.send([price])
        flow.reference_moved(plan.reference)
        self.phase(Phase.CONTINUOUS)
        steps = flow.day(plan)
        commands = next(steps)
        while True:
            first = self.send(commands) if commands else 0
            try:
                commands = steps.send(first)
            except StopIteration:
                break
        self.phase(Phase.CLOSED)
        close = plan.turnover * 2 + plan.volume
        close = close // (2 * plan.volume) if plan.volume else plan.reference
        self.send([command(Command.DAY_ROLL, quantity=int(day.strftime("%Y%m%d")))])
        flow.day_ended(close)
        return close


@st.composite
def days(draw: st.DrawFn) -> list[Quote]:
    rows = []
    for number in range(draw(st.integers(1, 4))):
        day = date(2019, 3, 4 + number)
        if draw(st.integers(0, 4)) == 0:
            rows.append(Quote(day, "V", "A", None, None, None, None, None, None))
            continue
        low = draw(st.integers(50, 5_000))
        high = draw(st.integers(low, low * 12 // 10))
        opening, average = (draw(st.integers(low, high)) for _ in range(2))
        volume = draw(st.sampled_from((1, 2, 3, 15, 4_000, 650_112)))
        rows.append(Quote(day, "V", "A", opening, high, low, average, volume, None))
    return rows


@settings(max_examples=60, deadline=None)
@given(days(), st.integers(0, 2**32))
def test_the_plan_and_nothing_else_trades(rows: list[Quote], seed: int) -> None:
    venue = Venue()
    flow = ProductFlow(INSTRUMENT, venue.desk, RULES.band_bp, seed)
    close = rows[0].open or 1_000
    for row in rows:
        plan = plan_day(row, RULES, close, seed)
        venue.trades.clear()
        close = venue.trade_day(flow, plan, date.fromordinal(row.day.toordinal() + 1))
        assert venue.trades == list(plan.trades)
        assert venue.engine.self_check() == []
    assert set(venue.rejected) <= {Reason.PRICE_ABOVE_BAND}


def test_everything_a_day_may_hold_is_sent() -> None:
    venue = Venue()
    flow = ProductFlow(INSTRUMENT, venue.desk, RULES.band_bp, 3)
    close = 2_000
    for number in range(4, 24):
        row = Quote(date(2019, 3, number), "V", "A", 2000, 2100, 1950, 2010, 90_000, None)
        plan = plan_day(row, RULES, close, 3)
        close = venue.trade_day(flow, plan, date(2019, 3, number + 1))
    assert venue.rejected.count(Reason.PRICE_ABOVE_BAND) > 3
    assert venue.desk.commands > 400
    assert sum(trade.quantity for trade in venue.trades) == 20 * 90_000
