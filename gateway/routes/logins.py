"""Operators log in and out."""

from __future__ import annotations

import msgspec

from exchange.messages.reasons import EdgeReason
from exchange.settings import LOGIN_DEVICE_S, LOGIN_IDLE_S, LOGIN_S_MAX
from gateway.refusal import Refused
from gateway.replies.logins import LoginReply, LogoutReply
from gateway.routes.table import Call, Reply, Route

COOKIE = "exchange_session"
DEVICE_COOKIE = "exchange_device"


class LoginBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Name, password, and the present code of the authenticator."""

    name: str  # of the login
    password: str  # of the login
    code: str  # the present one of the authenticator


async def post_login(call: Call) -> Reply:
    """A login of this browser."""
    if call.context.logins is None:
        raise Refused(EdgeReason.NOT_FOUND, "nobody logs in at this gateway")
    body: LoginBody = call.body
    login = await call.context.logins.log_in(
        body.name, body.password, body.code, call.origin.address, call.device
    )
    cookies = (
        f"{COOKIE}={login.token}; Path=/; Max-Age={LOGIN_S_MAX}",
        f"{DEVICE_COOKIE}={login.device}; Path=/login; Max-Age={LOGIN_DEVICE_S}",
    )
    kept = "; HttpOnly; SameSite=Strict" + ("; Secure" if call.origin.is_secure else "")
    key = login.key
    reply = LoginReply(key.id, key.role, key.session, login.csrf_token, LOGIN_IDLE_S, login.ends_ns)
    return Reply(reply, cookies=tuple(cookie + kept for cookie in cookies))


async def post_logout(call: Call) -> Reply:
    """Ends the login whose cookie came with the request."""
    if call.context.logins is not None and call.token:
        call.context.logins.log_out(call.token)
    cookie = f"{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
    return Reply(LogoutReply(call.key.id), cookies=(cookie,))


ROUTES: tuple[Route, ...] = (
    Route("POST", "/login", "Log in as an operator", post_login, LoginReply, body=LoginBody,
          budget="public"),
    Route("POST", "/logout", "End the login", post_logout, LogoutReply, budget="reads"),
)  # fmt: skip
