from libc.stdint cimport int64_t, uint64_t


cdef class Execution:
    cdef str market
    cdef readonly str exec_type, order_status, client_order_id, symbol, side
    cdef readonly str order_type, time_in_force, liquidity, trade_method
    cdef readonly str detail  # the figures of a refusal
    cdef readonly int64_t command_index, participant
    cdef readonly int64_t account, sequence, request_id, ref
    cdef readonly uint64_t order_id
    cdef readonly int64_t quantity, leaves, cumulative, traded, limit
    cdef readonly int64_t last_quantity, last_price, fee, trade_id
    cdef readonly int64_t time_ns, reason
    cdef readonly int64_t stop_price, display, minimum, expire_date, instructions
    cdef readonly int64_t affected
    cdef readonly bint is_answer, is_trade
    cdef int digits

    cdef Execution copy(self)
