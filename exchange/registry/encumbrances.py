"""Units that their owner cannot dispose of: frozen by the authority, or pledged to a lender.

They stay the owner's, in a position of their own, and come out of it only the way they went in:
frozen units by two persons of the offices, pledged ones by the lender alone, who gives them back
to the owner or, when the owner defaults, takes them. Each act is a row of `encumbrance` for good.
The notes of the instruction are lines: the key that gave it, a reference (the court's, the loan's),
and of what two persons decide the office for which the key acts.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import EncumbranceChanged, RegistryItem
from exchange.messages.settlement import InstructionPassed
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Position, runs, tonnes
from exchange.registry.holdings import Holdings
from exchange.registry.refusals import RefusalError, require_account, require_free
from exchange.registry.rows import Cause, Encumbrance, Place

FOR_ANOTHER = "for "  # and the account, in the notes of a surrender
OFFICES = ("operator", "authority")
_BY = "by"


class Signature(NamedTuple):
    """Who gave an act: a key, and for which office; "" = for the account."""

    key: str = ""
    office: str = ""


class Encumbrances:
    """What freezes, pledges and their ends do to a market's holdings. Each O(blocks x log)."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def freeze(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """FREEZE: out of the registry position of `account`."""
        _require_reference(item)
        account = item.account_id
        require_free(self._holdings, account, instrument, item.quantity)
        source = Place(account, Position.REGISTRY, instrument.id)
        return self._move(item, source, source._replace(position=Position.FROZEN), cause)

    def unfreeze(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """UNFREEZE that was approved: back into the registry position of `account`.

        What is held for others goes another way (`others`).
        """
        source = self._frozen(item, instrument)
        return self._move(item, source, source._replace(position=Position.REGISTRY), cause)

    def thawed_by(self, item: InstructionPassed, instrument: Instrument) -> Signature:
        """Who gave UNFREEZE; RefusalError unless it can be done. O(1)."""
        _require_reference(item)
        self._frozen(item, instrument)
        return of_office(item)

    def _frozen(self, item: InstructionPassed, instrument: Instrument) -> Place:
        """The place of the frozen units; RefusalError when they are fewer."""
        source = Place(item.account_id, Position.FROZEN, instrument.id)
        held = self._holdings.held(*source)
        if held < item.quantity:
            raise RefusalError(
                RegistryReason.NOT_FROZEN,
                f"{held} t of {instrument.symbol} are frozen in account {item.account_id}, not "
                f"{item.quantity} t",
            )
        return source

    def pledge(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """PLEDGE: out of the registry position of `account`, for the lender `argument`."""
        owner, lender = item.account_id, item.argument
        require_account(self._holdings, lender)
        if lender == owner:
            raise RefusalError(
                RegistryReason.LENDER_IS_OWNER, f"account {owner} cannot pledge to itself"
            )
        require_free(self._holdings, owner, instrument, item.quantity)
        source = Place(owner, Position.REGISTRY, instrument.id)
        target = source._replace(position=Position.PLEDGED, lender=lender)
        return self._move(item, source, target, cause)

    def release(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """RELEASE_PLEDGE: what `argument` pledged to `account` goes back to `argument`."""
        source = self._pledged(item, instrument)
        target = source._replace(position=Position.REGISTRY, lender=0)
        return self._move(item, source, target, cause)

    def enforce(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """ENFORCE_PLEDGE: what `argument` pledged to `account` becomes the lender's own."""
        _require_reference(item)
        source = self._pledged(item, instrument)
        target = Place(item.account_id, Position.REGISTRY, instrument.id)
        return self._move(item, source, target, cause)

    def _pledged(self, item: InstructionPassed, instrument: Instrument) -> Place:
        """The place of an owner's units pledged to `account`; RefusalError when they are fewer."""
        source = Place(item.argument, Position.PLEDGED, instrument.id, item.account_id)
        held = self._holdings.held(*source)
        if held < item.quantity:
            raise RefusalError(
                RegistryReason.NOT_PLEDGED,
                f"account {item.argument} has pledged {held} t of {instrument.symbol} to account "
                f"{item.account_id}, not {item.quantity} t",
            )
        return source

    def _move(
        self, item: InstructionPassed, source: Place, target: Place, cause: Cause
    ) -> list[RegistryItem]:
        blocks = self._holdings.move(
            source, target.account, target.position, item.quantity, cause, lender=target.lender
        )
        given_by, text = notes_of(item)
        reference = text.partition("\n")[0]
        lender = source.lender or target.lender
        self._holdings.changes.encumbrances.append(
            Encumbrance(
                item.instruction_id,
                item.kind,
                source.account,
                lender,
                source.instrument_id,
                item.quantity,
                given_by,
                reference,
                cause.time_ns,
            )
        )
        told = (item.instruction_id, cause.name, source.account, lender, source.instrument_id)
        return [
            EncumbranceChanged(
                *told, tonnes(run), given_by, reference, tuple(block.range for block in run)
            )
            for run in runs(blocks)
        ]


def names_another(notes: str) -> bool:
    """Whether the notes of a surrender say for whom else it is. O(1)."""
    return notes.startswith(FOR_ANOTHER)


def signed(item: InstructionPassed) -> tuple[Signature, InstructionPassed]:
    """Who gave a SURRENDER or an ISSUE, and the instruction without the line that says so. O(1).

    The line comes first: `by KEY`, `operator KEY` or `authority KEY`. Without it nobody is known.
    """
    line, _, rest = item.notes.partition("\n")
    word, _, key = line.partition(" ")
    if word not in (_BY, *OFFICES) or not key.strip():
        return Signature(), item
    office = "" if word == _BY else word
    return Signature(key.strip(), office), msgspec.structs.replace(item, notes=rest)


def notes_of(item: InstructionPassed) -> tuple[str, str]:
    """The key that gave an instruction, and its reference or reason; "" where it says none."""
    given_by, _, text = (part.strip() for part in item.notes.partition("\n"))
    return given_by, text


def of_office(item: InstructionPassed) -> Signature:
    """Who gave what a second person of an office decides. RefusalError: no office. O(1).

    The notes are the key, a reference or name, and the office.
    """
    key, text = notes_of(item)
    office = text.partition("\n")[2]
    if office not in OFFICES:
        raise RefusalError(
            RegistryReason.REFERENCE_MISSING,
            f"{Instruction(item.kind).name} of account {item.account_id} needs two persons: say "
            f"for which office of {', '.join(OFFICES)} the key acts",
        )
    return Signature(key, office)


def _require_reference(item: InstructionPassed) -> None:
    given_by, reference = notes_of(item)
    if not given_by or not reference:
        raise RefusalError(
            RegistryReason.REFERENCE_MISSING,
            f"{Instruction(item.kind).name} needs the key that gave it and a reference",
        )
