"""An old proposal is refused alike by who ran on and by who started anew."""

from __future__ import annotations

from exchange.messages.frames import Instruction
from exchange.messages.reasons import SettlementReason
from exchange.messages.settlement import InstructionPassed, SettlementItem, SettlementRefused
from exchange.settings import SETTLEMENT_PROPOSAL_DAYS_MAX
from exchange.settlement.cycle import TradeState
from exchange.settlement.open_trades import Loaded, OpenTrade, OpenTrades, Proposal, TradeTerms

DAY_NS = 86_400 * 10**9
FAILED = OpenTrade(TradeTerms(5, 1, 10, 100, 1, 2, 0, 0), int(TradeState.FAILED), 10 * DAY_NS)
LATER_NS = (100 + SETTLEMENT_PROPOSAL_DAYS_MAX + 1) * DAY_NS


def told(
    trades: OpenTrades, time_ns: int, number: int, kind: Instruction, argument: int, notes: str
) -> list[SettlementItem]:
    trades.pass_time(time_ns)
    return trades.hear(number, InstructionPassed(number, int(kind), 1, 1, 10, argument, "", notes))[
        0
    ]


def opened(proposals: list[Proposal]) -> OpenTrades:
    trades = OpenTrades({})
    trades.load(Loaded([FAILED], proposals, {}, 0))
    return trades


def test_a_later_proposal_does_not_make_an_old_one_unknown() -> None:
    running = opened([])
    propose, approve = Instruction.PROPOSE_TRADE_CANCEL, Instruction.APPROVE_TRADE_CANCEL
    told(running, 100 * DAY_NS, 7, propose, 5, "first\nwhy")
    told(running, LATER_NS, 8, propose, 5, "first\nagain")
    kept = running.take().proposals
    assert [proposal.instruction_id for proposal in kept] == [7, 8]
    found = [told(trades, LATER_NS, 9, approve, 7, "second") for trades in (running, opened(kept))]
    assert found[0] == found[1]
    (refused,) = found[0]
    assert isinstance(refused, SettlementRefused)
    assert refused.reason == SettlementReason.CANCEL_PROPOSAL_EXPIRED
