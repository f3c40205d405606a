"""What the registry keeps of each act: rows of the books, each after its `market`."""

from __future__ import annotations

from typing import NamedTuple

from exchange.messages.registry import ProjectDetails


class Place(NamedTuple):
    """Where units lie: whose, in which position, of what; PLEDGED ones also to whom, PENDING ones
    held by which instruction."""

    account: int
    position: int
    instrument_id: int
    lender: int = 0


class RegistryPosition(NamedTuple):
    """How far the registry came; the columns of `registry_position` after `market`."""

    topic_offset: int = 0
    settlement_number: int = 0
    number: int = 0
    published: int = 0
    deposit_ref: int = 0
    block_id: int = 0
    sequence: int = 0
    time_ns: int = 0
    message_ref: int = 0  # last number given to a message to a registry
    messages_sent: int = 0  # up to this number they are known to be on `orders`


class Deposit(NamedTuple):
    """Units on their way to the trading position; a row of `deposit` after `market`."""

    ref: int
    instruction_id: int
    account: int
    instrument_id: int
    quantity: int
    confirmed: int = 0


class Surrender(NamedTuple):
    """A row of `surrender` after `market`."""

    instruction_id: int
    account: int
    instrument_id: int
    scheme: str
    year: int
    rule: str
    quantity: int
    time_ns: int
    is_late: int = 0  # after the last day for the year


class Encumbrance(NamedTuple):
    """Units frozen or pledged, or the end of it; a row of `encumbrance` after `market`."""

    instruction_id: int
    kind: int  # frames.Instruction
    account: int  # the owner
    lender: int  # 0: frozen, not pledged
    instrument_id: int
    quantity: int
    given_by: str
    reference: str
    time_ns: int


class Proposal(NamedTuple):
    """A row of `reversal_proposal` after `market`."""

    instruction_id: int
    original: int  # the instruction to be reversed
    account: int
    instrument_id: int
    quantity: int
    proposed_by: str
    reason: str
    time_ns: int


class Reversal(NamedTuple):
    """A row of `reversal` after `market`."""

    instruction_id: int  # of the approval
    original: int
    proposal: int
    account: int
    instrument_id: int
    quantity: int
    proposed_by: str
    approved_by: str
    reason: str
    time_ns: int


class Project(NamedTuple):
    """A row of `project` after `market`, its details read."""

    number: int
    programme: str
    account: int  # of its owner
    instruction_id: int
    details: ProjectDetails
    time_ns: int


class ForeignProject(NamedTuple):
    """A project in another registry, as that told of it; a row of `foreign_project`."""

    programme: str
    project: int
    project_type: str
    region: str
    flags: str  # by commas


class Issuance(NamedTuple):
    """What an issuance says of its reductions; zeros where it says nothing."""

    project: int = 0
    period_from: int = 0  # YYYYMMDD
    period_to: int = 0


class NetSale(NamedTuple):
    """What an account sold less what it bought; a row of `net_sale` after `market`."""

    account: int
    instrument_id: int
    quantity: int


class Cause(NamedTuple):
    """Why blocks change: what is noted beside each change."""

    settlement_number: int
    time_ns: int
    name: str
    id: int


class Entitlement(NamedTuple):
    """How many credits an account may exchange; a row of `credit_entitlement` after `market`."""

    instruction_id: int
    account: int
    scheme: str
    applies_to: str  # the group of the rule
    base: int  # tonnes, of which the rule takes a share
    given_by: str
    time_ns: int


class CreditExchange(NamedTuple):
    """Credits of a project exchanged; a row of `credit_exchange` after `market`."""

    instruction_id: int
    project: int
    account: int
    scheme: str
    instrument_id: int
    allowance_id: int
    vintage: int  # of the allowances
    quantity: int
    rule: str
    given_by: str
    time_ns: int
