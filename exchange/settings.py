"""Every limit and every setting, in one file.

A limit is a constant `NAME_MAX` with its unit. A setting comes from the environment
(`EXCHANGE_...`); `Settings.from_environment` reads them all and names what is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

RECORD_BYTES_MAX = 1 << 20  # one record of the log
READ_RECORDS_MAX = 1_024  # records one read returns at most
READ_BYTES_MAX = 16 << 20  # bytes a reader holds at most
APPEND_TIMEOUT_S = 10  # then the outcome is uncertain
APPEND_PENDING_BYTES_MAX = 16 << 20  # bytes waiting for the embedded log; more callers wait
APPEND_BATCH_BYTES_MAX = 4 << 20  # bytes of one transaction of the embedded log
LOG_POLL_S = 0.005  # how soon the embedded log sees what another process appended,
LOG_POLL_S_MAX = 0.04  # and how soon when nobody else appended for a while
LOG_BUSY_TIMEOUT_S = 5  # then another process holds the embedded log for too long
PRODUCER_AGE_S_MAX = 86_400  # a Kafka producer is made anew each day
READER_SILENCE_S_MAX = 10  # then a Kafka reader asks whether it missed something
BODY_BYTES_MAX = 16_384  # one request body or WebSocket message
BODY_TIMEOUT_S = 10  # then a body that still has not arrived is refused
JSON_DEPTH_MAX = 8
CLIENT_ORDER_ID_BYTES_MAX = 16
NOTE_BYTES_MAX = 400  # free text of an instruction
PROJECT_NUMBER_MAX = 2**31 - 1
RECEIVE_WINDOW_MS = 5_000
RECEIVE_WINDOW_MS_MAX = 60_000
CLOCK_AHEAD_MS_MAX = 1_000
TRADING_DATE_AHEAD_DAYS_MAX = 31  # a day roll cannot be undone
REPLAY_CACHE_MAX = 262_144  # signatures remembered inside the window
GATEWAY_QUEUE_MAX = 16_384  # commands waiting for the log
GATEWAY_BATCH_MAX = 1_024  # commands in one frame
SESSIONS_MAX = 4_096  # WebSocket connections
FEED_QUEUE_BYTES_MAX = 1 << 20  # unsent bytes of a slow subscriber; more = disconnect
FEED_DEPTH_LEVELS_MAX = 1_000  # levels a side in a snapshot
REPORTS_MAX = 10_000  # recent reports the gateway keeps an account
GATEWAY_CANCEL_RESERVE = 2_048  # places of the command queue that only cancels may take
OUTCOME_BYTES_MAX = 32 << 20  # recent output of the engine kept for answers still on their way
ORDERS_ENDED_MAX = 100_000  # ended orders the gateway remembers for queries
INSTRUCTIONS_MAX = 100_000  # instructions the gateway remembers for queries
REQUESTS_REMEMBERED_MAX = 32_768  # requests of one session that a gateway remembers, a market
ORDER_LABELS_MAX = 8  # client order ids by which the gateway finds one replaced order
PAGE_MAX = 1_000  # rows of one answer
WAIT_MS = 1_000  # how long REST waits for the engine's answer
WAIT_MS_MAX = 5_000
SESSION_QUEUE_BYTES_MAX = 4 << 20  # unsent bytes of an order-entry connection; more = cut
SESSION_BODY_BYTES_MAX = 65_536  # of one WebSocket message of an order-entry connection
SESSION_BATCH_MAX = 128  # requests in one WebSocket message
DISCONNECT_GRACE_S = 5  # then a lost connection's orders end, where its logon said so
DISCONNECT_RETRY_S = 0.5  # before the log is asked again to take that
LOGON_TIMEOUT_S = 5  # a connection that does not log on or subscribe is cut
SUBSCRIPTIONS_MAX = 256  # symbols of one feed subscription
AUCTIONS_KEPT_MAX = 4_096  # ended auctions of a market, oldest forgotten
AUCTION_BIDS_MAX = 100_000  # live bids of one auction that its report counts
CLOSES_KEPT_MAX = 800  # days of an instrument that averages of months are taken from
TRADES_KEPT = 1_000  # recent trades an instrument, for the page and GET /trades
TRADES_REMEMBERED_MAX = 250_000  # an instrument; up to twice as many, 32 bytes each
CORRECTION_DAYS_MAX = 30  # trading days of which a cancelled trade changes the figures
BARS_KEPT = 1_440  # one-minute bars an instrument
SETTLEMENT_BATCH_TRADES_MAX = 20_000  # in one transaction, when there is a backlog
SETTLEMENT_BATCH_PARTS_MAX = 1_024  # parts of `events` in one transaction
SETTLEMENT_SQLITE_CACHE_KIB = 16_384  # of pages; a transaction of 20,000 trades makes 10,000 KiB
REGISTRY_BLOCKS_MAX = 100_000  # living blocks that stay in memory after a transaction
REGISTRY_READ_BLOCKS = 128  # blocks of a place that are read at once, at first
REGISTRY_BATCH_ITEMS_MAX = 1_000  # items of `settlements` in one transaction
REVERSAL_DAYS_MAX = 30  # how long a proposed reversal may be approved
TRANSFER_APPROVAL_DAYS_MAX = 30  # how long a proposed transfer waits for a second representative
TRUST_APPROVAL_DAYS_MAX = 30  # how long a proposed trusted account waits for one
TRANSFERS_WAITING_MAX = 100_000  # transfers of a market that wait for approval or for their time
TRUSTED_ACCOUNTS_MAX = 1_000  # of one account, proposed ones among them
REPRESENTATIVES_MAX = 100  # of one account
HOLIDAYS_MAX = 1_000  # days of a venue file on which a market's registry does not work
OFFSET_SURRENDERS_OPEN_MAX = 10_000  # of a market, that wait for the other registry
OFFSET_ANSWER_HOURS_MAX = 24  # then the registry of the allowances asks to release the credits
CARRY_OUT_EVERY_S = 5  # how often a registry says that time has passed while something is due
REGISTRY_MESSAGES_MAX = 64  # messages to another registry in one frame
SETTLEMENT_PROPOSAL_DAYS_MAX = 7  # days within which a proposed cancellation may be approved
INSTRUCTION_QUANTITY_MAX = 10**10  # tonnes of one instruction; the engine's limit of a command
UNITS_ISSUED_MAX = 2**62  # tonnes of one programme; so the engine never refuses a deposit
YEAR_MAX = 9_999
PLAN_LOTS_MAX = 20_000  # blocks that one surrender plan looks at
PLAN_PRICE_MAX = 10**9  # minor units a tonne, in a surrender plan
PLAN_SECONDS_MAX = 10  # for the solver
REGISTRY_RECORD_BYTES_MAX = 700_000  # items of one record of `registry`; more = several records
REGISTRY_RANGES_MAX = 2_000  # ranges in one item of `registry`; more = several items
OUTBOX_BYTES_MAX = 4 << 20  # published by one append
RETRY_PAUSE_S = 1  # before the log is tried again
READ_WAIT_MS = 200  # longest a reader waits before it looks whether to stop
DATABASE_BUSY_TIMEOUT_MS = 30_000  # SQLite: wait for another writer
SNAPSHOT_EVERY_RECORDS = 65_536
SNAPSHOTS_KEPT = 3
ENGINE_SLICE_MS_MAX = 5  # the engine gives the loop back at least this often, between records
ENGINE_OUTBOX_PARTS_MAX = 8_192  # parts computed and not yet on `events`; more = wait
ENGINE_OUTBOX_BYTES_MAX = 64 << 20
ENGINE_PUBLISH_PARTS_MAX = 512  # parts one append carries
ENGINE_PUBLISH_BYTES_MAX = 4 << 20
POSITION_DIFFERENCES_MAX = 100  # differences from the engine a projection remembers
MARKETDATA_SLICE_RECORDS_MAX = 64  # records of `events` between two looks at the loop
MARKETDATA_RETRY_S = 0.2  # pause before the log is tried again
SURVEILLANCE_WINDOW_ENTRIES_MAX = 10_000  # trades one window of a detector holds; oldest go first
SURVEILLANCE_SUBJECTS_MAX = 20_000  # owners, pairs and the like that a detector remembers
SURVEILLANCE_RETRY_S = 0.2  # pause before the log is tried again
SURVEILLANCE_SLICE_RECORDS_MAX = 64  # records of `events` between two looks at the loop
ALERTS_KEPT_MAX = 10_000  # alerts of a market that the gateway keeps, oldest forgotten
BARS_MAX = 1_440  # minutes kept for a chart
AUDIT_DIFFERENCES_MAX = 100  # differences an audit tells
ENGINE_RETRY_S_MAX = 2.0  # longest pause before the log is tried again
MATCH_LINE_BYTES_MAX = 4 << 20  # one line that `exchange match` reads
SCENARIO_LINES_MAX = 100_000
QUOTE_ROWS_MAX = 1_000_000  # rows of a quote file
RECONCILE_EVERY_S = 5.0  # seconds between two looks at the books of a running venue
RECONCILE_READ_RECORDS_MAX = 64  # records of `events` it holds at most
STATEMENT_LINES_MAX = 500  # movements of an asset that a printed statement shows; the CSV has all
HEALTH_REQUEST_BYTES_MAX = 8_192  # headers of a request for /metrics, /health or /ready
HEALTH_CONNECTIONS_MAX = 32
HEALTH_TIMEOUT_S = 5.0  # a client slower than that gets nothing


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a process must be told. Defaults run the venue on this machine."""

    log: str = "embedded"  # `embedded` (a file under data) or `kafka:HOST:PORT[,HOST:PORT]`
    kafka_replication: int = 1  # replicas of each topic made; 3 on a cluster
    kafka_min_insync: int = 1  # replicas that must have a record before it counts; 2 of 3
    database: str = "sqlite"  # `sqlite` (files under data) or `postgresql://...`
    data: Path = Path(".local/venue")  # snapshots, embedded log, SQLite
    venue: Path = Path("deploy/venue/demo.toml")  # markets, instruments, participants, keys
    host: str = "127.0.0.1"  # address every port of this process listens at
    http_port: int = 8080  # REST, page, OpenAPI
    websocket_port: int = 8081  # order entry and market data sockets
    metrics_port: int = 0  # 0 = none; /metrics /health /ready of this process
    node: int = 1  # number of this process among engines
    engine_tick_ms: int = 1_000  # an idle engine says that it lives this often
    engine_silence_ms: int = 400  # records unpublished for so long: a standby takes over
    engine_reserve_orders: int = 0  # resting orders whose memory is taken at the start; 0 = none
    engine_reserve_client_order_ids: int = 0  # the same for the client order ids of a day
    throttle_per_second: int = 1_000  # orders a second and participant
    batch_interval_us: int = 500  # smallest time between two frames of the gateway
    log_level: str = "info"  # debug, info, warning, error
    surveillance_limits: str = ""  # file that changes figures of surveillance/limits.toml
    key_file: str = ""  # a member's commands sign with it, unless --key-file names another

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Settings from `EXCHANGE_*`; ValueError names an unknown or ill-typed variable."""
        prefix = "EXCHANGE_"
        given = {
            name.removeprefix(prefix).lower(): value
            for name, value in environment.items()
            if name.startswith(prefix)
        }
        try:
            return msgspec.convert(given, cls, strict=False, dec_hook=_path)
        except msgspec.ValidationError as error:
            known = ", ".join(prefix + name.upper() for name in cls.__struct_fields__)
            raise ValueError(f"environment: {error}; known variables: {known}") from error


def _path(kind: type, value: object) -> Path:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"{value!r} is no path")
