"""The venue's keys as a gateway holds them, and what makes one of them unusable now.

The ring is made anew when the venue file or `operators.toml` changes: `Identities` asks it at each
request, and open connections are looked over with `standing`, so that nothing outlives its key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import stat
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from exchange.messages.reasons import AccessReason, EdgeReason
from exchange.reference.venue import Key
from exchange.settings import HMAC_SECRET_BYTES_MAX, HMAC_SECRET_BYTES_MIN
from gateway.refusal import Refused

SECOND_NS = 1_000_000_000
ED25519_BYTES = 64
PUBLIC_BYTES = 32
SIGNATURE_BYTES = {"ed25519": ED25519_BYTES, "hmac-sha256": 32}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class _Held(NamedTuple):
    key: Key
    public: bytes  # for libsodium, which takes half the time of OpenSSL; none with a secret
    mac: hmac.HMAC | None  # of the secret; each signature is made with a copy
    networks: tuple[Network, ...]
    begins_ns: int  # 0: always
    ends_ns: int  # 0: never


class KeyRing:
    """The keys by id; replaced whole, so that a request sees one state of them."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._held: dict[str, _Held] = {}
        self.replace(keys)

    def replace(self, keys: Iterable[Key]) -> None:
        """From now on these are the keys; ValueError or OSError leaves those that were. O(keys)."""
        self._held = {key.id: _hold(key) for key in keys}

    def find(self, key_id: str) -> Key:
        """The key of an id; Refused (UNKNOWN_KEY). O(1)."""
        held = self._held.get(key_id)
        if held is None:
            raise Refused(EdgeReason.UNKNOWN_KEY, f"key {key_id[:64]!r}")
        return held.key

    def check_signature(self, key_id: str, signature: bytes, text: bytes) -> None:
        """Refused (BAD_SIGNATURE) unless the key made it over the text; in constant time."""
        held = self._held[key_id]
        if held.mac is not None:
            mac = held.mac.copy()
            mac.update(text)
            if hmac.compare_digest(mac.digest(), signature):
                return
        elif len(signature) == ED25519_BYTES:  # else a part of it would be taken for text
            try:
                crypto_sign_open(signature + text, held.public)
            except BadSignatureError:
                pass
            else:
                return
        raise Refused(EdgeReason.BAD_SIGNATURE)

    def check_use(self, key_id: str, now_ns: int, address: str) -> None:
        """Refused unless the key may be used now and from there. O(networks of the key).

        KEY_REVOKED, KEY_NOT_YET_VALID, KEY_EXPIRED, ADDRESS_NOT_ALLOWED. An empty address, as of a
        request that came over the log, is in no network.
        """
        held = self._held[key_id]
        if held.key.revoked:
            raise Refused(AccessReason.KEY_REVOKED, f"key {key_id}")
        if now_ns < held.begins_ns:
            raise Refused(AccessReason.KEY_NOT_YET_VALID, f"from {_utc(held.begins_ns)} on")
        if held.ends_ns and now_ns >= held.ends_ns:
            raise Refused(AccessReason.KEY_EXPIRED, f"until {_utc(held.ends_ns)}")
        if held.networks and not _is_in(address, held.networks):
            shown = address or "a topic, which shows no address"
            raise Refused(AccessReason.ADDRESS_NOT_ALLOWED, f"it came from {shown}")

    def standing(self, key: Key, now_ns: int) -> Refused | None:
        """Why a connection of this key has to end now; None: it may stay. O(1)."""
        held = self._held.get(key.id)
        if held is None or held.key != key or key.revoked:
            return Refused(AccessReason.KEY_REVOKED, f"key {key.id}")
        if held.ends_ns and now_ns >= held.ends_ns:
            return Refused(AccessReason.KEY_EXPIRED, f"until {_utc(held.ends_ns)}")
        return None


def load_secret(path: Path) -> bytes:
    """The secret of an HMAC key: base64 in a file that only its owner may read; ValueError."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ValueError(f"{path}: others may read it; chmod 600 {path}")
    try:
        secret = base64.b64decode(path.read_text("ascii").strip(), validate=True)
    except ValueError:
        raise ValueError(f"{path}: it is no base64") from None
    if not HMAC_SECRET_BYTES_MIN <= len(secret) <= HMAC_SECRET_BYTES_MAX:
        raise ValueError(
            f"{path}: a secret has {HMAC_SECRET_BYTES_MIN} to {HMAC_SECRET_BYTES_MAX} bytes"
        )
    return secret


def _hold(key: Key) -> _Held:
    is_hmac = key.algorithm == "hmac-sha256"
    secret = load_secret(Path(key.secret_file)) if is_hmac else b""
    return _Held(
        key,
        b"" if is_hmac else _public(key),
        hmac.new(secret, digestmod=hashlib.sha256) if is_hmac else None,
        tuple(ipaddress.ip_network(text) for text in key.addresses),
        _ns(key.not_before),
        _ns(key.expires),
    )


def _public(key: Key) -> bytes:
    public = base64.b64decode(key.public_key)
    if len(public) != PUBLIC_BYTES:  # libsodium reads as many wherever they end
        raise ValueError(f"key {key.id}: its public_key has {len(public)} bytes")
    return public


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)


def _ns(moment: datetime | None) -> int:
    if moment is None:
        return 0
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND_NS + since.microseconds * 1_000


def _utc(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns // SECOND_NS, UTC):%Y-%m-%dT%H:%M:%SZ}"
