"""Settlement: reads `events`, writes `settlements`; the double-entry ledger of each market.

In the order of the data: `delivery` turns event records into settled items and postings, `store`
books a batch of them in one transaction together with the position in the log, `service` drives
both and publishes, `queries` reads the books.
"""

from exchange.settlement.service import SettlementService
from exchange.settlement.store import PositionMovedError, open_store

__all__ = ["PositionMovedError", "SettlementService", "open_store"]
