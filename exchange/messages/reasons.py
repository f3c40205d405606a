"""Every refusal of the venue: one stable number, one text, what to do, may it be sent again.

Numbers below 500 are the engine's (`matching.layout.Reason`); 5xx are the gateway's, from 540 those
of who may do what, 6xx the registry's and the rulebook's, 7xx those of the venue's day (its end and
its opening), of settlement (720) and of primary auctions (750). The table below makes the HTTP
problem details, the client's exceptions and the documentation.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from exchange.messages.access_reasons import ACCESS_ROWS
from exchange.messages.day_reasons import DAY_ROWS
from exchange.messages.reason_numbers import (
    AccessReason,
    DayReason,
    EdgeReason,
    RegistryReason,
    SettlementReason,
    SupplyReason,
)
from matching.layout import Reason

__all__ = [
    "REASONS",
    "AccessReason",
    "DayReason",
    "EdgeReason",
    "Reason",
    "ReasonText",
    "RegistryReason",
    "SettlementReason",
    "SupplyReason",
    "reason_text",
]


class ReasonText(NamedTuple):
    """One row: the reason's number and name, words for people, HTTP status, may it be resent."""

    number: int
    name: str
    text: str  # what was wrong, which limit, what to do
    status: int
    may_retry: bool


_FRAME = (
    "The record on `orders` is no sound frame ({}); nothing in it was applied. Repair the writer."
)
_LABEL = (
    "This client_order_id already names an order or replace of the account with another {}. "
    "Use a new client_order_id; the earlier one is untouched."
)

_ROWS: tuple[tuple[IntEnum, int, bool, str], ...] = (
    (Reason.NONE, 200, False, "Nothing was refused."),
    (Reason.FRAME_TOO_SHORT, 500, False, _FRAME.format("shorter than its header")),
    (Reason.FRAME_WRONG_MAGIC, 500, False, _FRAME.format("wrong first four bytes")),
    (Reason.FRAME_WRONG_VERSION, 500, False, _FRAME.format("unknown version")),
    (Reason.FRAME_WRONG_KIND, 500, False, _FRAME.format("not commands")),
    (Reason.FRAME_COUNT_OUT_OF_RANGE, 500, False, _FRAME.format("count outside 1..4096")),
    (Reason.FRAME_WRONG_SIZE, 500, False, _FRAME.format("size and count disagree")),
    (Reason.FRAME_WRONG_CHECKSUM, 500, False, _FRAME.format("checksum differs")),
    (Reason.UNKNOWN_COMMAND, 400, False,
     "The command's kind is not known to this engine. Use a kind of the layout table."),
    (Reason.SESSIONS_FULL, 503, False,
     "The engine's table of sessions is full. Use an existing key or tell market operations."),
    (Reason.EXPIRED, 422, True,
     "The request reached the engine later than its valid_ms allows. Nothing was done; send it "
     "again with a new ref if it is still wanted."),
    (Reason.UNKNOWN_ACCOUNT, 404, False,
     "The market has no such account. See GET /positions for your accounts."),
    (Reason.UNKNOWN_INSTRUMENT, 404, False,
     "The market has no such instrument. See GET /instruments."),
    (Reason.INVALID_SIDE, 422, False,
     "side must be BUY or SELL, and of a pick, a confirmation or a bid the other one than that of "
     "the listing, proposal or auction."),
    (Reason.INVALID_ORDER_TYPE, 422, False,
     "order_type must be MARKET, LIMIT, STOP or STOP_LIMIT."),
    (Reason.INVALID_TIME_IN_FORCE, 422, False,
     "time_in_force must be one that the order type may have: see the rules of orders."),
    (Reason.MARKET_ORDER_CANNOT_REST, 422, False,
     "A MARKET order rests only for a call: send it IOC, FOK, AT_THE_OPENING or AT_THE_CLOSE."),
    (Reason.MARKET_ORDER_HAS_PRICE, 422, False,
     "A MARKET order carries no price: leave it out, or send a LIMIT order."),
    (Reason.UNKNOWN_ORDER, 404, False,
     "The account has no open order with that id in this instrument: it was never there, is "
     "filled, or was cancelled. See GET /orders."),
    (Reason.INVALID_INSTRUCTIONS, 422, False,
     "The instructions are unknown, contradict each other or do not fit the order type: "
     "post-only is for LIMIT orders that may rest."),
    (Reason.INVALID_TERMS, 422, False,
     "A term is missing or does not fit the order: stop_price for STOP and STOP_LIMIT only, "
     "expire_date for GTD only, display_quantity and minimum_quantity as the rules of the "
     "order type say."),
    (Reason.EXPIRE_DATE_OUT_OF_RANGE, 422, False,
     "expire_date must be the current trading date (GET /phases) or a later one, as "
     "2026-12-18; over FIX as 20261218."),
    (Reason.CLIENT_ORDER_ID_REUSED_ORDER, 409, False, _LABEL.format("order_id")),
    (Reason.CLIENT_ORDER_ID_REUSED_INSTRUMENT, 409, False, _LABEL.format("symbol")),
    (Reason.CLIENT_ORDER_ID_REUSED_SIDE, 409, False, _LABEL.format("side")),
    (Reason.CLIENT_ORDER_ID_REUSED_ORDER_TYPE, 409, False, _LABEL.format("order_type")),
    (Reason.CLIENT_ORDER_ID_REUSED_TIME_IN_FORCE, 409, False, _LABEL.format("time_in_force")),
    (Reason.CLIENT_ORDER_ID_REUSED_QUANTITY, 409, False, _LABEL.format("quantity")),
    (Reason.CLIENT_ORDER_ID_REUSED_PRICE, 409, False, _LABEL.format("price")),
    (Reason.CLIENT_ORDER_ID_REUSED_TERMS, 409, False, _LABEL.format("instructions or terms")),
    (Reason.ACCOUNT_SUSPENDED, 403, False,
     "The account or its participant is suspended: only cancels are heard. Ask market "
     "operations."),
    (Reason.ORDER_RATE_EXCEEDED, 429, True,
     "More orders in this second than the order_rate of the account or its participant allows "
     "(GET /limits). Send it again later with a new ref."),
    (Reason.MARKET_CLOSED, 409, True,
     "The instrument is closed for trading; cancels still pass. Wait for phase CONTINUOUS "
     "(GET /phases)."),
    (Reason.MARKET_HALTED, 409, True,
     "Trading in the instrument is halted; cancels still pass. Wait for phase CONTINUOUS "
     "(GET /phases)."),
    (Reason.ORDER_NOT_ALLOWED_IN_PHASE, 409, True,
     "The instrument's phase does not take orders of this kind (GET /phases): calls take what "
     "may rest, AT_THE_OPENING only the time before the opening."),
    (Reason.NOT_ALLOWED_BY_POLICY, 422, False,
     "The instrument's matching policy does not know this command or order: listed instruments "
     "take LIMIT listings and picks, price-time instruments no picks. Block proposals and sides "
     "of a quote are not replaced: cancel the proposal, or send another quote."),
    (Reason.BLOCKS_CLOSED, 409, True,
     "Block trades of the instrument are not open now (block_open of GET /instruments)."),
    (Reason.AUCTION_NOT_OPEN, 409, False,
     "No such auction is open in the instrument."),
    (Reason.AUCTION_ALREADY_OPEN, 409, False,
     "An auction is open in the instrument: clear or cancel it first."),
    (Reason.BID_IRREVOCABLE, 409, False,
     "Bids of this auction can be neither withdrawn nor changed."),
    (Reason.UNKNOWN_COUNTERPARTY, 422, False,
     "The other side must be another account of the market, of another group."),
    (Reason.BIDDING_CLOSED, 409, False,
     "The auction's closing time has passed (closes_ns of GET /auctions): no bid is taken, changed "
     "or withdrawn, and no auction opens with such a time."),
    (Reason.QUANTITY_NOT_POSITIVE, 422, False, "quantity must be at least 1 tonne."),
    (Reason.QUANTITY_ABOVE_MAX, 422, False,
     "quantity is above the instrument's quantity_max (GET /instruments). Send smaller orders."),
    (Reason.QUANTITY_NOT_LOT, 422, False,
     "quantity is no multiple of the instrument's lot_size (GET /instruments), or a bid's of the "
     "auction's bid_multiple_t (GET /auctions)."),
    (Reason.QUANTITY_NOT_ABOVE_EXECUTED, 422, False,
     "The new total quantity must be above what the order has already traded. Cancel the order "
     "to give up the rest."),
    (Reason.QUANTITY_BELOW_MIN, 422, False,
     "quantity is below the instrument's quantity_min, or a block's below its block_quantity_min "
     "(GET /instruments)."),
    (Reason.DISPLAY_QUANTITY_OUT_OF_RANGE, 422, False,
     "display_quantity must be a multiple of the lot between one lot and quantity."),
    (Reason.MINIMUM_QUANTITY_OUT_OF_RANGE, 422, False,
     "minimum_quantity must lie between 1 tonne and quantity."),
    (Reason.QUANTITY_ABOVE_LISTED, 409, False,
     "The listing has less left than quantity. Pick at most what it shows."),
    (Reason.QUANTITY_DIFFERS, 422, False,
     "quantity must be that of the proposal, or of the whole lot on offer."),
    (Reason.BID_ABOVE_MAX, 422, False,
     "The account's bids together would pass the share of the offer that one account may bid "
     "for (bid_max_bp of GET /auctions, in hundredths of a percent)."),
    (Reason.PRICE_NOT_POSITIVE, 422, False, "price must be above zero."),
    (Reason.PRICE_ABOVE_MAX, 422, False, "price is above the venue's limit of 10000000.00."),
    (Reason.PRICE_NOT_TICK, 422, False,
     "price is no multiple of the instrument's tick_size (GET /instruments)."),
    (Reason.PRICE_ABOVE_BAND, 422, False,
     "price is above the day's upper limit (reference price + band, GET /instruments)."),
    (Reason.PRICE_BELOW_BAND, 422, False,
     "price is below the day's lower limit (reference price - band, GET /instruments)."),
    (Reason.NO_LIQUIDITY, 409, True,
     "There is no opposite order for a MARKET order to trade with. Send a LIMIT order."),
    (Reason.VALUE_ABOVE_MAX, 422, False,
     "price x quantity is above the instrument's value_max (GET /instruments). Send smaller "
     "orders."),
    (Reason.STOP_PRICE_OUT_OF_RANGE, 422, False,
     "stop_price must be above zero, at most the venue's limit, and on the tick."),
    (Reason.PRICE_OUTSIDE_COLLAR, 422, False,
     "price reaches further beyond the last price than the instrument's collar_bp allows "
     "(GET /instruments)."),
    (Reason.POST_ONLY_WOULD_TRADE, 409, True,
     "The post-only order would trade at once. Send a price that rests."),
    (Reason.ORDERS_FULL, 503, True, "The market's table of open orders is full. Try later."),
    (Reason.CLIENT_ORDER_IDS_FULL, 503, True,
     "The market's table of client order ids is full until the day roll. Send the order without "
     "a client_order_id."),
    (Reason.PRICE_BEYOND_RESERVE, 422, False,
     "The bid lies beyond the auction's reserve price (public_reserve of GET /auctions)."),
    (Reason.PRICE_DIFFERS, 409, False,
     "price must be that of the listing or the proposal as it stands now."),
    (Reason.LISTING_OUT_OF_REACH, 409, False,
     "The listing is not among those that may be picked now: the best levels of its side, and "
     "none of the taker's own group."),
    (Reason.QUOTE_CROSSED, 422, False,
     "The quote's price to buy must be below its price to sell."),
    (Reason.HOLDING_ABOVE_MAX, 422, False,
     "The account would hold or be buying more of the instrument than its holding_max, or else "
     "the instrument's HOLDING_MAX, allows (GET /limits)."),
    (Reason.POSITION_ABOVE_MAX, 422, False,
     "The account or its participant would hold or be buying more of all instruments together "
     "than its position_max allows (GET /limits)."),
    (Reason.INSUFFICIENT_CASH, 422, True,
     "The account's available cash does not cover price x quantity and the worst fee "
     "(GET /positions). Deposit cash, cancel other buy orders, or send a smaller order."),
    (Reason.INSUFFICIENT_UNITS, 422, True,
     "The account has not enough units that may be sold or moved now (GET /positions). Units "
     "bought may be locked until the day roll or their settlement; others may be held by open sell "
     "orders."),
    (Reason.ACCOUNT_EXISTS, 409, False, "The account is already open."),
    (Reason.ACCOUNTS_FULL, 503, False, "The market's table of accounts is full."),
    (Reason.INSTRUMENT_EXISTS, 409, False, "The instrument is already open."),
    (Reason.TOTAL_ABOVE_MAX, 422, False,
     "The total of the market would exceed what the engine can count (2^62)."),
    (Reason.UNKNOWN_PARAMETER, 400, False, "The engine knows no such instrument parameter."),
    (Reason.PARAMETER_OUT_OF_RANGE, 422, False, "The value is outside the parameter's range."),
    (Reason.ORDERS_RESTING, 409, True,
     "The change needs an empty book: cancel the resting orders first."),
    (Reason.UNKNOWN_PHASE, 400, False, "The engine knows no such phase."),
    (Reason.PHASE_TRANSITION_REFUSED, 409, False,
     "The instrument's phase does not allow this: from CLOSED only CONTINUOUS follows, and a "
     "reference price is not set in CONTINUOUS. See GET /phases."),
    (Reason.NOT_ALL_CLOSED, 409, True,
     "The day rolls only when every instrument of the market is CLOSED."),
    (Reason.DATE_NOT_LATER, 409, False, "trading_date must be later than the current one."),
    (Reason.EPOCH_STALE, 409, False, "Another engine has already started this epoch."),
    (Reason.UNKNOWN_INSTRUCTION, 400, False, "The registry knows no such kind of instruction."),
    (Reason.INVALID_AUCTION_TERMS, 422, False,
     "The auction's terms are unknown or contradict each other. See the rules of sealed-bid "
     "auctions."),
    (Reason.UNITS_LOCKED, 409, True,
     "Units of the instrument are locked by the rule in force: change it when the day has rolled, "
     "or every trade of it is settled."),
    (Reason.BIDDING_NOT_CLOSED, 409, True,
     "Bids are taken until the auction's closing time (closes_ns of GET /auctions): clear it then, "
     "or call it off."),
    (Reason.CANCELLED_BY_REQUEST, 200, False, "Cancelled as requested."),
    (Reason.IMMEDIATE_OR_CANCEL_REMAINDER, 200, False,
     "What an IOC order could not trade at once was cancelled."),
    (Reason.FILL_OR_KILL_UNFILLED, 200, False,
     "The FOK order could not trade whole within its limit and was cancelled."),
    (Reason.DAY_ENDED, 200, False, "A DAY order ended with its trading day."),
    (Reason.BAND_MOVED, 200, False,
     "The price band moved with the new reference price, and the order lies outside it."),
    (Reason.QUOTE_REPLACED, 200, False, "A newer quote of the account took its place."),
    (Reason.SELF_TRADE_PREVENTED, 200, False,
     "It would have traded with an order of its own group."),
    (Reason.MINIMUM_QUANTITY_UNFILLED, 200, False,
     "The order could not trade its minimum_quantity at once and was cancelled."),
    (Reason.DATE_EXPIRED, 200, False,
     "A GTD order ended with its expire_date."),
    (Reason.CALL_ENDED, 200, False, "The call it was meant for ended."),
    (Reason.NOT_PERSISTENT, 200, False,
     "A non-persistent order ended with continuous trading, or with its session."),
    (Reason.CANCELLED_IN_MASS, 200, False,
     "Cancelled with others by a mass cancel."),
    (Reason.BLOCK_DECLINED, 200, False,
     "The other side declined the block trade."),
    (Reason.BID_UNSUCCESSFUL, 200, False,
     "The auction cleared without this bid."),
    (Reason.OFFER_UNSOLD, 200, False,
     "Not enough was bid for the whole offer."),
    (Reason.AUCTION_SHORT, 200, False,
     "The auction was cancelled: the bids did not reach the offer."),
    (Reason.AUCTION_BELOW_RESERVE, 200, False,
     "The auction was cancelled: it would have cleared beyond the reserve price."),
    (Reason.AUCTION_CALLED_OFF, 200, False,
     "The auction was called off by the venue."),
    (EdgeReason.BODY_TOO_LARGE, 413, False,
     "The message is larger than this door takes (body_bytes_max of GET /limits is REST's). Send "
     "fewer orders in one message."),
    (EdgeReason.MALFORMED_JSON, 400, False, "The message is no JSON of the expected form."),
    (EdgeReason.INVALID_FIELD, 422, False,
     "A field has a value that cannot be used. The API description says what it may be."),
    (EdgeReason.UNKNOWN_FIELD, 422, False,
     "The message has a field that is not known here. Check its spelling against the API "
     "description."),
    (EdgeReason.MISSING_FIELD, 422, False,
     "A field that the message needs is not there. The API description says which are required."),
    (EdgeReason.UNKNOWN_SYMBOL, 404, False,
     "No instrument of the venue has that symbol. See GET /instruments."),
    (EdgeReason.PRICE_TOO_FINE, 422, False,
     "The amount has more decimals than the currency's minor unit. Round it."),
    (EdgeReason.UNKNOWN_KEY, 401, False,
     "No such key, or the request carries none: X-Exchange-Key, -Timestamp, -Window and "
     "-Signature are needed."),
    (EdgeReason.BAD_SIGNATURE, 401, False,
     "The signature does not fit the request. Sign METHOD, PATH?QUERY, KEY, TIMESTAMP_NS, "
     "WINDOW_MS and hex(sha256(body)), each on its own line; over FIX MsgType, SenderCompID, "
     "TargetCompID, MsgSeqNum and SendingTime, joined by SOH."),
    (EdgeReason.TIMESTAMP_OUTSIDE_WINDOW, 401, True,
     "The request's timestamp lies outside its receive window. Set the clock (GET /time) and "
     "sign again."),
    (EdgeReason.REPLAYED_REQUEST, 401, False,
     "This very signature was used before. Sign each request anew."),
    (EdgeReason.ROLE_NOT_ALLOWED, 403, False, "The key's role may not do this."),
    (EdgeReason.NOT_OWN_ACCOUNT, 403, False,
     "The account is not one of the key's participant in this market."),
    (EdgeReason.THROTTLED, 429, True,
     "More messages a second than the participant may send (GET /limits). Wait as long as "
     "retry_after_ms says; cancels have their own budget."),
    (EdgeReason.VENUE_BUSY, 503, True,
     "The venue cannot take the message now; nothing was done. Send it again after "
     "retry_after_ms."),
    (EdgeReason.MARKET_STOPPED, 503, True,
     "This gateway found a record of the market damaged or missing and knows nothing of what "
     "follows: only cancels and operators' acts are sent on, and their outcome is not told. This "
     "message was not sent on; an earlier one under its ref may have been. Send it again with the "
     "same ref at another gateway, or later; other markets go on."),
    (EdgeReason.STATUS_UNKNOWN, 504, True,
     "The message may or may not have reached the log. It is not refused: send it again with the "
     "same ref and client_order_id; if it was taken, the answer names the first order."),
    (EdgeReason.NOT_FOUND, 404, False, "Nothing of yours is found under that name."),
    (EdgeReason.SLOW_READER, 503, True,
     "The connection did not take what was sent to it and was cut. Connect again and resume."),
    (EdgeReason.SILENT_CONNECTION, 408, False,
     "The connection was open for some seconds and did not say what it is for. Connect again and "
     "send Logon (orders, drop copy) or Subscribe (market data) first."),
    (EdgeReason.INTERNAL_ERROR, 500, False,
     "The gateway failed on this message, which was not sent on; the fault is logged. Do not "
     "repeat it as it is: tell the venue what it said."),
    (EdgeReason.TOO_MANY_CONNECTIONS, 503, True,
     "The gateway has as many connections as it takes. Close unused ones or try later."),
    (EdgeReason.METHOD_NOT_ALLOWED, 405, False,
     "The path knows other methods only. See /openapi.json."),
    (EdgeReason.REF_PASSED_OVER, 409, False,
     "The ref is not above the key's last one and stands for no request: it was passed over. "
     "Nothing was done; send it with a new ref (GET /session)."),
    (EdgeReason.REF_REUSED, 409, False,
     "The ref stands for another request of this key. Nothing was done by this one; send it with a "
     "new ref (GET /session)."),
    (EdgeReason.REF_FORGOTTEN, 409, False,
     "The ref is older than the requests that the gateway remembers, so it may or may not have "
     "been done. Do not send it with a new ref before GET /orders, /executions or /positions "
     "has told which."),
    (EdgeReason.OFFSET_HEADROOM_EXCEEDED, 422, False,
     "The account would have more of the offset than the caps of its obligations let it use "
     "(GET /offset-headroom). Buy less, or allowances."),
    (RegistryReason.NOT_ENOUGH_UNITS, 422, False,
     "The account's registry position holds fewer units (GET /holdings). Release units from "
     "trading first."),
    (RegistryReason.UNKNOWN_REGISTRY_ACCOUNT, 404, False,
     "The registry has no such account. Check its number and market (GET /accounts)."),
    (RegistryReason.NO_OBLIGATION, 409, False,
     "Nothing is owed for this account and year: its emissions are not verified. Have them "
     "verified first."),
    (RegistryReason.SURRENDER_ABOVE_OBLIGATION, 422, False,
     "The surrender is above what remains of the obligation. Surrender less."),
    (RegistryReason.UNIT_NOT_ELIGIBLE, 422, False,
     "The scheme does not accept this unit for that year. Give units that the rule in the text "
     "takes: GET /surrender-plan names those of yours."),
    (RegistryReason.OFFSET_CAP_EXCEEDED, 422, False,
     "The scheme's cap on offset units would be exceeded. Surrender allowances for the rest."),
    (RegistryReason.QUANTITY_OUT_OF_RANGE, 422, False,
     "The quantity is zero, negative or above what the registry can number. Send one within the "
     "limits that the text names."),
    (RegistryReason.BENEFICIARY_MISSING, 422, False,
     "A voluntary cancellation names its beneficiary and its reason. Send both."),
    (RegistryReason.UNITS_FROZEN, 409, False,
     "The account has the units, but the authority has frozen them: they cannot be deposited, "
     "transferred, pledged, surrendered or cancelled until it releases them. Use at most what is "
     "free (GET /holdings), or ask the authority named in the freeze's reference."),
    (RegistryReason.UNITS_PLEDGED, 409, False,
     "The account has the units, but they are pledged: they cannot be deposited, transferred, "
     "pledged again, surrendered or cancelled until the lender releases them. Use at most what is "
     "free (GET /holdings), or ask the lender."),
    (RegistryReason.NOT_FROZEN, 422, False,
     "Fewer units of the account are frozen (GET /holdings). Release at most those."),
    (RegistryReason.NOT_PLEDGED, 422, False,
     "The owner has pledged fewer units to this account (GET /holdings). Only the lender releases "
     "or enforces a pledge, and at most what is pledged to it."),
    (RegistryReason.LENDER_IS_OWNER, 422, False,
     "A pledge is to another account. Name the lender's."),
    (RegistryReason.REFERENCE_MISSING, 422, False,
     "The instruction names its reference: the court's decision or the authority's, the default "
     "for which a pledge is enforced, or the reason of a reversal. Send what the text says is "
     "missing."),
    (RegistryReason.NOT_REVERSIBLE, 409, False,
     "A reversal names a surrender or cancellation that was carried out and not reversed yet, with"
     " its account, symbol and whole quantity (GET /instructions). Repeat them as they stand "
     "there."),
    (RegistryReason.UNKNOWN_PROPOSAL, 404, False,
     "An approval names a proposed reversal, with its account, symbol and quantity (GET "
     "/reversals). Repeat them as they stand there, or propose it again."),
    (RegistryReason.SAME_PERSON, 403, False,
     "Who proposed it cannot approve it, with whichever key. Have another person approve it: of "
     "the authority for a reversal, a representative for a transfer, surrender or trusted account,"
     " of the same office for an issuance or allocation, an operator or the authority for the end "
     "of a freeze or block."),
    (RegistryReason.PROPOSAL_EXPIRED, 409, False,
     "The proposal is too old to be approved. Propose the reversal again."),
    (RegistryReason.PROJECT_UNKNOWN, 404, False,
     "No project of that number is registered for the programme (GET /projects). Have it "
     "registered first, or name another."),
    (RegistryReason.PROJECT_EXISTS, 409, False,
     "The number is another project's (GET /projects). Projects are registered once and never "
     "change: take the next free number."),
    (RegistryReason.PROJECT_INVALID, 422, False,
     "The project or the period of its reductions is not stated as the registry needs it: a "
     "number, a name, and two days of one year. State it as the text says."),
    (RegistryReason.PROJECT_NOT_DELIVERABLE, 422, False,
     "Units of that project cannot be traded as this instrument (GET /instruments). Issue them as "
     "another instrument of the programme."),
    (RegistryReason.NOT_RETIRED, 404, False,
     "A certificate is of a surrender or a cancellation that was carried out. Name its "
     "instruction id (GET /instructions)."),
    (RegistryReason.RETIREMENT_UNDONE, 409, False,
     "The surrender or cancellation was undone: its units live, so there is nothing to certify."),
    (RegistryReason.ENTITLEMENT_UNKNOWN, 409, False,
     "The authority has not stated how many credits the account may exchange, or of which group it"
     " is. Have the authority state it first."),
    (RegistryReason.EMISSIONS_NOT_REPORTED, 409, False,
     "The account reported no emissions for the year, so there is nothing to verify. The emitter "
     "reports first."),
    (RegistryReason.EMISSIONS_SETTLED, 409, False,
     "The figure stands: what was verified is not reported again, and what a final allocation "
     "rests on is not corrected. A verifier corrects a wrong figure before the final allocation, "
     "and before the year is assessed."),
    (RegistryReason.VERIFIER_IS_EMITTER, 403, False,
     "Who reported emissions, or belongs to the emitter, cannot verify them. Have a verifier of "
     "another participant do it."),
    (RegistryReason.EMISSIONS_NOT_VERIFIED, 409, False,
     "The step rests on verified emissions, which the account does not have for the year yet. Have"
     " them reported and verified first."),
    (RegistryReason.YEAR_ASSESSED, 409, False,
     "The year was assessed: its figures stand. What is still owed for it can be surrendered."),
    (RegistryReason.YEAR_NOT_OVER, 422, False,
     "Emissions of a year are reported when it is over, by the scheme's own days. Report from the "
     "day on that the text names."),
    (RegistryReason.ALLOCATED_ALREADY, 409, False,
     "The account has this allocation of the year, or the final one. A final allocation may follow"
     " a provisional one, and nothing follows a final one."),
    (RegistryReason.ALLOCATION_ABOVE_CAP, 422, False,
     "More allowances of the year would be given out than the scheme's rules let be. Give out "
     "less."),
    (RegistryReason.ALLOCATION_ABOVE_PROVISIONAL, 422, False,
     "The provisional allocation is above the share of its base that the rules give in advance. "
     "Allocate less."),
    (RegistryReason.ALLOCATION_BASE_UNKNOWN, 422, False,
     "The base of the provisional allocation is neither in the registry nor given, or the two "
     "differ. Give the base that the rules name."),
    (RegistryReason.ALLOCATION_AGAINST_RULE, 422, False,
     "The rules of the year do not give the sector such an allocation. Allocate what the text says"
     " that the rule gives."),
    (RegistryReason.NOT_ALLOWANCE_OF_YEAR, 422, False,
     "The instrument is no allowance of the scheme and vintage that the year asks for. Name an "
     "allowance of that year (GET /instruments)."),
    (RegistryReason.DUE_DAY_NOT_OVER, 409, True,
     "A year is assessed after its last day for surrender. Wait until it is over."),
    (RegistryReason.DUE_DAY_UNKNOWN, 422, False,
     "The last day for surrender is not in the rulebook and not given, or the two differ. Give "
     "the day of the authority's notice."),
    (RegistryReason.AVERAGE_PRICE_MISSING, 422, False,
     "The fine is a multiple of an average price, which the instruction does not give. Send "
     "`price`, the average that the text names."),
    (RegistryReason.NO_CARRY_OVER, 422, False,
     "The scheme's rules carry no old allowances over into this vintage. Name the vintage into "
     "which they do (exchange rulebook show SCHEME)."),
    (RegistryReason.CARRY_OVER_CLOSED, 409, False,
     "Applications to carry allowances over are taken between the day after the position counts "
     "and the last day of the rules. Apply within the days that the text names."),
    (RegistryReason.CARRY_OVER_ABOVE_LIMIT, 422, False,
     "The application is above what the account's net sales and position let it carry over. Apply "
     "for less."),
    (RegistryReason.YEARS_NOT_SURRENDERED, 409, False,
     "Only who surrendered in full for the years that the rules name carries allowances over. "
     "Surrender what the text says is missing first."),
    (RegistryReason.UNKNOWN_APPLICATION, 422, False,
     "The account has no application of that number which waits, with the same allowances and "
     "tonnes. Repeat them as they were applied for."),
    (RegistryReason.OFFSET_APPLICATION_CLOSED, 409, False,
     "The last day to apply for the use of offsets for the year is over. Surrender allowances."),
    (RegistryReason.WORDS_NOT_READABLE, 400, False,
     "The text of the instruction is not as the gateway writes it: the key that gave it, then a "
     "name and a value a line. Send it through a gateway, with the words that the text names."),
    (RegistryReason.UNKNOWN_ACCOUNT_TYPE, 422, False,
     "The rulebook has no such type of account for a scheme of this market. Use a code of its "
     "table account_type, or the EUTL's (100-7, 100-9, 100-12, ...)."),
    (RegistryReason.TYPE_HOLDS_NO_UNITS, 422, False,
     "Accounts of this type hold no units. Name another account."),
    (RegistryReason.TYPE_MAY_NOT_SURRENDER, 422, False,
     "Accounts of this type do not surrender. Transfer the units to the account that owes them."),
    (RegistryReason.ACCOUNT_NOT_TRUSTED, 422, False,
     "Accounts of this type transfer to trusted accounts only (GET /accounts). Put the receiver on "
     "the trusted list first, and wait until it counts."),
    (RegistryReason.ACCOUNT_BLOCKED, 409, True,
     "The authority has blocked the account: nothing leaves it or comes to it by instruction; "
     "what it owes can be surrendered. Ask whoever set the blocks, by the references that the text "
     "names; the account is free when the last has ended."),
    (RegistryReason.ACCOUNT_NOT_CONFIRMED, 409, True,
     "Nobody confirmed by the registry's day that the data of the account are right, so nothing "
     "leaves it or comes to it by instruction; what it owes can be surrendered. Have a "
     "representative confirm them (ConfirmAccount) for the year that is named."),
    (RegistryReason.ACCOUNT_NOT_BLOCKED, 409, False,
     "No such block of the account stands (GET /accounts). There is nothing to end."),
    (RegistryReason.TOO_FEW_REPRESENTATIVES, 409, True,
     "The account has fewer representatives than its type needs, so nothing leaves it. Have the "
     "authority appoint another one."),
    (RegistryReason.NOT_A_REPRESENTATIVE, 403, False,
     "The key is no representative of the account (GET /accounts). Let one of them send it, or "
     "have the authority appoint the key."),
    (RegistryReason.UNITS_IN_ACCOUNT, 409, False,
     "The account holds units, and accounts of the wanted type hold none. Move them away first."),
    (RegistryReason.TRUST_NOT_PROPOSED, 404, False,
     "Nobody has proposed to trust this account, or the proposal is approved or too old (GET "
     "/accounts). Propose it first."),
    (RegistryReason.TRUSTED_ALREADY, 409, False,
     "The account is trusted already: it is on the list, or of the same participant. Transfer to "
     "it; nothing is to be added."),
    (RegistryReason.NOT_ON_TRUSTED_LIST, 404, False,
     "The account is not on the trusted list, nor proposed for it (GET /accounts). There is "
     "nothing to remove."),
    (RegistryReason.UNKNOWN_TRANSFER, 404, False,
     "No such transfer or other act of this account waits (GET /transfers); an approval repeats "
     "its symbol and quantity. Repeat them as they stand there."),
    (RegistryReason.TRANSFER_PAST_CANCELLING, 409, False,
     "The transfer is so near that it can no longer be cancelled. It is carried out at the time in"
     " the text; ask the receiver to send it back."),
    (RegistryReason.TRANSFER_STOPPED, 409, False,
     "The transfer, or another act that waited, was cancelled, was not approved in time, or could "
     "not be carried out because an account of it is blocked. Its units are back in the owner's "
     "registry position."),
    (RegistryReason.REGISTRY_LIST_FULL, 503, True,
     "The registry has as many of these as it takes. Remove one, or wait until one has ended."),
    (RegistryReason.CREDITS_NOT_BOUND, 409, False,
     "Credits of another registry count only from a general holding that is bound to the account "
     "of the obligation, in both registries. Have the authority bind them."),
    (RegistryReason.ACCOUNT_BOUND_ALREADY, 409, False,
     "One of the accounts is bound to another one. Have the authority end that first."),
    (RegistryReason.OFFSET_NO_LONGER_FITS, 409, True,
     "What was asked of the other registry fits no more: meanwhile the obligation or the cap was "
     "used up, the year was assessed, or its credits are of projects beyond a limit. They stay "
     "as they were."),
    (RegistryReason.OFFSET_TIMED_OUT, 504, True,
     "The registry of the credits did not answer in time. The credits were released."),
    (RegistryReason.OFFSET_OUT_OF_STEP, 409, False,
     "A message between the registries names no surrender that waits for it, or does not fit its "
     "step. Nothing was done; compare both registries' books."),
    (RegistryReason.TOO_MANY_PROJECTS, 422, False,
     "The credits would be of more projects than one message between the registries names. Name "
     "one of them, or surrender fewer tonnes at a time."),
    (RegistryReason.TRANSFER_TO_ITSELF, 422, False,
     "A transfer is to another account. Name the receiver's."),
    (RegistryReason.UNKNOWN_SECTOR, 422, False,
     "The rules of the year know no such sector. Use one of those that the text names, or none."),
    (RegistryReason.YEAR_WAITS, 409, True,
     "The year is over and waits for another registry; ask again once that has answered."),
    (RegistryReason.NOT_HELD_FOR_OTHERS, 422, False,
     "Allowances of an entity at risk go to the account of its province, where the rules of the "
     "year say so. Name an account of that type, or none."),
    (RegistryReason.NOT_FOR_ANOTHER, 422, False,
     "Allowances are surrendered for another account by the province that holds them for it, or by"
     " anybody where the rules of the year let one help an entity that is frozen. Surrender for "
     "the account itself, or under a rule that lets another."),
    (RegistryReason.NOT_RELEASED_YET, 409, True,
     "A province gives back what it holds for an entity once its emissions are verified and "
     "nothing more is owed. Surrender first."),
    (RegistryReason.SECOND_REGISTRATION_ACCOUNT, 409, False,
     "In this registry an entity has one registration account, and this participant has one "
     "already. Use that."),
    (RegistryReason.BORROWING_ABOVE_LIMIT, 422, False,
     "Allowances of a later year pay for a share of a large shortage only, once the final "
     "allocation is known. Surrender earlier ones for the rest."),
    (RegistryReason.OTHER_SIDE_DECIDES, 403, False,
     "What waits for a second person is approved or cancelled by the side that proposed it: a "
     "transfer or surrender by the account's representatives, an issuance by operators, an "
     "allocation by the authority, the end of a freeze or block by operators or the authority (GET "
     "/transfers). Have another person of that side do it."),
    (RegistryReason.SALE_ABOVE_CAP, 422, False,
     "The scheme lets an entity sell a share of its free allocation only, and this would put more "
     "up for sale or hand it to another owner. Deposit or transfer at most the headroom that the "
     "text names; what you release from trading, or buy, makes room."),
    (RegistryReason.BLOCK_NOT_NAMED, 422, False,
     "The account has several blocks, and each ends by itself. Name the one that ends (block_id, "
     "GET /accounts)."),
    (RegistryReason.TYPE_TOLD_ANEW, 409, False,
     "The type of the account was told anew after this was proposed. Propose it again."),
    *DAY_ROWS,
    *ACCESS_ROWS,
)  # fmt: skip

REASONS: dict[int, ReasonText] = {
    reason.value: ReasonText(reason.value, reason.name, text, status, may_retry)
    for reason, status, may_retry, text in _ROWS
}
"""Number -> row, for every member of Reason and of the other enumerations."""


def reason_text(number: int) -> ReasonText:
    """The row of a number; one that this version does not know says so."""
    known = REASONS.get(number)
    if known is not None:
        return known
    return ReasonText(number, f"REASON_{number}", "A reason newer than this software.", 422, False)
