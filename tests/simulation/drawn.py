"""The seeds that the suite draws: each is run once, and other tests stand on what they show."""

from __future__ import annotations

MORE = 60
PART = 10
DRAWN = range(1, 1 + MORE)
"""The first of `exchange simulate-faults --seeds 200`; `test_simulated_venue` runs them."""
