"""The scenario language: market situations as text, run on any engine.

A line is a command or a question, `->`, and what is heard. Events stand in their order, divided by
`;`, and every event must be named; of its details those that matter. `nothing` is no event. A line
which begins with `+` travels in the same frame as the line before. Prices and cash are decimals.

    instrument EUA tick 0.01 taker 10          opened, parameters set; also: account, phase
    new alice a1 sell 10 71.25 DAY             -> ACCEPTED a1 10 @71.25 hold 10
    new bob   b1 buy  12 market IOC            -> ACCEPTED; TRADE a1 10 @71.25; CANCELLED b1 2
    book EUA                                   -> empty

Before a command may stand `@5.12` (session 5, ref 12), `within 100` (valid for 100 ms), `late 200`
(200 ms on its way). What follows `#` is a comment.

`words` reads lines, `commands` makes records of them, `heard` says in words what an engine said
and holds, `world` runs a scenario.
"""

from __future__ import annotations

from exchange.simulation.scenarios.words import LanguageError, ScenarioError
from exchange.simulation.scenarios.world import Machine, World

__all__ = ["LanguageError", "Machine", "ScenarioError", "World"]
