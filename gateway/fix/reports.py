"""From the venue's reports and refusals to FIX messages: pure; a message is its type and fields.

Who asked is told apart by `Asked`: the request behind the report's log position. A report that
answers nobody of this session (another door of the participant, or an order of before a restart) is
told when something happened to an order, and left out when nothing did.
"""

from __future__ import annotations

from typing import NamedTuple

from exchange.messages.executions import ExecutionReport
from exchange.messages.reasons import EdgeReason, Reason
from gateway.fix.codec import Message, plain, utc_text
from gateway.fix.days import Days
from gateway.fix.refusals import codes
from gateway.refusal import Refused

Values = list[tuple[int, str | int]]


class Said(NamedTuple):
    """A message to send, without its header."""

    msg_type: str
    values: Values


class Asked(NamedTuple):
    """A request of this session that stands on the log, as far as its answers need it."""

    sequence: int
    ref: int  # of the session on the log: it tells apart what has the same number after a reset
    message: Message
    market: str

    @property
    def msg_type(self) -> str:
        """Of the request."""
        return self.message.msg_type


EXEC_TYPE = {
    "NEW": "0", "TRADE": "F", "REPLACED": "5", "CANCELLED": "4", "REJECTED": "8",
    "TRIGGERED": "L", "REFILLED": "D", "RESTATED": "D", "ORDER_STATUS": "I",
}  # fmt: skip
ORDER_STATUS = {
    "PENDING": "A", "NEW": "0", "PARTIALLY_FILLED": "1", "FILLED": "2", "CANCELLED": "4",
    "REJECTED": "8", "": "8",
}  # fmt: skip
_SIDE = {"BUY": "1", "SELL": "2"}
_ORDER_TYPE = {"MARKET": "1", "LIMIT": "2", "STOP": "3", "STOP_LIMIT": "4"}
_TIME_IN_FORCE = {
    "DAY": "0", "GTC": "1", "AT_THE_OPENING": "2", "IOC": "3", "FOK": "4", "GTD": "6",
    "AT_THE_CLOSE": "7",
}  # fmt: skip
_SELF_TRADE = {"CANCEL_NEWEST": "N", "CANCEL_OLDEST": "O", "CANCEL_BOTH": "B", "DECREMENT": "D"}
_EXPIRED = frozenset({Reason.DAY_ENDED, Reason.DATE_EXPIRED, Reason.CALL_ENDED})
_LIQUIDITY = {"MAKER": 1, "TAKER": 2}
_WHEN_ASKED = frozenset({"REJECTED", "ORDER_STATUS", "RESTATED", "MASS_CANCELLED", "QUOTED"})
_LAST_WORD = {
    "q": frozenset({"MASS_CANCELLED", "REJECTED", "ORDER_STATUS"}),
    "S": frozenset({"QUOTED", "REJECTED", "ORDER_STATUS"}),
}
"""Requests with several reports: which of them is the answer; for the others the first is."""


def is_answer(report: ExecutionReport, asked: Asked) -> bool:
    """Whether the request needs no other answer than this report. O(1)."""
    last = _LAST_WORD.get(asked.msg_type)
    return last is None or report.exec_type in last


def told(report: ExecutionReport, asked: Asked | None, days: Days | None = None) -> Said | None:
    """A report as a FIX message; None if it is not for this session. `days` are a fill's. O(1)."""
    if report.exec_type == "BLOCK_PROPOSED":
        return None if asked is not None else _alleged(report)
    if asked is None:
        return None if report.exec_type in _WHEN_ASKED else execution(report, days=days)
    if report.exec_type in _WHEN_ASKED:
        special = _ANSWERS.get(asked.msg_type)
        if special is not None:
            return special(report, asked)
        if report.exec_type == "REJECTED" and asked.msg_type in ("F", "G"):
            return _cancel_reject(report, asked)
        return execution(report, asked)
    if asked.msg_type == "AE" and report.exec_type == "NEW":
        return _block_ack(report, asked)
    return execution(report, asked, days)


def execution(
    report: ExecutionReport, asked: Asked | None = None, days: Days | None = None
) -> Said:
    """ExecutionReport (8)."""
    mine, original = report.client_order_id, ""
    if asked is not None and _names(report, asked):
        mine = asked.message.get(11)
        original = asked.message.get(41)
    exec_type, status = EXEC_TYPE.get(report.exec_type, "I"), ORDER_STATUS[report.order_status]
    if report.exec_type == "CANCELLED" and report.reason in _EXPIRED:
        exec_type = status = "C"
    values: Values = [
        (37, report.order_id or "NONE"),
        (17, _exec_id(report, asked)),
        (150, exec_type),
        (39, status),
        (1, report.account),
        (54, _SIDE.get(report.side, "1")),
        (151, report.leaves_quantity),
        (14, report.cumulative_quantity),
        (6, report.average_price or 0),
    ]
    _add(values, 11, mine)
    _add(values, 41, original)
    _add(values, 55, report.symbol)
    _add(values, 38, report.order_quantity)
    _add(values, 40, _order_type(report))
    _add(values, 44, report.price)
    _add(values, 59, _TIME_IN_FORCE.get(report.time_in_force, ""))
    _add_terms(values, report)
    if report.exec_type == "TRADE":
        _add_fill(values, report, days)
    if report.exec_type == "REFILLED":
        values.append((378, 8))
    _add_time(values, report)
    if asked is not None:
        _add(values, 790, asked.message.get(790))
    if report.reason and exec_type == "8":
        values.append((103, codes(report.reason).order))
    _add_reason(values, report)
    return Said("8", values)


def unknown_status(message: Message, ref: int) -> Said:
    """What answers an OrderStatusRequest about no order of the account."""
    refused = Refused(EdgeReason.NOT_FOUND)
    said = _order_refused(message, refused, f"S-{ref}", "I")
    _add(said.values, 790, message.get(790))
    return said


def refused_at_the_edge(message: Message, refused: Refused, ref: int, market: str = "") -> Said:
    """What answers a request that never reached the log; `ref` names it for good. O(1)."""
    if refused.row.number == EdgeReason.STATUS_UNKNOWN:
        return business_reject(message, refused)
    if message.msg_type == "D":
        return _order_refused(message, refused, f"R-{ref}", "8")
    if message.msg_type in ("F", "G"):
        values = _cancel_reject_values(message, message.get(37) or "NONE", "8", refused.row.number)
        return Said("9", [*values, (58, plain(refused.text)), (20001, refused.row.number)])
    if message.msg_type == "q":
        values = _mass_values(message, market, "0")
        values.append((532, 1 if refused.row.number == EdgeReason.UNKNOWN_SYMBOL else 99))
        return Said("r", [*values, (58, plain(refused.text)), (20001, refused.row.number)])
    if message.msg_type == "S":
        values = _quote_values(message, 5)
        return Said("AI", [*values, (58, plain(refused.text)), (20001, refused.row.number)])
    if message.msg_type == "AE":
        values = _block_values(message, message.get(572), 1)
        return Said("AR", [*values, (58, plain(refused.text)), (20001, refused.row.number)])
    return business_reject(message, refused)


def business_reject(message: Message, refused: Refused) -> Said:
    """BusinessMessageReject (j)."""
    values: Values = [(45, message.sequence), (372, message.msg_type)]
    _add(values, 379, message.get(11) or message.get(117) or message.get(571))
    values.append((380, codes(refused.row.number).business))
    values += [(58, plain(refused.text)), (20001, refused.row.number)]
    return Said("j", values)


def unsupported(message: Message) -> Said:
    """BusinessMessageReject of a message type that is none here."""
    text = f"MsgType {message.msg_type[:20]} is not taken here"
    return Said(
        "j",
        [(45, message.sequence), (372, plain(message.msg_type[:20])), (380, 3), (58, plain(text))],
    )


def session_status(market: str, symbol: str, phase: str, request_id: str) -> Said:
    """TradingSessionStatus (h) of one instrument."""
    values: Values = [(335, request_id)] if request_id else []
    return Said("h", [*values, (336, market), (625, phase), (55, symbol), (340, _PHASE[phase])])


_PHASE = {
    "CLOSED": 3, "CONTINUOUS": 2, "HALT": 1, "START_OF_DAY": 4, "OPENING_CALL": 4,
    "VOLATILITY_CALL": 4, "CLOSING_CALL": 5,
}  # fmt: skip


def reports_forgotten(market: str, first: int) -> Said:
    """News (B): reports of a long absence are no longer kept."""
    text = f"Reports of {market} before event {first} are no longer kept: ask GET /executions"
    return Said("B", [(148, "REPORTS FORGOTTEN"), (33, 1), (58, plain(text))])


# -- answers of their own kind --------------------------------------------------------------------


def _cancel_reject(report: ExecutionReport, asked: Asked) -> Said:
    status = "8" if report.order_status == "REJECTED" else ORDER_STATUS[report.order_status]
    order = str(report.order_id) if report.order_id else "NONE"
    values = _cancel_reject_values(asked.message, order, status, report.reason)
    _add_time(values, report)
    _add_reason(values, report)
    return Said("9", values)


def _cancel_reject_values(message: Message, order: str, status: str, reason: int) -> Values:
    return [
        (37, order),
        (11, message.get(11)),
        (41, message.get(41)),
        (39, status),
        (1, message.get(1)),
        (434, 1 if message.msg_type == "F" else 2),
        (102, codes(reason).cancel),
    ]


def _mass_report(report: ExecutionReport, asked: Asked) -> Said:
    is_refused = report.exec_type == "REJECTED"
    values = _mass_values(
        asked.message, asked.market, "0" if is_refused else asked.message.get(530)
    )
    if is_refused:
        values.append((532, 99))
    if report.exec_type == "MASS_CANCELLED":
        values.append((533, report.affected_orders))
    _add_time(values, report)
    _add_reason(values, report)
    return Said("r", values)


def _mass_values(message: Message, market: str, response: str) -> Values:
    values: Values = [
        (11, message.get(11)), (37, message.get(11)), (530, message.get(530)), (531, response)
    ]  # fmt: skip
    _add(values, 336, market)
    _add(values, 55, message.get(55))
    _add(values, 1, message.get(1))
    _add(values, 54, message.get(54))
    return values


def _quote_report(report: ExecutionReport, asked: Asked) -> Said:
    values = _quote_values(asked.message, 5 if report.exec_type == "REJECTED" else 0)
    if report.exec_type == "QUOTED":
        values.append((20025, report.order_id))
    _add_time(values, report)
    _add_reason(values, report)
    return Said("AI", values)


def _quote_values(message: Message, status: int) -> Values:
    return [(117, message.get(117)), (1, message.get(1)), (55, message.get(55)), (297, status)]


def _block_ack(report: ExecutionReport, asked: Asked) -> Said:
    order = str(report.order_id) if report.order_id else asked.message.get(572)
    values = _block_values(asked.message, order, 1 if report.exec_type == "REJECTED" else 0)
    _add_time(values, report)
    _add_reason(values, report)
    return Said("AR", values)


def _block_values(message: Message, order: str, status: int) -> Values:
    values: Values = [(571, message.get(571)), (856, message.get(856))]
    _add(values, 572, order)
    return [*values, (939, status), (55, message.get(55))]


def _alleged(report: ExecutionReport) -> Said:
    """A block is proposed to an account of this participant, with the side it would have."""
    values: Values = [
        (571, f"B{report.order_id}"), (487, 0), (856, 1), (572, report.order_id), (570, "N"),
        (55, report.symbol), (32, report.order_quantity), (31, report.price),
    ]  # fmt: skip
    _add_time(values, report)
    return Said("AE", [
        *values, (552, 1), (54, "2" if report.side == "BUY" else "1"), (37, report.order_id),
        (1, report.account),
    ])  # fmt: skip


_ANSWERS = {"q": _mass_report, "S": _quote_report, "AE": _block_ack}


# -- fields ---------------------------------------------------------------------------------------


def _names(report: ExecutionReport, asked: Asked) -> bool:
    """Whether the report speaks of the request's own order, by the request's own ids.

    A new or a replaced order may fill, trigger or end others of its participant.
    """
    if asked.msg_type == "F":
        return report.exec_type in ("CANCELLED", "ORDER_STATUS")
    if asked.msg_type == "G":
        is_own = report.client_order_id == asked.message.get(11)
        return report.exec_type == "ORDER_STATUS" or (report.exec_type == "REPLACED" and is_own)
    if asked.msg_type == "D":
        return report.exec_type in _WHEN_ASKED or report.order_id == report.request_id
    return asked.msg_type == "H"


def _order_type(report: ExecutionReport) -> str:
    """Picks and blocks are limit orders in FIX's words."""
    return _ORDER_TYPE.get(report.order_type, "2" if report.price else "")


def _exec_id(report: ExecutionReport, asked: Asked | None) -> str:
    if report.exec_type == "ORDER_STATUS" and asked is not None:
        return f"S-{asked.ref}"
    return f"{report.market}-{report.sequence}"


def _order_refused(message: Message, refused: Refused, exec_id: str, exec_type: str) -> Said:
    values: Values = [
        (37, message.get(37) or "NONE"), (11, message.get(11)), (17, exec_id), (150, exec_type),
        (39, "8"), (1, message.get(1)), (55, message.get(55)), (54, message.get(54)),
    ]  # fmt: skip
    _add(values, 38, message.get(38))
    _add(values, 40, message.get(40))
    values += [(151, 0), (14, 0), (6, 0), (103, codes(refused.row.number).order)]
    return Said("8", [*values, (58, plain(refused.text)), (20001, refused.row.number)])


def _add(values: Values, tag: int, value: str | int) -> None:
    if value:
        values.append((tag, value if isinstance(value, int) else plain(value)))


def _add_terms(values: Values, report: ExecutionReport) -> None:
    _add(values, 99, report.stop_price)
    _add(values, 432, report.expire_date.replace("-", ""))
    _add(values, 110, report.minimum_quantity)
    _add(values, 111, report.display_quantity)
    words = [word for word, is_set in (
        ("6", bool(report.post_only)), ("K", not report.is_persistent)
    ) if is_set]  # fmt: skip
    _add(values, 18, " ".join(words))
    if report.post_only == "REPRICE":
        values.append((20003, "Y"))
    _add(values, 7928, _SELF_TRADE.get(report.self_trade_prevention, ""))
    _add(values, 20025, report.quote_id)


def _add_fill(values: Values, report: ExecutionReport, days: Days | None) -> None:
    values += [(32, report.last_quantity), (31, report.last_price)]
    _add(values, 851, _LIQUIDITY.get(report.liquidity, 0))
    _add(values, 527, report.trade_id)
    _add(values, 20007, report.trade_method)
    if days is not None:
        values += [(75, days.trade), (64, days.settlement)]
    if report.fee:
        values += [(12, report.fee), (13, "3")]


def _add_time(values: Values, report: ExecutionReport) -> None:
    if report.transact_time_ns:
        values.append((60, utc_text(report.transact_time_ns)))


def _add_reason(values: Values, report: ExecutionReport) -> None:
    if report.reason:
        values += [(58, plain(f"{report.title}: {report.text}")), (20001, report.reason)]
