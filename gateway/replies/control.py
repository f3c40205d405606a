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
    body: Recorded  # what is proposed, as it was sent


class ProposalList(msgspec.Struct, frozen=True):
    """Open proposals, oldest first."""

    market: str
    proposals: list[ProposalRow]  # those whose time has not passed


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
    body: Recorded  # what was asked, as it was sent; of a decision what it decides
    proposal_id: int


class ActList(msgspec.Struct, frozen=True):
    """Acts in the order of the log; those before `first_position` are no longer kept here."""

    market: str
    first_position: int  # of the oldest act that is kept, on the log; 0 = none is kept
    acts: list[ActLine]  # at most as many as were asked for
