"""Primary auctions over REST and the command line, on a whole venue."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from exchange.clock import SystemClock
from exchange.database.connection import open_database, upgrade
from exchange.log.embedded import EmbeddedLog
from exchange.messages.executions import ExecutionReport, OperationReport
from exchange.messages.instructions import (
    AppointRepresentative,
    ApproveTransfer,
    CancelTransfer,
    DepositUnits,
    IssueUnits,
    SetAccountType,
)
from exchange.messages.operations import AuctionCancel, AuctionClear, AuctionOpen
from exchange.messages.orders import AuctionBid
from exchange.messages.reasons import EdgeReason, Reason, SupplyReason
from exchange.reference.venue import Account
from exchange.registry.service import RegistryService
from exchange.rulebook import load_rulebook
from exchange.settlement.service import SettlementService
from gateway.cli import build
from gateway.cli.auction_desk import look, step
from gateway.client import BookFeed, Client, PermissionDeniedError, VenueError, save_key
from gateway.replies.auctions import AuctionList
from tests.gateway.conftest import House, demo_venue

HOLDING, DELIVERY, BUYER = 104, 101, 102
ALWAYS_OPEN = msgspec.structs.replace(load_rulebook(), registry_rule=())
WEEKS = ("2026-12-02", "2026-12-09", "2026-12-16")
EVE_NS = int(dt.datetime(2026, 12, 1, tzinfo=dt.UTC).timestamp()) * 10**9
FIRST, SECOND, THIRD = (f"eex-pl-{day.replace('-', '')}" for day in WEEKS)
PROGRAMME = f"""
series = "eex-pl"
symbol = "EUA"
holding_account = {HOLDING}
delivery_account = {DELIVERY}
year = {{ year = 2026, dates = [{", ".join(WEEKS)}] }}

[[auctioneer]]
name = "Poland"
volumes = [{{ until = 2026-12-31, volume_t = 4500 }}]

[[auctioneer]]
name = "fund"
volumes = [{{ until = 2026-12-31, volume_t = 1500 }}]
"""
EUA = {"ref": 0, "symbol": "EUA"}


class LogClock(SystemClock):
    """The log's clock, which a test may put forward."""

    ahead_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead_ns

    def go_to(self, moment_ns: int) -> None:
        self.ahead_ns = moment_ns - super().now_ns()


@pytest.fixture
def log_clock(request: pytest.FixtureRequest) -> LogClock:
    """That of the machine, or one that begins at the parameter."""
    clock = LogClock()
    if begin_ns := getattr(request, "param", 0):
        clock.go_to(begin_ns)
    return clock


@pytest.fixture
async def whole(tmp_path: Path, log_clock: LogClock) -> AsyncIterator[House]:
    """Northern holds 6,000 EUA in its auction holding account; Huadong has cash; all is closed."""
    venue, keys = demo_venue()
    holding = Account(HOLDING, 2, "EU", "Northern Carbon Brokers, auction holding")
    venue = msgspec.structs.replace(venue, account=(*venue.account, holding))
    log = EmbeddedLog(tmp_path / "log.sqlite", log_clock)
    house = House(tmp_path, venue, keys, SystemClock(), log)
    database = open_database(tmp_path / "books.sqlite")
    await upgrade(database)
    house.books = database
    await house.start()
    for market in venue.market:
        house.run(SettlementService(house.log, market, database, clock=house.clock))
        house.run(
            RegistryService(
                house.log, market, venue, database, clock=house.clock, rulebook=ALWAYS_OPEN
            )
        )
    async with house.client("operator") as operator:
        await operator.instruct(IssueUnits(**EUA, account=HOLDING, quantity=6_000, year=2026))
        await operator.deposit_cash("EU", BUYER, "1000000.00")
    yield house
    await house.close()
    await database.close()


def opening(**changes: object) -> AuctionOpen:
    given = {
        "account": DELIVERY, "quantity": 500, "format": "eu-primary", "label": "one",
    }  # fmt: skip
    return AuctionOpen(**EUA, **(given | changes))  # type: ignore[arg-type]


def bid_of(auction_id: int, **changes: object) -> AuctionBid:
    given = {"account": BUYER, "auction_id": auction_id, "quantity": 500, "price": "71.25"}
    given["valid_ms"] = 0  # the log has a clock of its own
    return AuctionBid(**EUA, **(given | changes))  # type: ignore[arg-type]


async def refused(act: object) -> int:
    with pytest.raises(VenueError) as found:
        await act  # type: ignore[misc]
    return found.value.reason


async def provided(house: House) -> None:
    async with house.client("operator") as operator, house.client("northern") as northern:
        await operator.instruct(IssueUnits(**EUA, account=DELIVERY, quantity=2_000, year=2026))
        await northern.instruct(DepositUnits(**EUA, account=DELIVERY, quantity=2_000))


async def only(client: Client) -> int:
    (row,) = [row for row in await client.auctions("EUA") if row.state == "OPEN"]
    return row.auction_id


async def test_bids_are_sealed_until_the_result_is_published(whole: House) -> None:
    await provided(whole)
    async with (
        whole.client("operator") as operator,
        whole.client("huadong") as huadong,
        whole.client("yangtze") as yangtze,
    ):
        assert await operator.auctions("EUA") == []
        done = await operator.run_auction(opening())
        assert (done.status, done.events) == ("DONE", 2)
        auction = await only(yangtze)
        report = await huadong.bid(bid_of(auction, client_order_id="mine"))
        assert (report.order_status, report.order_type, report.price) == ("NEW", "BID", "71.25")
        changed = await huadong.replace_order("EUA", BUYER, report.order_id, 1_000, "71.00")
        assert changed.order_status == "NEW"
        (row,) = await yangtze.auctions("EUA")
        assert (row.state, row.offered_t, row.bids, row.bid_t, row.max_bid, row.cover_ratio) == (
            "OPEN", 500, 0, 0, "", "",
        )  # fmt: skip
        assert (row.bid_multiple_t, row.bid_max_bp) == (500, 0)  # told before a bid meets it
        assert await yangtze.orders("EU") == []
        await operator.run_auction(AuctionClear(**EUA, auction_id=auction))
        (row,) = await yangtze.auctions("EUA")
        assert (row.state, row.price, row.sold_t, row.cover_ratio) == (
            "CLEARED", "71.00", 500, "2.00",
        )  # fmt: skip
        assert (row.bids, row.bidders, row.successful_bids, row.revenue) == (1, 1, 1, "35500.00")
        assert (await yangtze.closes("EUA")).closes == []


async def test_a_bid_sent_twice_is_one_bid(whole: House) -> None:
    await provided(whole)
    async with whole.client("operator") as operator, whole.client("huadong") as huadong:
        await operator.run_auction(opening())
        auction = await only(huadong)

        async def send(**changes: object) -> ExecutionReport:
            return await huadong.rest.call(
                "POST", "/auctions/bids", ExecutionReport, query={"wait_ms": 5_000},
                body=msgspec.structs.replace(bid_of(auction), **({"ref": 77} | changes)),
            )  # fmt: skip

        first = await send()
        again = await send()
        assert (first.exec_type, again.exec_type) == ("NEW", "ORDER_STATUS")
        assert again.order_id == first.order_id
        assert await refused(send(quantity=1_000)) == EdgeReason.REF_REUSED
        assert await refused(send(ref=78, quantity=501)) == Reason.QUANTITY_NOT_LOT
        assert await refused(send(ref=78, quantity=501)) == Reason.QUANTITY_NOT_LOT
        await operator.run_auction(AuctionClear(**EUA, auction_id=auction))
        assert (await send()).order_status == "FILLED"
        (row,) = await operator.auctions("EUA")
        assert (row.bids, row.bid_t) == (1, 500)


async def test_an_opening_and_an_end_sent_again_are_the_same_request(whole: House) -> None:
    """Though the gateway draws their halves of the seed anew."""
    await provided(whole)
    async with whole.client("operator") as operator, whole.client("huadong") as huadong:

        async def send(path: str, body: AuctionOpen | AuctionClear) -> OperationReport:
            return await operator.rest.call(
                "POST", path, OperationReport, query={"wait_ms": 5_000}, body=body
            )

        opened = msgspec.structs.replace(opening(), ref=77)
        first, again = [await send("/operations/auction-open", opened) for _ in range(2)]
        assert (again.status, again.request_id) == (first.status, first.request_id)
        auction = await only(huadong)
        await huadong.bid(bid_of(auction))
        cleared = msgspec.structs.replace(AuctionClear(**EUA, auction_id=auction), ref=78)
        first, again = [await send("/operations/auction-clear", cleared) for _ in range(2)]
        assert (again.status, again.request_id) == (first.status, first.request_id)
        other = msgspec.structs.replace(cleared, reserve="70.00")
        assert await refused(send("/operations/auction-clear", other)) == EdgeReason.REF_REUSED
        (row,) = await operator.auctions("EUA")
        assert (row.state, row.sold_t) == ("CLEARED", 500)


async def test_what_is_refused_says_why(whole: House) -> None:
    await provided(whole)
    async with (
        whole.client("operator") as operator,
        whole.client("huadong") as huadong,
        whole.client("northern") as northern,
    ):
        with pytest.raises(PermissionDeniedError):
            await northern.run_auction(opening())
        with pytest.raises(PermissionDeniedError):
            await operator.bid(bid_of(1))
        with pytest.raises(PermissionDeniedError):
            await northern.bid(bid_of(1))  # another's account
        for wrong in (
            opening(format="no"), opening(quantity=501), opening(price="70.00"),
            opening(pricing="PAY_AS_BID"),
        ):  # fmt: skip
            assert await refused(operator.run_auction(wrong)) == SupplyReason.AUCTION_NOT_OF_FORMAT
        for wrong in (opening(label=""), opening(label="a" * 17), opening(price="x"),
                      opening(price="0.00")):  # fmt: skip
            assert await refused(operator.run_auction(wrong)) == EdgeReason.INVALID_FIELD
        assert await refused(operator.run_auction(opening(account=999))) == Reason.UNKNOWN_ACCOUNT
        assert (
            await refused(operator.run_auction(opening(quantity=2_500)))
            == Reason.INSUFFICIENT_UNITS
        )
        assert await refused(huadong.bid(bid_of(1))) == Reason.AUCTION_NOT_OPEN
        await operator.run_auction(opening(quantity=2_000))
        again = opening(label="two")
        assert await refused(operator.run_auction(again)) == Reason.AUCTION_ALREADY_OPEN
        auction = await only(huadong)
        for reason, wrong_bid in (
            (Reason.QUANTITY_NOT_LOT, bid_of(auction, quantity=501)),
            (Reason.INSUFFICIENT_CASH, bid_of(auction, quantity=500_000)),
            (Reason.INVALID_SIDE, bid_of(auction, side="SELL")),
            (EdgeReason.INVALID_FIELD, bid_of(0)),
            (EdgeReason.MISSING_FIELD, bid_of(auction, price="")),
        ):
            assert await refused(huadong.bid(wrong_bid)) == reason
        assert (
            await refused(operator.run_auction(AuctionCancel(**EUA, auction_id=auction + 1)))
            == Reason.AUCTION_NOT_OPEN
        )
        await huadong.bid(bid_of(auction))
        await operator.run_auction(AuctionCancel(**EUA, auction_id=auction))
        (row,) = await operator.auctions("EUA")
        assert (row.state, row.reason) == ("CANCELLED", "AUCTION_CALLED_OFF")
        assert row.carried_t == (500, 500, 500, 500)
        assert await huadong.orders("EU") == []


async def paged(house: House) -> None:
    async with house.client("yangtze") as anyone:
        rows = await anyone.auctions("EUA")
        assert [row.label for row in rows] == [FIRST, SECOND, THIRD]
        for after, left in ((0, rows), (rows[1].auction_id, rows[2:]), (rows[2].auction_id, [])):
            page = await anyone.rest.get(
                "/auctions", AuctionList, symbol="EUA", after=after, limit=1
            )
            assert (page.auctions, page.is_complete) == (left[:1], len(left) <= 1)
        assert await anyone.auctions("CCER") == []


async def held_up(whole: House, run: Callable[..., Awaitable[str]]) -> None:
    """What needs a second person, or waits for the registry's hours, is not there yet."""
    kind = SetAccountType(**EUA, account=HOLDING, account_type="100-12", needs_two=True)
    async with whole.client("operator") as operator:
        for key in ("northern", "deputy"):
            await operator.instruct(
                AppointRepresentative(**EUA, account=HOLDING, representative=key)
            )
        await operator.instruct(kind)
    for _ in range(2):
        said = await run("northern", "deliver", FIRST)
        assert "2,000 t EUA wait on their way to account 101" in said
    async with whole.client("northern") as northern, whole.client("operator") as operator:
        (waiting,) = (await northern.transfers("EU")).transfers
        cancel = CancelTransfer(**EUA, account=HOLDING, transfer_id=waiting.transfer_id)
        await northern.instruct(cancel)
        ended = await operator.instruct(msgspec.structs.replace(kind, needs_two=False))
    async with whole.client("controller") as controller:
        number = ended.instruction_id
        approval = ApproveTransfer(**EUA, account=HOLDING, quantity=0, transfer_id=number)
        assert (await controller.instruct(approval)).status == "DONE"


async def test_a_year_of_auctions_from_the_command_line(whole: House, tmp_path: Path) -> None:
    files = {}
    for name in ("operator", "northern", "huadong"):
        files[name] = tmp_path / f"{name}.key"
        save_key(files[name], whole.keys[name]._replace(url=whole.url))
    path = tmp_path / "programme.toml"
    path.write_text(PROGRAMME, "utf-8")

    async def run(name: str, *words: str, code: int = 0) -> str:
        given = ["auctions", *words, "--key-file", str(files[name])]
        if words[0] != "bid":
            given += ["--programme", str(path)]
        done = await asyncio.to_thread(CliRunner().invoke, build(), given)
        assert done.exit_code == code, (words, done.output, done.exception)
        return done.output

    await held_up(whole, run)
    # cancelled: 1,500 t are bid for 2,000
    assert "2,000 t EUA deposited by account 101" in await run("northern", "deliver", FIRST)
    assert "account 101 has what" in await run("northern", "deliver", FIRST)
    said = await run("operator", "open", FIRST, code=2)
    assert "bids for eex-pl-20261202 are heard from 2026-12-02 08:00:00 to" in said
    said = await run("operator", "open", FIRST, "--any-time", "--price", "70.00", code=2)
    assert "eu-primary has no public reserve" in said
    await run("operator", "open", FIRST, "--any-time")
    said = await run("huadong", "bid", "EUA", "1500", "@71.00", "--account", "102")
    assert f"NEW: 1,500 t @71.00 in {FIRST}" in said
    said = await run("operator", "close", FIRST, code=2)
    assert "is closed from 2026-12-02 10:00:00 UTC" in said
    said = await run("operator", "close", FIRST, "--any-time")
    assert "state\tCANCELLED (AUCTION_SHORT)\n" in said
    assert "carried to the next\t500, 500, 500, 500\n" in said

    # held with what was carried to it
    said = await run("operator", "now")
    assert f"{SECOND}\tWed 2026-12-09\t08:00-10:00\t2500\t2000\tscheduled\t\n" in said
    assert "6,000 t in all; to the next year 1,000 t" in said
    assert "500 t EUA deposited by account 101" in await run("northern", "deliver", SECOND)
    await run("operator", "open", SECOND, "--any-time")
    await run("huadong", "bid", "EUA", "3000", "@71.00", "--account", "102")
    said = await run("operator", "close", SECOND, "--any-time", "--reserve", "71.00")
    for line in ("price\t71.00", "sold t\t2500", "cover ratio\t1.20", "revenue\t177500.00"):
        assert f"{line}\n" in said
    said = await run("operator", "result", SECOND)
    assert "Poland\t142000.00\nfund\t35500.00\ntogether\t177500.00\n" in said
    assert "whose the revenue of 2026 is, is not known" in said

    # called off; then nothing more can be done with it
    await run("northern", "deliver", THIRD)
    await run("operator", "open", THIRD, "--any-time")
    assert "is called off" in await run("operator", "call-off", THIRD)
    assert "is not open" in await run("operator", "close", THIRD, "--any-time", code=2)
    assert "has ended before: CANCELLED" in await run(
        "operator", "open", THIRD, "--any-time", code=2
    )
    assert "no auction of EUA is open" in await run(
        "huadong", "bid", "EUA", "500", "@71", "--account", "102", code=2
    )
    assert "auction no has not been opened" in await run("operator", "result", "no", code=2)
    assert "the programme has no auction no; it has" in await run(
        "northern", "deliver", "no", code=2
    )
    assert "no auction is left" in await run("operator", "run")
    await paged(whole)
    said = await run("operator", "now")
    assert "6,000 t in all; to the next year 3,500 t" in said


async def test_a_closing_time_holds_for_who_bids_and_who_clears(
    whole: House, log_clock: LogClock
) -> None:
    await provided(whole)
    closes_ns = log_clock.now_ns() + 10**12
    async with (
        whole.client("operator") as operator,
        whole.client("huadong") as huadong,
        BookFeed(whole.url, ["EUA"], channels=("auctions",)) as feed,
    ):
        for wrong in (-1, 2**63):
            why = await refused(operator.run_auction(opening(closes_ns=wrong)))
            assert why == EdgeReason.INVALID_FIELD
        assert await refused(operator.run_auction(opening(closes_ns=1))) == Reason.BIDDING_CLOSED
        await operator.run_auction(opening(closes_ns=closes_ns))
        (row,) = await huadong.auctions("EUA")
        assert (row.state, row.closes_ns) == ("OPEN", closes_ns)
        await whole.until(lambda: bool(feed.bidding))
        told = feed.bidding["EUA", row.auction_id]
        assert told.closes_ns == closes_ns
        async with BookFeed(whole.url, ["EUA"], channels=("auctions",)) as later:
            await whole.until(lambda: later.bidding == feed.bidding)
        bid = await huadong.bid(bid_of(row.auction_id))
        clearing = AuctionClear(**EUA, auction_id=row.auction_id)
        assert await refused(operator.run_auction(clearing)) == Reason.BIDDING_NOT_CLOSED
        log_clock.go_to(closes_ns)
        late = huadong.bid(bid_of(row.auction_id, price="90.00"))
        assert await refused(late) == Reason.BIDDING_CLOSED
        withdrawn = huadong.cancel_order("EUA", BUYER, bid.order_id)
        assert await refused(withdrawn) == Reason.BIDDING_CLOSED
        await operator.run_auction(clearing)
        (row,) = await huadong.auctions("EUA")
        assert (row.state, row.closes_ns) == ("CLEARED", closes_ns)
        assert row.ended_ns >= closes_ns
        await whole.until(lambda: "EUA" in feed.auctions)
        assert feed.auctions["EUA"][-1].auction_id == row.auction_id
        assert feed.bidding == {}
        async with BookFeed(whole.url, ["*"], channels=("auctions", "book")) as after:
            await whole.until(lambda: "EUA" in after.books)
            assert after.bidding == {}


@pytest.mark.parametrize("log_clock", [EVE_NS], indirect=True)
async def test_the_scheduler_opens_and_closes_when_it_is_time(
    whole: House, tmp_path: Path, log_clock: LogClock
) -> None:
    path, secret = tmp_path / "programme.toml", tmp_path / "reserve"
    path.write_text(PROGRAMME, "utf-8")
    await provided(whole)
    async with whole.client("operator") as operator, whole.client("huadong") as huadong:

        async def turn(now_ns: int) -> float | None:
            log_clock.go_to(now_ns)
            return await step(operator, await look(operator, path), now_ns, "", secret)

        first, second, third = (await look(operator, path)).calendar.auctions
        assert await turn(first.opens_ns - 10**9) == 1.0
        assert await operator.auctions("EUA") == []
        assert await turn(first.opens_ns) == 0.0
        assert await turn(first.opens_ns) == 2 * 3_600.0
        auction = await only(huadong)
        (row,) = await huadong.auctions("EUA")
        assert row.closes_ns == first.closes_ns
        await huadong.bid(bid_of(auction, quantity=2_000))
        secret.write_text("71.26\n", "utf-8")
        assert await turn(first.closes_ns) == 0.0  # below the secret reserve
        (row,) = await operator.auctions("EUA")
        assert (row.label, row.reason) == (FIRST, "AUCTION_BELOW_RESERVE")
        # the second offers what was carried to it, and the auctioneer lacks 500 t of it
        assert await refused(turn(second.opens_ns)) == Reason.INSUFFICIENT_UNITS
        assert await turn(second.closes_ns) == (third.opens_ns - second.closes_ns) / 10**9
        assert await turn(third.closes_ns) is None


async def test_a_reserve_comes_from_the_closes_of_the_market(whole: House, tmp_path: Path) -> None:
    path = tmp_path / "programme.toml"
    path.write_text(
        'series = "cn-once"\nsymbol = "CEA-2025"\ndelivery_account = 202\n'
        "reserve_share_bp = 9000\n"
        "year = { year = 2026, dates = [2026-12-02],"
        " volumes = [{ until = 2026-12-02, volume_t = 100000 }] }\n",
        "utf-8",
    )
    key = tmp_path / "operator.key"
    save_key(key, whole.keys["operator"]._replace(url=whole.url))
    words = ["auctions", "reserve", "cn-once-20261202", "--programme", str(path)]

    async def said(code: int) -> str:
        done = await asyncio.to_thread(
            CliRunner().invoke, build(), [*words, "--key-file", str(key)]
        )
        assert done.exit_code == code, done.output
        return done.output

    assert "no close before 2026-12-02" in await said(2)
    async with whole.client("operator") as operator:
        await operator.roll_day("CN", 20261126)
        await operator.roll_day("CN", 20261127)
        (day,) = (await operator.closes("CEA-2025")).closes  # the closing before the first is none
        assert (day.date, day.close, day.volume_t) == (20261126, "74.63", 0)
    assert await said(0) == "cn-once-20261202: 67.17\n"
