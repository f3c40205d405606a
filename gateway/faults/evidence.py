"""What members and clerks were told, held against the log: P1, P2, P4 and P9 as they saw them."""

from __future__ import annotations

from collections import Counter

from exchange.messages.executions import ExecutionReport, InstructionReport, Reject
from exchange.messages.frames import Command, Event, EventRow
from exchange.messages.instructions import ReleaseUnits
from exchange.simulation.faults.auditor import Seen, refused_in
from exchange.simulation.faults.oracle import History, purses_of
from exchange.simulation.faults.promises import require
from gateway.decimals import to_minor
from gateway.faults.clerks import Clerk
from gateway.faults.members import Member

_TOLD = {
    Event.ACCEPTED: ("NEW",),
    Event.FILL: ("TRADE",),
    Event.CANCELLED: ("CANCELLED",),
    Event.REPLACED: ("REPLACED",),
    Event.TRIGGERED: ("TRIGGERED",),
    Event.REFILLED: ("REFILLED",),
    Event.REJECTED: ("REJECTED",),
    Event.DUPLICATE: ("ORDER_STATUS", "REJECTED"),
}
_ABOUT_ORDERS = frozenset(
    {
        Command.NEW_ORDER, Command.CANCEL_ORDER, Command.REPLACE_ORDER, Command.QUOTE,
        Command.MASS_CANCEL, Command.BLOCK_PROPOSE, Command.BLOCK_CONFIRM,
    }
)  # fmt: skip


def compare(
    seen: Seen, members: list[Member], clerks: dict[str, Clerk], shapes: Counter[str]
) -> None:
    """Everything of one market that somebody outside was told; BrokenPromiseError. O(reports)."""
    for member in members:
        accounts = {
            account.id
            for account in member.house.venue.accounts_of(seen.market.code)
            if account.participant == member.key.participant
        }
        _acknowledged(seen, member)
        _edge(seen, member, shapes)
        _reports(seen, member, accounts)
        for account in accounts:
            _money(seen, member, account)
    for clerk in clerks.values():
        _instructions(seen, clerk)


def _acknowledged(seen: Seen, member: Member) -> None:
    """P1: what the log was said to have, it has, and the engine answered it."""
    history, code = seen.history, seen.market.code
    for market, position, ref in member.acknowledged:
        if market != code:
            continue
        heard = history.heard.get(position)
        what = f"{code}: {member.key.id} was told that ref {ref} stands at {position}"
        require(heard is not None, "P1", f"{what}: nothing does")
        assert heard is not None  # noqa: S101 - just required
        require((heard.session, heard.ref) == (member.key.session, ref), "P1", f"{what}: {heard}")
        require(heard.rows, "P1", f"{what}: it has no outcome")


def _edge(seen: Seen, member: Member, shapes: Counter[str]) -> None:
    """What was refused at the edge never reached the log; what was answered did."""
    for (market, ref), sent in member.sent.items():
        if market != seen.market.code or sent.answer is None:
            continue
        place = seen.history.first.get((member.key.session, ref))
        if isinstance(sent.answer, Reject):
            shapes["refused_at_the_edge"] += 1
            require(
                place is None,
                "P9",
                f"{market}: {member.key.id} was told that ref {ref} never reached the log "
                f"({sent.answer.title}), but it stands at {place}",
            )
        elif place is None:
            shapes["ref_passed_over"] += 1


def _reports(seen: Seen, member: Member, accounts: set[int]) -> None:
    """P2 and P9: one report for each event of one's orders, as the event says, and no other."""
    told = member.reports[seen.market.code]
    for number, _, row in seen.history.events:
        expected = _TOLD.get(Event(row.kind))
        if expected is None or row.account_id not in accounts:
            continue
        is_answer = row.kind in (Event.REJECTED, Event.DUPLICATE)
        if is_answer and row.order_type not in _ABOUT_ORDERS:
            continue
        report = told.get(number)
        what = f"{seen.market.code}: {member.key.id} and event {number}"
        require(report is not None, "P2", f"{what}: it was never told of {row}")
        assert report is not None  # noqa: S101 - just required
        require(report.exec_type in expected, "P2", f"{what}: told {report.exec_type}")
        _same(what, row, report, seen.market.minor_digits)
    last = seen.history.events[-1][0]
    for number in told:
        require(number <= last, "P2", f"{seen.market.code}: {member.key.id} was told of {number}")


def _same(what: str, row: EventRow, report: ExecutionReport, digits: int) -> None:
    if row.kind == Event.REJECTED:
        require(report.reason == row.reason, "P9", f"{what}: reason {report.reason} for {row}")
    elif row.kind == Event.FILL:
        figures = report.last_quantity, to_minor(report.last_price, digits, "last_price")
        require(figures == (row.quantity, row.price), "P2", f"{what}: {figures} for {row}")
        require(report.leaves_quantity == row.value, "P2", f"{what}: leaves {report} for {row}")


def _money(seen: Seen, member: Member, account: int) -> None:
    """P4: cash and units by one's own reports are those that the engine has."""
    cash, units = _moved(seen.history, account)
    digits = seen.market.minor_digits
    ids = {i.symbol: i.id for i in member.house.venue.instruments_of(seen.market.code)}
    for report in member.reports[seen.market.code].values():
        if report.exec_type != "TRADE" or report.account != account:
            continue
        value = report.last_quantity * to_minor(report.last_price, digits, "last_price")
        fee = to_minor(report.fee, digits, "fee") if report.fee else 0
        sign = 1 if report.side == "BUY" else -1
        cash -= sign * value + fee
        units[ids[report.symbol]] += sign * report.last_quantity
    found_cash, found_units = purses_of(seen.history.engine, account)
    what = f"{seen.market.code}: account {account}"
    require(found_cash == cash, "P4", f"{what} has {found_cash}, by its own reports {cash}")
    for instrument, quantity in units.items():
        found = found_units[instrument]
        require(found == quantity, "P4", f"{what} holds {found} of {instrument} for {quantity}")


def _moved(history: History, account: int) -> tuple[int, Counter[int]]:
    """Cash and units that came and went other than by trades."""
    cash, units = 0, Counter[int]()
    for _, _, row in history.events:
        if row.account_id != account:
            continue
        if row.kind == Event.CASH_DEPOSITED:
            cash += row.quantity
        elif row.kind == Event.CASH_WITHDRAWN:
            cash -= row.quantity
        elif row.kind == Event.UNITS_DEPOSITED:
            units[row.instrument_id] += row.quantity
        elif row.kind == Event.UNITS_RELEASED:
            units[row.instrument_id] -= row.quantity
    return cash, units


def _instructions(seen: Seen, clerk: Clerk) -> None:
    """P1 and P9: an instruction said to be done was done, one said to be refused was refused."""
    refused = refused_in(seen.registry)
    for request, report in clerk.told:
        if not isinstance(report, InstructionReport) or report.market != seen.market.code:
            continue
        heard = seen.history.heard.get(report.instruction_id)
        what = f"{seen.market.code}: {clerk.key.id} was told {report.status} of {request}"
        require(heard is not None, "P1", f"{what}: it is not on the log")
        assert heard is not None  # noqa: S101 - just required
        by_engine = [row for _, row in heard.rows if row.kind == Event.REJECTED]
        is_refused = report.instruction_id in refused or bool(by_engine)
        if isinstance(request, ReleaseUnits) and not by_engine:
            is_refused = False
        require(is_refused == (report.status == "REFUSED"), "P9", f"{what}: the log says otherwise")
