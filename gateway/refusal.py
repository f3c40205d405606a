"""The one exception of the edge: a numbered reason, what was wrong, and whether to try again."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from exchange.messages.executions import Problem, Reject
from exchange.messages.reasons import EdgeReason, reason_text


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """A request is refused: `reason` is its number, `detail` says what in this request."""

    def __init__(self, reason: IntEnum | int, detail: str = "", *, retry_after_ms: int = 0) -> None:
        self.row = reason_text(int(reason))
        self.detail = detail
        self.retry_after_ms = retry_after_ms
        self.wait_s = 0.0  # before it is told where the other side waits for it
        self.ref = 0
        self.client_order_id = ""
        super().__init__(self.text)

    @property
    def text(self) -> str:
        """What was wrong here, then what the reason means and what to do."""
        return f"{self.detail}. {self.row.text}" if self.detail else self.row.text

    def about(self, request: object) -> Refused:
        """The same refusal, naming the request by its `ref` and `client_order_id`."""
        copy = Refused(self.row.number, self.detail, retry_after_ms=self.retry_after_ms)
        copy.wait_s = self.wait_s
        copy.ref = getattr(request, "ref", 0)
        copy.client_order_id = getattr(request, "client_order_id", "")
        return copy

    def reject(self) -> Reject:
        """The refusal as a message on a socket or a report topic."""
        return Reject(
            self.row.number,
            self.row.name,
            self.text,
            self.ref,
            self.client_order_id,
            self.row.may_retry,
            self.retry_after_ms,
        )

    def problem(self) -> Problem:
        """The refusal as RFC 9457 problem details."""
        return Problem(
            f"urn:exchange:reason:{self.row.number}",
            self.row.name,
            self.row.status,
            self.text,
            self.row.number,
            self.row.may_retry,
            self.retry_after_ms,
            self.ref,
            self.client_order_id,
        )


def refused_by(error: Exception, logger: Any) -> Refused:
    """The refusal that an error is; INTERNAL_ERROR, logged, for a fault of ours. O(1)."""
    if isinstance(error, Refused):
        return error
    logger.exception("request_failed", error=repr(error))
    return Refused(EdgeReason.INTERNAL_ERROR)
