"""What goes back to a participant: execution reports, instruction reports and session messages.

JSON on REST, on the order-entry socket and on `reports.<participant>`. Prices and money are decimal
strings, quantities integer tonnes, times integer nanoseconds UTC. Fields at their default (0, "")
are left out.
"""

from __future__ import annotations

from typing import Literal

import msgspec

EXEC_TYPES = (
    "PENDING",  # the log has it; the engine's answer follows
    "NEW",
    "TRADE",
    "REPLACED",
    "CANCELLED",
    "REJECTED",
    "TRIGGERED",  # a stop, or an order that waited for its call, is in the book (FIX 150=L)
    "REFILLED",  # an iceberg shows its next slice, last at its price
    "RESTATED",  # after a logon that asks for it: an open order as it stands (FIX 150=D)
    "ORDER_STATUS",  # answer to a resend: the order as it stands (FIX 150=I)
    "MASS_CANCELLED",  # answer to an OrderMassCancelRequest; `affected_orders` says how many
    "QUOTED",  # answer to a Quote; a report of each side follows
    "BLOCK_PROPOSED",  # to the counterparty of a BlockProposal: confirm or decline it
)
ORDER_STATUSES = ("PENDING", "NEW", "PARTIALLY_FILLED", "FILLED", "CANCELLED", "REJECTED")


class ExecutionReport(
    msgspec.Struct, frozen=True, tag=True, tag_field="type", omit_defaults=True, gc=False
):
    """FIX 35=8: what happened to an order, or to a request about it."""

    market: str
    account: int
    exec_type: str  # what this tells: NEW, TRADE, REPLACED, CANCELLED, REJECTED, ...
    order_status: str  # how the order stands: NEW, PARTIALLY_FILLED, FILLED, ...
    sequence: int = 0  # event number of the market; 0 while PENDING
    request_id: int = 0  # log position of the request that caused this
    order_id: int = 0
    client_order_id: str = ""
    ref: int = 0  # of the request, where known
    symbol: str = ""
    side: str = ""
    order_type: str = ""  # LIMIT, MARKET, STOP, STOP_LIMIT; PICK, BLOCK, BID, OFFER
    time_in_force: str = ""  # how long it may rest: DAY, GTC, GTD, IOC, FOK, ...
    order_quantity: int = 0  # tonnes of the whole order
    leaves_quantity: int = 0
    cumulative_quantity: int = 0  # tonnes traded so far
    price: str = ""
    last_quantity: int = 0
    last_price: str = ""
    fee: str = ""  # of this fill
    liquidity: str = ""  # MAKER or TAKER
    trade_id: int = 0
    transact_time_ns: int = 0  # engine time
    reason: int = 0
    title: str = ""
    text: str = ""
    intake_offset: int = -1  # reports.<participant>: intake is done up to here
    stop_price: str = ""
    display_quantity: int = 0
    minimum_quantity: int = 0
    expire_date: str = ""  # YYYY-MM-DD
    post_only: str = ""  # REFUSE or REPRICE
    self_trade_prevention: str = ""  # what happens if it would meet one of its group
    is_persistent: bool = True  # false: ends with a halt, a volatility call, the close
    trade_method: str = ""  # of a TRADE: BOOK, CALL, LISTED, BLOCK or AUCTION
    affected_orders: int = 0  # MASS_CANCELLED
    average_price: str = ""  # of its fills so far, with four more decimals than the currency
    quote_id: int = 0  # log position of the quote whose side this is; 0: of none


class UnitRange(msgspec.Struct, frozen=True, gc=False):
    """Serial numbers `first` to `last` (inclusive) of a programme."""

    programme: str
    first: int  # serial number, inclusive
    last: int  # serial number, inclusive


class InstructionReport(
    msgspec.Struct, frozen=True, tag=True, tag_field="type", omit_defaults=True
):
    """Where an instruction to the registry stands."""

    market: str
    instruction_id: int  # its log position
    account: int
    kind: str  # RELEASE, or a name of frames.Instruction
    status: str  # PENDING, DONE, REFUSED
    symbol: str = ""
    quantity: int = 0
    argument: int = 0  # year or the other account
    client_order_id: str = ""
    ranges: tuple[UnitRange, ...] = ()
    transact_time_ns: int = 0
    reason: int = 0
    title: str = ""
    text: str = ""
    rule: str = ""
    source: str = ""
    due_ns: int = 0  # a transfer that waits: carried out then, or forgotten if nobody approves it


class OperationReport(msgspec.Struct, frozen=True, tag=True, tag_field="type", omit_defaults=True):
    """What an operator's command did."""

    market: str
    request_id: int  # log position of the request
    status: str  # PENDING, DONE, REFUSED; PROPOSED = another operator has to approve
    ref: int = 0
    events: int = 0  # how many events it caused
    reason: int = 0
    title: str = ""
    text: str = ""
    proposal_id: int = 0  # of what was proposed


class Reject(msgspec.Struct, frozen=True, tag=True, tag_field="type", omit_defaults=True):
    """A message refused at the edge: nothing reached the log (but see STATUS_UNKNOWN)."""

    reason: int
    title: str
    text: str
    ref: int = 0
    client_order_id: str = ""
    may_retry: bool = False
    retry_after_ms: int = 0
    intake_offset: int = -1  # reports.<participant>: intake is done up to here


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem details with the venue's numbered reason."""

    type: str
    title: str
    status: int  # of HTTP
    detail: str  # what was wrong, which limit, what to do
    reason: int
    may_retry: bool = False  # whether the same request may be sent again
    retry_after_ms: int = 0  # how long to wait before it
    ref: int = 0
    client_order_id: str = ""
    report: (  # of the request, where the engine or the registry refused it
        ExecutionReport | InstructionReport | OperationReport | None
    ) = None


DisconnectScope = Literal["NONE", "SESSION", "PARTICIPANT"]


class Logon(msgspec.Struct, frozen=True, tag=True, tag_field="type", forbid_unknown_fields=True):
    """First message on the order-entry socket; signed as `gateway.access.identity` says."""

    key: str
    timestamp_ns: int
    signature: str
    window_ms: int = 0
    resume_from: dict[str, int] = {}  # market -> last sequence seen; that and earlier is not resent
    restate: bool = False  # every open order is told, RESTATED, then a Restatement
    cancel_on_disconnect: DisconnectScope = "NONE"  # whose orders end when the connection is lost


class LoggedOn(msgspec.Struct, frozen=True, tag=True, tag_field="type"):
    """The answer to Logon: where each market's session stands."""

    participant: int
    session: int
    last_ref: dict[str, int]
    sequence: dict[str, int]


class Gap(msgspec.Struct, frozen=True, tag=True, tag_field="type"):
    """Of the reports before `first_sequence` some are not sent again.

    GET /executions has what is still kept, GET /orders what stands.
    """

    market: str
    first_sequence: int


class Restatement(msgspec.Struct, frozen=True, tag=True, tag_field="type"):
    """So many RESTATED reports came: all open orders, as they stand before `next_sequence`."""

    market: str
    orders: int
    next_sequence: int


class Closing(msgspec.Struct, frozen=True, tag=True, tag_field="type"):
    """The last message before the venue cuts a connection."""

    reason: int
    title: str
    text: str


SessionMessage = ExecutionReport | Reject | LoggedOn | Gap | Restatement | Closing
