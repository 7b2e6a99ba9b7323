"""TLS: contexts with modern defaults, certificates by name, and what a handshake agreed on."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..endpoint import Endpoint
from ..errors import TLSConfigError
from ..handler import TLSFacts
from .certificate import parse_certificate

__all__ = ["certificate_hint", "checked_context", "client_context", "server_context", "server_name", "tls_facts"]

_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_SELF_SIGNED: Final = (18, 19)
_WRONG_NAME: Final = (62, 64)
"""Why OpenSSL did not trust a certificate: X509_V_ERR_..., openssl-verification-options(1)."""


class _ServerObject(ssl.SSLObject):
    """The TLS of one connection, which knows what name the client asked for."""

    server_name: str | None = None


def checked_context(endpoint: Endpoint, context: object) -> ssl.SSLContext:
    """What a user gave as ``ssl_context``, if it is one.

    Raises:
        TLSConfigError: it is not.
    """
    if not isinstance(context, ssl.SSLContext):
        raise TLSConfigError(f"{endpoint.location}: {context!r} is no ssl.SSLContext")
    return context


def server_context(endpoint: Endpoint, given: object = None, *, alpn: Sequence[str] = ()) -> ssl.SSLContext:
    """The context to serve TLS with on this endpoint, from its ``cert``, ``key`` and ``client_ca``, or the one given.

    TLS 1.2 at least, Python's own choice of ciphers. With ``client_ca`` a client must show a certificate. Of several
    certificates a client is shown the one for the name it asks for (SNI), else the first. Everything is read anew: a
    context that serves already is never touched by what cannot be loaded.

    Args:
        endpoint: A ``tls`` or ``auto`` endpoint.
        given: A user's own context, which keeps its settings but for what follows.
        alpn: Protocols to offer by ALPN, the preferred one first; none: as it is.

    Raises:
        TLSConfigError: what is missing, unreadable, or does not fit.
    """
    if given is not None:
        contexts = [checked_context(endpoint, given)]
    else:
        contexts = [_context_of(endpoint, cert, key) for cert, key in _pairs(endpoint)]
    for context in contexts:
        if alpn:
            context.set_alpn_protocols(list(alpn))
    by_name = _by_name(endpoint, contexts) if len(contexts) > 1 else {}
    first = contexts[0]
    if first.sslobject_class is ssl.SSLObject:
        first.sslobject_class = _ServerObject
        first.sni_callback = _sni_callback(by_name, first.sni_callback)
    return first


def server_name(ssl_object: object) -> str | None:
    """The name that a client has asked for in a handshake with a :func:`server_context`."""
    return ssl_object.server_name if isinstance(ssl_object, _ServerObject) else None


def _sni_callback(by_name: dict[str, ssl.SSLContext], inner: Any) -> Any:
    def choose(tls: Any, name: str | None, context: ssl.SSLContext) -> int | None:
        if name is not None:
            tls.server_name = name = name.lower()
            chosen = by_name.get(name) or by_name.get("*." + name.partition(".")[2])
            if chosen is not None:
                tls.context = chosen
        return None if inner is None else inner(tls, name, context)

    return choose


def _by_name(endpoint: Endpoint, contexts: list[ssl.SSLContext]) -> dict[str, ssl.SSLContext]:
    """Which context is for which name: those in the certificates, wildcards (``*.example.com``, one label) included."""
    found: dict[str, ssl.SSLContext] = {}
    for cert, context in zip(endpoint.texts("cert"), contexts, strict=True):
        names = [name.lower() for name in _names_in(endpoint, cert)]
        fresh = [name for name in names if name not in found]
        if not fresh and context is not contexts[0]:
            why = f"{', '.join(names)}: those before it are for the same" if names else "no name (subjectAltName)"
            raise TLSConfigError(
                f"{endpoint.location}: certificate {cert!r} would never be shown: it is for {why}",
                hint="of several certificates a client is shown the one for the name it asks for, else the first",
            )
        found.update(dict.fromkeys(fresh, context))
    return found


def _names_in(endpoint: Endpoint, cert: str) -> tuple[str, ...]:
    text = Path(cert).read_text("latin-1")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        first = text[text.index(begin) : text.index(end) + len(end)]
        return parse_certificate(ssl.PEM_cert_to_DER_cert(first)).names
    except ValueError as exc:
        raise TLSConfigError(f"{endpoint.location}: {cert!r}: {exc}") from exc


def _pairs(endpoint: Endpoint) -> list[tuple[str, str]]:
    certs, keys = endpoint.texts("cert"), endpoint.texts("key")
    if not certs:
        raise TLSConfigError(
            f"{endpoint.location}: TLS needs a certificate", hint=f"{endpoint.location}?cert=server.pem&key=server.key"
        )
    if keys and len(keys) != len(certs):
        raise TLSConfigError(
            f"{endpoint.location}: {len(certs)} certificates, but {len(keys)} keys",
            hint="give one key for each certificate, in the same order, or none where each file holds both",
        )
    return list(zip(certs, keys or certs, strict=True))


def _context_of(endpoint: Endpoint, cert: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # of TLS 1.2, costly for us and cheap for the peer; OpenSSL 3's default
    _load_pair(context, endpoint, cert, key)
    authorities = endpoint.options.get("client_ca")
    if authorities is not None:
        _load_authorities(context, endpoint, str(authorities))
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
        if len(endpoint.texts("cert")) > 1:
            raise TLSConfigError(f"{endpoint.location}: a client shows one certificate, not several")
        _load_pair(context, endpoint, *_pairs(endpoint)[0])
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


def _load_pair(context: ssl.SSLContext, endpoint: Endpoint, cert: str, key: str) -> None:
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
