"""Formats of sealed-bid auctions as data (`auction_formats.toml`), and the terms they lead to."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import msgspec

from exchange.messages.frames import AuctionFlag, Pricing, Side, TieBreak
from exchange.rulebook.book import RulebookError
from exchange.rulebook.shapes import Basis, Confidence

BP = 10_000


class FormatSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a format is read from."""

    id: str
    title: str
    kind: str
    url: str = ""


class AuctionFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a kind of auction is held; the words are those of the engine."""

    id: str
    name: str
    side: Literal["BUY", "SELL"]  # of the offer
    pricings: tuple[str, ...]
    tie_break: str
    reserve: Literal["none", "public", "secret", "both"]
    confidence: Confidence
    basis: Basis
    sources: tuple[str, ...]
    flags: tuple[str, ...] = ()
    bid_multiple_t: int = 1
    bid_max_bp: int = 0  # of the offer, the bids of one account together; 0 = no limit
    carry: int = 0  # over how many auctions an unsold volume is spread
    carry_cap_bp: int = 0  # of what each of those first offers; 0 = no limit
    offered_min_t: int = 1
    note: str = ""


class AuctionFormats(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    schema_version: Literal[1]
    source: tuple[FormatSource, ...]
    auction_format: tuple[AuctionFormat, ...]

    def format_of(self, format_id: str) -> AuctionFormat:
        """The format with that id; RulebookError names those that are known. O(formats)."""
        for item in self.auction_format:
            if item.id == format_id:
                return item
        known = ", ".join(item.id for item in self.auction_format)
        raise RulebookError(f"unknown auction format {format_id}; known: {known}")


class AuctionTerms(NamedTuple):
    """The fields of an AUCTION_OPEN that the format decides: tonnes, minor units a tonne."""

    side: Side
    order_type: Pricing
    time_in_force: TieBreak
    quantity: int
    price: int  # the public reserve, 0 = none
    order_id: int  # flags, carry, limit of the bids and multiple, packed


def load_auction_formats() -> AuctionFormats:
    """The formats shipped with the package; RulebookError says what is wrong. O(formats)."""
    text = files("exchange.rulebook").joinpath("auction_formats.toml").read_text("utf-8")
    return parse_auction_formats(text, "exchange/rulebook/auction_formats.toml")


def parse_auction_formats(text: str, name: str) -> AuctionFormats:
    """`load_auction_formats` for text that is at hand; `name` stands in error messages."""
    try:
        formats = msgspec.convert(tomllib.loads(text), AuctionFormats)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RulebookError(f"{name}: {error}") from error
    known = {source.id for source in formats.source}
    ids = [item.id for item in formats.auction_format]
    problems = [f"id {item} stands twice" for item in sorted({i for i in ids if ids.count(i) > 1})]
    for item in formats.auction_format:
        problems += [f"{item.id}: {words}" for words in _unsound(item, known)]
    if problems:
        raise RulebookError(f"{name}: " + "; ".join(problems))
    return formats


def _unsound(item: AuctionFormat, known: set[str]) -> list[str]:
    words: list[tuple[Any, Sequence[str]]] = [
        (Pricing, item.pricings),
        (TieBreak, (item.tie_break,)),
        (AuctionFlag, item.flags),
    ]
    problems = [
        f"unknown {enum.__name__} {word}"
        for enum, named in words
        for word in named
        if word not in enum.__members__
    ]
    problems += [f"unknown source {source}" for source in item.sources if source not in known]
    for field, low, high in (
        ("bid_multiple_t", 1, 2**32 - 1),
        ("bid_max_bp", 0, BP),
        ("carry", 0, 255),
        ("carry_cap_bp", 0, 10 * BP),
        ("offered_min_t", 1, 10**10),
    ):
        if not low <= getattr(item, field) <= high:
            problems.append(f"{field} is outside {low}..{high}")
    if not item.pricings:
        problems.append("pricings is empty")
    if item.side == "BUY" and item.reserve not in ("public", "both"):
        problems.append("who buys needs a public reserve")
    return problems


def terms(
    auction: AuctionFormat, offered: int, *, reserve: int = 0, pricing: str = ""
) -> AuctionTerms:
    """What to open an auction of that format with: tonnes offered, public reserve, pricing.

    RulebookError where the format knows no such auction: a pricing it has not, a public reserve it
    does not use or lacks, too few tonnes, or tonnes that are no multiple. O(1).
    """
    chosen = pricing or auction.pricings[0]
    if chosen not in auction.pricings:
        raise RulebookError(f"{auction.id} is priced {' or '.join(auction.pricings)}, not {chosen}")
    if reserve and auction.reserve in ("none", "secret"):
        raise RulebookError(f"{auction.id} has no public reserve")
    if auction.side == "BUY" and reserve <= 0:
        raise RulebookError(f"{auction.id} needs the highest price that is paid")
    if offered < auction.offered_min_t or offered % auction.bid_multiple_t:
        least, multiple = auction.offered_min_t, auction.bid_multiple_t
        raise RulebookError(
            f"{auction.id} offers {least} t or more in multiples of {multiple} t, not {offered}"
        )
    packed: int = sum(AuctionFlag[flag] for flag in auction.flags)
    packed |= auction.carry << 8 | auction.bid_max_bp << 16 | auction.bid_multiple_t << 32
    tie_break = TieBreak[auction.tie_break]
    return AuctionTerms(Side[auction.side], Pricing[chosen], tie_break, offered, reserve, packed)


def carried(
    pieces: Sequence[int],
    first_proposed: Sequence[int],
    cap_bp: int,
    *,
    now: Sequence[int] | None = None,
    multiple_t: int = 1,
) -> tuple[list[int], int]:
    """What the next auctions take of the tonnes carried to them, and what none may take.

    With `cap_bp` none grows beyond that share of what it first proposed, in multiples; 0 = no
    limit. `now` is what they offer already, None = what they first proposed. O(pieces).
    """
    if not cap_bp:
        return list(pieces), 0
    most = [proposed * cap_bp // BP for proposed in first_proposed]
    offered = first_proposed if now is None else now
    room = [
        max(0, top - has) // multiple_t * multiple_t for top, has in zip(most, offered, strict=True)
    ]
    added = [min(piece, free) for piece, free in zip(pieces, room, strict=True)]
    return added, sum(pieces) - sum(added)
