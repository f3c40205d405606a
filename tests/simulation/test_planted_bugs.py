"""The simulation finds bugs that are planted: each by the seed that is named here, and as what.

A seed that finds a bug must keep every promise without it, or it would find nothing: each is one
of those that `test_simulated_venue` runs as they are.
"""

from __future__ import annotations

import pytest

from exchange.simulation.faults.promises import PROMISES
from gateway.faults.campaign import run_seeds
from gateway.faults.planted import PLANTED
from tests.simulation.drawn import DRAWN

FINDS: dict[str, tuple[int, str]] = {
    "hold-lost": (2, "P3"),
    "dedupe-off-by-one": (21, "P3"),
    "newest-first": (1, "P3"),
    "snapshot-forgets-refs": (2, "PX"),
    "uncertain-is-certain": (1, "PX"),
    "acknowledged-early": (4, "P1"),
    "unknown-is-refused": (9, "P9"),
    "kill-leaves-orders": (2, "P8"),
    "resume-skips-one": (4, "P2"),
    "report-leaks": (2, "P2"),
    "cancelled-with-leaves": (2, "P2"),
    "reused-ref-is-status": (5, "P9"),
    "one-person-loosens": (2, "P12"),
    "position-outside": (4, "PX"),
    "half-delivery": (4, "P4"),
    "publish-gives-up": (2, "PX"),
    "deposits-forgotten": (16, "P11"),
    "cap-on-reported": (2, "P6"),
    "late-is-in-time": (2, "P6"),
    "gone-is-skipped": (2, "PX"),
    "public-skips-one": (2, "P7"),
    "auction-pays-bid": (21, "P13"),
    "tie-by-time": (16, "P13"),
    "bid-hold-kept": (21, "P4"),
    "best-bid-shown": (21, "P13"),
    "bounds-off-reference": (11, "P13"),
    "average-of-last": (21, "P2"),
    "partly-is-new": (21, "P2"),
    "time-is-cut": (2, "P2"),
    "expired-key-taken": (15, "P1"),
    "any-signature-taken": (15, "P9"),
    "refusal-swallowed": (15, "P9"),
    "ticks-when-idle": (8, "P11"),
    "call-not-drawn": (24, "P13"),
    "collar-for-buys": (24, "P13"),
    "call-price-highest": (11, "P13"),
}
"""Bug -> a seed that finds it, and the promise that it breaks then."""


def test_every_planted_bug_has_its_seed() -> None:
    assert FINDS.keys() == PLANTED.keys()
    assert {promise for _, promise in FINDS.values()} <= PROMISES.keys()
    assert {seed for seed, _ in FINDS.values()} <= set(DRAWN)


@pytest.mark.parametrize("name", FINDS)
def test_a_planted_bug_is_found_as_what_it_is(name: str) -> None:
    seed, promise = FINDS[name]
    found = run_seeds((seed,), plant=name).results[0]
    assert found.promise == promise, f"{found.promise}: {found.event}\n{found.trace}"
