"""A market of three in memory: engine, settlement, ledger and registry, event by event."""

from __future__ import annotations

import datetime as dt
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from exchange.audit.reconciliation import Books, DueLegs, reconcile
from exchange.ledger import apply, postings_of, unbalanced
from exchange.messages.frames import (
    Command,
    EventPart,
    Instruction,
    Parameter,
    Phase,
    Resale,
    Side,
    build_commands,
    command,
    notes,
    order_id_of,
)
from exchange.messages.settlement import (
    SettlementRefused,
    TradeCancelled,
    TradeDelivered,
    TradeDue,
    TradeSettled,
    UnitsDeposited,
    UnitsReleased,
)
from exchange.positions import Positions
from exchange.settlement.cycle import UNSETTLED, TradeState
from exchange.settlement.delivery import settle_part
from exchange.settlement.due_dates import SettlementRule
from exchange.settlement.open_trades import Loaded, OpenTrade, OpenTrades, TradeTerms
from matching import Engine

EUA, NOW = 1, 2  # settled the next business day, and with the fill
ANN, BEN, CAT = 101, 102, 103
ZONE = "Europe/Berlin"
RULE = SettlementRule(ZONE, dt.time(16), frozenset({dt.date(2026, 12, 25)}), void_days=2)
DAY_NS = 86_400 * 10**9


def at(text: str, zone: str = ZONE) -> int:
    moment = dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(moment.timestamp()) * 10**9


class Desk:
    """Engine, settlement and ledger in memory; settlement's steps go to the engine at once."""

    def __init__(self, *, gives_fees_back: bool = True) -> None:
        self.engine, self.positions = Engine(), Positions()
        rule = RULE._replace(gives_fees_back=gives_fees_back)
        self.open = OpenTrades({EUA: rule, NOW: rule}, ZONE)
        self.open.load(Loaded([], [], {}))
        self.books: dict[int, OpenTrade] = {}  # every trade as the tables have it
        self.ledger: dict[tuple[int, int], int] = {}
        self.trading: dict[tuple[int, int], int] = {}  # the registry's trading positions
        self.acts: list[Any] = []
        self.now = at("2026-12-01T10:00")
        self.offset = 0
        self.items: list[Any] = []
        self.postings: list[Any] = []
        self.waiting: list[bytes] = []
        self.is_slow = False  # steps are sent by hand
        self.labels = count(1)
        made = [command(Command.INSTRUMENT_OPEN, instrument_id=i) for i in (EUA, NOW)]
        for parameter, value in ((Parameter.MAKER_FEE_BP, 3), (Parameter.TAKER_FEE_BP, 5)):
            made += [parameter_of(i, parameter, value) for i in (EUA, NOW)]
        made.append(parameter_of(EUA, Parameter.RESALE_NEXT_DAY, Resale.SETTLED))
        for account in (ANN, BEN, CAT):
            named = {"account_id": account}
            made.append(command(Command.ACCOUNT_OPEN, order_id=account, **named))
            made.append(command(Command.CASH_DEPOSIT, quantity=10**7, order_id=account, **named))
            for i in (EUA, NOW):
                made.append(command(Command.UNITS_DEPOSIT, instrument_id=i, quantity=100, **named))
        self.send(*made, command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS))

    def send(self, *records: bytes) -> list[Any]:
        """One frame, then settlement's steps; what settlement said."""
        said = self._apply(records)
        while self.waiting and not self.is_slow:
            said += self.flush()
        return said

    def flush(self) -> list[Any]:
        steps, self.waiting = self.waiting, []
        return self._apply(steps)

    def _apply(self, records: Any) -> list[Any]:
        frame = build_commands(list(records), writer=1, batch=1, time_ns=self.now)
        first = self.engine.next_event
        events = self.engine.apply(self.offset, self.now, frame)
        part = EventPart(self.offset, self.offset, 0, True, self.now, first, 1, b"", events)
        self.offset += 1
        self.positions.apply(part)
        settled = settle_part(part)
        assert settled.carry == b""
        named = self.open.named_by(settled.steps)
        past = {key: self.books[key] for key in named if key in self.books}
        settled = self.open.follow(self.now, settled, past)
        changes = self.open.take()
        for item in settled.items:
            self._book(item)
        self.books |= changes.trades
        self.acts += changes.acts
        self.waiting += [step.command for step in changes.steps]
        self.items += settled.items
        return list(settled.items)

    def _book(self, item: Any) -> None:
        number = next(self.labels)
        postings = postings_of(number, item)
        assert not unbalanced(postings)
        self.ledger = {k: v for k, v in apply(self.ledger, postings).items() if v}
        match item:
            case TradeSettled() | TradeDue():
                terms = TradeTerms(*(getattr(item, name) for name in TradeTerms._fields))
                self.books.setdefault(item.trade_id, OpenTrade(terms, TradeState.SETTLED, 0))
        moved: dict[int, int] = {}
        match item:
            case TradeSettled() | TradeDelivered():
                moved = {item.seller_account: -item.quantity, item.buyer_account: item.quantity}
            case TradeCancelled():
                moved = {item.seller_account: item.quantity, item.buyer_account: -item.quantity}
            case UnitsDeposited():
                moved = {item.account_id: item.quantity}
            case UnitsReleased():
                moved = {item.account_id: -item.quantity}
        if isinstance(item, TradeSettled | TradeDelivered | TradeCancelled) and (
            item.seller_account == item.buyer_account
        ):
            moved = {}
        for account, quantity in moved.items():
            key = account, item.instrument_id
            self.trading[key] = self.trading.get(key, 0) + quantity
            assert self.trading[key] >= 0, "the registry could not follow"

    def trade(self, seller: int, buyer: int, quantity: int, instrument: int = EUA) -> int:
        """A trade at 70.00; its id."""
        sides = ((seller, Side.SELL), (buyer, Side.BUY))
        orders = [
            command(
                Command.NEW_ORDER, side=side, order_type=2, time_in_force=3, account_id=account,
                instrument_id=instrument, quantity=quantity, price=7_000,
            )
            for account, side in sides
        ]  # fmt: skip
        resting = command(
            Command.NEW_ORDER, side=Side.SELL, order_type=2, account_id=seller,
            instrument_id=instrument, quantity=quantity, price=7_000,
        )  # fmt: skip
        said = self.send(resting, orders[1], command(Command.MASS_CANCEL))
        (item,) = [i for i in said if isinstance(i, TradeSettled | TradeDue)]
        return int(item.trade_id)

    def act(
        self, kind: Instruction, trade_id: int, words: str = "op\nreason", *, of: int | None = None,
        **changes: int,
    ) -> list[Any]:  # fmt: skip
        terms = self.books[of if of is not None else trade_id].terms
        fields = {
            "account_id": terms.buyer_account,
            "instrument_id": terms.instrument_id,
            "quantity": terms.quantity,
            "price": trade_id,
        } | changes
        return self.send(command(Command.INSTRUCTION, order_type=kind, **fields), *notes(words))

    def cancel(self, trade_id: int, second: str = "ben") -> list[Any]:
        """Proposed and approved."""
        offset = self.offset
        (told,) = self.act(Instruction.PROPOSE_TRADE_CANCEL, trade_id, "ann\nwrong price")
        if isinstance(told, SettlementRefused):
            return [told]
        proposal = order_id_of(offset, 0)
        return self.act(Instruction.APPROVE_TRADE_CANCEL, proposal, f"{second}\n", of=trade_id)

    def wait_until(self, text: str) -> list[Any]:
        self.now = at(text)
        return self.send(command(Command.CLOCK_TICK))

    def state(self, trade_id: int) -> TradeState:
        return TradeState(self.books[trade_id].state)

    def cash(self, account: int) -> tuple[int, int]:
        cash = self.positions.cash(account)
        return cash.available, cash.locked

    def check(self) -> None:
        """Engine, events, ledger, holds and registry agree; nothing was made or lost."""
        assert self.engine.self_check() == []
        due = [
            DueLegs(t.buyer_account, t.seller_account, t.instrument_id, t.quantity, t.proceeds)
            for t, state, *_ in self.books.values()
            if state in UNSETTLED
        ]
        units = {i: sum(v for (_, j), v in self.trading.items() if j == i) for i in (EUA, NOW)}
        books = Books(
            self.positions, self.ledger, self.trading, units, units, {}, {},
            self.engine.snapshot(), due,
        )  # fmt: skip
        assert [check for check in reconcile(books) if not check.ok] == []


def parameter_of(instrument: int, parameter: Parameter, value: int) -> bytes:
    fields = {"instrument_id": instrument, "order_type": parameter, "quantity": value}
    return command(Command.INSTRUMENT_PARAMETER, **fields)
