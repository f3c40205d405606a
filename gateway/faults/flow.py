"""What a broker wants next: order flow drawn from a seed, with every shape named and counted."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from exchange.messages.executions import DisconnectScope, ExecutionReport
from exchange.reference.venue import Instrument, Key
from gateway.faults.house import House

OPEN_MAX = 40  # above it a broker cancels
SPREAD_BP = 25
WIDE_BP = 110  # beyond what bounds and collars allow, where there are some
KEPT_MAX = 64


class Wish(NamedTuple):
    """A request without its number; `ref` of an earlier one to send under that number."""

    market: str
    request: dict[str, Any]
    ref: int | None = None


class OpenOrder(NamedTuple):
    """What the broker knows of an order that rests."""

    order_id: int
    symbol: str
    market: str
    side: str
    price: str
    leaves: int


class Flow:
    """The draws of one broker."""

    def __init__(
        self, house: House, key: Key, accounts: dict[str, int], rng: random.Random
    ) -> None:
        self.disconnect_scope: DisconnectScope = rng.choice(("NONE", "NONE", "SESSION"))
        self._house = house
        self._rng = rng
        self._accounts = accounts
        self._firm = key.participant
        self._instruments = list(house.venue.instrument)
        self._open: dict[tuple[str, int], OpenOrder] = {}
        self._said: list[Wish] = []  # with the refs that they got, for repeats
        self._label = 0
        self._proposed: list[ExecutionReport] = []
        flows = house.plan.flows
        table: dict[str, Callable[[], list[Wish]]] = {
            "quote": self._quote, "block": self._block, "replace": self._replace,
            "mass_cancel": self._mass_cancel, "resend": self._resend,
            "other_body": self._other_body, "same_label": self._same_label,
        }  # fmt: skip
        self._others = [table[name] for name in sorted(flows & table.keys())]
        self._terms = sorted(flows - table.keys())

    # -- what it hears --------------------------------------------------------------------------

    def told(self, report: ExecutionReport) -> None:
        """Keeps the open orders. O(1)."""
        place = report.market, report.order_id
        if report.account != self._accounts.get(report.market):
            return
        if report.exec_type == "BLOCK_PROPOSED":
            self._proposed.append(report)
        elif report.exec_type in ("NEW", "TRADE", "REPLACED", "TRIGGERED", "REFILLED"):
            if report.leaves_quantity:
                self._open[place] = OpenOrder(
                    report.order_id, report.symbol, report.market, report.side, report.price,
                    report.leaves_quantity,
                )  # fmt: skip
            else:
                self._open.pop(place, None)
        elif report.exec_type == "CANCELLED":
            self._open.pop(place, None)

    # -- what it wants --------------------------------------------------------------------------

    def next(self, _reports: Any) -> list[Wish]:
        """The next requests, usually one. O(open orders)."""
        chance = self._rng.random()
        if self._others and chance < 0.3:
            wishes = self._rng.choice(self._others)()
        elif self._open and (chance < 0.45 or len(self._open) > OPEN_MAX):
            wishes = self._cancel()
        else:
            wishes = self._new()
        return wishes

    def sent(self, wish: Wish) -> None:
        """Remembers a request under the number that it got."""
        self._said.append(wish)
        del self._said[:-KEPT_MAX]

    def _instrument(self) -> Instrument:
        return self._rng.choice(self._instruments)

    def _base(self, instrument: Instrument, kind: str) -> dict[str, Any]:
        return {
            "type": kind,
            "symbol": instrument.symbol,
            "account": self._accounts[instrument.market],
        }

    def _price(self, instrument: Instrument, bp: int = SPREAD_BP) -> str:
        middle = instrument.reference_price
        tick = middle * bp // 10_000
        return money(middle + self._rng.randint(-tick, tick))

    def _named(self) -> str:
        self._label += 1
        return f"{self._firm}-{self._label}"

    def _new(self) -> list[Wish]:
        instrument = self._instrument()
        order = self._base(instrument, "NewOrderSingle") | {
            "side": self._rng.choice(("BUY", "SELL")),
            "quantity": self._rng.randint(1, 40),
            "price": self._price(instrument),
            "time_in_force": self._rng.choice(("DAY", "DAY", "GTC", "GTC", "IOC", "FOK")),
            "client_order_id": self._named(),
            "valid_ms": self._rng.choice((0, 0, 0, 5_000)),
        }
        if self._house.plan.bounds and self._rng.random() < 0.2:
            order |= {"price": self._price(instrument, WIDE_BP)}
        if self._terms and self._rng.random() < 0.5:
            term = self._rng.choice(self._terms)
            self._with(term, order, instrument)
        return [Wish(instrument.market, order)]

    def _with(self, term: str, order: dict[str, Any], instrument: Instrument) -> None:
        quantity = order["quantity"]
        if term == "iceberg":
            order |= {"time_in_force": "GTC", "display_quantity": max(1, quantity // 4)}
        elif term == "stop":
            order |= {
                "order_type": "STOP_LIMIT", "stop_price": self._price(instrument),
                "time_in_force": "GTC",
            }  # fmt: skip
        elif term == "market":
            order |= {"order_type": "MARKET", "price": "", "time_in_force": "IOC"}
        elif term == "post_only":
            word = self._rng.choice(("REFUSE", "REPRICE"))
            order |= {"post_only": word, "time_in_force": "DAY"}
        elif term == "minimum":
            order |= {"minimum_quantity": max(1, quantity // 2), "time_in_force": "IOC"}
        elif term == "gtd":
            date = self._rng.choice(("2025-12-01", "2025-12-02"))
            order |= {"time_in_force": "GTD", "expire_date": date}
        elif term == "call_orders":
            word = self._rng.choice(("AT_THE_OPENING", "AT_THE_CLOSE"))
            order |= {"time_in_force": word}
        elif term == "short_of_funds":
            order |= {"quantity": 99_000}
        elif term == "self_trade":
            word = self._rng.choice(("CANCEL_NEWEST", "CANCEL_OLDEST", "CANCEL_BOTH", "DECREMENT"))
            order |= {"self_trade_prevention": word}
        elif term == "fleeting":
            order |= {"is_persistent": False, "time_in_force": "DAY"}

    def _cancel(self) -> list[Wish]:
        order = self._rng.choice(list(self._open.values()))
        instrument = self._named_instrument(order.symbol)
        return [
            Wish(
                order.market,
                self._base(instrument, "OrderCancelRequest") | {"order_id": order.order_id},
            )
        ]

    def _replace(self) -> list[Wish]:
        if not self._open:
            return self._new()
        order = self._rng.choice(list(self._open.values()))
        instrument = self._named_instrument(order.symbol)
        keeps = self._rng.random() < 0.5 and order.leaves > 1
        price = order.price if keeps and order.price else self._price(instrument)
        quantity = order.leaves - 1 if keeps else order.leaves + self._rng.randint(1, 20)
        return [
            Wish(
                order.market,
                self._base(instrument, "OrderCancelReplaceRequest") | {
                    "order_id": order.order_id, "quantity": quantity, "price": price,
                    "client_order_id": self._named(),
                },
            )
        ]  # fmt: skip

    def _mass_cancel(self) -> list[Wish]:
        if self._rng.random() < 0.7:
            return self._new()
        market = self._rng.choice(list(self._accounts))
        return [
            Wish(
                market,
                {
                    "type": "OrderMassCancelRequest", "market": market,
                    "side": self._rng.choice(("", "BUY", "SELL")), "client_order_id": self._named(),
                },
            )
        ]  # fmt: skip

    def _quote(self) -> list[Wish]:
        instrument = self._instrument()
        middle, half = instrument.reference_price, self._rng.randint(2, 30)
        return [
            Wish(
                instrument.market,
                self._base(instrument, "Quote") | {
                    "bid_quantity": self._rng.randint(0, 30), "bid_price": money(middle - half),
                    "offer_quantity": self._rng.randint(0, 30), "offer_price": money(middle + half),
                },
            )
        ]  # fmt: skip

    def _block(self) -> list[Wish]:
        if self._proposed:
            block = self._proposed.pop()
            instrument = self._named_instrument(block.symbol)
            side = "SELL" if block.side == "BUY" else "BUY"
            return [
                Wish(
                    block.market,
                    self._base(instrument, "BlockConfirmation") | {
                        "side": side, "quantity": block.leaves_quantity, "price": block.price,
                        "proposal_id": block.order_id, "client_order_id": self._named(),
                    },
                )
            ]  # fmt: skip
        instrument = self._instrument()
        others = [
            a.id for a in self._house.venue.accounts_of(instrument.market)
            if a.participant != self._firm and a.type == "trading"
        ]  # fmt: skip
        return [
            Wish(
                instrument.market,
                self._base(instrument, "BlockProposal") | {
                    "side": self._rng.choice(("BUY", "SELL")),
                    "quantity": self._rng.randint(10, 90), "price": self._price(instrument),
                    "counterparty_account": self._rng.choice(others),
                    "client_order_id": self._named(),
                },
            )
        ]  # fmt: skip

    def _resend(self) -> list[Wish]:
        if not self._said:
            return self._new()
        self._house.shapes["possible_duplicate"] += 1
        return [self._rng.choice(self._said)]

    def _other_body(self) -> list[Wish]:
        said = [w for w in self._said if w.request["type"] == "NewOrderSingle"]
        if not said:
            return self._new()
        wish = self._rng.choice(said)
        return [wish._replace(request={**wish.request, "quantity": wish.request["quantity"] + 1})]

    def _same_label(self) -> list[Wish]:
        said = [w for w in self._said if w.request["type"] == "NewOrderSingle"]
        if not said:
            return self._new()
        wish = self._rng.choice(said)
        more = self._rng.randint(0, 1)
        body = {**wish.request, "quantity": wish.request["quantity"] + more}
        return [Wish(wish.market, body)]

    def _named_instrument(self, symbol: str) -> Instrument:
        return next(item for item in self._instruments if item.symbol == symbol)


def money(minor: int) -> str:
    """Minor units of a currency with two digits, as the venue's decimal strings. O(1)."""
    return f"{minor // 100}.{minor % 100:02}"
