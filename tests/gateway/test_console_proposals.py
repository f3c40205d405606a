"""What waits for a second person, on the operations page in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from exchange.messages.operations import Halt, Resume
from tests.gateway.conftest import House
from tests.gateway.test_console_terminal import Open, browser, confirm, desk, go, open_page

__all__ = ["browser", "desk", "open_page"]  # fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_waits_is_listed_and_ended_by_a_button(desk: House, open_page: Open) -> None:
    page = await open_page("operator", "operations")
    await go(page, "Operations")
    panel = page.locator("#proposals")
    await expect(panel).to_contain_text("Nothing waits")
    async with desk.client("operator") as operator:
        await operator.operate("/operations/halt", Halt(ref=0, market="EU", reason="all stop"))
        resume = Resume(ref=0, market="EU", reason="let go")
        report = await operator.operate("/operations/resume", resume)
    assert report.status == "PROPOSED"
    row = panel.locator(f'tr[data-key="{report.proposal_id}"]')
    for text in ("End a halt", "let go", "operator"):
        await expect(row).to_contain_text(text)

    await row.locator('[data-act="Approve"]').click()  # by the same person
    await expect(page.locator("dialog")).to_contain_text("End a halt")  # what is approved
    await page.locator("#typed").fill(str(report.proposal_id))
    await page.locator("dialog button[type=submit]").click()
    await expect(page.locator("dialog")).to_contain_text("552")
    await page.keyboard.press("Escape")

    await row.locator('[data-act="Decline"]').click()
    await confirm(page, str(report.proposal_id))
    await expect(panel).to_contain_text("Nothing waits")


async def test_what_accounts_have_stands_in_columns(open_page: Open) -> None:
    page = await open_page("operator", "operations")
    await go(page, "Operations")
    heads = page.get_by_role("region", name="Accounts of participants").locator("th")
    await expect(heads).to_have_count(7)
    boxes = [await heads.nth(at).bounding_box() for at in range(7)]
    assert len({box["y"] for box in boxes if box}) == 1
