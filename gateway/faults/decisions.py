"""P12: what operators were told is on the log, and whatever loosened was decided by two persons.

Read from `orders` alone: an act is the words behind a numbered command that counted. What it did is
known from the events of its commands, so that a loosening without its two persons is found however
it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from exchange.messages.executions import OperationReport
from exchange.messages.frames import (
    INDEX_BITS,
    NOTE_BYTES,
    RECORD_SIZE,
    AccountParameter,
    Command,
    Event,
    EventRow,
    Parameter,
    Phase,
)
from exchange.messages.operations import Act, Approve, AuctionOperation, Decline, Lift, Resume
from exchange.simulation.faults.auditor import Seen
from exchange.simulation.faults.oracle import Heard, History
from exchange.simulation.faults.promises import require
from gateway.faults.clerks import Clerk

_OPEN = (Phase.CONTINUOUS, Phase.OPENING_CALL)
_decode = msgspec.json.Decoder(Act).decode
Acts = dict[int, Act]  # by position on the log


def check(seen: Seen, clerks: Iterable[Clerk]) -> None:
    """Everything of one market; BrokenPromiseError. O(log + reports)."""
    acts = acts_of(seen.history)
    for clerk in clerks:
        for request, report in clerk.told:
            is_act = not isinstance(request, AuctionOperation)
            is_here = is_act and report.market == seen.market.code
            if is_here and isinstance(report, OperationReport):
                _told(seen, acts, clerk, request, report)
    check_loosened(seen.market.code, seen.history, _two_persons(acts))


def check_loosened(market: str, history: History, approved: set[int]) -> None:
    """Whatever loosened stands in a command that two persons decided. O(events)."""
    for position, row in _loosened(history):
        require(
            _act_of(history, position) in approved,
            "P12",
            f"{market}: {row} at {position} loosens, and no two persons decided it",
        )


def acts_of(history: History) -> Acts:
    """Every act that counted: its number was new, and the engine did not refuse it. O(log)."""
    found: Acts = {}
    for position, heard in history.heard.items():
        is_first = history.first.get((heard.session, heard.ref)) == position
        if heard.kind == Command.INSTRUCTION or not is_first or heard.refused:
            continue
        act = _words(heard)
        if act is not None:
            found[position] = act
    return found


def _words(heard: Heard) -> Act | None:
    notes = [
        heard.body[at + RECORD_SIZE - NOTE_BYTES : at + RECORD_SIZE]
        for at in range(RECORD_SIZE, len(heard.body), RECORD_SIZE)
        if heard.body[at] == Command.NOTE
    ]
    return _decode(b"".join(notes).rstrip(b"\0")) if notes else None


def _told(seen: Seen, acts: Acts, clerk: Clerk, request: object, report: OperationReport) -> None:
    """DONE and PROPOSED have their act, of that key and with that body; REFUSED has a refusal."""
    what = f"{seen.market.code}: {clerk.key.id} was told {report.status} of {request}"
    heard = seen.history.heard.get(report.request_id)
    require(heard is not None, "P12", f"{what}: nothing stands at {report.request_id}")
    assert heard is not None  # noqa: S101 - just required
    if report.status == "REFUSED":
        require(heard.refused == report.reason != 0, "P9", f"{what}: the log says {heard.refused}")
        return
    act = acts.get(report.request_id)
    require(act is not None, "P12", f"{what}: no act that counts stands at {report.request_id}")
    assert act is not None  # noqa: S101 - just required
    require(act.key == clerk.key.id, "P12", f"{what}: the act there is of {act.key}")
    if isinstance(request, Approve | Decline):
        stage = "APPROVED" if isinstance(request, Approve) else "DECLINED"
        same = (act.stage, act.proposal_id) == (stage, request.proposal_id)
    else:
        same = (act.stage, act.body) == (report.status, request)
    require(same, "P12", f"{what}: the act there is {act}")


def _two_persons(acts: Acts) -> set[int]:
    """Positions of sound approvals: of an earlier proposal, the same, once, by another person."""
    found: set[int] = set()
    decided: set[int] = set()
    for position in sorted(acts):
        act = acts[position]
        is_loose = isinstance(act.body, Lift) or (
            isinstance(act.body, Resume) and not act.body.symbol
        )
        require(not (act.stage == "DONE" and is_loose), "P12", f"{act} at {position} by one person")
        if act.stage not in ("APPROVED", "DECLINED"):
            continue
        proposal = acts.get(act.proposal_id)
        what = f"{act} at {position}"
        is_known = proposal is not None and proposal.stage == "PROPOSED"
        require(is_known and act.proposal_id < position, "P12", f"{what}: of no proposal")
        assert proposal is not None  # noqa: S101 - just required
        require(proposal.body == act.body, "P12", f"{what}: the proposal was {proposal}")
        require(act.proposal_id not in decided, "P12", f"{what}: it was decided before")
        decided.add(act.proposal_id)
        if act.stage == "APPROVED":
            require(act.who != proposal.who, "P12", f"{what}: {act.who} proposed it, too")
            found.add(position)
    return found


def _loosened(history: History) -> list[tuple[int, EventRow]]:
    """Events that loosen: a kill lifted, a halt ended, a limit widened; where their command is."""
    phases: dict[int, int] = {}
    limits: dict[int, int] = {}
    found: list[tuple[int, EventRow]] = []
    for _, offset, row in history.events:
        is_loose = False
        if row.kind == Event.PARTICIPANT_CHANGED:
            is_loose = row.order_type == AccountParameter.SUSPENDED and not row.quantity
        elif row.kind == Event.PHASE_CHANGED:
            is_loose = phases.get(row.instrument_id) == Phase.HALT and row.order_type in _OPEN
            phases[row.instrument_id] = row.order_type
        elif row.kind == Event.PARAMETER_CHANGED and row.order_type == Parameter.QUANTITY_MAX:
            is_loose = row.quantity > limits.get(row.instrument_id, row.quantity)
            limits[row.instrument_id] = row.quantity
        if is_loose:
            found.append((offset << INDEX_BITS | row.command_index, row))
    return found


def _act_of(history: History, position: int) -> int:
    """The numbered command to which one without a number belongs: it stands before. O(frame)."""
    while position in history.heard and not history.heard[position].session:
        position -= 1
        while position not in history.heard and position & ((1 << INDEX_BITS) - 1):
            position -= 1  # words and terms
    return position
