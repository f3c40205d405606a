"""Between which prices the engine takes orders of an instrument, by the engine's own rules.

For who tells people: the engine decides with its own tables (`matching/RULES.md`, "Limits").
"""

from __future__ import annotations

from collections.abc import Mapping

from matching.layout import PRICE_LIMIT, Parameter
from matching.reference.instruments import Instrument


class PriceLimits:
    """The ticks, bands and collar of one instrument; prices in minor units a tonne."""

    def __init__(self, parameters: Mapping[Parameter, int]) -> None:
        """`parameters` may change afterwards: they are looked up at each question."""
        self._rules = Instrument(0, parameters=parameters)  # type: ignore[arg-type]

    def stand(self, *, reference: int, last: int, day_volume: int) -> None:
        """From now on prices are measured against these; 0 = there is none. O(1)."""
        self._rules.reference, self._rules.last_price = reference, last
        self._rules.volume = day_volume

    def tick_at(self, price: int) -> int:
        """The tick that holds at a price. O(1)."""
        return self._rules.tick_at(price)

    def band(self, parameter: Parameter = Parameter.BAND_BP) -> tuple[int, int] | None:
        """The lowest and the highest price of the day, None without a band. O(1)."""
        return self._rules.band(parameter)

    def collar(self, side: int) -> int | None:
        """The furthest price of an order of that side, None without a collar. O(1)."""
        edge = self._rules.collar_edge(side, self._rules.base_price())
        return None if edge in (0, PRICE_LIMIT) else edge

    @property
    def base(self) -> int:
        """The price against which the collar is measured. O(1)."""
        return self._rules.base_price()
