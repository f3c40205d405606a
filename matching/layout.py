"""The one record layout of the hot path: frames of 64-byte records, for `orders` and for `events`.

A Kafka record of the two holds one *frame*: an 80-byte header, then `count` records of 64 bytes,
all little-endian. A record is a command on `orders` and an event on `events`; the table below says
what a field means in each. `matching/layout.pxd` holds the same for C; a test proves them equal.

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
    40     u64   order_id            order_id; instructions of a new order, terms of an auction
    48     S16   client_order_id     client_order_id, or contra_order_id u64 and fee i64 in a fill

All are integers: prices minor units (cents, fen) a tonne, money minor units, quantities tonnes,
times ns UTC, ratios basis points.
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
SLICES_MAX = 100  # of an iceberg: each that is met makes three events
VALUE_LIMIT = 9 * 10**15  # minor units: price x quantity of one order
FEE_BP_LIMIT = 1_000  # so that VALUE_LIMIT x fee fits 63 bits
TONNE_FEE_LIMIT = 9_000  # with FEE_BP_LIMIT never above the proceeds, at the lowest price
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
    """FIX tag 40; from 20 on the venue's own, which only their own commands make."""

    MARKET = 1
    LIMIT = 2
    STOP = 3  # becomes MARKET when triggered
    STOP_LIMIT = 4  # becomes LIMIT when triggered
    PICK = 20  # takes a named listing
    BLOCK = 21  # one side of a negotiated trade
    BID = 22  # in a sealed-bid auction; a sell when the offer buys
    OFFER = 23  # what is auctioned


class TimeInForce(IntEnum):
    """FIX tag 59."""

    DAY = 0
    GTC = 1
    AT_THE_OPENING = 2
    IOC = 3
    FOK = 4
    GTD = 6
    AT_THE_CLOSE = 7


class ExecInst(IntEnum):
    """FIX tag 18 and its kin: bits of a NEW_ORDER's `order_id`, and of a QUOTE's `order_type`."""

    POST_ONLY = 1  # refused when it would trade
    POST_ONLY_REPRICE = 2  # moved one tick away from what it would trade with
    NON_PERSISTENT = 4  # ends with a halt, a volatility call, the close, or the session
    FROM_QUOTE = 128  # set by the engine on both sides of a quote


SELF_TRADE_SHIFT = 4  # a SelfTrade mode stands in bits 4 to 6 of the instructions
INSTRUCTION_BITS = 0x77  # all that a command may carry
QUOTE_SELL_BIT = 0x8000  # of the id of a quote's sell side; without it: the quote's position


class SelfTrade(IntEnum):
    """What happens when an order would meet one of its own group (FIX tag 2964 by custom)."""

    ALLOWED = 0
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3
    DECREMENT = 4


class Phase(IntEnum):
    """Trading phase of an instrument."""

    CLOSED = 0  # end of day
    CONTINUOUS = 1
    HALT = 2
    START_OF_DAY = 3
    OPENING_CALL = 4
    VOLATILITY_CALL = 5
    CLOSING_CALL = 6


PHASE_TRANSITIONS: dict[tuple[Phase, Phase], bool] = {
    (Phase.CLOSED, Phase.START_OF_DAY): True,
    (Phase.CLOSED, Phase.OPENING_CALL): True,
    (Phase.CLOSED, Phase.CONTINUOUS): True,
    (Phase.START_OF_DAY, Phase.OPENING_CALL): True,
    (Phase.START_OF_DAY, Phase.CONTINUOUS): True,
    (Phase.START_OF_DAY, Phase.HALT): True,
    (Phase.START_OF_DAY, Phase.CLOSED): True,
    (Phase.OPENING_CALL, Phase.CONTINUOUS): True,
    (Phase.OPENING_CALL, Phase.HALT): True,
    (Phase.OPENING_CALL, Phase.CLOSED): True,
    (Phase.CONTINUOUS, Phase.VOLATILITY_CALL): True,
    (Phase.CONTINUOUS, Phase.CLOSING_CALL): True,
    (Phase.CONTINUOUS, Phase.HALT): True,
    (Phase.CONTINUOUS, Phase.CLOSED): True,
    (Phase.VOLATILITY_CALL, Phase.CONTINUOUS): True,
    (Phase.VOLATILITY_CALL, Phase.CLOSING_CALL): True,
    (Phase.VOLATILITY_CALL, Phase.HALT): True,
    (Phase.VOLATILITY_CALL, Phase.CLOSED): True,
    (Phase.CLOSING_CALL, Phase.HALT): True,
    (Phase.CLOSING_CALL, Phase.CLOSED): True,
    (Phase.HALT, Phase.OPENING_CALL): True,
    (Phase.HALT, Phase.CONTINUOUS): True,
    (Phase.HALT, Phase.CLOSED): True,
}
"""(from, to) pairs that a PHASE_CHANGE may make; every other pair is refused."""


class Liquidity(IntEnum):
    """Which side of a fill (FIX tag 851): who rested, who came."""

    MAKER = 1
    TAKER = 2


class TradeMethod(IntEnum):
    """How a trade came about (FIX tag 828): the `reason` of its fills."""

    BOOK_TRADE = 0  # continuous, price-time
    CALL_TRADE = 1  # uncrossed at the end of a call
    LISTED_TRADE = 2  # a listing that was picked
    BLOCK_TRADE = 3  # negotiated
    AUCTION_TRADE = 4  # sealed bids


class OrderStatus(IntEnum):
    """FIX tag 39, as carried by a fill."""

    PARTIALLY_FILLED = 1
    FILLED = 2


class CloseRule(IntEnum):
    """How the closing price of a day is found."""

    LAST_TRADE = 1
    VWAP = 2  # half up to the minor unit
    CALL_PRICE = 3  # of the closing call; without one the last trade


class Resale(IntEnum):
    """When a buyer may use what was bought: the value of RESALE_NEXT_DAY."""

    AT_ONCE = 0
    NEXT_DAY = 1  # bought units are locked until the next DAY_ROLL
    SETTLED = 2  # bought units and the proceeds of the sale are locked until SETTLE_TRADE


class FeeSides(IntEnum):
    """Who pays for a trade: the value of FEE_SIDES."""

    BOTH = 0
    BUYERS = 1
    SELLERS = 2


class SettlementStep(IntEnum):
    """What SETTLE_TRADE does with a trade (`order_type`)."""

    DELIVER = 1  # the buyer's units and the seller's cash are locked no longer
    VOID = 2  # of an unsettled trade: out of the locks, both go back
    REVERSE = 3  # of a settled trade: out of what is available, both go back


class Policy(IntEnum):
    """How an instrument matches."""

    PRICE_TIME = 1
    LISTED = 2  # nothing matches by itself: takers name the listing they pick


class Queue(IntEnum):
    """Where a live order stands."""

    BOOK = 1
    STOPS = 2  # waiting for their stop price
    PARKED = 3  # AT_THE_CLOSE, waiting for the closing call
    BLOCKS = 4  # waiting for the other side's word
    BIDS = 5
    OFFERS = 6


class Pricing(IntEnum):
    """What the winners of a sealed-bid auction pay."""

    UNIFORM = 1  # all the price of the last bid accepted
    PAY_AS_BID = 2


class TieBreak(IntEnum):
    """Who wins first among bids at the price where the volume runs out."""

    BY_TIME = 1
    AT_RANDOM = 2  # by the seeds of AUCTION_TERMS and AUCTION_CLEAR
    PRO_RATA = 3  # shares rounded down to the multiple, the rest at random


class MassCancelScope(IntEnum):
    """Which orders a MASS_CANCEL is about; 0 = those of the book, waiting ones and blocks."""

    ONLY_NON_PERSISTENT = 1  # of these
    BIDS_TOO = 2  # and sealed bids, also those that nobody else may withdraw


class AuctionFlag(IntEnum):
    """Bits of an auction's terms."""

    CANCEL_IF_SHORT = 1  # cancelled when the bids do not reach the offer
    IRREVOCABLE = 2  # bids are neither withdrawn nor changed
    WHOLE_LOT = 4  # each bid is for the whole offer
    CANCEL_BELOW_RESERVE = 8  # cancelled when it would clear beyond the secret reserve
    IN_BAND = 16  # bids lie in the instrument's price band


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
    RESALE_NEXT_DAY = 9  # a Resale; to and from SETTLED with no units locked only
    CLOSE_RULE = 10  # a CloseRule
    CLOSE_VOLUME_MIN = 11  # tonnes, 0..TOTAL_LIMIT: at or below it the close stays as it was
    POLICY = 12  # a Policy; needs an empty book
    QUANTITY_MIN = 13  # tonnes an order, 0..QUANTITY_LIMIT
    COLLAR_BP = 14  # how far beyond the last price an order may reach, 0..10000; 0 = no collar
    VOLATILITY_BP = 15  # a trade further from the last price starts a call, 0..10000; 0 = never
    VOLATILITY_CALL_MS = 16  # how long that call lasts, 0..86400000; 0 = until a PHASE_CHANGE
    RANDOM_END_MS = 17  # how much later a call may end at random, 0..86400000
    PICK_LEVELS = 18  # LISTED: how many price levels takers may pick from, 1..1000
    PICK_OLDEST = 19  # LISTED: 1 = of a level only the oldest listing may be picked
    BLOCK_OPEN = 20  # 1 = blocks may be proposed and confirmed now
    BLOCK_QUANTITY_MIN = 21  # tonnes a block, 1..QUANTITY_LIMIT
    BLOCK_BAND_BP = 22  # +- of the reference price, 0..10000; 0 = no band
    BLOCK_FEE_BP = 23  # of both sides of a block, 0..FEE_BP_LIMIT; needs an empty book
    AUCTION_FEE_BP = 24  # of both sides of a sealed-bid trade; needs an empty book
    HOLDING_MAX = 25  # tonnes an account may hold or be buying, 0..TOTAL_LIMIT; 0 = no limit
    TICK_FROM_2 = 26  # price from which TICK_SIZE_2 holds, 0 = nowhere; needs an empty book
    TICK_SIZE_2 = 27  # a multiple of TICK_SIZE; needs an empty book
    TICK_FROM_3 = 28
    TICK_SIZE_3 = 29
    TONNE_FEE = 30  # 1/10000 minor unit a tonne, beside *_FEE_BP, 0..9000; needs an empty book
    FEE_SIDES = 31  # a FeeSides; needs an empty book


class AccountParameter(IntEnum):
    """What ACCOUNT_PARAMETER sets; the first, third and fourth also PARTICIPANT_PARAMETER."""

    SUSPENDED = 1  # 1 = only cancels are heard
    STP_GROUP = 2  # accounts of one group do not trade with each other; 0 = alone, 0..2**62
    ORDER_RATE = 3  # orders a second of engine time, 0..1000000; 0 = no limit
    POSITION_MAX = 4  # tonnes of all instruments held or being bought, 0..TOTAL_LIMIT; 0 = none
    INSTRUMENT_HOLDING_MAX = 5  # HOLDING_MAX of this account in the instrument; 0 = its default


class Instruction(IntEnum):
    """What a passed-on INSTRUCTION asks (`order_type`): of the registry, from 46 of settlement."""

    ISSUE = 1  # quantity of instrument to account; price = vintage or monitoring year
    DEPOSIT = 2  # from the registry position to the trading position
    TRANSFER = 3  # between registry positions; price = receiving account
    SURRENDER = 4  # price = compliance year
    CANCEL = 5  # voluntary cancellation; notes: beneficiary, reason
    FREEZE = 10  # by the authority, out of account's registry position; notes: who, reference
    UNFREEZE = 11  # back to the registry position
    PLEDGE = 12  # out of account's registry position; price = the lender's account
    RELEASE_PLEDGE = 13  # account = the lender, price = the owner: back to the owner
    ENFORCE_PLEDGE = 14  # account = the lender, price = the owner: to the lender, on default
    PROPOSE_REVERSAL = 15  # of a surrender or cancellation; price = its instruction id
    APPROVE_REVERSAL = 16  # by another person; price = the proposal's instruction id
    REGISTER_PROJECT = 17  # of credits, for account; price = its number; notes: what it is
    EXCHANGE = 18  # credits for allowances; price = the allowances' instrument; notes: who
    SET_ENTITLEMENT = 19  # quantity = its base, t; notes: who, group
    REPORT_EMISSIONS = 20  # quantity t of account in year price; notes: who, sector
    VERIFY_EMISSIONS = 21  # quantity t confirmed or corrected; notes: who, of which participant
    ALLOCATE = 22  # quantity t for year price; notes: who, stage, method, sector, base
    ASSESS = 23  # year price; notes: who, average price, last day for surrender
    APPLY_CARRY_OVER = 24  # quantity t into the new vintage, of year price; notes: who
    CARRY_OVER = 25  # price = the application's instruction id; notes: who
    SET_ACCOUNT_TYPE = 30  # price = 1: two persons where the rules ask; notes: who, type
    APPOINT_REPRESENTATIVE = 31  # notes: who, the representative's key
    DISMISS_REPRESENTATIVE = 32
    BLOCK_ACCOUNT = 33  # by the authority; notes: who, reference
    UNBLOCK_ACCOUNT = 34  # price = the instruction that set the block; 0 = the only one
    PROPOSE_TRUST = 35  # price = the account to be put on account's trusted list; notes: who
    APPROVE_TRUST = 36  # by a second representative
    REMOVE_TRUST = 37
    APPROVE_TRANSFER = 38  # by a second person; price = instruction id of what waits; notes: who
    CANCEL_TRANSFER = 39  # price = instruction id of what waits; notes: who
    BIND_ACCOUNT = 40  # price = account of the other registry, 0 = of none; notes: who, market
    CARRY_OUT = 41  # by the registry itself: time has passed, something is due
    OFFSET_REQUEST = 42  # between registries, to that of the credits; notes: see registry.saga
    OFFSET_ANSWER = 43  # and back to that of the allowances; price = the SURRENDER's id
    CONFIRM_ACCOUNT = 44  # its data are right; price = the year for which; notes: who
    FAIL_SETTLEMENT = 46  # price = the trade, account = a party; notes: who, reason
    OBJECT_TO_TRADE = 47  # the same by a party, in time; notes: who, reason
    RETRY_SETTLEMENT = 48  # of a failed trade
    VOID_TRADE = 49  # failed too long: both legs go back
    PROPOSE_TRADE_CANCEL = 50  # of a trade, settled or not; notes: who, reason
    APPROVE_TRADE_CANCEL = 51  # by another person; price = the proposal's instruction id


class Command(IntEnum):
    """What may stand on `orders`."""

    NEW_ORDER = 1
    CANCEL_ORDER = 2  # order_id, or 0 and the client_order_id of the order
    REPLACE_ORDER = 3  # order_id; new total quantity, price and client_order_id
    ORDER_TERMS = 4  # of the order before it: stop price, display, minimum, expire date
    MASS_CANCEL = (
        5  # account, instrument, side, order_id = participant, quantity = session: 0 = all
    )
    QUOTE = 6  # quantity and price to buy; the last 16 bytes quantity and price to sell
    PICK_ORDER = 7  # order_id = listing; side of the taker, quantity, the listing's price
    BLOCK_PROPOSE = 8  # order_id = account of the other side
    BLOCK_CONFIRM = 9  # order_id = the proposal; side, quantity and price as confirmed
    ACCOUNT_OPEN = 10  # order_id = participant
    CASH_DEPOSIT = 11  # quantity = minor units; order_id = transfer id
    CASH_WITHDRAW = 12
    UNITS_DEPOSIT = 13  # quantity = tonnes; order_id = transfer id
    UNITS_RELEASE = 14
    ACCOUNT_PARAMETER = 15  # order_type = AccountParameter, quantity = value
    PARTICIPANT_PARAMETER = 16  # order_id = participant
    INSTRUMENT_OPEN = 20
    INSTRUMENT_PARAMETER = 21
    PHASE_CHANGE = 22  # order_type = Phase; instrument_id 0 = all; quantity = seed of a random end
    REFERENCE_PRICE = 23  # price
    DAY_ROLL = 24  # quantity = new trading date, YYYYMMDD
    CLOCK_TICK = 25
    EPOCH_START = 26  # quantity = epoch, order_id = node
    AUCTION_OPEN = 30  # account offers on `side`; order_type = Pricing, tif = TieBreak
    AUCTION_BID = 31  # order_id = auction
    AUCTION_CLEAR = 32  # quantity = seed, price = secret reserve or 0
    AUCTION_CANCEL = 33
    AUCTION_TERMS = 34  # of the AUCTION_OPEN before: quantity = bids until, ns; price = seed
    INSTRUCTION = 40  # passed on to the registry in the order of the log
    NOTE = 41  # 40 bytes of text for the INSTRUCTION before it
    SETTLE_TRADE = 42  # order_type = SettlementStep, order_id = seller, price = cash; see RULES.md


class Event(IntEnum):
    """What may stand on `events`; the comment gives `value` and the special fields."""

    ACCEPTED = 1  # value = amount held; price = effective limit
    REJECTED = 2  # order_type = refused Command, value = ref, reason
    DUPLICATE = 3  # order_type = Command, value = ref, order_id = the original's or 0
    FILL = 4  # order_type = Liquidity, tif = OrderStatus, value = leaves, contra id, fee
    CANCELLED = 5  # quantity = leaves given up, value = hold released, reason
    REPLACED = 6  # order_type = 1 if priority kept, quantity = leaves, value = hold now
    TERMS_SET = 7  # value = stop price, quantity = display, price = minimum
    TRIGGERED = 8  # a waiting order enters the book: order_type, leaves and hold of now
    REFILLED = 9  # an iceberg shows its next slice, last at its price: quantity = slice
    ACCOUNT_OPENED = 10  # order_id = participant
    CASH_DEPOSITED = 11  # value = cash total of the account after
    CASH_WITHDRAWN = 12
    UNITS_DEPOSITED = 13  # value = units total of account and instrument after
    UNITS_RELEASED = 14
    UNITS_UNLOCKED = 15  # bought yesterday, saleable from now
    ACCOUNT_CHANGED = 16  # order_type = AccountParameter, quantity = value
    PARTICIPANT_CHANGED = 17  # order_id = participant
    MASS_CANCELLED = 18  # value = how many
    QUOTED = 19  # the QUOTE as it came; order_id = its log position
    INSTRUMENT_OPENED = 20
    PARAMETER_CHANGED = 21  # order_type = Parameter, quantity = value
    PHASE_CHANGED = 22  # order_type = Phase
    REFERENCE_CHANGED = 23  # price
    DAY_CLOSED = 24  # price = close, quantity = volume, value = turnover
    DAY_STARTED = 25  # quantity = trading date
    EPOCH_STARTED = 26  # quantity = epoch, order_id = node
    CALL_ENDING = 27  # at a random moment from now on; order_type = the Phase to come
    INDICATIVE = 28  # price, quantity = volume, value = surplus, above zero on the buy side
    UNCROSSED = 29  # the same of a call that ended
    AUCTION_OPENED = 30  # the AUCTION_OPEN's terms; order_id = auction
    AUCTION_CLEARED = 31  # price, quantity = sold, value = tonnes bid; seeds in the last 16 bytes
    AUCTION_CANCELLED = 32  # quantity = offered, value = tonnes bid, reason
    AUCTION_CARRIED = 33  # quantity goes to the value-th auction from here
    BIDDING_CLOSES = 34  # of the AUCTION_OPENED before it: value = until when, ns UTC
    INSTRUCTED = 40  # an INSTRUCTION, as it came; value = ref, order_id = its log position
    NOTED = 41  # a NOTE, as it came
    TRADE_SETTLED = 42  # a SETTLE_TRADE, as it came; value = ref
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
    MARKET_ORDER_CANNOT_REST = 204
    MARKET_ORDER_HAS_PRICE = 205
    UNKNOWN_ORDER = 206
    INVALID_INSTRUCTIONS = 207
    INVALID_TERMS = 208
    EXPIRE_DATE_OUT_OF_RANGE = 209
    CLIENT_ORDER_ID_REUSED_ORDER = 210
    CLIENT_ORDER_ID_REUSED_INSTRUMENT = 211
    CLIENT_ORDER_ID_REUSED_SIDE = 212
    CLIENT_ORDER_ID_REUSED_ORDER_TYPE = 213
    CLIENT_ORDER_ID_REUSED_TIME_IN_FORCE = 214
    CLIENT_ORDER_ID_REUSED_QUANTITY = 215
    CLIENT_ORDER_ID_REUSED_PRICE = 216
    CLIENT_ORDER_ID_REUSED_TERMS = 217
    ACCOUNT_SUSPENDED = 218
    ORDER_RATE_EXCEEDED = 219
    MARKET_CLOSED = 220
    MARKET_HALTED = 221
    ORDER_NOT_ALLOWED_IN_PHASE = 222
    NOT_ALLOWED_BY_POLICY = 223
    BLOCKS_CLOSED = 224
    AUCTION_NOT_OPEN = 225
    AUCTION_ALREADY_OPEN = 226
    BID_IRREVOCABLE = 227
    UNKNOWN_COUNTERPARTY = 228
    BIDDING_CLOSED = 229
    QUANTITY_NOT_POSITIVE = 230
    QUANTITY_ABOVE_MAX = 231
    QUANTITY_NOT_LOT = 232
    QUANTITY_NOT_ABOVE_EXECUTED = 233
    QUANTITY_BELOW_MIN = 234
    DISPLAY_QUANTITY_OUT_OF_RANGE = 235
    MINIMUM_QUANTITY_OUT_OF_RANGE = 236
    QUANTITY_ABOVE_LISTED = 237
    QUANTITY_DIFFERS = 238
    BID_ABOVE_MAX = 239
    PRICE_NOT_POSITIVE = 240
    PRICE_ABOVE_MAX = 241
    PRICE_NOT_TICK = 242
    PRICE_ABOVE_BAND = 243
    PRICE_BELOW_BAND = 244
    NO_LIQUIDITY = 245
    VALUE_ABOVE_MAX = 246
    STOP_PRICE_OUT_OF_RANGE = 247
    PRICE_OUTSIDE_COLLAR = 248
    POST_ONLY_WOULD_TRADE = 249
    ORDERS_FULL = 250
    CLIENT_ORDER_IDS_FULL = 251
    PRICE_BEYOND_RESERVE = 252
    PRICE_DIFFERS = 253
    LISTING_OUT_OF_REACH = 254
    QUOTE_CROSSED = 255
    HOLDING_ABOVE_MAX = 256
    POSITION_ABOVE_MAX = 257
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
    INVALID_AUCTION_TERMS = 314
    UNITS_LOCKED = 315
    BIDDING_NOT_CLOSED = 316
    # 4xx why an accepted order ended
    CANCELLED_BY_REQUEST = 401
    IMMEDIATE_OR_CANCEL_REMAINDER = 402
    FILL_OR_KILL_UNFILLED = 403
    DAY_ENDED = 404
    BAND_MOVED = 405
    QUOTE_REPLACED = 406
    SELF_TRADE_PREVENTED = 407
    MINIMUM_QUANTITY_UNFILLED = 408
    DATE_EXPIRED = 409
    CALL_ENDED = 410
    NOT_PERSISTENT = 411
    CANCELLED_IN_MASS = 412
    BLOCK_DECLINED = 413
    BID_UNSUCCESSFUL = 414
    OFFER_UNSOLD = 415
    AUCTION_SHORT = 416
    AUCTION_BELOW_RESERVE = 417
    AUCTION_CALLED_OFF = 418


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

_TERMS = [("quantity", "<i8"), ("price", "<i8"), ("order_id", "<u8"), ("client_order_id", "S16")]

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
        ("ref", "<i8"),  # rising in a session; of session 0, if not 0: see "what belongs together"
        *_TERMS,
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
        *_TERMS,
    ]
)

FILL = np.dtype([*EVENT.descr[:-1], ("contra_order_id", "<u8"), ("fee", "<i8")])
"""EVENT as a fill reads it: the last 16 bytes are the contra order and the fee (minor units)."""
