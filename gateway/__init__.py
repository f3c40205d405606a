"""Brokers come in, and hear back: reads `intake.*`, `events`, `registry`, `marketdata`, `alerts`;
writes `orders` and `reports.*`.

Folders in the order of a request: `access` (who it is, and what they may), the doors `rest` (with
`routes` and `replies`), `websocket`, `fix` and `entry.intake`, `entry` (what was asked becomes
commands on `orders`), `views` (what a gateway knows of the topics it follows). Beside them
`control` (what operators and the clock do), `console` (the page), `client` and `cli` (the members'
side), `demo` and `faults` (a venue in one process). `service.py` starts it all, `context.py` is
what every request can reach, `refusal.py` how it is refused.
"""
