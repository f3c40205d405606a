"""What is answered: a serial's history, an account at an instant, what was issued twice."""

from __future__ import annotations

import msgspec

from exchange.messages.executions import UnitRange


class SerialEvent(msgspec.Struct, frozen=True):
    """Something that happened to the block which held the serial number then."""

    sequence: int
    settlement_number: int
    time_ns: int
    kind: str  # as ISSUED, SPLIT, MOVED, SURRENDERED, CANCELLED: `registry.blocks.HistoryKind`
    block: UnitRange
    from_account: int
    from_position: str  # NONE, REGISTRY, TRADING, FROZEN, PLEDGED, PENDING
    to_account: int
    to_position: str
    cause: str  # TRADE, RELEASE or the kind of an instruction
    cause_id: int  # its number: of the trade, the transfer or the instruction


class SerialHistory(msgspec.Struct, frozen=True):
    """A page of a serial number's history, oldest first."""

    programme: str
    serial: int
    events: list[SerialEvent]


class TonnesRow(msgspec.Struct, frozen=True):
    """Units of one instrument in one position, tonnes, and since when they were so many."""

    symbol: str
    position: str
    quantity: int
    since_ns: int


class HoldingsAt(msgspec.Struct, frozen=True):
    """What an account had when everything up to `time_ns` was settled."""

    market: str
    account: int
    time_ns: int
    holdings: list[TonnesRow]


class IssuanceRow(msgspec.Struct, frozen=True):
    """One issuance."""

    market: str
    instruction_id: int
    range: UnitRange


class DuplicateRow(msgspec.Struct, frozen=True):
    """Two issuances that overlap."""

    issuance: IssuanceRow
    other: IssuanceRow


class PeriodRow(msgspec.Struct, frozen=True):
    """Two issuances of one project whose reductions share days; days as YYYYMMDD."""

    issuance: IssuanceRow
    project: int
    period_from: int
    period_to: int
    other: IssuanceRow
    other_project: int
    other_from: int
    other_to: int


class RegistrationRow(msgspec.Struct, frozen=True):
    """A project as a registry has it."""

    market: str
    programme: str
    project: int
    name: str
    region: str


class TwiceRow(msgspec.Struct, frozen=True):
    """One project, by name and region, in two registries."""

    project: RegistrationRow
    other: RegistrationRow


class DuplicateList(msgspec.Struct, frozen=True):
    """Issuances that overlap, by serials or by reductions, and projects in two registries."""

    duplicates: list[DuplicateRow]
    periods: list[PeriodRow] = []
    projects: list[TwiceRow] = []
