"""The checksums of a book: how a subscriber knows that its copy is right.

The procedure for subscribers of levels (`snapshot`, `delta`), in any language:

1. Take the ten best asks, best (lowest) first, then the ten best bids, best (highest) first; fewer
   where the side has fewer levels.
2. Write each level as `PRICE:QUANTITY:ORDERS`, decimal integers without leading zeros: minor units
   a tonne, tonnes, number of orders.
3. Join the levels of a side with `,` and the two sides with `|`, asks first. An empty book is `|`.
4. The checksum is the CRC-32 (ISO 3309, as in zlib and PNG) of these ASCII bytes, unsigned.

Example: asks 7126 x 10 t in one order and 7130 x 5 t in two, bid 7125 x 3 t in one order give
`7126:10:1,7130:5:2|7125:3:1` and the checksum 4132450579.

The procedure for subscribers of single orders (`orders_snapshot`, `orders`), which also proves the
order in which they would trade:

1. Keep of each side the orders by price, and at one price in the order of the queue: an order that
   is added or moved (actions 1 and 4) goes last at its price; one that is changed (2) keeps its
   place; one that is deleted (3) is gone. Changes are applied one by one, as they stand.
2. Take the ten best ask levels, best first, and of each the first hundred orders in the order of
   the queue; then the ten best bid levels likewise.
3. Write each order as `PRICE:ORDER_ID:QUANTITY`, decimal integers.
4. Join the orders of a side with `,` and the two sides with `|`, asks first.
5. The checksum is the CRC-32 of these ASCII bytes, unsigned.

Example: asks 7126 with order 11 (10 t), then order 8 (4 t), bid 7125 with order 9 (3 t) give
`7126:11:10,7126:8:4|7125:9:3` and the checksum 685810034.

After each delta the checksum of the local book must equal the delta's `checksum`; if not, throw the
book away and subscribe anew.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from itertools import islice

from exchange.messages.market_data import BookLevel

CHECKSUM_LEVELS = 10
CHECKSUM_ORDERS = 100  # of each level


def checksum(bids: Iterable[BookLevel], asks: Iterable[BookLevel]) -> int:
    """CRC-32 over the ten best levels of each side; both sides best first. O(1)."""
    return written_checksum(_side(bids), _side(asks))


def written_checksum(bids: str, asks: str) -> int:
    """CRC-32 over the sides as `orders.OrderSide` writes or sums them. O(length)."""
    return zlib.crc32(f"{asks}|{bids}".encode("ascii"))


def _side(levels: Iterable[BookLevel]) -> str:
    best = islice(levels, CHECKSUM_LEVELS)
    return ",".join([f"{level.price}:{level.quantity}:{level.orders}" for level in best])
