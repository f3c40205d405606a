"""Every refusal of the venue: one stable number, one text, what to do, may it be sent again.

Numbers below 500 are the engine's (`matching.layout.Reason`); 5xx are the gateway's, 6xx the
registry's and the rulebook's. The table below makes the HTTP problem details, the client's
exceptions and the documentation.
"""

from __future__ import annotations

from enum import IntEnum

from matching.layout import Reason

__all__ = ["EdgeReason", "Reason", "RegistryReason"]


class EdgeReason(IntEnum):
    """The gateway's refusals: nothing reached the log (but STATUS_UNKNOWN)."""

    BODY_TOO_LARGE = 501
    MALFORMED_JSON = 502
    INVALID_FIELD = 503
    UNKNOWN_FIELD = 504
    UNKNOWN_SYMBOL = 505
    PRICE_TOO_FINE = 506
    UNKNOWN_KEY = 510
    BAD_SIGNATURE = 511
    TIMESTAMP_OUTSIDE_WINDOW = 512
    REPLAYED_REQUEST = 513
    ROLE_NOT_ALLOWED = 514
    NOT_OWN_ACCOUNT = 515
    THROTTLED = 520
    VENUE_BUSY = 521
    STATUS_UNKNOWN = 522
    NOT_FOUND = 523


class RegistryReason(IntEnum):
    """The registry's refusals: nothing moved."""

    NOT_ENOUGH_UNITS = 601
    UNKNOWN_REGISTRY_ACCOUNT = 602
    NO_OBLIGATION = 603
    SURRENDER_ABOVE_OBLIGATION = 604
    UNIT_NOT_ELIGIBLE = 605
    OFFSET_CAP_EXCEEDED = 606
    QUANTITY_OUT_OF_RANGE = 607
    BENEFICIARY_MISSING = 608
    SERIAL_OVERLAP = 609
