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
        from matching import compiled
    except ImportError as error:
        raise ImportError(
            "matching.compiled is not built: run `python -m matching.build`, "
            "or set MATCHING_PURE=1 for the slow reference engine"
        ) from error
    Engine = compiled.Engine
else:
    from matching import reference

    Engine = reference.Engine
