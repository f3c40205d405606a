"""Rules as data and the pure functions that read them: compliance, and formats of auctions.

`rulebook.toml` says what may be surrendered, `auction_formats.toml` how auctions are held.

It reads no topic and writes none: the registry asks it. A rule is chosen by scheme, then emission
year, then the date of the act; a cap always names its base; a refusal names the rule that refused.
"""

from exchange.rulebook.auctions import (
    AuctionFormat,
    AuctionFormats,
    AuctionTerms,
    carried,
    load_auction_formats,
    terms,
)
from exchange.rulebook.loading import OffsetRule, Rulebook, RulebookError, load_rulebook
from exchange.rulebook.offsets import (
    Verdict,
    check_surrender,
    check_vintage,
    offset_cap,
    open_emission_years,
)

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
    "open_emission_years",
    "terms",
]
