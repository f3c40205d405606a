"""The rows of `snapshot.py` for C. A test proves the two equal."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from matching.layout cimport ClientOrderId

cdef packed struct AccountRow:
    uint32_t account_id
    uint32_t zero
    uint64_t participant
    int64_t available
    int64_t held

cdef packed struct HoldingRow:
    uint32_t account_id
    uint16_t instrument_id
    uint16_t zero
    int64_t available
    int64_t held
    int64_t locked

cdef packed struct InstrumentRow:
    uint16_t instrument_id
    uint16_t phase
    uint32_t zero
    int64_t parameters[11]
    int64_t reference
    int64_t volume
    int64_t turnover
    int64_t last_price
    int64_t units

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
    uint8_t zero[7]
    uint64_t order_id
    int64_t quantity
    int64_t price
