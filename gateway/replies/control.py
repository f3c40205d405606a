"""What is answered: what waits for a second operator, and who did what and why."""

from __future__ import annotations

import msgspec

from exchange.messages.operations import Recorded


class ProposalRow(msgspec.Struct, frozen=True):
    """What waits for another operator."""

    proposal_id: int
    time_ns: int
    ends_ns: int  # then it can no longer be approved
    key: str
    who: str
    reason: str
    body: Recorded


class ProposalList(msgspec.Struct, frozen=True):
    """Open proposals, oldest first."""

    market: str
    proposals: list[ProposalRow]


class ActLine(msgspec.Struct, frozen=True):
    """What an operator did, with the words kept of it."""

    position: int  # on the log
    time_ns: int
    stage: str  # DONE, PROPOSED, APPROVED, DECLINED
    outcome: str  # DONE, REFUSED by the engine, PENDING while it has not answered
    reason_number: int  # why the engine refused it
    key: str
    who: str
    reason: str
    body: Recorded
    proposal_id: int


class ActList(msgspec.Struct, frozen=True):
    """Acts in the order of the log; those before `first_position` are no longer kept here."""

    market: str
    first_position: int
    acts: list[ActLine]
