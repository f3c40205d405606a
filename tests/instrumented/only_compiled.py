"""A plugin for the runs on watched builds: only the compiled engine runs there.

Tests that run the reference alone are left out. Where a test holds both engines against each other,
another compiled one stands in for the reference: what the two say is compared by `make test` on
the usual build, and here the time would go to an engine which there is nothing to watch in.
"""

from __future__ import annotations

import pytest

from matching import compiled, reference
from tests.matching import conftest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    found: dict[bool, list[pytest.Item]] = {False: [], True: []}
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        found[parameters.get("engine_type") == "reference"].append(item)
    items[:] = found[False]
    config.hook.pytest_deselected(items=found[True])


def pytest_collection_finish() -> None:
    reference.Engine = compiled.Engine  # type: ignore[assignment,misc]
    conftest.ENGINES["reference"] = compiled.Engine
