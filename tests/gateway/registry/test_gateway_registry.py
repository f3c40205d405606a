"""Instructions to the registry, operations of the market, holdings, and the command line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from exchange.clock import Clock
from exchange.database.connection import open_database, upgrade
from exchange.messages.instructions import (
    CancelTransfer,
    CancelUnits,
    DepositUnits,
    IssueUnits,
    PledgeUnits,
    ReleaseUnits,
    SurrenderUnits,
    TransferUnits,
)
from exchange.messages.operations import Approve
from exchange.messages.orders import OrderCancelReplaceRequest, Quote
from exchange.reference.venue import Key, Role
from exchange.registry.service import RegistryService
from exchange.rulebook import Rulebook
from exchange.settlement.service import SettlementService
from gateway.cli import build
from gateway.cli.plans import print_headroom, print_plan
from gateway.client import (
    BadRequestError,
    InsufficientFundsError,
    OrderNotFoundError,
    PermissionDeniedError,
    RefusedError,
    RegistryRefusedError,
    generate_key,
    save_key,
)
from tests.gateway.conftest import House, demo_venue, owe

WHEN = datetime(2026, 10, 15, 3, tzinfo=UTC)
Seat = tuple[str, int, Role, str]  # a key: its id, participant, role and person
CCER = {"ref": 0, "symbol": "CCER", "account": 203}
LATER = datetime(2027, 3, 15, 3, tzinfo=UTC)  # the emission year 2026 is over


class ClockOnDay:
    """The machine's clock on another day: the rulebook goes by the date of the act."""

    def __init__(self, day: datetime) -> None:
        self._shift_ns = int(day.timestamp()) * 10**9 - time.time_ns()

    def now_ns(self) -> int:
        return time.time_ns() + self._shift_ns

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[House]:
    """Also settlement and registry; nothing is deposited yet, everything is closed."""
    async with whole_house(tmp_path, ClockOnDay(WHEN)) as house:
        yield house


@asynccontextmanager
async def whole_house(
    tmp_path: Path,
    clock: Clock,
    offset_headroom: Literal["show", "enforce"] = "show",
    rulebook: Rulebook | None = None,
    emitter: int = 0,
    seats: Iterable[Seat] = (),
) -> AsyncIterator[House]:
    """The venue with settlement and registry; the account `emitter` is one beside its own.

    `seats` are keys beside its own, or instead of them.
    """
    venue, keys = demo_venue()
    for number, (name, participant, role, person) in enumerate(seats):
        keys[name] = generate_key(name)
        made = Key(name, participant, role, 2_001 + number, keys[name].public_key, person=person)
        others = (key for key in venue.key if key.id != name)
        venue = msgspec.structs.replace(venue, key=(*others, made))
    instruments = tuple(
        msgspec.structs.replace(item, offset_headroom=offset_headroom) for item in venue.instrument
    )
    accounts = tuple(
        msgspec.structs.replace(item, type="emitter") if item.id == emitter else item
        for item in venue.account
    )
    venue = msgspec.structs.replace(venue, instrument=instruments, account=accounts)
    house = House(tmp_path, venue, keys, clock)
    database = open_database(tmp_path / "books.sqlite")
    await upgrade(database)
    house.books = database
    await house.start()
    for market in venue.market:
        house.run(SettlementService(house.log, market, database, clock=house.clock))
        house.run(
            RegistryService(
                house.log, market, venue, database, clock=house.clock, rulebook=rulebook
            )
        )
    try:
        yield house
    finally:
        await house.close()
        await database.close()


async def test_units_are_issued_deposited_sold_released_and_followed_by_serial(
    whole: House,
) -> None:
    async with (
        whole.client("operator") as operator,
        whole.client("northern") as northern,
        whole.client("huadong") as huadong,
    ):
        issued = await operator.instruct(
            IssueUnits(ref=0, symbol="EUA", account=101, quantity=1_000, year=2024)
        )
        (block,) = issued.ranges
        assert (issued.status, block.last - block.first + 1) == ("DONE", 1_000)
        deposited = await northern.instruct(
            DepositUnits(ref=0, symbol="EUA", account=101, quantity=600)
        )
        assert (deposited.kind, deposited.status) == ("DEPOSIT", "DONE")
        done = await operator.deposit_cash("EU", 102, "100000.00")
        assert (done.status, done.events) == ("DONE", 1)
        await operator.set_phase("EU", "CONTINUOUS")
        await northern.new_order("EUA", 101, "SELL", 250, "71.25")
        bought = await huadong.new_order("EUA", 102, "BUY", 250, "71.25")
        assert bought.order_status == "FILLED"

        async def delivered() -> bool:
            rows = (await huadong.holdings("EU")).holdings
            return any(row.quantity == 250 for row in rows)

        await whole.until(delivered)
        released = await huadong.instruct(
            ReleaseUnits(ref=0, symbol="EUA", account=102, quantity=100)
        )
        assert (released.kind, released.status) == ("RELEASE", "DONE")
        rows = {
            (row.account, row.position): row.quantity
            for row in (await operator.holdings()).holdings
        }
        assert rows == {
            (101, "REGISTRY"): 400, (101, "TRADING"): 350,
            (102, "REGISTRY"): 100, (102, "TRADING"): 150,
        }  # fmt: skip
        assert {row.account for row in (await huadong.holdings()).holdings} == {102}
        with pytest.raises(InsufficientFundsError) as short:
            await huadong.instruct(ReleaseUnits(ref=0, symbol="EUA", account=102, quantity=999))
        assert short.value.reason == 261
        moved = await huadong.instruct(
            TransferUnits(ref=0, symbol="EUA", account=102, quantity=40, to_account=103)
        )
        assert moved.status == "PENDING"  # for a day and more: 103 is no trusted account
        (waiting,) = (await huadong.transfers("EU")).transfers
        assert (waiting.transfer_id, waiting.state) == (moved.instruction_id, "WAITING")
        assert waiting.due_ns - moved.transact_time_ns > 20 * 3_600 * 10**9
        pending = {r.position: r.quantity for r in (await huadong.holdings("EU")).holdings}
        assert pending == {"REGISTRY": 60, "PENDING": 40, "TRADING": 150}
        stopped = await huadong.instruct(
            CancelTransfer(ref=0, symbol="EUA", account=102, transfer_id=moved.instruction_id)
        )
        assert (stopped.kind, stopped.status) == ("CANCEL_TRANSFER", "DONE")
        ended = await huadong.instruction(moved.instruction_id, "EU")
        assert (ended.status, ended.reason, ended.text) == ("REFUSED", 664, "CANCELLED")
        assert (await huadong.transfers("EU")).transfers == []
        retired = await huadong.instruct(
            CancelUnits(ref=0, symbol="EUA", account=102, quantity=10, beneficiary="The air",
                        reason="for good")
        )  # fmt: skip
        assert retired.status == "DONE"
        again = await huadong.instruction(retired.instruction_id, "EU")
        assert again.ranges == retired.ranges


async def test_an_emitter_surrenders_and_is_refused_with_rule_and_source(whole: House) -> None:
    async with (
        whole.client("operator") as operator,
        whole.client("authority") as authority,
        whole.client("verifier") as verifier,
        whole.client("yangtze") as yangtze,
    ):
        await owe(yangtze, verifier, 2025, 1_000)
        for symbol, quantity in (("CEA-2025", 2_000), ("CCER", 100)):
            await operator.instruct(
                IssueUnits(ref=0, symbol=symbol, account=203, quantity=quantity, year=2025)
            )
        with pytest.raises(RegistryRefusedError) as capped:
            await yangtze.instruct(
                SurrenderUnits(ref=0, symbol="CCER", account=203, quantity=51, year=2025)
            )
        report = capped.value.report
        assert (capped.value.reason, report.status) == (606, "REFUSED")
        assert report.rule
        assert report.source
        await yangtze.instruct(
            SurrenderUnits(ref=0, symbol="CCER", account=203, quantity=50, year=2025)
        )
        await authority.instruct(
            SurrenderUnits(ref=0, symbol="CEA-2025", account=203, quantity=950, year=2025)
        )
        (row,) = (await yangtze.holdings()).obligations
        assert (row.obligation, row.surrendered) == (1_000, {"CEA-2025": 950, "CCER": 50})
        with pytest.raises(RegistryRefusedError) as twice:
            await yangtze.instruct(
                SurrenderUnits(ref=0, symbol="CEA-2025", account=203, quantity=1, year=2025)
            )
        assert twice.value.reason == 604


async def test_a_plan_says_what_to_surrender_and_why_the_rest_stays(whole: House) -> None:
    async with (
        whole.client("operator") as operator,
        whole.client("verifier") as verifier,
        whole.client("yangtze") as yangtze,
    ):
        with pytest.raises(OrderNotFoundError, match="obligation of account 203 for 2025"):
            await yangtze.surrender_plan(203, 2025)
        await owe(yangtze, verifier, 2025, 1_000)
        for symbol, quantity in (("CEA-2024", 700), ("CEA-2025", 800), ("CCER", 100)):
            await operator.instruct(
                IssueUnits(ref=0, symbol=symbol, account=203, quantity=quantity, year=0)
            )
        moved = await operator.set_reference_price("CCER", "50.00")
        assert moved.status == "PROPOSED"  # outside the band
        async with whole.client("controller") as controller:
            approval = Approve(ref=0, market="CN", proposal_id=moved.proposal_id)
            await controller.operate("/operations/approve", approval)
        await yangtze.instruct(DepositUnits(ref=0, symbol="CEA-2025", account=203, quantity=30))
        pledge = PledgeUnits(ref=0, symbol="CEA-2025", account=203, quantity=20, lender_account=201)
        await yangtze.instruct(pledge)
        plan = await yangtze.surrender_plan(203, 2025)
        assert (plan.due, plan.owed, plan.missing) == ("2026-12-31", 1_000, 200)
        assert [(row.symbol, row.quantity) for row in plan.surrender] == [
            ("CEA-2025", 750),
            ("CCER", 50),
        ]
        assert plan.cost == f"{(750 * 7463 + 50 * 5000) / 100:.2f}"
        reasons = sorted((row.symbol, row.quantity, row.reason) for row in plan.left)
        assert [row[:2] for row in reasons] == [
            ("CCER", 50),
            ("CEA-2024", 700),
            ("CEA-2025", 20),
            ("CEA-2025", 30),
        ]
        assert "nothing is left of 50 t" in reasons[0][2]
        assert "takes allowances of vintage CEA25, CEA26" in reasons[1][2]
        assert reasons[2][2] == "pledged to account 201: only the lender releases it"
        assert reasons[3][2] == "in the trading position: release it first"
        assert [(row.limit, row.left) for row in plan.limits] == [(50, 0)]
        for row in plan.surrender:
            await yangtze.instruct(
                SurrenderUnits(
                    ref=0, symbol=row.symbol, account=203, quantity=row.quantity, year=2025
                )
            )
        done = await yangtze.surrender_plan(203, 2025)
        assert (done.surrendered, done.owed, done.surrender) == (800, 200, [])
        with pytest.raises(OrderNotFoundError, match="account 102"):
            await yangtze.surrender_plan(102, 2025)
        with pytest.raises(BadRequestError, match="no 'eu-ets'; known are cn-national"):
            await yangtze.surrender_plan(203, 2025, "eu-ets")
        with pytest.raises(BadRequestError, match="year: 0 is outside"):
            await yangtze.surrender_plan(203, 0)
        await owe(yangtze, verifier, 2019, 5)
        with pytest.raises(OrderNotFoundError, match="a rule of cn-national for 2019"):
            await yangtze.surrender_plan(203, 2019)
    out = Console(file=StringIO(), width=100)
    for shown in (plan, done):
        print_plan(out, shown)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert "owed 1,000 t, due 2026-12-31" in text
    assert "exchange surrender CCER 50 2025 --account 203" in text
    assert "missing: 200 t" in text
    assert "release it first" in text


@pytest.mark.parametrize("rule", ["show", "enforce"])
async def test_headroom_of_an_offset_is_shown_and_enforced(
    tmp_path: Path, rule: Literal["show", "enforce"]
) -> None:
    async with whole_house(tmp_path, ClockOnDay(LATER), rule) as house:
        await check_headroom(house, is_enforced=rule == "enforce")


async def test_headroom_is_enforced_where_a_replace_or_a_quote_would_buy_more(
    tmp_path: Path,
) -> None:
    async with (
        whole_house(tmp_path, ClockOnDay(LATER), "enforce") as house,
        house.client("operator") as operator,
        house.client("verifier") as verifier,
        house.client("yangtze") as yangtze,
    ):
        await operator.set_phase("CN", "CONTINUOUS", "CCER")
        await operator.deposit_cash("CN", 203, "9000000.00")
        await owe(yangtze, verifier, 2025, 1_000)
        withdrawn = await yangtze.order(Quote(**CCER, bid_quantity="0", offer_quantity="0"))
        assert withdrawn.exec_type == "QUOTED"
        order_id = (
            await yangtze.new_order("CCER", 203, "BUY", 10, "83.00", client_order_id="mine")
        ).order_id
        assert (await yangtze.offset_headroom(203, "CCER")).room == 40
        for named in (
            {"symbol": "CCER", "order_id": order_id},
            {"symbol": "CCER", "original_client_order_id": "mine"},
            {"symbol": "CEA-2025", "order_id": order_id},  # the engine goes by the order
        ):
            beyond = {"ref": 0, "account": 203, "quantity": 51, "price": "83.00"} | named
            with pytest.raises(RefusedError, match=r"41 t of CCER; .* leave 40 t") as refused:
                await yangtze.order(OrderCancelReplaceRequest(**beyond))
            assert refused.value.reason == 530
        with pytest.raises(RefusedError, match=r"41 t of CCER; .* leave 40 t"):
            await yangtze.order(Quote(**CCER, bid_quantity="41", bid_price="82.00"))
        for quantity, room in ((50, 0), (50, 0), (20, 30)):
            told = await yangtze.replace_order("CCER", 203, order_id, quantity, "83.10")
            assert (told.exec_type, told.order_quantity) == ("REPLACED", quantity)
            assert (await yangtze.offset_headroom(203, "CCER")).room == room


async def check_headroom(house: House, *, is_enforced: bool) -> None:
    async with (
        house.client("operator") as operator,
        house.client("verifier") as verifier,
        house.client("yangtze") as yangtze,
        house.client("huadong") as huadong,
    ):
        await operator.set_phase("CN", "CONTINUOUS", "CCER")
        for account in (202, 203):
            await operator.deposit_cash("CN", account, "9000000.00")
        empty = await yangtze.offset_headroom(203, "CCER")
        assert (empty.years, empty.room, empty.is_enforced) == ([], 0, is_enforced)
        for year, owed in ((2025, 1_000), (2026, 410), (2019, 900)):
            await owe(yangtze, verifier, year, owed)
        await operator.instruct(
            IssueUnits(ref=0, symbol="CCER", account=203, quantity=30, year=2025)
        )
        await yangtze.instruct(
            SurrenderUnits(ref=0, symbol="CCER", account=203, quantity=10, year=2025)
        )
        found = await yangtze.offset_headroom(203, "CCER")
        assert [(row.year, row.cap, row.used, row.left) for row in found.years] == [
            (2025, 50, 10, 40),
            (2026, 20, 0, 20),
        ]
        assert (found.held, found.buying, found.room) == (20, 0, 40)
        assert (await yangtze.new_order("CCER", 203, "BUY", 15, "83.00")).order_status == "NEW"
        assert (await yangtze.offset_headroom(203, "CCER")).room == 25
        if is_enforced:
            with pytest.raises(RefusedError, match="leave 25 t: caps 60 t, held 20 t") as beyond:
                await yangtze.new_order("CCER", 203, "BUY", 26, "83.00")
            assert beyond.value.reason == 530
        else:
            assert (await yangtze.new_order("CCER", 203, "BUY", 26, "83.00")).order_status == "NEW"
        assert (await huadong.new_order("CCER", 202, "BUY", 500, "83.00")).order_status == "NEW"
        key_file = house.settings.data / "yangtze.key"
        save_key(key_file, house.keys["yangtze"]._replace(url=house.url))
        given = ["order", "buy", "CCER", "1", "@83.00", "--account", "203"]
        done = await asyncio.to_thread(
            CliRunner(env={"COLUMNS": "240"}).invoke,
            build("order"),
            [*given, "--key-file", str(key_file)],
        )
        room = 24 if is_enforced else 0
        told = f"room of account 203 for CCER: {room} t (2025: 40 t left of 50 t by "
        report, line = done.output.splitlines()
        assert report.startswith("NEW: BUY 1 t CCER")
        assert line.startswith(told)
        out = Console(file=StringIO(), width=100)
        print_headroom(out, await yangtze.offset_headroom(203, "CCER"))
        assert "held 20 t" in out.file.getvalue()  # type: ignore[attr-defined]
        with pytest.raises(BadRequestError, match="CEA-2025 is no offset of market CN"):
            await yangtze.offset_headroom(203, "CEA-2025")


async def test_instructions_are_checked_before_they_reach_the_log(whole: House) -> None:
    before = await whole.ends()
    async with whole.client("northern") as northern:
        for instruction, kind in (
            (DepositUnits(ref=0, symbol="EUA", account=102, quantity=1), PermissionDeniedError),
            (DepositUnits(ref=0, symbol="EUA", account=101, quantity=0), RefusedError),
            (IssueUnits(ref=0, symbol="EUA", account=101, quantity=1, year=1),
             PermissionDeniedError),
            (SurrenderUnits(ref=0, symbol="EUA", account=101, quantity=1, year=2024),
             RegistryRefusedError),
            (CancelUnits(ref=0, symbol="EUA", account=101, quantity=1, beneficiary=" ", reason="x"),
             RegistryRefusedError),
            (CancelUnits(ref=0, symbol="EUA", account=101, quantity=1, beneficiary="a\nb",
                         reason="x"), BadRequestError),
            (CancelUnits(ref=0, symbol="EUA", account=101, quantity=1, beneficiary="a",
                         reason="x" * 400), BadRequestError),
            (TransferUnits(ref=0, symbol="EUA", account=101, quantity=1, to_account=999),
             PermissionDeniedError),
        ):  # fmt: skip
            with pytest.raises(kind):
                await northern.instruct(instruction)
    assert await whole.ends() == before


async def test_operations_go_through_the_log_and_a_resend_is_harmless(whole: House) -> None:
    async with whole.client("operator") as operator:
        await operator.set_phase("CN", "CONTINUOUS", "CCER")
        phases = {row.symbol: row.phase for row in (await operator.phases()).phases}
        assert (phases["CCER"], phases["EUA"]) == ("CONTINUOUS", "CLOSED")
        with pytest.raises(RefusedError) as refused:
            await operator.set_reference_price("CCER", "90.00")
        assert refused.value.reason == 309
        await operator.set_phase("CN", "HALT")
        await operator.set_reference_price("CCER", "90.00")
        await operator.set_phase("CN", "CLOSED")
        tomorrow = int(f"{WHEN + timedelta(1):%Y%m%d}")
        for wrong in (20269999, 20991231, -1, 2**62):
            with pytest.raises(BadRequestError) as unreal:
                await operator.roll_day("CN", wrong)
            assert (unreal.value.reason, "trading_date" in str(unreal.value)) == (503, True)
        await operator.roll_day("CN", tomorrow)
        assert (await operator.phases()).trading_dates["CN"] == tomorrow
        with pytest.raises(RefusedError) as late:
            await operator.roll_day("CN", tomorrow)
        assert late.value.reason == 311
        with pytest.raises(BadRequestError):
            await operator.roll_day("CN", 5)
        await operator.deposit_cash("CN", 201, "10.00")
        await operator.deposit_cash("CN", 201, "-4.00")
        session = await operator.session()
        operator._ref = session.last_ref["CN"] - 1  # as if the answer had been lost
        again = await operator.deposit_cash("CN", 201, "-4.00")
        assert again.text.startswith("sent before")
        row = next(p for p in (await operator.positions("CN")).positions if p.account == 201)
        assert row.cash.available == "6.00"


async def test_the_command_line_does_what_a_member_does(house: House, tmp_path: Path) -> None:
    files = {}
    for name in ("northern", "huadong"):
        files[name] = str(tmp_path / f"{name}.key")
        save_key(Path(files[name]), house.keys[name]._replace(url=house.url))
    runner = CliRunner()

    async def run(*arguments: str, key: str = "northern", code: int = 0) -> str:
        given = [*arguments]
        if key:
            given += ["--key-file", files[key]]
        done = await asyncio.to_thread(runner.invoke, build(), given)
        assert done.exit_code == code, (arguments, done.output, done.exception)
        return done.output

    placed = await run("order", "sell", "EUA", "10", "@71.25", "--account", "101", "--label", "a1")
    assert "NEW: SELL 10 t EUA @71.25" in placed
    filled = await run("order", "buy", "EUA", "4", "market", "--account", "102", key="huadong")
    assert "FILLED" in filled
    assert "a1" not in filled
    assert "71.25" in await run("orders")
    book = await run("book", "EUA", "--url", house.url, key="")
    assert "71.25" in book
    assert "CONTINUOUS" in book
    assert "71.25" in await run("trades", "EUA", "--url", house.url, key="")
    assert "CCER" in await run("instruments", "--url", house.url, key="")
    assert "EUR" in await run("positions")
    assert "Holdings" in await run("holdings")
    assert "CANCELLED" in await run("cancel", "EUA", "a1", "--account", "101")
    refused = await run("cancel", "EUA", "a1", "--account", "101", code=1)
    assert "UNKNOWN_ORDER (206)" in refused
    poor = await run("surrender", "EUA", "5", "2024", "--account", "101", "--yes", code=1)
    assert "603" in poor
    lost = await run("book", "EUA", "--url", "http://127.0.0.1:1", key="", code=3)
    assert "NO_ANSWER" in lost
    assert "give --key-file" in await run("orders", key="", code=2)
