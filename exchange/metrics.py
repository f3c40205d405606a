"""Every metric of the venue, under one name each; services import and move them.

Rules: prefix `exchange_`, base units, plural unit suffix, `_total` for counters, no ids of orders,
accounts or sessions as labels.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

LATENCY_BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
)  # fmt: skip
SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)

GATEWAY_MESSAGES = Counter(
    "exchange_gateway_messages_total", "Messages", ["interface", "direction", "type"]
)
GATEWAY_REJECTIONS = Counter(
    "exchange_gateway_rejections_total", "Requests refused", ["interface", "reason"]
)
GATEWAY_RATIO_THROTTLED = Counter(
    "exchange_gateway_ratio_throttled_total",
    "Requests of members above their order-to-trade limit that had to wait",
)
GATEWAY_ROUND_TRIP = Histogram(
    "exchange_gateway_round_trip_seconds",
    "From a command's arrival to its first event back (gateway to gateway)",
    ["interface"],
    buckets=LATENCY_BUCKETS,
)
GATEWAY_CAPACITY_USED = Gauge(
    "exchange_gateway_capacity_used_ratio", "Share of the command queue in use", ["interface"]
)
GATEWAY_MARKET_STOPPED = Gauge(
    "exchange_gateway_market_stopped", "1: its records cannot be trusted, orders are refused",
    ["market"],
)  # fmt: skip
GATEWAY_SESSIONS = Gauge("exchange_gateway_sessions", "Connections", ["interface", "state"])
ENGINE_COMMANDS = Counter("exchange_engine_commands_total", "Commands applied", ["market"])
ENGINE_EVENTS = Counter("exchange_engine_events_total", "Events said", ["market"])
ENGINE_TRADES = Counter("exchange_engine_trades_total", "Trades", ["market"])
ENGINE_BATCH_SECONDS = Histogram(
    "exchange_engine_batch_seconds", "One record of orders applied", ["market"],
    buckets=LATENCY_BUCKETS,
)  # fmt: skip
ENGINE_BATCH_COMMANDS = Histogram(
    "exchange_engine_batch_commands", "Commands in one record", ["market"], buckets=SIZE_BUCKETS
)
ENGINE_SNAPSHOT_PAUSE = Histogram(
    "exchange_engine_snapshot_pause_seconds",
    "The fork that begins a snapshot: no record is applied meanwhile",
    ["market"],
    buckets=LATENCY_BUCKETS,
)
ENGINE_LEADING = Gauge("exchange_engine_leading", "1 while this engine publishes", ["market"])
ENGINE_EPOCH = Gauge("exchange_engine_epoch", "Epoch in force", ["market"])
LOG_LAG_RECORDS = Gauge(
    "exchange_log_lag_records", "Records not yet read", ["topic", "market", "consumer"]
)
LOG_LAG_SECONDS = Gauge(
    "exchange_log_lag_seconds", "Age of the last record read", ["topic", "market", "consumer"]
)
SNAPSHOT_AGE = Gauge("exchange_snapshot_age_seconds", "Since the last snapshot", ["service"])
REPLAYED = Counter("exchange_replay_records_total", "Records replayed at start", ["service"])
SETTLEMENT_TRADES = Counter("exchange_settlement_trades_total", "Trades settled", ["market"])
SETTLEMENT_OPEN = Gauge(
    "exchange_settlement_open_trades",
    "Trades not settled: due, failed, past their cut-off",
    ["market", "state"],
)
SETTLEMENT_INSTRUCTIONS = Gauge(
    "exchange_settlement_instructions", "Settlement instructions", ["market", "state"]
)
REGISTRY_BLOCKS = Gauge("exchange_registry_blocks", "Serial blocks held", ["market"])
REGISTRY_OFFSET_USE = Gauge(
    "exchange_registry_offset_use_ratio", "Greatest use of an offset cap", ["scheme"]
)
REGISTRY_REFUSALS = Counter(
    "exchange_registry_refusals_total", "Instructions refused", ["market", "reason"]
)
FEED_SUBSCRIBERS = Gauge("exchange_feed_subscribers", "Feed subscribers", ["channel"])
FEED_MESSAGES = Counter("exchange_feed_messages_total", "Feed messages sent", ["channel"])
FEED_DROPPED = Counter("exchange_feed_dropped_total", "Subscribers cut for being slow", ["channel"])
SURVEILLANCE_ALERTS = Counter(
    "exchange_surveillance_alerts_total", "Alerts of surveillance", ["market", "kind"]
)
ALERTS_HANDLED = Gauge(
    "exchange_alerts", "Alerts of surveillance by what people did with them", ["market", "state"]
)
STATE_HASH_MISMATCH = Counter(
    "exchange_state_hash_mismatch_total", "Hashes or chains that differ: pages", ["service"]
)
RECONCILIATION_BREAKS = Gauge(
    "exchange_reconciliation_breaks", "Differences engine, ledger, registry", ["market", "check"]
)
RECONCILIATION_GREEN = Gauge(
    "exchange_reconciliation_green_time_seconds", "When the books last agreed (Unix)", ["market"]
)
CHECKPOINT_TIME = Gauge(
    "exchange_checkpoint_time_seconds", "When the log was last under a checkpoint (Unix)",
    ["market"],
)  # fmt: skip
BUILD_INFO = Gauge("exchange_build_info", "1", ["version", "compiled", "commit", "lock"])
