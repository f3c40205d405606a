"""Where each instruction to the registry stands: from `events` (heard) and `registry` (done).

The two topics are read side by side, so either may come first; an instruction is shown once the
engine has heard it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from exchange.messages.executions import InstructionReport, UnitRange
from exchange.messages.frames import (
    Command,
    Event,
    EventPart,
    EventRow,
    Instruction,
    event_rows,
    kinds_mask,
    order_id_of,
)
from exchange.messages.reasons import RegistryReason, reason_text
from exchange.messages.registry import (
    CreditsHeld,
    InstructionRefused,
    OffsetReversalChanged,
    OffsetSurrenderChanged,
    RegistryItem,
    RegistryRecord,
    TransferEnded,
    TransferWaits,
    UnitsMoved,
)
from exchange.reference.venue import Venue
from exchange.settings import INSTRUCTIONS_MAX
from gateway.views.reports import label_text

_KINDS = (Event.INSTRUCTED, Event.REJECTED, Event.UNITS_RELEASED, Event.UNITS_DEPOSITED)
_MASK = kinds_mask(*_KINDS)
RELEASE = "RELEASE"
_OWN = (Instruction.CARRY_OUT, Instruction.OFFSET_REQUEST, Instruction.OFFSET_ANSWER)
"""What registries say to each other and to themselves: nobody asks where it stands."""

TRADES = frozenset({"TRADE", "TRADE_CANCEL"})
_KIND_WORD = {kind.value: kind.name for kind in Instruction}


class InstructionState:
    """What is known of one instruction."""

    __slots__ = (
        "account", "argument", "client_order_id", "has_arrived", "instruction_id", "instrument_id",
        "item", "kind", "quantity", "reason", "time_ns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.instruction_id = 0
        self.kind = ""  # empty until the engine has heard it
        self.account = 0
        self.instrument_id = 0
        self.quantity = 0
        self.argument = 0
        self.client_order_id = ""
        self.reason = 0  # the engine's
        self.item: RegistryItem | None = None
        self.has_arrived = False  # deposited units are in the trading position
        self.time_ns = 0

    @property
    def status(self) -> str:
        """PENDING, DONE or REFUSED."""
        if self.reason or isinstance(self.item, InstructionRefused) or self.text:
            return "REFUSED"
        if self.item is None or (self.kind == "DEPOSIT" and not self.has_arrived):
            return "PENDING"
        item = self.item
        is_asked = (
            isinstance(item, OffsetSurrenderChanged | OffsetReversalChanged)
            and item.state != "DONE"
        )
        return "PENDING" if self.waits or is_asked else "DONE"

    @property
    def waits(self) -> bool:
        """Whether it waits for approval or, a transfer, for its time."""
        item = self.item
        return isinstance(item, TransferWaits) and item.instruction_id == self.instruction_id

    @property
    def text(self) -> str:
        """How a transfer, or another act for two, that did not come about ended, and why."""
        item = self.item
        if isinstance(item, TransferEnded) and item.instruction_id == self.instruction_id:
            return "" if item.outcome == "DONE" else f"{item.outcome} {item.text}".strip()
        return ""


class Instructions:
    """The last INSTRUCTIONS_MAX instructions of a market."""

    def __init__(self, venue: Venue, market: str, on_change: Callable[[int], None]) -> None:
        self._market = market
        self._symbols = {item.id: item.symbol for item in venue.instruments_of(market)}
        self._states: OrderedDict[int, InstructionState] = OrderedDict()
        self._releases: OrderedDict[int, InstructionState] = OrderedDict()  # by transfer id
        self._on_change = on_change

    def stand(self) -> tuple[Any, ...]:
        """What is known, to go on from. O(1)."""
        return self._states, self._releases

    def go_on(self, stand: tuple[Any, ...]) -> None:
        """Goes on from a `stand`. O(1)."""
        self._states, self._releases = stand

    def apply_events(self, part: EventPart) -> None:
        """What the engine heard. O(events)."""
        if not part.kinds & _MASK:
            return
        events = part.events
        for row in event_rows(events[np.isin(events["kind"], _KINDS)]):
            position = order_id_of(part.input_offset, row.command_index)
            if row.kind == Event.INSTRUCTED and row.order_type in _OWN:
                continue
            if row.kind == Event.INSTRUCTED:
                self._heard(self._state(position), position, row, part.time_ns)
            elif row.kind == Event.UNITS_DEPOSITED:
                if row.order_id in self._states:
                    self._states[row.order_id].has_arrived = True
                    self._on_change(row.order_id)
            elif row.kind == Event.UNITS_RELEASED:
                state = self._release(row.order_id)
                self._states[position] = state
                self._heard(state, position, row, part.time_ns)
            elif row.order_type in (Command.INSTRUCTION, Command.UNITS_RELEASE):
                state = self._state(position)
                state.reason = row.reason
                self._heard(state, position, row, part.time_ns)
        self._forget()

    def apply_registry(self, record: RegistryRecord) -> None:
        """What the registry did. O(items)."""
        for item in record.items:
            number = item.cause_id if isinstance(item, UnitsMoved) else item.instruction_id
            if isinstance(item, CreditsHeld) or not number:
                continue  # of another registry, or by time
            if isinstance(item, TransferEnded) and item.ended_by:
                self._done(self._state(item.ended_by), item, record.time_ns)
            if isinstance(item, TransferWaits) and item.approval_id:
                self._done(self._state(item.approval_id), item, record.time_ns)
            if isinstance(item, UnitsMoved):
                if item.cause in TRADES:
                    continue
                is_release = item.cause == RELEASE
                state = self._release(item.cause_id) if is_release else self._state(item.cause_id)
            else:
                state = self._state(item.instruction_id)
            self._done(state, item, record.time_ns)
        self._forget()

    def _done(self, state: InstructionState, item: RegistryItem, time_ns: int) -> None:
        state.item = item
        state.time_ns = time_ns
        if state.instruction_id:
            self._on_change(state.instruction_id)

    def is_answered(self, instruction_id: int) -> bool:
        """Whether more than waiting for a long time is to come. O(1)."""
        state = self._states.get(instruction_id)
        if state is None or not state.kind:
            return False
        return state.status != "PENDING" or state.waits

    def report(self, instruction_id: int) -> InstructionReport | None:
        """Where an instruction stands; None if the engine has not heard it (yet)."""
        state = self._states.get(instruction_id)
        if state is None or not state.kind:
            return None
        item = state.item
        reason, text, rule, source = state.reason, state.text, "", ""
        if text:
            reason = RegistryReason.TRANSFER_STOPPED
        if isinstance(item, InstructionRefused):
            reason, text, rule, source = item.reason, item.text, item.rule, item.source
        row = reason_text(reason) if reason else None
        return InstructionReport(
            self._market,
            instruction_id,
            state.account,
            state.kind,
            state.status,
            symbol=self._symbols.get(state.instrument_id, ""),
            quantity=state.quantity,
            argument=state.argument,
            client_order_id=state.client_order_id,
            ranges=tuple(
                UnitRange(r.programme, r.first, r.last) for r in getattr(item, "ranges", ())
            ),
            transact_time_ns=state.time_ns,
            reason=reason,
            title=row.name if row else "",
            text=text or (row.text if row else ""),
            rule=rule,
            source=source,
            due_ns=item.due_ns if isinstance(item, TransferWaits) and state.waits else 0,
        )

    def _heard(self, state: InstructionState, position: int, row: EventRow, time_ns: int) -> None:
        is_release = row.kind == Event.UNITS_RELEASED or (
            row.kind == Event.REJECTED and row.order_type == Command.UNITS_RELEASE
        )
        if row.kind == Event.INSTRUCTED:
            state.kind = _KIND_WORD.get(row.order_type, str(row.order_type))
        else:
            state.kind = RELEASE if is_release else "INSTRUCTION"
        state.instruction_id = position
        state.account = row.account_id
        state.instrument_id = row.instrument_id
        state.quantity = row.quantity
        state.argument = row.price
        state.client_order_id = label_text(row.client_order_id)
        state.time_ns = state.time_ns or time_ns
        self._on_change(position)

    def _state(self, position: int) -> InstructionState:
        return self._states.setdefault(position, InstructionState())

    def _release(self, transfer_id: int) -> InstructionState:
        return self._releases.setdefault(transfer_id, InstructionState())

    def _forget(self) -> None:
        for table in (self._states, self._releases):
            while len(table) > INSTRUCTIONS_MAX:
                table.popitem(last=False)
