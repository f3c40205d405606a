"""Frames in, events out: who is heard, in which order, and what each command leads to."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest

from matching.layout import INDEX_BITS, AccountParameter, Command, Event, Reason
from matching.protocol import Limits
from matching.reference import (
    administration,
    auctions,
    blocks,
    controls,
    listed,
    mass,
    phases,
    quotes,
    settlement,
    trading,
)
from matching.reference.invariants import broken
from matching.reference.records import NO_LABEL, CommandRecord, decode
from matching.reference.state import State, from_snapshot, to_snapshot
from matching.reference.stops import trigger_stops
from matching.reference.terms import bidding_in, terms_in
from matching.snapshot import HASH_SIZE
from matching.snapshot import decode as decode_snapshot
from matching.snapshot import encode as encode_snapshot

NS_PER_MS = 1_000_000

HANDLERS: dict[int, Callable[[State, CommandRecord], Reason]] = {
    Command.CANCEL_ORDER: trading.cancel_order,
    Command.REPLACE_ORDER: trading.replace_order,
    Command.MASS_CANCEL: mass.mass_cancel,
    Command.ACCOUNT_OPEN: administration.account_open,
    Command.CASH_DEPOSIT: administration.cash_deposit,
    Command.CASH_WITHDRAW: administration.cash_withdraw,
    Command.UNITS_DEPOSIT: administration.units_deposit,
    Command.UNITS_RELEASE: administration.units_release,
    Command.ACCOUNT_PARAMETER: controls.account_parameter,
    Command.PARTICIPANT_PARAMETER: controls.participant_parameter,
    Command.INSTRUMENT_OPEN: administration.instrument_open,
    Command.INSTRUMENT_PARAMETER: administration.instrument_parameter,
    Command.PHASE_CHANGE: phases.phase_change,
    Command.REFERENCE_PRICE: administration.reference_price,
    Command.DAY_ROLL: administration.day_roll,
    Command.CLOCK_TICK: phases.clock_tick,
    Command.EPOCH_START: administration.epoch_start,
    Command.SETTLE_TRADE: settlement.settle_trade,
    Command.AUCTION_CLEAR: auctions.auction_clear,
    Command.AUCTION_CANCEL: auctions.auction_cancel,
}
"""Who answers a command."""

ORDER_MAKERS: dict[int, Callable[[State, CommandRecord, int], Reason]] = {
    Command.NEW_ORDER: trading.new_order,
    Command.PICK_ORDER: listed.pick_order,
    Command.BLOCK_PROPOSE: blocks.block_propose,
    Command.BLOCK_CONFIRM: blocks.block_confirm,
    Command.AUCTION_OPEN: auctions.auction_open,
    Command.AUCTION_BID: auctions.auction_bid,
}
"""Who answers a command that makes an order with a label."""

MAKERS = ORDER_MAKERS | {
    Command.QUOTE: quotes.quote,
    Command.INSTRUCTION: administration.instruction,
}
"""Who answers a command whose position in the log becomes an id."""

KINDS = HANDLERS.keys() | MAKERS.keys()

ORDER_COMMANDS = ORDER_MAKERS.keys() | {Command.CANCEL_ORDER, Command.REPLACE_ORDER}

NEEDS_ACCOUNT = ORDER_COMMANDS | {
    Command.QUOTE,
    Command.CASH_DEPOSIT,
    Command.CASH_WITHDRAW,
    Command.UNITS_DEPOSIT,
    Command.UNITS_RELEASE,
    Command.ACCOUNT_PARAMETER,
    Command.INSTRUCTION,
    Command.SETTLE_TRADE,
}

NEEDS_INSTRUMENT = frozenset(
    {
        *ORDER_MAKERS,
        Command.QUOTE,
        Command.AUCTION_CLEAR,
        Command.AUCTION_CANCEL,
        Command.UNITS_DEPOSIT,
        Command.UNITS_RELEASE,
        Command.INSTRUMENT_PARAMETER,
        Command.REFERENCE_PRICE,
        Command.INSTRUCTION,
        Command.SETTLE_TRADE,
    }
)
"""Cancels and replaces name an order, and so no instrument."""


class Engine:
    """The specification as a program; see `matching/RULES.md` for the rules."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 - immutable
        if min(limits) < 0:
            raise ValueError("a limit is negative")
        self._state = State(Limits(*limits))
        self._is_note_heard = False
        self._is_refused = False  # the last numbered command of the record was not done

    @property
    def next_offset(self) -> int:
        """The offset of `orders` which `apply` expects next. O(1)."""
        return self._state.next_offset

    @property
    def next_event(self) -> int:
        """The number which the next event will have. O(1)."""
        return self._state.next_event

    @property
    def epoch(self) -> int:
        """The epoch in force. O(1)."""
        return self._state.epoch

    @property
    def leader(self) -> int:
        """The node which won the epoch in force, 0 before the first. O(1)."""
        return self._state.leader

    @property
    def time_ns(self) -> int:
        """Engine time, ns UTC: the largest append time seen. O(1)."""
        return self._state.time_ns

    def reserve(self, orders: int = 0, client_order_ids: int = 0) -> None:
        """Nothing to take: Python finds memory as it goes."""
        for name, wanted, most in (
            ("orders", orders, self._state.limits.orders_max),
            ("client_order_ids", client_order_ids, self._state.limits.client_order_ids_max),
        ):
            if not 0 <= wanted <= most:
                raise ValueError(f"{name} {wanted} is outside 0..{most}")

    def apply(self, offset: int, append_ns: int, frame: bytes) -> bytes:
        """Event records of the record at `offset`; ValueError if it is not next. O(frame)."""
        state = self._state
        if offset != state.next_offset:
            raise ValueError(f"offset {offset} is not the next one, {state.next_offset}")
        state.time_ns = max(state.time_ns, append_ns)
        state.events, state.command_index = [], 0
        decoded = decode(frame)
        if isinstance(decoded, Reason):
            state.emit(Event.FRAME_REFUSED, reason=decoded)
        else:
            self._is_note_heard = self._is_refused = False
            commands = decoded.commands
            for index, (command, after) in enumerate(zip_longest(commands, commands[1:])):
                state.command_index = index
                state.terms, state.bidding = terms_in(after), bidding_in(after)
                self._command(command, decoded.time_ns, offset << INDEX_BITS | index)
        state.next_offset += 1
        state.next_event += len(state.events)
        return b"".join(state.events)

    def _command(self, c: CommandRecord, sent_ns: int, position: int) -> None:
        state = self._state
        if c.kind == Command.NOTE:
            if self._is_note_heard:
                administration.note(state, c)
            return
        self._is_note_heard = False
        if c.kind in (Command.ORDER_TERMS, Command.AUCTION_TERMS):
            return
        if c.kind not in KINDS:
            state.reject(c, Reason.UNKNOWN_COMMAND)
            self._is_refused |= bool(c.session_id)
            return
        if c.session_id:
            self._is_refused = not self._is_numbered(c)
        if self._is_refused and self._belongs(c):
            return
        reason = self._sender_refusal(c, sent_ns)
        if not reason and c.kind in MAKERS:
            reason = MAKERS[c.kind](state, c, position)
            self._is_note_heard = c.kind == Command.INSTRUCTION and not reason
        elif not reason:
            reason = HANDLERS[c.kind](state, c)
        if reason:
            state.reject(c, reason)
            self._is_refused |= bool(c.session_id)
        trigger_stops(state)

    def _belongs(self, c: CommandRecord) -> bool:
        """Whether it is the last numbered command, or part of it."""
        return bool(c.session_id or c.ref)

    def _is_numbered(self, c: CommandRecord) -> bool:
        """Whether the command is new in its session; answered here if not."""
        state = self._state
        if c.ref <= state.sessions.get(c.session_id, 0):
            known = None
            if c.kind in ORDER_COMMANDS and c.client_order_id != NO_LABEL:
                known = state.client_order_ids.get((c.account_id, c.client_order_id))
            state.duplicate(c, known.order_id if known else 0)
            return False
        is_full = len(state.sessions) >= state.limits.sessions_max
        if c.session_id not in state.sessions and is_full:
            state.reject(c, Reason.SESSIONS_FULL)
            return False
        state.sessions[c.session_id] = c.ref
        return True

    def _sender_refusal(self, c: CommandRecord, sent_ns: int) -> Reason:
        state = self._state
        if c.valid_ms and state.time_ns > sent_ns + c.valid_ms * NS_PER_MS:
            return Reason.EXPIRED
        is_named = c.kind in NEEDS_ACCOUNT or (c.kind == Command.MASS_CANCEL and c.account_id != 0)
        if is_named and c.account_id not in state.accounts:
            return Reason.UNKNOWN_ACCOUNT
        if _names_instrument(c) and c.instrument_id not in state.instruments:
            return Reason.UNKNOWN_INSTRUMENT
        return Reason.NONE

    def snapshot(self) -> bytes:
        """The whole state in the canonical form of `matching.snapshot`. O(state log state)."""
        return encode_snapshot(to_snapshot(self._state))

    @classmethod
    def restore(cls, data: bytes) -> Engine:
        """The engine that `snapshot` described; ValueError if the bytes are not sound. O(state)."""
        engine = cls()
        engine._state = from_snapshot(decode_snapshot(data))
        wrong = engine.self_check()
        if wrong:
            raise ValueError(f"snapshot is unsound: {'; '.join(wrong)}")
        return engine

    def state_hash(self) -> bytes:
        """BLAKE2b-256 of the state: the last 32 bytes of `snapshot()`. O(state log state)."""
        return self.snapshot()[-HASH_SIZE:]

    def self_check(self) -> list[str]:
        """Every broken invariant in words; [] is sound. O(state)."""
        return broken(self._state)


def _names_instrument(c: CommandRecord) -> bool:
    """Whether the instrument of the command must be known."""
    if c.kind in (Command.PHASE_CHANGE, Command.MASS_CANCEL):
        return c.instrument_id != 0
    if c.kind == Command.ACCOUNT_PARAMETER:
        return c.order_type == AccountParameter.INSTRUMENT_HOLDING_MAX
    return c.kind in NEEDS_INSTRUMENT
