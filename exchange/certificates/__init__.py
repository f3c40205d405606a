"""Certificates of what was given up for good: which tonnes, by serial number, for whom and why."""

from exchange.certificates.facts import Certificate, CertificateRefusedError, certificate_of
from exchange.certificates.paper import write_certificate

__all__ = ["Certificate", "CertificateRefusedError", "certificate_of", "write_certificate"]
