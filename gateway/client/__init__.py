"""A client of the venue: signs, numbers, resends, keeps the local book right.

    key = load_key(Path("northern.key"))
    async with Client("http://127.0.0.1:8080", key) as client:
        report = await client.new_order("EUA", 101, "BUY", 10, "71.25")
        async with BookFeed(client.url, ["EUA"]) as feed:
            await feed.updated()
            print(feed.books["EUA"].bids)

`Client` owns the key's `ref` numbering, so use one client a key. Orders go over the order-entry
socket, everything else over REST. After a lost connection it logs on again and sends what was not
answered once more: the venue knows a resend by its `ref`.
"""

from gateway.client.client import Client
from gateway.client.errors import (
    CCXT_NAMES,
    AuthenticationError,
    BadRequestError,
    DuplicateOrderError,
    InsufficientFundsError,
    InvalidOrderError,
    MarketClosedError,
    NetworkError,
    OperationFailedError,
    OrderNotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RefForgottenError,
    RefNotTakenError,
    RefusedError,
    RegistryRefusedError,
    SettlementRefusedError,
    StatusUnknownError,
    VenueBusyError,
    VenueError,
)
from gateway.client.feed import BookFeed
from gateway.client.keys import SigningKey, generate_key, load_key, save_key

__all__ = [
    "CCXT_NAMES",
    "AuthenticationError",
    "BadRequestError",
    "BookFeed",
    "Client",
    "DuplicateOrderError",
    "InsufficientFundsError",
    "InvalidOrderError",
    "MarketClosedError",
    "NetworkError",
    "OperationFailedError",
    "OrderNotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "RefForgottenError",
    "RefNotTakenError",
    "RefusedError",
    "RegistryRefusedError",
    "SettlementRefusedError",
    "SigningKey",
    "StatusUnknownError",
    "VenueBusyError",
    "VenueError",
    "generate_key",
    "load_key",
    "save_key",
]
