"""Windows and tables forget what is old, and never hold more than they may."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange.surveillance.windows import Entry, Table, Window

NS = 100
STEPS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3), st.integers(1, 9)), max_size=30)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.integers(1, 8))
def test_a_window_has_the_sums_of_its_entries(
    steps: list[tuple[int, int, int]], entries_max: int
) -> None:
    window, kept, now = Window(NS, entries_max), list[Entry](), 0
    for number, (wait, key, quantity) in enumerate(steps):
        now += wait
        entry = Entry(now, number, key, quantity, 2 * quantity)
        window.add(entry)
        kept = [e for e in [*kept, entry] if e.time_ns >= now - NS][-entries_max:]
        assert len(window) == len(kept) <= entries_max
        assert window.first == kept[0]
        assert window.all.count == len(kept)
        assert window.all.quantity == sum(e.quantity for e in kept)
        assert window.all.value == sum(e.value for e in kept)
        for name in range(4):
            assert window.sum(name).quantity == sum(e.quantity for e in kept if e.key == name)
        assert set(window.sums) == {e.key for e in kept}


def test_a_table_forgets_the_longest_unused() -> None:
    table: Table[int, list[int]] = Table(list, 2)
    table[1].append(1)
    table[2].append(2)
    table[1].append(1)
    table[3].append(3)
    assert len(table) == 2
    assert table.find(2) is None
    assert table.find(1) == [1, 1]
    table.drop(1)
    assert table.find(1) is None
