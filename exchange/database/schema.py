"""Every table. Money in minor units, quantities in tonnes, times in ns UTC, all integers.

`market` is the partition number of the market. Event numbers, settlement numbers and instruction
ids are positions in the log, so every row can be followed to its cause. The tables fall in three:

    settlement   settlement_position, trade, transfer, posting, balance, settlement_outbox
    registry     registry_position, programme, registry_account, project, block, block_history,
                 deposit, holding, compliance_year, emissions, allocation, assessment, surrender,
                 surrender_credit, carry_over_application, carry_over, cancellation, encumbrance,
                 reversal_proposal, reversal, account_act, waiting_transfer, offset_surrender,
                 credit_hold, refusal, registry_outbox, registry_message
    operations   reconciliation, opening_override: what people and watches found and did, which is
                 no function of the log
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

RETIRED = "block_history.kind IN (4, 5) AND +block_history.market = :market"
"""SURRENDERED and CANCELLED, as the partial index has it: parameters would not find it. With the
plus, SQLite does not go through all of a market's history by the primary key instead."""

METADATA = MetaData(
    naming_convention={
        "pk": "%(table_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
        "ix": "%(table_name)s_%(column_0_N_name)s",
    }
)


def _key(name: str, kind: Any = BigInteger) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False)


def _value(name: str, kind: Any = BigInteger) -> Column[Any]:
    return Column(name, kind, nullable=False)


def _maybe(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=True)


def _table(name: str, *parts: Any) -> Table:
    # Without a rowid a SQLite table is its primary key's tree: one insert instead of two.
    return Table(name, METADATA, *parts, sqlite_with_rowid=False)


def _some(condition: str, *columns: str) -> Index:
    """An index to the rows for which the condition holds; a query has to say it literally."""
    return Index(None, *columns, sqlite_where=text(condition), postgresql_where=text(condition))


settlement_position = _table(
    "settlement_position",
    _key("market", SmallInteger),
    _value("topic_offset"),  # of `events`: where to read on
    _value("input_offset"),  # of `orders`: the next one expected
    _value("part", Integer),
    _value("next_event"),
    _value("chain", LargeBinary),
    _value("carry", LargeBinary),  # events whose group ends in the next part
    _value("number"),  # of the next record of `settlements`
    _value("published"),  # records of `settlements` known to be on the topic
    _value("time_ns"),
)

trade = _table(
    "trade",
    _key("market", SmallInteger),
    _key("trade_id"),  # event number of the maker's fill
    _value("instrument_id", Integer),
    _value("quantity"),
    _value("price"),
    _value("buyer_account"),
    _value("seller_account"),
    _value("buyer_fee"),
    _value("seller_fee"),
    _value("buyer_order_id"),
    _value("seller_order_id"),
    _value("time_ns"),
    CheckConstraint("quantity > 0 AND price > 0", name="positive"),
)

transfer = _table(
    "transfer",
    _key("market", SmallInteger),
    _key("event_number"),  # the cause of its postings
    _value("account"),
    _value("asset", Integer),  # 0 = the market's cash, else the instrument
    _value("amount"),  # came in; negative: went out
    _value("transfer_id"),  # of the instruction or of the operator's request
    _value("time_ns"),
    CheckConstraint("amount <> 0", name="not_empty"),
)

posting = _table(
    "posting",
    _key("market", SmallInteger),
    _key("event_number"),  # the cause
    _key("leg", SmallInteger),  # an `exchange.ledger.Leg`
    _value("account"),
    _value("asset", Integer),  # 0 = the market's cash, else the instrument
    _value("amount"),
    CheckConstraint("amount <> 0", name="not_empty"),
)

balance = _table(
    "balance",
    _key("market", SmallInteger),
    _key("account"),  # negative: the venue's own accounts of `exchange.ledger`
    _key("asset", Integer),
    _value("amount"),
    CheckConstraint("account < 0 OR amount >= 0", name="not_overdrawn"),
)

settlement_outbox = _table(
    "settlement_outbox",
    _key("market", SmallInteger),
    _key("number"),
    _value("value", LargeBinary),
)

registry_position = _table(
    "registry_position",
    _key("market", SmallInteger),
    _value("topic_offset"),  # of `settlements`: where to read on
    _value("settlement_number"),  # the next one expected
    _value("number"),  # of the next record of `registry`
    _value("published"),
    _value("deposit_ref"),  # last number given to a deposit
    _value("block_id"),  # last id given to a block
    _value("sequence"),  # last number given to a row of history
    _value("time_ns"),
    _value("message_ref"),  # last number given to a message to a registry
    _value("messages_sent"),  # up to this number they are known to be on `orders`
)

programme = _table(
    "programme",
    _key("programme", String(16)),
    _value("market", SmallInteger),
    _value("next_serial"),
)

registry_account = _table(
    "registry_account",
    _key("market", SmallInteger),
    _key("account"),
    _value("participant"),
    _value("settlement_number"),
)

block = _table(
    "block",
    _key("market", SmallInteger),
    _key("block_id"),
    _value("programme", String(16)),
    _value("first_serial"),
    _value("last_serial"),  # inclusive
    _value("instrument_id", Integer),
    _value("vintage", Integer),
    _value("account"),
    _value("position", SmallInteger),  # a `blocks.Position`
    _value("state", SmallInteger),  # a `blocks.State`
    _value("acquired"),  # settlement number at which it came to this place
    _value("lender"),  # PLEDGED: the account to which; PENDING: by which instruction; else 0
    _value("project", Integer),  # of credits: its number; 0 = not stated
    _value("period_from", Integer),  # YYYYMMDD, first day of the reductions; 0 = not stated
    _value("period_to", Integer),  # the last
    CheckConstraint("first_serial >= 1 AND first_serial <= last_serial", name="range"),
    CheckConstraint("(position IN (4, 5)) = (lender <> 0)", name="pledged"),
    Index(None, "programme", "first_serial", unique=True),
)

project = _table(
    "project",
    _key("market", SmallInteger),
    _key("project", Integer),
    _value("programme", String(16)),
    _value("account"),  # of its owner
    _value("instruction_id"),
    _value("details", Text),  # a `messages.registry.ProjectDetails` in JSON
    _value("time_ns"),
)

block_history = _table(
    "block_history",
    _key("market", SmallInteger),
    _key("sequence"),
    _value("settlement_number"),
    _value("time_ns"),
    _value("kind", SmallInteger),  # a `blocks.HistoryKind`
    _value("block_id"),
    _value("programme", String(16)),
    _value("first_serial"),
    _value("last_serial"),
    _value("from_account"),
    _value("from_position", SmallInteger),
    _value("to_account"),
    _value("to_position", SmallInteger),
    _value("cause", String(16)),
    _value("cause_id"),
    _value("left_block"),  # a split: the two blocks that follow; else 0
    _value("right_block"),
    Index(None, "block_id"),
    _some("kind = 1", "programme", "first_serial"),
    _some("kind IN (4, 5)", "cause_id"),
    _some("left_block <> 0", "left_block"),
)

holding = _table(
    "holding",
    _key("market", SmallInteger),
    _key("account"),
    _key("instrument_id", Integer),
    _key(
        "position", SmallInteger
    ),  # a `blocks.Position`; PLEDGED to whomever, PENDING for whatever
    _key("time_ns"),  # never falls from one settlement record to the next
    _key("settlement_number"),
    _value("quantity"),  # tonnes there from this settlement record on, until the next row
    CheckConstraint("quantity >= 0", name="not_negative"),
)

deposit = _table(
    "deposit",
    _key("market", SmallInteger),
    _key("ref"),  # dense; `ref` of the command on `orders`
    _value("instruction_id"),
    _value("account"),
    _value("instrument_id", Integer),
    _value("quantity"),
    _value("confirmed", SmallInteger),  # 1 when the engine's deposit came back
)

compliance_year = _table(
    "compliance_year",
    _key("market", SmallInteger),
    _key("account"),
    _key("scheme", String(32)),
    _key("year", Integer),
    _value("sector", Text),
    _maybe("reported"),  # null: not yet
    _value("reported_by", Text),  # a key
    _maybe("verified"),
    _maybe("provisional"),  # allocated first
    _maybe("final"),  # allocated in the end, relief included
    _value("deducted"),  # of it, for a shortfall of the year before
    _value("carried_in"),  # owed from the year before
    _value("added"),  # owed besides
    _maybe("shortfall"),  # null: not assessed
    _value("closed"),  # of what is owed: carried to the next year, or deducted there
    _value("deduction"),  # still to come off the next year's allocation
    _value("conditional"),  # the same, but no more than what is not made good by then
    CheckConstraint(
        "reported >= 0 AND verified >= 0 AND provisional >= 0 AND final >= 0 AND shortfall >= 0",
        name="figures",
    ),
    CheckConstraint(
        "deducted >= 0 AND carried_in >= 0 AND added >= 0 AND closed >= 0 AND deduction >= 0 "
        "AND conditional >= 0",
        name="not_negative",
    ),
    CheckConstraint("verified IS NULL OR reported IS NOT NULL", name="reported_first"),
)

emissions = _table(
    "emissions",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("kind", SmallInteger),  # a `frames.Instruction`: reported or verified
    _value("account"),
    _value("scheme", String(32)),
    _value("year", Integer),
    _value("quantity"),
    _value("given_by", Text),  # a key
    _value("participant"),  # a verifier's; 0: the emitter's own report
    _value("is_late", SmallInteger),
    _value("time_ns"),
    CheckConstraint("quantity >= 0", name="not_negative"),
    Index(None, "market", "account", "scheme", "year"),
)

allocation = _table(
    "allocation",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("account"),
    _value("instrument_id", Integer),
    _value("scheme", String(32)),
    _value("year", Integer),
    _value("stage", String(16)),
    _value("method", String(32)),
    _value("sector", Text),
    _value("base"),  # of a provisional one; 0: the rules name none
    _value("quantity"),  # as decided
    _value("relief"),  # what a shortage adds
    _value("deducted"),
    _value("issued"),
    _value("returned"),  # taken back of the provisional one
    _value("added"),  # to be taken back, but gone: owed besides the emissions
    _value("rule", String(64)),
    _value("given_by", Text),
    _value("is_late", SmallInteger),
    _value("time_ns"),
    CheckConstraint("quantity >= 0 AND issued >= 0 AND returned >= 0", name="not_negative"),
    Index(None, "market", "account", "scheme", "year", "stage", unique=True),
)

assessment = _table(
    "assessment",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("account"),
    _value("scheme", String(32)),
    _value("year", Integer),
    _value("obligation"),
    _value("surrendered"),
    _value("shortfall"),
    _value("average_price"),  # minor units; 0: the fine needs none
    _value("fine_min"),  # minor units
    _value("fine_max"),
    _value("carried"),  # owed with the next year
    _value("instruments_due"),
    _value("forced"),  # surrendered by force
    _value("deduction"),  # from the next allocation
    _value("condition", Text),
    _value("consequence", Text),
    _value("due", String(10)),  # the last day for surrender, ISO
    _value("rule", String(64)),
    _value("given_by", Text),
    _value("time_ns"),
    CheckConstraint("shortfall >= 0 AND fine_min <= fine_max", name="sound"),
    Index(None, "market", "account", "scheme", "year", unique=True),
)

carry_over_application = _table(
    "carry_over_application",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("account"),
    _value("instrument_id", Integer),  # of the new vintage
    _value("quantity"),
    _value("most"),  # what the rule allows, from:
    _value("sold"),
    _value("bought"),
    _value("position"),  # at the rule's instant
    _value("process_by", String(10)),
    _value("rule", String(64)),
    _value("given_by", Text),
    _value("time_ns"),
    CheckConstraint("quantity > 0 AND quantity <= most", name="within"),
)

carry_over = _table(
    "carry_over",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("application_id"),
    _value("account"),
    _value("instrument_id", Integer),
    _value("quantity"),
    _value("given_by", Text),
    _value("is_late", SmallInteger),
    _value("time_ns"),
    CheckConstraint("quantity > 0", name="positive"),
    Index(None, "market", "application_id", unique=True),
)

surrender = _table(
    "surrender",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("account"),
    _value("instrument_id", Integer),
    _value("scheme", String(32)),
    _value("year", Integer),
    _value("rule", String(64)),  # "" for allowances
    _value("quantity"),
    _value("time_ns"),
    _value("is_late", SmallInteger),  # after the last day for the year
    CheckConstraint("quantity > 0", name="positive"),
    Index(None, "market", "account", "scheme", "year"),
)

surrender_credit = _table(
    "surrender_credit",
    _key("market", SmallInteger),
    _key("instruction_id"),  # of the surrender
    _key("project", Integer),  # 0 = not stated
    _value("quantity"),
    CheckConstraint("quantity > 0", name="positive"),
)

cancellation = _table(
    "cancellation",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("account"),
    _value("instrument_id", Integer),
    _value("quantity"),
    _value("beneficiary", Text),
    _value("reason", Text),
    _value("time_ns"),
    CheckConstraint("quantity > 0", name="positive"),
)

encumbrance = _table(
    "encumbrance",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("kind", SmallInteger),  # a `frames.Instruction`
    _value("account"),  # the owner
    _value("lender"),  # 0: frozen, not pledged
    _value("instrument_id", Integer),
    _value("quantity"),
    _value("given_by", Text),  # the key
    _value("reference", Text),
    _value("time_ns"),
    CheckConstraint("quantity > 0", name="positive"),
)

reversal_proposal = _table(
    "reversal_proposal",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("original"),  # the instruction to be reversed
    _value("account"),
    _value("instrument_id", Integer),
    _value("quantity"),
    _value("proposed_by", Text),  # a key
    _value("reason", Text),
    _value("time_ns"),
)

reversal = _table(
    "reversal",
    _key("market", SmallInteger),
    _key("instruction_id"),  # of the approval
    _value("original"),
    _value("proposal"),
    _value("account"),
    _value("instrument_id", Integer),
    _value("quantity"),
    _value("proposed_by", Text),
    _value("approved_by", Text),
    _value("reason", Text),
    _value("time_ns"),
    CheckConstraint("proposed_by <> approved_by", name="by_two"),
    Index(None, "market", "original", unique=True),
)

account_act = _table(
    "account_act",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("kind", SmallInteger),  # a `frames.Instruction`
    _value("account"),
    _value("other"),  # the trusted or bound account; of a type: 1 = transfers need two persons
    _value("given_by", Text),  # the key
    _value("text", Text),  # the type, the representative's key, the reference or the market
    _value("eutl_code", String(16)),
    _value("effective_ns"),
    _value("time_ns"),
)

waiting_transfer = _table(
    "waiting_transfer",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("account"),
    _value("to_account"),
    _value("instrument_id", Integer),
    _value("quantity"),
    _value("state", SmallInteger),  # a `standings.TransferState`
    _value("given_by", Text),  # a key
    _value("approved_by", Text),  # another one; "" = nobody had to
    _value("due_ns"),  # carried out then, or forgotten when nobody approved it
    _value("cancel_until_ns"),
    _value("text", Text),  # why it was stopped
    _value("time_ns"),
    _value("ended_ns"),
    CheckConstraint("quantity > 0", name="positive"),
    CheckConstraint("approved_by = '' OR approved_by <> given_by", name="by_two"),
    _some("state IN (1, 2)", "market"),
)

offset_surrender = _table(
    "offset_surrender",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("account"),
    _value("instrument_id", Integer),
    _value("scheme", String(32)),
    _value("year", Integer),
    _value("rule", String(64)),
    _value("quantity"),
    _value("credit_market", Text),
    _value("credit_account"),
    _value("state", SmallInteger),  # a `saga.AllowanceState`
    _value("is_counted", SmallInteger),  # 1: against the obligation and the cap
    _value("reason", Integer),  # why it fails
    _value("text", Text),
    _value("deadline_ns"),
    _value("time_ns"),
    CheckConstraint("quantity > 0", name="positive"),
    CheckConstraint(
        "state = 3 OR is_counted = CASE WHEN state IN (2, 4) THEN 1 ELSE 0 END", name="counted"
    ),
    _some("state IN (1, 2, 3)", "market"),
)

credit_hold = _table(
    "credit_hold",
    _key("market", SmallInteger),
    _key("origin", String(16)),  # market of the surrender
    _key("surrender_id"),  # its instruction id there
    _value("surrender_account"),
    _value("surrender_instrument", Integer),
    _value("account"),
    _value("instrument_id", Integer),
    _value("quantity"),
    _value("state", SmallInteger),  # a `saga.CreditState`
    _value("hold_id"),  # the request that froze the credits
    _value("reason", Integer),
    _value("text", Text),
    _value("time_ns"),
    _some("state = 1", "market"),
)

refusal = _table(
    "refusal",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("account"),
    _value("reason", Integer),
    _value("text", Text),
    _value("rule", String(64)),
    _value("source", Text),
    _value("time_ns"),
)

registry_outbox = _table(
    "registry_outbox",
    _key("market", SmallInteger),
    _key("number"),
    _value("value", LargeBinary),
)

registry_message = _table(
    "registry_message",
    _key("market", SmallInteger),
    _key("ref"),  # dense; `ref` of the command on `orders`
    _value("target", SmallInteger),  # the market whose `orders`
    _value("kind", SmallInteger),  # a `frames.Instruction`
    _value("account"),
    _value("instrument_id", Integer),
    _value("quantity"),
    _value("argument"),
    _value("notes", Text),
)

reconciliation = _table(
    "reconciliation",
    _key("market", SmallInteger),
    _key("time_ns"),  # wall clock; one for all checks of a look
    _key("check_name", String(64)),
    _value("trading_date", Integer),  # YYYYMMDD of the engine at `input_offset`; 0 before the first
    _value("input_offset"),  # of `orders`: where the books were compared
    _value("breaks"),
    _value("figures", Text),
    CheckConstraint("breaks >= 0", name="not_negative"),
)

opening_override = _table(
    "opening_override",
    _key("market", SmallInteger),
    _key("time_ns"),
    _value("trading_date", Integer),
    _value("key_id", String(64)),  # whose request it was
    _value("ref"),
    _value("name", Text),  # who answers for it
    _value("reason", Text),
    _value("refused", Integer),  # the `DayReason` that it set aside
    _value("detail", Text),
)

APPEND_ONLY = (
    trade,
    transfer,
    posting,
    block_history,
    holding,
    project,
    emissions,
    allocation,
    assessment,
    surrender,
    surrender_credit,
    carry_over_application,
    carry_over,
    cancellation,
    encumbrance,
    reversal_proposal,
    reversal,
    account_act,
    refusal,
    reconciliation,
    opening_override,
)
"""Tables whose rows the database refuses to change or delete."""

SETTLEMENT_TABLES = (trade, transfer, posting, balance)
REGISTRY_TABLES = (
    programme,
    registry_account,
    project,
    block,
    block_history,
    holding,
    deposit,
    compliance_year,
    emissions,
    allocation,
    assessment,
    surrender,
    surrender_credit,
    carry_over_application,
    carry_over,
    cancellation,
    encumbrance,
    reversal_proposal,
    reversal,
    account_act,
    waiting_transfer,
    offset_surrender,
    credit_hold,
    refusal,
)
