"""Bodies of orders: what members send to trade.

These are the JSON bodies of REST, of the order-entry socket (where `type` names them) and of a
broker's intake topic. Unknown fields are refused. Prices and amounts are decimal strings, so that
no binary fraction is ever involved; quantities are whole tonnes. `gateway.entry.order_entry` checks
them and makes the 64-byte commands of `orders`.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

from exchange.settings import RECEIVE_WINDOW_MS

SideWord = Literal["BUY", "SELL"]
OrderTypeWord = Literal["LIMIT", "MARKET", "STOP", "STOP_LIMIT"]
TimeInForceWord = Literal["DAY", "GTC", "GTD", "IOC", "FOK", "AT_THE_OPENING", "AT_THE_CLOSE"]
PostOnlyWord = Literal["", "REFUSE", "REPRICE"]
SelfTradeWord = Literal["", "CANCEL_NEWEST", "CANCEL_OLDEST", "CANCEL_BOTH", "DECREMENT"]


class Body(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag=True,
    tag_field="type",
):  # fmt: skip
    """What every request carries: `ref`, strictly increasing in the key's session."""

    ref: int


class NewOrderSingle(Body, frozen=True, kw_only=True):
    """FIX 35=D: a new order; `matching/RULES.md` says which terms go with which type."""

    symbol: str
    account: int
    side: SideWord
    quantity: int | str  # tonnes; a JSON integer or a string of digits
    price: str = ""  # currency units a tonne, as "71.25"; empty for MARKET and STOP
    order_type: OrderTypeWord = "LIMIT"  # STOP and STOP_LIMIT wait for `stop_price`
    time_in_force: TimeInForceWord = "DAY"  # how long it may rest; GTD needs `expire_date`
    client_order_id: str = ""  # printable ASCII, at most 16 characters
    valid_ms: int = RECEIVE_WINDOW_MS  # refused if the log takes it later than this; 0 = no limit
    stop_price: str = ""  # STOP and STOP_LIMIT: enters the book when the last price reaches it
    display_quantity: int | str = 0  # iceberg: tonnes shown at a time; 0 = all
    minimum_quantity: int | str = 0  # tonnes that must trade on entry; 0 = none
    expire_date: dt.date | None = None  # GTD: the last day
    post_only: PostOnlyWord = ""  # what happens if it would trade on entry
    self_trade_prevention: SelfTradeWord = ""  # what happens if it would meet one of its group
    is_persistent: bool = True  # false: ends with a halt, a volatility call, the close


class OrderCancelRequest(Body, frozen=True, kw_only=True):
    """FIX 35=F: cancel an order, named by the venue's id or by the client's."""

    symbol: str
    account: int
    order_id: int = 0
    original_client_order_id: str = ""  # names the order, instead of `order_id`


class OrderCancelReplaceRequest(Body, frozen=True, kw_only=True):
    """FIX 35=G: change total quantity and price; see `matching/RULES.md` for priority.

    Without stop price, display, minimum and expire date the order keeps its own; with one of them
    all four are set anew.
    """

    symbol: str
    account: int
    quantity: int | str
    price: str = ""  # empty for a STOP
    order_id: int = 0
    original_client_order_id: str = ""  # names the order, instead of `order_id`
    client_order_id: str = ""
    valid_ms: int = RECEIVE_WINDOW_MS
    stop_price: str = ""
    display_quantity: int | str = 0  # iceberg: tonnes shown at a time; 0 = all
    minimum_quantity: int | str = 0  # tonnes that must trade on entry; 0 = none
    expire_date: dt.date | None = None  # GTD: the last day


class OrderMassCancelRequest(Body, frozen=True, kw_only=True):
    """FIX 35=q: cancel all orders of the participant in a market that fit; auction bids stay."""

    market: str
    symbol: str = ""  # "" = of all instruments
    account: int = 0  # 0 = of all accounts of the participant
    side: Literal["", "BUY", "SELL"] = ""
    own_session: bool = False  # only those which this key's session sent
    client_order_id: str = ""  # the sender's label, handed back


class Quote(Body, frozen=True, kw_only=True):
    """FIX 35=S: both sides of an account's quote, in the place of the one before.

    A quantity of 0 leaves that side empty; both 0 withdraw the quote.
    """

    symbol: str
    account: int
    bid_quantity: int | str = 0  # tonnes to buy; 0 = none
    bid_price: str = ""  # currency units a tonne
    offer_quantity: int | str = 0  # tonnes to sell; 0 = none
    offer_price: str = ""  # currency units a tonne
    post_only: Literal["", "REFUSE"] = ""  # REFUSE: what would trade on entry is refused
    self_trade_prevention: SelfTradeWord = ""  # what happens if it would meet one of its group
    valid_ms: int = RECEIVE_WINDOW_MS


class PickOrder(Body, frozen=True, kw_only=True):
    """Takes tonnes of a listing, where takers name what they take (China's listed trading)."""

    symbol: str
    account: int
    side: SideWord  # the taker's
    listing_id: int  # order id of the listing
    quantity: int | str
    price: str  # the listing's
    client_order_id: str = ""
    valid_ms: int = RECEIVE_WINDOW_MS


class BlockProposal(Body, frozen=True, kw_only=True):
    """FIX 35=AE: one side of a negotiated trade; the other side has to confirm it."""

    symbol: str
    account: int
    side: SideWord
    quantity: int | str
    price: str
    counterparty_account: int  # account of the other side, which has to confirm
    client_order_id: str = ""
    valid_ms: int = RECEIVE_WINDOW_MS


class BlockConfirmation(Body, frozen=True, kw_only=True):
    """FIX 35=AE: the counterparty's word to a proposal, with its own side, same size and price.

    An OrderCancelRequest of the proposal's id withdraws it, or declines it.
    """

    symbol: str
    account: int
    side: SideWord
    quantity: int | str
    price: str
    proposal_id: int  # order id of the proposal
    client_order_id: str = ""
    valid_ms: int = RECEIVE_WINDOW_MS


class AuctionBid(Body, frozen=True, kw_only=True):
    """A sealed bid in an auction that is open; changed and withdrawn like an order."""

    symbol: str
    account: int
    auction_id: int
    quantity: int | str
    price: str
    side: SideWord = "BUY"  # SELL where the auction buys
    client_order_id: str = ""
    valid_ms: int = RECEIVE_WINDOW_MS


OrderRequest = (
    NewOrderSingle
    | OrderCancelRequest
    | OrderCancelReplaceRequest
    | OrderMassCancelRequest
    | Quote
    | PickOrder
    | BlockProposal
    | BlockConfirmation
    | AuctionBid
)
"""Everything a member's order entry takes, at every door."""
