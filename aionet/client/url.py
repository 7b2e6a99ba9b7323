"""``http`` and ``https`` URLs: parsed, checked, and as a server is to be asked for them (RFC 3986, RFC 9110)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import quote, unquote, urljoin, urlsplit

from ..endpoint import Endpoint
from ..errors import EndpointError

__all__ = ["URL"]

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[A-Za-z0-9._~-]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SAFE: Final = "/:@!$&'()*+,;=%-._~"
"""What stays as it is in a path; ``%`` because what is already escaped stays escaped."""


@dataclass(frozen=True, slots=True)
class URL:
    """Where to ask, and for what.

    Attributes:
        scheme: ``"http"`` or ``"https"``.
        host: Name (ASCII; others as IDNA 2003 writes them) or address, without brackets.
        port: 1 to 65535.
        target: Path and query as they stand in the request, percent-encoded, never empty.
    """

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL. A fragment is left out: it is never sent.

        Raises:
            EndpointError: with what is wrong and what would be right.
        """
        if _CONTROL.search(text):
            raise EndpointError(f"URL {text!r}: contains a control character")
        if "://" not in text:
            raise EndpointError(f"URL {text!r}: no scheme", hint=f"try http://{text}")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as exc:
            raise EndpointError(f"URL {text!r}: {exc}") from exc
        if parts.scheme not in DEFAULT_PORTS:
            raise EndpointError(f"URL {text!r}: scheme {parts.scheme!r} is not fetched here", hint="http and https are")
        if "@" in parts.netloc:
            raise EndpointError(
                f"URL {text!r}: a name and password do not belong into a URL",
                hint="send them as a header: Authorization: Basic ...",
            )
        if port == 0:
            raise EndpointError(f"URL {text!r}: nobody can be reached at port 0")
        target = quote(parts.path, safe=_SAFE, errors="surrogateescape") or "/"
        if parts.query:
            target += "?" + quote(parts.query, safe=_SAFE + "?", errors="surrogateescape")
        return cls(parts.scheme, _host(text, parts.hostname or ""), port or DEFAULT_PORTS[parts.scheme], target)

    def join(self, reference: str) -> Self:
        """The URL that ``reference`` (a ``Location``, maybe relative) means here.

        Raises:
            EndpointError: it is none, or neither http nor https.
        """
        if _CONTROL.search(reference):
            raise EndpointError(f"URL {reference!r}: contains a control character")
        try:
            joined = urljoin(str(self), reference)
        except ValueError as exc:
            raise EndpointError(f"URL {reference!r}: {exc}") from exc
        if "://" not in joined:  # such as mailto:
            scheme = joined.partition(":")[0]
            raise EndpointError(f"URL {reference!r}: scheme {scheme!r} is not fetched here", hint="http and https are")
        return self.parse(joined)

    @property
    def authority(self) -> str:
        """Host and port as the ``Host`` header has them: the port only where it is not the scheme's own."""
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what credentials are for (RFC 6454)."""
        return self.scheme, self.host, self.port

    @property
    def endpoint(self) -> Endpoint:
        """What to connect to."""
        return Endpoint("tls" if self.scheme == "https" else "tcp", self.host, self.port)

    def __str__(self) -> str:
        authority = self.authority
        if "%" in self.host:  # a zone is for us alone (RFC 6874), but a redirect must not lose it
            authority = authority.replace("]", f"%25{self.host.partition('%')[2]}]")
        return f"{self.scheme}://{authority}{self.target}"


def _host(text: str, host: str) -> str:
    """The host as look-ups and headers take it."""
    if not host:
        raise EndpointError(f"URL {text!r}: no host")
    if ":" in host:
        host = unquote(host)
        try:
            ipaddress.IPv6Address(host)
        except ValueError as exc:
            raise EndpointError(f"URL {text!r}: {host!r} is not an IPv6 address") from exc
        return host
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as exc:
            raise EndpointError(f"URL {text!r}: {host!r} is no host name: {exc}") from exc
    if not _HOST.fullmatch(host):
        raise EndpointError(f"URL {text!r}: {host!r} is no host name")
    return host
