"""What the registry keeps of compliance years: the figures of each, and a row for each step.

A year is of an account, a scheme and an emission year. Tonnes, integers.
"""

from __future__ import annotations

from typing import NamedTuple

from exchange.rulebook.year import bases

Account = tuple[int, str, int]  # account, scheme, year
FINE_NOT_KNOWN = -1
"""As `fine_min` and `fine_max`: there is a fine, of an amount that the rulebook does not know."""


class Figures(NamedTuple):
    """A compliance year as it is; a row of `compliance_year` after its key. None = not yet."""

    sector: str = ""
    reported: int | None = None
    reported_by: str = ""  # a key
    verified: int | None = None
    provisional: int | None = None
    final: int | None = None  # as decided, relief included
    deducted: int = 0  # of `final`, for the shortfall of the year before
    carried_in: int = 0  # owed from the year before
    added: int = 0  # owed besides: allocated too much and gone, instruments of a penalty
    shortfall: int | None = None  # None: not assessed
    closed: int = 0  # of the obligation: carried to the next year, or deducted there
    deduction: int = 0  # still to come off the next year's allocation
    conditional: int = 0  # the same, but no more than what is not made good by then

    @property
    def obligation(self) -> int | None:
        """All that is owed for the year; None while nothing is known. O(1)."""
        if self.verified is None and not self.carried_in + self.added:
            return None
        return (self.verified or 0) + self.carried_in + self.added

    def owed(self, surrendered: int) -> int:
        """What is still asked for. O(1)."""
        return max(0, (self.obligation or 0) - self.closed - surrendered)

    def deductible(self, surrendered: int) -> int:
        """What comes off the next allocation as things stand. O(1)."""
        return self.deduction + min(self.conditional, self.owed(surrendered))

    @property
    def initial(self) -> int | None:
        """What was allocated first. O(1)."""
        return self.final if self.provisional is None else self.provisional

    @property
    def annual(self) -> int | None:
        """What was allocated for the year so far, less deductions. O(1)."""
        return self.provisional if self.final is None else self.final - self.deducted

    @property
    def bases(self) -> dict[str, int]:
        """The amounts that caps name. O(1)."""
        return bases(self.verified, self.initial, self.annual)


class Emissions(NamedTuple):
    """A row of `emissions` after `market`."""

    instruction_id: int
    kind: int  # frames.Instruction: reported or verified
    account: int
    scheme: str
    year: int
    quantity: int
    given_by: str
    participant: int  # a verifier's; 0: the emitter's own report
    is_late: int
    time_ns: int


class Allocation(NamedTuple):
    """A row of `allocation` after `market`."""

    instruction_id: int
    account: int
    instrument_id: int
    scheme: str
    year: int
    stage: str
    method: str
    sector: str
    base: int  # of a provisional allocation; 0: the rules name none
    quantity: int
    relief: int
    deducted: int
    issued: int
    returned: int
    added: int
    rule: str
    given_by: str
    is_late: int
    time_ns: int


class Assessment(NamedTuple):
    """A row of `assessment` after `market`."""

    instruction_id: int
    account: int
    scheme: str
    year: int
    obligation: int
    surrendered: int
    shortfall: int
    average_price: int
    fine_min: int
    fine_max: int
    carried: int
    instruments_due: int
    forced: int
    deduction: int
    condition: str
    consequence: str
    due: str
    rule: str
    given_by: str
    time_ns: int


class Application(NamedTuple):
    """A row of `carry_over_application` after `market`."""

    instruction_id: int
    account: int
    instrument_id: int
    quantity: int
    most: int
    sold: int
    bought: int
    position: int
    process_by: str
    rule: str
    given_by: str
    time_ns: int


class CarriedOver(NamedTuple):
    """A row of `carry_over` after `market`."""

    instruction_id: int
    application_id: int
    account: int
    instrument_id: int
    quantity: int
    given_by: str
    is_late: int
    time_ns: int
