"""How much of its free allocation an entity may sell, judged before its units can be sold.

The engine sells what lies in the trading position and knows nothing of allocations; the registry
knows both. So the cap is kept where units go into the trading position, or to another owner: what
was sold less what was bought, what lies there for sale, and what is on its way to others are
together no more than the share. Bought units widen the room as they narrow it when they are sold
again, so only allocated ones are capped.

Source: Chongqing, a covered entity sells at most half of its free allocation (ICAP 2016).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.settlement import InstructionPassed
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Position
from exchange.registry.holdings import Holdings
from exchange.registry.refusals import RefusalError
from exchange.registry.rows import Cause
from exchange.rulebook import Rulebook
from exchange.rulebook.allocation import sale_max
from exchange.rulebook.shapes import ComplianceRules
from exchange.rulebook.year import rules_of_year


class SaleRoom(NamedTuple):
    """What an entity may sell, and what of it is used, tonnes."""

    rules: ComplianceRules
    free: int  # allocated
    most: int
    sold: int  # less bought
    offered: int  # in trading positions, or on its way to others

    @property
    def left(self) -> int:
        """How much more may be put up for sale. O(1)."""
        return max(0, self.most - self.sold - self.offered)


class SaleCaps:
    """The caps on sales of a market's instruments."""

    def __init__(
        self, holdings: Holdings, instruments: Mapping[int, Instrument], rulebook: Rulebook
    ) -> None:
        self._holdings = holdings
        self._rulebook = rulebook
        capped = {
            scheme.id
            for scheme in rulebook.scheme
            if any(rules.max_sale_bp_of_free_allocation is not None for rules in scheme.rules)
        }
        holdings.sales.counted = frozenset(
            item.id
            for item in instruments.values()
            if item.kind == "allowance" and item.scheme in capped
        )

    def check(self, item: InstructionPassed, instrument: Instrument, cause: Cause) -> None:
        """RefusalError when a DEPOSIT, or a TRANSFER to another's account, is above the cap.

        O(1) where no rule caps the instrument, else O(accounts + years + transfers that wait).
        """
        if instrument.id not in self._holdings.sales.counted:
            return
        owners = self._holdings.accounts
        is_own = owners.get(item.account_id) == owners.get(item.argument)
        if item.kind == Instruction.TRANSFER and is_own:
            return
        room = self.room(item.account_id, instrument, cause.time_ns)
        if room is None or item.quantity <= room.left:
            return
        raise RefusalError(
            RegistryReason.SALE_ABOVE_CAP,
            f"{item.quantity} t of {instrument.symbol} refused: of {room.free} t allocated free to "
            f"participant {owners[item.account_id]} rule {room.rules.id} lets {room.most} t be "
            f"sold; sold less bought {room.sold} t, for sale or on its way {room.offered} t, "
            f"headroom {room.left} t",
            room.rules.id,
            self._rulebook.citation(room.rules),
        )

    def room(self, account: int, instrument: Instrument, time_ns: int) -> SaleRoom | None:
        """The room of an account's participant; None: nothing was allocated free, or no cap.

        Of an instrument of one vintage that year's allocation counts, else those of all years.
        """
        participant = self._holdings.accounts.get(account)
        mine = {other for other, owner in self._holdings.accounts.items() if owner == participant}
        on = self._rulebook.local_date(instrument.scheme, time_ns)
        free = most = 0
        capping = None
        for (owner, scheme, year), figures in self._holdings.years.items():
            is_year = scheme == instrument.scheme and instrument.vintage in (0, year)
            if owner not in mine or not is_year or not figures.annual:
                continue
            rules = rules_of_year(self._rulebook, scheme, year, on)
            share = None if rules is None else sale_max(rules, figures.annual)
            free += figures.annual
            most += figures.annual if share is None else share
            capping = rules if share is not None else capping
        if capping is None:
            return None
        return SaleRoom(capping, free, most, *self._used(mine, instrument.id))

    def _used(self, mine: Iterable[int], instrument_id: int) -> tuple[int, int]:
        holdings = self._holdings
        sold = sum(holdings.sales.net(account, instrument_id) for account in mine)
        offered = sum(holdings.held(account, Position.TRADING, instrument_id) for account in mine)
        offered += sum(
            transfer.quantity
            for transfer in holdings.standings.transfers.values()
            if transfer.kind == Instruction.TRANSFER
            and transfer.instrument_id == instrument_id
            and transfer.account in mine
            and transfer.to_account not in mine
        )
        return sold, offered
