"""What a process writes about itself has a bound, however long a fault lasts."""

from __future__ import annotations

import logging

import structlog
from structlog.testing import capture_logs

from exchange.logging import REPEAT_S, REPEATS_REMEMBERED_MAX, Seldom, configure


def record(text: str, at_s: float, name: str = "aiokafka") -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, "", 0, text, ("x",), None)
    made.created = at_s
    return made


def test_a_library_says_one_thing_once_in_a_while() -> None:
    seldom = Seldom()
    said = [at for at in range(100) if seldom.filter(record("no broker at %s", at / 20))]
    assert said == [0]
    assert seldom.filter(record("another thing", 5.0))
    assert seldom.filter(record("no broker at %s", 5.0, "aiokafka.conn"))
    assert seldom.filter(record("no broker at %s", REPEAT_S))


def test_texts_without_end_take_no_memory_without_end() -> None:
    seldom = Seldom()
    for number in range(3 * REPEATS_REMEMBERED_MAX):
        assert seldom.filter(record(f"text {number}", 0.0))
    assert len(seldom._next) <= REPEATS_REMEMBERED_MAX


def test_a_module_hears_of_it_when_logging_is_configured_anew() -> None:
    """Else a test that reads lines depends on those which ran before it in its process."""
    log = structlog.get_logger(__name__)
    configure("error")
    log.info("not said")
    structlog.reset_defaults()
    with capture_logs() as entries:
        log.info("heard")
    assert [entry["event"] for entry in entries] == ["heard"]
