from __future__ import annotations

from tests.fixtures_postgres import books, make_books, postgres

__all__ = ["books", "make_books", "postgres"]
