"""What can go wrong, as exceptions: made from the venue's numbered reasons by one table.

Two roots below VenueError: RefusedError (the same request will be refused again) and
OperationFailedError (it may be sent again). `CCXT_NAMES` gives each its name among CCXT's
exceptions, below the same root, so that an adapter needs no more than that table.
"""

from __future__ import annotations

from typing import Any

from exchange.messages.reasons import AccessReason, EdgeReason, Reason, reason_text


class VenueError(Exception):
    """The venue's answer was no. `reason` is its number, 0 when there was no answer."""

    def __init__(
        self, reason: int, text: str, *, retry_after_ms: int = 0, report: Any = None
    ) -> None:
        self.reason = reason
        self.title = reason_text(reason).name if reason else "NO_ANSWER"
        self.text = text
        self.retry_after_ms = retry_after_ms
        self.report = report  # the execution or instruction report, where there is one
        super().__init__(f"{reason} {self.title}: {text}")


class RefusedError(VenueError):
    """Refused for what it says: do not send it again unchanged."""


class BadRequestError(RefusedError):
    """The request has a form that the venue does not take."""


class AuthenticationError(RefusedError):
    """Unknown key, bad or replayed signature."""


class PermissionDeniedError(RefusedError):
    """The key's role may not, or the account is another's."""


class InvalidOrderError(RefusedError):
    """Quantity, price, type or value is not allowed for the instrument."""


class DuplicateOrderError(InvalidOrderError):
    """The client order id names another order."""


class OrderNotFoundError(RefusedError):
    """No such order, instruction or route."""


class InsufficientFundsError(RefusedError):
    """The account's cash or units do not cover it."""


class RefNotTakenError(RefusedError):
    """The number stands for nothing or for another request: only a new one can be done."""


class RefForgottenError(RefusedError):
    """Too old to be told whether it was done: ask for orders or positions, never send it anew."""


class MarketClosedError(RefusedError):
    """The phase does not allow it."""


class RegistryRefusedError(RefusedError):
    """The registry or its rulebook refused: `report` names rule and source."""


class SettlementRefusedError(RefusedError):
    """Settlement refused what was asked about a trade."""


class OperationFailedError(VenueError):
    """Nothing is wrong with the request itself: it may be sent again."""


class NetworkError(OperationFailedError, ConnectionError):
    """The venue could not be reached."""


class RateLimitError(OperationFailedError):
    """Too many messages: wait `retry_after_ms`."""


class VenueBusyError(OperationFailedError):
    """The venue takes nothing now: wait `retry_after_ms`."""


class StatusUnknownError(OperationFailedError):
    """The request may have been taken: send it again with the same ref, never as a new one."""


_BY_NUMBER: dict[int, type[VenueError]] = {
    Reason.UNKNOWN_ACCOUNT: PermissionDeniedError,
    Reason.UNKNOWN_ORDER: OrderNotFoundError,
    Reason.EXPIRED: OperationFailedError,
    Reason.MARKET_CLOSED: MarketClosedError,
    Reason.MARKET_HALTED: MarketClosedError,
    Reason.INSUFFICIENT_CASH: InsufficientFundsError,
    Reason.INSUFFICIENT_UNITS: InsufficientFundsError,
    EdgeReason.TIMESTAMP_OUTSIDE_WINDOW: AuthenticationError,
    EdgeReason.ROLE_NOT_ALLOWED: PermissionDeniedError,
    EdgeReason.NOT_OWN_ACCOUNT: PermissionDeniedError,
    EdgeReason.THROTTLED: RateLimitError,
    AccessReason.ORDER_TO_TRADE_EXCEEDED: RateLimitError,
    AccessReason.ADDRESS_CONNECTIONS: VenueBusyError,
    EdgeReason.VENUE_BUSY: VenueBusyError,
    EdgeReason.STATUS_UNKNOWN: StatusUnknownError,
    EdgeReason.NOT_FOUND: OrderNotFoundError,
    EdgeReason.REF_PASSED_OVER: RefNotTakenError,
    EdgeReason.REF_REUSED: RefNotTakenError,
    EdgeReason.REF_FORGOTTEN: RefForgottenError,
    EdgeReason.SLOW_READER: NetworkError,
    EdgeReason.TOO_MANY_CONNECTIONS: VenueBusyError,
}
_BY_RANGE: tuple[tuple[range, type[VenueError]], ...] = (
    (range(210, 220), DuplicateOrderError),
    (range(200, 300), InvalidOrderError),
    (range(300, 400), RefusedError),
    (range(510, 516), AuthenticationError),
    (range(541, 544), AuthenticationError),
    (range(545, 549), AuthenticationError),
    (range(540, 558), PermissionDeniedError),
    (range(500, 600), BadRequestError),
    (range(600, 700), RegistryRefusedError),
    (range(720, 750), SettlementRefusedError),
)


def error_class(reason: int) -> type[VenueError]:
    """The exception of a reason's number."""
    found = _BY_NUMBER.get(reason)
    if found is not None:
        return found
    return next((kind for numbers, kind in _BY_RANGE if reason in numbers), RefusedError)


def error_of(reason: int, text: str, *, retry_after_ms: int = 0, report: Any = None) -> VenueError:
    """The exception to raise for a refusal."""
    return error_class(reason)(reason, text, retry_after_ms=retry_after_ms, report=report)


CCXT_NAMES: dict[type[VenueError], str] = {
    VenueError: "BaseError",
    RefusedError: "ExchangeError",
    BadRequestError: "BadRequest",
    AuthenticationError: "AuthenticationError",
    PermissionDeniedError: "PermissionDenied",
    InvalidOrderError: "InvalidOrder",
    DuplicateOrderError: "DuplicateOrderId",
    OrderNotFoundError: "OrderNotFound",
    InsufficientFundsError: "InsufficientFunds",
    RefNotTakenError: "BadRequest",
    RefForgottenError: "OrderNotCached",
    MarketClosedError: "MarketClosed",
    RegistryRefusedError: "OperationRejected",
    SettlementRefusedError: "OperationRejected",
    OperationFailedError: "OperationFailed",
    NetworkError: "NetworkError",
    RateLimitError: "RateLimitExceeded",
    VenueBusyError: "ExchangeNotAvailable",
    StatusUnknownError: "RequestTimeout",
}
"""Each exception here -> the one of CCXT 4.5 that says the same, below the same root."""
