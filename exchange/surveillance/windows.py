"""Bounded memory of detectors: sums over the last while, and tables that forget the longest unused.

Time is that of the events, never a clock's. Each entry comes in once and goes out once, so every
step is O(1) amortised.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from exchange.settings import SURVEILLANCE_SUBJECTS_MAX, SURVEILLANCE_WINDOW_ENTRIES_MAX

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Entry(NamedTuple):
    """One thing that happened."""

    time_ns: int
    event: int
    key: Hashable
    quantity: int
    value: int


class Sum:
    """Totals of the entries under one key."""

    __slots__ = ("count", "quantity", "value")

    def __init__(self) -> None:
        self.count = self.quantity = self.value = 0


class Window:
    """Entries of the last `ns`, and their totals by key; the oldest go when it is full."""

    def __init__(self, ns: int, entries_max: int = SURVEILLANCE_WINDOW_ENTRIES_MAX) -> None:
        self._ns = ns
        self._entries: deque[Entry] = deque(maxlen=entries_max)
        self._max = entries_max
        self.sums: dict[Hashable, Sum] = {}
        self.all = Sum()

    def add(self, entry: Entry) -> None:
        """Takes an entry in, and lets those out that are too old by then. O(1) amortised."""
        self.advance(entry.time_ns)
        if len(self._entries) == self._max:
            self._drop()
        self._entries.append(entry)
        self._count(entry, 1)

    def advance(self, now_ns: int) -> None:
        """Lets out what is older than the window. O(1) amortised."""
        while self._entries and self._entries[0].time_ns < now_ns - self._ns:
            self._drop()

    def sum(self, key: Hashable) -> Sum:
        """Totals of a key, zeros when it has no entry. O(1)."""
        return self.sums.get(key) or Sum()

    @property
    def first(self) -> Entry:
        """The oldest entry; IndexError when there is none. O(1)."""
        return self._entries[0]

    def __len__(self) -> int:
        return len(self._entries)

    def _drop(self) -> None:
        entry = self._entries.popleft()
        self._count(entry, -1)
        if not self.sums[entry.key].count:
            del self.sums[entry.key]

    def _count(self, entry: Entry, sign: int) -> None:
        for total in (self.all, self.sums.setdefault(entry.key, Sum())):
            total.count += sign
            total.quantity += sign * entry.quantity
            total.value += sign * entry.value


class Table(Generic[K, V]):
    """A map that makes what is missing and forgets what was not asked for the longest. O(1)."""

    def __init__(self, make: Callable[[], V], size_max: int = SURVEILLANCE_SUBJECTS_MAX) -> None:
        self._make = make
        self._max = size_max
        self._rows: OrderedDict[K, V] = OrderedDict()

    def __getitem__(self, key: K) -> V:
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = self._make()
            if len(self._rows) > self._max:
                self._rows.popitem(last=False)
        else:
            self._rows.move_to_end(key)
        return row

    def find(self, key: K) -> V | None:
        """The row, None without one; asks for nothing. O(1)."""
        return self._rows.get(key)

    def drop(self, key: K) -> None:
        """Forgets a row. O(1)."""
        self._rows.pop(key, None)

    def __len__(self) -> int:
        return len(self._rows)
