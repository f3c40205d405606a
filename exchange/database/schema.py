"""Every table. Money in minor units, quantities in tonnes, times in ns UTC, all integers.

`market` is the partition number of the market. Event numbers, settlement numbers and instruction
ids are positions in the log, so every row can be followed to its cause. The tables fall in three:

    settlement   settlement_position, trade, transfer, posting, balance, settlement_outbox,
                 settlement_instrument, trade_settlement, settlement_act, trade_cancel_proposal,
                 trade_cancel_approval
    registry     registry_position, programme, registry_account, block, block_history, deposit,
                 holding, obligation, surrender, cancellation, encumbrance, reversal_proposal,
                 reversal, refusal, registry_outbox
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

settlement_instrument = _table(
    "settlement_instrument",
    _key("market", SmallInteger),
    _key("instrument_id", Integer),
    _value("resale", SmallInteger),  # a `frames.Resale`; SETTLED: its trades are settled later
)

trade_settlement = _table(
    "trade_settlement",  # trades that are settled later, and those that somebody cancels
    _key("market", SmallInteger),
    _key("trade_id"),
    _value("state", SmallInteger),  # a `cycle.TradeState`
    _value("due_ns"),  # the cut-off; 0: settled with the fill
    _value("is_late", SmallInteger),
    _value("since_ns"),
    _value("ref"),  # of its last step for the engine; 0 = none
    _value("instruction_id"),  # whose answer waits for it; 0 = nobody's
    _value("account"),  # in whose name it came
    _value("acts", Integer),
    CheckConstraint("ref <> 0 OR state NOT IN (2, 6, 8)", name="in_flight"),
    _some("state IN (1, 2, 4, 6, 8)", "market", "state"),
    Index(
        None,
        "market",
        "ref",
        unique=True,
        sqlite_where=text("ref <> 0"),
        postgresql_where=text("ref <> 0"),
    ),
)

settlement_act = _table(
    "settlement_act",
    _key("market", SmallInteger),
    _key("trade_id"),
    _key("number", Integer),
    _value("message", SmallInteger),  # a `cycle.Message`
    _value("state_before", SmallInteger),
    _value("state_after", SmallInteger),
    _value("instruction_id"),  # 0: by time or by the engine
    _value("event_number"),  # the engine's answer, the cause of the postings; else 0
    _value("given_by", Text),  # the key
    _value("reason", Text),
    _value("time_ns"),
    Index(None, "market", "time_ns"),
    _some("event_number <> 0", "market", "event_number"),
)

trade_cancel_proposal = _table(
    "trade_cancel_proposal",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("trade_id"),
    _value("proposed_by", Text),  # a key
    _value("reason", Text),
    _value("time_ns"),
)

trade_cancel_approval = _table(
    "trade_cancel_approval",
    _key("market", SmallInteger),
    _key("instruction_id"),
    _value("trade_id"),
    _value("proposal"),
    _value("proposed_by", Text),
    _value("approved_by", Text),
    _value("reason", Text),
    _value("time_ns"),
    CheckConstraint("proposed_by <> approved_by", name="by_two"),
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
    _value("lender"),  # PLEDGED: the account to which; else 0
    CheckConstraint("first_serial >= 1 AND first_serial <= last_serial", name="range"),
    CheckConstraint("(position = 4) = (lender <> 0)", name="pledged"),
    Index(None, "programme", "first_serial", unique=True),
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
    _key("position", SmallInteger),  # a `blocks.Position`; PLEDGED to whomever
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

obligation = _table(
    "obligation",
    _key("market", SmallInteger),
    _key("account"),
    _key("scheme", String(32)),
    _key("year", Integer),
    _value("quantity"),
    CheckConstraint("quantity >= 0", name="not_negative"),
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
    CheckConstraint("quantity > 0", name="positive"),
    Index(None, "market", "account", "scheme", "year"),
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
    settlement_act,
    trade_cancel_proposal,
    trade_cancel_approval,
    block_history,
    holding,
    surrender,
    cancellation,
    encumbrance,
    reversal_proposal,
    reversal,
    refusal,
    reconciliation,
    opening_override,
)
"""Tables whose rows the database refuses to change or delete."""

SETTLEMENT_TABLES = (
    trade,
    transfer,
    posting,
    balance,
    settlement_instrument,
    trade_settlement,
    settlement_act,
    trade_cancel_proposal,
    trade_cancel_approval,
)
REGISTRY_TABLES = (
    programme,
    registry_account,
    block,
    block_history,
    holding,
    deposit,
    obligation,
    surrender,
    cancellation,
    encumbrance,
    reversal_proposal,
    reversal,
    refusal,
)
