"""Operators log in on the page with password and code: by keyboard, in two languages, and out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pyotp
import pytest
from argon2 import PasswordHasher
from playwright.async_api import Page, Request, async_playwright, expect

from deploy.local.chromium import find_chromium
from gateway.access.operators import FILE, Operator, make_operator, save_operators
from gateway.routes.logins import COOKIE, DEVICE_COOKIE
from tests.gateway.conftest import House, demo_venue

PASSWORD = "correct horse battery"
SIZES = {"desktop": (1280, 800), "telephone": (390, 844)}


class Terminal:
    """A page, the venue behind it, and the operator who uses it."""

    def __init__(self, house: House, page: Page, operator: Operator) -> None:
        self.house, self.page, self.operator = house, page, operator
        self.errors: list[str] = []
        self.sent: list[Request] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console", lambda m: self.errors.append(m.text) if "Content Sec" in m.text else None
        )
        page.on("request", lambda request: self.sent.append(request))

    def code(self, ahead: int = 0) -> str:
        return pyotp.TOTP(self.operator.totp_secret).generate_otp(int(time.time()) // 30 + ahead)

    async def fill(self, password: str, code: str) -> None:
        """As somebody without a mouse."""
        await self.page.keyboard.press("k")
        await expect(self.page.locator("dialog")).to_be_visible()
        await self.type(password, code)

    async def type(self, password: str, code: str) -> None:
        page = self.page
        await page.focus("#login-name")
        await page.keyboard.press("ControlOrMeta+a")
        await page.keyboard.type("ada")
        await page.keyboard.press("Tab")
        await page.keyboard.press("ControlOrMeta+a")
        await page.keyboard.type(password)
        await page.keyboard.press("Tab")
        await page.keyboard.type(code)
        await page.keyboard.press("Enter")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[House, Operator]]:
    venue, keys = demo_venue()
    ada = make_operator("ada", PASSWORD, "operator", 1, ())
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    ada = msgspec.structs.replace(ada, password_hash=quick)
    save_operators(tmp_path / FILE, (ada,))
    made = House(tmp_path, venue, keys)
    await made.start()
    await made.endow()
    yield made, ada
    await made.close()


@pytest.fixture
async def terminal(house: tuple[House, Operator]) -> AsyncIterator[Terminal]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(find_chromium()), args=["--no-sandbox"]
        )
        context = await browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
        made = Terminal(house[0], await context.new_page(), house[1])
        await made.page.goto(f"{house[0].url}/")
        await made.page.wait_for_selector("#dot.live")
        yield made
        await browser.close()
    assert made.errors == []


async def test_an_operator_logs_in_halts_an_instrument_and_logs_out(terminal: Terminal) -> None:
    page = terminal.page
    await terminal.fill("wrong horse battery", terminal.code())
    await expect(page.locator("dialog [role=alert]")).to_contain_text("545")
    await expect(page.locator("#login-code")).to_be_focused()  # and empty: to try again
    await expect(page.locator("#login-code")).to_have_value("")
    await terminal.type(PASSWORD, terminal.code())
    await expect(page.locator("#who")).to_have_text("ada · operator")
    cookies = await page.context.cookies()
    assert {(cookie["name"], cookie["path"]) for cookie in cookies} == {
        (COOKIE, "/"), (DEVICE_COOKIE, "/login")
    }  # fmt: skip
    assert {(cookie["httpOnly"], cookie["sameSite"]) for cookie in cookies} == {(True, "Strict")}
    assert await page.evaluate("document.cookie") == ""  # no script can read it

    await page.click("a[href='#operations']")
    await page.click("[data-focus='EUA HALT']")
    await page.fill("#typed", "EUA")
    await page.keyboard.press("Enter")
    await expect(page.locator("#phases tr", has_text="EUA").first).to_contain_text("halt")
    posted = [r for r in terminal.sent if r.method == "POST" and "/operations/" in r.url]
    assert [bool(r.headers.get("x-exchange-csrf")) for r in posted] == [True]
    # another site's page cannot do the same: its request has no token
    refused = await page.evaluate(
        """fetch("/operations/halt", {method: "POST", body: JSON.stringify(
             {type: "Halt", ref: 1, market: "EU", reason: "planted"})}).then((r) => r.json())"""
    )
    assert refused["reason"] == 548

    await page.keyboard.press("Escape")
    await page.keyboard.press("k")
    await expect(page.locator("#who")).to_have_text("")
    await expect(page.locator("a[href='#operations']")).to_have_count(0)
    await terminal.house.until(lambda: not terminal.house.gateway.context.logins._sessions)


async def test_a_login_that_is_over_signs_out_and_says_so(terminal: Terminal) -> None:
    page = terminal.page
    await terminal.fill(PASSWORD, terminal.code())
    await expect(page.locator("#who")).to_have_text("ada · operator")
    await page.click("a[href='#operations']")
    assert terminal.house.gateway is not None
    assert terminal.house.gateway.context.logins is not None
    terminal.house.gateway.context.logins.replace(())  # removed by another operator
    await expect(page.locator("#notices")).to_contain_text("Your login is over")
    await expect(page.locator("#who")).to_have_text("")


@pytest.mark.parametrize("size", SIZES)
async def test_the_form_fits_and_speaks_both_languages(
    terminal: Terminal, size: str, tmp_path: Path
) -> None:
    page = terminal.page
    width, height = SIZES[size]
    await page.set_viewport_size({"width": width, "height": height})
    for label, language in (("Password", "en"), ("密码", "zh")):
        await page.keyboard.press("k")
        await expect(page.locator("label", has_text=label).first).to_be_visible()
        box = await page.locator("#login button").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        wide = await page.evaluate("document.querySelector('dialog').scrollWidth")
        assert wide <= width
        await page.screenshot(path=tmp_path / f"{size}-{language}.png")
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog")).to_have_count(0)
        await page.keyboard.press("l")
