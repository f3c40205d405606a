"""Rows for PostgreSQL's binary COPY, made of columns without a Python object a value.

The format: a signature, two words of zeros, then each row as its number of fields and each field as
its length and its bytes, big-endian; at the end a row of -1 fields.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 256 << 10
_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
SMALLINT, INTEGER, BIGINT = 2, 4, 8  # bytes of a value

Column = tuple[int, NDArray[np.int64] | int]  # bytes of a value; the values, or one for all rows


def binary_rows(columns: Sequence[Column], count: int) -> bytes:
    """`count` rows of integers that are never NULL. O(rows x columns).

    A value must fit the bytes of its column: the caller knows that it does.
    """
    fields = [("fields", ">i2")]
    for at, (width, _) in enumerate(columns):
        fields += [(f"length{at}", ">i4"), (f"value{at}", f">i{width}")]
    rows = np.empty(count, np.dtype(fields))
    rows["fields"] = len(columns)
    for at, (width, values) in enumerate(columns):
        rows[f"length{at}"] = width
        rows[f"value{at}"] = values
    return rows.tobytes()


async def binary_copy(rows: bytes) -> AsyncIterator[bytes]:
    """The rows as COPY reads them, in chunks."""
    yield _BEGIN
    for at in range(0, len(rows), CHUNK_BYTES):
        yield rows[at : at + CHUNK_BYTES]
    yield _END
