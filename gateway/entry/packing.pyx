# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The commonest request, made a command without a detour: a limit order without terms.

`plain_limit` gives the bytes which `gateway.entry.order_commands.new_order` gives, or None for
whatever is not plain or not right: that is judged, and refused in words, there. Tests compare the
two.
`PlainOrders` does it for many of one key at once, as far as all is plain.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    bint PyUnicode_IS_ASCII(object text)

from gateway.entry.struct_fields cimport field, place_of

from exchange.messages.orders import NewOrderSingle
from exchange.settings import SESSION_BATCH_MAX

cdef enum:
    NEW_ORDER = 1
    LIMIT = 2
    PRICE_LETTERS_MAX = 14  # so that it fits 64 bits with four minor digits
    LABEL_BYTES_MAX = 16
    VALID_MS_MAX = 65535

cdef packed struct Record:
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
    char client_order_id[LABEL_BYTES_MAX]

cdef struct Places:
    Py_ssize_t symbol, account, side, quantity, price, order_type, time_in_force, client_order_id
    Py_ssize_t valid_ms, stop_price, display_quantity, minimum_quantity, expire_date, post_only
    Py_ssize_t self_trade_prevention, is_persistent, ref

cdef Places AT
AT.symbol = place_of(NewOrderSingle, "symbol")
AT.account = place_of(NewOrderSingle, "account")
AT.side = place_of(NewOrderSingle, "side")
AT.quantity = place_of(NewOrderSingle, "quantity")
AT.price = place_of(NewOrderSingle, "price")
AT.order_type = place_of(NewOrderSingle, "order_type")
AT.time_in_force = place_of(NewOrderSingle, "time_in_force")
AT.client_order_id = place_of(NewOrderSingle, "client_order_id")
AT.valid_ms = place_of(NewOrderSingle, "valid_ms")
AT.stop_price = place_of(NewOrderSingle, "stop_price")
AT.display_quantity = place_of(NewOrderSingle, "display_quantity")
AT.minimum_quantity = place_of(NewOrderSingle, "minimum_quantity")
AT.expire_date = place_of(NewOrderSingle, "expire_date")
AT.post_only = place_of(NewOrderSingle, "post_only")
AT.self_trade_prevention = place_of(NewOrderSingle, "self_trade_prevention")
AT.is_persistent = place_of(NewOrderSingle, "is_persistent")
AT.ref = place_of(NewOrderSingle, "ref")

cdef int64_t QUANTITY_MAX = 9223372036854775807
cdef dict _TIME_IN_FORCE = {"DAY": 0, "GTC": 1, "IOC": 3, "FOK": 4}


def plain_limit(object request, uint32_t session, uint16_t instrument, int minor_digits):
    """The 64 bytes of a plain limit order (a NewOrderSingle), None for any other. O(1).

    `session`, `instrument`: their numbers; `minor_digits` of the market. The caller has checked
    symbol, account and ref.
    """
    if type(request) is not NewOrderSingle:
        raise TypeError(f"{type(request).__name__} is no NewOrderSingle")
    cdef object price = field(request, AT.price)
    cdef object quantity = field(request, AT.quantity)
    cdef object label = field(request, AT.client_order_id)
    cdef object time_in_force = _TIME_IN_FORCE.get(field(request, AT.time_in_force))
    cdef object valid_ms = field(request, AT.valid_ms)  # of any size so far
    cdef Record record
    if (
        time_in_force is None
        or type(quantity) is not int
        or not 0 < quantity <= QUANTITY_MAX
        or not 0 <= valid_ms <= VALID_MS_MAX
        or field(request, AT.order_type) != "LIMIT"
        or field(request, AT.stop_price)
        or field(request, AT.display_quantity)
        or field(request, AT.minimum_quantity)
        or field(request, AT.expire_date) is not None
        or field(request, AT.post_only)
        or field(request, AT.self_trade_prevention)
        or not field(request, AT.is_persistent)
    ):
        return None
    memset(&record, 0, sizeof(record))
    record.price = _price(price, minor_digits)
    if record.price <= 0 or not _label(label, record.client_order_id):
        return None
    record.kind = NEW_ORDER
    record.order_type = LIMIT
    record.side = 1 if field(request, AT.side) == "BUY" else 2
    record.time_in_force = time_in_force
    record.instrument_id = instrument
    record.valid_ms = valid_ms
    record.account_id = field(request, AT.account)
    record.session_id = session
    record.ref = field(request, AT.ref)
    record.quantity = quantity
    return PyBytes_FromStringAndSize(<char*>&record, sizeof(record))


cdef class _Traded:
    cdef uint16_t id
    cdef object market
    cdef int minor_digits


cdef class PlainOrders:
    """The plain limit orders of one key, run by run."""

    cdef uint32_t _session
    cdef dict _traded  # by symbol
    cdef dict _own  # market -> accounts of the key's participant

    def __init__(self, uint32_t session, own, instruments):
        """`own`: accounts by market; `instruments`: (symbol, id, market, minor digits) of each."""
        cdef _Traded traded
        self._session = session
        self._own = dict(own)
        self._traded = {}
        for symbol, number, market, digits in instruments:
            traded = self._traded[symbol] = _Traded()
            traded.id, traded.market, traded.minor_digits = number, market, digits

    def market_of(self, request):
        """The market to which a request goes by this way; None: it does not. O(1)."""
        if type(request) is not NewOrderSingle:
            return None
        cdef _Traded traded = self._traded.get(field(request, AT.symbol))
        return None if traded is None else traded.market

    def pack(self, list requests not None, Py_ssize_t start, int64_t ref_above, int64_t ref_max):
        """The commands of `requests[start:end]`, which share a market and a receive window.

        Gives (end, last ref, window, commands); nothing (end = start) if the first is not plain.
        Refs rise above `ref_above` and go to `ref_max`; at most SESSION_BATCH_MAX. O(requests).
        """
        cdef Py_ssize_t index, end = min(len(requests), start + <Py_ssize_t>SESSION_BATCH_MAX)
        cdef _Traded traded
        cdef list commands = []
        market = self.market_of(requests[start])
        if market is None:
            return start, ref_above, 0, commands
        own = self._own.get(market, ())
        valid_ms = field(requests[start], AT.valid_ms)
        index = start
        while index < end:
            request = requests[index]
            if type(request) is not NewOrderSingle or field(request, AT.valid_ms) != valid_ms:
                break
            traded = self._traded.get(field(request, AT.symbol))
            if traded is None or traded.market is not market:
                break
            if field(request, AT.account) not in own:
                break
            number = field(request, AT.ref)
            if not ref_above < number <= ref_max:
                break
            command = plain_limit(request, self._session, traded.id, traded.minor_digits)
            if command is None:
                break
            ref_above = number
            commands.append(command)
            index += 1
        return index, ref_above, valid_ms, commands


cdef int64_t _price(object text, int minor_digits) except? -2:
    """A plain decimal in minor units; -1 where it is none, has too many digits or decimals."""
    cdef Py_ssize_t size, at
    cdef int decimals = -1  # -1: before the point
    cdef int64_t value = 0
    cdef char letter
    if not PyUnicode_IS_ASCII(text):
        return -1
    cdef const char* data = PyUnicode_AsUTF8AndSize(text, &size)
    if not 0 < size <= PRICE_LETTERS_MAX:
        return -1
    for at in range(size):
        letter = data[at]
        if letter == c"." and decimals < 0 and 0 < at < size - 1:
            decimals = 0
        elif c"0" <= letter <= c"9":
            value = value * 10 + (letter - c"0")
            if decimals >= 0:
                decimals += 1
        else:
            return -1
    if decimals < 0:
        decimals = 0
    if decimals > minor_digits:
        return -1
    while decimals < minor_digits:
        value *= 10
        decimals += 1
    return value


cdef bint _label(object text, char* place) except -1:
    """Copies a label of printable ASCII; False where it is none."""
    cdef Py_ssize_t size, at
    if not PyUnicode_IS_ASCII(text):
        return False
    cdef const char* data = PyUnicode_AsUTF8AndSize(text, &size)
    if size > LABEL_BYTES_MAX:
        return False
    for at in range(size):
        if not 0x20 <= data[at] < 0x7F:
            return False
    memcpy(place, data, size)
    return True
