"""What a rulebook may say beside the schemes: units, accounts, registries, venues, controls.

The same words as in `exchange.rulebook.shapes`.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from exchange.rulebook.shapes import Basis, Confidence, Table


class Meta(Table, frozen=True, kw_only=True):
    """Which rulebook this is."""

    rulebook_id: str
    rulebook_version: str
    schema_version: int
    compiled_on: dt.date
    status: str = ""
    disclaimer: str


class Source(Table, frozen=True, kw_only=True):
    """A legal text, and how it was read."""

    id: str
    title: str
    kind: str
    date: dt.date | None = None
    url: str = ""
    note: str = ""


class Rule(Table, frozen=True, kw_only=True):
    """Where a table comes from, and how sure it is."""

    confidence: Confidence
    basis: Basis
    sources: tuple[str, ...]
    note: str = ""


class UnitType(Rule, frozen=True, kw_only=True):
    """A kind of unit; `instrument_key` names what must be equal for two of them to be fungible."""

    code: str
    name: str
    kind: str  # allowance, offset
    scheme: str
    instrument_key: tuple[str, ...]
    serialised: bool
    vintage_labels: tuple[str, ...] = ()
    programme_generations: tuple[str, ...] = ()
    pre_issuance_bp: int = 0  # of the first period's expected reductions, before they are certified


class UnitBlock(Rule, frozen=True, kw_only=True):
    """What every block of units must say of itself."""

    required: tuple[str, ...]
    offset_required: tuple[str, ...]
    allowance_required: tuple[str, ...]
    statuses: tuple[str, ...]
    invariants: tuple[str, ...]
    serial_format: str


class CreditProgramme(Rule, frozen=True, kw_only=True):
    """Conditions for a credit to exist at all."""

    id: str
    unit_type: str
    programme_generation: str
    approvals_suspended_from: dt.date | None = None
    usable_in_national_scheme_until: dt.date | None = None
    pipeline_2018: dict[str, int] = {}
    market_start: dt.date | None = None
    project_started_from: dt.date | None = None
    reduction_from: dt.date | None = None
    reduction_max_age_years_at_registration: int | None = None
    methodologies_end_2025: int | None = None
    registered_projects_end_2025: int | None = None
    registered_reductions_end_2025_t: int | None = None


class AccountType(Rule, frozen=True, kw_only=True):
    """A kind of registry account; codes are those of the EUTL."""

    code: str
    name: str
    scheme: str
    eutl_code: str = ""
    eutl_code_kyoto: str = ""
    transfer_only_to_trusted: bool | None = None
    min_representatives: int | None = None
    can_surrender: bool = False
    holds_for_others: bool = False  # surrenders for them, and gives back what is left
    holds_units: bool = True
    terminal: bool = False
    sub_positions: tuple[str, ...] = ()


class TransactionType(Rule, frozen=True, kw_only=True):
    """A kind of registry transaction; numbers are the EUTL's supplementary codes."""

    code: str
    four_eyes: bool
    reversible: bool
    eutl_supplementary: tuple[int, ...] = ()
    reversal_codes: tuple[int, ...] = ()


class RegistryRule(Rule, frozen=True, kw_only=True):
    """When a registry works, and how long a transfer waits."""

    id: str
    timezone: str
    schemes: tuple[str, ...] = ()  # whose units it keeps
    working_days: tuple[str, ...] = ()
    open: dt.time | None = None
    close: dt.time | None = None
    trusted_transfer: str = ""
    untrusted_cutoff: dt.time | None = None
    untrusted_before_cutoff: str = ""
    untrusted_after_cutoff: str = ""
    cancel_until_hours_before_execution: int | None = None
    trusted_list_addition_working_days: int | None = None
    trusted_list_addition_working_days_kyoto: int | None = None
    kyoto_person_account_transfer_delay_hours: int | None = None
    own_accounts_trusted_automatically: bool | None = None
    min_representatives: int | None = None
    second_representative_approval: bool | None = None
    two_persons_for: tuple[str, ...] = ()  # beside transfers: transaction types, where an account
    # asks for two persons
    data_confirmed_by: str = ""  # MM-DD of each year, for that year; "" = nobody asks
    unconfirmed_account: str = ""  # from the next day on: "blocked", or "open"
    final_evidence_of_ownership: bool | None = None
    one_registration_account_per_entity: bool | None = None
    records_retention_years: int | None = None
    freeze_kinds: tuple[str, ...] = ()


class Session(Table, frozen=True, kw_only=True):
    """Trading hours, local time."""

    open: dt.time
    close: dt.time
    phase: str = "continuous"


class VenueMarket(Rule, frozen=True, kw_only=True):
    """How a real venue trades something."""

    id: str
    units: tuple[str, ...]
    matching: str
    name_zh: str = ""
    auction_format: str = ""
    lot_t: int | None = None
    min_lots: int | None = None
    block_min_lots: int | None = None
    qty_step_t: int | None = None
    min_qty_t: int | None = None
    min_sell_qty_t: int | None = None
    max_qty_exclusive_t: int | None = None
    block_min_qty_t: int | None = None
    tick_minor: int | None = None
    tick_per: str = ""
    tick_value_per_lot_minor: int | None = None
    price_limit_bp: int | None = None
    price_limit_reference: str = ""
    price_limit_rounding: str = ""
    block_price_limit_bp: int | None = None
    daily_price_limit: str = ""
    outside_band: str = ""
    static_price_limit_bp: int | None = None
    static_price_limit_reference: str = ""
    dynamic_collar_bp: int | None = None
    dynamic_collar_reference: str = ""
    dynamic_controls: tuple[str, ...] = ()
    volatility_pause_seconds: int | None = None
    floor_price_options: tuple[str, ...] = ()
    max_bid_price_bp_over_close: int | None = None
    lead_time_working_days: int | None = None
    review_working_days: int | None = None
    units_topped_up_working_days_before: int | None = None
    effective_from: dt.date | None = None
    hours: str = ""
    sessions: tuple[Session, ...] = ()
    weekdays: tuple[str, ...] = ()
    open_price: str = ""
    close_price: str = ""
    close_price_min_volume_t: int | None = None
    counts_in_close_price: bool | None = None
    trade_price: str = ""
    same_price_priority: str = ""
    order_types: tuple[str, ...] = ()
    order_validity: str | tuple[str, ...] = ""
    hold_on_entry: bool | None = None
    cancel_unfilled_any_time: bool | None = None
    self_trade_prevention: bool | str | None = None
    trade_at_settlement: bool | None = None
    settlement: str = ""
    settlement_cutoff: dt.time | None = None
    dvp: bool | None = None
    seller_must_prefund_units: bool | None = None
    cash_from_sale_reusable_same_day: bool | None = None
    bought_units_resalable: str = ""
    same_day_resale: bool | None = None
    fee_trading_minor_per_1000t: int | None = None
    fee_clearing_minor_per_1000t: int | None = None
    fee_each_side_bp: int | None = None
    fee_seller_bp: int | None = None
    fee_as_of: dt.date | None = None
    participants: tuple[str, ...] = ()
    natural_persons: bool | None = None
    enabled_methods: tuple[str, ...] = ()
    announced_methods: tuple[str, ...] = ()
    other_methods: tuple[str, ...] = ()
    one_method_per_instrument_at_a_time: bool | None = None
    unique_serial_numbers: bool | None = None
    agreement_required_from_t: int | None = None
    position_limit_covered_extra_t: int | None = None
    position_limit_other_t: int | None = None
    position_disclosure_covered_extra_t: int | None = None
    position_disclosure_other_t: int | None = None
    max_order_qty_t: int | None = None
    max_order_value_minor: int | None = None
    max_messages_per_second_per_member: int | None = None
    order_to_trade_ratio_limit: int | None = None
    unknown: tuple[str, ...] = ()


class VenueRules(Table, frozen=True, kw_only=True):
    """A real venue and its markets."""

    id: str
    name: str
    timezone: str
    currency: str
    sources: tuple[str, ...]
    market: tuple[VenueMarket, ...] = ()


class OffsetLimitReference(Rule, frozen=True, kw_only=True):
    """The offset limit of a scheme of which nothing else is known here."""

    scheme: str
    cap_bp: int
    cap_base: str = ""
    emission_years_from: int | None = None
    emission_years_to: int | None = None
    from_: dt.date | None = msgspec.field(name="from", default=None)
    extra_bp_tribal_lands: int | None = None  # besides, of projects on lands of tribes


class Control(Rule, frozen=True, kw_only=True):
    """A control or record that supervisors expect of a venue."""

    id: str
    rule: str
    source_article: str = ""
    readjustable_in_session: bool | None = None
    monitoring_delay_max_seconds: int | None = None
    override_on_member_request: bool | None = None
    counts: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    volume_unit_for_allowances: str = ""
    max_divergence_us: int | None = None
    granularity_us: int | None = None
    years_eu: int | None = None
    years_cn: int | None = None
    fine_min_minor: int | None = None
    fine_max_minor: int | None = None


class SurveillancePattern(Table, frozen=True, kw_only=True):
    """What a watch looks for."""

    id: str
    signal: str
    sources: tuple[str, ...] = ()


class MarketFact(Rule, frozen=True, kw_only=True):
    """Figures of real markets, for the shape of loads."""

    id: str
    trading_days: int | None = None
    volume_t: int | None = None
    value_minor: int | None = None
    avg_price_minor: int | None = None
    year_close_minor: int | None = None
    entities: int | None = None
    one_way_auctions: int | None = None
    obligation_t: int | None = None
    surrendered_bp: int | None = None
    share_of_year_bp: int | None = None
    turnover_below_bp: int | None = None
    burst_months_before_deadline: int | None = None
    offered_t: int | None = None
    clearing_price_minor: int | None = None
    lots: int | None = None


class Vector(Table, frozen=True, kw_only=True):
    """A case with its expected end: what the function named makes of the input."""

    id: str
    function: str
    input: dict[str, Any]
    expected: dict[str, Any]
    sources: tuple[str, ...] = ()
    note: str = ""
