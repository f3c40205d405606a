"""Brokers come in, and hear back: reads `intake.*`, `events`, `registry`, `marketdata`, `alerts`;
writes `orders` and `reports.*`.

`service.py` starts it all. A request goes `app.py` (REST), `sessions.py` (WebSocket) or `intake.py`
(Kafka) -> `identity.py`, `roles.py`, `throttle.py` -> `order_entry.py` -> `submitter.py` ->
`orders`. What the engine says comes back through `venue_view.py`; the public feed is `feed.py`.
"""
