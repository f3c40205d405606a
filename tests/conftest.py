"""Says which matching engine is under test, and lets nothing pass by being left out."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from matching import COMPILED, Engine

# How long an example takes says how busy the machine is, no more.
settings.register_profile(
    "busy", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("busy")

LONGEST = (
    "instrumented/test_instrumented.py",
    "faults/test_venue_faults.py",
    "simulation/test_simulated_venue.py",
    "exchange/registry/test_two_reversals.py",
    "exchange/registry/test_two_registries.py",
    "deploy/test_access.py",
    "exchange/registry/test_registry_crashes.py",
    "exchange/registry/test_registry_service.py",
    "matching/test_bad_input.py",
    "matching/test_equivalence.py",
    "exchange/settlement/test_settlement_service.py",
    "exchange/log/test_log_kafka.py",
    "faults/test_kill_each.py",
    "faults/test_cluster.py",
    "faults/test_kill_leader.py",
    "faults/test_venue_command.py",
    "deploy/test_dashboard.py",
    "faults/test_venue_faults.py",
)
"""Begun first and in this order, so that at the end no worker waits for another's long file.

The killed processes come when the builds under watch, which take a core of their own, are done."""


def pytest_report_header(config: pytest.Config) -> str:
    return f"engine under test: {Engine.__module__}.{Engine.__qualname__}"


def pytest_sessionstart(session: pytest.Session) -> None:
    wanted = os.environ.get("MATCHING_PURE") != "1"
    if wanted != COMPILED or wanted != (Engine.__module__ == "matching.compiled"):
        pytest.exit(
            f"the engine under test is {Engine.__module__}: build the compiled one "
            "(`make test` does), or set MATCHING_PURE=1 to test the reference",
            returncode=1,
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    paths = [Path(__file__).parent / name for name in LONGEST]
    assert all(path.exists() for path in paths), "a file that LONGEST names is not there"
    order = {path: number for number, path in enumerate(paths)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported and collected stays: looking for rings of objects passes it over."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line(f"{skipped} skipped: a missing piece is a failure here", red=True)


_configure = structlog.configure


def _configure_for_now(**words: Any) -> None:
    # A logger of a module that keeps what it found at its first word is deaf to all later tests.
    _configure(**words | {"cache_logger_on_first_use": False})


@pytest.fixture(autouse=True)
def _logs_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that configures logging, as a command does, leaves nothing of it to the next."""
    monkeypatch.setattr(structlog, "configure", _configure_for_now)
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
