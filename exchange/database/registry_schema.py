"""The registry's tables: blocks and their history, compliance years, accounts, what waits."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    text,
)

from exchange.database.table_parts import by_two, key, maybe, some, table, value

RETIRED = "block_history.kind IN (4, 5) AND +block_history.market = :market"
"""SURRENDERED and CANCELLED, as the partial index has it: parameters would not find it. With the
plus, SQLite does not go through all of a market's history by the primary key instead."""

LIVES = "block.state = 1 AND +block.market = :market"
"""HELD, as the partial index of the blocks has it, and the plus as in `RETIRED`."""

registry_position = table(
    "registry_position",
    key("market", SmallInteger),
    value("topic_offset"),  # of `settlements`: where to read on
    value("settlement_number"),  # the next one expected
    value("number"),  # of the next record of `registry`
    value("published"),
    value("deposit_ref"),  # last number given to a deposit
    value("block_id"),  # last id given to a block
    value("sequence"),  # last number given to a row of history
    value("time_ns"),
    value("message_ref"),  # last number given to a message to a registry
    value("messages_sent"),  # up to this number they are known to be on `orders`
)

programme = table(
    "programme",
    key("programme", String(16)),
    value("market", SmallInteger),
    value("next_serial"),
)

registry_account = table(
    "registry_account",
    key("market", SmallInteger),
    key("account"),
    value("participant"),
    value("settlement_number"),
)

block = table(
    "block",
    key("market", SmallInteger),
    key("block_id"),
    value("programme", String(16)),
    value("first_serial"),
    value("last_serial"),  # inclusive
    value("instrument_id", Integer),
    value("vintage", Integer),
    value("account"),
    value("position", SmallInteger),  # a `blocks.Position`
    value("state", SmallInteger),  # a `blocks.State`
    value("acquired"),  # settlement number at which it came to this place
    value("lender"),  # PLEDGED: to which account; FROZEN: for which; PENDING: which instruction
    value("project", Integer),  # of credits: its number; 0 = not stated
    value("period_from", Integer),  # YYYYMMDD, first day of the reductions; 0 = not stated
    value("period_to", Integer),  # the last
    CheckConstraint("first_serial >= 1 AND first_serial <= last_serial", name="range"),
    CheckConstraint("position = 3 OR (position IN (4, 5)) = (lender <> 0)", name="pledged"),
    Index(None, "programme", "first_serial", unique=True),
    Index(
        "block_by_place",  # oldest first, of those that live: `LIVES`
        "account",
        "market",
        "position",
        "instrument_id",
        "acquired",
        "first_serial",
        sqlite_where=text("state = 1"),
        postgresql_where=text("state = 1"),
    ),
)

project = table(
    "project",
    key("market", SmallInteger),
    key("project", Integer),
    value("programme", String(16)),
    value("account"),  # of its owner
    value("instruction_id"),
    value("details", Text),  # a `messages.registry.ProjectDetails` in JSON
    value("time_ns"),
)

block_history = table(
    "block_history",
    key("market", SmallInteger),
    key("sequence"),
    value("settlement_number"),
    value("time_ns"),
    value("kind", SmallInteger),  # a `blocks.HistoryKind`
    value("block_id"),
    value("programme", String(16)),
    value("first_serial"),
    value("last_serial"),
    value("from_account"),
    value("from_position", SmallInteger),
    value("to_account"),
    value("to_position", SmallInteger),
    value("cause", String(16)),
    value("cause_id"),
    value("left_block"),  # a split: the two blocks that follow; else 0
    value("right_block"),
    value("node"),  # `blocks.node_of` its range
    some("kind = 1", "programme", "first_serial"),
    some("kind IN (4, 5)", "cause_id"),
    Index("block_history_by_first", "programme", "node", "first_serial", "sequence"),
    Index("block_history_by_last", "programme", "node", "last_serial", text("sequence DESC")),
)

holding = table(
    "holding",
    key("market", SmallInteger),
    key("account"),
    key("instrument_id", Integer),
    key("position", SmallInteger),  # a `blocks.Position`; PLEDGED to whomever, PENDING for whatever
    key("time_ns"),  # never falls from one settlement record to the next
    key("settlement_number"),
    value("quantity"),  # tonnes there from this settlement record on, until the next row
    CheckConstraint("quantity >= 0", name="not_negative"),
)

deposit = table(
    "deposit",
    key("market", SmallInteger),
    key("ref"),  # dense; `ref` of the command on `orders`
    value("instruction_id"),
    value("account"),
    value("instrument_id", Integer),
    value("quantity"),
    value("confirmed", SmallInteger),  # 1 when the engine's deposit came back
)

compliance_year = table(
    "compliance_year",
    key("market", SmallInteger),
    key("account"),
    key("scheme", String(32)),
    key("year", Integer),
    value("sector", Text),
    maybe("reported"),  # null: not yet
    value("reported_by", Text),  # a key
    maybe("verified"),
    maybe("provisional"),  # allocated first
    maybe("final"),  # allocated in the end, relief included
    value("deducted"),  # of it, for a shortfall of the year before
    value("carried_in"),  # owed from the year before
    value("added"),  # owed besides
    maybe("shortfall"),  # null: not assessed
    value("closed"),  # of what is owed: carried to the next year, or deducted there
    value("deduction"),  # still to come off the next year's allocation
    value("conditional"),  # the same, but no more than what is not made good by then
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

emissions = table(
    "emissions",
    key("market", SmallInteger),
    key("instruction_id"),
    value("kind", SmallInteger),  # a `frames.Instruction`: reported or verified
    value("account"),
    value("scheme", String(32)),
    value("year", Integer),
    value("quantity"),
    value("given_by", Text),  # a key
    value("participant"),  # a verifier's; 0: the emitter's own report
    value("is_late", SmallInteger),
    value("time_ns"),
    CheckConstraint("quantity >= 0", name="not_negative"),
    Index(None, "market", "account", "scheme", "year"),
)

allocation = table(
    "allocation",
    key("market", SmallInteger),
    key("instruction_id"),
    value("account"),
    value("instrument_id", Integer),
    value("scheme", String(32)),
    value("year", Integer),
    value("stage", String(16)),
    value("method", String(32)),
    value("sector", Text),
    value("base"),  # of a provisional one; 0: the rules name none
    value("quantity"),  # as decided
    value("relief"),  # what a shortage adds
    value("deducted"),
    value("issued"),
    value("returned"),  # taken back of the provisional one
    value("added"),  # to be taken back, but gone: owed besides the emissions
    value("rule", String(64)),
    value("given_by", Text),
    value("is_late", SmallInteger),
    value("time_ns"),
    CheckConstraint("quantity >= 0 AND issued >= 0 AND returned >= 0", name="not_negative"),
    Index(None, "market", "account", "scheme", "year", "stage", unique=True),
)

assessment = table(
    "assessment",
    key("market", SmallInteger),
    key("instruction_id"),
    value("account"),
    value("scheme", String(32)),
    value("year", Integer),
    value("obligation"),
    value("surrendered"),
    value("shortfall"),
    value("average_price"),  # minor units; 0: the fine needs none
    value("fine_min"),  # minor units
    value("fine_max"),
    value("carried"),  # owed with the next year
    value("instruments_due"),
    value("forced"),  # surrendered by force
    value("deduction"),  # from the next allocation
    value("condition", Text),
    value("consequence", Text),
    value("due", String(10)),  # the last day for surrender, ISO
    value("rule", String(64)),
    value("given_by", Text),
    value("time_ns"),
    CheckConstraint("shortfall >= 0 AND fine_min <= fine_max", name="sound"),
    Index(None, "market", "account", "scheme", "year", unique=True),
)

carry_over_application = table(
    "carry_over_application",
    key("market", SmallInteger),
    key("instruction_id"),
    value("account"),
    value("instrument_id", Integer),  # of the new vintage
    value("quantity"),
    value("most"),  # what the rule allows, from:
    value("sold"),
    value("bought"),
    value("position"),  # at the rule's instant
    value("process_by", String(10)),
    value("rule", String(64)),
    value("given_by", Text),
    value("time_ns"),
    CheckConstraint("quantity > 0 AND quantity <= most", name="within"),
)

carry_over = table(
    "carry_over",
    key("market", SmallInteger),
    key("instruction_id"),
    value("application_id"),
    value("account"),
    value("instrument_id", Integer),
    value("quantity"),
    value("given_by", Text),
    value("is_late", SmallInteger),
    value("time_ns"),
    CheckConstraint("quantity > 0", name="positive"),
    Index(None, "market", "application_id", unique=True),
)

surrender = table(
    "surrender",
    key("market", SmallInteger),
    key("instruction_id"),
    value("account"),
    value("instrument_id", Integer),
    value("scheme", String(32)),
    value("year", Integer),
    value("rule", String(64)),  # "" for allowances
    value("quantity"),
    value("time_ns"),
    value("is_late", SmallInteger),  # after the last day for the year
    CheckConstraint("quantity > 0", name="positive"),
    Index(None, "market", "account", "scheme", "year"),
)

surrender_credit = table(
    "surrender_credit",
    key("market", SmallInteger),
    key("instruction_id"),  # of the surrender
    key("project", Integer),  # 0 = not stated
    value("quantity"),
    CheckConstraint("quantity > 0", name="positive"),
)

credit_entitlement = table(
    "credit_entitlement",
    key("market", SmallInteger),
    key("instruction_id"),
    value("account"),
    value("scheme", String(32)),
    value("applies_to", String(32)),  # the group of the rule
    value("base"),
    value("given_by", Text),
    value("time_ns"),
    CheckConstraint("base >= 0", name="not_negative"),
)

credit_exchange = table(
    "credit_exchange",
    key("market", SmallInteger),
    key("instruction_id"),
    key("project", Integer),  # 0 = not stated
    value("account"),
    value("scheme", String(32)),
    value("instrument_id", Integer),  # the credits
    value("allowance_id", Integer),  # what was issued for them
    value("vintage", Integer),
    value("quantity"),
    value("rule", String(64)),
    value("given_by", Text),
    value("time_ns"),
    CheckConstraint("quantity > 0", name="positive"),
)

cancellation = table(
    "cancellation",
    key("market", SmallInteger),
    key("instruction_id"),
    value("account"),
    value("instrument_id", Integer),
    value("quantity"),
    value("beneficiary", Text),
    value("reason", Text),
    value("time_ns"),
    CheckConstraint("quantity > 0", name="positive"),
)

encumbrance = table(
    "encumbrance",
    key("market", SmallInteger),
    key("instruction_id"),
    value("kind", SmallInteger),  # a `frames.Instruction`
    value("account"),  # the owner
    value("lender"),  # or for whom it was held; 0: frozen
    value("instrument_id", Integer),
    value("quantity"),
    value("given_by", Text),  # the key
    value("reference", Text),
    value("time_ns"),
    CheckConstraint("quantity > 0", name="positive"),
)

reversal_proposal = table(
    "reversal_proposal",
    key("market", SmallInteger),
    key("instruction_id"),
    value("original"),  # the instruction to be reversed
    value("account"),
    value("instrument_id", Integer),
    value("quantity"),
    value("proposed_by", Text),  # as `reference.signers` writes it
    value("reason", Text),
    value("time_ns"),
)

reversal = table(
    "reversal",
    key("market", SmallInteger),
    key("instruction_id"),  # of the approval
    value("original"),
    value("proposal"),
    value("account"),
    value("instrument_id", Integer),
    value("quantity"),
    value("proposed_by", Text),
    value("approved_by", Text),
    value("reason", Text),
    value("time_ns"),
    *by_two("proposed_by", "approved_by"),
    Index(None, "market", "original", unique=True),
)

account_act = table(
    "account_act",
    key("market", SmallInteger),
    key("instruction_id"),
    value("kind", SmallInteger),  # a `frames.Instruction`
    value("account"),
    value("other"),  # the trusted or bound account; of a type: 1 = transfers need two persons
    value("given_by", Text),  # the key
    value("text", Text),  # the type, the representative's key, the reference or the market
    value("eutl_code", String(16)),
    value("effective_ns"),
    value("time_ns"),
)

waiting_transfer = table(
    "waiting_transfer",
    key("market", SmallInteger),
    key("instruction_id"),
    value("account"),
    value("to_account"),
    value("instrument_id", Integer),
    value("quantity"),
    value("state", SmallInteger),  # a `standings.TransferState`
    value("given_by", Text),  # as `reference.signers` writes it
    value("approved_by", Text),  # another person; "" = nobody had to
    value("due_ns"),  # carried out then, or forgotten when nobody approved it
    value("cancel_until_ns"),
    value("text", Text),  # why it was stopped
    value("time_ns"),
    value("ended_ns"),
    value("kind", SmallInteger),  # a `frames.Instruction`: a transfer, or an act for two persons
    value("argument"),  # the year of such an act
    value("notes", Text),  # what it says beside who gave it
    value("office", String(16)),  # for which it was given; '' = for the account
    CheckConstraint("quantity >= 0", name="not_negative"),
    *by_two("given_by", "approved_by", unless="approved_by = '' OR "),
    some("state IN (1, 2)", "market"),
)

net_sale = table(
    "net_sale",
    key("market", SmallInteger),
    key("account"),
    key("instrument_id", Integer),  # one whose rules cap what is sold
    value("quantity"),  # sold less bought, from the first record that this table knew
)

offset_surrender = table(
    "offset_surrender",
    key("market", SmallInteger),
    key("instruction_id"),
    value("account"),
    value("instrument_id", Integer),
    value("scheme", String(32)),
    value("year", Integer),
    value("rule", String(64)),
    value("quantity"),
    value("credit_market", Text),
    value("credit_account"),
    value("state", SmallInteger),  # a `saga.AllowanceState`
    value("is_counted", SmallInteger),  # 1: against the obligation and the cap
    value("reason", Integer),  # why it fails
    value("text", Text),
    value("deadline_ns"),
    value("time_ns"),
    value("project", Integer),  # of which credits are wanted; 0 = of any
    value("credits", Text),  # what is held there by project, as the message says it
    CheckConstraint("quantity > 0", name="positive"),
    CheckConstraint(
        "state = 3 OR is_counted = CASE WHEN state IN (2, 4) THEN 1 ELSE 0 END", name="counted"
    ),
    some("state IN (1, 2, 3)", "market"),
)

credit_hold = table(
    "credit_hold",
    key("market", SmallInteger),
    key("origin", String(16)),  # market of the surrender
    key("surrender_id"),  # its instruction id there
    value("surrender_account"),
    value("surrender_instrument", Integer),
    value("account"),
    value("instrument_id", Integer),
    value("quantity"),
    value("state", SmallInteger),  # a `saga.CreditState`
    value("hold_id"),  # the request that froze the credits
    value("reason", Integer),
    value("text", Text),
    value("time_ns"),
    value("retired_id"),  # the request that retired them, last; 0 = none
    value("credits", Text),  # of which projects, as the answer says it
    some("state = 1", "market"),
)

offset_reversal = table(
    "offset_reversal",
    key("market", SmallInteger),
    key("instruction_id"),  # of the approval
    value("original"),  # the surrender over two registries
    value("proposal"),
    value("account"),
    value("instrument_id", Integer),
    value("scheme", String(32)),
    value("year", Integer),
    value("quantity"),
    value("credit_market", Text),
    value("credit_account"),
    value("credits", Text),
    value("proposed_by", Text),
    value("approved_by", Text),
    value("why", Text),
    value("state", SmallInteger),  # a `saga.UndoState`
    value("reason", Integer),  # why it fails
    value("text", Text),
    value("deadline_ns"),
    value("time_ns"),
    CheckConstraint("quantity > 0", name="positive"),
    *by_two("proposed_by", "approved_by"),
    some("state IN (1, 2, 3)", "market"),
)

credit_return = table(
    "credit_return",
    key("market", SmallInteger),
    key("origin", String(16)),  # market of the surrender
    key("reversal_id"),  # the approval's instruction id there
    value("surrender_id"),
    value("surrender_account"),
    value("surrender_instrument", Integer),
    value("account"),
    value("instrument_id", Integer),
    value("quantity"),
    value("state", SmallInteger),  # a `saga.ReturnState`
    value("hold_id"),  # the request that restored the credits
    value("reason", Integer),
    value("text", Text),
    value("time_ns"),
    some("state = 1", "market"),
)

foreign_project = table(
    "foreign_project",
    key("market", SmallInteger),
    key("programme", String(16)),
    key("project", Integer),  # its number in the registry that keeps its credits
    value("project_type", Text),
    value("region", Text),
    value("flags", Text),  # by commas: those by which the rules count credits
)

refusal = table(
    "refusal",
    key("market", SmallInteger),
    key("instruction_id"),
    value("account"),
    value("reason", Integer),
    value("text", Text),
    value("rule", String(64)),
    value("source", Text),
    value("time_ns"),
)

registry_outbox = table(
    "registry_outbox",
    key("market", SmallInteger),
    key("number"),
    value("value", LargeBinary),
)

registry_message = table(
    "registry_message",
    key("market", SmallInteger),
    key("ref"),  # dense; `ref` of the command on `orders`
    value("target", SmallInteger),  # the market whose `orders`
    value("kind", SmallInteger),  # a `frames.Instruction`
    value("account"),
    value("instrument_id", Integer),
    value("quantity"),
    value("argument"),
    value("notes", Text),
)
