"""Types of `gateway.entry.packing`."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from exchange.messages.orders import NewOrderSingle, OrderRequest

def plain_limit(
    request: NewOrderSingle, session: int, instrument: int, minor_digits: int
) -> bytes | None: ...

class PlainOrders:
    def __init__(
        self,
        session: int,
        own: Mapping[str, AbstractSet[int]],
        instruments: Iterable[tuple[str, int, str, int]],
    ) -> None: ...
    def market_of(self, request: OrderRequest) -> str | None: ...
    def pack(
        self, requests: list[OrderRequest], start: int, ref_above: int, ref_max: int
    ) -> tuple[int, int, int, list[bytes]]: ...
