"""What the database itself refuses, whoever writes: overlapping serials and changed history.

PostgreSQL keeps serial ranges apart with an exclusion constraint, SQLite with triggers. A stored
range never overlaps another, so on SQLite it is enough to look at the nearest one below the new
end: O(log blocks).
"""

from __future__ import annotations

from sqlalchemy import DDL, event

from exchange.database.schema import APPEND_ONLY, METADATA

_OVERLAP = """
CREATE TRIGGER block_no_overlap_on_{action} BEFORE {action_words} ON block
WHEN (SELECT last_serial FROM block
      WHERE programme = NEW.programme AND first_serial <= NEW.last_serial
        {not_itself}ORDER BY first_serial DESC LIMIT 1) >= NEW.first_serial
BEGIN SELECT RAISE(ABORT, 'block_no_overlap: serial numbers are in another block'); END
"""

SQLITE: tuple[str, ...] = (
    _OVERLAP.format(action="insert", action_words="INSERT", not_itself=""),
    _OVERLAP.format(
        action="update",
        action_words="UPDATE OF market, block_id, programme, first_serial, last_serial",
        not_itself="AND (market, block_id) <> (OLD.market, OLD.block_id) ",
    ),
    *(
        f"CREATE TRIGGER {table.name}_append_only_on_{action} BEFORE {action} ON {table.name} "
        f"BEGIN SELECT RAISE(ABORT, '{table.name} is append-only'); END"
        for table in APPEND_ONLY
        for action in ("update", "delete")
    ),
)

POSTGRESQL: tuple[str, ...] = (
    # Seven postings a trade: a key over all of them took two thirds of the time of writing them.
    # One of each cause is unique, and with it the cause; the others are found by block ranges.
    "ALTER TABLE posting DROP CONSTRAINT posting_key",
    "CREATE UNIQUE INDEX posting_once ON posting (market, event_number) WHERE leg IN (0, 7, 9)",
    "CREATE INDEX posting_event ON posting USING brin (market, event_number)",
    # Each batch changes most balances once: with room for the next version beside each row no index
    # has to be told, which halves what it takes.
    "ALTER TABLE balance SET (fillfactor = 40)",
    # What waits to be published is read once and soon gone: not worth compressing.
    "ALTER TABLE settlement_outbox ALTER COLUMN value SET STORAGE EXTERNAL",
    "ALTER TABLE registry_outbox ALTER COLUMN value SET STORAGE EXTERNAL",
    "CREATE EXTENSION IF NOT EXISTS btree_gist",
    "ALTER TABLE block ADD CONSTRAINT block_no_overlap EXCLUDE USING gist "
    "(programme WITH =, int8range(first_serial, last_serial, '[]') WITH &&)",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ "
    "BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME "
    "USING ERRCODE = 'integrity_constraint_violation'; END $$",
    *(
        f"CREATE TRIGGER {table.name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
        f"ON {table.name} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        for table in APPEND_ONLY
    ),
)

for _dialect, _statements in (("sqlite", SQLITE), ("postgresql", POSTGRESQL)):
    for _statement in _statements:
        event.listen(
            METADATA,
            "after_create",
            DDL(_statement.replace("%", "%%")).execute_if(dialect=_dialect),  # type: ignore[no-untyped-call]
        )
