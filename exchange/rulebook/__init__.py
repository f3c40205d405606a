"""Compliance rules as data (`rulebook.toml`) and the pure functions that read them.

It reads no topic and writes none: the registry asks it. A rule is chosen by scheme, then emission
year, then the date of the act; a cap always names its base; a refusal names the rule that refused.
"""

from exchange.rulebook.loading import OffsetRule, Rulebook, RulebookError, load_rulebook
from exchange.rulebook.offsets import (
    Verdict,
    check_surrender,
    check_vintage,
    offset_cap,
    open_emission_years,
)

__all__ = [
    "OffsetRule",
    "Rulebook",
    "RulebookError",
    "Verdict",
    "check_surrender",
    "check_vintage",
    "load_rulebook",
    "offset_cap",
    "open_emission_years",
]
