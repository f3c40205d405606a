"""Proofs that anyone can run: reads topics `orders` and `events`, writes nothing.

`verify` recomputes the whole history with an engine and compares it with what stands on `events`;
`replay` gives the state hash of a log, with either engine; `reconcile` compares engine, ledger and
registry to the tonne and the cent.
"""

from __future__ import annotations

from exchange.audit.history import Replayed, Verification, compare_positions, replay, verify
from exchange.audit.reconciliation import Books, Check, reconcile

__all__ = [
    "Books",
    "Check",
    "Replayed",
    "Verification",
    "compare_positions",
    "reconcile",
    "replay",
    "verify",
]
