"""What operators did in a market: a projection of the notes behind their commands on `orders`.

A command counts when its `ref` is above all earlier ones of its session, which is the engine's own
rule, so every gateway sees the same acts. From them follow the proposals that wait for a second
person, the halt of a whole market, killed sessions, throttles and limits of ratios. What is decided
by what stands is numbered in one session, DECISION_SESSION: of two at once the engine takes one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from exchange.messages.frames import (
    NOTE_BYTES,
    RECORD_SIZE,
    Command,
    is_sound,
    kinds_mask,
    order_id_of,
    read_commands,
)
from exchange.messages.operations import (
    Act,
    AlertStateWord,
    Halt,
    HandleAlert,
    Kill,
    Lift,
    Recorded,
    Resume,
    SetLimit,
)
from exchange.messages.scan import command_kinds_of, raise_refs
from exchange.reference.venue import DECISION_SESSION, TIMETABLE_SESSION
from exchange.settings import ACTS_KEPT_MAX, ALERTS_KEPT_MAX, PROPOSAL_S_MAX
from gateway.control.moved_alone import MovedAlone
from gateway.views.order_ratio import RATIO_LIMITS, RatioWord
from gateway.views.planned import Planned

SECOND_NS = 1_000_000_000
_NOTED = kinds_mask(Command.NOTE)
# As plain numbers: numpy asks an enumeration's member seven times what it is.
_NOTE, _INSTRUCTION = int(Command.NOTE), int(Command.INSTRUCTION)
State = Literal["OPEN", "APPROVED", "DECLINED"]

_decode = msgspec.json.Decoder(Act).decode


class ActRow(NamedTuple):
    """An act and where it stands."""

    position: int  # on the log: the id of a proposal
    time_ns: int  # when the log took it
    act: Act
    session: int  # under which number the engine took it
    ref: int


class Proposal(NamedTuple):
    """What one person wants and another has to approve."""

    row: ActRow
    state: State = "OPEN"
    decided: int = 0  # position of the decision

    def is_open(self, now_ns: int) -> bool:
        """Whether it can be decided at a time."""
        return self.state == "OPEN" and now_ns < self.ends_ns

    @property
    def ends_ns(self) -> int:
        """When it can no longer be approved."""
        return self.row.time_ns + PROPOSAL_S_MAX * SECOND_NS


class Handling(NamedTuple):
    """How far people are with an alert."""

    state: AlertStateWord = "OPEN"
    who: str = ""
    reason: str = ""
    time_ns: int = 0


UNTOUCHED = Handling()


class Acts:
    """The acts of one market's operators, in the order of the log; bounded by ACTS_KEPT_MAX."""

    def __init__(self) -> None:
        self.rows: deque[ActRow] = deque(maxlen=ACTS_KEPT_MAX)
        self.proposals: OrderedDict[int, Proposal] = OrderedDict()
        self.market_halt = 0  # position of the halt of the whole market; 0 = none is in force
        self.killed_sessions: set[int] = set()
        self.participant_rates: dict[int, int] = {}  # messages a second
        self.session_rates: dict[int, int] = {}
        self.ratio_limits: dict[tuple[RatioWord, int, str], int] = {}  # see `order_ratio`
        self.handlings: OrderedDict[int, Handling] = OrderedDict()  # by number of the alert
        self.handled = 0  # how often any was
        self.planned = Planned()  # the timetable's steps, and what people did beside them
        self.alone = MovedAlone()
        self.last_ref: dict[int, int] = {}  # session -> highest ref read
        self.lost: OrderedDict[tuple[str, int], None] = OrderedDict()  # (key, ref): not done

    @property
    def next_decision(self) -> int:
        """The `ref` of the next decision in DECISION_SESSION."""
        return self.last_ref.get(DECISION_SESSION, 0) + 1

    def open_proposals(self, now_ns: int) -> list[Proposal]:
        """Those that can be approved, oldest first. O(proposals)."""
        return [item for item in self.proposals.values() if item.is_open(now_ns)]

    def asked(self, key: str, ref: int) -> ActRow | None:
        """The act that a key asked for under a ref; None: none that is kept. O(acts)."""
        kept = (row for row in reversed(self.rows) if (row.act.key, row.act.body.ref) == (key, ref))
        return next((row for row in kept if not row.act.proposal_id), None)

    def note(self, offset: int, frame: bytes, time_ns: int) -> None:
        """Takes the record of `orders` at `offset`. O(commands)."""
        if not is_sound(frame):
            return
        if not command_kinds_of(frame) & _NOTED:
            raise_refs(frame, TIMETABLE_SESSION, self.last_ref)
            return
        commands = read_commands(frame)
        numbered = np.flatnonzero(commands["session_id"] >= TIMETABLE_SESSION)
        kinds = commands["kind"]
        sessions = commands["session_id"][numbered].tolist()
        refs = commands["ref"][numbered].tolist()
        for index, session, ref in zip(numbered.tolist(), sessions, refs, strict=True):
            if ref <= self.last_ref.get(session, 0):
                if session == DECISION_SESSION:
                    self._lose(_act_behind(commands, index))
                continue
            self.last_ref[session] = ref
            if kinds[index] != _INSTRUCTION:
                act = _act_behind(commands, index)
                if act is not None:
                    self._take(ActRow(order_id_of(offset, index), time_ns, act, session, ref))
                    self._count(act, commands[index], time_ns)

    def _count(self, act: Act, command: Any, time_ns: int) -> None:
        if act.stage == "DONE" and command["kind"] in (Command.CASH_DEPOSIT, Command.CASH_WITHDRAW):
            sign = 1 if command["kind"] == Command.CASH_DEPOSIT else -1
            self.alone.note(act.who, sign * int(command["quantity"]), time_ns)

    def _lose(self, act: Act | None) -> None:
        """Another one had the number before: nothing was done, and its key may ask again."""
        if act is None or act.proposal_id or self.asked(act.key, act.body.ref) is not None:
            return
        self.lost[act.key, act.body.ref] = None
        if len(self.lost) > ACTS_KEPT_MAX:
            self.lost.popitem(last=False)

    def _take(self, row: ActRow) -> None:
        act = row.act
        self.rows.append(row)
        self.lost.pop((act.key, act.body.ref), None)
        if act.stage == "PROPOSED":
            self.proposals[row.position] = Proposal(row)
            if len(self.proposals) > ACTS_KEPT_MAX:
                self.proposals.popitem(last=False)
            return
        if act.proposal_id in self.proposals:
            state: State = "APPROVED" if act.stage == "APPROVED" else "DECLINED"
            decided = self.proposals[act.proposal_id]._replace(state=state, decided=row.position)
            self.proposals[act.proposal_id] = decided
        if isinstance(act.body, HandleAlert):
            self._handle(act.body, row)
        elif act.stage != "DECLINED":
            self._carry_out(act.body, row.position)
            self.planned.note(act, row.position, row.time_ns)

    def _handle(self, body: HandleAlert, row: ActRow) -> None:
        self.handlings.pop(body.number, None)
        found = Handling(body.state, row.act.who, body.reason, row.time_ns)
        self.handlings[body.number] = found
        self.handled += 1
        if len(self.handlings) > ALERTS_KEPT_MAX:
            self.handlings.popitem(last=False)

    def _carry_out(self, body: Recorded, position: int) -> None:
        if isinstance(body, Halt) and not body.symbol:
            self.market_halt = position
        elif isinstance(body, Resume) and not body.symbol:
            self.market_halt = 0
        elif isinstance(body, Kill) and body.session:
            self.killed_sessions.add(body.session)
        elif isinstance(body, Lift) and body.session:
            self.killed_sessions.discard(body.session)
        elif isinstance(body, SetLimit) and body.parameter == "MESSAGE_RATE":
            rates = self.session_rates if body.session else self.participant_rates
            rates[body.session or body.participant] = body.value
        elif isinstance(body, SetLimit) and body.parameter in RATIO_LIMITS:
            word = RATIO_LIMITS[RATIO_LIMITS.index(body.parameter)]
            self.ratio_limits[word, body.participant, body.symbol] = body.value


def _act_behind(commands: NDArray[Any], index: int) -> Act | None:
    """The act whose words stand behind a command; None where there are none. O(notes)."""
    end = index + 1
    kinds = commands["kind"]
    while end < len(kinds) and kinds[end] == _NOTE:
        end += 1
    data = b"".join(
        record.tobytes()[RECORD_SIZE - NOTE_BYTES :] for record in commands[index + 1 : end]
    )
    if not data:
        return None
    try:
        return _decode(data.rstrip(b"\0"))
    except msgspec.DecodeError:
        return None  # words of another kind, or of a newer version
