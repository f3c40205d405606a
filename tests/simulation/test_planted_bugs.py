"""The simulation finds bugs that are planted: each by the seeds that are named here."""

from __future__ import annotations

import pytest

from gateway.faults.campaign import run_seeds
from gateway.faults.planted import PLANTED

SEEDS: dict[str, tuple[int, ...]] = {
    "hold-lost": (3,),
    "dedupe-off-by-one": (3,),
    "newest-first": (4,),
    "snapshot-late": (1,),
    "acknowledged-early": (3,),
    "unknown-is-refused": (1,),
    "kill-leaves-orders": (2,),
    "resume-skips-one": (2,),
    "position-outside": (4,),
    "half-delivery": (1,),
    "cap-on-reported": (3,),
    "public-skips-one": (1,),
    "uncertain-is-certain": (18,),
    "deposits-forgotten": (72,),
    "gone-is-skipped": (2,),
}
"""Seeds that find the bug."""
RARE = {"publish-gives-up"}
"""Found by few seeds: `exchange simulate-faults --plant NAME --seeds N` looks for them."""


def test_every_planted_bug_has_its_seeds() -> None:
    assert SEEDS.keys() | RARE == PLANTED.keys()
    assert len(SEEDS) >= 12


@pytest.mark.parametrize("name", SEEDS)
def test_a_planted_bug_is_found(name: str) -> None:
    assert run_seeds(SEEDS[name], plant=name).failed, f"{name} was not found"
