"""Tonnes that accounts sold less those they bought, of instruments whose rules cap what is sold."""

from __future__ import annotations

from exchange.registry.rows import NetSale, Place

SALES = frozenset({"TRADE", "TRADE_CANCEL", "TRANSFER"})
"""Causes of moves by which units go to another owner for something."""


class Sales:
    """Counts moves between accounts; made anew from the books."""

    def __init__(self) -> None:
        self.counted: frozenset[int] = frozenset()  # instruments
        self._net: dict[tuple[int, int], int] = {}  # by account and instrument
        self._changed: dict[tuple[int, int], NetSale] = {}

    def net(self, account: int, instrument_id: int) -> int:
        """Tonnes sold less bought; below 0 when more were bought. O(1)."""
        return self._net.get((account, instrument_id), 0)

    def note(self, source: Place, account: int, quantity: int, cause: str) -> None:
        """Units of a place went to an account. O(1)."""
        is_counted = source.instrument_id in self.counted
        if not is_counted or cause not in SALES or account == source.account:
            return
        for whose, change in ((source.account, quantity), (account, -quantity)):
            key = (whose, source.instrument_id)
            self._net[key] = self._net.get(key, 0) + change
            self._changed[key] = NetSale(*key, self._net[key])

    def load(self, row: NetSale) -> None:
        """Takes up a row of the books. O(1)."""
        self._net[row.account, row.instrument_id] = row.quantity

    def take_changes(self) -> list[NetSale]:
        """Rows that changed since the last call, to be written. O(changes)."""
        changed, self._changed = list(self._changed.values()), {}
        return changed
