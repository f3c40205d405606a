"""Orders in the words of a scenario: orders and their terms, quotes, picks, blocks, auctions."""

from __future__ import annotations

from exchange.messages.frames import Command, OrderType, Side, TimeInForce
from exchange.messages.shapes import WORDS
from exchange.simulation.scenarios.making import Maker, Said, options
from exchange.simulation.scenarios.words import (
    MS,
    START_NS,
    Mode,
    label_bytes,
    minor_units,
    whole,
)
from matching.layout import QUOTE_SELL_BIT, MassCancelScope, Pricing, TieBreak

PRICES = frozenset({"stop"})
TERMS = {"stop": "ref", "display": "quantity", "minimum": "price", "until": "order_id"}
INSTRUCTIONS, FLAGS = WORDS["instructions"], WORDS["flags"]
ORDER_OPTIONS = frozenset({*TERMS, "type", "bits"})
AUCTION_OPTIONS = frozenset({"reserve", "carry", "bid_max", "multiple", "closes", "seed"})
MASS_SCOPES = {
    "": 0,
    "NON_PERSISTENT": MassCancelScope.ONLY_NON_PERSISTENT,
    "BIDS_TOO": MassCancelScope.BIDS_TOO,
}
MASS_OPTIONS = frozenset({"account", "instrument", "side", "participant", "session"})


class Orders(Maker):
    """What traders say."""

    @property
    def said(self) -> dict[str, Said]:
        """The commands by their words."""
        return {
            "new": self._new,
            "cancel": self._cancel,
            "cancel_label": self._cancel_label,
            "replace": self._replace,
            "mass_cancel": self._mass_cancel,
            "quote": self._quote,
            "pick": self._pick,
            "propose": self._propose,
            "confirm": self._confirm,
            "offer": self._offer,
            "bid": self._bid,
            "clear": self._clear,
            "call_off": self._call_off,
        }

    def _new(
        self,
        mode: Mode,
        who: str,
        label: str,
        side: str,
        quantity: str,
        price: str,
        tif: str,
        *words: str,
    ) -> list[bytes]:
        found, rest = options(words, ORDER_OPTIONS)
        instructions, instrument = self._instructions(found, rest)
        is_market = price == "market"
        usual = OrderType.MARKET if is_market else OrderType.LIMIT
        if "stop" in found:
            usual = OrderType.STOP if is_market else OrderType.STOP_LIMIT
        made = self.make(
            Command.NEW_ORDER,
            mode,
            side=Side[side.upper()],
            order_type=OrderType[found["type"]] if "type" in found else usual,
            time_in_force=TimeInForce[tif],
            quantity=whole(quantity),
            price=0 if is_market else minor_units(price),
            order_id=instructions,
            client_order_id=label_bytes(label),
            **self.named(who),
            **self.only(instrument),
        )
        self._name(label)
        return [made, *self._terms(mode, found)]

    def _name(self, label: str, place: int = 0) -> None:
        """An order that was accepted keeps its name; another may take one that was refused."""
        if self.names.orders.get(label) not in self.names.accepted:
            self.names.orders[label] = self.position | place

    def _instructions(self, found: dict[str, str], words: list[str]) -> tuple[int, list[str]]:
        """The bits that the words name, or `bits` as they are, and the other words."""
        if "bits" in found:
            return int(found["bits"], 0), words
        others = [word for word in words if word in self.names.instruments]
        named = [word for word in words if word not in self.names.instruments]
        return INSTRUCTIONS.number(named) or 0, others

    def _terms(self, mode: Mode, found: dict[str, str]) -> list[bytes]:
        """The ORDER_TERMS after an order; `stop 0` and its like say none, in a record."""
        if not found.keys() & TERMS.keys():
            return []
        fields = {
            TERMS[word]: minor_units(value) if word in PRICES else whole(value)
            for word, value in found.items()
            if word in TERMS
        }
        return [self.make(Command.ORDER_TERMS, Mode(0, 0, 0, 0), **fields)]

    def _cancel(self, mode: Mode, who: str, label: str) -> list[bytes]:
        order_id = self.names.orders[label]
        return [self.make(Command.CANCEL_ORDER, mode, order_id=order_id, **self.named(who))]

    def _cancel_label(self, mode: Mode, who: str, label: str) -> list[bytes]:
        fields = {"client_order_id": label_bytes(label)} | self.named(who)
        return [self.make(Command.CANCEL_ORDER, mode, **fields)]

    def _replace(
        self,
        mode: Mode,
        who: str,
        label: str,
        new_label: str,
        quantity: str,
        price: str,
        *words: str,
    ) -> list[bytes]:
        found, rest = options(words, frozenset(TERMS))
        if rest:
            raise TypeError(f"a replace has no {' '.join(rest)}")
        order_id = self.names.orders[label]
        made = self.make(
            Command.REPLACE_ORDER,
            mode,
            order_id=order_id,
            quantity=whole(quantity),
            price=0 if price == "market" else minor_units(price),
            client_order_id=label_bytes(new_label),
            **self.named(who),
        )
        self.names.orders.setdefault(new_label, order_id)
        return [made, *self._terms(mode, found)]

    def _mass_cancel(self, mode: Mode, *words: str) -> list[bytes]:
        found, rest = options(words, MASS_OPTIONS)
        scope = MASS_SCOPES.get(" ".join(rest))
        if scope is None:
            raise TypeError(f"a mass cancel has no {' '.join(rest)}")
        fields = {"time_in_force": int(scope)}
        if "account" in found:
            fields |= self.named(found["account"])
        if "instrument" in found:
            fields |= self.of(found["instrument"])
        if "side" in found:
            fields["side"] = Side[found["side"].upper()]
        fields["order_id"] = whole(found.get("participant", "0"))
        fields["quantity"] = whole(found.get("session", "0"))
        return [self.make(Command.MASS_CANCEL, mode, **fields)]

    def _quote(self, mode: Mode, who: str, name: str, *words: str) -> list[bytes]:
        """`quote alice q1 buy 10 70.00 sell 10 70.10`: its orders are q1.buy and q1.sell."""
        sides = {"buy": (0, 0), "sell": (0, 0)}
        rest = list(words)
        while rest and rest[0] in sides:
            side, quantity, price, *rest = rest
            sides[side] = (whole(quantity), minor_units(price))
        instructions, instrument = self._instructions({}, rest)
        (quantity_bought, bid), (quantity_sold, ask) = sides["buy"], sides["sell"]
        tail = quantity_sold.to_bytes(8, "little", signed=True)
        tail += ask.to_bytes(8, "little", signed=True)
        made = self.make(
            Command.QUOTE,
            mode,
            order_type=instructions,
            quantity=quantity_bought,
            price=bid,
            client_order_id=tail,
            **self.named(who),
            **self.only(instrument),
        )
        self._name(f"{name}.buy")
        self._name(f"{name}.sell", QUOTE_SELL_BIT)
        return [made]

    def _dealt(
        self,
        kind: Command,
        mode: Mode,
        words: tuple[str, str, str, str, str],
        order_id: int,
        instrument: tuple[str, ...],
    ) -> list[bytes]:
        """What names another's order or account: who, label, side, quantity, price."""
        who, label, side, quantity, price = words
        made = self.make(
            kind,
            mode,
            side=Side[side.upper()],
            quantity=whole(quantity),
            price=minor_units(price),
            order_id=order_id,
            client_order_id=label_bytes(label),
            **self.named(who),
            **self.only(instrument),
        )
        self._name(label)
        return [made]

    def _pick(
        self, mode: Mode, who: str, label: str, side: str, quantity: str, price: str, listing: str,
        *instrument: str,
    ) -> list[bytes]:  # fmt: skip
        words = (who, label, side, quantity, price)
        return self._dealt(Command.PICK_ORDER, mode, words, self.names.orders[listing], instrument)

    def _propose(
        self, mode: Mode, who: str, label: str, side: str, quantity: str, price: str, to: str,
        *instrument: str,
    ) -> list[bytes]:  # fmt: skip
        words = (who, label, side, quantity, price)
        return self._dealt(Command.BLOCK_PROPOSE, mode, words, self.names.accounts[to], instrument)

    def _confirm(
        self, mode: Mode, who: str, label: str, side: str, quantity: str, price: str, block: str,
        *instrument: str,
    ) -> list[bytes]:  # fmt: skip
        words = (who, label, side, quantity, price)
        return self._dealt(Command.BLOCK_CONFIRM, mode, words, self.names.orders[block], instrument)

    def _bid(
        self, mode: Mode, who: str, label: str, side: str, quantity: str, price: str, auction: str,
        *instrument: str,
    ) -> list[bytes]:  # fmt: skip
        words = (who, label, side, quantity, price)
        return self._dealt(Command.AUCTION_BID, mode, words, self.names.orders[auction], instrument)

    def _offer(
        self,
        mode: Mode,
        who: str,
        label: str,
        side: str,
        quantity: str,
        pricing: str,
        tie_break: str,
        *words: str,
    ) -> list[bytes]:
        """`offer gov s1 sell 1000 UNIFORM AT_RANDOM EUA reserve 5.00 multiple 500 IN_BAND`."""
        found, rest = options(words, AUCTION_OPTIONS)
        instrument = [word for word in rest if word in self.names.instruments]
        flags = FLAGS.number([word for word in rest if word not in self.names.instruments]) or 0
        packed = flags.to_bytes(1, "little")
        packed += whole(found.get("carry", "0"), 0, 255).to_bytes(1, "little")
        packed += whole(found.get("bid_max", "0"), 0, 65_535).to_bytes(2, "little")
        packed += whole(found.get("multiple", "0"), 0, 2**32 - 1).to_bytes(4, "little")
        made = self.make(
            Command.AUCTION_OPEN,
            mode,
            side=Side[side.upper()],
            order_type=Pricing[pricing],
            time_in_force=TieBreak[tie_break],
            quantity=whole(quantity),
            price=minor_units(found.get("reserve", "0")),
            order_id=int.from_bytes(packed, "little"),
            client_order_id=label_bytes(label),
            **self.named(who),
            **self.only(instrument),
        )
        self._name(label)
        if not found.keys() & {"closes", "seed"}:
            return [made]
        closes_ns = START_NS + whole(found["closes"]) * MS if "closes" in found else 0
        bidding = {"quantity": closes_ns, "price": whole(found.get("seed", "0"))}
        return [made, self.make(Command.AUCTION_TERMS, Mode(0, 0, 0, 0), **bidding)]

    def _clear(self, mode: Mode, auction: str, *words: str) -> list[bytes]:
        found, instrument = options(words, frozenset({"seed", "reserve"}))
        fields = {"quantity": whole(found.get("seed", "0")), "order_id": self.names.orders[auction]}
        fields["price"] = minor_units(found.get("reserve", "0"))
        return [self.make(Command.AUCTION_CLEAR, mode, **fields, **self.only(instrument))]

    def _call_off(self, mode: Mode, auction: str, *instrument: str) -> list[bytes]:
        fields = {"order_id": self.names.orders[auction]}
        return [self.make(Command.AUCTION_CANCEL, mode, **fields, **self.only(instrument))]
