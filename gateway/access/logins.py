"""Operators log in with password and code, and get a short session for their browser.

A login is a random token in a cookie (HttpOnly, SameSite=Strict) that only its hash is kept of,
bound to the address it was made from. It is over after LOGIN_IDLE_S without use, after LOGIN_S_MAX
in any case, when its operator is changed or removed, and when the gateway stops. A code is taken
once, also after a restart: the last one of each operator stands in a file beside `operators.toml`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import os
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyotp
from argon2.exceptions import InvalidHashError, VerificationError

from exchange.clock import Clock
from exchange.messages.reasons import AccessReason, EdgeReason
from exchange.reference.venue import Key
from exchange.settings import (
    LOGIN_CHECKS_MAX,
    LOGIN_IDLE_S,
    LOGIN_S_MAX,
    LOGINS_MAX,
    LOGINS_OF_ONE_MAX,
    PASSWORD_CHARACTERS_MAX,
)
from gateway.access.addresses import counted
from gateway.access.login_locks import Locks, new_device
from gateway.access.operators import Operator, hasher
from gateway.refusal import Refused

SECOND_NS = 1_000_000_000
STEP_S = 30  # of the codes, RFC 6238
USED_FILE = "operators.used"
WAITING_MAX = 32  # logins whose password waits to be checked

_steps = msgspec.json.Decoder(dict[str, int])


class Login(NamedTuple):
    """What the operator's browser gets; nobody sees token and csrf_token again."""

    token: str
    csrf_token: str
    key: Key
    ends_ns: int
    device: str  # for the next login on it


class _Session:
    __slots__ = ("address", "csrf", "ends_ns", "operator", "used_ns")

    def __init__(
        self, operator: Operator, address: str, csrf: bytes, now_ns: int, ends_ns: int
    ) -> None:
        self.operator = operator
        self.address = address
        self.csrf = csrf
        self.used_ns = now_ns
        self.ends_ns = ends_ns


class Logins:
    """The operators and their logins in this gateway; bounded by LOGINS_MAX."""

    def __init__(self, operators: Iterable[Operator], folder: Path, clock: Clock) -> None:
        self._clock = clock
        self._folder = folder
        self._operators = {item.name: item for item in operators}
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()  # by hash of token
        self._locks = Locks()
        self._checking = asyncio.Semaphore(LOGIN_CHECKS_MAX)
        self._waiting = 0
        self._used: dict[str, int] | None = None  # name -> step of the last code

    def replace(self, operators: Iterable[Operator]) -> None:
        """From now on these may log in; logins of those changed or gone are over. O(logins)."""
        self._operators = {item.name: item for item in operators}
        for token, session in list(self._sessions.items()):
            if self._operators.get(session.operator.name) != session.operator:
                del self._sessions[token]

    async def log_in(
        self, name: str, password: str, code: str, address: str, device: str = ""
    ) -> Login:
        """A new login. Refused: LOGIN_FAILED, LOGIN_LOCKED, ADDRESS_NOT_ALLOWED, LOGINS_FULL.

        Which of name, password and code was wrong is not told. `device` is what the browser was
        given at an earlier one. One argon2id hash, about 0.1 s of a thread.
        """
        now, operator = self._clock.now_ns(), self._operators.get(name)
        networks = operator.addresses if operator is not None else ()
        is_inside = not networks or _is_in(address, networks)
        attempt = self._locks.attempt(
            name, counted(address), operator, device, is_inside=is_inside, now_ns=now
        )
        attempt.begin(now)
        try:
            is_right = await self._is_password(operator, password)
        except Refused:
            attempt.take_back()
            raise
        step = self._step_of(operator, code, now) if operator is not None else 0
        if operator is None or not is_right or not step:
            raise Refused(AccessReason.LOGIN_FAILED)
        if not is_inside:
            attempt.take_back()
            raise Refused(AccessReason.ADDRESS_NOT_ALLOWED, f"it came from {address}")
        self._use(name, step)
        attempt.succeed()
        return self._open(operator, address, now)

    def find(self, token: str, address: str, csrf: str | None) -> Key:
        """The key of a login; `csrf` None: the request changes nothing. O(1).

        Refused: NOT_LOGGED_IN, CSRF_TOKEN_MISSING.
        """
        now = self._clock.now_ns()
        hashed = _hash(token)
        session = self._sessions.get(hashed)
        if session is None:
            raise Refused(AccessReason.NOT_LOGGED_IN)
        is_idle = now - session.used_ns >= LOGIN_IDLE_S * SECOND_NS
        if is_idle or now >= session.ends_ns or address != session.address:
            del self._sessions[hashed]
            raise Refused(AccessReason.NOT_LOGGED_IN)
        if csrf is not None and not hmac.compare_digest(_hash(csrf), session.csrf):
            raise Refused(AccessReason.CSRF_TOKEN_MISSING)
        session.used_ns = now
        return session.operator.key

    def log_out(self, token: str) -> None:
        """Ends a login; idempotent. O(1)."""
        self._sessions.pop(_hash(token), None)

    async def _is_password(self, operator: Operator | None, password: str) -> bool:
        if len(password) > PASSWORD_CHARACTERS_MAX:
            return False
        if self._waiting >= WAITING_MAX:
            raise Refused(EdgeReason.VENUE_BUSY, "too many logins at once", retry_after_ms=1_000)
        stored = operator.password_hash if operator is not None else _nobody()
        self._waiting += 1
        try:
            async with self._checking:
                return await asyncio.to_thread(_verify, stored, password)
        finally:
            self._waiting -= 1

    def _step_of(self, operator: Operator, code: str, now_ns: int) -> int:
        """The step of an unused code, this one's or the one's before or after; 0: none fits."""
        totp = pyotp.TOTP(operator.totp_secret)
        present = now_ns // SECOND_NS // STEP_S
        last = self._steps().get(operator.name, 0)
        found = 0
        for step in (present - 1, present, present + 1):
            made = totp.generate_otp(step)
            if hmac.compare_digest(made.encode(), code.encode()) and step > last:
                found = step
        return found

    def _steps(self) -> dict[str, int]:
        if self._used is None:
            path = self._folder / USED_FILE
            self._used = _steps.decode(path.read_bytes()) if path.exists() else {}
        return self._used

    def _use(self, name: str, step: int) -> None:
        if self._steps().get(name, 0) >= step:
            raise Refused(AccessReason.LOGIN_FAILED)  # another login took the code meanwhile
        self._steps()[name] = step
        draft = self._folder / f"{USED_FILE}.new"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(self._steps()))
        draft.replace(self._folder / USED_FILE)

    def _open(self, operator: Operator, address: str, now: int) -> Login:
        for hashed, session in list(self._sessions.items()):
            if now >= min(session.ends_ns, session.used_ns + LOGIN_IDLE_S * SECOND_NS):
                del self._sessions[hashed]
        own = [t for t, s in self._sessions.items() if s.operator.name == operator.name]
        if len(own) >= LOGINS_OF_ONE_MAX:
            del self._sessions[own[0]]
        if len(self._sessions) >= LOGINS_MAX:
            raise Refused(AccessReason.LOGINS_FULL)
        token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        ends_ns = now + LOGIN_S_MAX * SECOND_NS
        self._sessions[_hash(token)] = _Session(operator, address, _hash(csrf), now, ends_ns)
        return Login(token, csrf, operator.key, ends_ns, new_device(operator, now))


@cache
def _nobody() -> str:
    """So that an unknown name takes as long."""
    return hasher.hash(secrets.token_urlsafe(16))


def _verify(stored: str, password: str) -> bool:
    try:
        return hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _is_in(address: str, networks: tuple[str, ...]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(network) for network in networks)
