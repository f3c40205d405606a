"""The executable specification of the matching engine: written for reading, never optimised.

Read `engine` first (frames in, events out), then `trading` (orders), `book`, `instruments`,
`accounts`, `administration` (everything else that may stand on the log), and `invariants`.
"""

from matching.reference.engine import Engine

__all__ = ["Engine"]
