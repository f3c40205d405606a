"""What operators set of accounts and participants: a projection of `events`."""

from __future__ import annotations

import numpy as np

from exchange.messages.frames import AccountParameter, Event, EventPart, event_rows

_KINDS = (Event.ACCOUNT_CHANGED, Event.PARTICIPANT_CHANGED)


class Controls:
    """The parameters that were ever set, by account, holding and participant; 0 = never."""

    def __init__(self) -> None:
        self._of_accounts: dict[tuple[int, int, int], int] = {}  # account, instrument, parameter
        self._of_participants: dict[tuple[int, int], int] = {}

    def apply(self, part: EventPart) -> None:
        """One accepted part of `events`. O(events)."""
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
