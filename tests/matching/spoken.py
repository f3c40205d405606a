"""What a stateful test says to both engines: every command there is, as lines of a scenario."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from exchange.simulation.scenarios import Machine, World
from exchange.simulation.scenarios.words import Line
from matching import compiled, reference
from matching.layout import (
    AccountParameter,
    AuctionFlag,
    Instruction,
    Parameter,
    Phase,
    Pricing,
    SettlementStep,
    TieBreak,
    TimeInForce,
)
from matching.protocol import EngineProtocol, Limits
from tests.matching.frames import events

WHO = st.sampled_from(("alice", "bob", "carol"))
WHAT = st.sampled_from(("EUA", "EUA", "CER"))
SIDES = st.sampled_from(("buy", "sell"))
LABELS = st.sampled_from(("-", *(f"o{n}" for n in range(12))))
AMOUNTS = st.sampled_from((1, 2, 3, 5, 8, 2, 3, 5, 500, 1_000, 0, -1, 10**10 + 1))
NEAR = ("70.00", "70.01", "69.99", "70.50")
PRICES = st.sampled_from((*NEAR, *NEAR, "63.00", "0.01", "0.00", "10000000.00", "10000000.01"))
MODES = ("ALLOWED", "CANCEL_NEWEST", "CANCEL_OLDEST", "CANCEL_BOTH", "DECREMENT")
TERMS = ("", "", "display 1", "minimum 2", "stop 70.00", "stop 70.50", "until 20261125")
INSTRUCTIONS = ("", "", "POST_ONLY", "POST_ONLY_REPRICE", "NON_PERSISTENT", *MODES[1:])
VALUES = (0, 1, 2, 3, 5, 100, 1_000, 10_000)
STORIES = (
    ("new alice - sell 5 70.00 GTC EUA display 1", "new bob - buy 2 70.00 IOC EUA"),
    ("new alice s1 buy 2 70.50 DAY EUA stop 70.00", "new bob - sell 1 70.00 DAY EUA",
     "new carol - buy 1 70.00 IOC EUA"),
    ("new carol r1 sell 5 70.50 GTC EUA", "replace carol r1 - 4 70.50",
     "replace carol r1 - 4 70.00"),
    ("phase VOLATILITY_CALL EUA", "new alice - sell 1 69.99 DAY EUA",
     "new bob - buy 2 70.00 DAY EUA", "tick",
     "phase CONTINUOUS EUA seed 7", "late 30000 tick"),
    ("new bob - sell 1 70.00 AT_THE_CLOSE EUA", "phase CLOSING_CALL EUA"),
    ("parameter EUA resale_next_day 1", "new alice - sell 1 70.00 DAY EUA",
     "new carol - buy 1 70.00 IOC EUA", "phase CLOSED", "roll {date}", "phase CONTINUOUS"),
    ("offer alice a2 sell 10 UNIFORM BY_TIME CER CANCEL_IF_SHORT carry 4", "clear a2 CER"),
    ("offer alice a1 sell 10 UNIFORM AT_RANDOM EUA CANCEL_IF_SHORT carry 4 multiple 5 seed 3",
     "bid bob b1 buy 5 70.00 a1 EUA", "bid carol b2 buy 5 70.00 a1 EUA",
     "clear a1 EUA seed 4"),
    ("phase CONTINUOUS", "parameter EUA quantity_max 10000", "parameter EUA band_bp 0",
     "control alice suspended 0", "control_participant 7 suspended 0", "control bob order_rate 0",
     "parameter EUA value_max 9000000000000", "control_participant 7 order_rate 0",
     "parameter EUA quantity_min 0", "parameter EUA collar_bp 0"),
)  # fmt: skip
"""What a single line seldom leads to; the last one is an easy market."""
OPENING = (
    "instrument EUA tick 0.01 block_open 1 maker 3 taker 5",
    "instrument CER policy LISTED pick_levels 2 block_open 1",
    "account alice cash 1000000.00 EUA 5000 CER 5000 participant 7",
    "account bob cash 1000000.00 EUA 5000 CER 5000 participant 7",
    "account carol cash 1000000.00 EUA 5000 CER 5000 participant 8",
    "reference EUA 70.00",
    "reference CER 70.00",
    "roll 20261123",
    "phase CONTINUOUS",
)


class DifferError(AssertionError):
    """The engines differ; the message is the scenario that shows it, as the reference answers."""


class Both:
    """The reference, and the engine that is compared with it; keeps `scenarios.Machine`."""

    def __init__(self, limits: Limits, other: type[EngineProtocol]) -> None:
        self.reference: EngineProtocol = reference.Engine(limits)
        self.other: EngineProtocol = other(limits)
        self.difference = ""
        self.heard: Counter[int] = Counter()

    @property
    def next_offset(self) -> int:
        return self.reference.next_offset

    def apply(self, offset: int, append_ns: int, frame: bytes) -> bytes:
        expected = self.reference.apply(offset, append_ns, frame)
        said = self.other.apply(offset, append_ns, frame)
        self.heard.update(e.kind for e in events(expected))
        if said != expected:
            pairs = zip(events(expected), events(said), strict=False)
            self.difference = str(next((p for p in pairs if p[0] != p[1]), "one says more"))
        elif self.other.snapshot() != self.reference.snapshot():
            self.difference = "the states"
        return expected

    def snapshot(self) -> bytes:
        return self.reference.snapshot()

    def self_check(self) -> list[str]:
        return self.reference.self_check() + self.other.self_check()

    def swap(self) -> None:
        """Each goes on from the snapshot of the other."""
        mine, others = self.reference.snapshot(), self.other.snapshot()
        self.reference = type(self.reference).restore(others)
        self.other = type(self.other).restore(mine)


class Writer(World):
    """Writes down what is heard instead of holding it against a line: a scenario grows."""

    def __init__(self, both: Both) -> None:
        def only(limits: Limits) -> Machine:
            return both

        super().__init__(only)
        self.scenario: list[str] = []

    def _compare(self, line: Line, heard: list[str]) -> None:
        joined = "+ " * line.is_with_previous
        self.scenario.append(f"{joined}{' '.join(line.words)} -> {'; '.join(heard) or 'nothing'}")


class Market(RuleBasedStateMachine):
    """A venue with two instruments and three accounts, to which anything may be said."""

    other: type[EngineProtocol] = compiled.Engine
    heard: Counter[int] = Counter()  # of all runs, event kinds

    def __init__(self) -> None:
        super().__init__()
        self.both = Both(Limits(), self.other)
        self.world = Writer(self.both)
        self.owners: dict[str, str] = {}
        self.date = 20_261_123

    def say(self, *lines: str) -> None:
        self.world.run_lines(lines)
        if self.both.difference:
            raise DifferError("\n".join(("# " + self.both.difference, *self.world.scenario)))

    def teardown(self) -> None:
        type(self).heard += self.both.heard

    def known(self, which: int) -> str:
        """The label of an order that was sent."""
        labels = sorted(self.world.names.orders)
        return labels[which % len(labels)]

    def owner(self, label: str) -> str:
        return self.owners.get(label.split(".")[0], "alice")

    def has_orders(self) -> bool:
        return bool(self.world.names.orders)

    @initialize()
    def opening(self) -> None:
        self.say(*OPENING)

    # -- orders -----------------------------------------------------------------------------------

    @rule(
        who=WHO, label=LABELS, side=SIDES, quantity=AMOUNTS, what=WHAT,
        price=st.one_of(PRICES, st.just("market")),
        tif=st.sampled_from(("DAY", "GTC", *TimeInForce.__members__)),
        terms=st.sampled_from(TERMS), instruction=st.sampled_from(INSTRUCTIONS),
    )  # fmt: skip
    def new(
        self, who: str, label: str, side: str, quantity: int, what: str, price: str, tif: str,
        terms: str, instruction: str,
    ) -> None:  # fmt: skip
        self.owners.setdefault(label, who)
        self.say(f"new {who} {label} {side} {quantity} {price} {tif} {what} {terms} {instruction}")

    @precondition(has_orders)
    @rule(which=st.integers(0, 30), is_labelled=st.booleans())
    def cancel(self, which: int, is_labelled: bool) -> None:
        label = self.known(which)
        verb = "cancel_label" if is_labelled else "cancel"
        self.say(f"{verb} {self.owner(label)} {label}")

    @precondition(has_orders)
    @rule(
        which=st.integers(0, 30), label=LABELS, quantity=AMOUNTS, price=PRICES,
        terms=st.sampled_from(("", "", "display 1", "stop 70.50", "minimum 1", "until 20261126")),
    )  # fmt: skip
    def replace(self, which: int, label: str, quantity: int, price: str, terms: str) -> None:
        old = self.known(which)
        self.owners.setdefault(label, self.owner(old))
        self.say(f"replace {self.owner(old)} {old} {label} {quantity} {price} {terms}")

    @precondition(has_orders)
    @rule(which=st.integers(0, 30), ref=st.integers(1, 3))
    def sent_twice_in_one_frame(self, which: int, ref: int) -> None:
        label = self.known(which)
        line = f"@5.{ref} cancel {self.owner(label)} {label}"
        self.say(line, f"+ {line}")

    @rule(
        words=st.lists(
            st.sampled_from(
                ("account alice", "instrument EUA", "side buy", "participant 7", "session 5",
                 "NON_PERSISTENT")
            ),
            unique=True,
            max_size=2,
        )
    )  # fmt: skip
    def mass_cancel(self, words: list[str]) -> None:
        self.say(f"mass_cancel {' '.join(words)}")

    @rule(
        who=WHO, label=LABELS, bid=st.sampled_from(("", "buy 5 69.99", "buy 3 70.00")),
        ask=st.sampled_from(("", "sell 5 70.01", "sell 3 70.00")), what=WHAT,
        mode=st.sampled_from(("", "POST_ONLY", *MODES[1:])),
    )  # fmt: skip
    def quote(self, who: str, label: str, bid: str, ask: str, what: str, mode: str) -> None:
        self.owners.setdefault(label, who)
        self.say(f"quote {who} {label} {bid} {ask} {what} {mode}")

    @precondition(has_orders)
    @rule(
        who=WHO, label=LABELS, side=SIDES, quantity=AMOUNTS, price=PRICES,
        which=st.integers(0, 30), verb=st.sampled_from(("pick", "confirm")),
        what=st.sampled_from(("EUA", "CER", "CER")),
    )  # fmt: skip
    def take(
        self, who: str, label: str, side: str, quantity: int, price: str, which: int, verb: str,
        what: str,
    ) -> None:  # fmt: skip
        named = self.known(which)
        self.owners.setdefault(label, who)
        self.say(f"{verb} {who} {label} {side} {quantity} {price} {named} {what}")

    @rule(who=WHO, label=LABELS, quantity=st.sampled_from((1, 3)), to=WHO, is_taken=st.booleans())
    def block(self, who: str, label: str, quantity: int, to: str, is_taken: bool) -> None:
        self.owners.setdefault(label, who)
        self.say(f"propose {who} {label} sell {quantity} 70.00 {to}")
        if is_taken and label in self.world.names.orders:
            self.say(f"confirm {to} - buy {quantity} 70.00 {label}")

    @rule(who=WHO, label=LABELS, quantity=st.sampled_from((1, 2, 5)), what=st.just("CER"))
    def listing_that_is_picked(self, who: str, label: str, quantity: int, what: str) -> None:
        self.owners.setdefault(label, who)
        self.say(f"new {who} {label} sell {quantity} 70.00 DAY {what}")
        self.say(f"pick {'carol' if who != 'carol' else 'bob'} - buy 1 70.00 {label} {what}")

    # -- auctions ---------------------------------------------------------------------------------

    @rule(
        who=WHO, label=LABELS, side=SIDES, pricing=st.sampled_from(tuple(Pricing.__members__)),
        tie=st.sampled_from(tuple(TieBreak.__members__)), what=WHAT,
        flag=st.sampled_from(("", "", *AuctionFlag.__members__)),
        more=st.sampled_from(("", "reserve 70.00", "carry 4", "multiple 5", "bid_max 6000")),
        seed=st.integers(-1, 3),
    )  # fmt: skip
    def offer(
        self, who: str, label: str, side: str, pricing: str, tie: str, what: str, flag: str,
        more: str, seed: int,
    ) -> None:  # fmt: skip
        self.owners.setdefault(label, who)
        said = f"{side} 10 {pricing} {tie} {what} {flag} {more} seed {seed}"
        self.say(f"offer {who} {label} {said}")

    @precondition(has_orders)
    @rule(
        who=WHO, label=LABELS, side=SIDES, quantity=st.sampled_from((5, 10, 3, 0)), price=PRICES,
        which=st.integers(0, 30), what=WHAT,
    )  # fmt: skip
    def bid(
        self, who: str, label: str, side: str, quantity: int, price: str, which: int, what: str
    ) -> None:
        auction = self.known(which)
        self.owners.setdefault(label, who)
        self.say(f"bid {who} {label} {side} {quantity} {price} {auction} {what}")

    @precondition(has_orders)
    @rule(
        which=st.integers(0, 30), what=WHAT, reserve=st.sampled_from(("0", "70.00")),
        is_cleared=st.booleans(),
    )  # fmt: skip
    def end_of_auction(self, which: int, what: str, reserve: str, is_cleared: bool) -> None:
        auction = self.known(which)
        if is_cleared:
            self.say(f"clear {auction} {what} reserve {reserve}")
        else:
            self.say(f"call_off {auction} {what}")

    # -- the venue --------------------------------------------------------------------------------

    @rule(
        phase=st.sampled_from(("CONTINUOUS", "CONTINUOUS", *Phase.__members__)),
        what=st.sampled_from(("", "EUA", "CER")), seed=st.sampled_from(("", "", "seed 7")),
    )  # fmt: skip
    def phase(self, phase: str, what: str, seed: str) -> None:
        self.say(f"phase {phase} {what} {seed}")

    @rule(late_ms=st.sampled_from((0, 1_000, 200_000)))
    def tick(self, late_ms: int) -> None:
        self.say(f"late {late_ms} tick")

    @rule(
        parameter=st.sampled_from(tuple(Parameter.__members__)), what=WHAT,
        value=st.sampled_from(VALUES),
    )  # fmt: skip
    def parameter(self, parameter: str, what: str, value: int) -> None:
        self.say(f"parameter {what} {parameter.lower()} {value}")

    @rule(
        parameter=st.sampled_from(tuple(AccountParameter.__members__)),
        whom=st.sampled_from(("control alice", "control bob", "control_participant 7")),
        value=st.sampled_from((*VALUES, 5_000)), what=st.sampled_from(("", "EUA")),
    )  # fmt: skip
    def control(self, parameter: str, whom: str, value: int, what: str) -> None:
        words = f"{whom} {parameter.lower()} {value}"
        self.say(words if whom.startswith("control_") else f"{words} {what}")

    @rule(what=WHAT, price=PRICES)
    def reference(self, what: str, price: str) -> None:
        self.say(f"reference {what} {price}")

    @rule(is_closed=st.booleans(), step=st.integers(0, 2))
    def roll(self, is_closed: bool, step: int) -> None:
        self.date += step
        if is_closed:
            self.say("phase CLOSED")
        self.say(f"roll {self.date}")
        if is_closed:
            self.say("phase CONTINUOUS")

    @rule(
        who=WHO, verb=st.sampled_from(("deposit", "withdraw")),
        amount=st.sampled_from(("5", "0", "-1", "1000000", "EUA 5", "EUA 0", "EUA 6000")),
    )  # fmt: skip
    def money(self, who: str, verb: str, amount: str) -> None:
        *what, number = amount.split()
        self.say(f"{verb} {who} {number} {' '.join(what)}")

    @rule(
        step=st.sampled_from(tuple(SettlementStep.__members__)), buyer=WHO, seller=WHO, what=WHAT,
        quantity=st.sampled_from((1, 3, 0)), cash=st.sampled_from(("70.00", "210.00", "0.00")),
    )  # fmt: skip
    def settle(
        self, step: str, buyer: str, seller: str, what: str, quantity: int, cash: str
    ) -> None:
        self.say(f"settle {step} {buyer} {seller} {what} {quantity} {cash} {cash} 9")

    @rule(who=WHO, kind=st.sampled_from(tuple(Instruction.__members__)), epoch=st.integers(0, 3))
    def passed_on(self, who: str, kind: str, epoch: int) -> None:
        self.say(f"instruct {kind} {who} EUA 10 2026", "+ note what for")
        self.say(f"epoch {epoch} 7")

    @rule(line=st.sampled_from(("account dave participant 8", "account bob", "instrument EUA")))
    def opened(self, line: str) -> None:
        self.say(line)

    @rule(story=st.sampled_from(STORIES))
    def told(self, story: tuple[str, ...]) -> None:
        """Line by line, whatever is refused of it."""
        self.date += 1
        for line in story:
            words = line.split()
            if words[0] == "new":
                self.owners.setdefault(words[2], words[1])
            self.say(line.format(date=self.date))

    @rule()
    def restarted(self) -> None:
        """Each engine from the other's snapshot."""
        self.both.swap()


def market_with(other: type[Any]) -> type[Market]:
    """The machine for another engine beside the reference."""
    return type("Market", (Market,), {"other": other, "heard": Counter()})
