"""Whether a log keeps the rule of two persons: who proposed, who approved, and what was done alone.

It goes along while `exchange verify` computes the events, so that each act is judged by what stood
where the engine took it. Whatever loosens is looked for in the events, and its words behind the
command that caused it: words that say something else, or none, are found as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from exchange.messages.frames import (
    INDEX_BITS,
    AccountParameter,
    Command,
    Event,
    EventPart,
    EventRow,
    Phase,
    event_rows,
    is_sound,
    kinds_mask,
    read_commands,
)
from exchange.messages.operations import (
    Act,
    CashDeposit,
    DayRoll,
    Halt,
    HandleAlert,
    Kill,
    Lift,
    PhaseChange,
    Recorded,
    ReferencePrice,
    Resume,
    SetLimit,
)
from exchange.positions import Positions
from exchange.reference.signers import is_one_person, signer
from exchange.reference.venue import (
    DECISION_SESSION,
    TIMETABLE,
    TIMETABLE_SESSION,
    Instrument,
    Market,
    Venue,
)
from gateway.control.limits import ACCOUNT_LIMITS, INSTRUMENT_LIMITS, PARTICIPANT_LIMITS, is_looser
from gateway.control.two_persons import needs_two
from gateway.entry.decimals import to_minor
from gateway.entry.fields import limit_price
from gateway.refusal import Refused
from gateway.views.acts import ActRow, Acts
from gateway.views.controls import Controls

_SUSPENDS = (Event.PARTICIPANT_CHANGED, Event.ACCOUNT_CHANGED)
_LOOSENING = (*_SUSPENDS, Event.PARAMETER_CHANGED, Event.PHASE_CHANGED)
_MASK = kinds_mask(*_LOOSENING)
_WORDS = {int(parameter): word for word, parameter in INSTRUMENT_LIMITS.items()}
_INDEX = (1 << INDEX_BITS) - 1


class PersonsAudit:
    """An observer of `exchange.audit.verify`; `difference` is the first, "" = none."""

    def __init__(self, venue: Venue, market: Market, message_rate: int) -> None:
        self.difference = ""
        self.done = 0
        self.approved = 0
        self.by_file = 0  # moves of cash whose words do not say how much was for one then
        self.positions = Positions()  # those of who walks the log
        self.controls = Controls()
        self.acts = _Acts(self)
        self._market = market
        self._instruments = {item.symbol: item for item in venue.instruments_of(market.code)}
        self._message_rate = message_rate
        self._record: tuple[int, bytes] = (0, b"")
        self._was_halted = 0  # the whole market, before the record
        self._rows: dict[int, ActRow] = {}  # acts of the record, by command index
        self._set: dict[tuple[int, int], int] = {}  # limits that operators set

    @property
    def figures(self) -> str:
        """What was looked at."""
        said = f"{self.done} acts of one person, {self.approved} approved by a second one"
        of_today = f", {self.by_file} of cash judged by the venue file of today"
        return said + of_today * bool(self.by_file)

    def record(self, offset: int, append_ns: int, frame: bytes) -> None:
        """The next record of `orders`, before the events that it causes. O(commands)."""
        self._record, self._rows = (offset, frame), {}
        self._was_halted = self.acts.market_halt
        self.acts.note(offset, frame, append_ns)
        if self._rows:
            commands = read_commands(frame)
            for index, row in self._rows.items():
                if not self._is_said(row, commands[index]):
                    self._find(row, f"its command {Command(int(commands[index]['kind'])).name} "
                                    "does something else than its words say")  # fmt: skip

    def part(self, part: EventPart) -> None:
        """The next events, before `positions` has them. O(events)."""
        if part.kinds & _MASK:
            kinds = part.events["kind"]
            for row in event_rows(part.events[np.isin(kinds, _LOOSENING)]):
                self._event(row)
        self.controls.apply(part)

    # -- words -------------------------------------------------------------------------------------

    def judge(self, row: ActRow) -> None:
        """An act that counts, before it is carried out here."""
        self._rows[row.position & _INDEX] = row
        act = row.act
        if act.stage in ("APPROVED", "DECLINED"):
            self._decision(row)
        elif act.stage == "DONE" and _is_planned(row):
            if not _is_step(act.body):
                self._find(row, "the timetable has no such step")
        elif act.stage == "DONE":
            self.done += 1
            if self._needs_two(act, row.time_ns):
                self._find(row, "it took two persons, and one did it")

    def _decision(self, row: ActRow) -> None:
        act, found = row.act, self.acts.proposals.get(row.act.proposal_id)
        if row.session != DECISION_SESSION:
            self._find(row, f"a decision has its number in session {DECISION_SESSION}")
        elif found is None:
            self._find(row, f"no proposal stands at {act.proposal_id}")
        elif found.state != "OPEN":
            self._find(row, f"the proposal at {act.proposal_id} was {found.state} before")
        elif found.row.act.body != act.body:
            self._find(row, f"what was proposed at {act.proposal_id} is {found.row.act.body}")
        elif act.stage == "APPROVED":
            self.approved += 1
            proposed = found.row.act
            if is_one_person(signer(act.key, act.who), signer(proposed.key, proposed.who)):
                self._find(row, f"{act.who} proposed it, too")

    def _needs_two(self, act: Act, now_ns: int) -> bool:
        body, market = act.body, self._market
        if act.alone_max is not None:
            market = replace(
                market, withdrawal_alone_max=act.alone_max, deposit_alone_max=act.alone_max
            )
        elif isinstance(body, CashDeposit):
            self.by_file += 1
        is_moved = isinstance(body, PhaseChange) and body.phase not in ("CLOSED", "HALT")
        if is_moved and self.acts.market_halt:
            return True
        named = self._named(body)
        try:
            return needs_two(self, market, named, act.who, body, now_ns, self._message_rate)
        except Refused:
            return True  # no gateway takes such words

    def _named(self, body: Recorded) -> Instrument | None:
        return self._instruments.get(getattr(body, "symbol", ""))

    # -- commands ----------------------------------------------------------------------------------

    def _is_said(self, row: ActRow, command: Any) -> bool:
        """Whether the numbered command does what the words behind it say. O(1)."""
        body, kind = row.act.body, int(command["kind"])
        if row.act.stage in ("PROPOSED", "DECLINED") or isinstance(body, HandleAlert):
            return kind == Command.CLOCK_TICK
        named = self._named(body)
        number, which, value, price, account, order = (
            int(command[name])
            for name in (
                "instrument_id", "order_type", "quantity", "price", "account_id", "order_id",
            )
        )  # fmt: skip
        symbol = named.id if named else 0
        match body:
            case Halt():
                return (kind, which, number) == (Command.PHASE_CHANGE, Phase.HALT, symbol)
            case PhaseChange():
                phase = Phase[body.phase]
                return (kind, which, number) == (Command.PHASE_CHANGE, phase, symbol)
            case Resume():
                is_moved = kind == Command.PHASE_CHANGE and which == Phase[body.phase]
                return kind == Command.CLOCK_TICK or (is_moved and symbol in (0, number))
            case DayRoll():
                return (kind, value) == (Command.DAY_ROLL, body.trading_date)
            case ReferencePrice():
                wanted = limit_price(body.price, self._market)
                return (kind, number, price) == (Command.REFERENCE_PRICE, symbol, wanted)
            case CashDeposit():
                amount = to_minor(body.amount, self._market.minor_digits, "amount")
                asked = Command.CASH_DEPOSIT if amount > 0 else Command.CASH_WITHDRAW
                return (kind, account, value) == (asked, body.account, abs(amount))
            case Kill() | Lift():
                suspends = (which, value) == (AccountParameter.SUSPENDED, isinstance(body, Kill))
                if body.participant:
                    is_it = kind == Command.PARTICIPANT_PARAMETER and order == body.participant
                    return is_it and suspends
                if body.account:
                    is_it = kind == Command.ACCOUNT_PARAMETER and account == body.account
                    return is_it and suspends
                return kind == Command.CLOCK_TICK
            case SetLimit():
                return _sets(body, symbol, (kind, number, which, value, account, order))
        return False

    def _owner(self, index: int) -> ActRow | None:
        """The act to which a command of the record belongs. O(commands)."""
        frame = self._record[1]
        if not is_sound(frame):
            return None
        commands: NDArray[Any] = read_commands(frame)
        for at in range(index, -1, -1):
            if commands["kind"][at] == Command.NOTE:
                continue
            if commands["session_id"][at]:
                return self._rows.get(at)
            if not commands["ref"][at]:
                return None
        return None

    # -- events ------------------------------------------------------------------------------------

    def _event(self, row: EventRow) -> None:
        """What loosens stands in a command of an act that may."""
        owner = self._owner(row.command_index)
        what = next(self._loosened(row, owner), "")
        is_for_two = owner is not None and (owner.act.stage == "APPROVED" or _opens_blocks(owner))
        if what and not is_for_two and not self.difference:
            number = self._record[0]
            who = f"{owner.act.stage} by {owner.act.who}" if owner is not None else "with no words"
            self.difference = f"orders record {number} {what}, {who}: no two persons decided it"

    def _loosened(self, row: EventRow, owner: ActRow | None) -> Iterator[str]:
        if row.kind in _SUSPENDS:
            is_lifted = row.order_type == AccountParameter.SUSPENDED and not row.quantity
            if is_lifted and self._was_suspended(row):
                yield "lifts a kill"
        elif row.kind == Event.PHASE_CHANGED:
            known = self.positions.instruments.get(row.instrument_id)
            opens = row.order_type not in (Phase.CLOSED, Phase.HALT)
            was_halted = known is not None and known.phase == Phase.HALT
            if opens and was_halted and (self._was_halted or owner is None):
                yield "ends a halt"
        else:
            limit = (row.instrument_id, row.order_type)
            before, word = self._set.get(limit), _WORDS.get(row.order_type)
            if word and before is not None and is_looser(word, before, row.quantity):
                yield f"widens {word} of instrument {row.instrument_id} to {row.quantity}"
            if owner is not None or before is not None:
                self._set[limit] = row.quantity

    def _was_suspended(self, row: EventRow) -> bool:
        which = AccountParameter.SUSPENDED
        if row.kind == Event.PARTICIPANT_CHANGED:
            return bool(self.controls.of_participant(row.order_id, which))
        return bool(self.controls.of_account(row.account_id, which, row.instrument_id))

    def _find(self, row: ActRow, what: str) -> None:
        if not self.difference:
            act = row.act
            self.difference = (
                f"orders record {row.position >> INDEX_BITS}: {act.stage} "
                f"{type(act.body).__name__} by {signer(act.key, act.who)}: {what}"
            )


def _is_planned(row: ActRow) -> bool:
    """Whether a step of the timetable: two decided on it who signed the venue file. O(1)."""
    return row.act.key == TIMETABLE and row.session in (TIMETABLE_SESSION, DECISION_SESSION)


def _is_step(body: Recorded) -> bool:
    is_blocks = isinstance(body, SetLimit) and body.parameter == "BLOCK_OPEN"
    return is_blocks or isinstance(body, PhaseChange | DayRoll)


def _opens_blocks(row: ActRow) -> bool:
    return _is_planned(row) and isinstance(row.act.body, SetLimit) and _is_step(row.act.body)


class _Acts(Acts):
    """Acts that are judged by what stands before each."""

    def __init__(self, audit: PersonsAudit) -> None:
        super().__init__()
        self._audit = audit

    def _take(self, row: ActRow) -> None:
        self._audit.judge(row)
        super()._take(row)


def _sets(body: SetLimit, symbol: int, said: tuple[int, ...]) -> bool:
    """Whether a command sets the limit that the words name. O(1)."""
    kind, number, which, value, account, order = said
    if value != body.value and kind != Command.CLOCK_TICK:
        return False
    if body.participant and body.parameter in PARTICIPANT_LIMITS:
        asked = (Command.PARTICIPANT_PARAMETER, ACCOUNT_LIMITS[body.parameter])
        return (kind, which) == asked and order == body.participant
    if body.parameter in ACCOUNT_LIMITS:
        asked = (Command.ACCOUNT_PARAMETER, ACCOUNT_LIMITS[body.parameter])
        return (kind, which) == asked and (account, number) == (body.account, symbol)
    if body.parameter in INSTRUMENT_LIMITS:
        known = (Command.INSTRUMENT_PARAMETER, INSTRUMENT_LIMITS[body.parameter])
        return (kind, which) == known and number == symbol
    return kind == Command.CLOCK_TICK
