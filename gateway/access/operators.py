"""People who log in: `operators.toml` in the data folder, read by its owner only.

It holds argon2id hashes of passwords and the secrets of the codes, so it is as secret as a key file
and never a part of the venue file. `exchange operator add` writes it; a running gateway reads it
again when it has changed.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec
import pyotp
from argon2 import PasswordHasher

from exchange.reference.venue import SCOPES, Key, Scope, Venue
from exchange.settings import OPERATORS_MAX, PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN

FILE = "operators.toml"
FIRST_SESSION = 4_000_000_000
"""Sessions of operators who log in begin here, far from those of keys."""

ISSUER = "carbon-exchange"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

hasher = PasswordHasher()


class Operator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One login. `addresses` are networks (CIDR), () = any; `person` as of a key."""

    name: str
    participant: int
    role: Literal["operator", "authority"]
    session: int
    password_hash: str
    totp_secret: str  # base32
    scopes: tuple[Scope, ...] = SCOPES
    addresses: tuple[str, ...] = ()
    person: str = ""  # who logs in; "" = the name stands for a person by itself

    @property
    def key(self) -> Key:
        """What the operator acts as; it signs nothing."""
        return Key(
            self.name,
            self.participant,
            self.role,
            self.session,
            scopes=self.scopes,
            addresses=self.addresses,
            person=self.person,
        )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operator: tuple[Operator, ...] = ()


def load_operators(path: Path, venue: Venue) -> tuple[Operator, ...]:
    """The operators of a file, () when there is none; ValueError names file and fault, no secret.

    Names and sessions must differ from those of the venue's keys.
    """
    if not path.exists():
        return ()
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ValueError(f"{path}: others may read it; chmod 600 {path}")
    try:
        found = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File).operator
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from None
    names = [item.name for item in found] + [key.id for key in venue.key]
    sessions = [item.session for item in found] + [key.session for key in venue.key]
    if len(set(names)) != len(names) or len(set(sessions)) != len(sessions):
        raise ValueError(
            f"{path}: a name or a session stands twice, here or among the venue's keys"
        )
    if len(found) > OPERATORS_MAX:
        raise ValueError(f"{path}: {len(found)} operators, at most {OPERATORS_MAX}")
    return found


def make_operator(
    name: str,
    password: str,
    role: Literal["operator", "authority"],
    participant: int,
    known: Iterable[Operator],
    person: str = "",
) -> Operator:
    """A new operator with a new secret; ValueError names what is wrong with the words."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"name {name[:64]!r}: letters, digits, dot, dash and underscore, at most 64"
        )
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        raise ValueError(
            f"a password has {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters"
        )
    session = max((item.session for item in known), default=FIRST_SESSION - 1) + 1
    secret = pyotp.random_base32()
    hashed = hasher.hash(password)
    return Operator(name, participant, role, session, hashed, secret, person=person)


def save_operators(path: Path, operators: Iterable[Operator]) -> None:
    """Writes the file whole (mode 0600) and puts it in the old one's place. Raises OSError."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        for item in operators:
            file.write("[[operator]]\n" + "".join(_lines(item)) + "\n")
    draft.replace(path)


def otpauth_uri(operator: Operator) -> str:
    """What an authenticator reads, as text of a QR code; it contains the secret."""
    return pyotp.TOTP(operator.totp_secret).provisioning_uri(name=operator.name, issuer_name=ISSUER)


def _lines(operator: Operator) -> Iterable[str]:
    for field, value in msgspec.to_builtins(operator).items():
        yield f"{field} = {msgspec.json.encode(value).decode()}\n"
