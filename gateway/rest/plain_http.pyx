# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The plainest requests and answers of HTTP/1.1, read and written where they lie.

`read_plain` reads one whole request out of the bytes that came together, `write_plain` makes the
bytes of an answer. Both know a part of the language that nobody can understand otherwise; for all
else they give None, and the server's parser, or the general way of writing, judges it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.object cimport PyObject
from libc.stdio cimport snprintf
from libc.string cimport memcmp, memcpy

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    bint PyUnicode_Check(object text)
    bint PyUnicode_IS_ASCII(object text)
    object PyUnicode_DecodeLatin1(const char* text, Py_ssize_t size, const char* errors)

cdef enum:
    NAME_BYTES_MAX = 48
    LENGTH_DIGITS_MAX = 9  # so that it fits 32 bits
    LENGTH_LINE_BYTES_MAX = 48

cdef char LOWER[256]  # letters, digits and hyphens of a name in lower case; 0: anything else
cdef char IN_TARGET[256]  # what a path and a query may have and still mean themselves

cdef int code
for code in range(256):
    LOWER[code] = 0
    if c"a" <= code <= c"z" or c"0" <= code <= c"9" or code == c"-":
        LOWER[code] = code
    elif c"A" <= code <= c"Z":
        LOWER[code] = code + 32
    IN_TARGET[code] = LOWER[code] or (code and chr(code) in "._~/?=&,:+@")

cdef dict METHODS = {b"GET": "GET", b"POST": "POST", b"PUT": "PUT", b"DELETE": "DELETE"}


def read_plain(
    bytes data not None, Py_ssize_t body_max, Py_ssize_t lines_max, Py_ssize_t header_bytes_max
):
    """Method, target, path, query, headers and body of the one request that `data` is, or None.

    None: it is not whole, or more than one; it names a length otherwise than by its digits, a way
    to be encoded or what should become of the connection; a header stands twice, or a letter stands
    in it that not everybody reads alike; or it is above a limit. O(bytes).
    """
    cdef const char* text = PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t at = 0, begin, mark, length = 0, lines = 0, counted = 0
    cdef Py_ssize_t name_size
    cdef char name[NAME_BYTES_MAX]
    while at < size and text[at] != c" ":
        at += 1
        if at > 6:
            return None
    method = METHODS.get(data[:at])
    begin = at + 1
    if method is None or begin >= size or text[begin] != c"/":
        return None
    at, mark = begin, -1
    while at < size and IN_TARGET[<unsigned char>text[at]]:
        if mark < 0 and text[at] == c"?":
            mark = at
        at += 1
    if size - at < 13 or memcmp(text + at, b" HTTP/1.1\r\n", 11) != 0:
        return None
    target = PyUnicode_DecodeLatin1(text + begin, at - begin, NULL)
    path = target
    query = b""
    if mark >= 0:
        path = PyUnicode_DecodeLatin1(text + begin, mark - begin, NULL)
        query = PyBytes_FromStringAndSize(text + mark + 1, at - mark - 1)
    at += 11
    cdef dict headers = {}
    while True:
        if size - at < 2:
            return None
        if text[at] == c"\r":
            if text[at + 1] != c"\n":
                return None
            at += 2
            break
        name_size = 0
        while at < size and LOWER[<unsigned char>text[at]]:
            if name_size == NAME_BYTES_MAX:
                return None
            name[name_size] = LOWER[<unsigned char>text[at]]
            name_size += 1
            at += 1
        if not name_size or at >= size or text[at] != c":":
            return None
        at += 1
        while at < size and text[at] == c" ":
            at += 1
        begin = at
        while at < size and c" " <= text[at] <= c"~":
            at += 1
        if at == begin or size - at < 2 or text[at] != c"\r" or text[at + 1] != c"\n":
            return None
        if text[at - 1] == c" " or _is_special(name, name_size, text + begin, at - begin):
            return None
        if name_size == 14 and memcmp(name, b"content-length", 14) == 0:
            length = _digits(text + begin, at - begin)
            if not 0 <= length <= body_max:
                return None
        lines += 1
        counted += name_size + at - begin
        if lines > lines_max or counted > header_bytes_max:
            return None
        headers[PyUnicode_DecodeLatin1(name, name_size, NULL)] = PyUnicode_DecodeLatin1(
            text + begin, at - begin, NULL
        )
        at += 2
    if len(headers) != lines or size - at != length:
        return None
    return method, target, path, query, headers, data[at:]


def write_plain(
    bytes status not None, list defaults not None, str media_type not None, dict headers not None,
    bytes content not None, bint keeps_open,
):
    """The answer's bytes; None where a name or a value is not printable ASCII. O(bytes).

    `status` is the whole first line, `defaults` are pairs of bytes that stand before all others.
    """
    cdef char told[LENGTH_LINE_BYTES_MAX]
    cdef const char* ending = b"\r\n" if keeps_open else b"connection: close\r\n\r\n"
    cdef Py_ssize_t ending_size = 2 if keeps_open else 21
    cdef Py_ssize_t told_size = snprintf(
        told, LENGTH_LINE_BYTES_MAX, b"\r\ncontent-length: %zd\r\n", PyBytes_GET_SIZE(content)
    )
    cdef Py_ssize_t size = PyBytes_GET_SIZE(status) + 14 + told_size + ending_size
    cdef Py_ssize_t place = 0, length = 0
    cdef PyObject* name
    cdef PyObject* value
    cdef bytes first, second
    cdef char* out
    for first, second in defaults:
        size += PyBytes_GET_SIZE(first) + PyBytes_GET_SIZE(second) + 4
    if not _is_printable(media_type, &length):
        return None
    size += length + PyBytes_GET_SIZE(content)
    while PyDict_Next(headers, &place, &name, &value):
        if not _is_printable(<object>name, &length):
            return None
        size += length + 4
        if not _is_printable(<object>value, &length):
            return None
        size += length
    made = PyBytes_FromStringAndSize(NULL, size)
    out = _put(PyBytes_AS_STRING(made), PyBytes_AS_STRING(status), PyBytes_GET_SIZE(status))
    for first, second in defaults:
        out = _line(
            out, PyBytes_AS_STRING(first), PyBytes_GET_SIZE(first),
            PyBytes_AS_STRING(second), PyBytes_GET_SIZE(second), False,
        )
    out = _put(out, b"content-type: ", 14)
    out = _put(out, PyUnicode_AsUTF8AndSize(media_type, &length), length)
    out = _put(out, told, told_size)
    place = 0
    while PyDict_Next(headers, &place, &name, &value):
        out = _named(out, <object>name, <object>value)
    out = _put(out, ending, ending_size)
    memcpy(out, PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content))
    return made


cdef char* _put(char* out, const char* text, Py_ssize_t size) noexcept:
    memcpy(out, text, size)
    return out + size


cdef char* _named(char* out, object name, object value) except NULL:
    cdef Py_ssize_t name_size = 0, size = 0
    cdef const char* letters = PyUnicode_AsUTF8AndSize(name, &name_size)
    cdef const char* said = PyUnicode_AsUTF8AndSize(value, &size)
    return _line(out, letters, name_size, said, size, True)


cdef char* _line(
    char* out, const char* name, Py_ssize_t name_size, const char* value, Py_ssize_t size,
    bint lowers,
) noexcept:
    cdef Py_ssize_t at
    for at in range(name_size):
        out[at] = name[at] + 32 if lowers and c"A" <= name[at] <= c"Z" else name[at]
    out = _put(out + name_size, b": ", 2)
    return _put(_put(out, value, size), b"\r\n", 2)


cdef int _is_printable(object text, Py_ssize_t* size) except -1:
    cdef const char* letters
    cdef Py_ssize_t at
    if not PyUnicode_Check(text) or not PyUnicode_IS_ASCII(text):
        return False
    letters = PyUnicode_AsUTF8AndSize(text, size)
    for at in range(size[0]):
        if not c" " <= letters[at] <= c"~":
            return False
    return True


cdef bint _is_special(
    const char* name, Py_ssize_t name_size, const char* value, Py_ssize_t size
) noexcept:
    """Whether a header changes how the request is read, or what becomes of its connection."""
    if name_size == 10 and memcmp(name, b"connection", 10) == 0:
        return not _is_keep_alive(value, size)
    if name_size == 16:
        return memcmp(name, b"proxy-connection", 16) == 0
    if name_size == 17:
        return memcmp(name, b"transfer-encoding", 17) == 0
    if name_size == 7:
        return memcmp(name, b"upgrade", 7) == 0
    return name_size == 6 and memcmp(name, b"expect", 6) == 0


cdef bint _is_keep_alive(const char* value, Py_ssize_t size) noexcept:
    cdef Py_ssize_t at
    if size != 10:
        return False
    for at in range(10):
        if LOWER[<unsigned char>value[at]] != b"keep-alive"[at]:
            return False
    return True


cdef Py_ssize_t _digits(const char* text, Py_ssize_t size) noexcept:
    """The number that the digits say; -1: other letters, or too many."""
    cdef Py_ssize_t at, found = 0
    if size > LENGTH_DIGITS_MAX:
        return -1
    for at in range(size):
        if not c"0" <= text[at] <= c"9":
            return -1
        found = found * 10 + text[at] - c"0"
    return found
