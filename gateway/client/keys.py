"""Key files: a key's id, its private half and the venue's address, readable by the owner only."""

from __future__ import annotations

import base64
import binascii
import os
import tomllib
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

DEFAULT_URL = "http://127.0.0.1:8080"


class SigningKey(NamedTuple):
    """A key that can sign: with an Ed25519 private key, or with the secret of an HMAC key."""

    id: str
    private: Ed25519PrivateKey | bytes
    url: str = DEFAULT_URL

    @property
    def public_key(self) -> str:
        """The public half as the venue file wants it: base64 of 32 bytes; ValueError without."""
        if isinstance(self.private, bytes):
            raise ValueError(f"key {self.id}: a shared secret has no public half")
        return base64.b64encode(self.private.public_key().public_bytes_raw()).decode()


def generate_key(key_id: str, url: str = DEFAULT_URL) -> SigningKey:
    """A new key pair."""
    return SigningKey(key_id, Ed25519PrivateKey.generate(), url)


def save_key(path: Path, key: SigningKey) -> None:
    """Writes a key file (mode 0600); FileExistsError rather than overwrite one."""
    is_secret = isinstance(key.private, bytes)
    raw = key.private if isinstance(key.private, bytes) else key.private.private_bytes_raw()
    name = "secret" if is_secret else "private_key"
    text = f'id = "{key.id}"\n{name} = "{base64.b64encode(raw).decode()}"\nurl = "{key.url}"\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def load_key(path: Path) -> SigningKey:
    """Reads a key file; ValueError names the file and the fault, never the key."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
        url = str(table.get("url", DEFAULT_URL))
        if "secret" in table:
            return SigningKey(
                str(table["id"]), base64.b64decode(table["secret"], validate=True), url
            )
        private = base64.b64decode(table["private_key"], validate=True)
        return SigningKey(str(table["id"]), Ed25519PrivateKey.from_private_bytes(private), url)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, binascii.Error, ValueError) as error:
        raise ValueError(
            f"{path}: no key file (id, private_key = base64 of 32 bytes): {type(error).__name__}"
        ) from None
