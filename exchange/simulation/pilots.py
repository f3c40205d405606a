"""The trading rules of the Chinese pilot venues which the simulation needs, each with its source.

Fees are basis points on each side of a public (listed) trade, bands basis points around the
reference price. "Assumed" says that no text of the venue was found and what was taken instead.
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
    "close = VWAP of listed trades, else the previous close: assumed from the national listed "
    "market (SEEE announcement of 2021-06-22)"
)

PILOTS: dict[str, PilotRules] = {
    "Beijing": PilotRules(
        2_000, 75, False, 0, False, f"band, fee, T+0: medium confidence; {NATIONAL_CLOSE}"
    ),
    "Tianjin": PilotRules(
        1_000, 70, True, 0, False, f"band, fee, T+1: low confidence; {NATIONAL_CLOSE}"
    ),
    "Shanghai": PilotRules(
        1_000, 8, False, 0, False, f"band, fee, T+0: low confidence; {NATIONAL_CLOSE}"
    ),
    "Guangdong": PilotRules(
        1_000,
        50,
        False,
        100,
        True,
        "open = previous close; listed volume of 100 t or less: close = open, else VWAP (listed "
        "trading rules); band, fee, T+0: low confidence",
    ),
    "Shenzhen": PilotRules(
        1_000,
        60,
        False,
        0,
        False,
        f"band, rounded half up to the tick (trading rules); fee, T+0: low confidence; "
        f"{NATIONAL_CLOSE}",
    ),
    "Hubei": PilotRules(
        1_000,
        50,
        True,
        0,
        False,
        f"band, rounding, refusal outside the band and fee (trading rules); T+1: low confidence; "
        f"{NATIONAL_CLOSE}",
    ),
    "Chongqing": PilotRules(
        2_000,
        70,
        True,
        0,
        False,
        f"band (20 percent before it became 10), fee, T+1: low confidence; {NATIONAL_CLOSE}",
    ),
    "Fujian": PilotRules(
        1_000, 0, True, 0, False, f"band, T+1: low confidence; fee not found: 0; {NATIONAL_CLOSE}"
    ),
}
OTHER = PilotRules(
    1_000, 0, False, 0, False, f"unknown venue: band of 10 percent assumed; {NATIONAL_CLOSE}"
)


def rules_of(venue: str) -> PilotRules:
    """The rules of a venue by its name; assumed ones for a venue not in the table."""
    return PILOTS.get(venue, OTHER)
