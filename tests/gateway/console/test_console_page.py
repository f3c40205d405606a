"""The page in a real Chromium: it shows a live book, a trade when one happens, and a chart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, async_playwright, expect

from deploy.local.chromium import find_chromium
from gateway.client import Client
from gateway.console.build import SCRIPT_SHA256, build
from gateway.console.files import FILES


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(find_chromium()), args=["--no-sandbox"]
        )
        opened = await browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-GB")
        yield opened
        await browser.close()


@pytest.fixture
def complaints(page: Page) -> list[str]:
    found: list[str] = []
    page.on("console", lambda m: found.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("requestfailed", lambda request: found.append(f"failed: {request.url}"))
    return found


async def quote(maker: Client) -> None:
    for step in range(1, 6):
        await maker.new_order("EUA", 101, "BUY", 10 * step, f"71.{20 - step:02}")
        await maker.new_order("EUA", 101, "SELL", 10 * step, f"71.{20 + step:02}")


async def test_the_page_shows_book_trades_and_chart_as_they_happen(
    house, northern: Client, huadong: Client, page: Page, complaints: list[str], tmp_path: Path
) -> None:
    await quote(northern)
    response = await page.goto(house.url)
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert f"ws://127.0.0.1:{house.gateway.websocket_port}" in policy
    assert "unsafe" not in policy
    best = page.locator("#bids tr").first
    await expect(page.locator("#bids td").first).to_have_text("71.19")
    assert (await best.inner_text()).split() == ["71.19", "10", "10"]
    assert (await page.locator("#asks tr").last.inner_text()).split() == ["71.21", "10", "10"]
    await expect(page.locator("#state")).to_have_text("live")
    await expect(page.locator("#phase")).to_have_text("continuous")
    await huadong.new_order("EUA", 102, "BUY", 15, "71.25", time_in_force="IOC")
    await page.wait_for_selector("#trades tr:nth-child(2)")
    rows = [text.split()[:2] for text in await page.locator("#trades tr").all_inner_texts()]
    assert rows == [["71.22", "5"], ["71.21", "10"]]
    await expect(page.locator("#asks tr").last).to_have_text("71.221515")
    assert await page.locator("#chart canvas").count() > 0
    await expect(page.locator("#sequence")).to_contain_text("checksum right")
    await page.screenshot(path=tmp_path / "1280.png")
    assert complaints == []


async def test_a_block_is_no_last_price_no_candle_and_no_volume_of_the_day(
    house, northern: Client, huadong: Client, page: Page
) -> None:
    """As it comes, and after the page was loaded anew: as bars and `day_volume` count."""
    await quote(northern)
    await huadong.new_order("EUA", 102, "BUY", 10, "71.21", time_in_force="IOC")
    await page.goto(house.url)
    await expect(page.locator("#trades tr")).to_have_count(1)
    await northern.propose_block("EUA", 101, "SELL", 500, "71.90", 102)
    (waiting,) = (await huadong.blocks("EU")).proposals
    await huadong.confirm_block(waiting)
    for _ in range(2):
        await expect(page.locator("#trades tr")).to_have_count(2)
        apart = page.locator("#trades tr.apart")
        assert (await apart.inner_text()).split()[:2] == ["71.90", "500"]
        await expect(apart).to_have_attribute("title", "Block")
        await expect(page.locator("#last")).to_have_text("71.21")
        await expect(page.locator("#volume")).to_have_text("10 t")
        await page.reload()


async def test_another_instrument_is_picked_with_the_keyboard_and_words_change(
    house, northern: Client, page: Page, complaints: list[str]
) -> None:
    await northern.new_order("CCER", 201, "BUY", 7, "83.00")
    await page.goto(house.url)
    await page.get_by_role("radio", name="EUA").focus()
    await page.keyboard.press("ArrowLeft")
    await expect(page.locator("#bids td").first).to_have_text("83.00")
    assert await page.locator("#symbol").inner_text() == "CCER"
    assert page.url.endswith("#market/CCER")
    await page.get_by_role("button", name="中文").click()
    assert await page.get_by_role("heading", name="委托盘口").is_visible()
    assert await page.get_attribute("html", "lang") == "zh-CN"
    assert complaints == []


async def test_on_a_phone_nothing_is_wider_than_the_screen(
    house, northern: Client, page: Page, complaints: list[str], tmp_path: Path
) -> None:
    await quote(northern)
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(house.url)
    await expect(page.locator("#bids td").first).to_have_text("71.19")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.screenshot(path=tmp_path / "390.png", full_page=True)
    assert complaints == []


async def test_the_book_is_live_again_after_the_gateway_was_away(
    house, northern: Client, page: Page
) -> None:
    await quote(northern)
    await page.goto(house.url)
    await expect(page.locator("#bids td").first).to_have_text("71.19")
    ports = {"http_port": house.gateway.http_port, "websocket_port": house.gateway.websocket_port}
    await house.stop("gateway")
    await page.wait_for_selector("#dot.lost")
    await house.open_gateway(**ports)
    await page.wait_for_selector("#dot.live")
    await northern.new_order("EUA", 101, "BUY", 3, "71.20")
    await expect(page.locator("#bids td").first).to_have_text("71.20")


async def test_only_the_pages_own_files_are_served(house) -> None:
    async with httpx.AsyncClient(base_url=house.url) as http:
        for name in FILES:
            response = await http.get(f"/console/{name}")
            assert response.status_code == 200, name
            assert response.headers["x-content-type-options"] == "nosniff"
        for name in ("build.py", "..%2fservice.py", "package.json", "vendor"):
            assert (await http.get(f"/console/{name}")).status_code == 404, name
        html = (await http.get("/")).text
        evil = await http.get("/", headers={"Host": "x; script-src *"})
    assert "<script>" not in html
    assert "onclick" not in html
    assert (evil.status_code, evil.json()["reason"]) == (422, 503)


def test_the_chart_library_is_built_from_the_lock_and_known_by_its_hash(tmp_path: Path) -> None:
    script = build(tmp_path)
    assert script.stat().st_size > 100_000
    assert (tmp_path / "lightweight-charts.LICENSE.txt").exists()
    assert len(SCRIPT_SHA256) == 64


async def test_a_key_pressed_as_a_dialog_closes_is_heard(house, page: Page) -> None:
    await page.goto(house.url)
    await page.keyboard.press("k")
    await page.focus("#key-file")
    await page.evaluate(
        """() => {
          const field = document.activeElement;
          field.closest("dialog").close(); // until the page is drawn, keys still go to the field
          field.dispatchEvent(new KeyboardEvent("keydown", { key: "?", bubbles: true }));
        }"""
    )
    await expect(page.get_by_role("dialog")).to_contain_text("Close a dialog")
