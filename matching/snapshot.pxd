"""The rows of `snapshot.py` for C. A test proves the two equal."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from matching.layout cimport ClientOrderId

cdef packed struct AccountRow:
    uint32_t account_id
    uint32_t suspended
    uint64_t participant
    int64_t available
    int64_t held
    int64_t locked
    int64_t stp_group
    int64_t position_max
    uint32_t order_rate
    uint32_t rate_count
    int64_t rate_second

cdef packed struct ParticipantRow:
    uint64_t participant
    uint64_t suspended
    int64_t position_max
    uint32_t order_rate
    uint32_t rate_count
    int64_t rate_second

cdef packed struct HoldingRow:
    uint32_t account_id
    uint16_t instrument_id
    uint16_t zero
    int64_t available
    int64_t held
    int64_t locked
    int64_t holding_max

cdef packed struct InstrumentRow:
    uint16_t instrument_id
    uint16_t phase
    uint16_t change_to
    uint16_t zero
    int64_t parameters[31]
    int64_t reference
    int64_t volume
    int64_t turnover
    int64_t last_price
    int64_t units
    int64_t call_price
    int64_t change_at_ns
    int64_t indicative_price
    int64_t indicative_volume
    int64_t indicative_surplus

cdef packed struct AuctionRow:
    uint16_t instrument_id
    uint8_t pricing
    uint8_t tie_break
    uint8_t flags
    uint8_t carry
    uint16_t bid_max_bp
    int64_t bid_multiple
    uint64_t order_id
    int64_t closes_ns
    int64_t seed

cdef packed struct OrderRow:
    uint64_t order_id
    uint32_t account_id
    uint16_t instrument_id
    uint8_t side
    uint8_t time_in_force
    int64_t quantity
    int64_t leaves
    int64_t price
    int64_t charged
    int64_t uncharged
    ClientOrderId client_order_id
    uint32_t session_id
    uint8_t order_type
    uint8_t queue
    uint8_t instructions
    uint8_t zero

cdef packed struct TermsRow:
    uint64_t order_id
    int64_t stop_price
    int64_t display_quantity
    int64_t visible
    uint32_t expire_date
    uint32_t counterparty

cdef packed struct SessionRow:
    uint32_t session_id
    uint32_t zero
    int64_t ref

cdef packed struct ClientOrderIdRow:
    ClientOrderId client_order_id
    uint32_t account_id
    uint16_t instrument_id
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t zero[3]
    uint32_t terms
    uint64_t order_id
    int64_t quantity
    int64_t price
