"""A command given as integers is the same record as a frame of one."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.workload import steady
from matching import compiled, reference
from matching.layout import COMMAND, HEADER_SIZE, Command, Event, Liquidity, Reason
from tests.matching.frames import events


def test_same_events_fills_and_state_as_frames() -> None:
    workload = steady(1_500, resting=300).framed(1)
    slow, fast = reference.Engine(), compiled.Engine()
    refused = filled = 0
    for offset, data in enumerate(workload.opening + workload.flow):
        said = slow.apply(offset, workload.append_ns(offset), data)
        commands = np.frombuffer(data[HEADER_SIZE:], COMMAND)
        if len(commands) > 1:
            assert fast.apply(offset, workload.append_ns(offset), data) == said
            continue
        fields = dict(zip(commands.dtype.names or (), commands[0].item(), strict=True))
        del fields["valid_ms"]
        reason, fills = fast.apply_one(workload.append_ns(offset), **fields)
        assert fast.said == said
        rows = events(said)
        assert reason == (rows[0].reason if rows else 0)
        assert list(fills) == [
            (row.contra_order_id, row.quantity, row.price)
            for row in rows
            if row.kind == Event.FILL and row.order_type == Liquidity.TAKER
        ]
        refused += reason != Reason.NONE
        filled += bool(fills)
    assert refused
    assert filled
    assert fast.snapshot() == slow.snapshot()


def test_long_label_changes_nothing() -> None:
    engine = compiled.Engine()
    with pytest.raises(ValueError, match="16 bytes"):
        engine.apply_one(0, Command.NEW_ORDER, 1, client_order_id=b"x" * 17)
    assert engine.snapshot() == reference.Engine().snapshot()
