"""Who may try to log in now: counts of failures, and devices that logged in before.

Whoever knows a name could lock its owner out if failures from anywhere locked the name. So places
and devices are locked, and a name only slows down: from the sixth failure on it is heard after one
second, two, four and so on, up to LOGIN_LOCK_S. A device on which an operator has logged in is
counted by itself: it shows a cookie that only that operator's secrets make, and no guessing from
elsewhere keeps it waiting. Attempts from outside an operator's own networks never count for it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from exchange.messages.reasons import AccessReason
from exchange.settings import (
    LOGIN_DEVICE_S,
    LOGIN_FAILURES_MAX,
    LOGIN_FORGOTTEN_S,
    LOGIN_LOCK_S,
    LOGIN_NAMES_REMEMBERED_MAX,
)
from gateway.access.operators import Operator
from gateway.refusal import Refused

SECOND_NS = 1_000_000_000
NONCE_BYTES = 12

Wait = Callable[[int], int]
"""After so many failures, how long the next attempt waits: seconds."""


def locked(failures: int) -> int:
    """Of a place or a device: LOGIN_FAILURES_MAX in a row lock it. Pure, O(1)."""
    return LOGIN_LOCK_S if failures >= LOGIN_FAILURES_MAX else 0


def slowed(failures: int) -> int:
    """Of a name: twice as long each time, and never longer than a lock. Pure, O(1)."""
    beyond = failures - LOGIN_FAILURES_MAX
    return min(1 << min(beyond, 30), LOGIN_LOCK_S) if beyond >= 0 else 0


class Failures:
    """Failures in a row of names, places or devices, forgotten after a time without one.

    Of LOGIN_NAMES_REMEMBERED_MAX, the longest unheard forgotten first.
    """

    def __init__(self, wait: Wait, forgotten_s: int) -> None:
        self._wait = wait
        self._forgotten_ns = forgotten_s * SECOND_NS
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()  # count, time of the last

    def check(self, who: str, now_ns: int) -> None:
        """Refused (LOGIN_LOCKED) with the time to wait. O(1)."""
        count, last_ns = self._counts.get(who, (0, 0))
        if now_ns >= last_ns + self._forgotten_ns:
            self._counts.pop(who, None)
            return
        rest_ns = last_ns + self._wait(count) * SECOND_NS - now_ns
        if rest_ns > 0:
            raise Refused(AccessReason.LOGIN_LOCKED, retry_after_ms=rest_ns // 1_000_000 + 1)

    def add(self, who: str, now_ns: int) -> None:
        """One more failure. O(1)."""
        count, _ = self._counts.pop(who, (0, 0))
        self._counts[who] = (count + 1, now_ns)
        if len(self._counts) > LOGIN_NAMES_REMEMBERED_MAX:
            self._counts.popitem(last=False)

    def take_back(self, who: str) -> None:
        """The last one was none. O(1)."""
        count, last_ns = self._counts.get(who, (0, 0))
        if count > 1:
            self._counts[who] = (count - 1, last_ns)
        else:
            self._counts.pop(who, None)

    def forget(self, who: str) -> None:
        """A login succeeded. O(1)."""
        self._counts.pop(who, None)


class Attempt(NamedTuple):
    """What one attempt counts against."""

    counts: tuple[tuple[Failures, str], ...]

    def begin(self, now_ns: int) -> None:
        """Counts it as failed until it is known: many may ask while one is checked. Refused."""
        for failures, who in self.counts:
            failures.check(who, now_ns)
        for failures, who in self.counts:
            failures.add(who, now_ns)

    def take_back(self) -> None:
        """It was not judged."""
        for failures, who in self.counts:
            failures.take_back(who)

    def succeed(self) -> None:
        """It was right."""
        for failures, who in self.counts:
            failures.forget(who)


class Locks:
    """The failures that this gateway has seen."""

    def __init__(self) -> None:
        self._places = Failures(locked, LOGIN_LOCK_S)
        self._devices = Failures(locked, LOGIN_LOCK_S)
        self._names = Failures(slowed, LOGIN_FORGOTTEN_S)

    def attempt(
        self, name: str, place: str, operator: Operator | None, device: str, *, is_inside: bool,
        now_ns: int,
    ) -> Attempt:  # fmt: skip
        """What an attempt counts against. O(1).

        `operator` is that of the name, `is_inside` whether it may log in from there at all.
        """
        if operator is not None and is_known(operator, device, now_ns):
            return Attempt(((self._devices, device),))
        if not is_inside:
            return Attempt(((self._places, place),))
        return Attempt(((self._places, place), (self._names, name)))


def new_device(operator: Operator, now_ns: int) -> str:
    """What a browser shows at its next logins: until when, a number, and who made it. O(1)."""
    ends_s = now_ns // SECOND_NS + LOGIN_DEVICE_S
    text = f"{ends_s}.{secrets.token_urlsafe(NONCE_BYTES)}"
    return f"{text}.{_seal(operator, text)}"


def is_known(operator: Operator, device: str, now_ns: int) -> bool:
    """Whether the operator has logged in on a device, under the secrets of now. O(1)."""
    text, _, seal = device.rpartition(".")
    ends = text.partition(".")[0]
    if not (ends.isascii() and ends.isdigit() and len(ends) <= 12):
        return False
    is_ours = hmac.compare_digest(seal.encode(), _seal(operator, text).encode())
    return is_ours and int(ends) * SECOND_NS > now_ns


def _seal(operator: Operator, text: str) -> str:
    """By secrets that an operator's file has: other secrets, and no device is known any more."""
    secret = f"{operator.totp_secret}\n{operator.password_hash}".encode()
    return hmac.new(secret, f"{operator.name}\n{text}".encode(), hashlib.sha256).hexdigest()
