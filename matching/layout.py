"""The one record layout of the hot path: frames of 64-byte records, for `orders` and for `events`.

A Kafka record on `orders` or `events` holds one *frame*: an 80-byte header, then `count` records of
64 bytes, all little-endian. A record is a command on `orders` and an event on `events`; the two
share one layout, and the table below says what a field means in each. `matching/layout.pxd` holds
the same as packed C structs; a test proves the two equal and stable.

    offset type  as a command        as an event
    0      u8    kind                kind
    1      u8    side                side
    2      u8    order_type          order_type; liquidity, phase, parameter or refused kind
    3      u8    time_in_force       time_in_force; order status in a fill
    4      u16   instrument_id       instrument_id
    6      u16   valid_ms            reason
    8      u32   account_id          account_id
    12     u32   session_id          command_index (place of the causing command in its frame)
    16     i64   ref                 value (hold, leaves, total or ref: see `Event`)
    24     i64   quantity            quantity, tonnes (minor units for cash)
    32     i64   price               price, minor units a tonne
    40     u64   order_id            order_id
    48     S16   client_order_id     client_order_id, or contra_order_id u64 and fee i64 in a fill

Prices are integer minor units (cents, fen) a tonne, quantities integer tonnes, money integer minor
units, time integer nanoseconds UTC, ratios basis points.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

MAGIC = 0x31465843  # "CXF1"
VERSION = 1
HEADER_SIZE = 80
RECORD_SIZE = 64
COUNT_MAX = 4096  # commands in one frame
FRAME_SIZE_MAX = HEADER_SIZE + COUNT_MAX * RECORD_SIZE
PART_RECORDS_MAX = 8192  # events in one part of an output record
NOTE_SIZE = 40  # bytes of text carried by one NOTE record (the fields from `quantity` on)

PRICE_LIMIT = 10**9  # minor units a tonne
QUANTITY_LIMIT = 10**10  # tonnes in one command
VALUE_LIMIT = 9 * 10**15  # minor units: price x quantity of one order
FEE_BP_LIMIT = 1_000  # so that VALUE_LIMIT x fee fits 63 bits
BP = 10_000
TOTAL_LIMIT = 2**62  # cash of a market, units of an instrument, day totals: never overflow 63 bits
INDEX_BITS = 16  # order_id = input offset << 16 | index in the frame


class FrameKind(IntEnum):
    """What the records of a frame are."""

    COMMANDS = 1
    EVENTS = 2


class Side(IntEnum):
    """FIX tag 54."""

    BUY = 1
    SELL = 2


class OrderType(IntEnum):
    """FIX tag 40."""

    MARKET = 1
    LIMIT = 2


class TimeInForce(IntEnum):
    """FIX tag 59."""

    DAY = 0
    GTC = 1
    IOC = 3
    FOK = 4


class Phase(IntEnum):
    """Trading phase of an instrument."""

    CLOSED = 0
    CONTINUOUS = 1
    HALT = 2


PHASE_TRANSITIONS: dict[tuple[Phase, Phase], bool] = {
    (Phase.CLOSED, Phase.CONTINUOUS): True,
    (Phase.CONTINUOUS, Phase.HALT): True,
    (Phase.CONTINUOUS, Phase.CLOSED): True,
    (Phase.HALT, Phase.CONTINUOUS): True,
    (Phase.HALT, Phase.CLOSED): True,
}
"""(from, to) pairs that a PHASE_CHANGE may make; every other pair is refused."""


class Liquidity(IntEnum):
    """Which side of a fill (FIX tag 851): who rested, who came."""

    MAKER = 1
    TAKER = 2


class OrderStatus(IntEnum):
    """FIX tag 39, as carried by a fill."""

    PARTIALLY_FILLED = 1
    FILLED = 2


class CloseRule(IntEnum):
    """How the closing price of a day is found."""

    LAST_TRADE = 1
    VWAP = 2  # half up to the minor unit


class Parameter(IntEnum):
    """What INSTRUMENT_PARAMETER sets (`order_type` names it, `quantity` is the value)."""

    TICK_SIZE = 1  # minor units, 1..PRICE_LIMIT; needs an empty book
    LOT_SIZE = 2  # tonnes, 1..QUANTITY_LIMIT; needs an empty book
    QUANTITY_MAX = 3  # tonnes an order, 1..QUANTITY_LIMIT
    VALUE_MAX = 4  # minor units an order, 1..VALUE_LIMIT
    BAND_BP = 5  # +- of the reference price, 0..10000; 0 = no band
    PROTECTION_BP = 6  # how far a market order may walk from the best price, 0..10000
    MAKER_FEE_BP = 7  # 0..FEE_BP_LIMIT; needs an empty book
    TAKER_FEE_BP = 8  # 0..FEE_BP_LIMIT; needs an empty book
    RESALE_NEXT_DAY = 9  # 0 or 1: bought units are locked until the next DAY_ROLL
    CLOSE_RULE = 10  # a CloseRule
    CLOSE_VOLUME_MIN = 11  # tonnes, 0..TOTAL_LIMIT: at or below it the close stays as it was


class Instruction(IntEnum):
    """What a passed-on INSTRUCTION asks of the registry (`order_type`)."""

    ISSUE = 1  # quantity of instrument to account; price = vintage or monitoring year
    DEPOSIT = 2  # from the registry position to the trading position
    TRANSFER = 3  # between registry positions; price = receiving account
    SURRENDER = 4  # price = compliance year
    CANCEL = 5  # voluntary cancellation; notes: beneficiary, reason
    SET_OBLIGATION = 6  # quantity t to surrender by account for year price


class Command(IntEnum):
    """What may stand on `orders`."""

    NEW_ORDER = 1
    CANCEL_ORDER = 2  # order_id, or 0 and the client_order_id of the order
    REPLACE_ORDER = 3  # order_id; new total quantity, price and client_order_id
    ACCOUNT_OPEN = 10  # order_id = participant
    CASH_DEPOSIT = 11  # quantity = minor units; order_id = transfer id
    CASH_WITHDRAW = 12
    UNITS_DEPOSIT = 13  # quantity = tonnes; order_id = transfer id
    UNITS_RELEASE = 14
    INSTRUMENT_OPEN = 20
    INSTRUMENT_PARAMETER = 21
    PHASE_CHANGE = 22  # order_type = Phase; instrument_id 0 = all
    REFERENCE_PRICE = 23  # price
    DAY_ROLL = 24  # quantity = new trading date, YYYYMMDD
    CLOCK_TICK = 25
    EPOCH_START = 26  # quantity = epoch, order_id = node
    INSTRUCTION = 40  # passed on to the registry in the order of the log
    NOTE = 41  # 40 bytes of text for the INSTRUCTION before it


class Event(IntEnum):
    """What may stand on `events`; the comment gives `value` and the special fields."""

    ACCEPTED = 1  # value = amount held; price = effective limit
    REJECTED = 2  # order_type = refused Command, value = ref, reason
    DUPLICATE = 3  # order_type = Command, value = ref, order_id = the original's or 0
    FILL = 4  # order_type = Liquidity, tif = OrderStatus, value = leaves, contra id, fee
    CANCELLED = 5  # quantity = leaves given up, value = hold released, reason
    REPLACED = 6  # order_type = 1 if priority kept, quantity = leaves, value = hold now
    ACCOUNT_OPENED = 10  # order_id = participant
    CASH_DEPOSITED = 11  # value = cash total of the account after
    CASH_WITHDRAWN = 12
    UNITS_DEPOSITED = 13  # value = units total of account and instrument after
    UNITS_RELEASED = 14
    UNITS_UNLOCKED = 15  # bought yesterday, saleable from now
    INSTRUMENT_OPENED = 20
    PARAMETER_CHANGED = 21  # order_type = Parameter, quantity = value
    PHASE_CHANGED = 22  # order_type = Phase
    REFERENCE_CHANGED = 23  # price
    DAY_CLOSED = 24  # price = close, quantity = volume, value = turnover
    DAY_STARTED = 25  # quantity = trading date
    EPOCH_STARTED = 26  # quantity = epoch, order_id = node
    INSTRUCTED = 40  # an INSTRUCTION, as it came; value = ref, order_id = its log position
    NOTED = 41  # a NOTE, as it came
    FRAME_REFUSED = 50  # the whole record was undecodable; reason


class Reason(IntEnum):
    """Why: stable numbers, in order of precedence inside each block of a hundred."""

    NONE = 0
    # 1xx the record and its sender
    FRAME_TOO_SHORT = 101
    FRAME_WRONG_MAGIC = 102
    FRAME_WRONG_VERSION = 103
    FRAME_WRONG_KIND = 104
    FRAME_COUNT_OUT_OF_RANGE = 105
    FRAME_WRONG_SIZE = 106
    FRAME_WRONG_CHECKSUM = 107
    UNKNOWN_COMMAND = 110
    SESSIONS_FULL = 111
    EXPIRED = 112
    UNKNOWN_ACCOUNT = 113
    UNKNOWN_INSTRUMENT = 114
    # 2xx an order
    INVALID_SIDE = 201
    INVALID_ORDER_TYPE = 202
    INVALID_TIME_IN_FORCE = 203
    MARKET_ORDER_MUST_BE_IOC_OR_FOK = 204
    MARKET_ORDER_HAS_PRICE = 205
    UNKNOWN_ORDER = 206
    CLIENT_ORDER_ID_REUSED_ORDER = 210
    CLIENT_ORDER_ID_REUSED_INSTRUMENT = 211
    CLIENT_ORDER_ID_REUSED_SIDE = 212
    CLIENT_ORDER_ID_REUSED_ORDER_TYPE = 213
    CLIENT_ORDER_ID_REUSED_TIME_IN_FORCE = 214
    CLIENT_ORDER_ID_REUSED_QUANTITY = 215
    CLIENT_ORDER_ID_REUSED_PRICE = 216
    MARKET_CLOSED = 220
    MARKET_HALTED = 221
    QUANTITY_NOT_POSITIVE = 230
    QUANTITY_ABOVE_MAX = 231
    QUANTITY_NOT_LOT = 232
    QUANTITY_NOT_ABOVE_EXECUTED = 233
    PRICE_NOT_POSITIVE = 240
    PRICE_ABOVE_MAX = 241
    PRICE_NOT_TICK = 242
    PRICE_ABOVE_BAND = 243
    PRICE_BELOW_BAND = 244
    NO_LIQUIDITY = 245
    VALUE_ABOVE_MAX = 246
    ORDERS_FULL = 250
    CLIENT_ORDER_IDS_FULL = 251
    INSUFFICIENT_CASH = 260
    INSUFFICIENT_UNITS = 261
    # 3xx accounts, instruments, phases, epochs
    ACCOUNT_EXISTS = 301
    ACCOUNTS_FULL = 302
    INSTRUMENT_EXISTS = 303
    TOTAL_ABOVE_MAX = 304
    UNKNOWN_PARAMETER = 305
    PARAMETER_OUT_OF_RANGE = 306
    ORDERS_RESTING = 307
    UNKNOWN_PHASE = 308
    PHASE_TRANSITION_REFUSED = 309
    NOT_ALL_CLOSED = 310
    DATE_NOT_LATER = 311
    EPOCH_STALE = 312
    UNKNOWN_INSTRUCTION = 313
    # 4xx why an accepted order ended
    CANCELLED_BY_REQUEST = 401
    IMMEDIATE_OR_CANCEL_REMAINDER = 402
    FILL_OR_KILL_UNFILLED = 403
    DAY_ENDED = 404
    BAND_MOVED = 405


HEADER = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u2"),
        ("kind", "u1"),
        ("last", "u1"),  # events: 1 on the last part of an input record's output
        ("count", "<u4"),
        ("part", "<u4"),  # events: 0, 1, ... ; commands: 0
        ("time_ns", "<i8"),  # commands: writer's clock; events: engine time
        ("origin", "<i8"),  # commands: writer id; events: input offset
        ("first", "<i8"),  # commands: writer's batch number; events: number of the first event
        ("epoch", "<u4"),  # events: epoch of the publisher (not hashed)
        ("checksum", "<u4"),  # CRC-32 of the records
        ("chain", "S32"),  # events: BLAKE2b-256 chained over all parts so far; commands: zeros
    ]
)

COMMAND = np.dtype(
    [
        ("kind", "u1"),
        ("side", "u1"),
        ("order_type", "u1"),
        ("time_in_force", "u1"),
        ("instrument_id", "<u2"),
        ("valid_ms", "<u2"),  # 0 = no limit; else refused when engine time is later than sent + it
        ("account_id", "<u4"),
        ("session_id", "<u4"),  # 0 = the venue itself, not numbered
        ("ref", "<i8"),  # strictly increasing in a session
        ("quantity", "<i8"),
        ("price", "<i8"),
        ("order_id", "<u8"),
        ("client_order_id", "S16"),
    ]
)

EVENT = np.dtype(
    [
        ("kind", "u1"),
        ("side", "u1"),
        ("order_type", "u1"),
        ("time_in_force", "u1"),
        ("instrument_id", "<u2"),
        ("reason", "<u2"),
        ("account_id", "<u4"),
        ("command_index", "<u4"),
        ("value", "<i8"),
        ("quantity", "<i8"),
        ("price", "<i8"),
        ("order_id", "<u8"),
        ("client_order_id", "S16"),
    ]
)

FILL = np.dtype([*EVENT.descr[:-1], ("contra_order_id", "<u8"), ("fee", "<i8")])
"""EVENT as a fill reads it: the last 16 bytes are the contra order and the fee (minor units)."""
