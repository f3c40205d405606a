"""What a field means wherever it stands: one vocabulary, so a word says the same everywhere.

For the descriptions that generators read; a comment beside a field goes before. Where a name is of
a text in one message and of a number in another, the kind tells them apart.
"""

from __future__ import annotations

from typing import Any

_TONNES = "tonnes; a JSON integer or a string of digits"
_NOTES: dict[str, dict[str, str]] = {  # name -> JSON type -> meaning; "" = of any type
    "account": {"": "number of the account in its market"},
    "accounts": {"": "numbers of accounts in their market, or what is said of each"},
    "account_name": {"": "name of the account"},
    "affected_orders": {"": "how many orders were cancelled"},
    "asks": {"": "levels of who sells, best first"},
    "auction_id": {"integer": "the venue's id of the auction, from GET /auctions"},
    "average_price": {"string": "currency units a tonne"},
    "bids": {"array": "levels of who buys, best first"},
    "checksum": {"integer": "CRC-32 of the book; deploy/docs/market-data.md says over what"},
    "client_order_id": {"string": "the sender's own label, printable ASCII, at most 16 characters"},
    "close": {"integer": "last price, minor units a tonne"},
    "currency": {"string": "ISO 4217 code of the market's money"},
    "date": {"integer": "trading date, YYYYMMDD"},
    "display_quantity": {"integer": "iceberg: tonnes shown at a time; 0 = all"},
    "expires_ns": {"integer": "until then it can be approved, ns UTC"},
    "high": {"integer": "highest price, minor units a tonne"},
    "holdings": {"array": "what is held, one row for each account, instrument and position"},
    "instrument_id": {"integer": "number of the instrument in its market, as in GET /instruments"},
    "is_complete": {"boolean": "whether these are all; if not, ask on"},
    "is_suspended": {"boolean": "whether nothing but cancels is taken"},
    "key": {"string": "id of the key"},
    "last_price": {"string": "currency units a tonne", "integer": "minor units a tonne"},
    "last_quantity": {"integer": "tonnes of the last trade"},
    "leaves_quantity": {"integer": "tonnes still open"},
    "low": {"integer": "lowest price, minor units a tonne"},
    "market": {"string": "code of the market"},
    "minimum_quantity": {"integer": "tonnes that must trade on entry; 0 = none"},
    "minor_digits": {"integer": "decimals of the currency: a price of 7125 with 2 is 71.25"},
    "obligation": {"integer": "tonnes to surrender for the year"},
    "open": {"integer": "first price, minor units a tonne"},
    "order_id": {"integer": "the venue's id of the order"},
    "owed": {"integer": "tonnes still to surrender"},
    "owner_account": {"integer": "number of the account whose units they are"},
    "participant": {"integer": "number of the member firm"},
    "phase": {"string": "trading phase: CLOSED, CONTINUOUS, HALT, or a call"},
    "previous_sequence": {"integer": "of the message before; another one = something was missed"},
    "price": {"string": "currency units a tonne, such as 71.25", "integer": "minor units a tonne"},
    "programme": {"string": "programme of the serial numbers, such as EUA or CCER"},
    "project": {"integer": "number of the project that made the credits; 0 = none"},
    "proposal_id": {"integer": "id of what waits for a second person"},
    "quantity": {"": _TONNES, "integer": "tonnes"},
    "quote_id": {"integer": "order_id of the quote whose side the order is; 0 = of none"},
    "ranges": {"array": "serial numbers, first and last of each block"},
    "reason": {"string": "why, in words", "integer": "the venue's numbered reason; 0 = none"},
    "ref": {"integer": "number of the request in the key's session, above the last one"},
    "reference": {"string": "the sender's own reference, kept with it"},
    "reference_price": {"string": "price in force from which bands are counted, currency units"},
    "role": {"string": "participant, operator, authority or verifier"},
    "rule": {"string": "id of the rule in the rulebook"},
    "scheme": {"string": "id of the scheme in the rulebook, such as eu-ets"},
    "session": {"integer": "number of a key's session, in which it numbers its requests"},
    "side": {"integer": "1 = buy, 2 = sell", "string": "BUY or SELL", "": "BUY or SELL"},
    "source": {"string": "legal source of the rule"},
    "start_ns": {"integer": "when it begins, ns UTC"},
    "stop_price": {"string": "the last price that lets the order in, currency units a tonne"},
    "surrendered": {"integer": "tonnes surrendered for the year"},
    "symbol": {"string": "symbol of the instrument, as in GET /instruments"},
    "text": {"string": "in words: what it was, which limit, what to do"},
    "time_ns": {"integer": "when, ns UTC"},
    "title": {"string": "name of the reason, as in deploy/docs/reasons.md"},
    "trade_id": {"integer": "number of the trade, the same for both sides"},
    "transact_time_ns": {"integer": "time of the engine, ns UTC"},
    "trusted_account": {"integer": "number of the account on the trusted list"},
    "to_account": {"integer": "number of the account that gets them"},
    "turnover": {"integer": "price times tonnes of all trades, minor units"},
    "valid_ms": {"integer": "refused if the log takes it later than this; 0 = no limit"},
    "volume": {"integer": "tonnes traded"},
    "who": {"string": "the person behind the key"},
    "year": {"integer": "compliance year, or that of the units"},
}


def common_note(field: str, schema: dict[str, Any]) -> str:
    """What the field means everywhere, by its JSON type; "" where that differs. O(1)."""
    notes = _NOTES.get(field, {})
    kind = schema.get("type", "")
    if not kind and "enum" in schema:
        kind = "string"
    return notes.get(kind, notes.get("", "")) if isinstance(kind, str) else notes.get("", "")
