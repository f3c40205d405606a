"""Accounts: cash, units, and what of them is promised to open orders."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Controls:
    """What an account, or a participant with all its accounts, may do."""

    suspended: int = 0
    position_max: int = 0
    order_rate: int = 0
    rate_count: int = 0  # orders heard in that second
    rate_second: int = 0  # engine time // 1 s

    def is_default(self) -> bool:
        """Whether nothing was ever set. O(1)."""
        return self == Controls()

    def heard_in(self, second: int) -> int:
        """How many orders were heard in that second of engine time, the present one. O(1)."""
        return self.rate_count if self.rate_second == second else 0


@dataclass(slots=True)
class Account:
    """The cash of one account, in minor units."""

    account_id: int
    participant: int
    available: int = 0
    held: int = 0
    locked: int = 0  # proceeds of sales that are not settled
    stp_group: int = 0
    controls: Controls = field(default_factory=Controls)

    @property
    def total(self) -> int:
        """All cash of the account. O(1)."""
        return self.available + self.held + self.locked


@dataclass(slots=True)
class Holding:
    """What an account has of one instrument, in tonnes."""

    available: int = 0
    held: int = 0
    locked: int = 0  # bought, saleable from the next DAY_ROLL or when settled
    holding_max: int = 0  # instead of the instrument's HOLDING_MAX; 0 = that one

    @property
    def total(self) -> int:
        """All units of the holding. O(1)."""
        return self.available + self.held + self.locked
