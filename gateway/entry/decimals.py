"""Decimal strings of a request -> integers: exact, nothing is rounded.

The way back, `from_minor`, is `exchange.decimals`, which the venue's own files need too.
"""

from __future__ import annotations

import re

from exchange.messages.reasons import EdgeReason
from gateway.refusal import Refused

INT64_MAX = 2**63 - 1
_DECIMAL = re.compile(r"(-?)([0-9]{1,19})(?:\.([0-9]{1,19}))?")
_DIGITS_MAX = 20  # of a whole number in a path or a header
_INTEGER = re.compile(r"-?[0-9]{1,40}")


def to_minor(text: str, digits: int, field: str = "price") -> int:
    """`71.25` -> 7125 with two minor digits.

    Refused: INVALID_FIELD if it is no plain decimal or leaves 64 bits, PRICE_TOO_FINE if it has
    more decimals than the minor unit (trailing zeros are fine).
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise Refused(
            EdgeReason.INVALID_FIELD, f'{field}: {text[:40]!r} is no decimal number such as "71.25"'
        )
    sign, whole, fraction = match[1], match[2], (match[3] or "").rstrip("0")
    if len(fraction) > digits:
        raise Refused(EdgeReason.PRICE_TOO_FINE, f"{field}: {text} has more than {digits} decimals")
    value = int(whole + fraction.ljust(digits, "0"))
    if value > INT64_MAX:
        raise Refused(EdgeReason.INVALID_FIELD, f"{field}: {text} does not fit 64 bits")
    return -value if sign else value


def whole_number(text: str) -> int | None:
    """An unsigned number of a path or a header; None for any other text.

    ASCII digits only, few enough that `int` cannot fail.
    """
    is_whole = text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
    return int(text) if is_whole else None


def to_tonnes(value: int | str, field: str = "quantity") -> int:
    """A JSON integer or a string of digits -> int (any size; the caller bounds it)."""
    if isinstance(value, int):
        return value
    if _INTEGER.fullmatch(value) is None:
        raise Refused(
            EdgeReason.INVALID_FIELD, f"{field}: {value[:40]!r} is no whole number of tonnes"
        )
    return int(value)
