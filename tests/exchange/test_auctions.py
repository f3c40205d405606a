"""Auctions as their events tell them: results, what is published of bids, the calendar of now."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from exchange.auctions import Act, AuctionReport, Auctions, calendar_now, next_act
from exchange.messages.frames import (
    GENESIS,
    Command,
    EventFollower,
    Reason,
    Side,
    build_commands,
    command,
    seal_events,
)
from exchange.rulebook import RulebookError, load_auction_formats, terms
from exchange.rulebook.auction_calendar import AuctionCalendar, plan_calendar
from exchange.rulebook.auction_data import SeriesYear, VolumePeriod, load_supply_data
from matching import Engine

FORMATS = load_auction_formats()
STATE, ANNE, BERT = 1, 2, 3
EUA = 1


class Venue:
    """The engine and the projection of what it says."""

    def __init__(self, kept_max: int = 10) -> None:
        self.engine, self.follower, self.chain = Engine(), EventFollower(), GENESIS
        self.auctions = Auctions(kept_max)
        self.cut = 0  # where a record's events are parted in two
        self.say(command(Command.INSTRUMENT_OPEN, instrument_id=EUA))
        for account in (STATE, ANNE, BERT):
            self.say(
                command(Command.ACCOUNT_OPEN, account_id=account),
                command(Command.CASH_DEPOSIT, account_id=account, quantity=10**12),
                command(
                    Command.UNITS_DEPOSIT, account_id=account, instrument_id=EUA, quantity=10**9
                ),
            )

    def say(self, *records: bytes) -> int:
        """Applies one frame; its offset shifted to the id of its first command."""
        offset, first = self.engine.next_offset, self.engine.next_event
        frame = build_commands(records, writer=0, batch=0, time_ns=offset)
        events = self.engine.apply(offset, offset, frame)
        parts, self.chain = seal_events(
            events, input_offset=offset, first_event=first, epoch=0,
            time_ns=self.engine.time_ns, chain=self.chain,
        )  # fmt: skip
        for part in parts:
            accepted = self.follower.accept(offset, part)
            assert accepted is not None
            events = accepted.events
            self.auctions.apply(
                accepted._replace(body=events[: self.cut or None].tobytes(), is_last=not self.cut)
            )
            if self.cut:
                self.auctions.apply(accepted._replace(body=events[self.cut :].tobytes(), part=1))
        return offset << 16

    def open(self, label: str, offered: int, auction_format: str = "eu-primary") -> int:
        opening = terms(FORMATS.format_of(auction_format), offered)
        return self.say(
            command(
                Command.AUCTION_OPEN,
                account_id=STATE,
                instrument_id=EUA,
                client_order_id=label.encode(),
                **opening._asdict(),
            )
        )

    def bid(self, auction: int, account: int, quantity: int, price: int) -> int:
        return self.say(
            command(
                Command.AUCTION_BID, side=Side.BUY, account_id=account, instrument_id=EUA,
                order_id=auction, quantity=quantity, price=price,
            )
        )  # fmt: skip

    def clear(self, auction: int, reserve: int = 0) -> AuctionReport:
        self.say(command(Command.AUCTION_CLEAR, instrument_id=EUA, order_id=auction, price=reserve))
        return next(item for item in self.auctions.reports() if item.auction_id == auction)


def calendar_of(*volumes: int) -> AuctionCalendar:
    days = [dt.date(2022, 3, 2) + dt.timedelta(7 * week) for week in range(len(volumes))]
    periods = [
        VolumePeriod(until=day, volume_t=volume) for day, volume in zip(days, volumes, strict=True)
    ]
    series = load_supply_data().series_of("eex-pl")
    return plan_calendar(series, SeriesYear(year=2022, dates=tuple(days)), {"Poland": periods})


def test_a_result_in_the_fields_that_are_published() -> None:
    venue = Venue()
    auction = venue.open("eex-pl-20220302", 3_000)
    venue.bid(auction, ANNE, 1_000, 2_510)
    venue.bid(auction, BERT, 1_500, 2_500)
    venue.bid(auction, ANNE, 1_000, 2_490)
    venue.bid(auction, BERT, 2_500, 2_480)
    report = venue.clear(auction)
    assert (report.label, report.state, report.account_id) == ("eex-pl-20220302", "CLEARED", STATE)
    assert (report.offered_t, report.bid_t) == (3_000, 6_000)
    assert (report.price, report.sold_t) == (2_490, 3_000)
    assert report.revenue == 3_000 * 2_490
    assert report.cover_hundredths == 200
    assert (report.bids, report.successful_bids) == (4, 3)
    assert (report.bidders, report.successful_bidders) == (2, 2)
    assert (report.min_bid, report.max_bid) == (2_480, 2_510)
    assert report.mean_bid == 2_492  # 14,950,000 / 6,000, half up
    assert report.median_bid == 2_490  # 2,500 t below it, 3,500 t at or below it
    assert report.carried_t == ()


def test_an_open_auction_tells_nothing_of_its_bids() -> None:
    venue = Venue()
    auction = venue.open("one", 3_000)
    before = venue.auctions.open_in(EUA)
    venue.bid(auction, ANNE, 1_000, 2_510)
    assert venue.auctions.open_in(EUA) == before
    assert list(venue.auctions.reports()) == [before]
    venue.clear(auction)
    assert venue.auctions.open_in(EUA) is None


def test_bids_that_were_withdrawn_or_changed_count_as_they_are_at_the_end() -> None:
    venue = Venue()
    auction = venue.open("one", 500)
    gone = venue.bid(auction, ANNE, 500, 9_000)
    venue.say(command(Command.CANCEL_ORDER, account_id=ANNE, instrument_id=EUA, order_id=gone))
    changed = venue.bid(auction, BERT, 500, 2_000)
    venue.say(
        command(
            Command.REPLACE_ORDER, account_id=BERT, instrument_id=EUA, order_id=changed,
            quantity=1_000, price=2_100,
        )
    )  # fmt: skip
    report = venue.clear(auction)
    assert (report.bids, report.bidders, report.bid_t) == (1, 1, 1_000)
    assert (report.min_bid, report.max_bid, report.median_bid) == (2_100, 2_100, 2_100)
    assert (report.sold_t, report.price) == (500, 2_100)


@pytest.mark.parametrize(
    ("bid", "reserve", "reason"),
    [
        (1_500, 0, Reason.AUCTION_SHORT),
        (2_000, 2_501, Reason.AUCTION_BELOW_RESERVE),
        (0, 0, Reason.AUCTION_SHORT),
    ],
)
def test_a_cancelled_auction_says_why_and_what_is_carried(
    bid: int, reserve: int, reason: Reason
) -> None:
    venue = Venue()
    auction = venue.open("one", 2_000)
    if bid:
        venue.bid(auction, ANNE, bid, 2_500)
    report = venue.clear(auction, reserve)
    assert (report.state, report.reason, report.sold_t) == ("CANCELLED", reason, 0)
    assert (report.bid_t, report.cover_hundredths) == (bid, bid // 20)
    assert report.carried_t == (500, 500, 500, 500)
    assert (report.revenue, report.successful_bids) == (0, 0)
    assert report.max_bid == (2_500 if bid else 0)


@pytest.mark.parametrize("cut", range(12))
def test_a_result_may_come_in_parts(cut: int) -> None:
    """Cleared, two bids that win (four fills), one that does not, the rest, four pieces."""
    venue = Venue()
    auction = venue.open("one", 3_000, "uk-primary")
    venue.bid(auction, ANNE, 1_000, 2_500)
    venue.bid(auction, BERT, 500, 2_400)
    venue.bid(auction, BERT, 500, 2_000)
    venue.cut = cut
    report = venue.clear(auction, 2_200)
    assert (report.sold_t, report.revenue, report.successful_bids) == (1_500, 3_600_000, 2)
    assert (report.bids, report.carried_t) == (3, (500, 500, 500, 0))


def test_an_auction_called_off_is_cancelled_too() -> None:
    venue = Venue()
    auction = venue.open("one", 1_000)
    venue.say(command(Command.AUCTION_CANCEL, instrument_id=EUA, order_id=auction))
    (report,) = venue.auctions.reports()
    assert (report.reason, report.carried_t) == (Reason.AUCTION_CALLED_OFF, (500, 500, 0, 0))


def test_the_oldest_auctions_are_forgotten() -> None:
    venue = Venue(kept_max=2)
    for label in ("one", "two", "three"):
        venue.clear(venue.open(label, 500))
    venue.open("four", 500)
    assert [item.label for item in venue.auctions.reports()] == ["two", "three", "four"]


def test_a_day_closes_at_what_its_book_traded() -> None:
    venue = Venue()
    venue.say(command(Command.DAY_ROLL, quantity=20261126))
    venue.say(command(Command.REFERENCE_PRICE, instrument_id=EUA, price=2_400))
    auction = venue.open("one", 500)
    venue.bid(auction, ANNE, 500, 9_000)
    venue.clear(auction)  # no trade of the book
    venue.say(command(Command.PHASE_CHANGE, order_type=1))
    for account, side in ((ANNE, Side.BUY), (BERT, Side.SELL)):
        venue.say(
            command(
                Command.NEW_ORDER, side=side, order_type=2, instrument_id=EUA, account_id=account,
                quantity=20, price=2_500,
            )
        )  # fmt: skip
    venue.say(command(Command.PHASE_CHANGE, order_type=0))
    venue.say(command(Command.DAY_ROLL, quantity=20261127))
    venue.say(command(Command.DAY_ROLL, quantity=20261130))
    days = venue.auctions.closes(EUA)
    assert [(day.date, day.price, day.volume_t, day.turnover) for day in days] == [
        (20261126, 2_500, 20, 50_000), (20261127, 2_500, 0, 0),
    ]  # fmt: skip
    assert venue.auctions.closes(99) == []


# -- the calendar of now ---------------------------------------------------------------------------


def test_a_cancelled_auction_changes_the_calendar_and_the_next_is_held_with_more() -> None:
    venue, plan = Venue(), calendar_of(2_000, 2_000, 2_000)
    first = venue.open(plan.auctions[0].id, 2_000)
    venue.bid(first, ANNE, 1_500, 2_500)
    venue.clear(first)
    venue.clear(venue.open("of another", 500))
    now = calendar_now(plan, venue.auctions.reports())
    assert [item.volume_t for item in now.auctions] == [2_000, 2_500, 2_500]
    assert [len(now.carried_out), now.total_t] == [2, 6_000]
    second = venue.open(now.auctions[1].id, now.auctions[1].volume_t)
    assert calendar_now(plan, venue.auctions.reports()) == now  # an open one changes nothing yet
    venue.bid(second, BERT, 3_000, 2_600)
    venue.clear(second)
    now = calendar_now(plan, venue.auctions.reports())
    assert [item.state for item in now.auctions] == ["CANCELLED", "HELD", "SCHEDULED"]
    assert [item.sold_t for item in now.auctions] == [0, 2_500, 0]
    assert now.total_t == 6_000


def test_an_auction_that_offered_another_volume_is_noticed() -> None:
    venue, plan = Venue(), calendar_of(2_000, 2_000)
    auction = venue.open(plan.auctions[0].id, 2_500)
    venue.bid(auction, ANNE, 2_500, 2_500)
    venue.clear(auction)
    with pytest.raises(RulebookError, match="2500 t sold of 2000 t"):
        calendar_now(plan, venue.auctions.reports())


def test_a_scheduler_opens_and_closes_at_the_times_of_the_calendar() -> None:
    plan = calendar_of(500, 500)
    first, second = plan.auctions
    opened: Any = [AuctionReport(1, first.id, EUA, STATE, 2, 0, 0, 500, 0, 0)]
    for now_ns in (0, first.opens_ns, first.closes_ns - 1):
        assert next_act(plan, [], now_ns) == Act("OPEN", first.id, first.opens_ns)
    # its window has passed: it is left alone
    assert next_act(plan, [], first.closes_ns) == Act("OPEN", second.id, second.opens_ns)
    for now_ns in (first.opens_ns, first.closes_ns, second.closes_ns):
        assert next_act(plan, opened, now_ns) == Act("CLOSE", first.id, first.closes_ns)
    assert next_act(plan, [], second.closes_ns) is None
    empty = calendar_of(0, 500)
    assert next_act(empty, [], 0) == Act("OPEN", second.id, second.opens_ns)
