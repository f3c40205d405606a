"""A broker's signed request on its own intake topic (`intake.<participant>`).

`body` is the JSON text of one of `exchange.messages.orders.OrderRequest`, as a string, so that the
signature covers exactly its bytes. The signed text is the one of `gateway.access.identity` with
METHOD `INTAKE` and an empty path. The receive window is judged against the time at which the log
took the record.
"""

from __future__ import annotations

import msgspec


class SignedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One record of `intake.<participant>`, JSON."""

    key: str
    timestamp_ns: int
    signature: str
    body: str
    window_ms: int = 0
