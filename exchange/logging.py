"""Structured logs: one JSON line an entry, with the log position wherever there is one."""

from __future__ import annotations

import io
import logging
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict

SECRET_WORDS = (
    "authorization", "code", "cookie", "csrf", "password", "private", "secret", "signature",
    "token", "totp",
)  # fmt: skip
"""A value whose name has one of these words is not logged."""

REDACTED = "[not logged]"
REPEAT_S = 10.0
REPEATS_REMEMBERED_MAX = 1_000


def redacted(_logger: object, _method: str, event: EventDict) -> EventDict:
    """The entry without secrets: who adds one by mistake writes its name only. O(fields)."""
    for name in event:
        if name != "event" and any(word in name.lower() for word in SECRET_WORDS):
            event[name] = REDACTED
    return event


class Seldom(logging.Filter):
    """Lets a library say one thing once in REPEAT_S.

    While the brokers are away their client says so many times a second, for hours: our own lines
    tell it, and a full disk would be the next fault.
    """

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[tuple[str, str], float] = {}  # what was said: when it may be said again

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it was not said just now. O(1)."""
        what = record.name, str(record.msg)
        if record.created < self._next.get(what, 0.0):
            return False
        if len(self._next) >= REPEATS_REMEMBERED_MAX:
            self._next.clear()
        self._next[what] = record.created + REPEAT_S
        return True


class _StandardError(io.TextIOBase):
    """Standard error as it is when a line is written: a cached logger outlives a redirection."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure(level: str = "info", *, service: str = "") -> None:
    """Sets up structlog for the process: JSON lines on standard error, `service` in each."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redacted,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _StandardError())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    if service:
        structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        if not any(isinstance(known, Seldom) for known in handler.filters):
            handler.addFilter(Seldom())
