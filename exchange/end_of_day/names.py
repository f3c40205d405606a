"""What the numbers in the books are called in one market's files, and how amounts are written."""

from __future__ import annotations

from exchange.decimals import from_minor
from exchange.ledger import CASH, Leg
from exchange.reference.venue import Market, Venue
from exchange.settlement.cycle import Message

_CAUSES = {
    Leg.BUYER_CASH: "PAYMENT",
    Leg.SELLER_CASH: "PAYMENT",
    Leg.SELLER_UNITS: "DELIVERY",
    Leg.BUYER_UNITS: "DELIVERY",
    Leg.BUYER_FEE: "FEE",
    Leg.SELLER_FEE: "FEE",
}
FEE = "FEE"


def cause_of(leg: int, asset: int, amount: int, message: int = 0) -> str:
    """The cause of a posting to a participant's account. O(1).

    PAYMENT and DELIVERY are the two sides of a trade; FEE; SETTLEMENT of a trade that was due;
    TRADE_CANCEL of one that goes back; DEPOSIT; WITHDRAWAL of cash; RELEASE of units to the
    registry position. `message` is the `cycle.Message` of a move of a trade, else 0.
    """
    if message:
        is_delivery = message in (Message.DELIVERED, Message.DELIVERED_LATE)
        return "SETTLEMENT" if is_delivery else "TRADE_CANCEL"
    if leg != Leg.TRANSFER:
        return _CAUSES[Leg(leg)]
    if amount > 0:
        return "DEPOSIT"
    return "WITHDRAWAL" if asset == CASH else "RELEASE"


class Names:
    """Symbols, account names and amounts of one market. Made from the venue file; O(1) each."""

    def __init__(self, venue: Venue, market: Market) -> None:
        self.venue = venue
        self.market = market
        self._symbols = {item.id: item.symbol for item in venue.instruments_of(market.code)}
        self._accounts = {item.id: item for item in venue.accounts_of(market.code)}
        self._firms = {item.id: item for item in venue.participant}

    def symbol(self, instrument_id: int) -> str:
        """The symbol of an instrument; its number when the venue file does not know it."""
        return self._symbols.get(instrument_id, str(instrument_id))

    def asset(self, asset: int) -> str:
        """The currency for cash, else the instrument's symbol."""
        return self.market.currency if asset == CASH else self.symbol(asset)

    def amount(self, asset: int, amount: int) -> str:
        """Cash as a decimal of the currency's minor unit, units as whole tonnes."""
        return self.money(amount) if asset == CASH else str(amount)

    def money(self, minor: int) -> str:
        """Minor units as a decimal: 7125 -> `71.25`."""
        return from_minor(minor, self.market.minor_digits)

    def account(self, account: int) -> str:
        """The account's name; "" when the venue file does not know it."""
        known = self._accounts.get(account)
        return known.name if known else ""

    def firm(self, account: int) -> tuple[str, str]:
        """Name and LEI of the account's participant, "" for what is not known."""
        return self.member(self.participant(account))

    def participant(self, account: int) -> int:
        """The participant of an account; 0 when the venue file does not know it."""
        known = self._accounts.get(account)
        return known.participant if known else 0

    def member(self, participant: int) -> tuple[str, str]:
        """Name and LEI of a participant, "" for what is not known."""
        firm = self._firms.get(participant)
        return (firm.name, firm.lei) if firm else ("", "")

    def characters(self) -> set[str]:
        """Every character that a statement of the market may need from the venue file."""
        words = [self.venue.name, self.market.code, self.market.currency, *self._symbols.values()]
        words += [account.name for account in self._accounts.values()]
        words += [word for firm in self._firms.values() for word in (firm.name, firm.lei)]
        words += [item.product for item in self.venue.instruments_of(self.market.code)]
        return set("".join(words))
