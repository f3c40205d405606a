"""Whose trades are not settled: accounts and participants that the engine suspended. Pure.

A suspended account trades on what rests, says RULES.md; but nothing of it is delivered or paid
until somebody decides. Memory: a row an account.
"""

from __future__ import annotations

from typing import NamedTuple

from exchange.messages.frames import Event, EventRow

_STORED = 2**63 - 1  # ids given by others are 64 bits on the log and 63 in the books


class Member(NamedTuple):
    """A row of `settlement_account`."""

    participant: int  # 0 = the venue's own
    is_suspended: int = 0  # the account itself


class Suspensions(NamedTuple):
    """What is known of accounts, and of participants that were ever suspended."""

    accounts: dict[int, Member]
    participants: dict[int, int]  # 1 = suspended

    def __bool__(self) -> bool:
        """Whether there is any. O(1)."""
        return bool(self.accounts or self.participants)

    def of(self, account: int) -> bool:
        """Whether the account or its participant is suspended. O(1)."""
        member = self.accounts.get(account)
        if member is None:
            return False
        return bool(member.is_suspended or self.participants.get(member.participant, 0))

    def hear(self, row: EventRow, changes: Suspensions) -> bool:
        """Takes up an event, here and among the changes; whether it suspends somebody. O(1)."""
        if row.kind == Event.PARTICIPANT_CHANGED:
            number = row.order_id & _STORED
            self.participants[number] = changes.participants[number] = row.quantity
            return bool(row.quantity)
        if row.kind == Event.ACCOUNT_OPENED:
            member = Member(row.order_id & _STORED)
        else:
            known = self.accounts.get(row.account_id, Member(0))
            member = known._replace(is_suspended=row.quantity)
        self.accounts[row.account_id] = changes.accounts[row.account_id] = member
        return bool(member.is_suspended)


SUSPENSION_KINDS = (Event.ACCOUNT_OPENED, Event.ACCOUNT_CHANGED, Event.PARTICIPANT_CHANGED)
"""Events that say who is suspended; of changes those of SUSPENDED."""


def no_suspensions() -> Suspensions:
    """Nobody yet."""
    return Suspensions({}, {})
