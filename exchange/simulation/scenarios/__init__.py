"""The scenario language: market situations as text, run on any engine.

A line is a command or a question, `->`, and what is heard. Events stand in their order, divided by
`;`, and every event must be named; of its details those that matter. `nothing` is no event. A line
which begins with `+` travels in the same frame as the line before. Prices and cash are decimals.

    instrument EUA tick 0.01 taker 10          opened, parameters set; also: account, phase
    new alice a1 sell 10 71.25 DAY             -> ACCEPTED a1 10 @71.25 hold 10
    new bob   b1 buy  12 market IOC            -> ACCEPTED; TRADE a1 10 @71.25; CANCELLED b1 2
    book EUA                                   -> empty

An order may carry terms and instructions, in any order, after its time in force; `stop` makes it a
STOP or a STOP_LIMIT, terms make an ORDER_TERMS record after it:

    new alice a2 sell 10 71.25 GTC display 2 POST_ONLY CANCEL_OLDEST
    new alice a3 sell 10 70.00 GTD stop 70.50 until 20261231
    replace alice a3 a4 8 70.00 stop 70.25 until 20261231
    quote alice q1 buy 5 70.00 sell 5 71.00     its orders are q1.buy and q1.sell
    mass_cancel account alice side buy          also: instrument, session, NON_PERSISTENT, BIDS_TOO
    pick bob b2 buy 5 71.25 a2                  a2 is the listing
    propose alice p1 sell 500 70.00 bob         then: confirm bob b3 buy 500 70.00 p1
    offer gov s1 sell 1000 UNIFORM AT_RANDOM    also: reserve, carry, bid_max, multiple, flags,
                                                seed 7 (one half of what draws among equals),
                                                closes 5000 (ms after the scenario's begin)
    bid bob b4 buy 500 70.00 s1                 then: clear s1 seed 9 reserve 69.00, or call_off s1
    phase CONTINUOUS EUA seed 7                 for a random end
    control alice stp_group 7                   also: control_participant 7 order_rate 5
    stops EUA -> buy a5 1 @70.00                the other queues are asked like the book

`type STOP` and `bits 0x50` say type and instructions as they are. An instrument that is not named
is the first. Before a command may stand `@5.12` (session 5, ref 12), `within 100` (valid for
100 ms), `late 200` (200 ms on its way). What follows `#` is a comment.

`words` reads lines, `commands` and `orders` make records of them, `heard` says in words what an
engine said and holds, `world` runs a scenario.
"""

from __future__ import annotations

from exchange.simulation.scenarios.words import LanguageError, ScenarioError
from exchange.simulation.scenarios.world import Machine, World

__all__ = ["LanguageError", "Machine", "ScenarioError", "World"]
