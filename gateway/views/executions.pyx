# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""An execution report as it is kept: numbers, from which the words are made for who reads them.

Most reports are never read by anybody but the session they go to, as JSON: `json_array` writes
that straight from the numbers, to the byte what msgspec makes of `Execution.report()`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from gateway.entry.struct_fields cimport field, place_of
from matching.layout cimport (
    FROM_QUOTE,
    NON_PERSISTENT,
    POST_ONLY,
    POST_ONLY_REPRICE,
    QUOTE_SELL_BIT,
    SELF_TRADE_SHIFT,
)

import msgspec

from exchange.decimals import from_minor
from exchange.messages.executions import ExecutionReport
from exchange.messages.orders import NewOrderSingle
from exchange.messages.reasons import reason_text
from gateway.entry import order_commands

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum:
    REPORT_BYTES_MAX = 1_024  # of one that is written here: its words are short, its numbers few
    WORD_BYTES_MAX = 32
    AVERAGE_DIGITS = 4
    POST_ONLY_BITS = POST_ONLY | POST_ONLY_REPRICE
    SELF_TRADE_BITS = 7 << SELF_TRADE_SHIFT

_POST_ONLY_WORD = {number: word for word, number in order_commands.POST_ONLY.items()}
_SELF_TRADE_WORD = {number: word for word, number in order_commands.SELF_TRADE.items()}
cdef Py_ssize_t ACCOUNT_AT = place_of(NewOrderSingle, "account")
cdef Py_ssize_t REF_AT = place_of(NewOrderSingle, "ref")
cdef Py_ssize_t LABEL_AT = place_of(NewOrderSingle, "client_order_id")
cdef Py_ssize_t SYMBOL_AT = place_of(NewOrderSingle, "symbol")
cdef bytes _PAIRS = b"".join(b"%02d" % number for number in range(100))
cdef const char* PAIRS = _PAIRS
cdef dict _REASONS = {}  # by number, of which there are no more than the engine knows
_encode = msgspec.json.Encoder().encode


cdef class Execution:
    """One report, and which command of its record it answers. Amounts in minor units, tonnes."""

    @property
    def report(self):
        """The report in words. O(1)."""
        row = reason_text(self.reason) if self.reason else None
        return ExecutionReport(
            market=self.market,
            account=self.account,
            exec_type=self.exec_type,
            order_status=self.order_status,
            sequence=self.sequence,
            request_id=self.request_id,
            order_id=self.order_id,
            client_order_id=self.client_order_id,
            ref=self.ref,
            symbol=self.symbol,
            side=self.side,
            order_type=self.order_type,
            time_in_force=self.time_in_force,
            order_quantity=self.quantity,
            leaves_quantity=self.leaves,
            cumulative_quantity=self.cumulative,
            price=from_minor(self.limit, self.digits) if self.limit else "",
            last_quantity=self.last_quantity,
            last_price=from_minor(self.last_price, self.digits) if self.is_trade else "",
            fee=from_minor(self.fee, self.digits) if self.is_trade else "",
            liquidity=self.liquidity,
            trade_id=self.trade_id,
            transact_time_ns=self.time_ns,
            reason=self.reason,
            title=row.name if row else "",
            text=(f"{self.detail}. {row.text}" if self.detail else row.text) if row else "",
            stop_price=from_minor(self.stop_price, self.digits) if self.stop_price else "",
            display_quantity=self.display,
            minimum_quantity=self.minimum,
            expire_date=_day(self.expire_date),
            post_only=_POST_ONLY_WORD.get(self.instructions & POST_ONLY_BITS, ""),
            self_trade_prevention=_SELF_TRADE_WORD.get(self.instructions & SELF_TRADE_BITS, ""),
            is_persistent=not self.instructions & NON_PERSISTENT,
            trade_method=self.trade_method,
            affected_orders=self.affected,
            average_price=(
                from_minor(_average(self), self.digits + AVERAGE_DIGITS) if self.cumulative else ""
            ),
            quote_id=_quote_id(self),
        )

    cdef Execution copy(self):
        cdef Execution made = Execution.__new__(Execution)
        made.market, made.digits = self.market, self.digits
        made.exec_type, made.order_status = self.exec_type, self.order_status
        made.client_order_id, made.symbol, made.side = (
            self.client_order_id, self.symbol, self.side
        )  # fmt: skip
        made.order_type, made.time_in_force = self.order_type, self.time_in_force
        made.liquidity, made.trade_method = self.liquidity, self.trade_method
        made.detail = self.detail
        made.command_index, made.participant = self.command_index, self.participant
        made.account, made.sequence = self.account, self.sequence
        made.request_id, made.ref, made.order_id = self.request_id, self.ref, self.order_id
        made.quantity, made.leaves = self.quantity, self.leaves
        made.cumulative, made.traded, made.limit = self.cumulative, self.traded, self.limit
        made.last_quantity, made.last_price = self.last_quantity, self.last_price
        made.fee, made.trade_id = self.fee, self.trade_id
        made.time_ns, made.reason = self.time_ns, self.reason
        made.stop_price, made.display, made.minimum = self.stop_price, self.display, self.minimum
        made.expire_date, made.instructions = self.expire_date, self.instructions
        made.affected = self.affected
        made.is_answer, made.is_trade = self.is_answer, self.is_trade
        return made


def pendings(list requests not None, str market not None, int64_t position):
    """PENDING for new orders that stand on the log one behind the other from `position` on."""
    cdef Execution made
    cdef list found = []
    for request in requests:
        if type(request) is not NewOrderSingle:
            raise TypeError(f"{type(request).__name__} is no NewOrderSingle")
        made = Execution.__new__(Execution)
        made.market = market
        made.account, made.ref = field(request, ACCOUNT_AT), field(request, REF_AT)
        made.exec_type = made.order_status = "PENDING"
        made.request_id = made.order_id = position
        made.client_order_id, made.symbol = field(request, LABEL_AT), field(request, SYMBOL_AT)
        made.side = made.order_type = made.time_in_force = made.liquidity = made.trade_method = ""
        made.detail = ""
        found.append(made)
        position += 1
    return found


def json_array(list messages not None):
    """The messages of a session as one JSON array: `Execution`s and structs. O(bytes)."""
    cdef _Text text = _Text()
    cdef Py_ssize_t before
    text.letter(b"[")
    for message in messages:
        if text.size > 1:
            text.letter(b",")
        before = text.size
        if type(message) is Execution:
            if _write(text, <Execution>message):
                continue
            text.size = before
            message = message.report
        text.put(_encode(message))
    text.letter(b"]")
    return text.taken()


cdef class _Text:
    cdef char* data
    cdef Py_ssize_t size, room

    def __cinit__(self):
        self.room = 4 * REPORT_BYTES_MAX
        self.data = <char*>malloc(self.room)
        if self.data == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.data)

    cdef int want(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t room = self.room
        cdef char* data
        if self.size + more <= room:
            return 0
        while self.size + more > room:
            room *= 2
        data = <char*>realloc(self.data, room)
        if data == NULL:
            raise MemoryError
        self.data, self.room = data, room
        return 0

    cdef int letter(self, char letter) except -1:
        self.want(1)
        self.data[self.size] = letter
        self.size += 1
        return 0

    cdef int put(self, bytes data) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        self.want(size)
        memcpy(self.data + self.size, PyBytes_AS_STRING(data), size)
        self.size += size
        return 0

    cdef bytes taken(self):
        return PyBytes_FromStringAndSize(self.data, self.size)


# -- writing: the room for a whole report is there ------------------------------------------------


cdef inline void _raw(_Text text, const char* data, Py_ssize_t size) noexcept:
    memcpy(text.data + text.size, data, size)
    text.size += size


cdef void _digits(_Text text, uint64_t value) noexcept:
    """Two at a time: a division takes longer than what it finds."""
    cdef char digits[20]
    cdef int at = 20
    while value >= 100:
        at -= 2
        memcpy(&digits[at], &PAIRS[2 * (value % 100)], 2)
        value //= 100
    if value >= 10:
        at -= 2
        memcpy(&digits[at], &PAIRS[2 * value], 2)
    else:
        at -= 1
        digits[at] = <char>(c"0" + value)
    _raw(text, &digits[at], 20 - at)


cdef void _number(_Text text, const char* key, Py_ssize_t size, int64_t value) noexcept:
    """A number that is not left out; one at its default is."""
    if value == 0:
        return
    _raw(text, key, size)
    if value < 0:
        _raw(text, b"-", 1)
        _digits(text, <uint64_t>-value)
    else:
        _digits(text, <uint64_t>value)


cdef void _decimal(
    _Text text, const char* key, Py_ssize_t size, int64_t value, int digits
) noexcept:
    cdef int64_t scale = 1
    cdef int _at
    _raw(text, key, size)
    _raw(text, b'"', 1)
    if value < 0:
        _raw(text, b"-", 1)
        value = -value
    for _at in range(digits):
        scale *= 10
    _digits(text, <uint64_t>(value // scale))
    if digits:
        _raw(text, b".", 1)
        value %= scale
        for _at in range(digits):
            scale //= 10
            text.data[text.size] = <char>(c"0" + value // scale % 10)
            text.size += 1
    _raw(text, b'"', 1)


cdef bint _word(_Text text, const char* key, Py_ssize_t size, object word) except -1:
    """A word that needs no escaping; False for one that does. An empty one is left out."""
    cdef Py_ssize_t length, at
    cdef uint8_t letter
    cdef bint is_odd = False
    cdef const char* letters = PyUnicode_AsUTF8AndSize(word, &length)
    if length == 0:
        return True
    if length > WORD_BYTES_MAX:
        return False
    for at in range(length):  # all of them, which is faster than to stop at the first
        letter = <uint8_t>letters[at]
        is_odd |= letter < 0x20 or letter >= 0x7F or letter == c'"' or letter == c"\\"
    if is_odd:
        return False
    _raw(text, key, size)
    _raw(text, b'"', 1)
    _raw(text, letters, length)
    _raw(text, b'"', 1)
    return True


cdef bint _write(_Text text, Execution e) except -1:
    """The report as JSON; False, and nothing of worth, where it needs msgspec's care."""
    if e.order_status == "" or e.expire_date:
        return False
    text.want(REPORT_BYTES_MAX)
    _raw(text, b'{"type":"ExecutionReport"', 25)
    if not _word(text, b',"market":', 10, e.market):
        return False
    _raw(text, b',"account":', 11)
    _digits(text, <uint64_t>e.account)
    if not _word(text, b',"exec_type":', 13, e.exec_type):
        return False
    if not _word(text, b',"order_status":', 16, e.order_status):
        return False
    _number(text, b',"sequence":', 12, e.sequence)
    _number(text, b',"request_id":', 14, e.request_id)
    if e.order_id:
        _raw(text, b',"order_id":', 12)
        _digits(text, e.order_id)
    if not _word(text, b',"client_order_id":', 19, e.client_order_id):
        return False
    _number(text, b',"ref":', 7, e.ref)
    if not (
        _word(text, b',"symbol":', 10, e.symbol)
        and _word(text, b',"side":', 8, e.side)
        and _word(text, b',"order_type":', 14, e.order_type)
        and _word(text, b',"time_in_force":', 17, e.time_in_force)
    ):
        return False
    _number(text, b',"order_quantity":', 18, e.quantity)
    _number(text, b',"leaves_quantity":', 19, e.leaves)
    _number(text, b',"cumulative_quantity":', 23, e.cumulative)
    if e.limit:
        _decimal(text, b',"price":', 9, e.limit, e.digits)
    if e.is_trade:
        _number(text, b',"last_quantity":', 17, e.last_quantity)
        _decimal(text, b',"last_price":', 14, e.last_price, e.digits)
        _decimal(text, b',"fee":', 7, e.fee, e.digits)
        _word(text, b',"liquidity":', 13, e.liquidity)
        _number(text, b',"trade_id":', 12, e.trade_id)
    _number(text, b',"transact_time_ns":', 20, e.time_ns)
    if e.reason:
        text.put(_reason(e.reason) if e.detail == "" else _refusal(e.reason, e.detail))
        text.want(REPORT_BYTES_MAX)
    return _write_terms(text, e)


cdef bytes _reason(int64_t number):
    """A reason with its title and text, as they stand in a report. O(1)."""
    found = _REASONS.get(number)
    if found is None:
        row = reason_text(number)
        title, text = _encode(row.name), _encode(row.text)
        found = b',"reason":%d,"title":%b,"text":%b' % (number, title, text)
        _REASONS[number] = found
    return found


cdef bytes _refusal(int64_t number, str detail):
    """A reason behind the figures of a refusal. O(bytes)."""
    row = reason_text(number)
    text = _encode(f"{detail}. {row.text}")
    return b',"reason":%d,"title":%b,"text":%b' % (number, _encode(row.name), text)


cdef bint _write_terms(_Text text, Execution e) except -1:
    if e.stop_price:
        _decimal(text, b',"stop_price":', 14, e.stop_price, e.digits)
    _number(text, b',"display_quantity":', 20, e.display)
    _number(text, b',"minimum_quantity":', 20, e.minimum)
    if e.instructions & POST_ONLY_BITS:
        _word(text, b',"post_only":', 13, _POST_ONLY_WORD.get(e.instructions & POST_ONLY_BITS, ""))
    if e.instructions & SELF_TRADE_BITS:
        word = _SELF_TRADE_WORD.get(e.instructions & SELF_TRADE_BITS, "")
        _word(text, b',"self_trade_prevention":', 25, word)
    if e.instructions & NON_PERSISTENT:
        _raw(text, b',"is_persistent":false', 22)
    _word(text, b',"trade_method":', 16, e.trade_method)
    _number(text, b',"affected_orders":', 19, e.affected)
    if e.cumulative:
        _decimal(text, b',"average_price":', 17, _average(e), e.digits + AVERAGE_DIGITS)
    _number(text, b',"quote_id":', 12, <int64_t>_quote_id(e))
    _raw(text, b"}", 1)
    return True


cdef int64_t _average(Execution e) noexcept:
    """What its fills cost a tonne, cut to AVERAGE_DIGITS more than the currency has."""
    cdef int64_t scale = 10_000
    return e.traded // e.cumulative * scale + e.traded % e.cumulative * scale // e.cumulative


cdef uint64_t _quote_id(Execution e) noexcept:
    return e.order_id & ~<uint64_t>QUOTE_SELL_BIT if e.instructions & FROM_QUOTE else 0


cdef object _day(int64_t date):
    if not date:
        return ""
    return f"{date // 10_000:04}-{date // 100 % 100:02}-{date % 100:02}"
