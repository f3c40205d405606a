"""Many seeds, the shapes that they made, and which of them find a planted bug."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from exchange.simulation.faults.plan import FLOWS
from gateway.faults.run import Result, run_seed

SHAPES = (
    "commands", "trades", "resent", "duplicate_answered", "rejected", "trade_book_trade",
    "trade_call_trade", "trade_block_trade", "trade_of_vintage_2024", "trade_of_vintage_2025",
    "settled_later", "cancel", "cancel_in_call", "replace_keeps_priority",
    "replace_loses_priority", "mass_cancel", "mass_cancel_of_orders", "cancelled_in_mass", "quote",
    "quote_replaced", "block_proposed", "block_confirmed", "possible_duplicate",
    "same_ref_other_body", "same_label_other_body", "same_label_same_body", "refilled",
    "stop_triggered", "call_order_triggered", "self_trade_decremented", "post_only_refused",
    "minimum_unfilled", "date_expired", "day_ended", "call_ended", "expired_at_phase_change",
    "window_missed", "cap_hit_exactly", "cap_missed_by_one_tonne", "surrender_in_time",
    "surrender_late", "unit_not_eligible", "deposit_done", "deposit_refused", "release_done",
    "transfer_done", "cancel_done", "day_roll", "opening_call", "closing_call", "halt",
    "refused_as_halted", "kill_switch", "kill_lifted", "refused_as_killed", "limit_tightened",
    "limit_loosened", "withdrawal", "epochs", "marketdata_said_again", "registry_said_again",
    "ref_passed_over", "refused_at_the_edge", "tampered", "crash_gateway", "crash_engine",
    "crash_settlement", "crash_registry", "crash_marketdata", "crash_surveillance", "power_cut",
    "pause_engine", "pause_gateway", "pause_settlement", "pause_registry", "cut_both_engine",
    "cut_both_gateway", "cut_answers_engine", "cut_answers_gateway", "swizzle", "log_away",
    "log_not_reached", "wire_cut", "wire_clog", "clock_of_log", "clock_of_process",
    "torn_snapshot", "torn_stand", "stand_found", "stand_drafted", "stand_unsound",
    "snapshot_disk_full", "old_books", "retention_gateway",
    "retention_settlement", "retention_registry", "retention_marketdata",
    "retention_surveillance", "retention_refused", "market_stopped", "append_refused",
    "append_uncertain", "append_lost", "append_repeated", "append_delayed", "read_short",
    "trade_auction_trade", "auction_cleared", "auction_short", "auction_below_reserve",
    "auction_called_off", "auction_carried", "auction_reverse", "auction_pay_as_bid",
    "auction_sold_in_part", "auction_tie_by_time", "auction_tie_at_random",
    "auction_tie_pro_rata", "auction_result_told", "bid_unsuccessful", "bid_too_late",
    "bid_beyond_reserve", "volatility_call", "volatility_call_ended", "call_ending",
    "call_ended_at_random", "call_uncrossed", "order_in_volatility_call",
    "average_of_several_prices", "filled_in_part", "repeat_told_as_it_stands",
    "refused_in_volatility_call", "refused_outside_collar", "acknowledgement_cut",
    "intake_acknowledged", "intake_in_doubt", "intake_bad_signature", "intake_key_expired",
    "intake_unknown_key", "intake_replayed_request", "intake_timestamp_outside_window",
    "crash_at_engine.append.before", "crash_at_engine.append.after",
    "crash_at_engine.snapshot.before", "crash_at_engine.snapshot.after",
    "crash_at_gateway.append.before", "crash_at_gateway.append.after",
    "crash_at_settlement.commit.before", "crash_at_settlement.commit.after",
    "crash_at_settlement.steps.after", "crash_at_registry.commit.before",
    "crash_at_registry.commit.after", "crash_at_registry.deposits.after",
    "crash_at_outbox.append.before", "crash_at_outbox.append.after",
    "crash_at_marketdata.append.before", "crash_at_marketdata.append.after",
    *(f"order_{flow}" for flow in FLOWS if flow in (
        "iceberg", "stop", "market", "post_only", "minimum", "gtd", "call_orders",
        "short_of_funds", "self_trade", "fleeting",
    )),
)  # fmt: skip
"""What a campaign of CAMPAIGN_SEEDS seeds or more must have made, each at least once.

What members and people do is counted by its effect on the log (`exchange.simulation.faults.
effects`), what goes wrong by `nemesis` where it did.
"""

CAMPAIGN_SEEDS = 200


class Campaign(NamedTuple):
    """What many seeds gave together."""

    results: list[Result]
    shapes: Counter[str]

    @property
    def failed(self) -> list[Result]:
        """The seeds which broke a promise."""
        return [result for result in self.results if result.promise]

    @property
    def missing(self) -> list[str]:
        """Shapes that no seed made. O(shapes)."""
        return [shape for shape in SHAPES if not self.shapes[shape]]


def seeds_in(path: Path) -> list[int]:
    """The seeds that a file names, one a line, `#` begins a remark.

    OSError, and ValueError for what is no text or no seed.
    """
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    named = [line for line in lines if line]
    for line in named:
        if not (line.isascii() and line.isdecimal()):
            raise ValueError(f"{line[:40]!r} is no seed")
    return [int(line) for line in named]


def run_seeds(
    seeds: Sequence[int],
    *,
    plant: str = "",
    workers: int = 1,
    stops_at_first: bool = True,
    progress: Callable[[Result], None] | None = None,
) -> Campaign:
    """Runs the seeds in order; by default up to the first that breaks a promise."""
    results: list[Result] = []
    shapes: Counter[str] = Counter()
    for result in _results(seeds, plant, workers):
        results.append(result)
        shapes += result.shapes
        if progress is not None:
            progress(result)
        if result.promise and stops_at_first:
            break
    return Campaign(results, shapes)


def _results(seeds: Sequence[int], plant: str, workers: int) -> Iterator[Result]:
    if workers == 1:
        for seed in seeds:
            yield run_seed(seed, plant)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield from pool.map(run_seed, seeds, [plant] * len(seeds))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
