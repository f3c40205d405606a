"""Records the public feed: the checked book whenever it changed, as JSON Lines; trades as CSV.

    python deploy/examples/data_recorder.py --url http://127.0.0.1:8080 --symbol EUA --folder data

`BookFeed` follows the printed procedure: a gap in the numbers, a wrong checksum or a lost
connection makes it subscribe anew, and `repairs` counts. A line `{"repair": N}` stands there, so
that who reads the file knows where it begins again; each book stands with its checksum.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from exchange.marketdata.book import LocalBook
from exchange.marketdata.checksum import checksum
from gateway.client import BookFeed

LEVELS = 10
TRADE_COLUMNS = ("symbol", "trade_id", "time_ns", "side", "price", "quantity")


class Recorded(NamedTuple):
    """What was written."""

    books: int
    trades: int
    repairs: int


class Recorder:
    """Writes what a feed has, each state of a book and each trade once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._books = (folder / "books.jsonl").open("a", encoding="utf-8")
        is_new = not (folder / "trades.csv").exists()
        self._file = (folder / "trades.csv").open("a", encoding="utf-8", newline="")
        self._trades = csv.writer(self._file, lineterminator="\n")
        if is_new:
            self._trades.writerow(TRADE_COLUMNS)
        self._sequences: dict[str, int] = {}
        self._last_trades: dict[str, int] = {}
        self._repairs = 0
        self.written = Recorded(0, 0, 0)

    def close(self) -> None:
        """Ends both files."""
        self._books.close()
        self._file.close()

    def take(self, feed: BookFeed) -> None:
        """Writes what is new; a repair of the feed first."""
        if feed.repairs != self._repairs:
            self._repairs = feed.repairs
            self._line({"repair": feed.repairs})
        books = sum(self._book(symbol, book) for symbol, book in feed.books.items())
        trades = sum(self._ticks(symbol, list(ticks)) for symbol, ticks in feed.trades.items())
        self._books.flush()
        self._file.flush()
        before = self.written
        self.written = Recorded(before.books + books, before.trades + trades, feed.repairs)

    def _book(self, symbol: str, book: LocalBook) -> int:
        if self._sequences.get(symbol) == book.sequence:
            return 0
        self._sequences[symbol] = book.sequence
        bids, asks = book.best(LEVELS)
        self._line(
            {
                "symbol": symbol,
                "sequence": book.sequence,
                "time_ns": book.time_ns,
                "bids": [[row.price, row.quantity, row.orders] for row in bids],
                "asks": [[row.price, row.quantity, row.orders] for row in asks],
                "checksum": checksum(bids, asks),
            }
        )
        return 1

    def _ticks(self, symbol: str, ticks: Sequence[object]) -> int:
        count = 0
        for tick in ticks:
            values = {name: getattr(tick, name) for name in TRADE_COLUMNS[1:]}
            if values["trade_id"] > self._last_trades.get(symbol, 0):
                self._last_trades[symbol] = values["trade_id"]
                self._trades.writerow([symbol, *values.values()])
                count += 1
        return count

    def _line(self, document: dict[str, object]) -> None:
        self._books.write(json.dumps(document) + "\n")


async def run(url: str, symbols: list[str], folder: Path, stop: asyncio.Event) -> Recorded:
    """Records until `stop`."""
    recorder = Recorder(folder)
    try:
        async with BookFeed(url, symbols) as feed:
            while not stop.is_set():
                recorder.take(feed)
                with contextlib.suppress(TimeoutError):
                    await feed.updated(0.5)
            recorder.take(feed)
    finally:
        recorder.close()
    return recorder.written


async def main() -> None:
    """Runs until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--symbol", action="append", help="again for more; none: all")
    parser.add_argument("--folder", type=Path, default=Path(".local/recorded"))
    given = parser.parse_args()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(await run(given.url, given.symbol or ["*"], given.folder, stop))


if __name__ == "__main__":
    asyncio.run(main())
