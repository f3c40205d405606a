from __future__ import annotations

from tests.exchange.registry.conftest import desk, market_log
from tests.fixtures_postgres import books, make_books, postgres

__all__ = ["books", "desk", "make_books", "market_log", "postgres"]
