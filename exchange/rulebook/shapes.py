"""What a rulebook may say of schemes: caps, surrender, offsets, penalties, supply, carry-over.

Every number is an integer: `_bp` basis points, `_t` tonnes, `_minor` minor units of the scheme's
currency. Dates are inclusive at both ends, in the local time of the scheme. A key that is absent is
unknown or does not apply; `unknown` names what the real rule has and nobody found.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

Confidence = Literal["high", "medium", "low"]
Basis = Literal["seed", "stored", "knowledge", "design"]
BASES = (
    "annual_allocation",
    "initial_allocation",
    "national_allocation_plan",
    "phase2_free_allocation_or_phase2_entitlement",
    "shortfall_before_offsets",
    "surrender_obligation",
    "verified_emissions",
    "verified_emissions_2013_2020",
    "verified_emissions_by_emission_year",
    "verified_emissions_of_period",
)
"""Names a `cap_base` may have: amounts (t) of an account and emission year or period."""
PENALTIES = (
    "fine_plus_double_deduction",
    "fine_range_then_deduction",
    "fixed_per_tonne_plus_carry_forward",
    "forced_deduction_then_multiple_of_market_price",
    "instrument_multiple",
    "multiple_of_market_price",
    "no_fine",
)
"""Kinds of penalties."""
LOCALITIES = (
    "local_only",
    "local_or_partner_only",
    "max_nonlocal",
    "max_share_without_flag",
    "min_local_share",
    "preferred",
)
"""Kinds of rules on where credits come from."""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; a key that is not here is an error."""


class YearBp(Table, frozen=True, kw_only=True):
    """A share from a year on."""

    from_year: int
    bp: int


class YearAmount(Table, frozen=True, kw_only=True):
    """An amount of one year: tonnes, or minor units a tonne."""

    year: int
    amount: int


class InterimTarget(Table, frozen=True, kw_only=True):
    """A share of the entities that must have surrendered by then."""

    date: dt.datetime
    entities_bp: int


class SurrenderRule(Table, frozen=True, kw_only=True):
    """By when what is surrendered. `_md` is month-day, `_year_offset` years after emission."""

    obligation: Literal["verified_emissions"]
    deadline: dt.datetime | None = None
    deadline_md: str = ""
    deadline_year_offset: int = 0
    report_due_md: str = ""
    report_year_offset: int = 0
    allocation_md: str = ""
    interim_target: InterimTarget | None = None
    ccer_application_due: dt.date | None = None
    final_allocation_due: dt.date | None = None
    third_party_may_surrender_for_frozen_entity: bool = False
    annual_partial_bp: int = 0  # 0 = the whole each year
    full_at_end_of_period: bool = False
    confidence: Confidence | None = None
    basis: Basis | None = None
    sources: tuple[str, ...] = ()


class PenaltyRule(Table, frozen=True, kw_only=True):
    """What a shortfall costs; which keys count is the kind's matter (`rulebook.penalties`)."""

    kind: str
    amount_minor_per_t: int | None = None
    indexed_by: str = ""
    observed_minor: tuple[YearAmount, ...] = ()
    shortfall_carried_to_next_year: bool = False
    released_by_payment: bool = False
    fine_minor: int | None = None
    fine_min_minor: int | None = None
    fine_max_minor: int | None = None
    fine_cap_minor: int | None = None
    multiple_min: int | None = None
    multiple_max: int | None = None
    price_base: str = ""
    quantity_base: str = ""
    instruments_per_missing: int | None = None
    next_year_deduction: Literal[
        "",
        "equal_to_shortfall_if_not_corrected",
        "equal_to_shortfall_if_refusing_to_correct",
        "none_for_new_decisions",
        "shortfall_not_covered_by_forced_deduction",
        "twice_the_shortfall",
    ] = ""
    next_year_deduction_ends_on: dt.date | None = None  # the first day without a new one
    in_force_from: dt.date | None = None
    consequence: str = ""
    as_of: dt.date | None = None
    note: str = ""
    confidence: Confidence | None = None
    basis: Basis | None = None
    sources: tuple[str, ...] = ()


class FalseDataRule(Table, frozen=True, kw_only=True):
    """What false emission data cost, for acts between two dates; the authority chooses in a range.

    From `gain_threshold_minor` of gain on, a multiple of it; below it a fixed range. Who refuses
    to correct loses a share of the next year's allocation.
    """

    id: str
    in_force_from: dt.date
    in_force_to: dt.date | None = None
    gain_threshold_minor: int
    multiple_min: int
    multiple_max: int
    fine_min_minor: int
    fine_max_minor: int
    refusal_deduction_min_bp: int = 0
    refusal_deduction_max_bp: int = 0
    article: str = ""
    note: str = ""
    confidence: Confidence
    basis: Basis
    sources: tuple[str, ...]


class Locality(Table, frozen=True, kw_only=True):
    """Where credits must come from. `region` is a code, or several by commas; `of` names a cap."""

    kind: str
    region: str = ""
    cap_bp: int | None = None
    cap_base: str = ""
    share_bp: int | None = None
    partner_cap_t: int | None = None
    flag: str = ""
    of: str = ""


class CapStep(Table, frozen=True, kw_only=True):
    """The cap of a rule from an emission year on."""

    from_emission_year: int
    cap_bp: int


class SchemeWideCap(Table, frozen=True, kw_only=True):
    """What all accounts together may surrender for an emission year, first come first served."""

    emission_year: int
    cap_t: int


class ConditionalType(Table, frozen=True, kw_only=True):
    """Projects of a type count only with a flag on the credit that says what was proven.

    A type that may be it and says no more needs the flag, too; `except_types` never do.
    """

    project_type: str
    except_types: tuple[str, ...] = ()
    flag: str
    proof: str  # what the flag says, in words


class UnregisteredReductions(Table, frozen=True, kw_only=True):
    """Reductions that no programme has issued yet, of which a share may be used."""

    allowed: bool
    usable_share_bp: int
    reduction_from: dt.date
    reduction_to: dt.date


class OffsetRule(Table, frozen=True, kw_only=True):
    """Which credits may be surrendered and up to what share (basis points) of which base."""

    id: str
    credit_types: tuple[str, ...]
    cap_bp: int | None = None  # None = not known
    cap_base: str = ""
    cap_rounding: Literal["floor"] = "floor"
    cap_steps: tuple[CapStep, ...] = ()
    cap_alternative: str = ""
    cap_note: str = ""
    period_cap: bool = False  # one cap for the whole period, not one a year
    group: str = ""  # rules of one group share a second cap
    group_cap_bp: int | None = None
    group_cap_base: str = ""
    scheme_wide_caps: tuple[SchemeWideCap, ...] = ()
    applies_to: str = ""
    use_mode: Literal["", "exchange_for_allowances_not_direct_surrender"] = ""
    programme_generations: tuple[str, ...] = ()  # () = no distinction
    old_generation_usable_until: dt.date | None = None  # of the first of them
    locality: tuple[Locality, ...] = ()
    reduction_from: dt.date | None = None
    reduction_from_forestry: dt.date | None = None
    project_in_operation_after: dt.date | None = None
    project_in_operation_exempt_types: tuple[str, ...] = ()
    pre_2013_reductions_exchange_until: dt.date | None = None
    host_condition: Literal["", "least_developed_countries_only"] = ""
    host_condition_if_project_registered_after: dt.date | None = None
    gases: tuple[str, ...] = ()  # no other; () = any
    excluded_gases: tuple[str, ...] = ()  # HFC is every HFC
    co2_ch4_min_share_bp: int = 0
    excluded_project_types: tuple[str, ...] = ()
    exclusion_applies_to_use_from: dt.date | None = None
    later_excluded_project_types: tuple[str, ...] = ()
    later_exclusion_from: dt.date | None = None
    conditional_project_types: tuple[ConditionalType, ...] = ()
    allowed_project_types: tuple[str, ...] = ()
    region_limited_types: tuple[str, ...] = ()
    allowed_regions_for_limited_types: tuple[str, ...] = ()
    local_only_types: tuple[str, ...] = ()
    local_regions: tuple[str, ...] = ()  # of `local_only_types`
    excluded_flags: tuple[str, ...] = ()
    pre_issued_types: tuple[str, ...] = ()  # credits that count also when flagged `pre_issued`
    exclude_host_regions: tuple[str, ...] = ()
    exclude_from_covered_projects: bool = False
    exclude_from_covered_projects_of_other_pilots: bool = False
    unregistered_reductions: UnregisteredReductions | None = None
    article: str = ""
    unknown: tuple[str, ...] = ()
    note: str = ""
    confidence: Confidence
    basis: Basis
    sources: tuple[str, ...]


class CompliancePeriod(Table, frozen=True, kw_only=True):
    """Years that are settled together."""

    id: str
    years: tuple[int, ...]


class IntensityCoefficient(Table, frozen=True, kw_only=True):
    """How allocation follows the deviation from the sector's intensity (China, draft 2026)."""

    slope_bp: int
    band_bp: int
    max_bp: int
    min_bp: int


class ReservedUnit(Table, frozen=True, kw_only=True):
    """An allowance that only accounts of some types surrender."""

    unit: str
    account_types: tuple[str, ...]


class ComplianceRules(Table, frozen=True, kw_only=True):
    """The rules for some emission years, in force between two dates.

    `emission_years` () = any year; `effective_to` absent = until further notice; `usable_vintages`
    are labels of allowances that count, () = any; `borrowed_vintages` later ones that count up to a
    share of the shortage; `arrears_vintages` those with which what is still owed for
    `arrears_years`, whose own rules are over, is made good.
    """

    id: str
    effective_from: dt.date
    effective_to: dt.date | None = None
    emission_years: tuple[int, ...] = ()
    applies_to: str = ""
    status: str = "in_force"
    sectors: tuple[str, ...] = ()
    gases: tuple[str, ...] = ()
    cap_per_year_t: int | None = None
    cap_first_year_t: int | None = None
    cap_annual_reduction_t: int | None = None
    cap_first_year: int | None = None  # of `cap_first_year_t`; None = the first emission year
    linear_reduction_factor_steps: tuple[
        YearBp, ...
    ] = ()  # `cap_annual_reduction_t` is the first's
    rebasing_t: tuple[YearAmount, ...] = ()  # steps of the cap besides
    scope_change_t: tuple[YearAmount, ...] = ()  # of the cap, for activities that join or leave
    backloaded_t: int | None = None
    auction_share_bp: int | None = None
    auction_share_max_bp: int | None = None
    power_auction_share_bp: int | None = None
    industry_free_share_2013_bp: int | None = None
    industry_free_share_2020_bp: int | None = None
    new_entrant_reserve_bp: int | None = None
    provisional_allocation_bp: int | None = None
    provisional_base: str = ""  # as `exchange.rulebook.provisional` reads it
    provisional_note: str = ""
    new_sectors_allocation: Literal["", "equal_to_verified_emissions"] = ""
    at_risk_held_by: str = ""  # type of account for allowances of entities at risk
    shortage_cap_bp_of_verified: int | None = None
    intensity_coefficient: IntensityCoefficient | None = None
    gas_units_exempt: bool = False
    coal_units_exempt: bool = False
    indirect_emissions_covered: bool | None = None
    max_sale_bp_of_free_allocation: int | None = None
    rounding: Literal["floor"] = "floor"
    banking_in: Literal["", "none", "allowed"] = ""
    banking_out: Literal["", "not_allowed", "allowed", "allowed_pending_rules"] = ""
    borrowing: Literal["", "none", "within_phase_by_timing_only", "from_2023_vintage"] = ""
    borrowing_min_shortage_bp: int | None = None
    borrowing_max_bp_of_shortage: int | None = None
    borrowed_vintages: tuple[str, ...] = ()
    usable_vintages: tuple[str, ...] = ()
    reserved_units: tuple[ReservedUnit, ...] = ()
    old_vintages_usable: bool | None = None
    old_vintages_note: str = ""
    arrears_years: tuple[int, ...] = ()
    arrears_vintages: tuple[str, ...] = ()
    compliance_periods: tuple[CompliancePeriod, ...] = ()
    surrender: SurrenderRule | None = None
    penalty: PenaltyRule | None = None
    offset: tuple[OffsetRule, ...] = ()
    unknown: tuple[str, ...] = ()
    note: str = ""
    confidence: Confidence
    basis: Basis
    sources: tuple[str, ...]


class SupplyControl(Table, frozen=True, kw_only=True):
    """A reserve that takes allowances from auctions and gives back, by what is in circulation."""

    id: str
    effective_from: dt.date
    effective_to: dt.date
    upper_threshold_t: int
    lower_threshold_t: int
    intake_bp_of_tnac: int
    release_t: int
    middle_threshold_t: int | None = None
    middle_rule: str = ""
    invalidate_holdings_above_t: int | None = None
    rounding: Literal["nearest"]
    confidence: Confidence
    basis: Basis
    sources: tuple[str, ...]


class CarryOverBatch(Table, frozen=True, kw_only=True):
    """Applications until a day are done by another."""

    applied_until: dt.date
    processed_by: dt.date


class CarryOver(Table, frozen=True, kw_only=True):
    """How old vintages become new ones (China)."""

    id: str
    from_vintages: tuple[str, ...]
    to_vintage: str
    base_t: int
    multiplier_bp: int
    net_sales_from: dt.date
    net_sales_to: dt.date
    net_sales_floor_t: int
    position_snapshot: dt.datetime
    position_includes: tuple[
        Literal["registration_available", "trading_available", "judicial_frozen"], ...
    ]
    position_excludes: tuple[str, ...]
    rounding: Literal["floor"]
    formula: str
    notice_by: dt.date
    application_until: dt.date
    batches: tuple[CarryOverBatch, ...]
    requires_full_surrender_of: tuple[int, ...]
    issue_within_working_days: int
    confidence: Confidence
    basis: Basis
    sources: tuple[str, ...]


class CompositeWeight(Table, frozen=True, kw_only=True):
    """The vintages of a composite price over some days, each with the same weight."""

    from_: dt.date = msgspec.field(name="from")
    to: dt.date | None = None
    sample: tuple[str, ...]
    weight_bp_each: int


class CompositePrice(Table, frozen=True, kw_only=True):
    """An index over vintages; it is not traded."""

    weights: tuple[CompositeWeight, ...]
    note: str = ""
    confidence: Confidence
    basis: Basis
    sources: tuple[str, ...]


class HoldingLimit(Table, frozen=True, kw_only=True):
    """How much one entity may hold: a share of a base, and another of the budget beyond it."""

    formula: str
    base_t: int
    base_share_bp: int = 1_000
    budget_share_bp: int = 250
    confidence: Confidence
    basis: Basis
    sources: tuple[str, ...]


StepName = Literal[
    "carry_over_application",
    "carry_over_notice",
    "final_allocation",
    "free_allocation",
    "offset_application",
    "provisional_allocation",
    "surrender",
    "surrender_by_95_percent_of_entities",
    "verification_result",
    "verified_report",
]
"""Steps of a compliance year, as calendars name them."""


class CalendarStep(Table, frozen=True, kw_only=True):
    """A day of the compliance year: a fixed `due`, or `due_md` some years after the emission."""

    step: StepName
    emission_years: tuple[int, ...]
    sectors: tuple[str, ...] = ()
    due: dt.date | None = None
    due_md: str = ""
    year_offset: int = 0
    note: str = ""
    confidence: Confidence
    basis: Basis
    sources: tuple[str, ...]


class Scheme(Table, frozen=True, kw_only=True):
    """One emission trading system."""

    id: str
    name: str
    timezone: str
    currency: str
    allowance_units: tuple[str, ...]
    sectors: tuple[str, ...] = ()  # every one that its rules and calendar name
    entry_threshold_t: int | None = None
    exit_rule: str = ""
    rules: tuple[ComplianceRules, ...] = ()
    calendar: tuple[CalendarStep, ...] = ()
    false_data: tuple[FalseDataRule, ...] = ()
    supply_control: tuple[SupplyControl, ...] = ()
    carry_over: CarryOver | None = None
    composite_price: CompositePrice | None = None
    holding_limit: HoldingLimit | None = None


FOR_INFORMATION: dict[str, frozenset[str]] = {
    "InterimTarget": frozenset({"entities_bp"}),
    "SurrenderRule": frozenset({"interim_target", "full_at_end_of_period"}),
    "PenaltyRule": frozenset({"released_by_payment", "quantity_base", "in_force_from"}),
    "OffsetRule": frozenset({"cap_rounding", "cap_alternative", "cap_note", "period_cap"}),
    "ComplianceRules": frozenset(
        {
            "backloaded_t",
            "new_entrant_reserve_bp",
            "provisional_note",
            "coal_units_exempt",
            "indirect_emissions_covered",
            "rounding",
            "old_vintages_usable",
            "old_vintages_note",
        }
    ),
    "SupplyControl": frozenset({"middle_rule", "rounding"}),
    "CarryOver": frozenset(
        {"position_excludes", "rounding", "formula", "notice_by", "issue_within_working_days"}
    ),
    "HoldingLimit": frozenset({"formula"}),
    "Scheme": frozenset({"allowance_units", "entry_threshold_t", "exit_rule"}),
    "TransactionType": frozenset(
        {"four_eyes", "reversible", "eutl_supplementary", "reversal_codes"}
    ),
}
"""Keys by their table that inform and that nothing applies; every other key is read somewhere."""
