"""Quote files are read exactly, and what is wrong in them is named."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from exchange.simulation.quotes import COLUMNS, Quote, read_quotes

FIXTURE = Path(__file__).parent / "quotes.csv"
HEADER = ",".join(COLUMNS)


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join((HEADER, *rows)) + "\n", "utf-8")
    return path


def test_window_is_read_exactly_with_what_came_before() -> None:
    quotes = read_quotes(FIXTURE, date(2019, 3, 4), date(2019, 3, 5))
    assert quotes.days() == [date(2019, 3, 4), date(2019, 3, 5)]
    assert len(quotes.rows) == 9
    assert quotes.earlier == {("Shenzhen", "SZA2016"): 2000, ("Guangdong", "GDEA"): 1805}
    row = next(r for r in quotes.rows if r.product == "SZA2016")
    assert row == Quote(
        date(2019, 3, 4), "Shenzhen", "SZA2016", 2010, 2150, 1920, 2033, 12345, 25097385
    )
    empty = next(r for r in quotes.rows if r.product == "SZA2017")
    assert (empty.open, empty.average, empty.volume) == (None, None, None)


def test_prices_round_half_up_and_volumes_are_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "q.csv", "2019-03-04,X,A,1.005,1.005,1.004,1.004,30.48,30.6")
    row = read_quotes(path, date(2019, 3, 4), date(2019, 3, 4)).rows[0]
    assert (row.open, row.low, row.volume, row.turnover) == (101, 100, 30, 3060)
    assert row.is_cut


def test_rows_without_product_are_counted_not_traded(tmp_path: Path) -> None:
    path = write(
        tmp_path / "q.csv", "2019-03-04,X,#N/A,,,,,,", "2019-03-04,X,,,,,,,", "2019-03-04,X,A,,,,,,"
    )
    quotes = read_quotes(path, date(2019, 3, 4), date(2019, 3, 4))
    assert (len(quotes.rows), quotes.unnamed) == (1, 2)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2019-3-4,X,A,,,,,,", "line 2: date: '2019-3-4' is not YYYY-MM-DD"),
        ("2019-03-04,X,A,abc,,,,,", "line 2: open_cny: 'abc' is no decimal number"),
        ("2019-03-04,X,A,NaN,,,,,", "line 2: open_cny: 'NaN' is outside 0 to"),
        ("2019-03-04,X,A,,-1,,,,", "line 2: high_cny: '-1' is outside 0 to"),
        ("2019-03-04,X,A,,,,,1e400,", "line 2: volume_t: '1e400' is outside 0 to"),
        ("2018-03-04,X,A,,,,,,", "no quotes from 2019-03-04 to 2019-03-04"),
    ],
)
def test_bad_row_is_named(tmp_path: Path, row: str, said: str) -> None:
    path = write(tmp_path / "q.csv", row)
    with pytest.raises(ValueError, match=r"q\.csv") as caught:
        read_quotes(path, date(2019, 3, 4), date(2019, 3, 4))
    assert said in str(caught.value)


def test_doubled_row_and_missing_column_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "q.csv", *["2019-03-04,X,A,,,,,,"] * 2)
    with pytest.raises(ValueError, match="line 3: 2019-03-04 X A stands twice"):
        read_quotes(path, date(2019, 3, 4), date(2019, 3, 4))
    path.write_text("date,venue\n", "utf-8")
    with pytest.raises(ValueError, match="missing columns: product, open_cny"):
        read_quotes(path, date(2019, 3, 4), date(2019, 3, 4))
