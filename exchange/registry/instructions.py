"""What each settled item does to the registry: moves, issuance, surrender, cancellation, refusals.

An instruction is done whole or refused whole; a refusal names the reason and, where a rule of the
rulebook decided, the rule and its legal source. What is no instruction has already happened in the
engine and cannot be refused: if the registry cannot follow, its books are wrong and it stops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    InstructionRefused,
    ObligationSet,
    RegistryItem,
    SettlementActed,
    UnitsCancelled,
    UnitsIssued,
    UnitsMoved,
    UnitsSurrendered,
)
from exchange.messages.settlement import (
    AccountOpened,
    InstructionPassed,
    SettlementAnswered,
    SettlementItem,
    SettlementRefused,
    TradeCancelled,
    TradeDelivered,
    TradeSettled,
    UnitsDeposited,
    UnitsReleased,
)
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Block, Position, State, runs, tonnes
from exchange.registry.encumbrances import Encumbrances
from exchange.registry.holdings import Cause, Holdings, Place, Surrender
from exchange.registry.refusals import (
    RefusalError,
    RegistryBrokenError,
    require_account,
    require_free,
    require_year,
)
from exchange.registry.reversals import Reversals
from exchange.rulebook import (
    OffsetRule,
    Rulebook,
    Verdict,
    check_surrender,
    check_vintage,
    offset_cap,
    offset_rule,
)
from exchange.settings import INSTRUCTION_QUANTITY_MAX, UNITS_ISSUED_MAX

_STORED = 2**63 - 1  # ids given by others are 64 bits on the log and 63 in the books


class Registrar:
    """Applies settled items of one market to its holdings, by the rulebook."""

    def __init__(
        self, holdings: Holdings, instruments: Mapping[int, Instrument], rulebook: Rulebook
    ) -> None:
        self.holdings = holdings
        self._instruments = instruments
        self._rulebook = rulebook
        encumbrances = Encumbrances(holdings)
        self.reversals = Reversals(holdings, instruments)
        self._do: dict[int, Callable[[InstructionPassed, Instrument, Cause], list[RegistryItem]]]
        self._do = {
            Instruction.ISSUE: self._issue,
            Instruction.DEPOSIT: self._deposit,
            Instruction.TRANSFER: self._transfer,
            Instruction.SURRENDER: self._surrender,
            Instruction.CANCEL: self._cancel,
            Instruction.SET_OBLIGATION: self._set_obligation,
            Instruction.FREEZE: encumbrances.freeze,
            Instruction.UNFREEZE: encumbrances.unfreeze,
            Instruction.PLEDGE: encumbrances.pledge,
            Instruction.RELEASE_PLEDGE: encumbrances.release,
            Instruction.ENFORCE_PLEDGE: encumbrances.enforce,
            Instruction.PROPOSE_REVERSAL: self.reversals.propose,
            Instruction.APPROVE_REVERSAL: self.reversals.approve,
        }

    def apply(self, item: SettlementItem, number: int, time_ns: int) -> list[RegistryItem]:
        """What the registry says to one item of settlement record `number`. O(blocks moved x log).

        Raises RegistryBrokenError when units which the engine moved are not in the books.
        """
        match item:
            case TradeSettled() | TradeDelivered():
                return self._trade(item, Cause(number, time_ns, "TRADE", item.trade_id))
            case TradeCancelled():
                return self._take_back(item, Cause(number, time_ns, "TRADE_CANCEL", item.trade_id))
            case SettlementRefused():
                told = (item.instruction_id, item.account_id, item.reason, item.text, "", "")
                self.holdings.changes.refusals.append((*told, time_ns))
                return [InstructionRefused(*told)]
            case SettlementAnswered():
                answer = (item.instruction_id, item.account_id, item.trade_id, item.state)
                return [SettlementActed(*answer)]
            case UnitsReleased():
                return self._release(
                    item, Cause(number, time_ns, "RELEASE", item.transfer_id & _STORED)
                )
            case UnitsDeposited():
                self._confirm(item, number)
                return []
            case AccountOpened():
                self.holdings.open_account(item.account_id, item.participant & _STORED, number)
                return []
            case InstructionPassed():
                return self._instruct(item, number, time_ns)
            case _:
                return []

    def _take_back(self, item: TradeCancelled, cause: Cause) -> list[RegistryItem]:
        # Units of an instrument are alike: those go back that came first, as in every move.
        source = Place(item.buyer_account, Position.TRADING, item.instrument_id)
        self._require(source, item.quantity, cause)
        moved = self.holdings.move(
            source, item.seller_account, Position.TRADING, item.quantity, cause
        )
        return _moves(cause, item.buyer_account, item.seller_account, item.instrument_id, moved)

    def _trade(self, item: TradeSettled | TradeDelivered, cause: Cause) -> list[RegistryItem]:
        source = Place(item.seller_account, Position.TRADING, item.instrument_id)
        self._require(source, item.quantity, cause)
        moved = self.holdings.move(
            source, item.buyer_account, Position.TRADING, item.quantity, cause
        )
        return _moves(cause, item.seller_account, item.buyer_account, item.instrument_id, moved)

    def _release(self, item: UnitsReleased, cause: Cause) -> list[RegistryItem]:
        source = Place(item.account_id, Position.TRADING, item.instrument_id)
        self._require(source, item.quantity, cause)
        moved = self.holdings.move(source, item.account_id, Position.REGISTRY, item.quantity, cause)
        return _moves(cause, item.account_id, item.account_id, item.instrument_id, moved)

    def _require(self, source: Place, quantity: int, cause: Cause) -> None:
        held = self.holdings.held(*source)
        if held < quantity:
            raise RegistryBrokenError(
                f"{cause.name} {cause.id} (settlement {cause.settlement_number}): account "
                f"{source.account} has {held} t of instrument {source.instrument_id} in its "
                f"trading position, not "
                f"{quantity} t"
            )

    def _confirm(self, item: UnitsDeposited, number: int) -> None:
        deposit = self.holdings.pending.get(item.transfer_id)
        told = (item.account_id, item.instrument_id, item.quantity)
        if deposit is None or told != deposit[2:5]:
            raise RegistryBrokenError(
                f"settlement {number}: {item.quantity} t of instrument {item.instrument_id} came "
                f"to account {item.account_id} as transfer {item.transfer_id}, which the registry "
                "did not send"
            )
        self.holdings.confirm_deposit(deposit)

    def _instruct(self, item: InstructionPassed, number: int, time_ns: int) -> list[RegistryItem]:
        try:
            instrument = self._instruments.get(item.instrument_id)
            if instrument is None:
                raise RefusalError(
                    RegistryReason.UNIT_NOT_ELIGIBLE,
                    f"instrument {item.instrument_id} is not in the venue's reference data",
                )
            low = 0 if item.kind == Instruction.SET_OBLIGATION else 1
            if not low <= item.quantity <= INSTRUCTION_QUANTITY_MAX:
                raise RefusalError(
                    RegistryReason.QUANTITY_OUT_OF_RANGE,
                    f"quantity {item.quantity} t is outside {low}..{INSTRUCTION_QUANTITY_MAX} t",
                )
            name = Instruction(item.kind).name
            cause = Cause(number, time_ns, name, item.instruction_id)
            return self._do[item.kind](item, instrument, cause)
        except RefusalError as refusal:
            fields = (int(refusal.reason), refusal.text, refusal.rule, refusal.source)
            self.holdings.changes.refusals.append(
                (item.instruction_id, item.account_id, *fields, time_ns)
            )
            return [InstructionRefused(item.instruction_id, item.account_id, *fields)]

    def _issue(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        require_year("vintage", item.argument, least=0)
        fixed = instrument.vintage if instrument.kind == "allowance" else 0
        if fixed and item.argument not in (0, fixed):
            raise RefusalError(
                RegistryReason.UNIT_NOT_ELIGIBLE,
                f"{instrument.symbol} is of vintage {fixed}: units of {item.argument} cannot be "
                "issued into it",
            )
        after = self.holdings.next_serial.get(instrument.product, 1) - 1 + item.quantity
        if after > UNITS_ISSUED_MAX:
            raise RefusalError(
                RegistryReason.QUANTITY_OUT_OF_RANGE,
                f"{after} t of {instrument.product} would have been issued; the limit is "
                f"{UNITS_ISSUED_MAX} t",
            )
        require_account(self.holdings, item.account_id)
        block = self.holdings.issue(
            instrument.product,
            item.instrument_id,
            item.argument or instrument.vintage,
            item.account_id,
            item.quantity,
            cause,
        )
        return [
            UnitsIssued(item.instruction_id, item.account_id, item.instrument_id, (block.range,))
        ]

    def _deposit(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        require_free(self.holdings, item.account_id, instrument, item.quantity)
        source = Place(item.account_id, Position.REGISTRY, item.instrument_id)
        moved = self.holdings.move(source, item.account_id, Position.TRADING, item.quantity, cause)
        self.holdings.add_deposit(
            item.instruction_id, item.account_id, item.instrument_id, item.quantity
        )
        return _moves(cause, item.account_id, item.account_id, item.instrument_id, moved)

    def _transfer(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        require_account(self.holdings, item.argument)
        require_free(self.holdings, item.account_id, instrument, item.quantity)
        source = Place(item.account_id, Position.REGISTRY, item.instrument_id)
        moved = self.holdings.move(source, item.argument, Position.REGISTRY, item.quantity, cause)
        return _moves(cause, item.account_id, item.argument, item.instrument_id, moved)

    def _cancel(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        beneficiary, _, reason = (text.strip() for text in item.notes.partition("\n"))
        if not beneficiary or not reason:
            raise RefusalError(
                RegistryReason.BENEFICIARY_MISSING,
                "a cancellation is for good: it needs a beneficiary and a reason",
            )
        require_free(self.holdings, item.account_id, instrument, item.quantity)
        source = Place(item.account_id, Position.REGISTRY, item.instrument_id)
        blocks = self.holdings.retire(source, State.CANCELLED, item.quantity, cause)
        told = (item.instruction_id, item.account_id, item.instrument_id)
        self.holdings.changes.cancellations.append(
            (*told, item.quantity, beneficiary, reason, cause.time_ns)
        )
        return [
            UnitsCancelled(
                *told, tonnes(run), beneficiary, reason, tuple(block.range for block in run)
            )
            for run in runs(blocks)
        ]

    def _set_obligation(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        require_year("compliance year", item.argument, least=1)
        require_account(self.holdings, item.account_id)
        account = (item.account_id, instrument.scheme, item.argument)
        surrendered = self.holdings.surrendered.get(account, 0)
        if item.quantity < surrendered:
            raise RefusalError(
                RegistryReason.QUANTITY_OUT_OF_RANGE,
                f"{surrendered} t are surrendered for {item.argument} already, more than "
                f"{item.quantity} t",
            )
        self._check_offsets_fit(account, item.quantity, cause)
        self.holdings.set_obligation(account, item.quantity)
        return [ObligationSet(item.instruction_id, item.account_id, item.argument, item.quantity)]

    def _check_offsets_fit(
        self, account: tuple[int, str, int], quantity: int, cause: Cause
    ) -> None:
        """A lower obligation must not leave more offsets surrendered than its cap."""
        for product in sorted({i.product for i in self._instruments.values()}):
            rule = self._offset_rule(account, product, cause.time_ns)
            if rule is None or not self.holdings.used(account, rule.credit_types):
                continue
            used = self.holdings.used(account, rule.credit_types)
            cap = offset_cap(rule, quantity)
            if used > cap:
                raise RefusalError(
                    RegistryReason.OFFSET_CAP_EXCEEDED,
                    f"{used} t of {product} are surrendered already; with an obligation of "
                    f"{quantity} t rule {rule.id} would cap them at {cap} t",
                    rule.id,
                    self._rulebook.citation(rule),
                )

    def _offset_rule(
        self, account: tuple[int, str, int], product: str, time_ns: int
    ) -> OffsetRule | None:
        on = self._rulebook.local_date(account[1], time_ns)
        return offset_rule(self._rulebook, account[1], account[2], on, product)

    def _surrender(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        require_year("compliance year", item.argument, least=1)
        account = (item.account_id, instrument.scheme, item.argument)
        obligation = self.holdings.obligations.get(account)
        if obligation is None:
            raise RefusalError(
                RegistryReason.NO_OBLIGATION,
                f"account {item.account_id} has no obligation in {instrument.scheme} for "
                f"{item.argument}",
            )
        remaining = obligation - self.holdings.surrendered.get(account, 0)
        if item.quantity > remaining:
            raise RefusalError(
                RegistryReason.SURRENDER_ABOVE_OBLIGATION,
                f"{item.quantity} t are more than the {remaining} t still owed of {obligation} t",
            )
        is_offset = instrument.kind == "offset"
        if is_offset:
            rule = self._check_offset(item, instrument, cause, obligation)
        else:
            self._check_vintage(item, instrument, cause)
            rule = ""
        require_free(self.holdings, item.account_id, instrument, item.quantity)
        source = Place(item.account_id, Position.REGISTRY, item.instrument_id)
        blocks = self.holdings.retire(source, State.SURRENDERED, item.quantity, cause)
        told = (item.instruction_id, item.account_id, item.instrument_id)
        self.holdings.add_surrender(
            Surrender(*told, instrument.scheme, item.argument, rule, item.quantity, cause.time_ns),
            instrument.product,
        )
        return [
            UnitsSurrendered(*told, item.argument, tonnes(run), tuple(block.range for block in run))
            for run in runs(blocks)
        ]

    def _check_offset(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause, obligation: int
    ) -> str:
        account = (item.account_id, instrument.scheme, item.argument)
        rule = self._offset_rule(account, instrument.product, cause.time_ns)
        products = rule.credit_types if rule else (instrument.product,)
        verdict = surrender_verdict(
            self._rulebook,
            instrument,
            item.argument,
            cause.time_ns,
            item.quantity,
            obligation,
            self.holdings.used(account, products),
        )
        if verdict.refusal:
            reason = (
                RegistryReason.OFFSET_CAP_EXCEEDED
                if verdict.is_eligible
                else RegistryReason.UNIT_NOT_ELIGIBLE
            )
            raise RefusalError(reason, verdict.refusal, verdict.rule_id, verdict.source)
        return verdict.rule_id

    def _check_vintage(self, item: InstructionPassed, instrument: Instrument, cause: Cause) -> None:
        verdict = check_vintage(
            self._rulebook,
            scheme_id=instrument.scheme,
            emission_year=item.argument,
            on=self._rulebook.local_date(instrument.scheme, cause.time_ns),
            vintage=instrument.vintage,
        )
        if verdict.refusal:
            raise RefusalError(
                RegistryReason.UNIT_NOT_ELIGIBLE,
                f"{item.quantity} t of {instrument.symbol} refused: {verdict.refusal}",
                verdict.rule_id,
                verdict.source,
            )


def surrender_verdict(
    rulebook: Rulebook,
    instrument: Instrument,
    year: int,
    time_ns: int,
    quantity: int,
    obligation: int,
    used: int,
) -> Verdict:
    """`check_surrender` for an instrument, at an engine time (ns UTC). O(rules)."""
    return check_surrender(
        rulebook,
        scheme_id=instrument.scheme,
        emission_year=year,
        on=rulebook.local_date(instrument.scheme, time_ns),
        product=instrument.product,
        generation=instrument.generation,
        quantity_t=quantity,
        bases={"surrender_obligation": obligation},
        used_t=used,
    )


def _moves(
    cause: Cause, source: int, target: int, instrument_id: int, blocks: list[Block]
) -> list[RegistryItem]:
    return [
        UnitsMoved(cause.name, cause.id, source, target, instrument_id, tuple(b.range for b in run))
        for run in runs(blocks)
    ]
