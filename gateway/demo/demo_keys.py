"""Keys of a local venue: made once, kept in files that only their owner reads.

`prepare` turns a venue file without keys into one with the public halves, beside the private ones
in `keys/*.key`, and makes an operator who can log in: `keys/operator.password` and
`keys/operator.totp` hold what an operator of a real venue has in the head and on a telephone. A
venue that serves others makes its keys where its members are, not here.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import NamedTuple

from exchange.reference.venue import Role, Venue, load_venue
from gateway.access.operators import FILE, load_operators, make_operator, save_operators
from gateway.client import SigningKey, generate_key, load_key, save_key

VENUE_FILE = "venue.toml"
KEYS_FOLDER = "keys"
OPERATOR = "operator"  # logs in
PASSWORD_FILE = "operator.password"  # noqa: S105 - the name of a file
TOTP_FILE = "operator.totp"
CHECKPOINT_KEY = "checkpoint.key"


class Holder(NamedTuple):
    """Who gets a key."""

    id: str
    participant: int
    role: Role
    session: int


OPERATIONS = Holder("operations", 1, "operator", 1_000)
AUTHORITY = Holder("authority", 1, "authority", 1_001)
NORTHERN = Holder("northern", 2, "participant", 1_002)
HUADONG = Holder("huadong", 3, "participant", 1_003)
YANGTZE = Holder("yangtze", 4, "participant", 1_004)
DESK = Holder("desk", 4, "participant", 1_010)  # for whoever tries the venue out
SUPERVISION = Holder("supervision", 1, "operator", 1_011)  # the second of two persons
VERIFIER = Holder("verifier", 5, "verifier", 1_005)
HOLDERS = (OPERATIONS, AUTHORITY, NORTHERN, HUADONG, YANGTZE, VERIFIER, DESK, SUPERVISION)


def key_path(data: Path, holder: Holder) -> Path:
    """The key file of a holder under a data directory."""
    return data / KEYS_FOLDER / f"{holder.id}.key"


def prepare(data: Path, template: Path, url: str, more: tuple[Holder, ...] = ()) -> Path:
    """Makes keys and `venue.toml` where they are missing; the path of the venue file.

    `more` get keys beside those of the demonstration. `url` goes into the key files, so that
    `exchange ... --key-file` finds the venue. Raises OSError and, for a template or key file that
    is wrong, ValueError.
    """
    holders = (*HOLDERS, *more)
    keys = [_key(data, holder, url) for holder in holders]
    path = data / VENUE_FILE
    if not path.exists():
        tables = [
            f'\n[[key]]\nid = "{holder.id}"\nparticipant = {holder.participant}\n'
            f'role = "{holder.role}"\nsession = {holder.session}\npublic_key = "{key.public_key}"\n'
            for holder, key in zip(holders, keys, strict=True)
        ]
        draft = path.with_suffix(".new")
        draft.write_text(template.read_text("utf-8") + "".join(tables), "utf-8")
        load_venue(draft)
        draft.replace(path)
    if not (data / FILE).exists():
        _make_operator(data, load_venue(path))
    return path


def load_prepared(data: Path) -> tuple[Venue, dict[str, SigningKey]]:
    """The venue and every key of a prepared data directory, by holder id."""
    keys = {holder.id: load_key(key_path(data, holder)) for holder in HOLDERS}
    return load_venue(data / VENUE_FILE), keys


def _make_operator(data: Path, venue: Venue) -> None:
    password = secrets.token_urlsafe(16)
    made = make_operator(OPERATOR, password, "operator", 1, load_operators(data / FILE, venue))
    for name, secret in ((PASSWORD_FILE, password), (TOTP_FILE, made.totp_secret)):
        path = data / KEYS_FOLDER / name
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secret + "\n")
    save_operators(data / FILE, (made,))


def _key(data: Path, holder: Holder, url: str) -> SigningKey:
    """The holder's key, made if it is missing, told the address if that has changed."""
    path = key_path(data, holder)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = generate_key(holder.id, url)
        save_key(path, key)
        return key
    key = load_key(path)
    if key.url == url:
        return key
    moved = key._replace(url=url)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    save_key(draft, moved)
    draft.replace(path)
    return moved
