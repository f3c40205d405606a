"""What a province holds for an entity, surrendered by force when the year's last day is over.

Nobody has to ask: the rules put allowances of an entity at risk into the province's account so that
they are used for its obligation, and only what is left comes back. So what counts for the year is
taken, as of its last instant, before the year is assessed; a province may do so earlier itself.

Source: China's allocation plans of 2021 to 2025 (forced surrender first, remainder released).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from exchange.messages.frames import Instruction
from exchange.messages.registry import RegistryItem, UnitsSurrendered
from exchange.messages.settlement import InstructionPassed
from exchange.reference.venue import Instrument
from exchange.registry.blocks import State, runs, tonnes
from exchange.registry.holdings import Holdings
from exchange.registry.others import forced_out, held_for
from exchange.registry.refusals import RefusalError
from exchange.registry.rows import Cause, Place, Surrender
from exchange.registry.surrenders import SurrenderChecks
from exchange.registry.years import Account, Figures


class ForcedSurrenders:
    """What is surrendered by itself of a market's holdings."""

    def __init__(
        self, holdings: Holdings, instruments: Mapping[int, Instrument], checks: SurrenderChecks
    ) -> None:
        self._holdings = holdings
        self._checks = checks
        self._allowances = sorted(
            (item for item in instruments.values() if item.kind == "allowance"),
            key=lambda item: (item.vintage, item.id),
        )

    def at_the_end(self, account: Account, last_ns: int, cause: Cause) -> list[RegistryItem]:
        """Takes what is held for the entity of a year and counts for it, oldest vintages first.

        `last_ns` is the last instant to surrender: the vintages of that moment count, and what is
        taken is not late. O(places that lie for somebody + blocks taken x log).
        """
        entity, scheme, _ = account
        said: list[RegistryItem] = []
        for instrument in self._allowances:
            if instrument.scheme == scheme:
                for place in held_for(self._holdings, entity, instrument.id):
                    then = cause._replace(time_ns=last_ns)
                    quantity, vintages = self._counting(place, instrument, account, then)
                    if quantity:
                        said += self._take(place, instrument, account, quantity, vintages, cause)
        return said

    def _counting(
        self, place: Place, instrument: Instrument, account: Account, then: Cause
    ) -> tuple[int, frozenset[int] | None]:
        """How much of a place counts for what is owed, and of which vintages; 0: nothing."""
        entity, _, year = account
        figures = self._holdings.years.get(account, Figures())
        quantity = figures.owed(self._holdings.surrendered.get(account, 0))
        if not quantity:
            return 0, None
        asked = InstructionPassed(0, Instruction.SURRENDER, entity, instrument.id, 1, year, "", "")
        try:
            vintages = self._checks.vintages(asked, instrument, then, figures, place)
            held = self._holdings.held(*place)
            if vintages is not None:
                held = self._holdings.held_of(place, vintages)
            whole = msgspec.structs.replace(asked, quantity=min(quantity, held))
            self._checks.vintages(whole, instrument, then, figures, place)
        except RefusalError:  # of a vintage that does not count, or beyond what may be borrowed
            return 0, None
        return whole.quantity, vintages

    def _take(
        self,
        place: Place,
        instrument: Instrument,
        account: Account,
        quantity: int,
        vintages: frozenset[int] | None,
        cause: Cause,
    ) -> list[RegistryItem]:
        entity, scheme, year = account
        blocks = self._holdings.retire(
            place, State.SURRENDERED, quantity, cause, vintages=vintages, entity=entity
        )
        number = self._holdings.assessed_by_time - 1
        self._holdings.assessed_by_time = number
        row = Surrender(number, entity, instrument.id, scheme, year, "", quantity, cause.time_ns)
        self._holdings.add_surrender(row, instrument.product, blocks)
        return forced_out(place.account, entity, blocks) + [
            UnitsSurrendered(
                0, entity, instrument.id, year, tonnes(run), tuple(b.range for b in run)
            )
            for run in runs(blocks)
        ]
