"""Every rule is tested on both engines; the compiled one must really be the compiled one."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES

import pytest

from matching import compiled, reference
from matching.protocol import EngineProtocol

ENGINES: dict[str, type[EngineProtocol]] = {
    "reference": reference.Engine,
    "compiled": compiled.Engine,
}


@pytest.fixture(params=sorted(ENGINES))
def engine_type(request: pytest.FixtureRequest) -> type[EngineProtocol]:
    """Each engine in turn."""
    return ENGINES[request.param]


def pytest_report_header(config: pytest.Config) -> str:
    return f"compiled engine: {compiled.__file__}"


def pytest_sessionstart(session: pytest.Session) -> None:
    if not str(compiled.__file__).endswith(tuple(EXTENSION_SUFFIXES)):
        pytest.exit(f"{compiled.__file__} is no extension module", returncode=1)
