"""The rulebook as a whole, and what can be asked of it without knowing a rule."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterator
from typing import Any, Protocol

from exchange.rulebook.catalogue import (
    AccountType,
    Control,
    CreditProgramme,
    MarketFact,
    Meta,
    OffsetLimitReference,
    RegistryRule,
    Source,
    SurveillancePattern,
    TransactionType,
    UnitBlock,
    UnitType,
    Vector,
    VenueRules,
)
from exchange.rulebook.shapes import (
    OffsetRule,
    Scheme,
    Table,
)

UNIT_BLOCK = "unit_block"  # the name of the one table of what holds for all units


class RulebookError(ValueError):
    """The rulebook is not sound; the message names the file, the table and the key."""


class Cited(Protocol):
    """A rule that says where it comes from, and how sure it is."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The ids of its sources."""

    @property
    def confidence(self) -> str:
        """How sure it is: high, medium or low."""


class Rulebook(Table, frozen=True, kw_only=True):
    """The whole file. `auction_format` is not read: ours are in `auction_formats.toml`."""

    meta: Meta
    conventions: dict[str, str] = {}
    source: tuple[Source, ...]
    unit_type: tuple[UnitType, ...] = ()
    unit_block: UnitBlock | None = None
    credit_programme: tuple[CreditProgramme, ...] = ()
    account_type: tuple[AccountType, ...] = ()
    transaction_type: tuple[TransactionType, ...] = ()
    registry_rule: tuple[RegistryRule, ...] = ()
    venue: tuple[VenueRules, ...] = ()
    auction_format: tuple[dict[str, Any], ...] = ()
    scheme: tuple[Scheme, ...] = ()
    offset_limit_reference: tuple[OffsetLimitReference, ...] = ()
    control: tuple[Control, ...] = ()
    surveillance_pattern: tuple[SurveillancePattern, ...] = ()
    market_fact: tuple[MarketFact, ...] = ()
    vector: tuple[Vector, ...] = ()

    def scheme_of(self, scheme_id: str) -> Scheme | None:
        """The scheme with that id, None when the rulebook does not know it. O(schemes)."""
        return next((item for item in self.scheme if item.id == scheme_id), None)

    def local_date(self, scheme_id: str, time_ns: int) -> dt.date:
        """The day of an act in a scheme's local time, in UTC for an unknown scheme. O(schemes)."""
        scheme = self.scheme_of(scheme_id)
        zone = zoneinfo.ZoneInfo(scheme.timezone) if scheme else dt.UTC
        utc = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=time_ns // 10**9)
        return utc.astimezone(zone).date()

    def citation(self, rule: Cited) -> str:
        """The legal texts behind a rule, in words: title, date, article, and what is uncertain."""
        text = rule.article if isinstance(rule, OffsetRule) else ""
        article = f"; {text}" if text else ""
        return self.cited(rule.sources) + article + f" [confidence {rule.confidence}]"

    def citation_of(self, rule_id: str) -> str:
        """The same of a rule by its id, "" for one that is not in the book. O(rules)."""
        return next((self.citation(rule) for key, rule in self.rules() if key == rule_id), "")

    def rules(self) -> Iterator[tuple[str, Cited]]:
        """Every rule that a refusal can name, with its id or code. O(rules)."""
        for scheme in self.scheme:
            for rules in scheme.rules:
                yield rules.id, rules
                yield from ((rule.id, rule) for rule in rules.offset)
            if scheme.carry_over is not None:
                yield scheme.carry_over.id, scheme.carry_over
        yield from ((rule.id, rule) for rule in self.registry_rule)
        yield from ((rule.code, rule) for rule in self.account_type)
        if self.unit_block is not None:
            yield UNIT_BLOCK, self.unit_block

    def cited(self, sources: tuple[str, ...]) -> str:
        """The titles and dates of sources, by their ids. O(sources)."""
        texts = {item.id: item for item in self.source}
        return "; ".join(_cited(texts[key]) for key in sources)


def _cited(source: Source) -> str:
    return f"{source.title} ({source.date.isoformat()})" if source.date else source.title
