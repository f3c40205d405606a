"""Whatever is lost, doubled or cut on the way: each message is done once, and in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.fix import store as store_module
from gateway.fix.codec import Message, utc_text
from gateway.fix.session import (
    Phase,
    Sent,
    State,
    Step,
    numbered,
    open_state,
    received,
    resent,
    ticked,
)
from gateway.fix.store import DAY_NS, FixStore, Numbers

NOW = 1_795_889_259_000_000_000
SECOND = 1_000_000_000


class Client:
    """The other side as FIX describes it; the line between them loses what a test says."""

    def __init__(self) -> None:
        self.now = NOW
        self.sent: list[str] = []  # types, by number from 1
        self.state = State(next_in=1, next_out=1)
        self.done: list[int] = []  # the venue's application has had these
        self.told: list[Sent] = []  # the venue has said these
        self.heard: dict[int, str] = {}
        self.expected = 1
        self.is_up = False

    def message(self, msg_type: str, number: int, **fields: str) -> Message:
        own = {int(name[1:]): value for name, value in fields.items()}
        header = {35: msg_type, 49: "a", 56: "b", 34: str(number), 52: utc_text(self.now)}
        return Message(msg_type, header | own, {})

    def connect(self) -> None:
        self.state = open_state("a", "b", self.state.next_in, self.state.next_out, self.now)
        self.is_up = True
        self.say("A", is_lost=False, t98="0", t108="30")

    def say(self, msg_type: str, *, is_lost: bool, **fields: str) -> None:
        self.sent.append(msg_type)
        if self.is_up and not is_lost:
            self.venue(self.message(msg_type, len(self.sent), **fields))

    def again(self, first: int) -> None:
        """Answers a ResendRequest: orders again, everything else as a gap fill."""
        for number in range(first, len(self.sent) + 1):
            dup = {"t43": "Y", "t122": utc_text(self.now)}
            if self.sent[number - 1] == "D":
                self.venue(self.message("D", number, **dup))
            else:
                self.venue(self.message("4", number, t123="Y", t36=str(number + 1), **dup))

    def venue(self, message: Message) -> None:
        step = received(self.state, message, self.now)
        self.follow(step)
        if step.is_delivered:
            self.done.append(message.sequence)
            self.state, number = numbered(self.state, self.now)
            self.told.append(Sent(number, self.now, "8", str(message.sequence)))

    def follow(self, step: Step) -> None:
        self.state = step.state
        assert not step.close, step.close
        for said in step.out:
            assert said.msg_type in ("A", "0", "1", "2"), said
            if said.msg_type == "2":
                self.again(int(dict(said.values)[7]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("ddddllhcrt"), max_size=40))
def test_each_order_is_done_once_and_in_order(script: str) -> None:
    client = Client()
    client.connect()
    for act in script:
        client.now += SECOND
        if act == "d":
            client.say("D", is_lost=False)
        elif act == "l":
            client.say("D", is_lost=True)
        elif act == "h":
            client.say("0", is_lost=False)
        elif act == "c":
            client.is_up = False
        elif act == "r" and not client.is_up:
            client.connect()
        elif act == "t" and client.sent and client.is_up:
            client.again(max(len(client.sent) - 3, 1))  # unasked: all of it was there, or comes
    if not client.is_up:
        client.connect()
    client.say("0", is_lost=False)
    orders = [number for number, kind in enumerate(client.sent, 1) if kind == "D"]
    assert client.done == orders
    assert client.state.next_in == len(client.sent) + 1
    assert client.state.phase is Phase.ACTIVE
    assert ticked(client.state, client.now).out == ()


@given(st.sets(st.integers(1, 30)), st.integers(1, 30), st.integers(1, 30))
def test_a_resend_covers_every_number_once(kept: set[int], one: int, other: int) -> None:
    first, last = sorted((one, other))
    rows = [Sent(n, NOW, "8", "") for n in sorted(kept) if first <= n <= last]
    place = first
    for item in resent(rows, first, last):
        assert item.sequence == place
        place = item.new if item.sent is None else place + 1
    assert place == last + 1


# -- the file -------------------------------------------------------------------------------------


def test_the_file_keeps_so_many_messages_and_for_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PRUNE_EVERY", 5)
    monkeypatch.setattr(store_module, "FIX_STORED_MAX", 20)
    store = FixStore(tmp_path / "fix.sqlite")
    for number in range(1, 26):
        store.save("a", Numbers(1, 1, number + 1, {}), [Sent(number, NOW, "8", "x")])
    store.save("b", Numbers(1, 1, 2, {}), [Sent(1, NOW, "8", "of another session")])
    assert [sent.sequence for sent in store.sent("a", 1, 99)] == list(range(6, 26))
    for age, count in ((7 * DAY_NS, 21), (7 * DAY_NS + 1, 0)):
        store.forget_old("a", NOW + age)
        assert len(store.sent("a", 1, 99)) == min(count, 20)
    assert len(store.sent("b", 1, 99)) == 1
    store.close()


def test_a_reset_forgets_one_session(tmp_path: Path) -> None:
    store = FixStore(tmp_path / "fix.sqlite")
    for key in "ab":
        store.save(
            key, Numbers(5, 2, 3, {"EU": 9}), [Sent(1, NOW, "8", "x"), Sent(2, NOW, "8", "y")]
        )
    store.reset("a", Numbers(8, 1, 1, {"EU": 9}))
    assert (store.load("a"), store.sent("a", 1, 9)) == (Numbers(8, 1, 1, {"EU": 9}), [])
    assert store.sent("b", 2, 9) == [Sent(2, NOW, "8", "y")]
    assert store.load("nobody") is None
    store.close()


def test_what_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    store = FixStore(tmp_path / "fix.sqlite")
    store.save("a", Numbers(5, 2, 3, {}), [Sent(1, NOW, "8", "x")])
    with pytest.raises(store_module.StoreError):
        store.save("a", Numbers(5, 9, 9, {}), [Sent(2, NOW, "8", "y"), Sent(1, NOW, "8", "x")])
    assert store.load("a") == Numbers(5, 2, 3, {})
    assert [sent.sequence for sent in store.sent("a", 1, 9)] == [1]
    store.close()
