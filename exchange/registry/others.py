"""Allowances that one account surrenders for another: a province's by force, or a firm's help.

What a province holds for an entity lies frozen in the province's account under the entity's number
(`Block.lender`): so it is neither sold nor transferred, and is told apart from what it holds for
others. It goes out by surrender for that entity, and then what is left goes to it.

A surrender for another counts for the other's obligation, and is in the books as the other's: who
undoes it brings the units to the one for whose obligation they were given.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import RegistryItem, UnitsMoved
from exchange.messages.settlement import InstructionPassed
from exchange.reference.venue import Instrument
from exchange.registry.accounts import Accounts
from exchange.registry.blocks import Block, Position, runs
from exchange.registry.encumbrances import FOR_ANOTHER, names_another, notes_of
from exchange.registry.holdings import Holdings
from exchange.registry.refusals import RefusalError, require_account, require_free
from exchange.registry.rows import Cause, Encumbrance, Place
from exchange.registry.years import Figures
from exchange.rulebook import Rulebook
from exchange.rulebook.others import not_for_another, not_held, not_released
from exchange.rulebook.shapes import ComplianceRules
from exchange.rulebook.year import rules_of_year

_DIGITS_MAX = 18
HELD, FORCED, HELPED, GIVEN_BACK = "HOLD_FOR", "FORCED_SURRENDER", "SURRENDER_FOR", "RELEASE_HELD"
"""Causes of the moves; where from and where to, `gateway.views.holdings.MOVES` says."""


class Payer(NamedTuple):
    """From where a surrender takes, the instruction as the entity's own, and why it may."""

    source: Place
    own: InstructionPassed
    cause: str = ""  # of the move to the entity; "": it is the entity's own


class Others:
    """What is held and surrendered for other accounts of a market."""

    def __init__(self, holdings: Holdings, accounts: Accounts, rulebook: Rulebook) -> None:
        self._holdings = holdings
        self._accounts = accounts
        self._rulebook = rulebook

    def require_province(
        self, account: int, entity: int, rules: ComplianceRules | None, cause: Cause
    ) -> None:
        """RefusalError unless allowances of a year may go to an account for an entity. O(1)."""
        require_account(self._holdings, account)
        known = self._accounts.type_of(account)
        why = not_held(rules, known.code if known else "")
        if account == entity:
            why = why or f"account {entity} is the entity's own"
        if why:
            source = self._rulebook.citation(rules) if rules else ""
            raise RefusalError(
                RegistryReason.NOT_HELD_FOR_OTHERS,
                f"allowances of account {entity} do not go to account {account}: {why}",
                rules.id if rules else "",
                source,
            )
        self._accounts.require_receiver(account, cause.time_ns)

    def hold(
        self, block: Block, province: int, instruction_id: int, cause: Cause
    ) -> list[RegistryItem]:
        """A block that was just issued to an entity goes to its province. O(blocks)."""
        source = Place(block.account, Position.REGISTRY, block.instrument_id)
        moved = self._holdings.move(
            source, province, Position.FROZEN, block.quantity, cause, lender=block.account,
            chosen={block.block_id: block.quantity},
        )  # fmt: skip
        return _told(HELD, instruction_id, block.account, province, moved)

    def payer(
        self,
        item: InstructionPassed,
        instrument: Instrument,
        cause: Cause,
        held: Place | None = None,
    ) -> Payer:
        """Who gives the units of a surrender; RefusalError when it may not. O(1).

        `held` is where they lie that the giver, not a province, holds for it.
        """
        free = held or Place(item.account_id, Position.REGISTRY, instrument.id)
        if not names_another(item.notes):
            return Payer(free, item)
        entity = _number(item.notes)
        own = msgspec.structs.replace(item, account_id=entity, notes="")
        require_account(self._holdings, entity)
        known = self._accounts.type_of(item.account_id)
        if instrument.kind != "allowance" or entity == item.account_id:
            raise RefusalError(
                RegistryReason.NOT_FOR_ANOTHER,
                f"{instrument.symbol} of account {item.account_id} is not surrendered for account "
                f"{entity}: allowances are, for another account",
            )
        if known is not None and known.holds_for_others:
            kept = free._replace(position=Position.FROZEN, lender=entity)
            self._require_held(kept, item.quantity, RegistryReason.NOT_ENOUGH_UNITS)
            return Payer(kept, own, FORCED)
        self._require_help(item, instrument, entity, cause)
        if held is None:
            require_free(self._holdings, item.account_id, instrument, item.quantity)
        return Payer(free, own, HELPED)

    def _require_help(
        self, item: InstructionPassed, instrument: Instrument, entity: int, cause: Cause
    ) -> None:
        """A firm may surrender for an entity that is frozen: its account, or units of it."""
        on = self._rulebook.local_date(instrument.scheme, cause.time_ns)
        rules = rules_of_year(self._rulebook, instrument.scheme, item.argument, on)
        is_frozen = bool(self._accounts.standing(entity).blocks) or bool(
            self._holdings.held(entity, Position.FROZEN, instrument.id)
        )
        why = not_for_another(rules, is_frozen=is_frozen)
        if why:
            raise RefusalError(
                RegistryReason.NOT_FOR_ANOTHER,
                f"account {item.account_id} does not surrender for account {entity}: {why}",
                rules.id if rules else "",
                self._rulebook.citation(rules) if rules else "",
            )
        self._accounts.require_unblocked(item.account_id, cause.time_ns)
        known = self._accounts.type_of(item.account_id)
        if known is not None and not known.can_surrender:
            raise RefusalError(
                RegistryReason.TYPE_MAY_NOT_SURRENDER,
                f"account {item.account_id} is a {known.code}, which does not surrender",
                known.code,
            )

    def told(
        self, payer: Payer, item: InstructionPassed, blocks: list[Block]
    ) -> list[RegistryItem]:
        """What is said of units that another gave, before they are said to be surrendered."""
        if not payer.cause:
            return []
        entity = payer.own.account_id
        return _told(payer.cause, item.instruction_id, item.account_id, entity, blocks)

    def release(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """UNFREEZE: what `account` holds for the entity `argument` goes to it. O(blocks x log)."""
        given_by, reference = notes_of(item)
        if not given_by or not reference:
            raise RefusalError(
                RegistryReason.REFERENCE_MISSING,
                "UNFREEZE needs the key that gave it and a reference",
            )
        entity = item.argument
        source = Place(item.account_id, Position.FROZEN, instrument.id, entity)
        self._require_held(source, item.quantity, RegistryReason.NOT_FROZEN)
        self._require_met(source, instrument, cause)
        self._accounts.require_receiver(entity, cause.time_ns)
        blocks = self._holdings.move(source, entity, Position.REGISTRY, item.quantity, cause)
        self._holdings.changes.encumbrances.append(
            Encumbrance(
                item.instruction_id, item.kind, item.account_id, entity, instrument.id,
                item.quantity, given_by, reference, cause.time_ns,
            )
        )  # fmt: skip
        return _told(GIVEN_BACK, item.instruction_id, item.account_id, entity, blocks)

    def _require_met(self, source: Place, instrument: Instrument, cause: Cause) -> None:
        """RefusalError while the entity owes for a year for which the units count. O(years)."""
        scheme, entity = instrument.scheme, source.lender
        on = self._rulebook.local_date(scheme, cause.time_ns)
        vintages = [instrument.vintage] if instrument.vintage else self._holdings.vintages(source)
        for vintage in vintages:
            rules = rules_of_year(self._rulebook, scheme, vintage, on)
            years = {vintage, *(rules.emission_years if rules else ())}
            years.update(rules.arrears_years if rules else ())
            owed: dict[int, int | None] = {}
            for year in years:
                account = (entity, scheme, year)
                figures = self._holdings.years.get(account, Figures())
                given = self._holdings.surrendered.get(account, 0)
                owed[year] = None if figures.verified is None else figures.owed(given)
            why = not_released(rules, vintage, owed)
            if why:
                raise RefusalError(
                    RegistryReason.NOT_RELEASED_YET,
                    f"account {source.account} keeps what it holds for account {entity}: {why}",
                    rules.id if rules else "",
                    self._rulebook.citation(rules) if rules else "",
                )

    def _require_held(self, place: Place, quantity: int, reason: RegistryReason) -> None:
        held = self._holdings.held(*place)
        if held < quantity:
            raise RefusalError(
                reason,
                f"account {place.account} holds {held} t for account {place.lender}, not "
                f"{quantity} t",
            )


def _number(notes: str) -> int:
    text = notes.removeprefix(FOR_ANOTHER)
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS_MAX:
        raise RefusalError(RegistryReason.WORDS_NOT_READABLE, f"{notes[:40]!r} names no account")
    return int(text)


def held_for(holdings: Holdings, entity: int, instrument_id: int) -> list[Place]:
    """Where anything is held for an entity. O(places that lie for somebody)."""
    return [
        Place(account, Position.FROZEN, instrument_id, entity)
        for account in holdings.places.holders(Position.FROZEN, instrument_id, entity)
    ]


def named_in(notes: str) -> int:
    """The account for which a surrender is, 0 when its notes name none that can be read. O(1)."""
    try:
        return _number(notes) if names_another(notes) else 0
    except RefusalError:
        return 0


def forced_out(source: int, target: int, blocks: list[Block]) -> list[RegistryItem]:
    """What is said of held units that nobody asked for, before they are said to be surrendered."""
    return _told(FORCED, 0, source, target, blocks)


def taken_back(
    instruction_id: int, source: int, target: int, blocks: list[Block]
) -> list[RegistryItem]:
    """What is said of held units before they are said to be taken back from the entity."""
    return _told(GIVEN_BACK, instruction_id, source, target, blocks)


def _told(
    cause: str, instruction_id: int, source: int, target: int, blocks: list[Block]
) -> list[RegistryItem]:
    return [
        UnitsMoved(
            cause, instruction_id, source, target, run[0].instrument_id,
            tuple(block.range for block in run),
        )
        for run in runs(blocks)
    ]  # fmt: skip
