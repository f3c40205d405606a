"""The terminal in a real Chromium against a whole venue: each page does its main job.

One venue and one browser serve the module; each test has a page of its own. The venue's clock is
set to a day of its own, months away from the browser's.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from deploy.local.chromium import find_chromium
from exchange.database.connection import open_database, upgrade
from exchange.messages.instructions import (
    DepositUnits,
    IssueUnits,
    ReportEmissions,
    VerifyEmissions,
)
from exchange.messages.operations import AuctionCancel, AuctionOpen
from exchange.registry.service import RegistryService
from exchange.rulebook import load_rulebook
from exchange.settlement.service import SettlementService
from gateway.client import generate_key, save_key
from gateway.rest.openapi import describe
from tests.gateway.conftest import House, demo_venue
from tests.gateway.registry.test_gateway_years import Calendar

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVIL = '<img src=x onerror="window.planted=1"><script>window.planted=1</script>'
ALWAYS_OPEN = msgspec.structs.replace(load_rulebook(), registry_rule=())
OWED, ALLOWANCES, CREDITS = 10_000, 9_500, 600

Open = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """EUA and CN units with their owners, an obligation, key files; names carry planted markup."""
    folder = tmp_path_factory.mktemp("desk")
    venue, keys = demo_venue()
    instruments = (
        msgspec.structs.replace(venue.instrument[0], name=f"EU allowance {EVIL}"),
        *venue.instrument[1:],
    )
    accounts = tuple(
        msgspec.structs.replace(item, name=f"{item.name} {EVIL}") if item.id in (102, 203) else item
        for item in venue.account
    )
    venue = msgspec.structs.replace(venue, instrument=instruments, account=accounts)
    house = House(folder, venue, keys, Calendar(datetime(2026, 6, 30, 3, tzinfo=UTC)))
    house.books = open_database(folder / "books.sqlite")
    await upgrade(house.books)
    await house.start()
    for market in venue.market:
        house.run(SettlementService(house.log, market, house.books, clock=house.clock))
        house.run(
            RegistryService(
                house.log, market, venue, house.books, clock=house.clock, rulebook=ALWAYS_OPEN
            )
        )
    for name, key in keys.items():
        save_key(folder / f"{name}.key", key)
    await endow(house)
    yield house
    await house.close()
    await house.books.close()


async def endow(house: House) -> None:
    async with (
        house.client("operator") as operator,
        house.client("northern") as northern,
        house.client("yangtze") as yangtze,
        house.client("verifier") as verifier,
    ):
        for account in (101, 102, 103):
            await operator.deposit_cash("EU", account, "10000000.00")
        eua = {"ref": 0, "symbol": "EUA", "account": 101}
        await operator.instruct(IssueUnits(**eua, quantity=9_000, year=2026))
        await northern.instruct(DepositUnits(**eua, quantity=9_000))
        held = {"ref": 0, "account": 203}
        await operator.instruct(
            IssueUnits(**held, symbol="CEA-2025", quantity=ALLOWANCES, year=2025)
        )
        await operator.instruct(IssueUnits(**held, symbol="CCER", quantity=CREDITS, year=2024))
        stated = {"ref": 0, "symbol": "CEA-2025", "account": 203, "quantity": OWED, "year": 2025}
        await yangtze.instruct(ReportEmissions(**stated))
        await verifier.instruct(VerifyEmissions(**stated))
        for market in ("EU", "CN"):
            await operator.open_market(market)
        for step in range(1, 4):
            await northern.new_order("EUA", 101, "SELL", 10 * step, f"71.{20 + step:02}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(
            executable_path=str(find_chromium()), args=["--no-sandbox"]
        )
        yield opened
        await opened.close()


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(desk: House, browser: Browser) -> AsyncIterator[Open]:
    """Opens a page, signed in with a key if one is named; a script error fails the test."""
    errors: list[str] = []
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    context.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)

    async def opened(key: str = "", at: str = "market", offered: object = None) -> Page:
        page = await context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda m: errors.append(m.text) if "Content Security" in m.text else None,
        )
        if offered is not None:
            text = json.dumps(offered)
            await page.route("**/openapi.json", lambda route: answer(route, text))
        await page.goto(f"{desk.url}/#{at}")
        await page.wait_for_selector("#dot.live")
        if key:
            await sign_in(page, desk.settings.data / f"{key}.key")
            await expect(page.locator("#who")).to_contain_text(key)
        return page

    yield opened
    await context.close()
    assert errors == []


async def answer(route: Route, text: str) -> None:
    await route.fulfill(body=text, content_type="application/json")


async def sign_in(page: Page, path: Path) -> None:
    await page.keyboard.press("k")
    await page.set_input_files("#key-file", path)


async def go(page: Page, name: str) -> None:
    await page.locator("#tabs").get_by_role("link", name=name, exact=True).click()


def rows(page: Page) -> object:
    return page.locator("#own tbody tr")


# -- trading -------------------------------------------------------------------------------------


async def test_an_order_is_typed_fills_rests_is_replaced_and_cancelled(open_page: Open) -> None:
    page = await open_page("huadong")
    await expect(page.locator(".available")).to_have_text("Available 10,000,000.00 EUR")
    await page.keyboard.press("b")
    await page.keyboard.type("15")
    await page.keyboard.press("Tab")
    await page.keyboard.type("71.22")
    await expect(page.locator(".estimate")).to_have_text("Value 1,068.30 EUR")
    await page.keyboard.press("Enter")
    await expect(page.locator("#notices")).to_contain_text("Buy 15 EUA: filled 15/15 t")
    await page.keyboard.press("Tab")
    await page.get_by_role("tab", name="Fills").click()
    await expect(rows(page)).to_have_count(2)
    await expect(rows(page).first).to_contain_text("71.22")
    await page.get_by_role("tab", name="Open orders").click()
    await page.locator("#ticket input").nth(0).fill("40")
    await page.locator("#ticket input").nth(1).fill("70.00")
    await page.locator("#ticket").get_by_role("button", name="Buy EUA").click()
    await expect(rows(page)).to_have_count(1)
    await expect(page.locator("#bids tr").first).to_contain_text("70.00")
    await page.get_by_role("button", name="Replace Buy 40 EUA").click()
    dialog = page.get_by_role("dialog")
    await dialog.locator("input").nth(1).fill("70.05")
    await dialog.get_by_role("button", name="Replace").click()
    await expect(rows(page).first).to_contain_text("70.05")
    await page.get_by_role("button", name="Cancel Buy 40 EUA").click()
    await expect(page.get_by_text("No open orders")).to_be_visible()
    await page.get_by_role("tab", name="Positions").click()
    await expect(rows(page).nth(1)).to_contain_text("15 t")


async def test_the_ticket_offers_the_words_of_the_api_document(open_page: Open) -> None:
    page = await open_page("huadong")
    known = describe()["components"]["schemas"]["NewOrderSingle"]["properties"]
    options = "(list) => [...list.options].map((option) => option.value)"
    lists = page.locator("#ticket form select")
    assert await lists.nth(0).evaluate(options) == known["order_type"]["enum"]
    assert await lists.nth(1).evaluate(options) == known["time_in_force"]["enum"]
    stop = page.locator("#ticket").get_by_label("Stop price")
    await expect(stop).to_be_hidden()
    await lists.nth(0).select_option("STOP_LIMIT")
    await expect(stop).to_be_visible()
    await page.locator("#ticket input").nth(0).fill("7")
    await page.locator("#ticket input").nth(1).fill("75.10")
    await stop.fill("75.00")
    await page.locator("#ticket").get_by_role("button", name="Buy EUA").click()
    await expect(rows(page).first).to_contain_text("Stop price 75.00")
    await page.get_by_label("What to enter").select_option("/quotes")
    quote = page.locator("#ticket")
    await quote.get_by_label("To buy, t").fill("5")
    await quote.get_by_label("Price to buy").fill("69.00")
    await quote.get_by_role("button", name="Two-sided quote").click()
    await expect(rows(page)).to_have_count(2)
    await expect(rows(page).get_by_role("button", name="Replace")).to_have_count(1)
    await expect(rows(page).get_by_role("button", name="Cancel")).to_have_count(2)
    await page.get_by_role("button", name="Cancel many").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel many").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel many").click()
    await expect(page.locator("#notices")).to_contain_text("Orders cancelled: 2")
    await expect(rows(page)).to_have_count(0)


async def test_the_ticket_tells_an_emitter_what_room_caps_leave_for_an_offset(
    open_page: Open,
) -> None:
    page = await open_page("yangtze", "market/CCER")
    room = page.locator("#ticket .room")
    await expect(room).to_have_text(re.compile(r"^room to buy [\d,]+ t$"))
    await page.locator("#ticket").get_by_role("radio", name="Sell").click()
    await expect(room).to_have_text("")
    await page.locator("#ticket").get_by_role("radio", name="Buy").click()
    await expect(room).to_have_text(re.compile("room to buy"))


async def test_a_refusal_says_its_number_and_what_to_do_in_both_languages(open_page: Open) -> None:
    page = await open_page("huadong")
    ticket = page.locator("#ticket")
    await ticket.locator("input").nth(0).fill("2000000")
    await ticket.locator("input").nth(1).fill("1.00")
    await ticket.get_by_role("button", name="Buy EUA").click()
    alert = ticket.get_by_role("alert")
    await expect(alert).to_contain_text("231 QUANTITY_ABOVE_MAX")
    await expect(alert).to_contain_text("Send smaller orders")
    await page.get_by_role("button", name="中文").click()
    await expect(ticket.locator("input").nth(0)).to_have_value("2000000")
    await ticket.get_by_role("button", name="买入 EUA").click()
    await expect(alert).to_contain_text("请拆分")
    await ticket.locator("input").nth(1).fill("1.001")
    await ticket.get_by_role("button", name="买入 EUA").click()
    await expect(alert).to_contain_text("小数位数")


# -- auctions ------------------------------------------------------------------------------------


async def test_a_bid_is_sent_sealed_and_its_auction_cleared(desk: House, open_page: Open) -> None:
    async with desk.client("operator") as operator:
        await operator.run_auction(
            AuctionOpen(
                ref=0, symbol="EUA", account=101, quantity=500, format="eu-primary", label="week-27"
            )
        )
    page = await open_page("huadong", "auctions")
    await expect(page.get_by_role("heading", name="week-27")).to_be_visible()
    await page.get_by_label("Quantity, t").fill("500")
    await page.get_by_label("Price", exact=True).fill("71.30")
    await page.get_by_role("button", name="Send sealed bid").click()
    own = page.locator(".own tbody tr")
    await expect(own).to_have_count(1)
    await expect(own.first).to_contain_text("Sealed bid")
    clerk = await open_page("operator", "operations")
    form = clerk.locator('[data-path="/operations/auction-clear"]')
    await form.locator("summary").click()
    await form.get_by_label("Symbol").select_option("EUA")
    number = (await page.locator("dl.list.two dd").nth(1).inner_text()).strip()
    await form.get_by_label("Auction number").fill(number)
    await form.get_by_role("button", name="Clear an auction").click()
    await confirm(clerk, "EUA")
    await expect(clerk.locator("#notices")).to_contain_text("Clear an auction: done")
    await expect(page.get_by_role("heading", name="Result")).to_be_visible()
    await expect(page.locator(".page")).to_contain_text("35,650.00 EUR")
    await expect(own).to_have_count(0)


async def test_a_bid_form_waits_for_the_accounts_and_stays_as_it_is(
    desk: House, open_page: Open
) -> None:
    async with desk.client("operator") as operator:
        opened = AuctionOpen(
            ref=0, symbol="EUA", account=101, quantity=500, format="eu-primary", label="week-28"
        )
        await operator.run_auction(opened)
        held = asyncio.Event()

        async def late(route: Route) -> None:
            await held.wait()
            await route.continue_()

        page = await open_page("", "auctions")
        await page.route("**/accounts", late)
        await sign_in(page, desk.settings.data / "huadong.key")
        await expect(page.get_by_role("heading", name="week-28")).to_be_visible()
        await expect(page.locator("#who")).to_contain_text("huadong")
        send = page.get_by_role("button", name="Send sealed bid")
        await expect(send).to_have_count(0)
        held.set()
        await expect(send).to_be_visible()
        await page.get_by_label("Quantity, t").fill("500")
        await page.get_by_role("button", name="week-28").click()  # the list is drawn again
        await expect(page.get_by_label("Quantity, t")).to_have_value("500")
        (row,) = [row for row in await operator.auctions("EUA") if row.state == "OPEN"]
        await operator.run_auction(AuctionCancel(ref=0, symbol="EUA", auction_id=row.auction_id))


async def confirm(page: Page, typed: str) -> None:
    dialog = page.get_by_role("dialog")
    button = dialog.locator("button.danger")
    await expect(button).to_be_disabled()
    await dialog.locator("#typed").fill(typed)
    await button.click()
    await expect(dialog).to_have_count(0)


# -- compliance ----------------------------------------------------------------------------------


async def test_a_year_is_planned_with_reasons_and_surrendered_after_typing(open_page: Open) -> None:
    page = await open_page("yangtze", "compliance")
    await go(page, "Compliance")
    body = page.locator(".page")
    await expect(body.locator(".big")).to_have_text("10,000 tstill to surrender")
    await expect(body).to_contain_text("cap of cn-2025-2026-ccer: nothing is left of 500 t")
    await expect(body).to_contain_text("0 t used of 500 t")
    await page.keyboard.press("l")
    await expect(body).to_contain_text("cn-2025-2026-ccer 的上限：500 吨已用完")
    await page.keyboard.press("l")
    await body.get_by_text("Serial blocks (2)").click()
    await expect(body.get_by_role("region", name="Serial blocks")).to_contain_text("CCER")
    await page.get_by_role("button", name="Surrender 10,000 t").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("given up for good")
    await expect(dialog).to_contain_text("CCER500 t")
    await expect(dialog).to_contain_text("CEA-20259,500 t")
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await page.get_by_role("button", name="Surrender 10,000 t").click()
    await confirm(page, "10000")
    await expect(body.locator(".big")).to_have_text("0 teverything is surrendered")
    await body.get_by_label("Quantity, t").fill("1")
    await body.get_by_role("button", name="Surrender", exact=True).click()
    await dialog.locator("#typed").fill("1")
    await dialog.locator("button.danger").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("Refused 6")


# -- operations ----------------------------------------------------------------------------------


async def test_an_instrument_is_halted_by_typing_its_name_and_everybody_sees(
    open_page: Open,
) -> None:
    public = await open_page(at="market/CEA-2024")
    page = await open_page("operator", "operations")
    await go(page, "Operations")
    await expect(page.locator("#health")).to_contain_text("Caught up")
    await page.get_by_role("button", name="CEA-2024: Halt").click()
    await confirm(page, "CEA-2024")
    await expect(public.locator("#phase")).to_have_text("halted")
    row = page.locator('#phases tr[data-key="CEA-2024"]')
    await expect(row).to_contain_text("halted")
    await row.get_by_role("button", name="CEA-2024: Open").click()
    await confirm(page, "CEA-2024")
    await expect(public.locator("#phase")).to_have_text("continuous")


async def test_an_operation_that_the_page_never_heard_of_is_a_form_that_asks_for_its_name(
    open_page: Open,
) -> None:
    offered = describe()
    offered["components"]["schemas"]["KillSwitch"] = {
        "type": "object",
        "description": "Cancels every order of a participant.",
        "properties": {
            "type": {"enum": ["KillSwitch"]},
            "ref": {"type": "integer"},
            "participant": {"type": "integer"},
            "is_total": {"type": "boolean", "default": False},
        },
        "required": ["type", "ref", "participant"],
    }
    schema = {"$ref": "#/components/schemas/KillSwitch"}
    offered["paths"]["/operations/kill-switch-test"] = {
        "post": offered["paths"]["/operations/phase"]["post"]
        | {"summary": "Kill a participant", "requestBody": {
            "content": {"application/json": {"schema": schema}}}},
    }  # fmt: skip
    page = await open_page("operator", "operations", offered)
    await go(page, "Operations")
    sent: list[str] = []

    async def taken(route: Route) -> None:
        sent.append(route.request.post_data or "")
        await answer(route, '{"status":"DONE"}')

    await page.route("**/operations/kill-switch-test", taken)
    form = page.locator('[data-path="/operations/kill-switch-test"]')
    await form.locator("summary").click()
    await form.get_by_label("participant").fill("3")
    await form.get_by_label("is total").check()
    await form.get_by_role("button", name="Kill a participant").click()
    await confirm(page, "3")
    (body,) = [json.loads(text) for text in sent]
    assert body.pop("ref") > 10**18
    assert body == {"type": "KillSwitch", "participant": 3, "is_total": True}


async def test_alerts_are_listed_where_the_venue_has_them(open_page: Open) -> None:
    offered = describe()
    missing = offered["paths"].pop("/alerts")
    page = await open_page("operator", "surveillance", offered)
    await expect(page.locator("#view")).to_contain_text("does not offer it")
    offered["paths"]["/alerts"] = missing
    page = await open_page("operator", "market", offered)
    row = {
        "id": "EU-7", "number": 7, "kind": "LAYERING", "participants": [2],
        "figures": {"cycles": 3, "loaded": 4_500, "traded": 20, "cancelled": 4_400, "orders": 14},
        "market": "EU", "symbol": "EUA", "accounts": [101, 102],
        "from_ns": 1_782_000_000_000_000_000, "to_ns": 1_782_000_001_000_000_000, "score": 91,
        "text": EVIL, "events": [11, 12], "state": "OPEN", "handled_by": "", "handled_ns": 0,
        "handled_reason": "",
    }  # fmt: skip
    sent: list[str] = []

    async def handled(route: Route) -> None:
        sent.append(route.request.post_data or "")
        row.update(state="CLOSED", handled_by="operator", handled_reason=EVIL)
        await answer(route, json.dumps({"status": "DONE"}))

    await page.route("**/alerts", lambda route: answer(route, json.dumps({"alerts": [row]})))
    await page.route("**/operations/alert", handled)
    await go(page, "Surveillance")
    view = page.locator("#view")
    await expect(view).to_contain_text("EU-7")
    await expect(page.get_by_role("heading", name="Layering")).to_be_visible()
    await expect(view).to_contain_text("101, 102")
    await expect(view).to_contain_text(EVIL)
    await expect(view).to_contain_text("Events (2)")
    await page.get_by_role("button", name="中文").click()
    await expect(view).to_contain_text(
        "参与者 2 在 EUA 分多个价位挂单 4,500 吨，在另一方向成交 20 吨"
    )
    await expect(view).not_to_contain_text(EVIL)
    await page.get_by_role("button", name="English").click()
    await page.fill("#alert-reason", "two desks of one owner")
    await page.get_by_role("button", name="Close it").click()
    await expect(page.locator("#handling [data-state]")).to_have_text(["Open it again"])
    (body,) = [json.loads(text) for text in sent]
    assert body.pop("ref") > 10**18
    assert body == {"type": "HandleAlert", "market": "EU", "number": 7, "state": "CLOSED",
                    "reason": "two desks of one owner"}  # fmt: skip
    await page.select_option("#alert-state", "OPEN")
    await expect(view).to_contain_text("No alerts")
    assert await page.evaluate("window.planted") is None


# -- every page ----------------------------------------------------------------------------------

PAGES = {"yangtze": ["market", "auctions", "compliance"],
         "operator": ["operations", "surveillance"]}  # fmt: skip
PARTS = {"market": "#bids tr", "auctions": ".page.split", "compliance": ".cap",
         "operations": "#phases button", "surveillance": ".page .panel"}  # fmt: skip
ENGLISH = re.compile(r"[A-Za-z ,]{4,}")


async def test_every_page_fits_a_phone_speaks_chinese_and_runs_nothing_planted(
    desk: House, open_page: Open
) -> None:
    page = await open_page()
    await page.set_viewport_size({"width": 390, "height": 844})
    for key, names in PAGES.items():
        await sign_in(page, desk.settings.data / f"{key}.key")
        await expect(page.locator("#who")).to_contain_text(key)
        for name in names:
            await page.evaluate("(name) => { location.hash = name; }", name)
            await page.wait_for_selector(f'body[data-page="{name}"] {PARTS[name]}')
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390, name
            assert await page.locator("#tabs").evaluate("(bar) => bar.scrollWidth") <= 362, name
            await page.keyboard.press("l")
            await page.wait_for_selector(PARTS[name])
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390, name
            assert await page.get_attribute("html", "lang") == "zh-CN"
            shown = await page.locator("#tabs, h2, th, label > span").all_inner_texts()
            assert [text for text in shown if ENGLISH.fullmatch(text.strip())] == [], name
            await page.keyboard.press("l")
        await page.keyboard.press("k")
    await sign_in(page, desk.settings.data / "huadong.key")
    account = page.locator("#ticket option", has_text=EVIL)
    await expect(account).to_have_count(1)
    await expect(page.locator("#name")).to_have_text(f"EU allowance {EVIL}")
    assert await page.evaluate("window.planted") is None


async def test_what_a_role_may_not_do_is_not_shown(desk: House, open_page: Open) -> None:
    page = await open_page()
    tabs = page.locator("#tabs a")
    await expect(tabs).to_have_text(["Market", "Auctions"])
    seen = {"northern": ["Market", "Auctions", "Compliance"],
            "operator": ["Market", "Auctions", "Compliance", "Operations", "Surveillance"],
            "authority": ["Market", "Auctions", "Compliance", "Surveillance"],
            "verifier": ["Market", "Auctions"]}  # fmt: skip
    for key, names in seen.items():
        await sign_in(page, desk.settings.data / f"{key}.key")
        await expect(page.locator("#who")).to_contain_text(key)
        await expect(tabs).to_have_text(names)
        await expect(page.locator("#ticket")).to_have_count(int(key == "northern"))
        await page.keyboard.press("k")
        await expect(page.locator("#who")).to_be_empty()


async def test_a_key_that_is_none_or_unknown_is_told_and_nothing_is_stored(
    desk: House, open_page: Open, tmp_path: Path
) -> None:
    page = await open_page()
    broken, stranger = tmp_path / "broken.key", tmp_path / "stranger.key"
    broken.write_text('id = "x"\nprivate_key = "AAAA"\n')
    save_key(stranger, generate_key("stranger"))
    await sign_in(page, broken)
    alert = page.get_by_role("dialog").get_by_role("alert")
    await expect(alert).to_contain_text("This is no key file")
    await page.set_input_files("#key-file", stranger)
    await expect(alert).to_contain_text("510 UNKNOWN_KEY")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await sign_in(page, desk.settings.data / "huadong.key")
    await expect(page.locator("#who")).to_have_text("huadong · participant")
    stored = await page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
    assert "huadong" not in stored
    assert len(stored) < 100
    await page.keyboard.press("k")
    await expect(page.locator("#who")).to_be_empty()
    assert await page.locator("#ticket").count() == 0


async def test_the_keyboard_is_enough_and_escape_gives_the_focus_back(open_page: Open) -> None:
    page = await open_page("huadong")
    help_button = page.get_by_role("button", name="Keyboard shortcuts")
    await help_button.focus()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("Close a dialog")
    await page.keyboard.press("2")
    assert await page.get_attribute("body", "data-page") == "market"
    await page.keyboard.press("Escape")
    await expect(help_button).to_be_focused()
    await page.keyboard.press("2")
    await page.wait_for_selector('body[data-page="auctions"]')
    await page.keyboard.press("1")
    await page.keyboard.press("s")
    await expect(page.get_by_role("radio", name="Sell")).to_have_attribute("aria-checked", "true")
    await page.keyboard.press("Escape")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert await page.evaluate(outline) == "solid"


async def test_orders_and_the_ticket_work_again_after_the_gateway_was_away(
    desk: House, open_page: Open
) -> None:
    page = await open_page("huadong")
    await page.locator("#ticket input").nth(0).fill("3")
    await page.locator("#ticket input").nth(1).fill("60.00")
    await page.locator("#ticket").get_by_role("button", name="Buy EUA").click()
    await expect(rows(page)).to_have_count(1)
    assert desk.gateway is not None
    ports = {"http_port": desk.gateway.http_port, "websocket_port": desk.gateway.websocket_port}
    await desk.stop("gateway")
    await page.wait_for_selector("#dot.lost")
    await page.get_by_role("button", name="Cancel Buy 3 EUA").click()
    await expect(page.get_by_role("dialog")).to_contain_text("not known whether")
    await page.keyboard.press("Escape")
    await desk.open_gateway(**ports)
    await page.wait_for_selector("#dot.live", timeout=20_000)
    await expect(rows(page)).to_have_count(1)
    await page.get_by_role("button", name="Cancel Buy 3 EUA").click()
    await expect(rows(page)).to_have_count(0)
