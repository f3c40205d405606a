"""Both engines side by side: every output, every snapshot, every invariant compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from matching import compiled, reference
from matching.protocol import EngineProtocol, Limits
from tests.matching.flows import Flow, Record
from tests.matching.frames import events


class Twin:
    """A reference and a compiled engine which must never differ; nor one that always looks far."""

    def __init__(self, limits: Limits | None = None) -> None:
        chosen = limits or Limits()
        self.reference: EngineProtocol = reference.Engine(chosen)
        self.compiled: EngineProtocol = compiled.Engine(chosen)
        self.far = far(compiled.Engine(chosen))
        self.heard: Counter[tuple[int, int]] = Counter()  # event kind, reason

    def apply(self, record: Record) -> bytes:
        """Give the record to both; AssertionError names the first event that differs."""
        offset, append_ns, frame = record
        expected = self.reference.apply(offset, append_ns, frame)
        output = self.compiled.apply(offset, append_ns, frame)
        rows = events(expected)
        if output != expected:
            pairs = zip(rows, events(output), strict=False)
            different = next((pair for pair in pairs if pair[0] != pair[1]), "one is longer")
            raise AssertionError(f"record {offset}: {different}")
        assert self.far.apply(offset, append_ns, frame) == output
        self.heard.update((e.kind, e.reason) for e in rows)
        return output

    def check(self) -> None:
        """Equal snapshots and properties, and nothing broken in either."""
        assert self.reference.self_check() == []
        assert self.compiled.self_check() == []
        assert self.far.self_check() == []
        for name in ("next_offset", "next_event", "epoch", "leader", "time_ns"):
            assert getattr(self.reference, name) == getattr(self.compiled, name), name
        assert self.reference.snapshot() == self.compiled.snapshot() == self.far.snapshot()

    def swap(self) -> None:
        """Each engine goes on from the snapshot of the other."""
        self.restore(self.compiled.snapshot(), self.reference.snapshot())
        self.check()

    def restore(self, of_reference: bytes, of_compiled: bytes) -> None:
        """All go on from these snapshots."""
        self.reference = reference.Engine.restore(of_reference)
        self.compiled = compiled.Engine.restore(of_compiled)
        self.far = far(compiled.Engine.restore(of_compiled))


def far(engine: compiled.Engine) -> compiled.Engine:
    """An engine for which nothing is near."""
    engine.near = 0
    return engine


def run(twin: Twin, flow: Flow, records: Iterable[Record], every: int = 25) -> None:
    """All records, checked now and then and at the end."""
    for number, record in enumerate(records):
        flow.hear(twin.apply(record))
        if number % every == 0:
            twin.check()
    twin.check()


def trade(seed: int, commands: Callable[[Flow], bytes], count: int = 60) -> tuple[Twin, Flow]:
    """A market in the middle of a flow."""
    twin, flow = Twin(), Flow(seed)
    run(twin, flow, flow.opening())
    if seed % 2:
        run(twin, flow, [flow.rules()])
    run(twin, flow, flow.frames(count, commands))
    return twin, flow
