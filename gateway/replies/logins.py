"""What is answered: a login and its end."""

from __future__ import annotations

import msgspec


class LoginReply(msgspec.Struct, frozen=True):
    """The cookie comes in Set-Cookie; `csrf_token` goes into X-Exchange-CSRF of what changes."""

    name: str  # of the login
    role: str
    session: int
    csrf_token: str  # for the header X-Exchange-CSRF of requests that change something
    idle_s: int  # without use, then it is over
    ends_ns: int  # then it is over in any case


class LogoutReply(msgspec.Struct, frozen=True):
    """The login is over."""

    name: str  # of the login
