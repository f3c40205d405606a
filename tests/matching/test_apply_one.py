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


def test_arguments_may_have_names() -> None:
    """All of them in order go a shorter way than any other call: what they do is the same."""
    fields = {"append_ns": 7, "kind": Command.EPOCH_START, "account_id": 0, "quantity": 1}
    whole = [7, Command.EPOCH_START, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b""]
    engines = [compiled.Engine() for _ in range(4)]
    said = {
        engines[0].apply_one(*whole),
        engines[1].apply_one(**fields),
        engines[2].apply_one(*whole[:8]),
        engines[3].apply_one(*whole[:3], quantity=1, client_order_id=b""),
    }
    assert said == {(Reason.NONE, ())}
    assert len({(engine.said, engine.snapshot()) for engine in engines}) == 1
    assert engines[0].epoch == 1


@pytest.mark.parametrize(
    ("at", "value", "error"),
    [
        (1, 256, OverflowError),
        (2, -1, OverflowError),
        (4, "buy", TypeError),
        (7, 2**63, OverflowError),
        (9, -1, OverflowError),
        (12, "label", TypeError),
        (12, None, TypeError),
        (12, b"x" * 17, ValueError),
    ],
)
def test_a_wrong_argument_changes_nothing(at: int, value: object, error: type[Exception]) -> None:
    engine = compiled.Engine()
    given: list[object] = [0, Command.NEW_ORDER, 1, 1, 1, 2, 1, 5, 5, 0, 1, 1, b"label"]
    given[at] = value
    for arguments in (given, given[:-1] if at < 12 else given):
        with pytest.raises(error):
            engine.apply_one(*arguments)
    with pytest.raises(TypeError):
        engine.apply_one(*given, 0)
    with pytest.raises(TypeError):
        engine.apply_one(*given, unknown=0)
    assert engine.snapshot() == reference.Engine().snapshot()
    assert engine.apply_one(*[0, Command.CLOCK_TICK, *[0] * 10, b""]) == (Reason.NONE, ())
