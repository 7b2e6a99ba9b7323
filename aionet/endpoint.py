"""Endpoints: where to listen or to connect, as one string.

::

    tcp://127.0.0.1:7000            tcp://[::1]:7000?nodelay=0&rcvbuf=262144
    tls://0.0.0.0:7443?cert=server.pem&key=server.key&client_ca=clients.pem
    auto://0.0.0.0:4000?cert=a.pem&cert=b.pem       plain and TLS on one port, certificates by SNI
    ws://127.0.0.1:8081/chat        wss://0.0.0.0:8443/chat?cert=server.pem&key=server.key
    unix:///run/app.sock?mode=0600
    udp://239.1.2.3:5000?interface=127.0.0.1
    fd://3                          a listening socket inherited from a supervisor

A host that is empty or ``*`` means every address of this machine, IPv4 and IPv6. Socket options stand behind
the ``?``; :data:`OPTIONS` lists them all with what they mean.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from .errors import EndpointError

__all__ = ["OPTIONS", "SCHEMES", "Endpoint", "Option", "OptionValue"]

OptionValue = bool | int | str | tuple[str, ...]

SCHEMES: Final = ("tcp", "tls", "auto", "ws", "wss", "unix", "udp", "fd")
_TLS = frozenset({"tls", "wss"})
_WEB = frozenset({"ws", "wss"})
_SERVES_TLS = _TLS | {"auto"}
_STREAM_INET = frozenset({"tcp"}) | _SERVES_TLS | _WEB
_STREAM = _STREAM_INET | {"unix", "fd"}
_INET = _STREAM_INET | {"udp"}
_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class Option:
    """One key behind the ``?``: how its value reads, which schemes take it, what it does, whether it may repeat."""

    kind: type[bool] | type[int] | type[str]
    schemes: frozenset[str]
    meaning: str
    minimum: int = 0
    repeats: bool = False


OPTIONS: Final[Mapping[str, Option]] = MappingProxyType(
    {
        "nodelay": Option(bool, _STREAM_INET | {"fd"}, "TCP_NODELAY: send small writes at once (default on)"),
        "keepalive": Option(bool, _STREAM_INET | {"fd"}, "SO_KEEPALIVE: notice a dead peer (default on)"),
        "keepalive_idle": Option(int, _STREAM_INET, "seconds of silence before the first keep-alive probe", 1),
        "keepalive_interval": Option(int, _STREAM_INET, "seconds between keep-alive probes", 1),
        "keepalive_count": Option(int, _STREAM_INET, "unanswered probes before the peer counts as dead", 1),
        "user_timeout": Option(
            int, _STREAM_INET, "TCP_USER_TIMEOUT: milliseconds sent data may stay unacknowledged", 1
        ),
        "backlog": Option(int, _STREAM, "connections the kernel queues before they are accepted", 1),
        "rcvbuf": Option(int, _INET | {"unix"}, "SO_RCVBUF: bytes of the kernel's receive buffer", 1),
        "sndbuf": Option(int, _INET | {"unix"}, "SO_SNDBUF: bytes of the kernel's send buffer", 1),
        "reuse_address": Option(bool, _INET, "SO_REUSEADDR (default on for streams)"),
        "reuse_port": Option(bool, _INET, "SO_REUSEPORT: several processes may bind this port"),
        "ipv6only": Option(bool, _INET, "IPV6_V6ONLY: an IPv6 wildcard leaves IPv4 alone"),
        "mode": Option(str, frozenset({"unix"}), "permissions of the socket file, octal, such as 0600"),
        "cert": Option(
            str,
            _SERVES_TLS,
            "PEM file with the certificate chain to show; of several, a server takes one by SNI",
            repeats=True,
        ),
        "key": Option(str, _SERVES_TLS, "PEM file with its private key (default: in cert)", repeats=True),
        "proxy": Option(
            str,
            _STREAM_INET,
            "network whose proxies send a PROXY header, and are believed, such as 10.0.0.0/8",
            repeats=True,
        ),
        "client_ca": Option(str, _SERVES_TLS, "PEM file of CAs; a client must show a certificate of theirs"),
        "ca": Option(str, _TLS, "PEM file of CAs a client trusts (default: the system's)"),
        "server_name": Option(str, _TLS, "name a client expects in the certificate (default: the host)"),
        "verify": Option(bool, _TLS, "whether a client checks the certificate (default on)"),
        "proxy_header": Option(
            str, _STREAM - {"fd", "auto"}, "PROXY header that a client sends first: v1 or v2, of its own end"
        ),
        "broadcast": Option(bool, frozenset({"udp"}), "SO_BROADCAST: may send to broadcast addresses"),
        "interface": Option(str, frozenset({"udp"}), "interface of a multicast group: its IPv4 address, or its name"),
        "ttl": Option(int, frozenset({"udp"}), "hops a multicast datagram may travel (default 1)"),
    }
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A parsed endpoint. ``str(endpoint)`` gives a string that parses to an equal one.

    Attributes:
        scheme: One of :data:`SCHEMES`.
        host: Name or address without brackets; ``""`` means every address. Empty for ``unix`` and ``fd``.
        port: 0 to 65535; 0 lets the system choose. 0 for ``unix``; the descriptor's number for ``fd``.
        path: File of a ``unix`` socket; path of the request of ``ws`` and ``wss``, still percent-encoded, ``"/"`` if
            none is given; empty for the others.
        options: Values by key, typed as :data:`OPTIONS` says; a tuple where one was given several times.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    options: Mapping[str, OptionValue] = field(default_factory=dict, hash=False)

    @classmethod
    def parse(cls, text: str | Endpoint) -> Endpoint:
        """Read an endpoint string; an :class:`Endpoint` passes unchanged.

        Raises:
            EndpointError: with what is wrong, where, and what would be right.
        """
        if isinstance(text, Endpoint):
            return text
        if not isinstance(text, str):
            raise EndpointError(f"an endpoint is a string such as 'tcp://127.0.0.1:7000', not {text!r}")
        if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
            raise EndpointError(f"endpoint {text!r}: contains a control character")
        scheme, separator, rest = text.partition("://")
        if not separator:
            raise EndpointError(
                f"endpoint {text!r}: no scheme", hint=f"try tcp://{text}, or another of {_listed(SCHEMES)}"
            )
        if scheme not in SCHEMES:
            raise EndpointError(f"endpoint {text!r}: unknown scheme {scheme!r}", hint=_did_you_mean(scheme, SCHEMES))
        place, _, query = rest.partition("?")
        options = _parse_options(text, scheme, query)
        if scheme == "unix":
            if not place:
                raise EndpointError(f"endpoint {text!r}: no path", hint="unix:///run/app.sock has an absolute path")
            return cls(scheme, path=_parse_path(text, place), options=options)
        if scheme == "fd":
            return cls(scheme, port=_parse_number(text, "descriptor", place, 1 << 20), options=options)
        path = ""
        if scheme in _WEB:
            place, _, rest = place.partition("/")
            path = _parse_url_path(text, f"/{rest}")
            if ":" not in place.rpartition("]")[2]:
                place = f"{place}:{_DEFAULT_PORTS[scheme]}"
        host, port = _parse_host_port(text, place)
        return cls(scheme, host, port, path, options)

    def with_options(self, **options: OptionValue) -> Endpoint:
        """The same endpoint with these options set as well.

        Raises:
            EndpointError: an option that is unknown here, or a value of the wrong type.
        """
        merged = dict(self.options)
        for key, value in options.items():
            known = _known_option(str(self), self.scheme, key)
            if type(value) is not known.kind and not (known.repeats and _are_texts(value)):
                raise EndpointError(f"option {key!r} takes {_KINDS[known.kind]}, not {value!r}")
            for each in value if isinstance(value, tuple) else (value,):
                _check_value(str(self), key, known, each)
            merged[key] = value[0] if isinstance(value, tuple) and len(value) == 1 else value
        return Endpoint(self.scheme, self.host, self.port, self.path, merged)

    def number(self, key: str, default: int = 0) -> int:
        """The value of an option that is a number, or 0 or 1."""
        value = self.options.get(key, default)
        assert isinstance(value, int)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """All values of an option that may be repeated; none, where it is absent."""
        value = self.options.get(key, ())
        return value if isinstance(value, tuple) else (str(value),)

    @property
    def is_datagram(self) -> bool:
        """Whether messages keep their borders here (UDP), instead of forming a stream."""
        return self.scheme == "udp"

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted (tls, wss)."""
        return self.scheme in _TLS

    @property
    def is_websocket(self) -> bool:
        """Whether WebSocket messages are spoken here (ws, wss)."""
        return self.scheme in _WEB

    @property
    def is_multicast(self) -> bool:
        """Whether the host is a multicast group to be joined."""
        address = self.address
        return address is not None and address.is_multicast

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host as an IP address, or ``None`` where it is a name, or every address."""
        try:
            return ipaddress.ip_address(self.host.partition("%")[0])
        except ValueError:
            return None

    @property
    def location(self) -> str:
        """The endpoint without its options: ``tcp://127.0.0.1:7000``."""
        if self.scheme == "unix":
            return f"unix://{quote(self.path, errors=_UNDECODABLE)}"
        if self.scheme == "fd":
            return f"fd://{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host or "*"
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    def __str__(self) -> str:
        if not self.options:
            return self.location
        values = {key: _format_value(value) for key, value in self.options.items()}
        return f"{self.location}?{urlencode(values, doseq=True, safe='/', errors=_UNDECODABLE)}"


_UNDECODABLE: Final = "surrogateescape"
"""Paths are bytes; Python carries those that are no UTF-8 as lone surrogates (PEP 383), as ``os.fsencode`` does."""
_MAX_INT: Final = (1 << 31) - 1
_KINDS: Final = {bool: "0 or 1", int: "a whole number", str: "text"}
_BOOLEANS: Final = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def _format_value(value: OptionValue) -> str | tuple[str, ...]:
    return value if isinstance(value, tuple) else str(int(value)) if isinstance(value, bool) else str(value)


def _are_texts(value: OptionValue) -> bool:
    return isinstance(value, tuple) and bool(value) and all(type(each) is str for each in value)


def _listed(words: tuple[str, ...] | list[str]) -> str:
    return ", ".join(words)


def _did_you_mean(word: str, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}? known: {_listed(known)}" if close else f"known: {_listed(known)}"


def _parse_number(text: str, what: str, digits: str, highest: int) -> int:
    if not (digits.isascii() and digits.isdigit()):
        raise EndpointError(f"endpoint {text!r}: {what} {digits!r} is not a number")
    if len(digits.lstrip("0")) > 10 or int(digits) > highest:  # int() itself refuses thousands of digits
        raise EndpointError(f"endpoint {text!r}: {what} {digits} is above {highest}")
    return int(digits)


def _parse_path(text: str, place: str) -> str:
    path = unquote(place, errors=_UNDECODABLE)
    if "\0" in path:
        raise EndpointError(f"endpoint {text!r}: a path has no NUL byte")
    try:
        path.encode(errors=_UNDECODABLE)
    except UnicodeEncodeError as exc:
        raise EndpointError(f"endpoint {text!r}: {path!r} is no path: {exc.reason}") from exc
    return path


def _parse_url_path(text: str, path: str) -> str:
    if not path.isascii() or " " in path or "#" in path:
        raise EndpointError(
            f"endpoint {text!r}: {path!r} is no path of a URL", hint=f"percent-encoded: {quote(path, safe='/%')}"
        )
    return path


def _parse_host_port(text: str, place: str) -> tuple[str, int]:
    if "@" in place or "/" in place:
        raise EndpointError(f"endpoint {text!r}: only host:port may stand here", hint="such as tcp://127.0.0.1:7000")
    if place.startswith("["):
        host, bracket, tail = place[1:].partition("]")
        if not bracket or not tail.startswith(":"):
            raise EndpointError(
                f"endpoint {text!r}: no port behind the bracketed address", hint="such as tcp://[::1]:7000"
            )
        digits = tail[1:]
        try:
            ipaddress.IPv6Address(host)
        except ValueError as exc:
            raise EndpointError(f"endpoint {text!r}: {host!r} is not an IPv6 address") from exc
    else:
        host, colon, digits = place.rpartition(":")
        if ":" in host:
            raise EndpointError(
                f"endpoint {text!r}: an IPv6 address stands in brackets", hint=f"such as tcp://[{host}]:{digits}"
            )
        if not colon:
            raise EndpointError(
                f"endpoint {text!r}: no port", hint=f"such as {place}:7000; port 0 lets the system choose"
            )
    if any(character.isspace() for character in host):
        raise EndpointError(f"endpoint {text!r}: a host has no spaces")
    return ("" if host == "*" else host), _parse_number(text, "port", digits, 65535)


def _known_option(text: str, scheme: str, key: str) -> Option:
    known = OPTIONS.get(key)
    if known is None or scheme not in known.schemes:
        here = [name for name, option in OPTIONS.items() if scheme in option.schemes]
        verdict = "unknown option" if known is None else f"{scheme} has no option"
        raise EndpointError(f"endpoint {text!r}: {verdict} {key!r}", hint=_did_you_mean(key, here))
    return known


def _check_value(text: str, key: str, option: Option, value: OptionValue) -> None:
    if option.kind is int and isinstance(value, int):
        if value < option.minimum:
            raise EndpointError(f"endpoint {text!r}: {key} must be at least {option.minimum}, not {value}")
        if value > _MAX_INT:
            raise EndpointError(f"endpoint {text!r}: {key} {value} is above {_MAX_INT}")
    if value == "":
        raise EndpointError(f"endpoint {text!r}: {key} has no value")
    if key == "proxy_header" and value not in ("v1", "v2"):
        raise EndpointError(f"endpoint {text!r}: proxy_header is v1 or v2, not {value!r}")
    if key == "mode" and not (isinstance(value, str) and value and set(value) <= set("01234567") and len(value) <= 4):
        raise EndpointError(f"endpoint {text!r}: mode {value!r} is not octal", hint="such as mode=0600")
    if key == "proxy":
        try:
            ipaddress.ip_network(str(value))
        except ValueError as exc:
            raise EndpointError(f"endpoint {text!r}: proxy: {exc}", hint="such as proxy=10.0.0.0/8") from exc


def _parse_options(text: str, scheme: str, query: str) -> dict[str, OptionValue]:
    options: dict[str, OptionValue] = {}
    if not query:
        return options
    for key, raw in parse_qsl(query, keep_blank_values=True, errors=_UNDECODABLE):
        option = _known_option(text, scheme, key)
        if key in options and not option.repeats:
            raise EndpointError(f"endpoint {text!r}: option {key!r} is given twice")
        value: OptionValue = raw
        if option.kind is bool:
            if raw.lower() not in _BOOLEANS:
                raise EndpointError(f"endpoint {text!r}: {key} is {_KINDS[bool]}, not {raw!r}")
            value = _BOOLEANS[raw.lower()]
        elif option.kind is int:
            value = _parse_number(text, key, raw, _MAX_INT)
        _check_value(text, key, option, value)
        before = options.get(key, ())
        if before:
            before = before if isinstance(before, tuple) else (str(before),)
            value = (*before, raw)
        options[key] = value
    return options
