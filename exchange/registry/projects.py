"""Projects of credits, what a block of credits is to the rules, and which blocks a rule takes.

A project is registered once and never changes. Credits issued for it name it and the days of their
reductions; both stay with the block through every split and transfer, and are what the rules of a
scheme ask of a credit at surrender: type, gas, region, host, boundary, flags.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import IssuanceDetails, ProjectDetails
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Block, tonnes
from exchange.registry.refusals import RefusalError
from exchange.registry.rows import Issuance, Project
from exchange.rulebook import Rulebook
from exchange.rulebook.eligibility import Credit, unfit
from exchange.rulebook.offsets import Bases, cap_text, headroom, offset_plan, rank, usable
from exchange.rulebook.programmes import not_issuable, programme_of
from exchange.rulebook.regions import is_within
from exchange.rulebook.shapes import ComplianceRules, OffsetRule
from exchange.settings import PROJECT_NUMBER_MAX

_WORD = re.compile(r"[A-Za-z0-9_]{0,40}")
_REGION = re.compile(r"([A-Z]{2}(-[A-Z0-9]{1,4})?(:[A-Za-z0-9_]{1,24})*)?")
_FLAG = re.compile(r"[a-z0-9_]{1,40}")  # as rules write them: what a rule excludes has one spelling
_COVERED_BY = ("", "scheme", "other_pilot")
_FLAGS_MAX = 8


def project_details(number: int, notes: str) -> ProjectDetails:
    """The details in the notes of REGISTER_PROJECT; RefusalError names what is wrong. O(bytes)."""
    if not 1 <= number <= PROJECT_NUMBER_MAX:
        raise _invalid(f"project number {number} is outside 1..{PROJECT_NUMBER_MAX}")
    try:
        details = msgspec.json.decode(notes, type=ProjectDetails)
    except msgspec.DecodeError as error:
        raise _invalid(f"project {number}: {error}") from None
    words = {
        "project_type": details.project_type,
        "gas": details.gas,
        "host": details.host,
    }
    for field, word in words.items():
        if not _WORD.fullmatch(word):
            raise _invalid(f"project {number}: {field} is no word of at most 40 letters: {word!r}")
    if details.covered_by not in _COVERED_BY:
        known = ", ".join(repr(word) for word in _COVERED_BY)
        raise _invalid(
            f"project {number}: covered_by {details.covered_by[:40]!r} is none of {known}"
        )
    for flag in details.flags:
        if not _FLAG.fullmatch(flag):
            raise _invalid(
                f"project {number}: flag {flag[:41]!r} is no word of at most 40 small letters"
            )
    if not details.name.strip() or not details.name.isprintable():
        raise _invalid(f"project {number}: it needs a printable name")
    if not _REGION.fullmatch(details.region):
        raise _invalid(f"project {number}: region {details.region!r} is no code such as CN-BJ")
    if len(details.flags) > _FLAGS_MAX:
        raise _invalid(f"project {number}: more than {_FLAGS_MAX} flags")
    share = details.co2_ch4_share_bp
    if share is not None and not 0 <= share <= 10_000:
        raise _invalid(f"project {number}: co2_ch4_share_bp {share} is outside 0..10000")
    return details


def issuance(
    instrument: Instrument, projects: Mapping[int, Project], vintage: int, notes: str
) -> Issuance:
    """What the notes of ISSUE say of the reductions; RefusalError unless it fits. O(regions)."""
    if not notes:
        if instrument.project_types or instrument.regions:
            raise _not_deliverable(instrument, "its units name their project")
        return Issuance()
    try:
        told = msgspec.json.decode(notes, type=IssuanceDetails)
    except msgspec.DecodeError as error:
        raise _invalid(f"issuance of {instrument.symbol}: {error}") from None
    project = projects.get(told.project)
    if project is None or project.programme != instrument.product:
        raise RefusalError(
            RegistryReason.PROJECT_UNKNOWN,
            f"{instrument.product} has no project {told.project}",
        )
    if not told.period_from <= told.period_to or {told.period_from.year, told.period_to.year} != {
        vintage
    }:
        raise _invalid(
            f"reductions of {told.period_from} to {told.period_to} are not days of the monitoring "
            f"year {vintage}"
        )
    _require_deliverable(instrument, project)
    return Issuance(project.number, _number(told.period_from), _number(told.period_to))


def check_programme(
    rulebook: Rulebook, instrument: Instrument, project: Project | None, made: Issuance, on: dt.date
) -> None:
    """RefusalError when the programme of the credits does not let them be issued. O(programmes)."""
    if project is None:
        return
    generation = project.details.generation or instrument.generation
    programme = programme_of(rulebook, instrument.product, generation)
    if programme is None:
        return
    begin = dt.date.fromisoformat(str(made.period_from))
    why = not_issuable(programme, on, begin, project.details.in_operation_from)
    if why:
        raise RefusalError(
            RegistryReason.UNIT_NOT_ELIGIBLE,
            f"programme {programme.id} {why}",
            programme.id,
            f"{rulebook.cited(programme.sources)} [confidence {programme.confidence}]",
        )


def project_wanted(notes: str) -> int:
    """The project whose credits SURRENDER asks for, 0 = of any; RefusalError otherwise. O(1)."""
    if not notes:
        return 0
    if not notes.isdecimal() or not 1 <= int(notes) <= PROJECT_NUMBER_MAX:
        raise _invalid(f"project {notes[:20]!r} is no number in 1..{PROJECT_NUMBER_MAX}")
    return int(notes)


def _require_deliverable(instrument: Instrument, project: Project) -> None:
    details = project.details
    if instrument.generation and details.generation not in ("", instrument.generation):
        raise _not_deliverable(
            instrument, f"project {project.number} is of generation {details.generation}"
        )
    if instrument.project_types and details.project_type not in instrument.project_types:
        raise _not_deliverable(
            instrument,
            f"it takes {', '.join(instrument.project_types)}; project {project.number} is "
            f"{details.project_type or 'not stated'}",
        )
    if instrument.regions and not is_within(details.region, ",".join(instrument.regions)):
        raise _not_deliverable(
            instrument,
            f"it takes projects in {', '.join(instrument.regions)}; project {project.number} is in "
            f"{details.region or 'a region not stated'}",
        )


def _not_deliverable(instrument: Instrument, text: str) -> RefusalError:
    return RefusalError(RegistryReason.PROJECT_NOT_DELIVERABLE, f"{instrument.symbol}: {text}")


def _invalid(text: str) -> RefusalError:
    return RefusalError(RegistryReason.PROJECT_INVALID, text)


def _number(day: dt.date) -> int:
    return day.year * 10_000 + day.month * 100 + day.day


def credit_of(
    instrument: Instrument, details: ProjectDetails | None, quantity: int, period_from: int = 0
) -> Credit:
    """Units of an offset as the rules see them: `quantity` tonnes. O(1)."""
    known = details or ProjectDetails(name="")
    return Credit(
        instrument.product,
        quantity,
        generation=instrument.generation or known.generation,
        project_type=known.project_type,
        gas=known.gas,
        co2_ch4_share_bp=known.co2_ch4_share_bp,
        region=known.region,
        host=known.host,
        reduction_from=dt.date.fromisoformat(str(period_from)) if period_from else None,
        registered_on=known.registered_on,
        in_operation_from=known.in_operation_from,
        covered_by=known.covered_by,
        flags=known.flags,
    )


class Choice(NamedTuple):
    """Tonnes to take of each block (by id), and what a rule said of the rest ("" = none)."""

    taken: dict[int, int]
    rule_id: str
    refusal: str
    is_eligible: bool  # False: none of the units is of a kind that the rule takes


def choose(
    rules: ComplianceRules,
    lots: Sequence[tuple[Block, Credit]],
    quantity: int,
    *,
    emission_year: int,
    on: dt.date,
    bases: Bases,
    used: Sequence[Credit],
    scheme_used_t: int,
    applies_to: str = "",
) -> Choice:
    """Which blocks to surrender: `quantity` tonnes that the rules take, or why there are fewer.

    Blocks alike to the rules are one credit; of these, as the rules rank them (local ones and those
    with a flag first), the oldest blocks go first. Raises KeyError for a base that is not given.
    O(blocks + kinds log kinds).
    """
    mine = [rule for rule in rules.offset if rule.applies_to == applies_to]
    piles = _piles(mine, lots)
    kinds = list(piles)
    credits_ = [kind._replace(quantity_t=tonnes(piles[kind])) for kind in kinds]
    answers = offset_plan(
        rules,
        credits_,
        emission_year=emission_year,
        on=on,
        bases=bases,
        used=used,
        scheme_used_t=scheme_used_t,
        applies_to=applies_to,
    )
    taken, missing = _prefix(piles, [answer.accepted_t for answer in answers], quantity)
    if not missing:
        return Choice(taken, answers[0].rule_id, "", is_eligible=True)
    stopped = min(answers, key=lambda answer: (not answer.reason, not answer.is_eligible))
    unit, text = kinds[0].unit, stopped.reason
    rule = next((rule for rule in rules.offset if rule.id == stopped.rule_id), None)
    if rule is not None and text == f"cap of {rule.id}":
        spent = sum(credit.quantity_t for credit in used if credit.unit in rule.credit_types)
        text = cap_text(rule, unit, emission_year, bases.get(rule.cap_base, 0))
        text += f"; used {spent} t, headroom {quantity - missing} t"
    else:
        limits = headroom(
            rules,
            emission_year=emission_year,
            bases=bases,
            used=used,
            scheme_used_t=scheme_used_t,
            applies_to=applies_to,
        )
        for limit in limits if stopped.is_eligible else ():
            if (limit.rule_id, limit.name) == (stopped.rule_id, stopped.reason):
                text += f": {limit.limit_t} t, headroom {limit.left_t} t"
    text = f"{quantity} t of {unit} refused: {text}"
    return Choice({}, stopped.rule_id, text, stopped.is_eligible)


def choose_eligible(
    rules: ComplianceRules,
    lots: Sequence[tuple[Block, Credit]],
    quantity: int,
    on: dt.date,
) -> Choice:
    """Which blocks the rules take for what they are, whatever their shares, like `choose`.

    For the registry of the credits, which does not know what else was used: it gives those first
    that pass the most limits, so that if they do not pass none would. O(blocks + kinds log kinds).
    """
    mine = [rule for rule in rules.offset if not rule.applies_to]
    piles = _piles(mine, lots)
    accepted, refusal, rule_id = [], "", rules.id
    for kind, blocks in piles.items():
        credit = kind._replace(quantity_t=tonnes(blocks))
        rule = next((rule for rule in mine if kind.unit in rule.credit_types), None)
        why = f"{kind.unit} is not taken as an offset" if rule is None else unfit(rule, credit, on)
        refusal = refusal or why
        rule_id = rule.id if rule is not None else rule_id
        accepted.append(usable(rule, credit) if rule is not None and not why else 0)
    taken, missing = _prefix(piles, accepted, quantity)
    if not missing:
        return Choice(taken, rule_id, "", is_eligible=True)
    why = refusal or "the usable share of unregistered reductions"
    text = f"{quantity} t refused: {sum(accepted)} t are eligible; {why}"
    return Choice({}, rule_id, text, is_eligible=False)


def _piles(
    rules: Sequence[OffsetRule], lots: Sequence[tuple[Block, Credit]]
) -> dict[Credit, list[Block]]:
    """Blocks by what they are to the rules, in the order in which these rank them."""
    piles: dict[Credit, list[Block]] = {}
    for block, credit in lots:
        piles.setdefault(credit._replace(quantity_t=0), []).append(block)
    return {kind: piles[kind] for kind in sorted(piles, key=lambda kind: rank(rules, kind))}


def _prefix(
    piles: Mapping[Credit, Sequence[Block]], accepted: Sequence[int], quantity: int
) -> tuple[dict[int, int], int]:
    """Tonnes to take of each block, of each pile no more than accepted; and what is missing."""
    taken: dict[int, int] = {}
    missing = quantity
    for blocks, most in zip(piles.values(), accepted, strict=True):
        left = min(missing, most)
        missing -= left
        for block in blocks:
            if not left:
                break
            taken[block.block_id] = min(left, block.quantity)
            left -= taken[block.block_id]
    return taken, missing
