"""The gate before a trading day: a closed market opens only on books that agree.

The operator's request passes here before it becomes a command. It asks the books for the market's
last reconciliation; a request with an override passes all the same when a second person approves
it, and the books keep whose it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from exchange.audit.verdicts import (
    Obstacle,
    Override,
    Verdict,
    keep_override,
    last_verdict,
    obstacle,
)
from exchange.clock import Clock
from exchange.database import Database
from exchange.messages.frames import Phase
from exchange.messages.operations import Act, OpeningOverride, PhaseChange
from exchange.messages.reasons import DayReason, EdgeReason
from exchange.settings import NOTE_BYTES_MAX
from gateway.refusal import Refused
from gateway.views.venue_view import MarketView


class OpeningGate:
    """Keeps closed markets closed until they are reconciled; safe for many requests at once."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._last_ns = 0
        self._say = structlog.get_logger().bind(service="opening")

    async def admit(
        self, request: PhaseChange, view: MarketView, instruments: Iterable[int]
    ) -> Obstacle | None:
        """What an override of the request sets aside; None: nothing. O(checks + instruments).

        `instruments` are those it names. Refused: RECONCILIATION_MISSING, RECONCILIATION_RED,
        BOOKS_NOT_READABLE, and INVALID_FIELD for an override that names nobody or no reason.
        """
        if request.override is not None:
            _check_words(request.override)
        if not _opens(request, view, instruments):
            return None
        _, found = await self.look(view)
        if found is not None and request.override is None:
            raise Refused(found.reason, found.detail)
        return found

    async def keep(
        self, act: Act, request: PhaseChange, by: str, view: MarketView, found: Obstacle
    ) -> None:
        """Keeps whose override it is: the act that proposed it, and who approved it. O(1).

        Refused (BOOKS_NOT_READABLE).
        """
        if request.override is None:
            return
        override = self._row(act, request, request.override, by, view, found)
        try:
            await keep_override(self._database, view.market.partition, override)
        except (SQLAlchemyError, OSError) as error:
            self._say.error("books not readable", market=view.market.code, error=str(error))
            raise Refused(DayReason.BOOKS_NOT_READABLE, view.market.code) from error
        self._say.warning(
            "opened in spite of the reconciliation",
            market=request.market,
            name=override.name,
            reason=override.reason,
            refused=found.reason.name,
        )

    async def look(self, view: MarketView) -> tuple[Verdict | None, Obstacle | None]:
        """The last reconciliation, and what would keep the market from opening now. O(checks).

        Refused (BOOKS_NOT_READABLE).
        """
        code = view.market.code
        try:
            last = await last_verdict(self._database, view.market.partition)
        except (SQLAlchemyError, OSError) as error:
            self._say.error("books not readable", market=code, error=str(error))
            raise Refused(DayReason.BOOKS_NOT_READABLE, code) from error
        return last, obstacle(code, view.positions.trading_date, last)

    def _row(
        self,
        act: Act,
        request: PhaseChange,
        words: OpeningOverride,
        by: str,
        view: MarketView,
        found: Obstacle,
    ) -> Override:
        self._last_ns = max(self._clock.now_ns(), self._last_ns + 1)
        return Override(
            self._last_ns,
            view.positions.trading_date,
            act.key,
            request.ref,
            words.name,
            words.reason,
            int(found.reason),
            f"{found.detail}; approved by {by}",
        )


def _opens(request: PhaseChange, view: MarketView, instruments: Iterable[int]) -> bool:
    if request.phase in (Phase.CLOSED.name, Phase.HALT.name):
        return False
    known = view.positions.instruments
    return any(known[item].phase == Phase.CLOSED for item in instruments if item in known)


def _check_words(override: OpeningOverride) -> None:
    for field, text in (("name", override.name), ("reason", override.reason)):
        if not (text.strip() and text.isprintable() and len(text.encode()) <= NOTE_BYTES_MAX):
            raise Refused(
                EdgeReason.INVALID_FIELD,
                f"override.{field}: printable text of one line, at most {NOTE_BYTES_MAX} bytes",
            )
