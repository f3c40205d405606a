"""Rules as data and the pure functions that read them.

`rulebook.toml` says what may be traded, held and surrendered, `auction_formats.toml` how auctions
are held, `auction_calendars.toml` when and of how much, `fees.toml` what venues charge,
`vectors.toml` what must come out. It reads no topic and writes none: the registry and the command
line ask it. A rule is chosen by scheme, then emission year, then the date of the act; a cap always
names its base; a refusal names the rule that refused.

    shapes, catalogue     what the file may say
    book, loading,        the whole of it, reading it, and what types cannot check
    soundness, values,
    figures
    selection             which rules hold
    eligibility, offsets  which credits count, and how many
    allocation, supply    caps, allocation, carry-over; reserves and volumes carried on
    reference_limits      offset limits of schemes of which no more is known
    penalties, year       what a shortfall costs; days and bases of a compliance year
    prices, registries    bands, closes, averages; hours and delays
    auctions, fees        formats of auctions; what venues charge
    auction_data          series of auctions and all that `auction_calendars.toml` says
    auction_calendar      their days and volumes, and what a cancelled one makes of them
    year_supply, reserves a year's auctions after the reserve; lowest prices
    revenue, shares       whose the money is; amounts by weights, to the last unit
    vectors,              cases of all these, and running them
    vector_functions,
    allocation_functions,
    supply_functions
"""

from exchange.rulebook.auctions import (
    AuctionFormat,
    AuctionFormats,
    AuctionTerms,
    carried,
    load_auction_formats,
    terms,
)
from exchange.rulebook.book import Rulebook, RulebookError
from exchange.rulebook.loading import load_rulebook
from exchange.rulebook.offsets import Verdict, check_surrender, offset_cap
from exchange.rulebook.selection import check_vintage, offset_rule, open_emission_years
from exchange.rulebook.shapes import OffsetRule

__all__ = [
    "AuctionFormat",
    "AuctionFormats",
    "AuctionTerms",
    "OffsetRule",
    "Rulebook",
    "RulebookError",
    "Verdict",
    "carried",
    "check_surrender",
    "check_vintage",
    "load_auction_formats",
    "load_rulebook",
    "offset_cap",
    "offset_rule",
    "open_emission_years",
    "terms",
]
