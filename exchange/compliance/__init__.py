"""The compliance year of an account: what to surrender, and what it costs.

It asks the rulebook and knows no topic and no database: whoever has the holdings hands them in.
"""

from exchange.compliance.plan import Chosen, Lot, PlanError, Refused, SurrenderPlan, plan_surrender

__all__ = ["Chosen", "Lot", "PlanError", "Refused", "SurrenderPlan", "plan_surrender"]
