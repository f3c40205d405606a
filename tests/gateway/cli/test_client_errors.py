"""The client's exceptions have the names of CCXT, under the same roots."""

from __future__ import annotations

from exchange.messages.reasons import REASONS
from gateway.client import (
    CCXT_NAMES,
    OperationFailedError,
    RefusedError,
    VenueError,
)
from gateway.client.errors import error_class

CCXT = {  # class: the one above it, as CCXT 4.5 has them
    "BaseError": "",
    "ExchangeError": "BaseError",
    "AuthenticationError": "ExchangeError",
    "PermissionDenied": "AuthenticationError",
    "BadRequest": "ExchangeError",
    "OperationRejected": "ExchangeError",
    "MarketClosed": "OperationRejected",
    "InsufficientFunds": "ExchangeError",
    "InvalidOrder": "ExchangeError",
    "OrderNotFound": "InvalidOrder",
    "OrderNotCached": "InvalidOrder",
    "DuplicateOrderId": "InvalidOrder",
    "OperationFailed": "BaseError",
    "NetworkError": "OperationFailed",
    "RateLimitExceeded": "NetworkError",
    "ExchangeNotAvailable": "NetworkError",
    "RequestTimeout": "NetworkError",
}


def every(kind: type[VenueError]) -> set[type[VenueError]]:
    return {kind}.union(*(every(below) for below in kind.__subclasses__()))


def root(name: str) -> str:
    while CCXT[name] not in ("", "BaseError"):
        name = CCXT[name]
    return name


def test_each_exception_has_a_name_in_ccxt() -> None:
    assert set(CCXT_NAMES) == every(VenueError)
    assert set(CCXT_NAMES.values()) <= set(CCXT)


def test_what_may_be_sent_again_is_the_same_there() -> None:
    for kind, name in CCXT_NAMES.items():
        if issubclass(kind, RefusedError):
            assert root(name) == "ExchangeError", kind
        elif issubclass(kind, OperationFailedError):
            assert root(name) == "OperationFailed", kind


def test_every_reason_has_an_exception_in_the_table() -> None:
    for number in REASONS:
        assert error_class(number) in CCXT_NAMES
