"""Who sent this: a signature over the request, a receive window, and no replay.

The signed text is UTF-8, six lines joined by a line feed, no line feed at the end:

    METHOD                  GET, POST, PUT, DELETE; LOGON on the socket; INTAKE on an intake topic
    PATH?QUERY              as sent, percent-encoded; empty for LOGON and INTAKE
    KEY                     the key id
    TIMESTAMP_NS            when it was signed, nanoseconds UTC
    WINDOW_MS               for how long it may be taken; 0 = 5000, at most 60000
    hex(sha256(body))       lower case; of no bytes when there is no body

The key's `algorithm` says how: Ed25519 (64 bytes of signature), or HMAC-SHA256 with a shared secret
(32 bytes). The request names no algorithm, so nobody can choose a weaker one. REST carries it in
the headers X-Exchange-Key, X-Exchange-Timestamp, X-Exchange-Window and X-Exchange-Signature
(base64). A signature is accepted once: within its window it is remembered, after its window it is
refused by time, and one made before this process started is refused too, since another run may have
seen it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange.clock import Clock
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Key, Venue
from exchange.settings import (
    CLOCK_AHEAD_MS_MAX,
    RECEIVE_WINDOW_MS,
    RECEIVE_WINDOW_MS_MAX,
    REPLAY_CACHE_MAX,
)
from gateway.access.keyring import SIGNATURE_BYTES, KeyRing
from gateway.refusal import Refused

MS = 1_000_000  # nanoseconds


class Signed(NamedTuple):
    """What a sender says about itself."""

    key: str
    timestamp_ns: int
    window_ms: int
    signature: str  # base64


def signed_text(
    method: str, target: str, key: str, timestamp_ns: int, window_ms: int, body: bytes
) -> bytes:
    """The bytes that are signed (see the module's text)."""
    digest = hashlib.sha256(body).hexdigest()
    return f"{method}\n{target}\n{key}\n{timestamp_ns}\n{window_ms}\n{digest}".encode()


def sign(
    private: Ed25519PrivateKey | bytes,
    key: str,
    method: str,
    target: str,
    body: bytes,
    *,
    timestamp_ns: int,
    window_ms: int = 0,
) -> Signed:
    """What the owner of `private` (bytes: the secret of an HMAC key) sends with a request."""
    text = signed_text(method, target, key, timestamp_ns, window_ms, body)
    if isinstance(private, bytes):
        signature = hmac.digest(private, text, hashlib.sha256)
    else:
        signature = private.sign(text)
    return Signed(key, timestamp_ns, window_ms, base64.b64encode(signature).decode())


class Identities:
    """The venue's public keys, and the signatures seen inside their windows.

    Memory is bounded by REPLAY_CACHE_MAX signatures; when they are all still inside their windows
    the next request is told VENUE_BUSY rather than let through unremembered.
    """

    def __init__(
        self,
        venue: Venue,
        clock: Clock,
        *,
        accept_before_start: bool = False,
        ring: KeyRing | None = None,
    ) -> None:
        self.ring = ring or KeyRing(venue.key)
        self._clock = clock
        self._earliest_ns = 0 if accept_before_start else clock.now_ns()
        self._seen: OrderedDict[bytes, int] = OrderedDict()  # signature -> end of its window, ns

    def verify(
        self,
        method: str,
        target: str,
        signed: Signed,
        body: bytes,
        *,
        now_ns: int | None = None,
        address: str = "",
    ) -> Key:
        """The key that signed; Refused otherwise. `now_ns` is the log's time for intake.

        Whether the key may be used now and from `address` is told to those only who hold it. O(1),
        one verification (about 0.06 ms with Ed25519).
        """
        text = signed_text(method, target, signed.key, signed.timestamp_ns, signed.window_ms, body)
        return self.verify_text(signed, text, now_ns=now_ns, address=address)

    def verify_text(
        self, signed: Signed, text: bytes, *, now_ns: int | None = None, address: str = ""
    ) -> Key:
        """As `verify`, of a text that another protocol signs (FIX). O(1)."""
        key = self.ring.find(signed.key)
        now = self._clock.now_ns() if now_ns is None else now_ns
        end = self._check_window(signed, now)
        signature = self._signature(signed, SIGNATURE_BYTES[key.algorithm])
        self.ring.check_signature(key.id, signature, text)
        self.ring.check_use(key.id, now, address)
        self._remember(signature, end, now)
        return key

    def _check_window(self, signed: Signed, now: int) -> int:
        window = signed.window_ms or RECEIVE_WINDOW_MS
        if not 1 <= window <= RECEIVE_WINDOW_MS_MAX:
            raise Refused(
                EdgeReason.TIMESTAMP_OUTSIDE_WINDOW,
                f"a window of {window} ms is outside 1..{RECEIVE_WINDOW_MS_MAX}",
            )
        late_ms = (now - signed.timestamp_ns) // MS
        if late_ms >= window:
            raise Refused(
                EdgeReason.TIMESTAMP_OUTSIDE_WINDOW,
                f"signed {late_ms} ms ago, the window is {window} ms",
            )
        if -late_ms > CLOCK_AHEAD_MS_MAX:
            raise Refused(
                EdgeReason.TIMESTAMP_OUTSIDE_WINDOW,
                f"signed {-late_ms} ms in the future, at most {CLOCK_AHEAD_MS_MAX} ms are allowed",
            )
        if signed.timestamp_ns < self._earliest_ns:
            raise Refused(EdgeReason.TIMESTAMP_OUTSIDE_WINDOW, "signed before this gateway started")
        return signed.timestamp_ns + window * MS

    @staticmethod
    def _signature(signed: Signed, size: int) -> bytes:
        try:
            signature = base64.b64decode(signed.signature, validate=True)
        except (binascii.Error, ValueError):
            signature = b""
        if len(signature) != size:
            raise Refused(EdgeReason.BAD_SIGNATURE, f"it is not base64 of {size} bytes")
        return signature

    def _remember(self, signature: bytes, end: int, now: int) -> None:
        if signature in self._seen:
            raise Refused(EdgeReason.REPLAYED_REQUEST)
        while self._seen and next(iter(self._seen.values())) <= now:
            self._seen.popitem(last=False)
        if len(self._seen) >= REPLAY_CACHE_MAX:
            # windows differ in length: some behind the first may be over
            self._seen = OrderedDict((s, e) for s, e in self._seen.items() if e > now)
        if len(self._seen) >= REPLAY_CACHE_MAX:
            wait_ns = min(self._seen.values()) - now
            raise Refused(EdgeReason.VENUE_BUSY, retry_after_ms=wait_ns // MS + 1)
        self._seen[signature] = end
