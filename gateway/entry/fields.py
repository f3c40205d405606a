"""Reading fields of what comes in: JSON, tonnes, prices, labels; Refused names what is wrong."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from exchange.messages.reasons import EdgeReason, Reason
from exchange.messages.scan import json_depth
from exchange.reference.venue import Market
from exchange.settings import BODY_BYTES_MAX, CLIENT_ORDER_ID_BYTES_MAX, JSON_DEPTH_MAX
from gateway.entry.decimals import INT64_MAX, to_minor, to_tonnes
from gateway.refusal import Refused
from gateway.rest.choices import told

VALID_MS_MAX = 65_535
_SAID = {  # by msgspec's own words
    "unknown field": EdgeReason.UNKNOWN_FIELD,
    "missing required field": EdgeReason.MISSING_FIELD,
}
_T = TypeVar("_T")


def decode(data: bytes, decoder: msgspec.json.Decoder[_T], bytes_max: int = BODY_BYTES_MAX) -> _T:
    """A JSON message of the decoder's type; Refused with number, field and fault. O(bytes).

    No message that fits its type is nested deeper than JSON_DEPTH_MAX: it is looked for in others.
    """
    if len(data) > bytes_max:
        raise Refused(EdgeReason.BODY_TOO_LARGE, f"{len(data)} bytes, at most {bytes_max}")
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if json_depth(data) > JSON_DEPTH_MAX:
            text = f"it is nested deeper than {JSON_DEPTH_MAX}"
            raise Refused(EdgeReason.MALFORMED_JSON, text) from None
        if isinstance(error, msgspec.ValidationError):
            raise invalid(error, decoder.type) from None
        raise Refused(EdgeReason.MALFORMED_JSON, str(error)) from None


def unpack(
    data: bytes, decoder: msgspec.msgpack.Decoder[_T], bytes_max: int = BODY_BYTES_MAX
) -> _T:
    """A MessagePack message of the decoder's type; Refused as `decode` does. O(bytes)."""
    if len(data) > bytes_max:
        raise Refused(EdgeReason.BODY_TOO_LARGE, f"{len(data)} bytes, at most {bytes_max}")
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise invalid(error, decoder.type) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(EdgeReason.MALFORMED_JSON, f"as MessagePack: {error}") from None


def invalid(error: msgspec.ValidationError, kind: Any, where: str = "") -> Refused:
    """The refusal of what is no `kind`, with the words that a field may have. O(fields)."""
    text = where + told(error, kind)
    found = next((reason for words, reason in _SAID.items() if words in text), None)
    return Refused(found or EdgeReason.INVALID_FIELD, text)


def valid_ms(value: int) -> int:
    """A receive window that fits its field; Refused (INVALID_FIELD)."""
    if not 0 <= value <= VALID_MS_MAX:
        raise Refused(EdgeReason.INVALID_FIELD, f"valid_ms: {value} is outside 0..{VALID_MS_MAX}")
    return value


def tonnes(value: int | str) -> int:
    """A quantity of at least one tonne that fits 64 bits; the instrument's limits are later."""
    quantity = to_tonnes(value)
    if quantity <= 0:
        raise Refused(Reason.QUANTITY_NOT_POSITIVE, f"quantity {quantity}")
    if quantity > INT64_MAX:
        raise Refused(Reason.QUANTITY_ABOVE_MAX, f"quantity {quantity} does not fit 64 bits")
    return quantity


def instruction_id(name: str, value: int) -> int:
    """The id of an instruction; Refused (INVALID_FIELD)."""
    if not 0 <= value <= INT64_MAX:
        raise Refused(EdgeReason.INVALID_FIELD, f"{name}: {value} is no id of an instruction")
    return value


def order_number(name: str, value: int) -> int:
    """The id of an order or an account that a request names; Refused (INVALID_FIELD)."""
    if not 0 < value <= INT64_MAX:
        raise Refused(EdgeReason.INVALID_FIELD, f"{name}: {value} is no number that the venue gave")
    return value


def limit_price(text: str, market: Market) -> int:
    """A price above zero in minor units; the instrument's tick and band are later."""
    if not text:
        raise Refused(EdgeReason.MISSING_FIELD, 'price: it needs one, such as "71.25"')
    price = to_minor(text, market.minor_digits)
    if price <= 0:
        raise Refused(Reason.PRICE_NOT_POSITIVE, f"price {text}")
    return price


def label(text: str) -> bytes:
    """A client order id as it stands in a command; Refused (INVALID_FIELD)."""
    is_plain = text.isascii() and (text.isprintable() or not text)
    if not is_plain or len(text) > CLIENT_ORDER_ID_BYTES_MAX:
        raise Refused(
            EdgeReason.INVALID_FIELD,
            f"client_order_id: {text[:40]!r} is not printable ASCII of at most "
            f"{CLIENT_ORDER_ID_BYTES_MAX} characters",
        )
    return text.encode()
