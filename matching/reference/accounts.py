"""Accounts: cash, units, and what of them is promised to open orders."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Account:
    """The cash of one account, in minor units."""

    account_id: int
    participant: int
    available: int = 0
    held: int = 0

    @property
    def total(self) -> int:
        """All cash of the account. O(1)."""
        return self.available + self.held


@dataclass(slots=True)
class Holding:
    """What an account has of one instrument, in tonnes."""

    available: int = 0
    held: int = 0
    locked: int = 0  # bought today, saleable from the next DAY_ROLL

    @property
    def total(self) -> int:
        """All units of the holding. O(1)."""
        return self.available + self.held + self.locked
