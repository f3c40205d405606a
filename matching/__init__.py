"""The matching engine: a pure function from frames of `orders` to records of `events`.

`protocol` says what an engine does, `layout` what the bytes mean, `snapshot` what the state is.
`Engine` is the compiled body; the environment variable MATCHING_PURE=1 chooses `reference`.
"""

from __future__ import annotations

import os

from matching.protocol import EngineProtocol, Limits

__all__ = ["COMPILED", "Engine", "EngineProtocol", "Limits"]

COMPILED: bool = os.environ.get("MATCHING_PURE") != "1"
Engine: type[EngineProtocol]

if COMPILED:
    try:
        from matching.compiled import Engine as CompiledEngine
    except ImportError as error:
        raise ImportError(
            "matching.compiled is not built: `pip install --editable .` builds it, "
            "MATCHING_PURE=1 chooses the slow reference engine"
        ) from error
    Engine = CompiledEngine
else:
    from matching.reference import Engine as ReferenceEngine

    Engine = ReferenceEngine
