"""What waits for a second person or for the other side, and what is stopped, in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from exchange.messages.operations import Approve, Halt, Kill, Lift, Resume, SetLimit
from tests.gateway.conftest import House
from tests.gateway.console.test_console_terminal import Open, browser, confirm, desk, go, open_page

__all__ = ["browser", "desk", "open_page"]  # fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_block_is_confirmed_by_the_side_it_is_proposed_to(
    desk: House, open_page: Open
) -> None:
    page = await open_page("yangtze", at="market/EUA")
    async with desk.client("northern") as northern:
        await northern.propose_block("EUA", 101, "SELL", 200, "71.00", 103)
    row = page.locator("tr", has_text="proposed to you")
    await expect(row).to_contain_text("Buy")
    await row.get_by_role("button", name="Confirm Buy 200 EUA").click()
    await page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    await expect(row).to_have_count(0)
    async with desk.client("yangtze") as yangtze:
        fill = (await yangtze.executions("EU")).executions[-1]
    assert (fill.trade_method, fill.side, fill.last_quantity) == ("BLOCK", "BUY", 200)


async def test_ones_own_proposal_of_a_block_is_cancelled_and_has_no_replace(
    open_page: Open, desk: House
) -> None:
    page = await open_page("northern", at="market/EUA")
    async with desk.client("northern") as northern:
        await northern.propose_block("EUA", 101, "SELL", 300, "71.00", 103)
    row = page.locator("tr", has_text="Block")
    await expect(row.get_by_role("button")).to_have_text(["Cancel"])
    await row.get_by_role("button", name="Cancel Sell 300 EUA").click()
    await expect(row).to_have_count(0)


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


async def test_what_is_stopped_and_limited_stands_there_until_it_is_lifted(
    desk: House, open_page: Open
) -> None:
    page = await open_page("operator", "operations")
    standing = page.locator("#standing")
    stopped = {"ref": 0, "market": "CN", "session": 1_999}
    async with desk.client("operator") as operator, desk.client("controller") as controller:
        await operator.operate("/operations/kill", Kill(**stopped, reason="runs wild"))
        await expect(standing.locator("tr", has_text="runs wild")).to_contain_text("1999")
        limit = SetLimit(ref=0, market="CN", parameter="MESSAGE_RATE", value=9, session=1_999,
                         reason="too fast")  # fmt: skip
        await operator.operate("/operations/limit", limit)
        await expect(standing).to_contain_text("too fast")
        lift = await operator.operate("/operations/lift", Lift(**stopped, reason="mended"))
        await expect(standing).to_contain_text("runs wild")
        approve = Approve(ref=0, market="CN", proposal_id=lift.proposal_id)
        await controller.operate("/operations/approve", approve)
    await expect(standing).not_to_contain_text("runs wild")
    await expect(standing).to_contain_text("too fast")


async def test_prices_that_rise_are_green_and_in_chinese_red(open_page: Open) -> None:
    page = await open_page(at="market/EUA")
    colour = "(name) => getComputedStyle(document.documentElement).getPropertyValue(name)"
    green, red = [await page.evaluate(colour, name) for name in ("--up", "--down")]
    for rises, falls in ((green, red), (red, green)):
        assert await page.evaluate(colour, "--rise") == rises
        assert await page.evaluate(colour, "--fall") == falls
        assert await page.evaluate(colour, "--up") == green  # what is well is green everywhere
        await page.keyboard.press("l")


async def test_a_level_that_goes_takes_its_bar_along(open_page: Open) -> None:
    page = await open_page()
    widths = await page.evaluate(
        """import("/console/book.js").then(({ Ladder }) => {
             const [asks, bids] = ["asks", "bids"].map((id) => document.getElementById(id));
             asks.replaceChildren();
             bids.replaceChildren();
             const ladder = new Ladder(asks, bids, 2, () => {});
             const bars = () => [...bids.querySelectorAll(".bar")]
               .map((bar) => bar.getBoundingClientRect().width > 0);
             const drawn = (levels) => {
               ladder.draw({ asks: [], bids: levels }, String, String);
               return bars();
             };
             drawn([[7100, 5, 1], [7000, 5, 1]]);
             return new Promise((done) => {
               setTimeout(() => done([bars(), drawn([[7100, 5, 1]])]), 400);
             });
           })"""
    )
    assert widths == [[True, True], [True, False]]
