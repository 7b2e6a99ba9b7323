"""TLS: contexts with modern defaults, and what a handshake agreed on.

Implicit TLS only: ``loop.start_tls`` after reading loses bytes that were already buffered.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final

from ..endpoint import Endpoint
from ..errors import TLSConfigError
from ..handler import TLSFacts

__all__ = ["certificate_hint", "checked_context", "client_context", "server_context", "tls_facts"]

_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_SELF_SIGNED: Final = (18, 19)
_WRONG_NAME: Final = (62, 64)
"""Why OpenSSL did not trust a certificate: X509_V_ERR_..., openssl-verification-options(1)."""


def checked_context(endpoint: Endpoint, context: object) -> ssl.SSLContext:
    """What a user gave as ``ssl_context``, if it is one.

    Raises:
        TLSConfigError: it is not.
    """
    if not isinstance(context, ssl.SSLContext):
        raise TLSConfigError(f"{endpoint.location}: {context!r} is no ssl.SSLContext")
    return context


def server_context(endpoint: Endpoint) -> ssl.SSLContext:
    """The context of a ``tls://`` endpoint to listen on, from its ``cert``, ``key`` and ``client_ca``.

    TLS 1.2 at least, Python's own choice of ciphers. With ``client_ca`` a client must show a certificate.

    Raises:
        TLSConfigError: what is missing, unreadable, or does not fit.
    """
    options = endpoint.options
    if "cert" not in options:
        raise TLSConfigError(
            f"{endpoint.location}: TLS needs a certificate", hint=f"{endpoint.location}?cert=server.pem&key=server.key"
        )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_pair(context, endpoint)
    if "client_ca" in options:
        _load_authorities(context, endpoint, str(options["client_ca"]))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(endpoint: Endpoint) -> ssl.SSLContext:
    """The context to connect to a ``tls://`` endpoint, from its ``ca``, ``verify``, ``cert`` and ``key``.

    Certificate and name are verified unless ``verify=0``.

    Raises:
        TLSConfigError: what is missing, unreadable, or does not fit.
    """
    options = endpoint.options
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if "ca" in options:
        _load_authorities(context, endpoint, str(options["ca"]))
    if not options.get("verify", True):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if "cert" in options:
        _load_pair(context, endpoint)
    return context


def tls_facts(ssl_object: Any) -> TLSFacts:
    """What was agreed on, from an ``ssl.SSLObject`` or one that looks like it."""
    cipher = ssl_object.cipher()
    return TLSFacts(
        version=ssl_object.version() or "",
        cipher=cipher[0] if cipher else "",
        alpn=ssl_object.selected_alpn_protocol(),
        peer_certificate=ssl_object.getpeercert() or {},
        certificate=ssl_object.getpeercert(True) or b"",
    )


def certificate_hint(verify_code: int, *, ca: str = "?ca=FILE", anybody: str = "?verify=0") -> str:
    """What to do about a certificate that was not trusted.

    Args:
        verify_code: ``ssl.SSLCertVerificationError.verify_code``.
        ca: How to name a CA, where the reader is.
        anybody: How to trust everybody there.
    """
    if verify_code == _EXPIRED:
        return f"the server needs a new one; {anybody} trusts anybody"
    if verify_code == _NOT_YET_VALID:
        return f"is this machine's clock right? {anybody} trusts anybody"
    if verify_code in _WRONG_NAME:
        return f"connect by a name that stands in it; {anybody} trusts anybody"
    if verify_code in _SELF_SIGNED:
        return f"it vouches for itself, or its CA does: if it is yours, name it with {ca}; {anybody} trusts anybody"
    return f"name the CA with {ca}; {anybody} trusts anybody"


def _readable(endpoint: Endpoint, key: str, file: str) -> None:
    try:
        with Path(file).open("rb"):
            pass
    except OSError as exc:
        raise TLSConfigError(f"{endpoint.location}: cannot read {key} file {file!r}: {exc.strerror}") from exc


def _load_pair(context: ssl.SSLContext, endpoint: Endpoint) -> None:
    cert = str(endpoint.options["cert"])
    key = str(endpoint.options.get("key", cert))
    _readable(endpoint, "cert", cert)
    _readable(endpoint, "key", key)

    def refuse_password() -> str:
        raise TLSConfigError(
            f"{endpoint.location}: key file {key!r} is encrypted", hint="decrypt it: openssl pkey -in KEY -out PLAIN"
        )

    try:
        context.load_cert_chain(cert, key, password=refuse_password)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            why = f"key {key!r} does not belong to certificate {cert!r}"
        else:
            why = f"{cert!r} and {key!r} are not a PEM certificate and its key ({exc.reason or exc})"
        raise TLSConfigError(f"{endpoint.location}: {why}") from exc


def _load_authorities(context: ssl.SSLContext, endpoint: Endpoint, file: str) -> None:
    _readable(endpoint, "CA", file)
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError as exc:
        raise TLSConfigError(f"{endpoint.location}: {file!r} holds no PEM certificate ({exc.reason or exc})") from exc
