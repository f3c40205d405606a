"""The whole venue under faults: seeds keep every promise, come out the same, and make their shapes.

`exchange simulate-faults --seeds 200` is the campaign; here stand the seeds that once broke a
promise, and as many more as fit a few minutes.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from exchange import fault_points
from exchange.simulation.faults.plan import FLOWS, KINDS, TINY, plan_of
from gateway.faults.campaign import SHAPES, Campaign, run_seeds, seeds_in
from tests.simulation.drawn import DRAWN, PART

ROOT = Path(__file__).parents[2]
KNOWN = seeds_in(Path(__file__).with_name("seeds.txt"))
OFTEN = (
    "commands", "trades", "trade_of_vintage_2024", "trade_of_vintage_2025", "resent",
    "cap_hit_exactly", "cap_missed_by_one_tonne", "surrender_in_time", "surrender_late",
    "unit_not_eligible", "cancel", "cancel_in_call", "expired_at_phase_change", "date_expired",
    "refilled", "stop_triggered", "order_self_trade", "replace_loses_priority", "halt",
    "kill_switch", "kill_lifted", "duplicate_answered", "rejected", "deposit_done",
    "settled_later", "retention_refused", "market_stopped", "tampered", "old_books",
    "torn_snapshot", "power_cut", "intake_acknowledged", "trade_auction_trade",
    "auction_called_off", "auction_result_told", "bid_unsuccessful", "bid_too_late",
    "intake_bad_signature", "intake_key_expired", "intake_unknown_key", "intake_replayed_request",
    "average_of_several_prices", "filled_in_part", "repeat_told_as_it_stands",
    "volatility_call", "volatility_call_ended", "call_uncrossed", "order_in_volatility_call",
    "refused_in_volatility_call", "refused_outside_collar",
)  # fmt: skip
"""Shapes that as many seeds make; `SHAPES` has all those of a campaign."""


@pytest.mark.parametrize("seed", KNOWN)
def test_a_seed_that_once_broke_a_promise_keeps_it(seed: int) -> None:
    result = run_seeds([seed]).results[0]
    assert not result.promise, f"{result.promise}: {result.event}\n{result.trace}"


@functools.cache
def drawn(first: int) -> Campaign:
    return run_seeds([seed for seed in DRAWN if first <= seed < first + PART])


@pytest.mark.parametrize("first", DRAWN[::PART])
def test_drawn_seeds_keep_every_promise(first: int) -> None:
    campaign = drawn(first)
    assert not campaign.failed, f"{campaign.failed[0]}"


def test_drawn_seeds_make_shapes() -> None:
    shapes: Counter[str] = sum((drawn(first).shapes for first in DRAWN[::PART]), Counter())
    assert [shape for shape in OFTEN if not shapes[shape]] == []


def digests_of(seeds: Sequence[int], hash_seed: str) -> dict[int, str]:
    run = subprocess.run(
        [sys.executable, "-m", "gateway.faults", *map(str, seeds)],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return {int(line.split()[0]): line for line in run.stdout.splitlines()}


def test_a_seed_comes_out_the_same_bit_by_bit_whatever_ran_before_it() -> None:
    """In a process of its own, or behind another: with callbacks and digest."""
    has_all = {1_001: False, 1_007: True}
    for seed, has in has_all.items():
        plan = plan_of(seed)
        assert {plan.intake, plan.auctions, bool(plan.bounds)} == {has}
    seeds = list(has_all)
    first = digests_of(seeds, "1")
    assert first.keys() == has_all.keys()
    assert all(len(line.split()[-1]) == 64 for line in first.values())
    assert digests_of(seeds[::-1], "2") == first


def test_every_fault_point_flow_and_tiny_limit_is_in_some_plan() -> None:
    plans = [plan_of(seed) for seed in range(200)]
    assert {kind for plan in plans for kind in plan.rates} == set(KINDS)
    assert {flow for plan in plans for flow in plan.flows} == set(FLOWS)
    assert {name for plan in plans for name in plan.tiny} == set(TINY)
    assert {plan.reference_node for plan in plans} == {0, 1, 2}
    assert {plan.intake for plan in plans} == {False, True}
    assert {plan.auctions for plan in plans} == {False, True}
    assert {bool(plan.bounds) for plan in plans} == {False, True}
    places = {s.removeprefix("crash_at_") for s in SHAPES if s.startswith("crash_at_")}
    assert places == set(fault_points.NAMES)
