"""What the messages between two registries say beside their word: what is asked for, and what held.

FREEZE says for which scheme and year, since when by its rules, and of which project. FROZEN and
RETIRED say of which projects the credits are, and what the rules ask about shares of them: type,
region and flags. RESTORE, RETURN and KEEP name the surrender which they undo.

Source: the registry of the CCERs sends project, type and quantity to that of the allowances (MEE
notice 2023 No. 237).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from exchange.messages.registry import CreditLot
from exchange.registry.blocks import Block
from exchange.registry.rows import Project
from exchange.rulebook import Rulebook
from exchange.settings import PROJECT_NUMBER_MAX, YEAR_MAX

_NUMBER = re.compile(r"[0-9]{1,19}")
_LOT = re.compile(
    r"(?P<project>[0-9]{1,10}) (?P<quantity>[0-9]{1,18}) (?P<type>[A-Za-z0-9_]{1,40}|-) "
    r"(?P<region>[A-Z]{2}[A-Za-z0-9:_-]{0,200}|-) (?P<flags>[A-Za-z0-9_,]{1,330}|-)"
)


class Wanted(NamedTuple):
    """For what credits are to be frozen."""

    scheme: str
    year: int
    asked_ns: int  # the rules of that day hold
    project: int = 0  # 0 = of any


def wanted_text(wanted: Wanted) -> str:
    """As FREEZE says it. O(1)."""
    return " ".join(map(str, wanted))


def wanted_of(text: str) -> Wanted:
    """The contrary; ValueError for another text. O(1)."""
    parts = text.split(" ")
    if len(parts) != 4 or not all(_NUMBER.fullmatch(part) for part in parts[1:]):
        raise ValueError(f"a FREEZE says scheme, year, time and project, not {text[:40]!r}")
    year, asked_ns, project = map(int, parts[1:])
    if not 0 < year <= YEAR_MAX or project > PROJECT_NUMBER_MAX or asked_ns >= 2**63:
        raise ValueError(f"a FREEZE of {text[:60]!r} is out of range")
    return Wanted(parts[0], year, asked_ns, project)


def surrender_of(text: str) -> int:
    """The surrender that RESTORE, RETURN and KEEP name; ValueError for another text. O(1)."""
    if not _NUMBER.fullmatch(text) or int(text) >= 2**63:
        raise ValueError(f"no number of a surrender: {text[:20]!r}")
    return int(text)


def lots_of_blocks(
    blocks: Iterable[Block], projects: dict[int, Project], flags: frozenset[str]
) -> tuple[CreditLot, ...]:
    """What blocks are to the other registry, by project, rising; of the flags those. O(blocks)."""
    tonnes: dict[int, int] = defaultdict(int)
    for block in blocks:
        tonnes[block.project] += block.quantity
    lots = []
    for number, quantity in sorted(tonnes.items()):
        known = projects.get(number)
        if known is None:
            lots.append(CreditLot(number, quantity))
            continue
        told = known.details
        named = tuple(flag for flag in told.flags if flag in flags)
        lots.append(CreditLot(number, quantity, told.project_type, told.region, named))
    return tuple(lots)


def lots_text(lots: Iterable[CreditLot]) -> str:
    """As FROZEN and RETIRED say it: a line each. O(lots)."""
    return "\n".join(
        f"{lot.project} {lot.quantity} {lot.project_type or '-'} {lot.region or '-'} "
        f"{','.join(lot.flags) or '-'}"
        for lot in lots
    )


def lots_of(text: str, quantity: int) -> tuple[CreditLot, ...]:
    """The contrary; who says nothing of them held credits of which nothing is known. O(text).

    ValueError for another text, or when the lots do not make up the quantity.
    """
    if not text:
        return (CreditLot(0, quantity),)
    lots = []
    for line in text.split("\n"):
        found = _LOT.fullmatch(line)
        if found is None:
            raise ValueError(f"no credits of a project: {line[:60]!r}")
        kind, region, flags = ("" if found[name] == "-" else found[name] for name in _WORDS)
        told = tuple(flags.split(",")) if flags else ()
        lots.append(CreditLot(int(found["project"]), int(found["quantity"]), kind, region, told))
    numbers = {lot.project for lot in lots}
    if sum(lot.quantity for lot in lots) != quantity or len(numbers) != len(lots):
        raise ValueError(f"the credits of {len(lots)} projects are not {quantity} t")
    if not all(lot.quantity and lot.project <= PROJECT_NUMBER_MAX for lot in lots):
        raise ValueError(f"credits of a project 0..{PROJECT_NUMBER_MAX} are at least 1 t")
    return tuple(lots)


def flags_named(rulebook: Rulebook) -> frozenset[str]:
    """The flags by which rules count credits: all that another registry asks to know. O(rules)."""
    return frozenset(
        item.flag
        for scheme in rulebook.scheme
        for rules in scheme.rules
        for rule in rules.offset
        for item in rule.locality
        if item.flag
    )


_WORDS = ("type", "region", "flags")
