"""`layout.py` for C: the same names, values, offsets and sizes. A test proves the two equal."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    MAGIC = 0x31465843
    VERSION = 1
    HEADER_SIZE = 80
    RECORD_SIZE = 64
    COUNT_MAX = 4096
    INDEX_BITS = 16
    BP = 10_000
    PRICE_LIMIT = 1_000_000_000
    FEE_BP_LIMIT = 1_000
    TONNE_FEE_LIMIT = 9_000
    SELF_TRADE_SHIFT = 4
    INSTRUCTION_BITS = 0x77
    QUOTE_SELL_BIT = 0x8000

cdef enum:  # wider than int, and so unsigned in C: cast before comparing
    QUANTITY_LIMIT = 10_000_000_000
    SLICES_MAX = 100
    VALUE_LIMIT = 9_000_000_000_000_000
    TOTAL_LIMIT = 0x4000_0000_0000_0000

cdef enum:  # FrameKind
    COMMANDS = 1
    EVENTS = 2

cdef enum:  # Side
    BUY = 1
    SELL = 2

cdef enum:  # OrderType
    MARKET = 1
    LIMIT = 2
    STOP = 3
    STOP_LIMIT = 4
    PICK = 20
    BLOCK = 21
    BID = 22
    OFFER = 23

cdef enum:  # TimeInForce
    DAY = 0
    GTC = 1
    AT_THE_OPENING = 2
    IOC = 3
    FOK = 4
    GTD = 6
    AT_THE_CLOSE = 7

cdef enum:  # ExecInst
    POST_ONLY = 1
    POST_ONLY_REPRICE = 2
    NON_PERSISTENT = 4
    FROM_QUOTE = 128

cdef enum:  # SelfTrade
    ALLOWED = 0
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3
    DECREMENT = 4

cdef enum:  # Phase
    CLOSED = 0
    CONTINUOUS = 1
    HALT = 2
    START_OF_DAY = 3
    OPENING_CALL = 4
    VOLATILITY_CALL = 5
    CLOSING_CALL = 6

cdef enum:  # Liquidity
    MAKER = 1
    TAKER = 2

cdef enum:  # TradeMethod
    BOOK_TRADE = 0
    CALL_TRADE = 1
    LISTED_TRADE = 2
    BLOCK_TRADE = 3
    AUCTION_TRADE = 4

cdef enum:  # OrderStatus
    PARTIALLY_FILLED = 1
    FILLED = 2

cdef enum:  # CloseRule
    LAST_TRADE = 1
    VWAP = 2
    CALL_PRICE = 3

cdef enum:  # Resale
    AT_ONCE = 0
    NEXT_DAY = 1
    SETTLED = 2

cdef enum:  # FeeSides
    BOTH = 0
    BUYERS = 1
    SELLERS = 2

cdef enum:  # SettlementStep
    DELIVER = 1
    VOID = 2
    REVERSE = 3

cdef enum:  # Policy
    PRICE_TIME = 1
    LISTED = 2

cdef enum:  # Queue
    BOOK = 1
    STOPS = 2
    PARKED = 3
    BLOCKS = 4
    BIDS = 5
    OFFERS = 6

cdef enum:  # Pricing
    UNIFORM = 1
    PAY_AS_BID = 2

cdef enum:  # TieBreak
    BY_TIME = 1
    AT_RANDOM = 2
    PRO_RATA = 3

cdef enum:  # MassCancelScope
    ONLY_NON_PERSISTENT = 1
    BIDS_TOO = 2

cdef enum:  # AuctionFlag
    CANCEL_IF_SHORT = 1
    IRREVOCABLE = 2
    WHOLE_LOT = 4
    CANCEL_BELOW_RESERVE = 8
    IN_BAND = 16

cdef enum:  # Parameter
    TICK_SIZE = 1
    LOT_SIZE = 2
    QUANTITY_MAX = 3
    VALUE_MAX = 4
    BAND_BP = 5
    PROTECTION_BP = 6
    MAKER_FEE_BP = 7
    TAKER_FEE_BP = 8
    RESALE_NEXT_DAY = 9
    CLOSE_RULE = 10
    CLOSE_VOLUME_MIN = 11
    POLICY = 12
    QUANTITY_MIN = 13
    COLLAR_BP = 14
    VOLATILITY_BP = 15
    VOLATILITY_CALL_MS = 16
    RANDOM_END_MS = 17
    PICK_LEVELS = 18
    PICK_OLDEST = 19
    BLOCK_OPEN = 20
    BLOCK_QUANTITY_MIN = 21
    BLOCK_BAND_BP = 22
    BLOCK_FEE_BP = 23
    AUCTION_FEE_BP = 24
    HOLDING_MAX = 25
    TICK_FROM_2 = 26
    TICK_SIZE_2 = 27
    TICK_FROM_3 = 28
    TICK_SIZE_3 = 29
    TONNE_FEE = 30
    FEE_SIDES = 31

cdef enum:  # AccountParameter
    SUSPENDED = 1
    STP_GROUP = 2
    ORDER_RATE = 3
    POSITION_MAX = 4
    INSTRUMENT_HOLDING_MAX = 5

cdef enum:  # Instruction
    ISSUE = 1
    DEPOSIT = 2
    TRANSFER = 3
    SURRENDER = 4
    CANCEL = 5
    FREEZE = 10
    UNFREEZE = 11
    PLEDGE = 12
    RELEASE_PLEDGE = 13
    ENFORCE_PLEDGE = 14
    PROPOSE_REVERSAL = 15
    APPROVE_REVERSAL = 16
    REGISTER_PROJECT = 17
    EXCHANGE = 18
    SET_ENTITLEMENT = 19
    REPORT_EMISSIONS = 20
    VERIFY_EMISSIONS = 21
    ALLOCATE = 22
    ASSESS = 23
    APPLY_CARRY_OVER = 24
    CARRY_OVER = 25
    SET_ACCOUNT_TYPE = 30
    APPOINT_REPRESENTATIVE = 31
    DISMISS_REPRESENTATIVE = 32
    BLOCK_ACCOUNT = 33
    UNBLOCK_ACCOUNT = 34
    PROPOSE_TRUST = 35
    APPROVE_TRUST = 36
    REMOVE_TRUST = 37
    APPROVE_TRANSFER = 38
    CANCEL_TRANSFER = 39
    BIND_ACCOUNT = 40
    CARRY_OUT = 41
    OFFSET_REQUEST = 42
    OFFSET_ANSWER = 43
    CONFIRM_ACCOUNT = 44
    FAIL_SETTLEMENT = 46
    OBJECT_TO_TRADE = 47
    RETRY_SETTLEMENT = 48
    VOID_TRADE = 49
    PROPOSE_TRADE_CANCEL = 50
    APPROVE_TRADE_CANCEL = 51

cdef enum:  # Command
    NEW_ORDER = 1
    CANCEL_ORDER = 2
    REPLACE_ORDER = 3
    ORDER_TERMS = 4
    MASS_CANCEL = 5
    QUOTE = 6
    PICK_ORDER = 7
    BLOCK_PROPOSE = 8
    BLOCK_CONFIRM = 9
    ACCOUNT_OPEN = 10
    CASH_DEPOSIT = 11
    CASH_WITHDRAW = 12
    UNITS_DEPOSIT = 13
    UNITS_RELEASE = 14
    ACCOUNT_PARAMETER = 15
    PARTICIPANT_PARAMETER = 16
    INSTRUMENT_OPEN = 20
    INSTRUMENT_PARAMETER = 21
    PHASE_CHANGE = 22
    REFERENCE_PRICE = 23
    DAY_ROLL = 24
    CLOCK_TICK = 25
    EPOCH_START = 26
    AUCTION_OPEN = 30
    AUCTION_BID = 31
    AUCTION_CLEAR = 32
    AUCTION_CANCEL = 33
    AUCTION_TERMS = 34
    INSTRUCTION = 40
    NOTE = 41
    SETTLE_TRADE = 42

cdef enum:  # Event
    ACCEPTED = 1
    REJECTED = 2
    DUPLICATE = 3
    FILL = 4
    CANCELLED = 5
    REPLACED = 6
    TERMS_SET = 7
    TRIGGERED = 8
    REFILLED = 9
    ACCOUNT_OPENED = 10
    CASH_DEPOSITED = 11
    CASH_WITHDRAWN = 12
    UNITS_DEPOSITED = 13
    UNITS_RELEASED = 14
    UNITS_UNLOCKED = 15
    ACCOUNT_CHANGED = 16
    PARTICIPANT_CHANGED = 17
    MASS_CANCELLED = 18
    QUOTED = 19
    INSTRUMENT_OPENED = 20
    PARAMETER_CHANGED = 21
    PHASE_CHANGED = 22
    REFERENCE_CHANGED = 23
    DAY_CLOSED = 24
    DAY_STARTED = 25
    EPOCH_STARTED = 26
    CALL_ENDING = 27
    INDICATIVE = 28
    UNCROSSED = 29
    AUCTION_OPENED = 30
    AUCTION_CLEARED = 31
    AUCTION_CANCELLED = 32
    AUCTION_CARRIED = 33
    BIDDING_CLOSES = 34
    INSTRUCTED = 40
    NOTED = 41
    TRADE_SETTLED = 42
    FRAME_REFUSED = 50

cdef enum:  # Reason
    NONE = 0
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


cdef packed struct ClientOrderId:
    uint64_t head
    uint64_t tail

cdef packed struct Header:
    uint32_t magic
    uint16_t version
    uint8_t kind
    uint8_t last
    uint32_t count
    uint32_t part
    int64_t time_ns
    int64_t origin
    int64_t first
    uint32_t epoch
    uint32_t checksum
    char chain[32]

cdef packed struct CommandRecord:
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint16_t instrument_id
    uint16_t valid_ms
    uint32_t account_id
    uint32_t session_id
    int64_t ref
    int64_t quantity
    int64_t price
    uint64_t order_id
    ClientOrderId client_order_id

cdef packed struct EventRecord:
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint16_t instrument_id
    uint16_t reason
    uint32_t account_id
    uint32_t command_index
    int64_t value
    int64_t quantity
    int64_t price
    uint64_t order_id
    ClientOrderId client_order_id

cdef packed struct FillRecord:
    uint8_t kind
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint16_t instrument_id
    uint16_t reason
    uint32_t account_id
    uint32_t command_index
    int64_t value
    int64_t quantity
    int64_t price
    uint64_t order_id
    uint64_t contra_order_id
    int64_t fee
