"""Every table. Money in minor units, quantities in tonnes, times in ns UTC, all integers.

`market` is the partition number of the market. Event numbers, settlement numbers and instruction
ids are positions in the log, so every row can be followed to its cause. The tables fall in three:

    settlement   settlement_position, trade, transfer, posting, balance, settlement_outbox,
                 settlement_instrument, settlement_account, settlement_participant,
                 trade_settlement, settlement_act, trade_cancel_proposal, trade_cancel_approval
    registry     registry_position, programme, registry_account, project, block, block_history,
                 deposit, holding, compliance_year, emissions, allocation, assessment, surrender,
                 surrender_credit, credit_entitlement, credit_exchange, carry_over_application,
                 carry_over, cancellation, encumbrance, reversal_proposal, reversal, account_act,
                 waiting_transfer, net_sale, offset_surrender, credit_hold, offset_reversal,
                 credit_return, foreign_project, refusal, registry_outbox, registry_message
    operations   reconciliation, opening_override: what people and watches found and did, which is
                 no function of the log
"""

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

from exchange.database.registry_schema import LIVES as LIVES
from exchange.database.registry_schema import RETIRED as RETIRED
from exchange.database.registry_schema import account_act as account_act
from exchange.database.registry_schema import allocation as allocation
from exchange.database.registry_schema import assessment as assessment
from exchange.database.registry_schema import block as block
from exchange.database.registry_schema import block_history as block_history
from exchange.database.registry_schema import cancellation as cancellation
from exchange.database.registry_schema import carry_over as carry_over
from exchange.database.registry_schema import carry_over_application as carry_over_application
from exchange.database.registry_schema import compliance_year as compliance_year
from exchange.database.registry_schema import credit_entitlement as credit_entitlement
from exchange.database.registry_schema import credit_exchange as credit_exchange
from exchange.database.registry_schema import credit_hold as credit_hold
from exchange.database.registry_schema import credit_return as credit_return
from exchange.database.registry_schema import deposit as deposit
from exchange.database.registry_schema import emissions as emissions
from exchange.database.registry_schema import encumbrance as encumbrance
from exchange.database.registry_schema import foreign_project as foreign_project
from exchange.database.registry_schema import holding as holding
from exchange.database.registry_schema import net_sale as net_sale
from exchange.database.registry_schema import offset_reversal as offset_reversal
from exchange.database.registry_schema import offset_surrender as offset_surrender
from exchange.database.registry_schema import programme as programme
from exchange.database.registry_schema import project as project
from exchange.database.registry_schema import refusal as refusal
from exchange.database.registry_schema import registry_account as registry_account
from exchange.database.registry_schema import registry_message as registry_message
from exchange.database.registry_schema import registry_outbox as registry_outbox
from exchange.database.registry_schema import registry_position as registry_position
from exchange.database.registry_schema import reversal as reversal
from exchange.database.registry_schema import reversal_proposal as reversal_proposal
from exchange.database.registry_schema import surrender as surrender
from exchange.database.registry_schema import surrender_credit as surrender_credit
from exchange.database.registry_schema import waiting_transfer as waiting_transfer
from exchange.database.table_parts import METADATA as METADATA
from exchange.database.table_parts import by_two, key, some, table, value

settlement_position = table(
    "settlement_position",
    key("market", SmallInteger),
    value("topic_offset"),  # of `events`: where to read on
    value("input_offset"),  # of `orders`: the next one expected
    value("part", Integer),
    value("next_event"),
    value("chain", LargeBinary),
    value("carry", LargeBinary),  # events whose group ends in the next part
    value("number"),  # of the next record of `settlements`
    value("published"),  # records of `settlements` known to be on the topic
    value("time_ns"),
)

trade = table(
    "trade",
    key("market", SmallInteger),
    key("trade_id"),  # event number of the maker's fill
    value("instrument_id", Integer),
    value("quantity"),
    value("price"),
    value("buyer_account"),
    value("seller_account"),
    value("buyer_fee"),
    value("seller_fee"),
    value("buyer_order_id"),
    value("seller_order_id"),
    value("time_ns"),
    CheckConstraint("quantity > 0 AND price > 0", name="positive"),
)

transfer = table(
    "transfer",
    key("market", SmallInteger),
    key("event_number"),  # the cause of its postings
    value("account"),
    value("asset", Integer),  # 0 = the market's cash, else the instrument
    value("amount"),  # came in; negative: went out
    value("transfer_id"),  # of the instruction or of the operator's request
    value("time_ns"),
    CheckConstraint("amount <> 0", name="not_empty"),
)

posting = table(
    "posting",
    key("market", SmallInteger),
    key("event_number"),  # the cause
    key("leg", SmallInteger),  # an `exchange.ledger.Leg`
    value("account"),
    value("asset", Integer),  # 0 = the market's cash, else the instrument
    value("amount"),
    CheckConstraint("amount <> 0", name="not_empty"),
)

balance = table(
    "balance",
    key("market", SmallInteger),
    key("account"),  # negative: the venue's own accounts of `exchange.ledger`
    key("asset", Integer),
    value("amount"),
    CheckConstraint("account < 0 OR amount >= 0", name="not_overdrawn"),
)

settlement_outbox = table(
    "settlement_outbox",
    key("market", SmallInteger),
    key("number"),
    value("value", LargeBinary),
)

settlement_instrument = table(
    "settlement_instrument",
    key("market", SmallInteger),
    key("instrument_id", Integer),
    value("resale", SmallInteger),  # a `frames.Resale`; SETTLED: its trades are settled later
)

settlement_account = table(
    "settlement_account",
    key("market", SmallInteger),
    key("account"),
    value("participant"),
    value("is_suspended", SmallInteger),  # the account itself
)

settlement_participant = table(
    "settlement_participant",  # those that were ever suspended
    key("market", SmallInteger),
    key("participant"),
    value("is_suspended", SmallInteger),
)

trade_settlement = table(
    "trade_settlement",  # trades that are settled later, and those that somebody cancels
    key("market", SmallInteger),
    key("trade_id"),
    value("state", SmallInteger),  # a `cycle.TradeState`
    value("due_ns"),  # the cut-off; 0: settled with the fill
    value("is_late", SmallInteger),
    value("since_ns"),
    value("ref"),  # of its last step for the engine; 0 = none
    value("instruction_id"),  # whose answer waits for it; 0 = nobody's
    value("account"),  # in whose name it came
    value("acts", Integer),
    CheckConstraint("ref <> 0 OR state NOT IN (2, 6, 8)", name="in_flight"),
    some("state IN (1, 2, 4, 6, 8)", "market", "state"),
    Index(
        None,
        "market",
        "ref",
        unique=True,
        sqlite_where=text("ref <> 0"),
        postgresql_where=text("ref <> 0"),
    ),
)

settlement_act = table(
    "settlement_act",
    key("market", SmallInteger),
    key("trade_id"),
    key("number", Integer),
    value("message", SmallInteger),  # a `cycle.Message`
    value("state_before", SmallInteger),
    value("state_after", SmallInteger),
    value("instruction_id"),  # 0: by time or by the engine
    value("event_number"),  # the engine's answer, the cause of the postings; else 0
    value("given_by", Text),  # the key
    value("reason", Text),
    value("time_ns"),
    Index(None, "market", "time_ns"),
    some("event_number <> 0", "market", "event_number"),
)

trade_cancel_proposal = table(
    "trade_cancel_proposal",
    key("market", SmallInteger),
    key("instruction_id"),
    value("trade_id"),
    value("proposed_by", Text),  # as `reference.signers` writes it
    value("reason", Text),
    value("time_ns"),
)

trade_cancel_approval = table(
    "trade_cancel_approval",
    key("market", SmallInteger),
    key("instruction_id"),
    value("trade_id"),
    value("proposal"),
    value("proposed_by", Text),
    value("approved_by", Text),
    value("reason", Text),
    value("time_ns"),
    *by_two("proposed_by", "approved_by"),
)

reconciliation = table(
    "reconciliation",
    key("market", SmallInteger),
    key("time_ns"),  # wall clock; one for all checks of a look
    key("check_name", String(64)),
    value("trading_date", Integer),  # YYYYMMDD of the engine at `input_offset`; 0 before the first
    value("input_offset"),  # of `orders`: where the books were compared
    value("breaks"),
    value("figures", Text),
    CheckConstraint("breaks >= 0", name="not_negative"),
)

opening_override = table(
    "opening_override",
    key("market", SmallInteger),
    key("time_ns"),
    value("trading_date", Integer),
    value("key_id", String(64)),  # whose request it was
    value("ref"),
    value("name", Text),  # who answers for it
    value("reason", Text),
    value("refused", Integer),  # the `DayReason` that it set aside
    value("detail", Text),
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
    project,
    emissions,
    allocation,
    assessment,
    surrender,
    surrender_credit,
    credit_entitlement,
    credit_exchange,
    carry_over_application,
    carry_over,
    cancellation,
    encumbrance,
    reversal_proposal,
    reversal,
    account_act,
    foreign_project,
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
    settlement_account,
    settlement_participant,
    trade_settlement,
    settlement_act,
    trade_cancel_proposal,
    trade_cancel_approval,
)
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
    credit_entitlement,
    credit_exchange,
    carry_over_application,
    carry_over,
    cancellation,
    encumbrance,
    reversal_proposal,
    reversal,
    account_act,
    waiting_transfer,
    net_sale,
    offset_surrender,
    credit_hold,
    offset_reversal,
    credit_return,
    foreign_project,
    refusal,
)
