from __future__ import annotations

import asyncpg
import numpy as np
import pytest

from deploy.local.postgres import PostgresServer
from exchange.database.binary_copy import (
    BIGINT,
    CHUNK_BYTES,
    INTEGER,
    SMALLINT,
    binary_copy,
    binary_rows,
)

EDGES = {width: 2 ** (8 * width - 1) for width in (SMALLINT, INTEGER, BIGINT)}


@pytest.mark.parametrize("count", [0, 1, 3, CHUNK_BYTES // 10])
async def test_what_is_copied_is_what_is_read(postgres: PostgresServer, count: int) -> None:
    """Every width at both its ends, over the border of a chunk."""
    dice = np.random.default_rng(count)
    columns = {
        width: np.resize(
            np.concatenate(([-edge, edge - 1, 0, -1], dice.integers(-edge, edge, 100))), count
        ).astype(np.int64)
        for width, edge in EDGES.items()
    }
    rows = binary_rows([(SMALLINT, 7), *columns.items()], count)
    connection = await asyncpg.connect(postgres.create_database(f"copied_{count}"))
    try:
        await connection.execute("CREATE TABLE t (m smallint, s smallint, i int, b bigint)")
        await connection.copy_to_table("t", source=binary_copy(rows), format="binary")
        found = await connection.fetch("SELECT m, s, i, b FROM t ORDER BY ctid")
    finally:
        await connection.close()
    expected = zip(*(column.tolist() for column in columns.values()), strict=True)
    assert [tuple(row) for row in found] == [(7, *values) for values in expected]
