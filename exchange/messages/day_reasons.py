"""What the refusals of settlement, of a day's end and opening, and of primary auctions say."""

from __future__ import annotations

from enum import IntEnum

from exchange.messages.reason_numbers import DayReason, SettlementReason, SupplyReason

DAY_ROWS: tuple[tuple[IntEnum, int, bool, str], ...] = (
    (SettlementReason.UNKNOWN_TRADE, 404, False,
     "The books have no trade of that id with this account, instrument and quantity. Repeat them "
     "as GET /settlements shows them."),
    (SettlementReason.TRADE_NOT_DUE, 409, False,
     "Only a trade that is due can fail or be objected to, until its cut-off. Propose to cancel a "
     "trade that is settled."),
    (SettlementReason.TRADE_NOT_FAILED, 409, False,
     "Only a trade whose settlement failed can be settled again or voided by one person. Let two "
     "persons cancel another."),
    (SettlementReason.VOID_TOO_EARLY, 409, True,
     "A failed trade is voided only after the instrument's days: settle it again, wait, or let two "
     "persons cancel it."),
    (SettlementReason.STEP_ON_ITS_WAY, 409, True,
     "A step of this trade is on its way to the engine. Send it again when that is done."),
    (SettlementReason.TRADE_ALREADY_CANCELLED, 409, False,
     "The trade is void or cancelled already; that is done once. Nothing more is to be done."),
    (SettlementReason.WORDS_MISSING, 422, False,
     "What fails, objects or cancels says who and why. Send the reason."),
    (SettlementReason.UNKNOWN_CANCEL_PROPOSAL, 404, False,
     "There is no such proposal to cancel this trade. See GET /settlements."),
    (SettlementReason.SAME_PERSON_CANCELS, 403, False,
     "A cancellation takes two persons: another than the proposer has to approve it. Ask one."),
    (SettlementReason.CANCEL_PROPOSAL_EXPIRED, 409, False,
     "The proposal is too old to be approved. Propose it again."),
    (SettlementReason.BUYER_UNITS_GONE, 409, True,
     "The buyer no longer has the units of the trade free: nothing moved. Try again when it has."),
    (SettlementReason.SELLER_CASH_GONE, 409, True,
     "The seller no longer has the cash of the trade free: nothing moved. Try again when it has."),
    (SettlementReason.PARTY_SUSPENDED, 409, True,
     "A party of the trade is suspended: nothing is delivered to it or paid. Lift the suspension, "
     "void the trade after the instrument's days, or let two persons cancel it."),
    (DayReason.UNKNOWN_MARKET, 404, False,
     "The venue file has no such market. Name one that it has."),
    (DayReason.INVALID_DAY, 422, False,
     "The day is no date YYYY-MM-DD. Write it so."),
    (DayReason.DAY_IN_THE_FUTURE, 422, False,
     "The day has not begun in the market's time zone. Ask for it when it is over."),
    (DayReason.DAY_NOT_FINISHED, 409, True,
     "Settlement and registry have not yet booked everything up to the day's end in the market's "
     "time zone. Wait until both have; a stopped service has to be started first."),
    (DayReason.DIRECTORY_NOT_EMPTY, 409, False,
     "The files of a day are written whole into a new or empty directory. Name another, or move "
     "what is there."),
    (DayReason.TRANSFERS_MISSING, 409, False,
     "The books were begun by a version that did not keep when cash and units came and went. "
     "Make them anew: stop the services, move the database away, and start them again."),
    (DayReason.BOOKS_DO_NOT_ADD_UP, 500, False,
     "The books contradict themselves. Stop, keep them as they are, and run `exchange reconcile` "
     "and `exchange rebuild`."),
    (DayReason.RECONCILIATION_MISSING, 409, True,
     "A market opens only when engine, ledger and registry were compared on its trading date. Wait "
     "for `exchange reconcile --watch`, run `exchange reconcile`, or send an override."),
    (DayReason.RECONCILIATION_RED, 409, False,
     "A market does not open while its books differ. Find the difference and mend its cause, "
     "reconcile again, or send an override with the name of who answers for it."),
    (DayReason.BOOKS_NOT_READABLE, 503, True,
     "The database with the last reconciliation cannot be reached. The market stays closed; try "
     "again."),
    (SupplyReason.AUCTION_NOT_OF_FORMAT, 422, False,
     "The format of auctions knows no such auction. Use one of its pricings, a multiple of its "
     "tonnes, and a public reserve only where it has one."),
)  # fmt: skip
"""Rows of `reasons.REASONS`: reason, HTTP status, may it be resent, words."""
