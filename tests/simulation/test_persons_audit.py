"""`exchange verify` judges the operators of a venue under faults as the simulation does."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.audit import verify
from exchange.simulation.faults.auditor import Audit
from gateway.control.persons_audit import PersonsAudit
from gateway.faults.run import run_seed

MESSAGE_RATE = 100


@pytest.mark.parametrize("plant", ["", "one-person-loosens"])
def test_the_acts_of_a_seed_are_judged_alike(monkeypatch: pytest.MonkeyPatch, plant: str) -> None:
    """The second run has a bug planted in its gateways: one person loosens alone."""
    judged: list[PersonsAudit] = []
    audited = Audit.market

    async def market(self: Any, market: Any, hashes: Any) -> Any:
        seen = await audited(self, market, hashes)
        persons = PersonsAudit(self._venue, market, MESSAGE_RATE)
        found = await verify(self._log, market.partition, observer=persons)
        assert found.differences == ()
        judged.append(persons)
        return seen

    monkeypatch.setattr(Audit, "market", market)
    result = run_seed(2, plant)
    assert result.promise == ("P12" if plant else "")
    assert sum(persons.done for persons in judged) > 0
    told = [persons.difference for persons in judged if persons.difference]
    assert bool(told) == bool(plant)
    assert all("it took two persons, and one did it" in words for words in told)
