"""What is answered: an account's compliance year."""

from __future__ import annotations

import msgspec


class StepRow(msgspec.Struct, frozen=True):
    """A step: its last day and source, and what was done; times in ns UTC, 0 = not yet."""

    step: str  # report, verification, allocation, surrender or assessment
    status: str  # DONE, LATE (done after its day), OPEN, OVERDUE
    due: str  # ISO; "" where the rulebook names no day
    time_ns: int
    quantity: int | None
    by: str  # a key; "" for a surrender
    detail: str  # method and stage, or what was corrected; "" = nothing to say
    source: str


class AssessmentRow(msgspec.Struct, frozen=True):
    """What followed when the year was over; money in currency units; a fine of "" is not known."""

    shortfall: int  # tonnes owed and not surrendered
    average_price: str
    fine_min: str  # least fine, currency units; "" = there is one of an unknown amount
    fine_max: str  # largest fine, currency units; "" = there is one of an unknown amount
    carried: int  # tonnes of the shortfall that are owed for the next year
    instruments_due: int  # tonnes to surrender in place of the shortfall
    forced: int  # tonnes to be taken from the account by force
    deduction: int  # tonnes to come off the next year's allocation
    condition: str  # when the deduction applies, in words; "" = always
    consequence: str  # what else follows, in words; "" = nothing
    rule: str
    by: str  # who assessed it
    time_ns: int


class ComplianceYearReply(msgspec.Struct, frozen=True):
    """A compliance year, tonnes; null = not yet."""

    market: str
    account: int
    scheme: str
    year: int
    sector: str  # of the entity, as the rulebook names sectors; "" = not stated
    currency: str
    reported: int | None  # tonnes that the account reported; null = none yet
    verified: int | None  # tonnes that a verifier confirmed or corrected; null = none yet
    provisional: int | None  # tonnes allocated before emissions were verified; null = none
    final: int | None  # tonnes allocated for the year in the end; null = not yet
    deducted: int  # tonnes taken off the final allocation for the shortfall of the year before
    carried_in: int  # tonnes owed from the year before
    added: int  # tonnes owed besides: allocated too much and gone, or due as a penalty
    obligation: int | None  # tonnes to surrender; null = nothing is known yet
    surrendered: int
    offsets: int  # of these
    closed: int  # tonnes of it that went to the next year: carried, or deducted there
    owed: int
    deduction: int  # tonnes that will come off the next year's allocation
    bases: dict[str, int]  # what caps are shares of
    steps: list[StepRow]  # report, verification, allocation, surrender, assessment
    assessment: AssessmentRow | None  # what followed; null = not assessed yet
    rule: str
    source: str
