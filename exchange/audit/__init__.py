"""Proofs that anyone can run: reads topics `orders` and `events`, writes nothing.

`verify` recomputes the whole history with an engine and compares it with what stands on `events`;
`replay` gives the state hash of a log, with either engine; `self_check` proves the holds at any
place of it; `reconcile` compares engine, ledger and
registry to the tonne and the cent.
"""

from __future__ import annotations

from exchange.audit.history import (
    Replayed,
    SelfChecked,
    Verification,
    compare_positions,
    replay,
    self_check,
    verify,
)
from exchange.audit.reconciliation import Books, Check, reconcile
from matching.protocol import EngineProtocol

__all__ = [
    "ENGINE_NAMES",
    "Books",
    "Check",
    "Replayed",
    "SelfChecked",
    "Verification",
    "compare_positions",
    "engine_named",
    "reconcile",
    "replay",
    "self_check",
    "verify",
]

ENGINE_NAMES = ("compiled", "reference")


def engine_named(name: str) -> type[EngineProtocol]:
    """The engine body of that name; ValueError names the known ones."""
    if name == "reference":
        from matching import reference

        return reference.Engine
    if name == "compiled":
        from matching import compiled

        return compiled.Engine
    raise ValueError(f"engine {name}: known are {', '.join(ENGINE_NAMES)}")
