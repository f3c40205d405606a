"""The books of record: one SQL schema on SQLite and on PostgreSQL, with its migrations.

It reads no topic and writes none; settlement and registry keep their state in it, and both can be
made again from the log (`exchange.rebuild`). `schema` has the tables, `guards` what the database
itself refuses (overlapping serials, changed history), `migrations` the way from one to the next.
"""

from exchange.database.connection import Database, DatabaseError, open_database, upgrade
from exchange.database.hashing import first_difference, rows_hash, table_hash
from exchange.database.schema import METADATA

__all__ = [
    "METADATA",
    "Database",
    "DatabaseError",
    "first_difference",
    "open_database",
    "rows_hash",
    "table_hash",
    "upgrade",
]
