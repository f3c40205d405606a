"""Cancel on disconnect: orders of a lost connection end unless somebody logs on again in time.

Who enters orders is told of here; a drop copy is not, since it could not look after any of them.

The cancel is a MASS_CANCEL on `orders` like any other, so every replay knows it. It stands there
without a session: the numbers of the key's own session are its owner's.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import structlog

from exchange.messages.executions import DisconnectScope
from exchange.messages.frames import Command, pack_command
from exchange.reference.venue import Key
from exchange.settings import DISCONNECT_GRACE_S, DISCONNECT_RETRY_S
from gateway.entry.order_entry import OrderEntry
from gateway.entry.submitter import Ticket
from gateway.refusal import Refused

LABEL = b"disconnect"  # client_order_id of the MASS_CANCELLED report
NO_SESSION = 0


class Whose(NamedTuple):
    """Orders that may end together: a participant's in a market, or those one session sent."""

    participant: int
    session: int  # NO_SESSION = whoever sent them
    market: str


class Disconnects:
    """Who is connected, and whose orders wait for a return. O(markets) a logon and a loss."""

    def __init__(self, entry: OrderEntry) -> None:
        self._entry = entry
        self._connected: dict[object, Key] = {}
        self._leaving: dict[Whose, asyncio.TimerHandle] = {}
        self._is_stopping = False
        self._logger = structlog.get_logger().bind(service="gateway")

    def logged_on(self, connection: object, key: Key) -> None:
        """A key is here (again): what waited for its return is called off."""
        self._connected[connection] = key
        for market in self._entry.desks:
            for session in (key.session, NO_SESSION):
                timer = self._leaving.pop(Whose(key.participant, session, market), None)
                if timer is not None:
                    timer.cancel()

    def lost(self, connection: object, key: Key, scope: DisconnectScope) -> None:
        """A connection ended; idempotent. Orders of its scope end after DISCONNECT_GRACE_S.

        SESSION: those sent by the key, unless it is connected otherwise; PARTICIPANT: all of the
        firm, unless another of its connections is left.
        """
        if self._connected.pop(connection, None) is None or scope == "NONE" or self._is_stopping:
            return
        session = key.session if scope == "SESSION" else NO_SESSION
        for code, desk in self._entry.desks.items():
            whose = Whose(key.participant, session, code)
            is_waiting = self._is_here(whose) or whose in self._leaving
            if not is_waiting and self._entry.accounts_of(key, desk.market):
                self._later(whose, DISCONNECT_GRACE_S)

    def stop(self) -> None:
        """The venue itself stops: nobody left, so nothing is cancelled."""
        self._is_stopping = True
        for timer in self._leaving.values():
            timer.cancel()
        self._leaving.clear()

    def _is_here(self, whose: Whose) -> bool:
        return any(
            key.participant == whose.participant and whose.session in (NO_SESSION, key.session)
            for key in self._connected.values()
        )

    def _later(self, whose: Whose, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._leaving[whose] = loop.call_later(delay_s, self._cancel, whose)

    def _cancel(self, whose: Whose) -> None:
        del self._leaving[whose]
        command = pack_command(
            Command.MASS_CANCEL,
            order_id=whose.participant,
            quantity=whose.session,
            client_order_id=LABEL,
        )

        def done(ticket: Ticket) -> None:
            if ticket.refused is not None:
                self._again(whose, ticket.refused)
            else:
                self._logger.info("cancelled_on_disconnect", **whose._asdict())

        try:
            submitter = self._entry.desks[whose.market].submitter
            submitter.submit(Ticket([command], done, is_cancel=True))
        except Refused as refused:
            self._again(whose, refused)

    def _again(self, whose: Whose, refused: Refused) -> None:
        """The log did not take it, or may not have: once more, unless they came back."""
        if self._is_stopping or self._is_here(whose) or whose in self._leaving:
            return
        self._logger.warning("cancel_waits", reason=refused.row.name, **whose._asdict())
        self._later(whose, DISCONNECT_RETRY_S)
