"""Market data: reads topic `events`, writes topic `marketdata`.

`depth` makes the public book from events, `checksum` is what subscribers compare, `service` writes
the topic, `book` is the other end: the local book of a feed, a client or a test. `bars` are the
minutes of a chart, `corrections` what a trade that went back changes.
"""

from __future__ import annotations
