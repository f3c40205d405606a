"""What members and clerks were told, held against the log: P1, P2, P4 and P9 as they saw them."""

from __future__ import annotations

from collections import Counter

from exchange.messages.executions import ExecutionReport, InstructionReport, Reject
from exchange.messages.frames import Event
from exchange.messages.instructions import ReleaseUnits
from exchange.messages.reasons import EdgeReason
from exchange.simulation.faults.auditor import Seen, refused_in
from exchange.simulation.faults.oracle import History, purses_of
from exchange.simulation.faults.promises import BrokenPromiseError, require
from gateway.entry.decimals import to_minor
from gateway.faults import decisions, results
from gateway.faults.clerks import Clerk
from gateway.faults.members import Member
from gateway.faults.told import AVERAGE_DIGITS, AVERAGE_SCALE, Due, Word

_MONEY = frozenset({"price", "last_price", "fee"})


def compare(
    seen: Seen, members: list[Member], clerks: dict[str, Clerk], shapes: Counter[str]
) -> None:
    """Everything of one market that somebody outside was told; BrokenPromiseError. O(reports)."""
    venue = members[0].house.venue
    owners = {account.id: account.participant for account in venue.accounts_of(seen.market.code)}
    symbols = {item.id: item.symbol for item in venue.instruments_of(seen.market.code)}
    words = Due(seen.history, owners, symbols).words
    for member in members:
        whose = member.key.participant
        _acknowledged(seen, member)
        _edge(seen, member, shapes)
        _reports(seen, member, [word for word in words if word.participant == whose], shapes)
        for account in [number for number, owner in owners.items() if owner == whose]:
            _money(seen, member, account)
    for clerk in clerks.values():
        _instructions(seen, clerk, owners)
    decisions.check(seen, clerks.values())
    results.check(seen, clerks.values(), shapes)
    due = {(word.participant, word.number): word for word in words}
    for clerk, report in results.bids_told(clerks.values(), seen.market.code):
        _bid_told(seen, clerk, report, due.get((clerk.key.participant, report.sequence)))


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


def _reports(seen: Seen, member: Member, words: list[Word], shapes: Counter[str]) -> None:
    """P2 and P9: one report for each event that is due to it, as the event says, and no other."""
    told = member.reports[seen.market.code]
    due: set[int] = set()
    for word in words:
        due.add(word.number)
        report = told.get(word.number)
        what = f"{seen.market.code}: {member.key.id} and event {word.number}"
        require(report is not None, "P2", f"{what}: it was never told of {word.row}")
        assert report is not None  # noqa: S101 - just required
        _same(what, word, report, seen.market.minor_digits)
        reused = word.fields.get("reason") == EdgeReason.REF_REUSED
        shapes["same_ref_other_body"] += reused
        average, last = (word.fields.get(name, 0) for name in ("average_price", "last_price"))
        is_mixed = word.exec_type == "TRADE" and average != last * AVERAGE_SCALE
        shapes["average_of_several_prices"] += is_mixed
        shapes["filled_in_part"] += word.fields.get("order_status") == "PARTIALLY_FILLED"
        is_repeat = word.exec_type == "ORDER_STATUS"
        shapes["repeat_told_as_it_stands"] += is_repeat and "order_status" in word.fields
    for number, report in told.items():
        what = f"{seen.market.code}: {member.key.id} was told {report} of event {number}"
        require(number in due, "P2", f"{what}, which is none of its own")


def _same(what: str, word: Word, report: ExecutionReport, digits: int) -> None:
    """Kind, reason and every figure are those that the event gives."""
    promise = "P9" if word.exec_type == "REJECTED" else "P2"
    if report.exec_type != word.exec_type:
        told = f"told {report.exec_type} for {word.exec_type} of {word.row}"
        raise BrokenPromiseError(promise, f"{what}: {told}")
    for name, expected in word.fields.items():
        found = getattr(report, name)
        if name in _MONEY:
            found = to_minor(found, digits, name) if found else 0
        elif name == "average_price":
            found = to_minor(found, digits + AVERAGE_DIGITS, name) if found else 0
        if found != expected:
            told = f"{name} {found} for {expected} of {word.row}"
            raise BrokenPromiseError(promise, f"{what}: {told}")


def _bid_told(seen: Seen, clerk: Clerk, report: ExecutionReport, word: Word | None) -> None:
    """The answer to a sealed bid is the report of its event, as sessions get it."""
    what = f"{seen.market.code}: {clerk.key.id} was told {report} of its bid"
    require(word is not None, "P2", f"{what}, which is none of its own")
    assert word is not None  # noqa: S101 - just required
    _same(what, word, report, seen.market.minor_digits)


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


def _instructions(seen: Seen, clerk: Clerk, owners: dict[int, int]) -> None:
    """P1 and P9: an instruction said to be done was done, one said to be refused was refused."""
    is_member = clerk.key.role == "participant"
    refused = refused_in(seen.registry)
    for request, report in clerk.told:
        if not isinstance(report, InstructionReport) or report.market != seen.market.code:
            continue
        heard = seen.history.heard.get(report.instruction_id)
        what = f"{seen.market.code}: {clerk.key.id} was told {report.status} of {request}"
        require(heard is not None, "P1", f"{what}: it is not on the log")
        assert heard is not None  # noqa: S101 - just required
        is_own = not is_member or owners[report.account] == clerk.key.participant
        require(is_own and report.account == heard.account, "P2", f"{what}: told {report}")
        by_engine = [row for _, row in heard.rows if row.kind == Event.REJECTED]
        is_refused = report.instruction_id in refused or bool(by_engine)
        if isinstance(request, ReleaseUnits) and not by_engine:
            is_refused = False
        require(is_refused == (report.status == "REFUSED"), "P9", f"{what}: the log says otherwise")
