"""Signed notes: a text with an Ed25519 signature under it, as Go's checksum database has them.

The format is that of C2SP `signed-note`: the text, an empty line, then a line for the signature
with the signer's name and base64 of four bytes that name the key and the 64 of the signature. So
other programs can check it, and a witness can put its own line under ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
KEY_ID_BYTES = 4
SIGNATURE_BYTES = 64
DASH = "\N{EM DASH}"
NAME = re.compile(r"[^\s+]{1,100}\Z")


class NoteError(ValueError):
    """A note that is malformed, or not signed by the key asked for."""


class OtherKeyError(NoteError):
    """No signature of the key asked for stands under the note."""


class Verifier(NamedTuple):
    """The public half: `NAME+KEYID+BASE64`, one line."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes that name the key. O(1)."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[
            :KEY_ID_BYTES
        ]

    def line(self) -> str:
        """As it stands in a file. O(1)."""
        encoded = base64.b64encode(ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def open(self, note: str) -> str:
        """The text of a note that this key has signed. O(bytes).

        OtherKeyError when the key's signature is not there, NoteError when it is wrong.
        """
        text, signatures = split(note)
        seen = [f"{name} {raw[:KEY_ID_BYTES].hex()}" for name, raw in signatures]
        mine = [
            raw[KEY_ID_BYTES:]
            for name, raw in signatures
            if (name, raw[:KEY_ID_BYTES]) == (self.name, self.key_id)
        ]
        if not mine:
            raise OtherKeyError(
                f"signed by {', '.join(seen) or 'nobody'}, not by {self.name} {self.key_id.hex()}"
            )
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(mine[0], text.encode())
        except InvalidSignature:
            raise NoteError(
                f"the signature of {self.name} {self.key_id.hex()} is not of this text: forged or "
                "altered"
            ) from None
        return text


class Signer(NamedTuple):
    """A name and its private key."""

    name: str
    private: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        """The public half. O(1)."""
        return Verifier(self.name, self.private.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """The note; ValueError unless the text ends with a line end. O(bytes)."""
        if not text.endswith("\n") or "\n\n" in text:
            raise ValueError("a text is whole lines without an empty one")
        raw = self.verifier.key_id + self.private.sign(text.encode())
        return f"{text}\n{DASH} {self.name} {base64.b64encode(raw).decode()}\n"


def split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """The text and each signature (name, bytes) under it; NoteError. O(bytes)."""
    text, found, under = note.rpartition("\n\n")
    if not found or not under.endswith("\n"):
        raise NoteError("this is no signed note: it has no signature below an empty line")
    signatures = []
    for line in under.splitlines():
        try:
            dash, name, encoded = line.split(" ")
            raw = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            raise NoteError(f"{line[:80]!r} is no line of a signature") from None
        if dash != DASH or len(raw) != KEY_ID_BYTES + SIGNATURE_BYTES:
            raise NoteError(f"{line[:80]!r} is no line of an Ed25519 signature")
        signatures.append((name, raw))
    return text + "\n", signatures


def parse_verifier(line: str) -> Verifier:
    """The public half from its line; NoteError. O(1)."""
    try:
        name, key_id, encoded = line.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise NoteError("a public key is one line NAME+KEYID+BASE64") from None
    verifier = Verifier(name, raw[1:])
    if raw[:1] != ED25519 or len(raw) != 33 or verifier.key_id.hex() != key_id:
        raise NoteError("a public key is NAME+KEYID+BASE64 of an Ed25519 key; this one is damaged")
    return verifier


def key_name(venue: str) -> str:
    """The name of a venue's key: its own, with dashes for what a key's name may not have."""
    return re.sub(r"[\s+]+", "-", venue)


def make_key(path: Path, name: str) -> Signer:
    """A new key, its private half in `path` (mode 0600); FileExistsError rather than overwrite."""
    if not NAME.match(name):
        raise ValueError(f"{name!r}: a key's name has 1 to 100 characters, no space, no +")
    signer = Signer(name, Ed25519PrivateKey.generate())
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        encoded = base64.b64encode(signer.private.private_bytes_raw()).decode()
        file.write(f"{name} {encoded}\n")
    return signer


def load_signer(path: Path) -> Signer:
    """A key from a file only its owner may read; ValueError names file and fault, never the key."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ValueError(f"{path}: others may read it; chmod 600 {path}")
    try:
        name, encoded = path.read_text("utf-8").split()
        raw = base64.b64decode(encoded, validate=True)
        return Signer(name, Ed25519PrivateKey.from_private_bytes(raw))
    except (ValueError, binascii.Error):
        raise ValueError(f"{path}: no key file (NAME and base64 of 32 bytes)") from None
