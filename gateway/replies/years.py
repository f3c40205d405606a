"""What is answered: an account's compliance year."""

from __future__ import annotations

import msgspec


class StepRow(msgspec.Struct, frozen=True):
    """A step: its last day and source, and what was done; times in ns UTC, 0 = not yet."""

    step: str
    status: str  # DONE, LATE (done after its day), OPEN, OVERDUE
    due: str  # ISO; "" where the rulebook names no day
    time_ns: int
    quantity: int | None
    by: str  # a key; "" for a surrender
    detail: str
    source: str


class AssessmentRow(msgspec.Struct, frozen=True):
    """What followed when the year was over; money in currency units; a fine of "" is not known."""

    shortfall: int
    average_price: str
    fine_min: str
    fine_max: str
    carried: int
    instruments_due: int
    forced: int
    deduction: int
    condition: str
    consequence: str
    rule: str
    by: str
    time_ns: int


class ComplianceYearReply(msgspec.Struct, frozen=True):
    """A compliance year, tonnes; null = not yet."""

    market: str
    account: int
    scheme: str
    year: int
    sector: str
    currency: str
    reported: int | None
    verified: int | None
    provisional: int | None
    final: int | None
    deducted: int
    carried_in: int
    added: int
    obligation: int | None
    surrendered: int
    offsets: int  # of these
    closed: int
    owed: int
    deduction: int
    bases: dict[str, int]  # what caps are shares of
    steps: list[StepRow]
    assessment: AssessmentRow | None
    rule: str
    source: str
