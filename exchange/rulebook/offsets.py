"""How much of which credit may be surrendered: pure functions over the rulebook.

Cap = base x basis points / 10000, always rounded down, and always with the name of its base. The
order of checks: a rule is in force; the credit's type; the credit itself (`eligibility`); the cap
of the rule; the cap of its group; where it is from; the cap of the whole scheme.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from exchange.rulebook.book import Rulebook
from exchange.rulebook.eligibility import Credit, may_be_within, unfit, unfit_generation
from exchange.rulebook.figures import require_whole
from exchange.rulebook.regions import is_within
from exchange.rulebook.selection import offset_rule, rules_in_force
from exchange.rulebook.shapes import ComplianceRules, Locality, OffsetRule

BP = 10_000
Bases = Mapping[str, int]


class Verdict(NamedTuple):
    """What the rulebook says of one surrender of offset credits. Quantities in tonnes.

    `accepted_t` is how much of the asked quantity the rule lets pass, `rule_id` the rule that
    decided ("" when none was in force), `refusal` the reason in words ("" when all passes).
    """

    accepted_t: int
    rule_id: str
    cap_t: int
    base_name: str
    base_t: int
    used_t: int
    headroom_t: int
    source: str
    refusal: str
    is_eligible: bool  # False: refused for what the unit is, not for how many


class Accepted(NamedTuple):
    """What becomes of one credit of a plan: tonnes, the rule, and what stopped the rest."""

    accepted_t: int
    rule_id: str
    reason: str
    is_eligible: bool = True  # False: refused for what it is, not for how many


class Limit(NamedTuple):
    """A limit of a rule: how much it lets pass in all and how much of that is left, tonnes.

    `kind` is rule, group, scheme, or a kind of locality.
    """

    rule_id: str
    kind: str
    name: str
    limit_t: int
    left_t: int


def cap_bp(rule: OffsetRule, emission_year: int) -> int:
    """The share of the base that counts for an emission year. O(steps).

    Raises ValueError when the rulebook says that it is not known.
    """
    reached = [step for step in rule.cap_steps if step.from_emission_year <= emission_year]
    if reached:
        return max(reached, key=lambda step: step.from_emission_year).cap_bp
    if rule.cap_bp is None:
        raise ValueError(f"rule {rule.id}: cap_bp is not known; set it in the rulebook")
    return rule.cap_bp


def offset_cap(rule: OffsetRule, base_t: int, emission_year: int = 0) -> int:
    """The most tonnes of these credits for a base, rounded down. O(steps).

    Raises ValueError for a negative base, or a cap that the rulebook does not know.
    """
    if base_t < 0:
        raise ValueError(f"a base is not negative: {base_t} t")
    return base_t * cap_bp(rule, emission_year) // BP


def offset_plan(
    rules: ComplianceRules,
    credits_: Sequence[Credit],
    *,
    emission_year: int,
    on: dt.date,
    bases: Bases,
    used: Sequence[Credit] = (),
    scheme_used_t: int = 0,
    applies_to: str = "",
) -> list[Accepted]:
    """What of each credit may be surrendered under the rules, in the order given. O(n log n).

    `bases` are the tonnes of each base that the rules name; `used` what the account surrendered
    before under the same rules, `scheme_used_t` what all accounts did. How much passes of each
    rule and region does not depend on the order of the credits: local ones and those with a flag
    are taken first. Raises KeyError for a base that is not given, ValueError for one below zero and
    for a negative quantity.
    """
    plan = _Plan(rules, emission_year, bases, scheme_used_t, applies_to)
    for credit in used:
        plan.count(plan.rule_of(credit), credit, credit.quantity_t)
    order = sorted(range(len(credits_)), key=lambda at: (*rank(plan.rules, credits_[at]), at))
    answers: dict[int, Accepted] = {}
    for at in order:
        answers[at] = plan.accept(credits_[at], on)
    return [answers[at] for at in range(len(credits_))]


def rank(rules: Sequence[OffsetRule], credit: Credit) -> tuple[int, bool, bool]:
    """The place of a credit in a plan: by its rule, local ones and those with a flag first.

    What a plan takes of the credits up to a place does not depend on those after it. O(rules).
    """
    for at, rule in enumerate(rules):
        if credit.unit in rule.credit_types:
            return at, is_nonlocal(rule, credit), is_unflagged(rule, credit)
    return len(rules), False, False


def headroom(
    rules: ComplianceRules,
    *,
    emission_year: int,
    bases: Bases,
    used: Sequence[Credit] = (),
    scheme_used_t: int = 0,
    applies_to: str = "",
) -> list[Limit]:
    """Every limit of the rules, and what is left of it after what was used. O(rules + used)."""
    plan = _Plan(rules, emission_year, bases, scheme_used_t, applies_to)
    for credit in used:
        plan.count(plan.rule_of(credit), credit, credit.quantity_t)
    return [limit for rule in plan.rules for limit in plan.limits(rule)]


def exceeded(
    rules: ComplianceRules,
    *,
    emission_year: int,
    bases: Bases,
    used: Sequence[Credit],
    scheme_used_t: int | None = None,
    applies_to: str = "",
) -> list[Limit]:
    """The limits that what an account used passes; what is left is below zero.

    Those of the scheme only where it is told what the other accounts used. KeyError for a base that
    is not given. O(rules + used).
    """
    plan = _Plan(rules, emission_year, bases, scheme_used_t or 0, applies_to)
    for credit in used:
        plan.count(plan.rule_of(credit), credit, credit.quantity_t)
    return [
        limit
        for rule in plan.rules
        for limit in plan.limits_as_they_are(rule)
        if limit.left_t < 0 and (limit.kind != "scheme" or scheme_used_t is not None)
    ]


class _Plan:
    def __init__(
        self,
        rules: ComplianceRules,
        emission_year: int,
        bases: Bases,
        scheme_used_t: int,
        applies_to: str,
    ) -> None:
        self.rules = [rule for rule in rules.offset if rule.applies_to == applies_to]
        self._rules_id = rules.id
        require_whole(scheme_used_t=scheme_used_t, **bases)
        self._year, self._bases, self._scheme_used_t = emission_year, bases, scheme_used_t
        self._total: dict[str, int] = defaultdict(int)  # by rule
        self._nonlocal: dict[str, int] = defaultdict(int)
        self._unflagged: dict[str, int] = defaultdict(int)
        self._group: dict[str, int] = defaultdict(int)
        self._unregistered: dict[str, Unregistered] = defaultdict(Unregistered)

    def rule_of(self, credit: Credit) -> OffsetRule | None:
        return next((rule for rule in self.rules if credit.unit in rule.credit_types), None)

    def count(self, rule: OffsetRule | None, credit: Credit, quantity_t: int) -> None:
        require_whole(quantity_t=quantity_t)
        if rule is None:
            return
        self._total[rule.id] += quantity_t
        self._nonlocal[rule.id] += quantity_t * is_nonlocal(rule, credit)
        self._unflagged[rule.id] += quantity_t * is_unflagged(rule, credit)
        self._group[rule.group] += quantity_t
        self._scheme_used_t += quantity_t
        if is_unregistered(rule, credit):
            self._unregistered[rule.id] = self._unregistered[rule.id].and_used(quantity_t)

    def accept(self, credit: Credit, on: dt.date) -> Accepted:
        require_whole(quantity_t=credit.quantity_t, co2_ch4_share_bp=credit.co2_ch4_share_bp)
        rule = self.rule_of(credit)
        if rule is None:
            return Accepted(0, self._rules_id, f"{credit.unit} is not taken as an offset", False)
        refusal = unfit(rule, credit, on)
        if refusal:
            return Accepted(0, rule.id, refusal, False)
        wanted, reason = credit.quantity_t, ""
        before = self._unregistered[rule.id]
        usable_t = usable(rule, credit, before)
        if usable_t < wanted:
            wanted, reason = usable_t, "the usable share of unregistered reductions"
        for limit in self.limits(rule, credit):
            if limit.left_t < wanted:
                wanted, reason = limit.left_t, limit.name
        self.count(rule, credit, wanted)
        if is_unregistered(rule, credit):
            self._unregistered[rule.id] = before.and_offered(credit.quantity_t, wanted)
        return Accepted(wanted, rule.id, reason)

    def limits(self, rule: OffsetRule, credit: Credit | None = None) -> list[Limit]:
        found = self.limits_as_they_are(rule, credit)
        return [limit._replace(left_t=max(0, limit.left_t)) for limit in found]

    def limits_as_they_are(self, rule: OffsetRule, credit: Credit | None = None) -> list[Limit]:
        # Without a credit all of them, else those that it must pass.
        cap_t = self._cap(rule)
        left_t = cap_t - self._total[rule.id]
        limits = [Limit(rule.id, "rule", f"cap of {rule.id}", cap_t, left_t)]
        if rule.group_cap_bp is not None:
            group_t = self._base(rule.group_cap_base) * rule.group_cap_bp // BP
            left_t = group_t - self._group[rule.group]
            limits.append(Limit(rule.id, "group", f"cap of group {rule.group}", group_t, left_t))
        for item in rule.locality:
            limits += self._locality(rule, item, cap_t, credit)
        for wide in rule.scheme_wide_caps:
            if wide.emission_year == self._year:
                name = f"cap of the scheme for {wide.emission_year}"
                left_t = wide.cap_t - self._scheme_used_t
                limits.append(Limit(rule.id, "scheme", name, wide.cap_t, left_t))
        return limits

    def _locality(
        self, rule: OffsetRule, item: Locality, cap_t: int, credit: Credit | None
    ) -> list[Limit]:
        total, outside = self._total[rule.id], self._nonlocal[rule.id]
        if item.kind == "max_share_without_flag":
            most_t = cap_t * (item.share_bp or 0) // BP
            name = f"at most {_percent(item.share_bp)} of the cap without {item.flag}"
            is_bound = credit is None or is_unflagged(rule, credit)
            left_t = most_t - self._unflagged[rule.id]
            return [Limit(rule.id, item.kind, name, most_t, left_t)] if is_bound else []
        if credit is not None and not is_nonlocal(rule, credit):
            return []
        if item.kind == "max_nonlocal":
            most_t = self._base(item.cap_base) * (item.cap_bp or 0) // BP
            name = f"at most {_percent(item.cap_bp)} of {item.cap_base} from outside {item.region}"
        elif item.kind == "min_local_share":
            share = item.share_bp or BP
            most_t = (total - outside) * (BP - share) // share
            name = f"at least {_percent(share)} local"
        elif item.kind == "local_or_partner_only":
            most_t = item.partner_cap_t or 0
            name = f"at most {most_t} t from partner regions"
        else:
            return []
        return [Limit(rule.id, item.kind, name, most_t, most_t - outside)]

    def _cap(self, rule: OffsetRule) -> int:
        if not rule.credit_types:
            return 0
        return offset_cap(rule, self._base(rule.cap_base), self._year)

    def _base(self, name: str) -> int:
        if name not in self._bases:
            raise KeyError(f"the rules ask for {name}, which is not known")
        return self._bases[name]


def missing_base(rule: OffsetRule, bases: Bases) -> str:
    """The first base of a rule's limits that is not given, "" = all are. O(regions)."""
    wanted = [rule.cap_base] if rule.credit_types else []
    wanted += [rule.group_cap_base] if rule.group_cap_bp is not None else []
    wanted += [item.cap_base for item in rule.locality if item.kind == "max_nonlocal"]
    return next((name for name in wanted if name not in bases), "")


class Unregistered(NamedTuple):
    """Tonnes of unregistered reductions under a rule: of how many, and how many were used.

    A share of all that there were may be used, not of what is left each time that some are.
    """

    offered_t: int = 0
    used_t: int = 0

    def and_used(self, quantity_t: int) -> Unregistered:
        """After so many more were used. O(1)."""
        return Unregistered(self.offered_t + quantity_t, self.used_t + quantity_t)

    def and_offered(self, offered_t: int, used_t: int) -> Unregistered:
        """After so many more were offered, and some of them used. O(1)."""
        return Unregistered(self.offered_t + offered_t, self.used_t + used_t)


def is_unregistered(rule: OffsetRule, credit: Credit) -> bool:
    """Whether only a share of the credit may be used. O(flags)."""
    return rule.unregistered_reductions is not None and "unregistered" in credit.flags


NONE_BEFORE = Unregistered()


def usable(rule: OffsetRule, credit: Credit, before: Unregistered = NONE_BEFORE) -> int:
    """How much of a credit counts: a share, rounded down, of what is not registered yet. O(1).

    `before` is what was offered and used under the rule already.
    """
    if rule.unregistered_reductions is None or not is_unregistered(rule, credit):
        return credit.quantity_t
    most_t = (before.offered_t + credit.quantity_t) * rule.unregistered_reductions.usable_share_bp
    return min(max(most_t // BP - before.used_t, 0), credit.quantity_t)


def _percent(share_bp: int | None) -> str:
    whole, rest = divmod(share_bp or 0, 100)
    return f"{whole}.{rest:02d} percent" if rest else f"{whole} percent"


def is_nonlocal(rule: OffsetRule, credit: Credit) -> bool:
    """Whether a limit on credits from elsewhere counts the credit. O(regions)."""
    regions = [item.region for item in rule.locality if item.region and item.kind != "preferred"]
    return bool(regions) and not is_within(credit.region, regions[0])


def is_unflagged(rule: OffsetRule, credit: Credit) -> bool:
    """Whether a limit on credits without a flag counts the credit. O(flags)."""
    return any(item.flag and item.flag not in credit.flags for item in rule.locality)


def never_local(rule: OffsetRule, regions: Sequence[str]) -> bool:
    """Whether a limit on credits from elsewhere counts all that come from such regions. O(regions).

    False where no regions are stated, or the rule has no such limit.
    """
    wanted = [item.region for item in rule.locality if item.region and item.kind != "preferred"]
    return bool(wanted and regions) and not any(
        may_be_within(region, wanted[0]) for region in regions
    )


def most_from_elsewhere(
    rule: OffsetRule, emission_year: int, bases: Bases, used_t: int
) -> int | None:
    """How many more credits from elsewhere the rule lets be, tonnes; None: no such limit. O(caps).

    At least a share local: as many as there may be when the rest of the cap is local.
    """
    left: list[int] = []
    for item in rule.locality:
        if item.kind == "max_nonlocal":
            left.append(bases.get(item.cap_base, 0) * (item.cap_bp or 0) // BP)
        elif item.kind == "min_local_share":
            cap_t = offset_cap(rule, bases.get(rule.cap_base, 0), emission_year)
            left.append(cap_t * (BP - (item.share_bp or BP)) // BP)
        elif item.kind == "local_or_partner_only":
            left.append(item.partner_cap_t or 0)
    return max(0, min(left) - used_t) if left else None


def check_surrender(
    rulebook: Rulebook,
    *,
    scheme_id: str,
    emission_year: int,
    on: dt.date,
    product: str,
    generation: str,
    quantity_t: int,
    bases: Bases,
    used_t: int,
    group: str = "",
) -> Verdict:
    """Whether `quantity_t` of a credit may be surrendered, and what stops the rest. O(rules).

    `bases` gives the amount (t) of each base that is known for the account and year; `used_t` is
    what was surrendered before under the same rule. A rule whose base is not known refuses; caps
    that a rule shares, and what it asks of a project, are `offset_plan`'s. Raises ValueError for a
    negative quantity or use.
    """
    if quantity_t < 0 or used_t < 0:
        raise ValueError(f"negative quantity {quantity_t} t or use {used_t} t")
    rule = offset_rule(rulebook, scheme_id, emission_year, on, product, group)
    if rule is None:
        return _without_rule(rulebook, scheme_id, emission_year, on, product, used_t)
    source = rulebook.citation(rule)
    base_t = bases.get(rule.cap_base, 0)
    cap_t = offset_cap(rule, base_t, emission_year)
    headroom_t = max(0, cap_t - used_t)
    told = (rule.id, cap_t, rule.cap_base, base_t, used_t, headroom_t, source)
    refusal = unfit_generation(rule, product, generation, on)
    if not refusal and rule.cap_base not in bases:
        refusal = f"rule {rule.id} caps by {rule.cap_base}, which is not known of the account"
    if refusal:
        return Verdict(0, *told, refusal, is_eligible=False)
    accepted_t = min(quantity_t, headroom_t)
    if accepted_t < quantity_t:
        refusal = (
            f"{quantity_t} t of {product} refused: "
            + cap_text(rule, product, emission_year, base_t)
            + f"; used {used_t} t, headroom {headroom_t} t"
        )
    return Verdict(accepted_t, *told, refusal, is_eligible=True)


def cap_text(rule: OffsetRule, product: str, emission_year: int, base_t: int) -> str:
    """A cap in words: the share, its base and what comes of it. O(steps)."""
    return (
        f"rule {rule.id} caps {product} at {offset_cap(rule, base_t, emission_year)} t = "
        f"{cap_bp(rule, emission_year)} basis points of {rule.cap_base} {base_t} t, rounded down"
    )


def group_units(rules: ComplianceRules | None, rule: OffsetRule) -> tuple[str, ...]:
    """The credit types of all rules of a rule's group; () when it has none. O(rules)."""
    others = rules.offset if rules is not None and rule.group else ()
    return tuple(u for other in others if other.group == rule.group for u in other.credit_types)


def wider_limits(
    rule: OffsetRule, emission_year: int, bases: Bases, group_used_t: int, scheme_used_t: int
) -> list[Limit]:
    """The limits that a rule shares: with its group, and over all accounts. O(caps)."""
    found = []
    if rule.group_cap_bp is not None:
        group_t = bases.get(rule.group_cap_base, 0) * rule.group_cap_bp // BP
        left_t = max(0, group_t - group_used_t)
        found.append(Limit(rule.id, "group", f"cap of group {rule.group}", group_t, left_t))
    for wide in rule.scheme_wide_caps:
        if wide.emission_year == emission_year:
            name = f"cap of the scheme for {emission_year}"
            left_t = max(0, wide.cap_t - scheme_used_t)
            found.append(Limit(rule.id, "scheme", name, wide.cap_t, left_t))
    return found


def _without_rule(
    rulebook: Rulebook, scheme_id: str, emission_year: int, on: dt.date, product: str, used_t: int
) -> Verdict:
    rules = rules_in_force(rulebook, scheme_id, emission_year, on)
    if rulebook.scheme_of(scheme_id) is None:
        text = f"the rulebook knows no scheme {scheme_id}, so no {product} can be surrendered in it"
    elif rules is None:
        text = (
            f"scheme {scheme_id} has no rule in force on {on.isoformat()} for emission year "
            f"{emission_year}, so no {product} can be surrendered for it"
        )
    else:
        text = f"rule {rules.id} does not take {product} as an offset"
    return Verdict(0, rules.id if rules else "", 0, "", 0, used_t, 0, "", text, is_eligible=False)
