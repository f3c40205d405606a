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
    "hold-lost": (5, "P3"),
    "dedupe-off-by-one": (5, "P3"),
    "newest-first": (8, "P3"),
    "snapshot-forgets-refs": (6, "PX"),
    "uncertain-is-certain": (9, "PX"),
    "acknowledged-early": (6, "P1"),
    "unknown-is-refused": (9, "P9"),
    "kill-leaves-orders": (5, "P8"),
    "resume-skips-one": (6, "P2"),
    "report-leaks": (5, "P2"),
    "cancelled-with-leaves": (6, "P2"),
    "reused-ref-is-status": (5, "P9"),
    "one-person-loosens": (5, "P12"),
    "position-outside": (6, "PX"),
    "half-delivery": (5, "P4"),
    "publish-gives-up": (9, "PX"),
    "deposits-forgotten": (51, "P11"),
    "cap-on-reported": (5, "P6"),
    "late-is-in-time": (5, "P6"),
    "gone-is-skipped": (2, "PX"),
    "public-skips-one": (5, "P7"),
    "auction-pays-bid": (52, "P13"),
    "tie-by-time": (58, "P13"),
    "bid-hold-kept": (52, "P4"),
    "best-bid-shown": (56, "P13"),
    "bounds-off-reference": (33, "P13"),
    "average-of-last": (5, "P2"),
    "partly-is-new": (5, "P2"),
    "time-is-cut": (5, "P2"),
    "expired-key-taken": (3, "P1"),
    "any-signature-taken": (3, "P9"),
    "refusal-swallowed": (3, "P9"),
    "ticks-when-idle": (8, "P11"),
    "call-not-drawn": (36, "P13"),
    "collar-for-buys": (11, "P13"),
    "call-price-highest": (6, "P13"),
    "stand-before-said": (21, "P7"),
    "stand-without-refs": (2, "PX"),
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
