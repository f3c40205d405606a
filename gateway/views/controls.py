"""What operators set of accounts and participants, and what members send: of `events`."""

from __future__ import annotations

import numpy as np

from exchange.messages.frames import AccountParameter, Event, EventPart, event_rows, kinds_mask
from gateway.views.order_ratio import OrderRatios

_KINDS = (Event.ACCOUNT_CHANGED, Event.PARTICIPANT_CHANGED)
_MASK = kinds_mask(*_KINDS)


class Controls:
    """The parameters that were ever set, by account, holding and participant; 0 = never.

    `ratios` are the orders to trades of the day, against which limits are set.
    """

    def __init__(self) -> None:
        self.ratios = OrderRatios()
        self._of_accounts: dict[tuple[int, int, int], int] = {}  # account, instrument, parameter
        self._of_participants: dict[tuple[int, int], int] = {}

    def apply(self, part: EventPart) -> None:
        """One accepted part of `events`. O(events)."""
        self.ratios.apply(part)
        if not part.kinds & _MASK:
            return
        for row in event_rows(part.events[np.isin(part.events["kind"], _KINDS)]):
            if row.kind == Event.ACCOUNT_CHANGED:
                self._of_accounts[row.account_id, row.instrument_id, row.order_type] = row.quantity
            else:
                self._of_participants[row.order_id, row.order_type] = row.quantity

    def of_account(
        self, account: int, parameter: AccountParameter | int, instrument: int = 0
    ) -> int:
        """A parameter of an account, or of its holding in an instrument. O(1)."""
        return self._of_accounts.get((account, instrument, int(parameter)), 0)

    def of_participant(self, participant: int, parameter: AccountParameter | int) -> int:
        """A parameter of a participant. O(1)."""
        return self._of_participants.get((participant, int(parameter)), 0)
