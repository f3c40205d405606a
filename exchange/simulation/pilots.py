"""The trading rules of the Chinese pilot venues which the simulation needs, each with its source.

Fees are basis points on each side of a public (listed) trade, bands basis points around the
reference price. "Trading rules" means a text of the venue; confidences are those of secondary
sources, where no text was found.
"""

from __future__ import annotations

from typing import NamedTuple


class PilotRules(NamedTuple):
    """What one venue says about a trading day."""

    band_bp: int
    fee_bp: int
    resale_next_day: bool
    close_volume_min: int  # t; at or below it the close stays; the close is the VWAP above
    opens_at_previous_close: bool  # the published open is the reference, not the first trade
    source: str


NATIONAL_CLOSE = (
    "close = VWAP of listed trades, else the previous close (assumed for venues of which no text "
    "was found; it is the rule of the national listed market, SEEE announcement of 2021-06-22)"
)

PILOTS: dict[str, PilotRules] = {
    "Beijing": PilotRules(2_000, 75, False, 0, False, "band, fee, resale: medium confidence"),
    "Tianjin": PilotRules(1_000, 70, True, 0, False, "band, fee, resale: low confidence"),
    "Shanghai": PilotRules(1_000, 8, False, 0, False, "band, fee, resale: low confidence"),
    "Guangdong": PilotRules(
        1_000,
        50,
        False,
        100,
        True,
        "trading rules: open = previous close; close = VWAP of listed trades above 100 t a day, "
        "else the open; band, fee, resale: low confidence",
    ),
    "Shenzhen": PilotRules(
        1_000,
        60,
        False,
        0,
        False,
        "trading rules: band, rounded half up to the tick; fee, resale: low confidence",
    ),
    "Hubei": PilotRules(
        1_000,
        50,
        True,
        0,
        False,
        "trading rules: band, rounding, refusal outside it, fee; resale: low confidence",
    ),
    "Chongqing": PilotRules(
        2_000,
        70,
        True,
        0,
        False,
        "band (20 percent before it became 10), fee, resale: low confidence",
    ),
    "Fujian": PilotRules(1_000, 0, True, 0, False, "band, resale: low confidence; no fee found: 0"),
}
OTHER = PilotRules(1_000, 0, False, 0, False, "no rules known: band of 10 percent assumed")


def rules_of(venue: str) -> PilotRules:
    """The rules of a venue by its name; assumed ones for a venue not in the table."""
    return PILOTS.get(venue, OTHER)
