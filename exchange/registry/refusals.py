"""Why the registry does not do what is asked, and the checks that several kinds share."""

from __future__ import annotations

from exchange.messages.reasons import RegistryReason
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Position, serial_text
from exchange.registry.holdings import Holdings
from exchange.registry.rows import Place
from exchange.settings import YEAR_MAX

PLEDGES_NAMED = 3


class RegistryBrokenError(Exception):
    """A settled thing does not fit the registry's books: stop, and find out where they parted."""


class RefusalError(Exception):
    """Nothing is done: the numbered reason, and what in this instruction is in the way."""

    def __init__(self, reason: RegistryReason, text: str, rule: str = "", source: str = "") -> None:
        super().__init__(text)
        self.reason, self.text, self.rule, self.source = reason, text, rule, source


def require_account(holdings: Holdings, account: int) -> None:
    """RefusalError unless the registry has the account. O(1)."""
    if account not in holdings.accounts:
        raise RefusalError(
            RegistryReason.UNKNOWN_REGISTRY_ACCOUNT, f"there is no registry account {account}"
        )


def require_year(what: str, year: int, least: int) -> None:
    """RefusalError unless a year lies in least..YEAR_MAX. O(1)."""
    if not least <= year <= YEAR_MAX:
        raise RefusalError(
            RegistryReason.QUANTITY_OUT_OF_RANGE, f"{what} {year} is outside {least}..{YEAR_MAX}"
        )


def require_free(holdings: Holdings, account: int, instrument: Instrument, quantity: int) -> None:
    """RefusalError unless so many tonnes lie free in an account's registry position.

    When only those that are frozen or pledged would make it up, the reason says which of the two,
    and the text names how many tonnes that are, and the first of them. O(lenders).
    """
    free = holdings.held(account, Position.REGISTRY, instrument.id)
    if free >= quantity:
        return
    frozen = holdings.held(account, Position.FROZEN, instrument.id)
    pledges = holdings.pledges(account, instrument.id)
    pledged = sum(holdings.held(*place) for place in pledges)
    text = (
        f"account {account} has {free} t of {instrument.symbol} in its registry position, not "
        f"{quantity} t"
    )
    pending = holdings.pending_tonnes(account, instrument.id)
    if pending:
        text += f"; {pending} t are on their way"
    if free + frozen + pledged < quantity:
        raise RefusalError(RegistryReason.NOT_ENOUGH_UNITS, text)
    if frozen:
        place = Place(account, Position.FROZEN, instrument.id)
        text += f"; {frozen} t are frozen, {_first(holdings, place)}"
    for place in pledges[:PLEDGES_NAMED]:
        tonnes = holdings.held(*place)
        text += f"; {tonnes} t are pledged to account {place.lender}, {_first(holdings, place)}"
    of_frozen = frozen and free + frozen >= quantity
    raise RefusalError(
        RegistryReason.UNITS_FROZEN if of_frozen else RegistryReason.UNITS_PLEDGED, text
    )


def _first(holdings: Holdings, place: Place) -> str:
    return f"first of them {serial_text(holdings.oldest(place))}"
