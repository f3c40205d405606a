"""What is answered: money, units, holdings and obligations of an account."""

from __future__ import annotations

import msgspec

from exchange.messages.executions import UnitRange


class CashRow(msgspec.Struct, frozen=True):
    """Cash of an account, currency units."""

    available: str  # currency units that can be used
    held: str  # currency units in open orders
    locked: str = "0"  # proceeds of sales that are not settled


class UnitsRow(msgspec.Struct, frozen=True):
    """Units of one instrument in the trading position, tonnes."""

    symbol: str
    available: int  # tonnes that can be sold
    held: int  # tonnes in open orders
    locked: int  # tonnes bought that can be sold later


class AccountPosition(msgspec.Struct, frozen=True):
    """What an account can trade with."""

    market: str
    account: int
    currency: str
    cash: CashRow  # what it has of money
    units: list[UnitsRow]  # what it has of each instrument


class PositionList(msgspec.Struct, frozen=True):
    """Positions of the accounts that the key sees."""

    positions: list[AccountPosition]  # one for each account


class HoldingRow(msgspec.Struct, frozen=True):
    """Units of one instrument in one position of an account, by serial number."""

    market: str
    account: int
    symbol: str
    position: str  # REGISTRY, TRADING, FROZEN, PENDING or PLEDGED
    quantity: int
    ranges: tuple[UnitRange, ...]
    lender: int = 0  # PLEDGED: the account to which


class ObligationRow(msgspec.Struct, frozen=True):
    """What an account must surrender for a year, and has, tonnes."""

    market: str
    account: int
    scheme: str
    year: int
    obligation: int
    surrendered: dict[str, int]  # by symbol


class HoldingList(msgspec.Struct, frozen=True):
    """Holdings and obligations of the accounts that the key sees."""

    holdings: list[HoldingRow]
    obligations: list[ObligationRow]  # what the accounts owe, a row for each scheme and year


class SessionReply(msgspec.Struct, frozen=True):
    """Where a key's session stands: its next request needs a higher `ref`."""

    key: str
    participant: int
    role: str
    session: int
    last_ref: dict[str, int]  # by market: the highest `ref` that was used
    sequence: dict[str, int]  # by market: the next event number
