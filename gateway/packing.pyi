"""Types of `gateway.packing`."""

from exchange.messages.orders import NewOrderSingle

def plain_limit(
    request: NewOrderSingle, session: int, instrument: int, minor_digits: int
) -> bytes | None: ...
