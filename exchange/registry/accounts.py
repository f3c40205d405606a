"""Accounts: their types, representatives, trusted lists, blocks and bindings.

What a type may do is the rulebook's (`account_type`); that an account has it is told by an
instruction. An account of which nothing was told may do what its participant may: the rules of the
registry's hours hold for it, those of a type do not.

A blocked account neither gives nor receives by instruction. Each block is a measure of its own,
with its key and reference, and ends alone; the account is free when the last has ended. Nor does an
account whose type needs more representatives than it has, or, where the registry asks for it each
year, one whose data nobody confirmed by the day. Two things go on: what is owed can be surrendered,
and what was bought and sold on the venue is delivered, for a trade cannot be undone by one side's
registry. To end trading as well, market operations suspend the account in the engine.

Sources: Union Registry as the Swedish Energy Agency explains it (at least two representatives, the
second one approves, own accounts are trusted, data are confirmed each year); types and codes of the
EUTL.
"""

from __future__ import annotations

from collections.abc import Callable

from exchange.messages.frames import Instruction
from exchange.messages.instructions import AS_BEFORE
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import AccountChanged, RegistryItem
from exchange.messages.settlement import InstructionPassed
from exchange.reference.signers import is_one_person, key_of
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Position
from exchange.registry.calendar import Calendar
from exchange.registry.encumbrances import (
    Signature,
    names_another,
    notes_of,
    of_office,
    signed,
)
from exchange.registry.holdings import Holdings
from exchange.registry.refusals import RefusalError, require_account
from exchange.registry.rows import Cause
from exchange.registry.standings import Act, Standing
from exchange.rulebook import Rulebook
from exchange.rulebook.catalogue import AccountType
from exchange.settings import (
    BLOCKS_MAX,
    BLOCKS_NAMED_MAX,
    REPRESENTATIVES_MAX,
    TRUST_APPROVAL_DAYS_MAX,
    TRUSTED_ACCOUNTS_MAX,
)

CREDIT_HOLDING = "ccer_general_holding"
_DAY_NS = 86_400 * 1_000_000_000
_GIVING = (Instruction.DEPOSIT, Instruction.TRANSFER, Instruction.CANCEL, Instruction.PLEDGE)
_RECEIVING = (Instruction.ISSUE, Instruction.ENFORCE_PLEDGE)
WITHOUT_QUANTITY = frozenset(
    {
        Instruction.SET_ACCOUNT_TYPE,
        Instruction.APPOINT_REPRESENTATIVE,
        Instruction.DISMISS_REPRESENTATIVE,
        Instruction.BLOCK_ACCOUNT,
        Instruction.UNBLOCK_ACCOUNT,
        Instruction.PROPOSE_TRUST,
        Instruction.APPROVE_TRUST,
        Instruction.REMOVE_TRUST,
        Instruction.CANCEL_TRANSFER,
        Instruction.BIND_ACCOUNT,
        Instruction.CONFIRM_ACCOUNT,
        Instruction.CARRY_OUT,
    }
)
"""Instructions whose quantity may be 0."""

_Do = Callable[[InstructionPassed, Instrument, Cause], list[RegistryItem]]


class Accounts:
    """What instructions about accounts do, and what accounts may do. Each O(1) unless it says."""

    def __init__(
        self, holdings: Holdings, rulebook: Rulebook, schemes: frozenset[str], calendar: Calendar
    ) -> None:
        self._holdings = holdings
        self._standings = holdings.standings
        self._calendar = calendar
        self._rulebook = rulebook
        self._types = {
            kind.code: kind
            for kind in rulebook.account_type
            if kind.scheme in schemes and not kind.terminal
        }
        self._for_two = {
            scheme: rule.two_persons_for
            for rule in rulebook.registry_rule
            for scheme in rule.schemes
        }
        self.instructions: dict[int, _Do] = {
            Instruction.SET_ACCOUNT_TYPE: self._set_type,
            Instruction.APPOINT_REPRESENTATIVE: self._appoint,
            Instruction.DISMISS_REPRESENTATIVE: self._dismiss,
            Instruction.BLOCK_ACCOUNT: self._block,
            Instruction.UNBLOCK_ACCOUNT: self._unblock,
            Instruction.PROPOSE_TRUST: self._propose_trust,
            Instruction.APPROVE_TRUST: self._approve_trust,
            Instruction.REMOVE_TRUST: self._remove_trust,
            Instruction.BIND_ACCOUNT: self._bind,
            Instruction.CONFIRM_ACCOUNT: self._confirm,
        }

    def type_of(self, account: int) -> AccountType | None:
        """The type of an account; None when nobody told it, or the rulebook lost it."""
        return self._types.get(self._standings.of(account).kind)

    def is_kyoto(self, account: int) -> bool:
        """Whether an account is one of a national Kyoto registry, whose delays differ."""
        kind, standing = self.type_of(account), self._standings.of(account)
        return kind is not None and standing.eutl_code == (kind.eutl_code_kyoto or None)

    def is_trusted(self, account: int, other: int, time_ns: int) -> bool:
        """Whether `account` trusts `other` now: on its list and in force, or of one participant."""
        if self._is_own(account, other):
            return True
        effective_ns = self._standings.of(account).trusted.get(other)
        return effective_ns is not None and effective_ns <= time_ns

    def check(self, item: InstructionPassed, instrument: Instrument, time_ns: int) -> None:
        """RefusalError when a type, a block or another registry forbids the instruction now."""
        kind = item.kind
        if kind == Instruction.ISSUE and instrument.kept_by:
            raise RefusalError(
                RegistryReason.UNIT_NOT_ELIGIBLE,
                f"{instrument.symbol} is kept by the registry of {instrument.kept_by}, and issued "
                "there",
            )
        if kind in _GIVING:
            self.require_unblocked(item.account_id, time_ns)
        if kind in _RECEIVING:
            self.require_receiver(item.account_id, time_ns)
        if kind == Instruction.TRANSFER:
            self.require_receiver(item.argument, time_ns)
        if kind == Instruction.SURRENDER and not names_another(signed(item)[1].notes):
            known = self.type_of(item.account_id)
            if known is not None and not known.can_surrender:
                raise RefusalError(
                    RegistryReason.TYPE_MAY_NOT_SURRENDER,
                    f"account {item.account_id} is a {known.code}, which does not surrender",
                    known.code,
                )

    def require_unblocked(self, account: int, time_ns: int) -> None:
        """RefusalError when an account is blocked, not confirmed, or lacks representatives."""
        standing, known = self._standings.of(account), self.type_of(account)
        if standing.blocks:
            raise RefusalError(
                RegistryReason.ACCOUNT_BLOCKED,
                f"account {account} is blocked: "
                + _first([block.text for block in standing.blocks.values()]),
            )
        least = (known.min_representatives or 0) if known is not None else 0
        if len(standing.representatives) < least:
            raise RefusalError(
                RegistryReason.TOO_FEW_REPRESENTATIVES,
                f"account {account} has {len(standing.representatives)} representatives; a "
                f"{standing.kind} needs {least}",
            )
        year = self.unconfirmed(account, time_ns)
        if year:
            raise RefusalError(
                RegistryReason.ACCOUNT_NOT_CONFIRMED,
                f"the data of account {account} were not confirmed for {year}",
            )

    def unconfirmed(self, account: int, time_ns: int) -> int:
        """The year for which the data of an account should have been confirmed; 0: none."""
        standing, known = self._standings.of(account), self.type_of(account)
        if known is None:
            return 0
        year = self._calendar.to_be_confirmed(known.scheme, standing.since_ns, time_ns)
        return year if standing.confirmed < year else 0

    def require_receiver(self, account: int, time_ns: int) -> None:
        """RefusalError when nothing may come to an account: blocked, or of a type without units."""
        known = self.type_of(account)
        if known is not None and not known.holds_units:
            raise RefusalError(
                RegistryReason.TYPE_HOLDS_NO_UNITS,
                f"account {account} is a {known.code} ({known.eutl_code}), which holds no units",
                known.code,
            )
        self.require_unblocked(account, time_ns)

    def require_representative(self, account: int, given_by: str) -> None:
        """RefusalError when an account has representatives and who gave an act is none of them."""
        key = key_of(given_by)
        standing = self._standings.of(account)
        known = self.type_of(account)
        is_needed = bool(standing.representatives) or (
            known is not None and bool(known.min_representatives)
        )
        if is_needed and key not in standing.representatives:
            raise RefusalError(
                RegistryReason.NOT_A_REPRESENTATIVE,
                f"key {key!r} is no representative of account {account}",
            )

    def needs_two(self, account: int, scheme: str, transaction: str) -> bool:
        """Whether a transaction of the rulebook waits for a second person at an account. O(1).

        The account asks for two persons, and its registry's rule names the transaction.
        """
        is_named = transaction in self._for_two.get(scheme, ())
        return is_named and self._standings.of(account).needs_two

    def standing(self, account: int) -> Standing:
        """An account's standing, to be read."""
        return self._standings.of(account)

    # -- what the instructions do --------------------------------------------------------------

    def _set_type(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        kind, code = self._type_wanted(item)
        needs_two = self.standing(item.account_id).needs_two
        if item.argument != AS_BEFORE:
            needs_two = item.argument == 1
        return self._act(item, cause, kind.code, other=int(needs_two), eutl_code=code)

    def ends_two(self, item: InstructionPassed) -> bool:
        """Whether SET_ACCOUNT_TYPE lets one person act where two are needed now. O(1)."""
        is_told = item.argument not in (1, AS_BEFORE)
        return is_told and self.standing(item.account_id).needs_two

    def typed_by(self, item: InstructionPassed) -> Signature:
        """Who gave SET_ACCOUNT_TYPE; RefusalError unless it can be done. O(accounts)."""
        self._type_wanted(item)
        return of_office(item)

    def unblocked_by(self, item: InstructionPassed) -> tuple[Signature, int]:
        """Who gave UNBLOCK_ACCOUNT, and the block; RefusalError unless it can be. O(blocks)."""
        block = self._block_meant(item)
        return of_office(item), block.instruction_id

    def _type_wanted(self, item: InstructionPassed) -> tuple[AccountType, str]:
        """The type that SET_ACCOUNT_TYPE names and its EUTL code; RefusalError where it is none.

        Nor is it told by what was proposed before the type was told last.
        """
        wanted = _notes(item)[1].partition("\n")[0]
        require_account(self._holdings, item.account_id)
        if self._standings.of(item.account_id).type_id > item.instruction_id:
            raise RefusalError(
                RegistryReason.TYPE_TOLD_ANEW,
                f"the type of account {item.account_id} was told anew after this was proposed",
            )
        found = [
            kind
            for kind in self._types.values()
            if wanted == kind.code or (wanted and wanted in (kind.eutl_code, kind.eutl_code_kyoto))
        ]
        if not found:
            raise RefusalError(
                RegistryReason.UNKNOWN_ACCOUNT_TYPE,
                f"{wanted[:64]!r} is no type of account here; known are "
                f"{', '.join(sorted(self._types))}",
            )
        kind = found[0]
        if not kind.holds_units and self._holds(item.account_id):
            raise RefusalError(
                RegistryReason.UNITS_IN_ACCOUNT,
                f"account {item.account_id} holds units, a {kind.code} does not",
            )
        self._require_only_account(item.account_id, kind)
        return kind, wanted if wanted == kind.eutl_code_kyoto else kind.eutl_code

    def _require_only_account(self, account: int, kind: AccountType) -> None:
        """RefusalError when a registry lets an entity have one account, and it has another.

        The entity is the participant. An account of which nothing was told is of no type, and none.
        O(accounts) where a registry says so, else O(registries).
        """
        rule = next(
            (
                rule
                for rule in self._rulebook.registry_rule
                if rule.one_registration_account_per_entity and kind.scheme in rule.schemes
            ),
            None,
        )
        if rule is None:
            return
        for other, participant in self._holdings.accounts.items():
            known = self.type_of(other)
            if other == account or participant != self._holdings.accounts[account]:
                continue
            if known is not None and known.scheme in rule.schemes:
                raise RefusalError(
                    RegistryReason.SECOND_REGISTRATION_ACCOUNT,
                    f"participant {participant} has account {other}, a {known.code}; account "
                    f"{account} would be its second",
                    rule.id,
                    self._rulebook.cited(rule.sources) + f" [confidence {rule.confidence}]",
                )

    def _appoint(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        _, key = _notes(item)
        require_account(self._holdings, item.account_id)
        known = self._standings.of(item.account_id).representatives
        if len(known) >= REPRESENTATIVES_MAX and key not in known:
            raise RefusalError(
                RegistryReason.REGISTRY_LIST_FULL,
                f"account {item.account_id} has {len(known)} representatives",
            )
        return self._act(item, cause, key)

    def _dismiss(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        _, key = _notes(item)
        if key not in self._standings.of(item.account_id).representatives:
            raise RefusalError(
                RegistryReason.NOT_A_REPRESENTATIVE,
                f"key {key!r} is no representative of account {item.account_id}",
            )
        return self._act(item, cause, key)

    def _block(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        _, reference = _notes(item)
        require_account(self._holdings, item.account_id)
        standing = self._standings.of(item.account_id)
        if len(standing.blocks) >= BLOCKS_MAX:
            raise RefusalError(
                RegistryReason.REGISTRY_LIST_FULL,
                f"account {item.account_id} has {len(standing.blocks)} blocks",
            )
        return self._act(item, cause, reference)

    def _unblock(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        block = self._block_meant(item)
        reference = _notes(item)[1].partition("\n")[0]
        return self._act(item, cause, reference, other=block.instruction_id)

    def _block_meant(self, item: InstructionPassed) -> Act:
        """The block that UNBLOCK_ACCOUNT ends: `argument`, or where it says 0 the only one.

        RefusalError where it does not stand. Who says none means the one that there was, and none
        that came while the end waited.
        """
        _notes(item)
        account, blocks = item.account_id, self._standings.of(item.account_id).blocks
        listed = _first([f"{number} ({block.text})" for number, block in blocks.items()])
        if not blocks or (item.argument and item.argument not in blocks):
            meant = f"block {item.argument} of account {account} does not stand"
            raise RefusalError(
                RegistryReason.ACCOUNT_NOT_BLOCKED,
                f"{meant}; it has {listed}" if blocks else f"account {account} is not blocked",
            )
        if item.argument:
            return blocks[item.argument]
        then = [block for number, block in blocks.items() if number < item.instruction_id]
        if not then:
            raise RefusalError(
                RegistryReason.ACCOUNT_BLOCKED,
                f"account {account} was blocked anew, {listed}, after its end was proposed: "
                "propose it again",
            )
        if len(then) > 1:
            raise RefusalError(
                RegistryReason.BLOCK_NOT_NAMED,
                f"account {account} has {len(then)} blocks, {listed}: say which one ends",
            )
        return then[0]

    def _propose_trust(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        account, other = item.account_id, item.argument
        require_account(self._holdings, other)
        standing = self._acting(item, cause)
        if self._is_own(account, other) or other in standing.trusted:
            raise RefusalError(
                RegistryReason.TRUSTED_ALREADY,
                f"account {other} is of the same participant or on the list of {account} already",
            )
        listed = standing.trusted.keys() | standing.proposed.keys()
        if len(listed) >= TRUSTED_ACCOUNTS_MAX and other not in listed:
            raise RefusalError(
                RegistryReason.REGISTRY_LIST_FULL,
                f"account {account} has {len(listed)} trusted and proposed accounts",
            )
        return self._act(item, cause, other=other)

    def _approve_trust(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        account, other = item.account_id, item.argument
        proposal = self._acting(item, cause).proposed.get(other)
        oldest_ns = cause.time_ns - TRUST_APPROVAL_DAYS_MAX * _DAY_NS
        if proposal is None or proposal.time_ns < oldest_ns:
            raise RefusalError(
                RegistryReason.TRUST_NOT_PROPOSED,
                f"nobody proposed within {TRUST_APPROVAL_DAYS_MAX} days that account {account} "
                f"trusts {other}",
            )
        approved_by, _ = notes_of(item)
        if is_one_person(approved_by, proposal.given_by):
            raise RefusalError(
                RegistryReason.SAME_PERSON, f"{approved_by} proposed to trust {other} itself"
            )
        effective_ns = self._calendar.trusted_from(
            instrument.scheme, cause.time_ns, is_kyoto=self.is_kyoto(account)
        )
        return self._act(item, cause, other=other, effective_ns=effective_ns)

    def _remove_trust(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        account, other = item.account_id, item.argument
        self.require_representative(account, _key(item))
        standing = self._standings.of(account)
        if other not in standing.trusted and other not in standing.proposed:
            raise RefusalError(
                RegistryReason.NOT_ON_TRUSTED_LIST,
                f"account {other} is not on the trusted list of {account}",
            )
        return self._act(item, cause, other=other)

    def _bind(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        _, market = _notes(item)
        account, other = item.account_id, item.argument
        require_account(self._holdings, account)
        standing = self._standings.of(account)
        if other and standing.bound_to not in (None, (market, other)):
            raise RefusalError(
                RegistryReason.ACCOUNT_BOUND_ALREADY,
                f"account {account} is bound to account {standing.bound_to} already",
            )
        if not other and standing.bound_to is None:
            raise RefusalError(
                RegistryReason.CREDITS_NOT_BOUND, f"account {account} is bound to none"
            )
        return self._act(item, cause, market, other=other)

    def _confirm(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        require_account(self._holdings, item.account_id)
        self.require_representative(item.account_id, _key(item))
        this_year = self._rulebook.local_date(instrument.scheme, cause.time_ns).year
        if item.argument not in (this_year - 1, this_year):
            raise RefusalError(
                RegistryReason.QUANTITY_OUT_OF_RANGE,
                f"data are confirmed for {this_year} or {this_year - 1}, not for {item.argument}",
            )
        return self._act(item, cause, other=item.argument)

    # -- the same for several ------------------------------------------------------------------

    def _acting(self, item: InstructionPassed, cause: Cause) -> Standing:
        """The account's standing; RefusalError unless its representative may act for it."""
        require_account(self._holdings, item.account_id)
        self.require_unblocked(item.account_id, cause.time_ns)
        self.require_representative(item.account_id, _key(item))
        return self._standings.of(item.account_id)

    def _is_own(self, account: int, other: int) -> bool:
        participants = self._holdings.accounts
        return account in participants and participants[account] == participants.get(other)

    def _holds(self, account: int) -> bool:
        """Whether any unit lies in any position of an account. O(places of the market)."""
        return any(
            place.account == account and place.position != Position.NONE
            for place in self._holdings.totals
        )

    def _act(
        self,
        item: InstructionPassed,
        cause: Cause,
        text: str = "",
        *,
        other: int = 0,
        eutl_code: str = "",
        effective_ns: int = 0,
    ) -> list[RegistryItem]:
        act = Act(
            item.instruction_id,
            item.kind,
            item.account_id,
            other,
            notes_of(item)[0],
            text,
            eutl_code,
            effective_ns or cause.time_ns,
            cause.time_ns,
        )
        self._standings.apply(act)
        self._holdings.changes.acts.append(act)
        is_type = item.kind == Instruction.SET_ACCOUNT_TYPE
        return [
            AccountChanged(
                item.instruction_id,
                cause.name,
                item.account_id,
                0 if is_type else other,
                act.given_by,
                text,
                eutl_code,
                act.effective_ns,
                is_type and other == 1,
            )
        ]


def _first(words: list[str]) -> str:
    """The first few of a list, and how many more there are. O(1)."""
    more = len(words) - BLOCKS_NAMED_MAX
    return "; ".join(words[:BLOCKS_NAMED_MAX] + [f"and {more} more"] * (more > 0))


def _key(item: InstructionPassed) -> str:
    key, _ = notes_of(item)
    if not key:
        raise RefusalError(
            RegistryReason.REFERENCE_MISSING,
            f"{Instruction(item.kind).name} needs the key that gave it",
        )
    return key


def _notes(item: InstructionPassed) -> tuple[str, str]:
    """The key that gave an instruction and what it says; RefusalError when either is missing."""
    key, text = notes_of(item)
    if not key or not text:
        raise RefusalError(
            RegistryReason.REFERENCE_MISSING,
            f"{Instruction(item.kind).name} needs the key that gave it, and its reference or name",
        )
    return key, text
