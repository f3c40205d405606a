"""Where a request came from: the address that the socket shows, or that a trusted proxy tells."""

from __future__ import annotations

import functools
import ipaddress
from typing import Any, NamedTuple

from exchange.settings import ADDRESSES_REMEMBERED_MAX

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IPV6_PREFIX = 64  # addresses of one IPv6 site count together


class Origin(NamedTuple):
    """Whence and how."""

    address: str
    is_secure: bool  # over TLS, as far as the venue can know


class Origins:
    """Finds the origin of requests; without trusted proxies no header is believed."""

    def __init__(self, trusted_proxies: str) -> None:
        """ValueError names a text that is no network."""
        parts = [part.strip() for part in trusted_proxies.split(",") if part.strip()]
        self._trusted: list[Network] = [ipaddress.ip_network(part) for part in parts]

    def of(self, scope: dict[str, Any] | Any, headers: Any) -> Origin:
        """The origin of an HTTP request. O(addresses in its headers)."""
        client = scope.get("client")
        address = client[0] if client else ""
        is_secure = scope.get("scheme") == "https"
        if not self._trusted or not self.is_trusted(address):
            return Origin(address, is_secure)
        is_secure |= headers.get("x-forwarded-proto", "") == "https"
        for told in reversed(headers.get("x-forwarded-for", "").split(",")):
            address = told.strip() or address
            if not self.is_trusted(address):
                break
        return Origin(address, is_secure)

    def is_trusted(self, address: str) -> bool:
        """Whether it is a proxy's that speaks for others. O(networks)."""
        if not self._trusted:
            return False
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._trusted)


@functools.lru_cache(ADDRESSES_REMEMBERED_MAX)
def counted(address: str) -> str:
    """Under what an address is counted: itself, or the network of an IPv6 site."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found), IPV6_PREFIX), strict=False))
    return address
