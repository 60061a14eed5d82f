"""Whether the certificate that a proxy saw at the other end of its TLS connection is one that a source asks for.

True here: a fingerprint names one certificate; a name counts only in a certificate that one of the source's own
authorities has signed, whatever the proxy has checked; one that is over or not yet valid never counts. The proxy proves
that the sender holds the key, by the handshake. Pure.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from services.payments.domain.source_settings import ClientCertificate

RFC_9440 = "client-cert"
_MOST = 16 * 1024


def why_refused(asked: ClientCertificate, given: Sequence[bytes], now: datetime) -> str | None:
    """None: it is one. `given`: every value of the header that the proxy sets, none for a sender without one."""
    if len(given) != 1 or not given[0]:
        return "the sender showed no client certificate to the proxy"
    found = _read(asked.header, given[0])
    if found is None:
        return f"the header {asked.header!r} holds no certificate in the form that its name stands for"
    if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
        return f"the client certificate is valid from {found.not_valid_before_utc} to {found.not_valid_after_utc}"
    if found.fingerprint(SHA256()).hex() in asked.fingerprints:
        return None
    if asked.names and _is_issued(found, asked.authorities):
        names = _names(found)
        return None if names & set(asked.names) else "the client certificate has none of the names of this source"
    return "the client certificate is none of this source's, and none of its authorities signed it"


def _read(header: str, value: bytes) -> x509.Certificate | None:
    """RFC 9440: the DER bytes as a byte sequence, `:MIIB...:`; everywhere else the PEM text, percent-encoded."""
    if len(value) > _MOST:
        return None
    try:
        if header != RFC_9440:
            return x509.load_pem_x509_certificate(unquote_to_bytes(value))
        text = value.strip()
        if len(text) < 3 or (text[:1], text[-1:]) != (b":", b":"):
            return None
        return x509.load_der_x509_certificate(base64.b64decode(text[1:-1], validate=True))
    except (ValueError, x509.InvalidVersion):
        return None


def _is_issued(found: x509.Certificate, authorities: Sequence[str]) -> bool:
    for pem in authorities:
        try:
            found.verify_directly_issued_by(x509.load_pem_x509_certificate(pem.encode()))
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def _names(found: x509.Certificate) -> set[str]:
    """DNS names and URIs of the alternative names, and the subject's common names."""
    try:
        also = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        also = None
    common = {str(each.value) for each in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    if also is None:
        return common
    return common | {*also.get_values_for_type(x509.DNSName), *also.get_values_for_type(x509.UniformResourceIdentifier)}
