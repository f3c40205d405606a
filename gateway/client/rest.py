"""Signed REST requests, typed answers, refusals as exceptions."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx
import msgspec

from exchange.clock import Clock, SystemClock
from exchange.messages.executions import Problem
from exchange.messages.reasons import EdgeReason
from exchange.settings import WAIT_MS_MAX
from gateway.access.identity import sign
from gateway.client.errors import (
    AuthenticationError,
    NetworkError,
    OperationFailedError,
    StatusUnknownError,
    VenueError,
    error_of,
)
from gateway.client.keys import SigningKey
from gateway.replies.market import TimeReply

TIMEOUT_S = 2 * WAIT_MS_MAX / 1_000
TRIES = 8
PAUSE_S = 0.1

_problem = msgspec.json.Decoder(Problem)
_encode = msgspec.json.Encoder().encode
_T = TypeVar("_T")


class VenueClock:
    """A clock set by the venue's when a signature's time was refused, as on machines without NTP.

    Signatures are judged by the venue's clock alone, so following it opens no door there.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.ahead_ns = 0  # of the machine's

    def now_ns(self) -> int:
        """The venue's wall clock as far as it is known, ns UTC."""
        return self._clock.now_ns() + self.ahead_ns

    def monotonic_ns(self) -> int:
        """The machine's clock for intervals."""
        return self._clock.monotonic_ns()

    def heard(self, time_ns: int) -> None:
        """The venue says that it is now `time_ns`."""
        self.ahead_ns = time_ns - self._clock.now_ns()


class Rest:
    """One HTTP connection pool to a venue; `key` None reaches public routes only."""

    def __init__(
        self, url: str, key: SigningKey | None = None, clock: VenueClock | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self.key = key
        self._clock = clock or VenueClock()
        # With the authorities of SSL_CERT_FILE, as the sockets have them: reading them takes 16 ms,
        # and where there is no TLS nobody has to be trusted.
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusted = ssl.create_default_context() if self.url.startswith("https:") else nobody
        self._http = httpx.AsyncClient(
            base_url=self.url, timeout=TIMEOUT_S, trust_env=False, verify=trusted
        )

    async def close(self) -> None:
        """Closes the connections; idempotent."""
        await self._http.aclose()

    async def get(self, path: str, reply: type[_T], **query: str | int) -> _T:
        """A query; repeated after a network error, since it changes nothing."""
        return await self.call("GET", path, reply, query=query)

    async def call(
        self,
        method: str,
        path: str,
        reply: type[_T],
        *,
        body: msgspec.Struct | None = None,
        query: dict[str, str | int] | None = None,
    ) -> _T:
        """One request, sent again (signed anew) while the venue says that it may be.

        Raises VenueError. A numbered request keeps its `ref`, so that sending it again is safe. A
        signature refused for its time is made again, once, by the venue's clock.
        """
        target = path + ("?" + urlencode(query) if query else "")
        content = _encode(body) if body is not None else b""
        is_told = False
        for number in range(1, TRIES + 1):
            try:
                return await self._once(method, target, content, reply)
            except AuthenticationError as error:
                if is_told or error.reason != EdgeReason.TIMESTAMP_OUTSIDE_WINDOW:
                    raise
                is_told = True
                self._clock.heard((await self._once("GET", "/time", b"", TimeReply)).time_ns)
            except OperationFailedError as error:
                if number == TRIES:
                    raise
                await asyncio.sleep(max(error.retry_after_ms / 1_000, PAUSE_S * number))
        raise AssertionError("unreachable")

    async def _once(self, method: str, target: str, content: bytes, reply: type[_T]) -> _T:
        try:
            response = await self._http.request(
                method, target, content=content, headers=self._headers(method, target, content)
            )
        except httpx.ConnectError as error:
            raise NetworkError(0, f"{self.url}: {error}") from error
        except httpx.HTTPError as error:
            kind: type[VenueError] = NetworkError if method == "GET" else StatusUnknownError
            raise kind(0, f"{method} {target}: {type(error).__name__} {error}") from error
        if response.is_success:
            return msgspec.json.decode(response.content, type=reply)
        try:
            problem = _problem.decode(response.content)
        except msgspec.DecodeError:
            raise NetworkError(0, f"{method} {target}: HTTP {response.status_code}") from None
        raise error_of(
            problem.reason,
            problem.detail,
            retry_after_ms=problem.retry_after_ms,
            report=problem.report,
        )

    def _headers(self, method: str, target: str, content: bytes) -> dict[str, str]:
        if self.key is None:
            return {}
        signed = sign(
            self.key.private,
            self.key.id,
            method,
            target,
            content,
            timestamp_ns=self._clock.now_ns(),
        )
        headers: dict[str, Any] = {
            "X-Exchange-Key": signed.key,
            "X-Exchange-Timestamp": str(signed.timestamp_ns),
            "X-Exchange-Window": str(signed.window_ms),
            "X-Exchange-Signature": signed.signature,
        }
        if content:
            headers["Content-Type"] = "application/json"
        return headers
