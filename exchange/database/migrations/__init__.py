"""Alembic's migrations of the books, in the order of their numbers; run by `database.upgrade`."""
