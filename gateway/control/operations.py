"""Operators' requests become commands, with the words of who did it and why behind each.

One person may always make the market safer: halt, kill, tighten. What loosens is a proposal until
another operator approves it: to lift a kill, to resume a halted market, to widen a limit, to move
the band by a reference price outside it, to end a day that has not come, to pay out or take in
much. A proposal and its decision stand on `orders` themselves, as notes behind a CLOCK_TICK or
behind the command that carries it out, so that they outlive every gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

from exchange.clock import Clock
from exchange.messages.frames import (
    AccountParameter,
    Command,
    MassCancelScope,
    Phase,
    notes,
    pack_command,
)
from exchange.messages.operations import (
    Act,
    Approve,
    CashDeposit,
    Control,
    DayRoll,
    Decision,
    Halt,
    HandleAlert,
    Kill,
    Lift,
    PhaseChange,
    Recorded,
    ReferencePrice,
    Resume,
    SetLimit,
    StageWord,
)
from exchange.messages.reasons import AccessReason, EdgeReason, Reason
from exchange.reference.signers import is_one_person, signer
from exchange.reference.venue import DECISION_SESSION, Instrument, Key
from exchange.settings import ACTS_KEPT_MAX, NOTE_BYTES_MAX, PROPOSALS_OPEN_MAX
from gateway.control.limits import (
    ACCOUNT_LIMITS,
    PARTICIPANT_LIMITS,
    limit_parameter,
)
from gateway.control.trading_dates import trading_date
from gateway.control.two_persons import alone_max, is_judged, needs_two
from gateway.entry.decimals import INT64_MAX, to_minor
from gateway.entry.fields import limit_price
from gateway.entry.order_entry import Desk, OrderEntry, Prepared
from gateway.refusal import Refused
from gateway.views.acts import ActRow, Proposal
from gateway.views.venue_view import MarketView

_encode = msgspec.json.Encoder().encode


class Numbered(NamedTuple):
    """The number under which the engine takes a command."""

    session: int
    ref: int


FOLLOWS = Numbered(0, 1)
"""Of a command that belongs to the numbered one before it, and is done only if that is."""


HALT_LEAP = 1 << 16  # decisions that a gateway may lag behind whose halt still goes before them
TURN_S_MAX = 2.0  # that a decision waits for those before it at this gateway


class Operations:
    """Prepares what operators ask for; the engine judges it."""

    def __init__(self, entry: OrderEntry, clock: Clock, message_rate: int) -> None:
        self._entry = entry
        self._clock = clock
        self._message_rate = message_rate
        self._turns: dict[str, asyncio.Lock] = {}  # of each market

    @asynccontextmanager
    async def turn(self, request: Recorded) -> AsyncIterator[None]:
        """Those who decide by what stands go one after the other; Refused (VENUE_BUSY). O(1)."""
        lock = self._turns.setdefault(self._desk(request).market.code, asyncio.Lock())
        try:
            await asyncio.wait_for(lock.acquire(), TURN_S_MAX)
        except TimeoutError:
            raise Refused(EdgeReason.VENUE_BUSY, "others decide before this one") from None
        try:
            yield
        finally:
            lock.release()

    def earlier(self, key: Key, request: Recorded) -> ActRow | None:
        """The act which a judged request asks for again; None: it is new. O(acts) if it is not.

        Refused: REF_REUSED, REF_PASSED_OVER, REF_FORGOTTEN.
        """
        acts = self._desk(request).view.acts
        ref = self._entry.checked_ref(request.ref)
        if ref > acts.last_ref.get(key.session, 0) or (key.id, ref) in acts.lost:
            return None
        found = acts.asked(key.id, ref)
        if found is not None and found.act.body != request:
            raise Refused(EdgeReason.REF_REUSED)
        if found is None:
            is_full = len(acts.rows) == ACTS_KEPT_MAX
            raise Refused(EdgeReason.REF_FORGOTTEN if is_full else EdgeReason.REF_PASSED_OVER)
        return found

    def prepare(self, key: Key, request: Recorded, *, is_for_two: bool = False) -> Prepared:
        """The commands of a request, or of its proposal where two persons decide. O(1).

        `is_for_two`: the caller found that it needs a second one, whatever it asks.
        Refused names what cannot be used.
        """
        desk = self._desk(request)
        is_said = isinstance(request, HandleAlert) and request.state != "TAKEN"
        _check_words(request.reason, is_needed=is_said or isinstance(request, Control))
        own = Numbered(key.session, self._entry.checked_ref(request.ref))
        number = self._next(desk) if is_judged(request) else own
        commands = self._commands(desk, number, request)
        stage: StageWord = "DONE"
        if is_for_two or self._needs_two(desk, key, request):
            if len(desk.view.acts.open_proposals(self._clock.now_ns())) >= PROPOSALS_OPEN_MAX:
                raise Refused(AccessReason.PROPOSALS_FULL, f"{PROPOSALS_OPEN_MAX} are open")
            commands, stage = [_tick(number)], "PROPOSED"
        made = _recorded(desk, number, key, stage, request, commands)
        if number != own and own.ref > desk.view.acts.last_ref.get(own.session, 0):
            # its session goes on from there, whoever had the number
            made.commands.append(_tick(own))
        return made._replace(session=own.session, ref=own.ref, is_proposal=stage == "PROPOSED")

    def _next(self, desk: Desk) -> Numbered:
        return Numbered(DECISION_SESSION, desk.view.acts.next_decision)

    def view_of(self, request: Recorded) -> MarketView:
        """The market that a request is about, as this gateway knows it. O(1).

        Refused: no such market or instrument.
        """
        return self._desk(request).view

    def planned(self, key: Key, request: Recorded) -> Prepared:
        """The commands of a step of the timetable; those who sign the venue file approved it. O(1).

        It is numbered as decisions are: what was decided without it, or it without knowing of, is
        judged anew. Refused names what cannot be used.
        """
        desk = self._desk(request)
        _check_words(request.reason, is_needed=True)
        own = Numbered(key.session, self._entry.checked_ref(request.ref))
        number = self._next(desk)
        made = _recorded(desk, number, key, "DONE", request, self._commands(desk, number, request))
        made.commands.append(_tick(own))
        return made._replace(session=own.session, ref=own.ref)

    def decide(self, key: Key, request: Decision) -> Prepared:
        """The commands that carry a proposal out, or end it. O(1).

        Refused: UNKNOWN_PROPOSAL, PROPOSAL_OVER, SAME_PERSON_APPROVES.
        """
        desk = self._entry.desk(request.market)
        _check_words(request.reason)
        self._entry.checked_ref(request.ref)
        proposal = self._open_proposal(desk, request.proposal_id)
        proposed = proposal.row.act
        number = self._next(desk)
        stage: StageWord = "DECLINED"
        if not isinstance(request, Approve):
            commands = [_tick(number)]
        else:
            if is_one_person(key.signer, signer(proposed.key, proposed.who)):
                raise Refused(AccessReason.SAME_PERSON_APPROVES, f"{proposed.who} proposed it")
            commands, stage = self._commands(desk, number, proposed.body), "APPROVED"
        act = Act(stage, key.id, key.who, request.reason, proposed.body, request.proposal_id)
        return _urgent(desk, number, _noted(commands, act))

    def opening_of(self, request: Decision) -> tuple[Act, PhaseChange] | None:
        """The act that an approval would carry out, if it moves a phase; else None. O(1)."""
        desk = self._entry.desk(request.market)
        found = desk.view.acts.proposals.get(request.proposal_id)
        body = found.row.act.body if found is not None and isinstance(request, Approve) else None
        return (found.row.act, body) if found and isinstance(body, PhaseChange) else None

    def _open_proposal(self, desk: Desk, proposal_id: int) -> Proposal:
        found = desk.view.acts.proposals.get(proposal_id)
        if found is None:
            raise Refused(AccessReason.UNKNOWN_PROPOSAL, f"proposal {proposal_id}")
        if not found.is_open(self._clock.now_ns()):
            raise Refused(AccessReason.PROPOSAL_OVER, f"proposal {proposal_id}: {found.state}")
        return found

    def _desk(self, request: Recorded) -> Desk:
        if isinstance(request, ReferencePrice):
            return self._entry.desks[self._entry.instrument(request.symbol).market]
        return self._entry.desk(request.market)

    def _needs_two(self, desk: Desk, key: Key, request: Recorded) -> bool:
        symbol = getattr(request, "symbol", "")
        return needs_two(
            desk.view, desk.market, self._entry.instrument(symbol) if symbol else None, key.who,
            request, self._clock.now_ns(), self._message_rate,
        )  # fmt: skip

    def _commands(self, desk: Desk, number: Numbered, request: Recorded) -> list[bytes]:
        if isinstance(request, PhaseChange | Halt):
            return self._phase(desk, number, request)
        if isinstance(request, Resume):
            return self._resume(desk, number, request)
        if isinstance(request, Kill | Lift):
            return self._switch(desk, number, request)
        if isinstance(request, SetLimit):
            return self._limit(desk, number, request)
        if isinstance(request, HandleAlert):
            return [_tick(number)]
        if isinstance(request, DayRoll):
            date = trading_date(request.trading_date, self._clock.now_ns())
            return [_command(Command.DAY_ROLL, number, quantity=date)]
        if isinstance(request, ReferencePrice):
            instrument = self._entry.instrument(request.symbol)
            price = limit_price(request.price, desk.market)
            return [_command(
                Command.REFERENCE_PRICE, number, instrument_id=instrument.id, price=price,
            )]  # fmt: skip
        return self._cash(desk, number, request)

    def _phase(self, desk: Desk, number: Numbered, request: PhaseChange | Halt) -> list[bytes]:
        named = self._named(desk, request.symbol)
        phase, seed = Phase.HALT, 0
        if isinstance(request, PhaseChange):
            phase, seed = Phase[request.phase], request.seed
            if not -INT64_MAX <= seed <= INT64_MAX:
                raise Refused(EdgeReason.INVALID_FIELD, "seed: it does not fit 64 bits")
            if desk.view.acts.market_halt and phase not in (Phase.CLOSED, Phase.HALT):
                raise Refused(AccessReason.TWO_PERSONS_NEEDED, desk.market.code)
        change = _command(
            Command.PHASE_CHANGE, number, order_type=phase,
            instrument_id=named.id if named else 0, quantity=seed,
        )  # fmt: skip
        if phase != Phase.HALT or number.session == DECISION_SESSION:
            return [change]
        # it waits for nothing: so what was decided without it, and comes behind it, is not done
        last = self._next(desk)
        return [change, _tick(last._replace(ref=last.ref + HALT_LEAP))]

    def _resume(self, desk: Desk, number: Numbered, request: Resume) -> list[bytes]:
        """Moves what is halted and nothing else: a closed instrument opens through the gate."""
        named = self._named(desk, request.symbol)
        known = desk.view.positions.instruments
        halted = [
            item for item in ([named.id] if named else sorted(known))
            if item in known and known[item].phase == Phase.HALT
        ]  # fmt: skip
        if named and not halted:
            raise Refused(Reason.PHASE_TRANSITION_REFUSED, f"{named.symbol} is not halted")
        if not halted:
            return [_tick(number)]
        phase = Phase[request.phase]
        return [
            _command(Command.PHASE_CHANGE, who, order_type=phase, instrument_id=item)
            for who, item in zip([number, *[FOLLOWS] * len(halted)], halted, strict=False)
        ]

    def _switch(self, desk: Desk, number: Numbered, request: Kill | Lift) -> list[bytes]:
        target = _one_of(request, "participant", "account", "session")
        is_kill = isinstance(request, Kill)
        value = {"order_type": AccountParameter.SUSPENDED, "quantity": int(is_kill)}
        if target == "participant":
            first = _command(
                Command.PARTICIPANT_PARAMETER, number, order_id=request.participant, **value
            )
            rest = _command(
                Command.MASS_CANCEL, FOLLOWS, order_id=request.participant,
                time_in_force=MassCancelScope.BIDS_TOO,
            )  # fmt: skip
        elif target == "account":
            account = self._entry.account(desk.market, request.account).id
            first = _command(Command.ACCOUNT_PARAMETER, number, account_id=account, **value)
            rest = _command(
                Command.MASS_CANCEL, FOLLOWS, account_id=account,
                time_in_force=MassCancelScope.BIDS_TOO,
            )  # fmt: skip
        else:
            first = _tick(number)
            rest = _command(Command.MASS_CANCEL, FOLLOWS, quantity=request.session)
        return [first, rest] if is_kill else [first]

    def _limit(self, desk: Desk, number: Numbered, request: SetLimit) -> list[bytes]:
        named = self._named(desk, request.symbol)
        parameter = limit_parameter(request, self._entry.account, desk.market)
        instrument = named.id if named else 0
        if parameter is None:
            return [_tick(number)]  # the gateways' own throttle
        value = {"order_type": parameter, "quantity": request.value}
        if request.participant and request.parameter in PARTICIPANT_LIMITS:
            return [_command(
                Command.PARTICIPANT_PARAMETER, number, order_id=request.participant, **value,
            )]  # fmt: skip
        if request.parameter in ACCOUNT_LIMITS:
            return [_command(
                Command.ACCOUNT_PARAMETER, number, account_id=request.account,
                instrument_id=instrument, **value,
            )]  # fmt: skip
        return [_command(
            Command.INSTRUMENT_PARAMETER, number, instrument_id=instrument, **value,
        )]  # fmt: skip

    def _cash(self, desk: Desk, number: Numbered, request: CashDeposit) -> list[bytes]:
        account = self._entry.account(desk.market, request.account)
        amount = self._amount(desk, request)
        if amount == 0:
            raise Refused(Reason.QUANTITY_NOT_POSITIVE, "amount 0")
        return [_command(
            Command.CASH_DEPOSIT if amount > 0 else Command.CASH_WITHDRAW, number,
            account_id=account.id, quantity=abs(amount), order_id=self._entry.transfer_id(),
        )]  # fmt: skip

    def _amount(self, desk: Desk, request: CashDeposit) -> int:
        return to_minor(request.amount, desk.market.minor_digits, "amount")

    def _named(self, desk: Desk, symbol: str) -> Instrument | None:
        if not symbol:
            return None
        named = self._entry.instrument(symbol)
        if named.market != desk.market.code:
            raise Refused(EdgeReason.INVALID_FIELD, f"{named.symbol} is traded in {named.market}")
        return named


def _command(kind: Command, number: Numbered, **fields: Any) -> bytes:
    return pack_command(kind, session_id=number.session, ref=number.ref, **fields)


def _tick(number: Numbered) -> bytes:
    """What carries words alone: the engine only learns the time from it."""
    return _command(Command.CLOCK_TICK, number)


def _recorded(
    desk: Desk,
    number: Numbered,
    key: Key,
    stage: StageWord,
    request: Recorded,
    commands: list[bytes],
) -> Prepared:
    most = alone_max(desk.market, request)
    act = Act(stage, key.id, key.who, request.reason, request, alone_max=most)
    return _urgent(desk, number, _noted(commands, act))


def _urgent(desk: Desk, number: Numbered, commands: list[bytes]) -> Prepared:
    """What operators do goes in when members' orders no longer do: it may be what helps."""
    return Prepared(desk, number.session, number.ref, commands, is_cancel=True)


def _noted(commands: list[bytes], act: Act) -> list[bytes]:
    # the words stand behind the first command: that is the one with a number
    return [commands[0], *notes(_encode(act).decode()), *commands[1:]]


def _one_of(request: Control, *names: str) -> str:
    given = [name for name in names if getattr(request, name)]
    if len(given) != 1 or not 0 < getattr(request, given[0]) < 2**32:
        raise Refused(EdgeReason.INVALID_FIELD, f"name one of {', '.join(names)}")
    return given[0]


def _check_words(text: str, *, is_needed: bool = False) -> None:
    is_said = bool(text.strip()) or not (is_needed or text)
    if not (is_said and text.isprintable() and len(text.encode()) <= NOTE_BYTES_MAX):
        raise Refused(
            EdgeReason.INVALID_FIELD,
            f"reason: printable text of one line, at most {NOTE_BYTES_MAX} bytes",
        )
