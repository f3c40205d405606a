"""What each settled item does to the registry: moves, issuance, surrender, cancellation, refusals.

An instruction is done whole or refused whole; a refusal names the reason and, where a rule of the
rulebook decided, the rule and its legal source. What is no instruction has already happened in the
engine and cannot be refused: if the registry cannot follow, its books are wrong and it stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    InstructionRefused,
    ProjectRegistered,
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
from exchange.reference.venue import Instrument, Market, Venue
from exchange.registry.accounts import WITHOUT_QUANTITY, Accounts
from exchange.registry.allocations import Allocations, check_cap
from exchange.registry.blocks import Block, Position, State, runs, tonnes
from exchange.registry.calendar import Calendar
from exchange.registry.carry_over import CarryOvers
from exchange.registry.compliance_year import ComplianceYears
from exchange.registry.encumbrances import Encumbrances, signed
from exchange.registry.exchanges import Exchanges
from exchange.registry.forced import ForcedSurrenders
from exchange.registry.governing import governing_rule
from exchange.registry.holdings import Holdings
from exchange.registry.others import FORCED, Others, Payer
from exchange.registry.projects import check_programme, issuance, project_details
from exchange.registry.refusals import (
    RefusalError,
    RegistryBrokenError,
    require_account,
    require_free,
    require_year,
)
from exchange.registry.registry_post import Post
from exchange.registry.reversals import Reversals
from exchange.registry.rows import Cause, Issuance, Place, Project, Proposal, Surrender
from exchange.registry.saga_texts import flags_named
from exchange.registry.sale_caps import SaleCaps
from exchange.registry.standings import OffsetReversal, OffsetSurrender
from exchange.registry.surrenders import SurrenderChecks
from exchange.registry.transfers import Act, Hold, Transfers
from exchange.registry.two_registries import TwoRegistries
from exchange.registry.two_reversals import TwoReversals, is_of_reversal
from exchange.registry.years import Account, Figures
from exchange.rulebook import Rulebook, Verdict, check_surrender
from exchange.rulebook.eligibility import Credit
from exchange.rulebook.selection import lives_elsewhere
from exchange.settings import INSTRUCTION_QUANTITY_MAX, UNITS_ISSUED_MAX

_NONE_ALLOWED = frozenset(
    {
        Instruction.REGISTER_PROJECT,
        Instruction.SET_ENTITLEMENT,
        Instruction.REPORT_EMISSIONS,
        Instruction.VERIFY_EMISSIONS,
        Instruction.ALLOCATE,
        Instruction.ASSESS,
        Instruction.APPROVE_TRANSFER,
    }
)
_STORED = 2**63 - 1  # ids given by others are 64 bits on the log and 63 in the books


class _Given(NamedTuple):
    # Whose units a surrender takes, for which year, under which rule, and which of them.
    payer: Payer
    account: Account
    rule: str
    chosen: dict[int, int] | None
    vintages: frozenset[int] | None


class Registrar:
    """Applies settled items of one market to its holdings, by the rulebook."""

    def __init__(
        self, holdings: Holdings, market: Market, venue: Venue, rulebook: Rulebook
    ) -> None:
        self.holdings = holdings
        self._instruments = instruments = {i.id: i for i in venue.instruments_of(market.code)}
        self._rulebook = rulebook
        calendar = Calendar(rulebook, market.registry_holidays)
        self._accounts = accounts = Accounts(holdings, rulebook, _schemes(instruments), calendar)
        encumbrances = Encumbrances(holdings)
        self._transfers = transfers = Transfers(holdings, accounts, calendar, encumbrances)
        self._others = others = Others(holdings, accounts, rulebook)
        self._checks = SurrenderChecks(holdings, instruments, rulebook)
        self._market = market
        post = Post(holdings, market, venue)
        self._two_registries = TwoRegistries(
            holdings, accounts, instruments, market, post, self._admit, self._checks.is_late,
            self._checks.choose_held, flags_named(rulebook), self._saga_ended,
        )  # fmt: skip
        check_fit = self._checks.check_fit
        told = (holdings, instruments, market, post, check_fit)
        self._two_reversals = TwoReversals(*told, self._saga_ended)
        self.reversals = Reversals(holdings, instruments, check_fit, self._undo_elsewhere)
        exchanges = Exchanges(holdings, instruments, rulebook, check_fit)
        self._years = years = ComplianceYears(
            holdings, instruments, rulebook, exchanges.check_verified,
            ForcedSurrenders(holdings, instruments, self._checks).at_the_end,
        )  # fmt: skip
        self._sale_caps = SaleCaps(holdings, instruments, rulebook)
        self.carry_overs = CarryOvers(holdings, instruments, rulebook)
        allocations = Allocations(holdings, rulebook, check_fit, others, transfers.waits_for_second)
        transfers.acts |= {
            Instruction.ISSUE: lambda item, instrument, cause: self._issue_now(
                item, self._issuable(item, instrument, cause), instrument, cause
            ),
            Instruction.ALLOCATE: allocations.allocate_approved,
            Instruction.SURRENDER: self._surrender_held,
        }
        self._do: dict[int, Act] = {
            Instruction.ISSUE: self._issue,
            Instruction.DEPOSIT: self._deposit,
            Instruction.TRANSFER: self._transfer,
            Instruction.APPROVE_TRANSFER: transfers.approve,
            Instruction.CANCEL_TRANSFER: transfers.cancel,
            Instruction.SURRENDER: self._surrender,
            Instruction.CANCEL: self._cancel,
            Instruction.FREEZE: encumbrances.freeze,
            Instruction.UNFREEZE: lambda item, instrument, cause: (
                self._others.release if item.argument else transfers.unfreeze
            )(item, instrument, cause),
            Instruction.PLEDGE: encumbrances.pledge,
            Instruction.RELEASE_PLEDGE: encumbrances.release,
            Instruction.ENFORCE_PLEDGE: encumbrances.enforce,
            Instruction.PROPOSE_REVERSAL: self.reversals.propose,
            Instruction.APPROVE_REVERSAL: self.reversals.approve,
            Instruction.REGISTER_PROJECT: self._register_project,
            Instruction.EXCHANGE: exchanges.exchange,
            Instruction.SET_ENTITLEMENT: exchanges.entitle,
            Instruction.REPORT_EMISSIONS: years.report,
            Instruction.VERIFY_EMISSIONS: years.verify,
            Instruction.ALLOCATE: allocations.allocate,
            Instruction.ASSESS: years.assess,
            Instruction.APPLY_CARRY_OVER: self.carry_overs.apply,
            Instruction.CARRY_OVER: self.carry_overs.carry_out,
            Instruction.CARRY_OUT: lambda item, instrument, cause: [],
            Instruction.OFFSET_REQUEST: self._request,
            Instruction.OFFSET_ANSWER: self._answer,
            **accounts.instructions,
            Instruction.SET_ACCOUNT_TYPE: transfers.set_type,
            Instruction.UNBLOCK_ACCOUNT: transfers.unblock,
        }

    def begin_record(self, number: int, time_ns: int) -> list[RegistryItem]:
        """What is due by the time of settlement record `number`, to be done before its items.

        O(log n) for each thing due, and O(1) when there is none.
        """
        said: list[RegistryItem] = []
        standings = self.holdings.standings
        while (due := standings.next_due()) is not None and due.time_ns <= time_ns:
            cause = Cause(number, time_ns, Instruction.CARRY_OUT.name, due.number)
            if due.kind == "TRANSFER":
                said += self._transfers.come_due(due.number, cause)
            elif due.kind == "REVERSAL":
                said += self._two_reversals.come_due(due.number, cause)
            elif due.kind == "YEAR":
                standings.drop_year(due)
                said += self._years.come_due((due.number, due.scheme, due.year), cause)
            else:
                said += self._two_registries.come_due(due.number, cause)
        return said

    def offset_use_bp(self, account: Account, product: str, time_ns: int) -> int:
        """How much of the cap on a credit an account has used, basis points. O(rules + credits)."""
        return self._checks.use_bp(account, product, time_ns)

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
            low = 0 if item.kind in _NONE_ALLOWED | WITHOUT_QUANTITY else 1
            if not low <= item.quantity <= INSTRUCTION_QUANTITY_MAX:
                raise RefusalError(
                    RegistryReason.QUANTITY_OUT_OF_RANGE,
                    f"quantity {item.quantity} t is outside {low}..{INSTRUCTION_QUANTITY_MAX} t",
                )
            self._accounts.check(item, instrument, time_ns)
            name = Instruction(item.kind).name
            cause = Cause(number, time_ns, name, item.instruction_id)
            return self._do[item.kind](item, instrument, cause)
        except RefusalError as refusal:
            rule = governing_rule(self._rulebook, refusal, item, instrument, time_ns)
            fields = (int(refusal.reason), refusal.text, *rule)
            self.holdings.changes.refusals.append(
                (item.instruction_id, item.account_id, *fields, time_ns)
            )
            return [InstructionRefused(item.instruction_id, item.account_id, *fields)]

    def _issue(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        by, item = signed(item)
        made = self._issuable(item, instrument, cause)
        said = self._transfers.waits_for_second(item, instrument, cause, by)
        return said or self._issue_now(item, made, instrument, cause)

    def _issuable(self, item: InstructionPassed, instrument: Instrument, cause: Cause) -> Issuance:
        """What an issuance says of its reductions; RefusalError when it may not be."""
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
        if instrument.kind == "allowance":  # those of no stated vintage count together
            vintage = item.argument or instrument.vintage
            year = vintage or self._rulebook.local_date(instrument.scheme, cause.time_ns).year
            check_cap(self.holdings, self._rulebook, instrument, vintage, year, item.quantity)
        made = issuance(instrument, self.holdings.projects, item.argument, item.notes)
        on = self._rulebook.local_date(instrument.scheme, cause.time_ns)
        project = self.holdings.projects.get(made.project)
        check_programme(self._rulebook, instrument, project, made, on)
        return made

    def _issue_now(
        self, item: InstructionPassed, made: Issuance, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        block = self.holdings.issue(
            instrument.product,
            item.instrument_id,
            item.argument or instrument.vintage,
            item.account_id,
            item.quantity,
            cause,
            made,
        )
        told = (item.instruction_id, item.account_id, item.instrument_id)
        return [UnitsIssued(*told, (block.range,), *made, block.vintage)]

    def _register_project(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        details = project_details(item.argument, item.notes)
        require_account(self.holdings, item.account_id)
        known = self.holdings.projects.get(item.argument)
        if instrument.kind != "offset":
            raise RefusalError(
                RegistryReason.PROJECT_INVALID,
                f"{instrument.symbol} is no credit: only credits have projects",
            )
        if instrument.kept_by:
            raise RefusalError(
                RegistryReason.PROJECT_INVALID,
                f"{instrument.symbol} is kept by the registry of {instrument.kept_by}, which has "
                "its projects",
            )
        if known is not None:
            raise RefusalError(
                RegistryReason.PROJECT_EXISTS,
                f"project {known.number} of {known.programme} is {known.details.name}",
            )
        told = (instrument.product, item.account_id, item.instruction_id)
        self.holdings.add_project(Project(item.argument, *told, details, cause.time_ns))
        return [
            ProjectRegistered(
                item.instruction_id, item.account_id, instrument.product, item.argument, details
            )
        ]

    def _transfer(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        self._sale_caps.check(item, instrument, cause)
        return self._transfers.transfer(item, instrument, cause)

    def _deposit(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        require_free(self.holdings, item.account_id, instrument, item.quantity)
        self._sale_caps.check(item, instrument, cause)
        source = Place(item.account_id, Position.REGISTRY, item.instrument_id)
        moved = self.holdings.move(source, item.account_id, Position.TRADING, item.quantity, cause)
        self.holdings.add_deposit(
            item.instruction_id, item.account_id, item.instrument_id, item.quantity
        )
        return _moves(cause, item.account_id, item.account_id, item.instrument_id, moved)

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

    def _owing(self, item: InstructionPassed, instrument: Instrument) -> tuple[Account, Figures]:
        """The year for which a surrender is; RefusalError when it asks for less. O(1)."""
        require_year("compliance year", item.argument, least=1)
        account = (item.account_id, instrument.scheme, item.argument)
        figures = self.holdings.years.get(account, Figures())
        obligation = figures.obligation
        if obligation is None:
            raise RefusalError(
                RegistryReason.NO_OBLIGATION,
                f"account {item.account_id} has no obligation in {instrument.scheme} for "
                f"{item.argument}",
            )
        remaining = figures.owed(self.holdings.surrendered.get(account, 0))
        if item.quantity > remaining:
            raise RefusalError(
                RegistryReason.SURRENDER_ABOVE_OBLIGATION,
                f"{item.quantity} t are more than the {remaining} t still owed of {obligation} t",
            )
        return account, figures

    def _admit(
        self,
        item: InstructionPassed,
        instrument: Instrument,
        cause: Cause,
        held: Sequence[Credit] = (),
    ) -> str:
        """The offset rule of a surrender of credits kept elsewhere; or RefusalError."""
        _, figures = self._owing(item, instrument)
        return self._checks.admit_offset(item, instrument, cause, figures, held)

    def _request(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        saga = self._two_reversals if is_of_reversal(item) else self._two_registries
        return saga.request(item, instrument, cause)

    def _answer(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        is_known = self.holdings.standings.reversal(item.argument) is not None
        saga = self._two_reversals if is_known else self._two_registries
        return saga.answer(item, instrument, cause)

    def _undo_elsewhere(
        self, item: InstructionPassed, surrender: OffsetSurrender, proposal: Proposal, by: str,
        cause: Cause,
    ) -> list[RegistryItem]:  # fmt: skip
        account = (surrender.account, surrender.scheme, surrender.year)
        self._years.require_no_wait(account, cause)
        return self._two_reversals.ask(item, surrender, proposal, by, cause)

    def _saga_ended(
        self, row: OffsetSurrender | OffsetReversal, cause: Cause
    ) -> list[RegistryItem]:
        """What waited until another registry had answered: the end of the year."""
        return self._years.saga_ended((row.account, row.scheme, row.year), row.time_ns, cause)

    def _surrender(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        by, item = signed(item)
        is_far = instrument.kind == "offset" and self._is_of_two(item.account_id, instrument)
        if is_far:
            rule = self._admit_far(item, instrument, cause)
            said = self._transfers.waits_for_second(item, instrument, cause, by)
            return said or self._two_registries.ask(item, instrument, rule, cause)
        given = self._given(item, instrument, cause)
        if given.payer.cause != FORCED:  # a province's: the holder of the account is no firm
            hold = Hold(given.payer.source, given.chosen, given.vintages)
            said = self._transfers.waits_for_second(item, instrument, cause, by, hold)
            if said:
                return said
        return self._give(item, instrument, given, cause)

    def _surrender_held(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """A surrender that a second person approved, of what it holds."""
        if instrument.kind == "offset" and self._is_of_two(item.account_id, instrument):
            rule = self._admit_far(item, instrument, cause)
            return self._two_registries.ask(item, instrument, rule, cause)
        held = Place(item.account_id, Position.PENDING, instrument.id, item.instruction_id)
        return self._give(item, instrument, self._given(item, instrument, cause, held), cause)

    def _admit_far(self, item: InstructionPassed, instrument: Instrument, cause: Cause) -> str:
        """The rule of a surrender of credits that another registry keeps; or RefusalError."""
        account, figures = self._owing(item, instrument)
        self._years.require_no_wait(account, cause)
        return self._checks.admit_offset(item, instrument, cause, figures)

    def _given(
        self,
        item: InstructionPassed,
        instrument: Instrument,
        cause: Cause,
        held: Place | None = None,
    ) -> _Given:
        """What a surrender takes, of what is `held` for it or else free; or RefusalError."""
        payer = self._others.payer(item, instrument, cause, held)
        account, figures = self._owing(payer.own, instrument)
        rule, chosen, vintages = "", None, None
        if instrument.kind == "offset":
            rule, chosen = self._checks.choose_offsets(item, instrument, cause, figures, held)
        else:
            if payer.own.notes:
                raise RefusalError(
                    RegistryReason.PROJECT_INVALID, f"{instrument.symbol} is no credit of a project"
                )
            vintages = self._checks.vintages(payer.own, instrument, cause, figures, payer.source)
            if not payer.cause and held is None:
                require_free(self.holdings, item.account_id, instrument, item.quantity)
        return _Given(payer, account, rule, chosen, vintages)

    def _give(
        self, item: InstructionPassed, instrument: Instrument, given: _Given, cause: Cause
    ) -> list[RegistryItem]:
        account = given.account
        blocks = self.holdings.retire(
            given.payer.source, State.SURRENDERED, item.quantity, cause, chosen=given.chosen,
            vintages=given.vintages, entity=account[0],
        )  # fmt: skip
        told = (item.instruction_id, account[0], item.instrument_id)
        is_late = self._checks.is_late(account, cause)
        row = (*told, instrument.scheme, item.argument, given.rule, item.quantity, cause.time_ns)
        self.holdings.add_surrender(Surrender(*row, int(is_late)), instrument.product, blocks)
        return self._others.told(given.payer, item, blocks) + [
            UnitsSurrendered(
                *told, item.argument, tonnes(run), tuple(block.range for block in run), is_late
            )
            for run in runs(blocks)
        ]

    def _is_of_two(self, account: int, instrument: Instrument) -> bool:
        """Whether the credits lie in a general holding: elsewhere, or here in another account."""
        if instrument.kept_by:
            return True
        bound = self.holdings.standings.of(account).bound_to
        if bound is None or bound[0] != self._market.code:
            return False
        return lives_elsewhere(self._rulebook, instrument.scheme, instrument.product)


def _schemes(instruments: Mapping[int, Instrument]) -> frozenset[str]:
    """Whose types of accounts a market has: of its schemes, and of credits where it has some."""
    found = {item.scheme for item in instruments.values()} | {"venue"}
    if any(item.kind == "offset" for item in instruments.values()):
        found.add("cn-voluntary")
    return frozenset(found)


def surrender_verdict(
    rulebook: Rulebook,
    instrument: Instrument,
    year: int,
    time_ns: int,
    quantity: int,
    bases: Mapping[str, int],
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
        bases=bases,
        used_t=used,
    )


def _moves(
    cause: Cause, source: int, target: int, instrument_id: int, blocks: list[Block]
) -> list[RegistryItem]:
    return [
        UnitsMoved(cause.name, cause.id, source, target, instrument_id, tuple(b.range for b in run))
        for run in runs(blocks)
    ]
