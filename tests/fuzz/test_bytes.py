"""Whatever bytes come in, each reader ends: with an answer or a refusal. `make fuzz`: longer."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.mutations import damaged
from tests.fuzz.targets import TARGETS, Target

EXAMPLES = {"fix": 400, "json": 60, "messagepack": 400, "engine": 60, "events": 300, "snapshot": 60}
NAMES = [target.name for target in TARGETS]


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_valid_and_kept_bytes(target: Target) -> None:
    for data in [*target.seeds()[:40], *target.kept()]:
        target.try_all(data)


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_damaged_bytes(target: Target) -> None:
    @seed(1)
    @settings(
        max_examples=EXAMPLES[target.name], database=None, deadline=None,
        phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(damaged(target.seeds()))
    def hold(data: bytes) -> None:
        target.try_all(data)

    hold()


def test_what_is_mended_is_taken() -> None:
    """Otherwise nothing behind a sum or a hash would ever be reached."""
    for target in TARGETS:
        if target.mended is not None:
            for data in target.seeds()[:5]:
                assert target.mended(data) == data, target.name
