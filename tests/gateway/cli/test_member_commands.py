"""Every command of a member, typed at a running venue: what it prints, and its exit codes."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from exchange.messages.reasons import reason_text
from gateway.demo.demo_keys import HUADONG, NORTHERN, VERIFIER
from tests.gateway.demo_venue import DemoVenue, demo_venue

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DemoVenue]:
    async with demo_venue(tmp_path_factory.mktemp("members")) as made:
        yield made


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def test_every_kind_of_order_is_entered_replaced_and_cancelled(venue: DemoVenue) -> None:
    own = ("--account", "103", "--json")
    for words, told in (
        (("buy", "9", "@60.00"), {"order_type": "LIMIT", "time_in_force": "DAY"}),
        (("buy", "9", "@60.00", "--display", "3"), {"display_quantity": 3}),
        (("buy", "9", "@60.00", "--until", "2090-12-31"), {"expire_date": "2090-12-31"}),
        (("buy", "9", "@60.00", "--post-only", "reprice"), {"post_only": "REPRICE"}),
        (("buy", "9", "@60.00", "--no-persistent"), {"is_persistent": False}),
        (("buy", "9", "@60.00", "--self-trade", "decrement"),
         {"self_trade_prevention": "DECREMENT"}),
        (("buy", "9", "market", "--stop", "@90.00"), {"order_type": "STOP"}),
        (("sell", "9", "@80.00", "--stop", "50.00"), {"order_type": "STOP_LIMIT"}),
        (("sell", "9", "@80.00", "--tif", "GTC", "--label", "mine"),
         {"client_order_id": "mine", "time_in_force": "GTC"}),
    ):  # fmt: skip
        side, quantity, price, *terms = words
        (report,) = lines(await venue.do("order", side, "EUA", quantity, price, *terms, *own))
        assert report["exec_type"] == "NEW"
        assert {name: report[name] for name in told} == told, words
    said = await venue.do("replace", "EUA", "mine", "7", "@81.00", "--account", "103")
    assert said.startswith("NEW: SELL 7 t EUA @81.00, leaves 7 t, order id "), said
    listed = await venue.do("orders")
    title, head, *rows = listed.splitlines()
    assert title == "Open orders"
    assert head.split("\t")[:4] == ["market", "account", "symbol", "side"]
    assert len(rows) == 9
    assert len(lines(await venue.do("orders", "--market", "EU", "--json"))) == 9
    assert await venue.do("orders", "--market", "CN", "--json") == ""
    said = await venue.do("cancel", "EUA", "mine", "--account", "103")
    assert said.startswith("CANCELLED")
    said = await venue.do("cancel-all", "--symbol", "EUA", "--side", "sell")
    assert said == "CANCELLED: 1 orders of EU\n"
    said = await venue.do("cancel-all")
    assert said.splitlines() == ["CANCELLED: 7 orders of EU", "CANCELLED: 0 orders of CN"]


async def test_market_fills_book_and_trades(venue: DemoVenue, tmp_path: Path) -> None:
    await venue.do("quote", "EUA", "--bid", "1500@71.00", "--offer", "40@71.50", "--account",
                   "101", holder=NORTHERN)  # fmt: skip
    before = lines(await venue.do("fills", "--market", "EU", "--all", "--json"))
    said = await venue.do("order", "sell", "EUA", "5", "market", "--account", "103")
    assert said.startswith("FILLED: SELL 5 t EUA @"), said
    (fill,) = lines(
        await venue.do("fills", "--market", "EU", "--after", str(before[-1]["sequence"]), "--json")
    )
    assert (fill["last_quantity"], fill["last_price"], fill["liquidity"]) == (5, "71.00", "TAKER")
    assert "\tTRADE\tEUA\tSELL\t5\t71.00\t" in await venue.do("fills")
    at = ("--url", venue.url)
    done = await venue.run("book", "EUA", *at)
    assert done.stdout.splitlines() == [
        "EUA: CONTINUOUS", "bid orders\tbid t\tbid\task\task t\task orders",
        "1\t1495\t71.00\t71.50\t40\t1",
    ]  # fmt: skip
    (book,) = lines((await venue.run("book", "EUA", "--json", *at)).stdout)
    assert book["bids"] == [{"price": "71.00", "quantity": 1495, "orders": 1}]
    done = await venue.run("book", "EUA", "--follow", "--updates", "1", *at)
    assert done.stdout.split("\t")[1:] == ["CONTINUOUS", "1495", "71.00", "71.50", "40\n"]
    (trade,) = lines((await venue.run("trades", "EUA", "--json", *at)).stdout)
    assert (trade["price"], trade["side"], trade["trade_id"]) == ("71.00", "SELL", fill["trade_id"])
    assert trade["method"] == "BOOK"
    assert len(lines((await venue.run("instruments", "--json", *at)).stdout)) == 4
    said = await venue.do("quote", "EUA", "--withdraw", "--account", "101", holder=NORTHERN)
    assert said == "QUOTED: EUA, account 101\n"
    out = tmp_path / "fills.csv"
    await venue.do("export", "executions", "--market", "EU", "--out", str(out))
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["trade_id"] for row in rows if row["exec_type"] == "TRADE"] == [
        str(fill["trade_id"])
    ]
    assert not out.with_name("fills.csv.part").exists()
    (told,) = lines(await venue.do("export", "trades", "--market", "EU", "--format", "jsonl"))
    assert (told["symbol"], told["price"], told["quantity"]) == ("EUA", "71.00", 5)


async def test_a_listing_is_picked_and_a_block_confirmed_or_declined(venue: DemoVenue) -> None:
    (listing,) = lines(await venue.do("order", "sell", "CEA-2024", "50", "@74.00", "--account",
                                      "201", "--json", holder=NORTHERN))  # fmt: skip
    said = await venue.do("pick", "buy", "CEA-2024", "20", "@74.00", str(listing["order_id"]),
                          "--account", "202", holder=HUADONG)  # fmt: skip
    assert said.startswith("FILLED: BUY 20 t CEA-2024 @74.00, traded 20 t")
    await venue.do("cancel-all", "--market", "CN", holder=NORTHERN)
    proposal = ("block", "propose", "sell", "EUA", "500", "@70.90", "102", "--account", "101")
    (proposed,) = lines(await venue.do(*proposal, "--json", holder=NORTHERN))
    number = str(proposed["order_id"])
    (waiting,) = lines(await venue.do("block", "list", "--json", holder=HUADONG))
    assert waiting["order_id"] == proposed["order_id"]
    confirm = ("block", "confirm", number)
    said = await venue.do(*confirm, holder=HUADONG, code=2)
    assert "say it again with --yes" in said
    said = await venue.do(*confirm, holder=HUADONG, code=2, given="n\n")
    assert "You buy 500 t EUA @70.90, account 102. Confirm?" in said
    said = await venue.do(*confirm, holder=HUADONG, given="y\n")
    assert "FILLED: BUY 500 t EUA @70.90" in said
    at = ("--url", venue.url)
    told: list[tuple[int, str]] = []
    async with asyncio.timeout(30):  # market data come after the report
        while not told:
            rows = lines((await venue.run("trades", "EUA", "--json", *at)).stdout)
            told = [(row["quantity"], row["method"]) for row in rows if row["price"] == "70.90"]
    assert told == [(500, "BLOCK")]
    shown = (await venue.run("trades", "EUA", *at)).stdout
    assert "\tmethod\n" in shown
    assert "\tBLOCK\n" in shown
    (other,) = lines(await venue.do(*proposal, "--json", holder=NORTHERN))
    await venue.do("block", "decline", str(other["order_id"]), holder=HUADONG)
    assert await venue.do("block", "list", "--json", holder=HUADONG) == ""
    said = await venue.do(*confirm, "--yes", holder=HUADONG, code=1)
    assert said.startswith(f"NOT_FOUND (523): no block {number} waits for you"), said


async def test_positions_holdings_and_their_export(venue: DemoVenue) -> None:
    (row,) = lines(await venue.do("positions", "--market", "CN", "--json"))
    assert (row["account"], row["currency"]) == (203, "CNY")
    assert "CN\t203\tCNY\t" in await venue.do("positions")
    (told,) = lines(await venue.do("holdings", "--json"))
    assert told["holdings"][0]["symbol"] == "EUA"
    rows = list(csv.DictReader(io.StringIO(await venue.do("export", "holdings"))))
    eua = [row for row in rows if row["symbol"] == "EUA"]
    assert sum(int(row["last"]) - int(row["first"]) + 1 for row in eua) == sum(
        int(row["quantity"]) for row in eua
    )
    cash = [r for r in csv.DictReader(io.StringIO(await venue.do("export", "positions")))
            if r["asset"] == "CNY"]  # fmt: skip
    assert [r["available"] for r in cash] == [row["cash"]["available"]]


async def test_a_surrender_says_what_is_given_up_and_asks(venue: DemoVenue) -> None:
    report = ("CEA-2025", "1000", "2025", "--account", "203")
    await venue.do("report-emissions", *report)
    await venue.do("verify-emissions", *report, holder=VERIFIER)
    await venue.do("release", "CEA-2025", "600", "--account", "201", holder=NORTHERN)
    await venue.do("transfer", "CEA-2025", "600", "203", "--account", "201", holder=NORTHERN)
    give = ("surrender", "CEA-2025", "600", "2025", "--account", "203")
    said = await venue.do(*give, code=2, given="n\n")
    assert "600 t CEA-2025 of account 203 are given up for 2025, for good" in said
    assert "registry position has 600 t" in said
    assert "obligation 1,000 t, surrendered 0 t, owed 1,000 t" in said
    assert "nothing was surrendered" in said
    (plan,) = lines(await venue.do("plan", "2025", "--account", "203", "--json"))
    assert (plan["owed"], plan["missing"]) == (1000, 400)
    said = await venue.do(*give, given="y\n")
    assert "DONE" in said
    said = await venue.do(*give, "--yes", code=1)
    first, remedy, source = said.splitlines()
    assert first == (
        "SURRENDER_ABOVE_OBLIGATION (604): 600 t are more than the 400 t still owed of 1000 t"
    )
    assert remedy == reason_text(604).text
    assert source.startswith("rule cn-2025-2026-draft; source: ")
    (year,) = lines(await venue.do("year", "203", "cn-national", "2025", "--json"))
    assert (year["obligation"], year["surrendered"]) == (1000, 600)
    said = await venue.do("plan", "2025", "--account", "203")
    assert (
        "Surrender\nsymbol\tproject\ttonnes\tprice\trule\n" not in said
    )  # nothing is left to give
    assert "Limits after it\nlimit\ttonnes\tleft\ncap of cn-2025-2026-ccer\t50\t50\n" in said
    assert said.splitlines()[-1].endswith("[confidence medium]")
    said = await venue.do("headroom", "CCER", "--account", "203")
    assert "year\tbase\ttonnes\tcap\tused\tleft\telsewhere\n2025\t" in said
    (room,) = lines(await venue.do("headroom", "CCER", "--account", "203", "--json"))
    assert room["years"][0]["cap"] == 50


async def test_exit_codes_and_numbered_reasons(
    venue: DemoVenue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = await venue.do("order", "buy", "EUA", "1", "@71.001", "--account", "103", code=1)
    assert said.startswith("PRICE_TOO_FINE (506): ")
    said = await venue.do("order", "buy", "NONE", "1", "@71", "--account", "103", code=1)
    assert said.startswith("UNKNOWN_SYMBOL (505): ")
    said = await venue.do("quote", "EUA", "--account", "103", code=2)
    assert "--withdraw" in said
    done = await venue.run("orders", "--key-file", str(tmp_path / "none.key"))
    assert done.exit_code == 2
    monkeypatch.setenv("EXCHANGE_KEY_FILE", venue.key())
    assert (await venue.run("book", "EUA")).exit_code == 0  # at the key's address
    done = await venue.run("book", "EUA", "--url", "http://127.0.0.1:9")
    assert done.exit_code == 3
    assert "http://127.0.0.1:9" in done.output
