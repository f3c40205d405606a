"""The end of a log that was read: it is waited for, and a log that stays shorter lost records."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.log.protocol import LogError, Partition, end_behind

ORDERS = Partition("orders")


class Ends:
    """A log that tells one end after the other; the last one stays."""

    def __init__(self, *ends: int) -> None:
        self.left = list(ends)

    async def end(self, _: Partition) -> int:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.log.protocol.READ_WAIT_S", 0)


@pytest.mark.parametrize(("ends", "end"), [((7,), 7), ((9,), 9), ((0, 5, 6, 8), 8)])
async def test_a_leader_that_does_not_know_its_end_yet_is_asked_again(
    ends: tuple[int, ...], end: int
) -> None:
    log: Any = Ends(*ends)
    assert await end_behind(log, ORDERS, 7) == end


async def test_a_log_that_stays_shorter_has_lost_records() -> None:
    log: Any = Ends(5, 6)
    with pytest.raises(LogError, match="orders/0: the log ends at 6, but record 6 was read"):
        await end_behind(log, ORDERS, 7)
