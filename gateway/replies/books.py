"""What is answered: a serial's history, an account at an instant, what was issued twice."""

from __future__ import annotations

import msgspec

from exchange.messages.executions import UnitRange


class SerialEvent(msgspec.Struct, frozen=True):
    """Something that happened to the block which held the serial number then."""

    sequence: int  # number of what happened, rising in its market
    settlement_number: int  # number of the record of `settlements` that caused it
    time_ns: int
    kind: str  # as ISSUED, SPLIT, MOVED, SURRENDERED, CANCELLED: `registry.blocks.HistoryKind`
    block: UnitRange  # the serial numbers that moved together
    from_account: int  # number of the account that had them; 0 = none
    from_position: str  # NONE, REGISTRY, TRADING, FROZEN, PLEDGED, PENDING
    to_account: int
    to_position: str  # as from_position
    cause: str  # TRADE, RELEASE or the kind of an instruction
    cause_id: int  # its number: of the trade, the transfer or the instruction


class SerialHistory(msgspec.Struct, frozen=True):
    """A page of a serial number's history, oldest first."""

    programme: str
    serial: int  # the serial number asked for
    events: list[SerialEvent]  # at most as many as were asked for


class TonnesRow(msgspec.Struct, frozen=True):
    """Units of one instrument in one position, tonnes, and since when they were so many."""

    symbol: str
    position: str  # REGISTRY, TRADING, FROZEN, PLEDGED or PENDING
    quantity: int
    since_ns: int  # when they became so many, ns UTC


class HoldingsAt(msgspec.Struct, frozen=True):
    """What an account had when everything up to `time_ns` was settled."""

    market: str
    account: int
    time_ns: int
    holdings: list[TonnesRow]


class IssuanceRow(msgspec.Struct, frozen=True):
    """One issuance."""

    market: str
    instruction_id: int  # of the instruction that issued them
    range: UnitRange  # the serial numbers issued


class DuplicateRow(msgspec.Struct, frozen=True):
    """Two issuances that overlap."""

    issuance: IssuanceRow  # one of the two
    other: IssuanceRow  # the other one


class PeriodRow(msgspec.Struct, frozen=True):
    """Two issuances of one project whose reductions share days; days as YYYYMMDD."""

    issuance: IssuanceRow  # one of the two
    project: int
    period_from: int  # first day of its reductions, YYYYMMDD
    period_to: int  # last day of its reductions, YYYYMMDD
    other: IssuanceRow  # the other one
    other_project: int  # number of its project
    other_from: int  # first day of its reductions, YYYYMMDD
    other_to: int  # last day of its reductions, YYYYMMDD


class RegistrationRow(msgspec.Struct, frozen=True):
    """A project as a registry has it."""

    market: str
    programme: str
    project: int
    name: str  # of the project, as registered
    region: str  # where it lies, such as CN-GD


class TwiceRow(msgspec.Struct, frozen=True):
    """One project, by name and region, in two registries."""

    project: RegistrationRow  # as the one registry has it
    other: RegistrationRow  # as the other one has it


class DuplicateList(msgspec.Struct, frozen=True):
    """Issuances that overlap, by serials or by reductions, and projects in two registries."""

    duplicates: list[DuplicateRow]  # issuances whose serial numbers overlap
    periods: list[PeriodRow] = []  # issuances whose days of reductions overlap
    projects: list[TwiceRow] = []  # projects that stand in two registries
