"""TLS of a gateway's ports: 1.3, or 1.2 with ciphers that encrypt and authenticate at once.

One context serves HTTP, the sockets and FIX. The files are looked at every KEYS_POLL_S: a renewed
certificate is what new connections get, without a restart; those that stand keep theirs. Files that
do not fit each other change nothing, and the log line `certificate_unchanged` says why.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import structlog

from exchange.settings import Settings
from gateway.access.file_watch import look_until, prints

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of 1.2; 1.3 has no others


class Certificate:
    """A chain, its key, and the context that has them."""

    def __init__(self, chain: Path, key: Path) -> None:
        """OSError, ssl.SSLError for files that are not there or do not fit each other."""
        self._files = (chain, key)
        self._seen = prints(self._files)
        self.context = self._made()
        self._logger = structlog.get_logger().bind(service="gateway")

    @classmethod
    def of(cls, settings: Settings) -> Certificate | None:
        """As the settings name it, None where they name none; ValueError for half of one."""
        if bool(settings.tls_certificate) != bool(settings.tls_key):
            raise ValueError("EXCHANGE_TLS_CERTIFICATE and EXCHANGE_TLS_KEY go together")
        if not settings.tls_certificate:
            return None
        return cls(Path(settings.tls_certificate), Path(settings.tls_key))

    async def run(self, stop: asyncio.Event) -> None:
        """Looks until `stop`."""
        await look_until(stop, self.look)

    def look(self) -> None:
        """One look: reads the files again when they changed. O(1)."""
        found = prints(self._files)
        if found == self._seen:
            return
        self._seen = found
        try:
            self._made()  # a context that has taken half of a pair would serve nobody
            self.context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            self._logger.error("certificate_unchanged", error=str(error))
            return
        self._logger.info("certificate_read", file=str(self._files[0]))

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.load_cert_chain(*self._files)
        return context
