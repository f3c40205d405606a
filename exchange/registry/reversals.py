"""Undoing a surrender or a cancellation, which takes two persons: one proposes, another approves.

A reversal is of a whole instruction: all its units come back to the registry position of the same
account, and what was surrendered for the obligation and used of an offset's cap falls by as much.
Who proposed and who approved stand in the books, and the database refuses a second reversal of the
same instruction as well as one by the same person.

What is retired is not kept in memory. So before a record of `settlements` with such instructions is
applied, the service looks up what they name, in the books as they stand before that record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import RegistryItem, ReversalProposed, UnitsReversed
from exchange.messages.settlement import InstructionPassed, SettlementItem
from exchange.reference.signers import is_one_person
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Block, State, runs, tonnes
from exchange.registry.compliance_year import require_unassessed
from exchange.registry.encumbrances import notes_of
from exchange.registry.holdings import Holdings, projects_of
from exchange.registry.refusals import RefusalError, RegistryBrokenError
from exchange.registry.rows import Cause, Proposal, Reversal, Surrender
from exchange.registry.standings import OffsetSurrender
from exchange.registry.two_reversals import CheckFit
from exchange.registry.years import Figures
from exchange.settings import REVERSAL_DAYS_MAX

_DAY_NS = 86_400 * 1_000_000_000


Elsewhere = Callable[[InstructionPassed, OffsetSurrender, Proposal, str, Cause], list[RegistryItem]]
"""Begins to undo a surrender of another registry's credits, as the key approves."""


class Retirement(NamedTuple):
    """What a surrender or a cancellation took away."""

    instruction_id: int
    state: State
    account: int
    instrument_id: int
    quantity: int
    surrender: Surrender | None  # None: a cancellation
    elsewhere: OffsetSurrender | None = None  # the credits lie in another registry


class Past(NamedTuple):
    """What the books say about the instructions that a record names."""

    proposals: dict[int, Proposal]
    retirements: dict[int, Retirement]  # not those that were reversed
    blocks: dict[int, list[Block]]  # of a retirement that somebody approves to reverse


class Named(NamedTuple):
    """What the instructions of a record ask for."""

    originals: frozenset[int]  # instructions that somebody proposes to reverse
    proposals: frozenset[int]  # proposals that somebody approves


def named_by(items: Iterable[SettlementItem]) -> Named | None:
    """The ids that proposals and approvals name; None when there are none. O(items)."""
    found = [
        item
        for item in items
        if isinstance(item, InstructionPassed)
        and item.kind in (Instruction.PROPOSE_REVERSAL, Instruction.APPROVE_REVERSAL)
    ]
    if not found:
        return None
    return Named(
        frozenset(i.argument for i in found if i.kind == Instruction.PROPOSE_REVERSAL),
        frozenset(i.argument for i in found if i.kind == Instruction.APPROVE_REVERSAL),
    )


class Reversals:
    """What proposals and approvals do to a market's holdings."""

    def __init__(
        self,
        holdings: Holdings,
        instruments: Mapping[int, Instrument],
        check_fit: CheckFit,
        elsewhere: Elsewhere,
    ) -> None:
        self._check_fit = check_fit
        self._elsewhere = elsewhere
        self.past = Past({}, {}, {})  # set before each record that names something
        self._holdings = holdings
        self._instruments = instruments

    def propose(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """PROPOSE_REVERSAL of the instruction `argument`. O(1)."""
        proposed_by, reason = notes_of(item)
        if not proposed_by or not reason:
            raise RefusalError(
                RegistryReason.REFERENCE_MISSING,
                "a reversal needs the key that proposes it and a reason",
            )
        self._retirement(item, instrument, item.argument)
        told = (item.instruction_id, item.argument, item.account_id, instrument.id, item.quantity)
        proposal = Proposal(*told, proposed_by, reason, cause.time_ns)
        self._holdings.changes.proposals.append(proposal)
        expires_ns = cause.time_ns + REVERSAL_DAYS_MAX * _DAY_NS
        return [ReversalProposed(*told, proposed_by, reason, expires_ns)]

    def approve(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """APPROVE_REVERSAL of the proposal `argument`: the units come back. O(blocks x log).

        Those of another registry's when it has answered (`two_reversals`).
        """
        proposal = self._proposal(item, instrument, cause)
        approved_by, _ = notes_of(item)
        if not approved_by:
            raise RefusalError(
                RegistryReason.REFERENCE_MISSING, "an approval needs the key that gave it"
            )
        if is_one_person(approved_by, proposal.proposed_by):
            raise RefusalError(
                RegistryReason.SAME_PERSON,
                f"{approved_by} proposed reversal {proposal.instruction_id} itself",
            )
        retirement = self._retirement(item, instrument, proposal.original)
        if retirement.elsewhere is not None:
            return self._elsewhere(item, retirement.elsewhere, proposal, approved_by, cause)
        taken = self.past.blocks[proposal.original]
        if tonnes(taken) != retirement.quantity:
            raise RegistryBrokenError(
                f"instruction {proposal.original} took {retirement.quantity} t, of which the books "
                f"have {tonnes(taken)} t"
            )
        year = 0
        if retirement.surrender is not None:
            account = (retirement.account, retirement.surrender.scheme, retirement.surrender.year)
            require_unassessed(account, self._holdings.years.get(account, Figures()))
            year = retirement.surrender.year
            product = self._instruments[retirement.instrument_id].product
            figures = self._holdings.years.get(account, Figures())
            by_project = projects_of(taken) if retirement.surrender.rule else {}
            undone = {(product, project): tonnes_ for project, tonnes_ in by_project.items()}
            self._check_fit(account, figures, cause, undone)
            self._holdings.undo_surrender(retirement.surrender, product, taken)
        del self.past.retirements[proposal.original]
        blocks = self._holdings.restore(taken, cause)
        told = (item.instruction_id, proposal.original, proposal.instruction_id)
        whose = (retirement.account, retirement.instrument_id)
        names = (proposal.proposed_by, approved_by, proposal.reason)
        self._holdings.changes.reversals.append(
            Reversal(*told, *whose, retirement.quantity, *names, cause.time_ns)
        )
        return [
            UnitsReversed(
                *told, *whose, year, tonnes(run), *names, tuple(block.range for block in run)
            )
            for run in runs(blocks)
        ]

    def _proposal(self, item: InstructionPassed, instrument: Instrument, cause: Cause) -> Proposal:
        proposal = self.past.proposals.get(item.argument)
        told = (item.account_id, instrument.id, item.quantity)
        if proposal is None:
            raise RefusalError(
                RegistryReason.UNKNOWN_PROPOSAL, f"there is no proposal {item.argument}"
            )
        if proposal[2:5] != told:
            raise RefusalError(
                RegistryReason.UNKNOWN_PROPOSAL,
                f"proposal {item.argument} is about {proposal.quantity} t of instrument "
                f"{proposal.instrument_id} in account {proposal.account}, not {item.quantity} t of "
                f"{instrument.symbol} in account {item.account_id}",
            )
        if cause.time_ns - proposal.time_ns > REVERSAL_DAYS_MAX * _DAY_NS:
            raise RefusalError(
                RegistryReason.PROPOSAL_EXPIRED,
                f"proposal {item.argument} is older than {REVERSAL_DAYS_MAX} days",
            )
        return proposal

    def _retirement(
        self, item: InstructionPassed, instrument: Instrument, original: int
    ) -> Retirement:
        retirement = self.past.retirements.get(original)
        if retirement is None:
            raise RefusalError(
                RegistryReason.NOT_REVERSIBLE,
                f"instruction {original} is no surrender or cancellation that was carried out and "
                "still stands",
            )
        if retirement[2:5] != (item.account_id, instrument.id, item.quantity):
            raise RefusalError(
                RegistryReason.NOT_REVERSIBLE,
                f"instruction {original} took {retirement.quantity} t of instrument "
                f"{retirement.instrument_id} from account {retirement.account}, not "
                f"{item.quantity} t of {instrument.symbol} from account {item.account_id}; it can "
                "be reversed as a whole only",
            )
        return retirement
