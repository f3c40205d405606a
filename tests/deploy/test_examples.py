"""The example programs, each for a moment at a running venue."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.examples import compliance_buyer, data_recorder, market_maker
from exchange.marketdata.checksum import checksum
from exchange.messages.instructions import ReportEmissions, VerifyEmissions
from exchange.messages.market_data import BookLevel
from gateway.client import CCXT_NAMES, VenueError, load_key
from gateway.demo.demo_keys import HUADONG, NORTHERN, VERIFIER, YANGTZE
from tests.gateway.demo_venue import DemoVenue, demo_venue

pytestmark = pytest.mark.asyncio(loop_scope="module")
TERMS = market_maker.Terms("EUA", 103)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DemoVenue]:
    async with demo_venue(tmp_path_factory.mktemp("examples")) as made:
        yield made


async def test_a_maker_leans_against_what_it_has() -> None:
    even = market_maker.sides(TERMS, 7_000, 0)
    assert (even.bid, even.offer) == (6_979, 7_021)
    assert (even.bid_quantity, even.offer_quantity) == (50, 50)
    long = market_maker.sides(TERMS, 7_000, 500)
    assert (long.bid, long.offer) == (6_965, 7_007)
    assert (long.bid_quantity, long.offer_quantity) == (0, 50)
    short = market_maker.sides(TERMS, 7_000, -480)
    assert short.offer > even.offer
    assert (short.bid_quantity, short.offer_quantity) == (50, 20)


async def test_a_maker_quotes_trades_and_leaves_nothing(venue: DemoVenue, tmp_path: Path) -> None:
    stop, ended = asyncio.Event(), asyncio.Event()
    huadong = await venue.members.client(HUADONG)
    key = load_key(Path(venue.key()))
    recording = asyncio.create_task(data_recorder.run(venue.url, ["EUA"], tmp_path, ended))
    making = asyncio.create_task(market_maker.run(key, TERMS, stop, pause_s=0.1))
    async with asyncio.timeout(20):
        while not (asks := (await huadong.book("EUA")).asks):
            await asyncio.sleep(0.05)
        first = asks[0].price
        bought = await huadong.new_order("EUA", 102, "BUY", 50, first, time_in_force="IOC")
        assert bought.order_status == "FILLED"
        while not (asks := (await huadong.book("EUA")).asks) or asks[0].price <= first:
            await asyncio.sleep(0.05)
        stop.set()
        assert await making >= 2
        assert [o for o in await huadong.orders() if o.account == 103] == []
        while (book := await huadong.book("EUA")).bids or book.asks:  # public a little later
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        ended.set()
        written = await recording
    assert written.repairs == 0
    lines = [json.loads(line) for line in (tmp_path / "books.jsonl").read_text().splitlines()]
    assert len(lines) == written.books >= 3
    for line in lines:
        sides = [[BookLevel(*row) for row in line[name]] for name in ("bids", "asks")]
        assert checksum(*sides) == line["checksum"]
    assert [line["sequence"] for line in lines] == sorted(line["sequence"] for line in lines)
    (trade,) = csv.DictReader((tmp_path / "trades.csv").read_text().splitlines())
    assert (trade["symbol"], trade["quantity"]) == ("EUA", "50")
    assert trade["trade_id"] == str(bought.trade_id)


async def test_a_recorder_says_where_it_began_again(venue: DemoVenue, tmp_path: Path) -> None:
    class Feed:
        books: dict[str, object] = {}
        trades: dict[str, object] = {}
        repairs = 2

    recorder = data_recorder.Recorder(tmp_path)
    recorder.take(Feed())  # type: ignore[arg-type]
    recorder.take(Feed())  # type: ignore[arg-type]
    recorder.close()
    assert (tmp_path / "books.jsonl").read_text() == '{"repair": 2}\n'


async def test_a_buyer_buys_what_lacks_and_surrenders_when_told(venue: DemoVenue) -> None:
    what = {"ref": 0, "symbol": "CEA-2025", "account": 203, "quantity": 500, "year": 2025}
    await (await venue.members.client(YANGTZE)).instruct(ReportEmissions(**what))
    await (await venue.members.client(VERIFIER)).instruct(VerifyEmissions(**what))
    seller = await venue.members.client(NORTHERN)
    await seller.new_order("CEA-2025", 201, "SELL", 300, "74.00")
    await seller.new_order("CEA-2025", 201, "SELL", 300, "75.00")
    key = load_key(Path(venue.key(YANGTZE)))
    wish = compliance_buyer.Wish(203, 2025, "CEA-2025", "74.50", pause_s=0.01, orders_max=4)
    asked: list[str] = []

    def no(question: str) -> bool:
        asked.append(question)
        return False

    assert await compliance_buyer.run(key, wish, no) == 500
    assert asked == ["Buy 500 t CEA-2025 at 74.50?"]

    def yes(question: str) -> bool:
        asked.append(question)
        return True

    assert await compliance_buyer.run(key, wish, yes) == 500  # bought today: free tomorrow
    positions = (await (await venue.members.client(YANGTZE)).positions("CN")).positions
    (units,) = [u for row in positions if row.account == 203 for u in row.units]
    assert (units.symbol, units.available + units.locked) == ("CEA-2025", 300)
    await seller.instruct(compliance_buyer.ReleaseUnits(
        ref=0, symbol="CEA-2025", account=201, quantity=400
    ))  # fmt: skip
    await venue.do("transfer", "CEA-2025", "400", "203", "--account", "201", holder=NORTHERN)
    assert await compliance_buyer.run(key, wish, yes) == 100
    assert asked[-1] == "Give up 400 t CEA-2025 for 2025, for good?"


async def test_the_first_program_of_the_page_runs(
    venue: DemoVenue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(market_maker.__file__).parents[1] / "docs/client.md").read_text("utf-8")
    program = compile(page.split("```python\n")[1].split("```")[0], "client.md", "exec")
    monkeypatch.setenv("EXCHANGE_KEY_FILE", venue.key())
    await asyncio.to_thread(exec, program, {"__name__": "__main__"})
    said = capsys.readouterr().out.splitlines()
    printed = [line for line in said if "[info" not in line]
    assert printed[0].startswith("NEW ")
    assert printed[1] == "on the book: BookLevel(price=7500, quantity=5, orders=1)"
    assert printed[2:] == ["refused: 260 INSUFFICIENT_CASH", "CANCELLED"]


async def test_the_page_names_every_exception_as_ccxt_does() -> None:
    page = (Path(market_maker.__file__).parents[1] / "docs/client.md").read_text("utf-8")
    for kind, name in CCXT_NAMES.items():
        if kind is not VenueError:
            assert f"| `{kind.__name__}` | `{name}` |" in page
