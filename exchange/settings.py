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
KAFKA_PASSWORD_BYTES_MAX = 1_024
LOG_POLL_S = 0.04  # how soon the embedded log sees an append of which its process was not told
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
HMAC_SECRET_BYTES_MIN = 32  # of a key's shared secret
HMAC_SECRET_BYTES_MAX = 1_024
KEYS_POLL_S = 1.0  # how soon a changed venue file's keys are in force, and an expired one's cut
LOGINS_MAX = 256  # logins of operators that a gateway keeps
LOGINS_OF_ONE_MAX = 8  # of one operator; the oldest ends first
LOGIN_IDLE_S = 900  # then a login that nobody used is over
LOGIN_S_MAX = 28_800  # and then one that somebody did
LOGIN_FAILURES_MAX = 5  # from an address or a device, then it is locked; of a name, then it is slow
LOGIN_LOCK_S = 900
LOGIN_FORGOTTEN_S = 86_400  # without a failure of a name, then it is heard at once again
LOGIN_DEVICE_S = 7_776_000  # a device on which an operator logged in is known for so long
LOGIN_NAMES_REMEMBERED_MAX = 4_096  # names, addresses, devices whose failures are counted, each
LOGIN_CHECKS_MAX = 2  # passwords checked at once: each takes 64 MiB
PASSWORD_CHARACTERS_MIN = 12
PASSWORD_CHARACTERS_MAX = 256
OPERATORS_MAX = 1_000
PROPOSALS_OPEN_MAX = 256  # of a market
PROPOSAL_S_MAX = 86_400  # then a proposal of an operator can no longer be approved
ACTS_KEPT_MAX = 4_096  # of a market's operators that a gateway shows, and proposals it remembers
MESSAGE_RATE_MAX = 1_000_000  # messages a second to which operators may set a throttle
ORDER_TRADE_RATIO_MAX = 1_000_000_000  # to which operators may set a limit of orders to trades
ORDER_TRADE_MESSAGES_MIN = 100  # of a member in an instrument on a day, before its ratio counts
ORDER_TRADE_PER_SECOND = 1  # orders a second of a member whose ratio is above its limit
REFUSALS_PER_SECOND = 100  # that a throttled member is told over REST; more wait for theirs
REFUSAL_S_MAX = 5  # and so long at most
ADDRESSES_REMEMBERED_MAX = 65_536  # whose messages are counted before they say who they are
QUERY_FIELDS_MAX = 16  # of a request's query
HEADERS_MAX = 64  # header lines of a request
HEADER_BYTES_MAX = 16_384  # in all of them together
WRITE_TIMEOUT_S = 30  # then a connection that takes nothing of its answer is cut
HEADER_TIMEOUT_S = 10  # then a connection that has not sent its headers is cut
GATEWAY_QUEUE_MAX = 16_384  # commands waiting for the log
GATEWAY_BATCH_MAX = 1_024  # commands in one frame
SESSIONS_MAX = 4_096  # WebSocket connections
CONNECTIONS_MAX = 8_192  # of HTTP, sockets and FIX together
FEED_QUEUE_BYTES_MAX = 1 << 20  # unsent bytes of a slow subscriber; more = disconnect
FEED_DEPTH_LEVELS_MAX = 1_000  # levels a side in a snapshot
FEED_LAG_BYTES = 1 << 16  # unsent bytes above which a subscriber's states wait, newest of each
FEED_STATES_MAX = 4_096  # states that wait for one subscriber; more = disconnect
FEED_INDEX_STEP = 64  # records of `marketdata` between two whose place the gateway remembers
REPORTS_MAX = 10_000  # recent reports the gateway keeps an account
GATEWAY_CANCEL_RESERVE = 2_048  # places of the queue that only cancels and operators may take
ENGINE_SILENCE_S_MAX = 5  # then a gateway takes no order more for a market whose engine is silent,
ENGINE_BACKLOG_RECORDS_MAX = 8_192  # nor while so many records of `orders` have no answer yet
ORDERS_KEPT_BYTES_MAX = 16 << 20  # records of `orders` a gateway keeps until they are answered
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
FIX_MESSAGE_BYTES_MAX = 4_096  # one FIX message
FIX_FIELDS_MAX = 128  # of one FIX message
FIX_GROUP_MAX = 16  # entries of a repeating group
FIX_CONNECTIONS_MAX = 256  # of the FIX port
FIX_HEARTBEAT_S_MIN = 5  # HeartBtInt that a logon may ask for
FIX_HEARTBEAT_S_MAX = 60
FIX_SENDING_TIME_S_MAX = 60  # how far SendingTime may be from the gateway's clock
FIX_LOGOUT_TIMEOUT_S = 2  # then a connection whose Logout is not answered is cut
FIX_GARBLED_MAX = 16  # garbled messages of a connection; more = cut
FIX_IN_FLIGHT_MAX = 4_096  # requests of a session that the engine has not answered
FIX_STORED_MAX = 10_000  # sent messages of a session kept to be sent again
FIX_STORED_DAYS_MAX = 7  # and for how long
FIX_QUEUE_BYTES_MAX = 16 << 20  # unsent bytes of a FIX connection, all resent ones; more = cut
AUCTIONS_KEPT_MAX = 4_096  # ended auctions of a market, oldest forgotten
AUCTION_BIDS_MAX = 100_000  # live bids of one auction that its report counts
CLOSES_KEPT_MAX = 800  # days of an instrument that averages of months are taken from
TRADES_KEPT = 1_000  # recent trades an instrument, for the page and GET /trades
TRADES_REMEMBERED_MAX = 250_000  # an instrument; up to twice as many, 32 bytes each
CORRECTION_DAYS_MAX = 30  # trading days of which a cancelled trade changes the figures
BARS_KEPT = 1_440  # bars of each width an instrument
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
BLOCKS_MAX = 100  # of one account that stand at once
BLOCKS_NAMED_MAX = 3  # of them that a refusal names
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
DRAIN_S_MAX = 5.0  # longest a service that was told to stop reads on, to where its topic ended
DATABASE_BUSY_TIMEOUT_MS = 30_000  # SQLite: wait for another writer
DATABASE_SILENCE_S_MAX = 120  # PostgreSQL: then a statement of settlement without an answer fails
DATABASE_CLOSE_S_MAX = 5  # and so long its connection may take to say goodbye
SNAPSHOT_EVERY_RECORDS = 65_536  # of `orders`,
SNAPSHOT_EVERY_COMMANDS = 4_194_304  # or commands in them: what comes first begins a snapshot
SNAPSHOTS_KEPT = 3
STAND_EVERY_RECORDS = 65_536  # of `events`: who reads them keeps where it stands (`stands`)
STAND_EVERY_S = 60.0  # or so long, when it read
STAND_RECORDS_MIN = 4_096  # or more meanwhile: fewer are read again at once
STAND_SHARE = 10  # and no sooner than so many times what the last one took
ENGINE_SLICE_MS_MAX = 5  # the engine gives the loop back at least this often, between records
ENGINE_OUTBOX_PARTS_MAX = 8_192  # parts computed and not yet on `events`; more = wait
ENGINE_OUTBOX_BYTES_MAX = 64 << 20
ENGINE_PUBLISH_PARTS_MAX = 512  # parts one append carries
ENGINE_PUBLISH_BYTES_MAX = 4 << 20
POSITION_DIFFERENCES_MAX = 100  # differences from the engine a projection remembers
DERIVED_SLICE_RECORDS_MAX = 64  # records of `events` between two looks at the loop
DERIVED_RETRY_S = 0.2  # pause of market data and surveillance before the log is tried again
SURVEILLANCE_WINDOW_ENTRIES_MAX = 10_000  # trades one window of a detector holds; oldest go first
SURVEILLANCE_SUBJECTS_MAX = 20_000  # owners, pairs and the like that a detector remembers
ALERTS_KEPT_MAX = 10_000  # alerts of a market that the gateway keeps, oldest forgotten
BARS_MAX = 1_440  # minutes kept for a chart
AUDIT_DIFFERENCES_MAX = 100  # differences an audit tells
ENGINE_RETRY_S_MAX = 2.0  # longest pause before the log is tried again
MATCH_LINE_BYTES_MAX = 4 << 20  # one line that `exchange match` reads
SCENARIO_LINES_MAX = 100_000
QUOTE_ROWS_MAX = 1_000_000  # rows of a quote file
CHECKPOINT_LOOK_S = 1.0  # seconds between two looks for new records and a new trading day
CHECKPOINTS_KEPT_MAX = 1_440  # of a market that a gateway shows, oldest forgotten
CHECKPOINTS_PAGE_MAX = 100  # of a market in one answer
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
    kafka_protocol: str = "PLAINTEXT"  # SSL, SASL_SSL: encrypted; SASL_*: a name and a password
    kafka_ca_file: str = ""  # authority that signed the brokers' certificates; "" = the system's
    kafka_certificate_file: str = ""  # our own certificate, where brokers ask for one
    kafka_key_file: str = ""  # its private key; only its owner may read it
    kafka_user: str = ""  # our name at the brokers (SCRAM-SHA-512)
    kafka_password_file: str = ""  # and its password; only its owner may read it
    database: str = "sqlite"  # `sqlite` (files under data) or `postgresql://...`
    data: Path = Path(".local/venue")  # snapshots, embedded log, SQLite
    venue: Path = Path("deploy/venue/demo.toml")  # markets, instruments, participants, keys
    host: str = "127.0.0.1"  # address every port of this process listens at
    http_port: int = 8080  # REST, page, OpenAPI
    websocket_port: int = 8081  # order entry and market data sockets
    fix_port: int = 0  # FIX 4.4 order entry; 0 = none, -1 = any free port
    fix_comp_id: str = "CARBON"  # the venue's CompID there
    metrics_port: int = 0  # 0 = none; /metrics /health /ready of this process
    node: int = 1  # number of this process among engines
    engine_tick_ms: int = 1_000  # an idle engine says that it lives this often
    engine_silence_ms: int = 200  # records unpublished for so long: a standby takes over
    engine_reserve_orders: int = 0  # resting orders whose memory is taken at the start; 0 = none
    engine_reserve_client_order_ids: int = 0  # the same for the client order ids of a day
    throttle_per_second: int = 1_000  # orders a second and participant
    throttle_address_per_second: int = 1_000  # requests a second of an address before it is known
    tls_certificate: str = ""  # PEM file of a chain; then HTTP, sockets and FIX speak TLS alone
    tls_key: str = ""  # PEM file of its private key
    connections_per_address: int = 512  # of HTTP, sockets and FIX together; proxies' do not count
    trusted_proxies: str = ""  # networks whose X-Forwarded-For is believed, by commas; "" = none
    batch_interval_us: int = 2_000  # smallest time between two frames of the gateway
    log_level: str = "info"  # debug, info, warning, error
    surveillance_limits: str = ""  # file that changes figures of surveillance/limits.toml
    checkpoints: str = ""  # folder of signed checkpoints, on another disk than the log
    checkpoint_key_file: str = ""  # private key that signs them; only its owner may read it
    checkpoint_every_s: int = 60  # seconds between two checkpoints
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
