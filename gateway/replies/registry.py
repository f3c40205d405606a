"""What is answered: projects, and what is proposed to be taken back."""

from __future__ import annotations

import msgspec

from exchange.messages.registry import ProjectDetails


class ReversalRow(msgspec.Struct, frozen=True):
    """A proposal to undo a surrender or a cancellation, not approved yet."""

    market: str
    proposal_id: int  # its instruction id: what an approval names
    original_id: int  # the instruction to be undone
    account: int
    symbol: str
    quantity: int
    proposed_by: str  # the key, and its person in brackets: who cannot approve it
    reason: str
    expires_ns: int


class ReversalList(msgspec.Struct, frozen=True):
    """Proposals that wait for somebody else's approval."""

    reversals: list[ReversalRow]  # oldest first


class ProjectRow(msgspec.Struct, frozen=True):
    """A project whose reductions may be issued as credits."""

    market: str
    programme: str
    project: int  # its number: what an issuance names
    owner_account: int
    details: ProjectDetails  # what it is, as it was registered


class ProjectList(msgspec.Struct, frozen=True):
    """Projects of the programmes, by number."""

    projects: list[ProjectRow]  # at most as many as were asked for
