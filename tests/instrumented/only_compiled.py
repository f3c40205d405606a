"""A plugin for the runs on watched builds: tests that run the reference alone are left out.

They never touch the compiled engine, so there is nothing to watch; `make test` runs them as they
are. Tests that hold both engines against each other stay.
"""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    found: dict[bool, list[pytest.Item]] = {False: [], True: []}
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        found[parameters.get("engine_type") == "reference"].append(item)
    items[:] = found[False]
    config.hook.pytest_deselected(items=found[True])
