"""The one table of the FIX dialect: fields, messages, which field stands where.

Everything else follows from it: what the decoder takes, the QuickFIX dictionary and the tables of
`deploy/docs/fix.md`. It is FIX 4.4 with the fields that this venue uses and no others; tags from
20000 on are its own, 7928, 8013 and 9406 are those that other venues use for the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

BEGIN_STRING = "FIX.4.4"


class Field(NamedTuple):
    """A tag, its name and type in QuickFIX's words, its values where they are few, what it says."""

    tag: int
    name: str
    kind: str
    about: str = ""
    values: dict[str, str] = {}


class Group(NamedTuple):
    """A repeating group: the tag of its count, then its members, the first of which parts them."""

    count_tag: int
    is_required: bool
    members: dict[int, bool]  # tag -> required


class Layout(NamedTuple):
    """A message: its type, name, who sends it, and its fields without header and trailer."""

    msg_type: str
    name: str
    sender: str  # client, venue, both
    members: dict[int, bool]  # tag -> required
    groups: dict[int, Group]
    is_admin: bool = False


_SIDES = {"1": "BUY", "2": "SELL"}
_FIELDS = (
    Field(1, "Account", "STRING", "number of the account"),
    Field(6, "AvgPx", "PRICE", "of the order's fills so far; 0 before the first"),
    Field(7, "BeginSeqNo", "SEQNUM"),
    Field(8, "BeginString", "STRING"),
    Field(9, "BodyLength", "LENGTH"),
    Field(10, "CheckSum", "STRING"),
    Field(11, "ClOrdID", "STRING", "the client's id, printable ASCII, at most 16 characters"),
    Field(12, "Commission", "AMT", "fee of this fill, currency units"),
    Field(13, "CommType", "CHAR", "", {"3": "ABSOLUTE"}),
    Field(14, "CumQty", "QTY", "tonnes traded so far"),
    Field(16, "EndSeqNo", "SEQNUM", "0 = up to the last"),
    Field(17, "ExecID", "STRING", "market and event number; of what is no event, its own"),
    Field(18, "ExecInst", "MULTIPLEVALUESTRING",
          "6: refused if it would trade on entry; K: ends with a halt, a volatility call, a close",
          {"6": "PARTICIPATE_DONT_INITIATE", "K": "CANCEL_ON_TRADING_HALT"}),
    Field(21, "HandlInst", "CHAR", "taken and not needed",
          {"1": "AUTOMATED_EXECUTION_ORDER_PRIVATE_NO_BROKER_INTERVENTION"}),
    Field(31, "LastPx", "PRICE", "currency units a tonne"),
    Field(32, "LastQty", "QTY", "tonnes"),
    Field(33, "NoLinesOfText", "NUMINGROUP"),
    Field(34, "MsgSeqNum", "SEQNUM"),
    Field(35, "MsgType", "STRING"),
    Field(36, "NewSeqNo", "SEQNUM"),
    Field(37, "OrderID", "STRING", "the venue's id of the order; NONE where there is none"),
    Field(38, "OrderQty", "QTY", "whole tonnes"),
    Field(39, "OrdStatus", "CHAR", "",
          {"0": "NEW", "1": "PARTIALLY_FILLED", "2": "FILLED", "4": "CANCELED", "8": "REJECTED",
           "A": "PENDING_NEW", "C": "EXPIRED"}),
    Field(40, "OrdType", "CHAR", "",
          {"1": "MARKET", "2": "LIMIT", "3": "STOP", "4": "STOP_LIMIT"}),
    Field(41, "OrigClOrdID", "STRING", "the order's ClOrdID before this request"),
    Field(43, "PossDupFlag", "BOOLEAN"),
    Field(44, "Price", "PRICE", "currency units a tonne, such as 71.25; none for MARKET and STOP"),
    Field(45, "RefSeqNum", "SEQNUM"),
    Field(49, "SenderCompID", "STRING", "from a client: the id of its key"),
    Field(52, "SendingTime", "UTCTIMESTAMP"),
    Field(54, "Side", "CHAR", "", _SIDES),
    Field(55, "Symbol", "STRING", "as GET /instruments lists it"),
    Field(56, "TargetCompID", "STRING", "from a client: the name of the venue, CARBON"),
    Field(58, "Text", "STRING", "what was wrong, which limit, what to do"),
    Field(59, "TimeInForce", "CHAR", "0 where it is left out",
          {"0": "DAY", "1": "GOOD_TILL_CANCEL", "2": "AT_THE_OPENING", "3": "IMMEDIATE_OR_CANCEL",
           "4": "FILL_OR_KILL", "6": "GOOD_TILL_DATE", "7": "AT_THE_CLOSE"}),
    Field(60, "TransactTime", "UTCTIMESTAMP", "from the venue: time of the engine"),
    Field(64, "SettlDate", "LOCALMKTDATE", "of a fill: its day, or with T+1 the next business day"),
    Field(75, "TradeDate", "LOCALMKTDATE",
          "of a fill: the day in the market's time zone; from a client taken and not needed"),
    Field(95, "RawDataLength", "LENGTH"),
    Field(96, "RawData", "DATA", "base64 of the Ed25519 signature"),
    Field(97, "PossResend", "BOOLEAN", "taken and not needed: ClOrdID tells what is the same"),
    Field(98, "EncryptMethod", "INT", "", {"0": "NONE"}),
    Field(99, "StopPx", "PRICE", "STOP and STOP_LIMIT: the last price that lets it in"),
    Field(102, "CxlRejReason", "INT", "",
          {"0": "TOO_LATE_TO_CANCEL", "1": "UNKNOWN_ORDER", "2": "BROKER_EXCHANGE_OPTION",
           "3": "ALREADY_PENDING", "6": "DUPLICATE_CLORDID_RECEIVED", "99": "OTHER"}),
    Field(103, "OrdRejReason", "INT", "",
          {"0": "BROKER_EXCHANGE_OPTION", "1": "UNKNOWN_SYMBOL", "2": "EXCHANGE_CLOSED",
           "3": "ORDER_EXCEEDS_LIMIT", "4": "TOO_LATE_TO_ENTER", "5": "UNKNOWN_ORDER",
           "6": "DUPLICATE_ORDER", "8": "STALE_ORDER", "11": "UNSUPPORTED_ORDER_CHARACTERISTIC",
           "13": "INCORRECT_QUANTITY", "15": "UNKNOWN_ACCOUNT", "99": "OTHER"}),
    Field(108, "HeartBtInt", "INT", "seconds"),
    Field(110, "MinQty", "QTY", "tonnes that must trade on entry"),
    Field(111, "MaxFloor", "QTY", "iceberg: tonnes shown at a time"),
    Field(112, "TestReqID", "STRING"),
    Field(117, "QuoteID", "STRING", "the client's id of the quote"),
    Field(122, "OrigSendingTime", "UTCTIMESTAMP"),
    Field(123, "GapFillFlag", "BOOLEAN"),
    Field(132, "BidPx", "PRICE", "currency units a tonne"),
    Field(133, "OfferPx", "PRICE", "currency units a tonne"),
    Field(134, "BidSize", "QTY", "tonnes; 0 or none leaves the side empty"),
    Field(135, "OfferSize", "QTY", "tonnes; 0 or none leaves the side empty"),
    Field(141, "ResetSeqNumFlag", "BOOLEAN"),
    Field(148, "Headline", "STRING"),
    Field(150, "ExecType", "CHAR", "",
          {"0": "NEW", "4": "CANCELED", "5": "REPLACED", "8": "REJECTED", "A": "PENDING_NEW",
           "C": "EXPIRED", "D": "RESTATED", "F": "TRADE", "I": "ORDER_STATUS",
           "L": "TRIGGERED_OR_ACTIVATED_BY_SYSTEM"}),
    Field(151, "LeavesQty", "QTY", "tonnes still open"),
    Field(263, "SubscriptionRequestType", "CHAR", "",
          {"0": "SNAPSHOT", "1": "SNAPSHOT_PLUS_UPDATES",
           "2": "DISABLE_PREVIOUS_SNAPSHOT_PLUS_UPDATE_REQUEST"}),
    Field(297, "QuoteStatus", "INT", "", {"0": "ACCEPTED", "5": "REJECTED"}),
    Field(324, "SecurityStatusReqID", "STRING"),
    Field(326, "SecurityTradingStatus", "INT", "calls of the book are OPENING_ROTATION",
          {"2": "TRADING_HALT", "17": "READY_TO_TRADE", "18": "NOT_AVAILABLE_FOR_TRADING",
           "21": "PRE_OPEN", "22": "OPENING_ROTATION"}),
    Field(335, "TradSesReqID", "STRING"),
    Field(336, "TradingSessionID", "STRING", "code of the market"),
    Field(340, "TradSesStatus", "INT", "",
          {"1": "HALTED", "2": "OPEN", "3": "CLOSED", "4": "PRE_OPEN", "5": "PRE_CLOSE"}),
    Field(371, "RefTagID", "INT"),
    Field(372, "RefMsgType", "STRING"),
    Field(373, "SessionRejectReason", "INT", "",
          {"0": "INVALID_TAG_NUMBER", "1": "REQUIRED_TAG_MISSING",
           "2": "TAG_NOT_DEFINED_FOR_THIS_MESSAGE_TYPE", "3": "UNDEFINED_TAG",
           "4": "TAG_SPECIFIED_WITHOUT_A_VALUE", "5": "VALUE_IS_INCORRECT",
           "6": "INCORRECT_DATA_FORMAT_FOR_VALUE", "9": "COMPID_PROBLEM",
           "10": "SENDINGTIME_ACCURACY_PROBLEM", "11": "INVALID_MSGTYPE",
           "13": "TAG_APPEARS_MORE_THAN_ONCE", "14": "TAG_SPECIFIED_OUT_OF_REQUIRED_ORDER",
           "15": "REPEATING_GROUP_FIELDS_OUT_OF_ORDER",
           "16": "INCORRECT_NUMINGROUP_COUNT_FOR_REPEATING_GROUP", "99": "OTHER"}),
    Field(378, "ExecRestatementReason", "INT", "8: an iceberg shows its next slice",
          {"8": "MARKET_OPTION"}),
    Field(379, "BusinessRejectRefID", "STRING"),
    Field(380, "BusinessRejectReason", "INT", "",
          {"0": "OTHER", "1": "UNKNOWN_ID", "2": "UNKNOWN_SECURITY",
           "3": "UNSUPPORTED_MESSAGE_TYPE", "4": "APPLICATION_NOT_AVAILABLE",
           "5": "CONDITIONALLY_REQUIRED_FIELD_MISSING", "6": "NOT_AUTHORIZED"}),
    Field(432, "ExpireDate", "LOCALMKTDATE", "GOOD_TILL_DATE: the last day"),
    Field(434, "CxlRejResponseTo", "CHAR", "",
          {"1": "ORDER_CANCEL_REQUEST", "2": "ORDER_CANCEL_REPLACE_REQUEST"}),
    Field(487, "TradeReportTransType", "INT", "", {"0": "NEW"}),
    Field(527, "SecondaryExecID", "STRING", "the number of the trade, the same for both sides"),
    Field(530, "MassCancelRequestType", "CHAR",
          "1: of Symbol; 6: of the market TradingSessionID; 7: of every market",
          {"1": "CANCEL_ORDERS_FOR_A_SECURITY", "6": "CANCEL_ORDERS_FOR_A_TRADING_SESSION",
           "7": "CANCEL_ALL_ORDERS"}),
    Field(531, "MassCancelResponse", "CHAR", "",
          {"0": "CANCEL_REQUEST_REJECTED", "1": "CANCEL_ORDERS_FOR_A_SECURITY",
           "6": "CANCEL_ORDERS_FOR_A_TRADING_SESSION", "7": "CANCEL_ALL_ORDERS"}),
    Field(532, "MassCancelRejectReason", "INT", "",
          {"0": "MASS_CANCEL_NOT_SUPPORTED", "1": "INVALID_OR_UNKNOWN_SECURITY", "99": "OTHER"}),
    Field(533, "TotalAffectedOrders", "INT"),
    Field(552, "NoSides", "NUMINGROUP", "one: the sender's own"),
    Field(570, "PreviouslyReported", "BOOLEAN"),
    Field(571, "TradeReportID", "STRING", "as ClOrdID: at most 16 characters"),
    Field(572, "TradeReportRefID", "STRING", "OrderID of the proposal"),
    Field(625, "TradingSessionSubID", "STRING", "the phase in the venue's own word"),
    Field(790, "OrdStatusReqID", "STRING"),
    Field(851, "LastLiquidityInd", "INT", "", {"1": "ADDED_LIQUIDITY", "2": "REMOVED_LIQUIDITY"}),
    Field(856, "TradeReportType", "INT",
          "0: propose a block; 1: one is proposed to you; 2: confirm it; 3: decline or withdraw it",
          {"0": "SUBMIT", "1": "ALLEGED", "2": "ACCEPT", "3": "DECLINE"}),
    Field(939, "TrdRptStatus", "INT", "", {"0": "ACCEPTED", "1": "REJECTED"}),
    Field(7928, "SelfTradeType", "CHAR", "what happens if it would meet an order of its own group",
          {"N": "CANCEL_NEWEST", "O": "CANCEL_OLDEST", "B": "CANCEL_BOTH", "D": "DECREMENT"}),
    Field(8013, "CancelOrdersOnDisconnect", "CHAR",
          "whose orders end when the connection is over and nobody logs on again in time",
          {"N": "NONE", "S": "SESSION", "P": "PARTICIPANT"}),
    Field(9406, "DropCopyFlag", "BOOLEAN", "Y: it hears every report and sends no request"),
    Field(20001, "VenueReason", "INT", "the venue's numbered reason, see reasons.md"),
    Field(20002, "ValidMs", "INT", "refused if the log takes it later; 5000 where it is left out"),
    Field(20003, "PostOnlyReprice", "BOOLEAN", "with ExecInst 6: one tick away instead of refused"),
    Field(20004, "ListingID", "STRING", "listed trading: OrderID of the listing that is picked"),
    Field(20005, "CounterpartyAccount", "STRING", "the other side of a block"),
    Field(20006, "OwnSessionOnly", "BOOLEAN", "of a mass cancel: only orders which this key sent"),
    Field(20007, "TradeMethod", "STRING", "BOOK, CALL, LISTED, BLOCK or AUCTION"),
    Field(20008, "AuctionID", "STRING",
          "a sealed bid in this auction of GET /auctions; OrdType 2, no other terms"),
    Field(20009, "AuctionState", "STRING", "",
          {"OPEN": "OPEN", "CLEARED": "CLEARED", "CANCELLED": "CANCELLED"}),
    Field(20010, "AuctionLabel", "STRING", "the calendar's name of the auction"),
    Field(20011, "AuctionSide", "CHAR", "what the auctioneer does", _SIDES),
    Field(20012, "AuctionPricing", "STRING", "",
          {"UNIFORM": "UNIFORM", "PAY_AS_BID": "PAY_AS_BID"}),
    Field(20013, "AuctionTieBreak", "STRING", "among bids at the price",
          {"BY_TIME": "BY_TIME", "AT_RANDOM": "AT_RANDOM", "PRO_RATA": "PRO_RATA"}),
    Field(20014, "AuctionQty", "QTY", "tonnes on offer"),
    Field(20015, "BidMultiple", "QTY", "tonnes; bids are multiples of it"),
    Field(20016, "BidMaxShare", "INT",
          "hundredths of a percent of the offer, for one account's bids together; none: no bound"),
    Field(20017, "AuctionReserve", "PRICE", "a floor that is public; none: there is none"),
    Field(20018, "AuctionOpened", "UTCTIMESTAMP"),
    Field(20019, "BiddingCloses", "UTCTIMESTAMP",
          "until when bids are heard, this moment no more; none: until it is cleared"),
    Field(20020, "AuctionEnded", "UTCTIMESTAMP"),
    Field(20021, "AuctionBidQty", "QTY", "tonnes bid"),
    Field(20022, "AuctionSoldQty", "QTY", "tonnes sold"),
    Field(20023, "AuctionPrice", "PRICE", "currency units a tonne"),
    Field(20024, "AuctionRevenue", "AMT", "what is paid for all that was sold"),
    Field(20025, "QuoteOrderID", "STRING", "the venue's id of the quote whose side the order is"),
)  # fmt: skip

FIELDS: dict[int, Field] = {field.tag: field for field in _FIELDS}
BY_NAME: dict[str, int] = {field.name: field.tag for field in _FIELDS}
HEADER: dict[int, bool] = {
    8: True, 9: True, 35: True, 49: True, 56: True, 34: True, 43: False, 97: False,
    52: True, 122: False,
}  # fmt: skip
TRAILER: dict[int, bool] = {10: True}


def _layout(
    msg_type: str, name: str, sender: str, words: str, *groups: Group, is_admin: bool = False
) -> Layout:
    """`words` are tags in order; `!` after one says that it is required."""
    members = {int(word.rstrip("!")): word.endswith("!") for word in words.split()}
    return Layout(msg_type, name, sender, members, {g.count_tag: g for g in groups}, is_admin)


_ORDER_REPORT = (
    "37! 11 41 17! 150! 39! 378 1 55 54! 38 40 44 99 59 432 18 110 111 7928 20003 32 31 851 527 "
    "20007 20025 75 64 12 13 151! 14! 6! 60 790 103 58 20001"
)
_MESSAGES = (
    _layout("0", "Heartbeat", "both", "112", is_admin=True),
    _layout("1", "TestRequest", "both", "112!", is_admin=True),
    _layout("2", "ResendRequest", "both", "7! 16!", is_admin=True),
    _layout("3", "Reject", "both", "45! 371 372 373 58", is_admin=True),
    _layout("4", "SequenceReset", "both", "123 36!", is_admin=True),
    _layout("5", "Logout", "both", "58 20001", is_admin=True),
    _layout("A", "Logon", "both", "98! 108! 95 96 141 8013 9406", is_admin=True),
    _layout("D", "NewOrderSingle", "client",
            "11! 1! 55! 54! 38! 40! 44 59 60! 21 18 99 110 111 432 7928 20002 20003 20004 20008"),
    _layout("F", "OrderCancelRequest", "client", "11! 41! 37 1! 55! 54! 38 60!"),
    _layout("G", "OrderCancelReplaceRequest", "client",
            "11! 41! 37 1! 55! 54! 38! 40! 44 59 60! 21 99 110 111 432 20002"),
    _layout("q", "OrderMassCancelRequest", "client", "11! 530! 336 55 1 54 60! 20006"),
    _layout("H", "OrderStatusRequest", "client", "11! 37 1! 55! 54! 790"),
    _layout("S", "Quote", "client", "117! 1! 55! 132 133 134 135 60 18 7928 20002"),
    _layout("AE", "TradeCaptureReport", "both", "571! 487 856! 572 570 55! 32! 31! 75 60 20005",
            Group(552, True, {54: True, 37: False, 1: True})),
    _layout("g", "TradingSessionStatusRequest", "client", "335! 336 263!"),
    _layout("e", "SecurityStatusRequest", "client", "324! 55! 263!"),
    _layout("8", "ExecutionReport", "venue", _ORDER_REPORT),
    _layout("9", "OrderCancelReject", "venue", "37! 11! 41! 39! 1 434! 102 60 58 20001"),
    _layout("r", "OrderMassCancelReport", "venue",
            "11! 37! 530! 531! 532 533 336 55 1 54 60 58 20001"),
    _layout("AI", "QuoteStatusReport", "venue", "117! 20025 1 55! 60 297! 58 20001"),
    _layout("AR", "TradeCaptureReportAck", "venue", "571! 856! 572 939! 55 60 58 20001"),
    _layout("h", "TradingSessionStatus", "venue", "335 336! 625 55 340!"),
    _layout("f", "SecurityStatus", "venue",
            "324! 55! 336! 625 326! 20008 20009 20010 20011 20012 20013 20014 20015 20016 20017 "
            "20018 20019 20020 20021 20022 20023 20024 58 20001"),
    _layout("B", "News", "venue", "148!", Group(33, True, {58: True})),
    _layout("j", "BusinessMessageReject", "venue", "45 372! 379 380! 58 20001"),
)  # fmt: skip

MESSAGES: dict[str, Layout] = {layout.msg_type: layout for layout in _MESSAGES}

Check = Callable[[str], object]
_WHOLE = re.compile(r"[0-9]{1,18}").fullmatch
CHECKS: dict[str, Check] = {
    "STRING": re.compile(r"[ -~]{1,1024}").fullmatch,
    "CHAR": re.compile(r"[!-~]").fullmatch,
    "INT": _WHOLE,
    "LENGTH": _WHOLE,
    "NUMINGROUP": re.compile(r"[0-9]{1,3}").fullmatch,
    "SEQNUM": re.compile(r"[0-9]{1,10}").fullmatch,
    "BOOLEAN": re.compile(r"[YN]").fullmatch,
    "QTY": re.compile(r"[0-9]{1,19}(?:\.0{1,9})?").fullmatch,
    "PRICE": re.compile(r"-?[0-9]{1,19}(?:\.[0-9]{1,19})?").fullmatch,
    "AMT": re.compile(r"-?[0-9]{1,19}(?:\.[0-9]{1,19})?").fullmatch,
    "UTCTIMESTAMP": re.compile(
        r"[0-9]{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])-"
        r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{1,9})?"
    ).fullmatch,
    "LOCALMKTDATE": re.compile(r"[0-9]{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])").fullmatch,
    "MULTIPLEVALUESTRING": re.compile(r"[!-~](?: [!-~]){0,9}").fullmatch,
    "DATA": len,
}
"""Whether a text is a value of the type; falsy = it is not."""
