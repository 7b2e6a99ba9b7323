"""What each kind of first bytes reaches on a port, found by asking the port itself. No connection is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from ..routing import NEED_MORE, ConnectionFacts, Port, Route, http, ssh, websocket
from ..routing.client_hello import MalformedHello, format_client_hello, read_client_hello

__all__ = ["Probe", "Reached", "probe"]

_SOMEBODY: Final = ConnectionFacts(peer=("192.0.2.1", 50000))
"""A peer of the network for documentation (RFC 5737), so that it is in nobody's ``peer()`` by chance."""

_HOSTS_TWICE: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: example.com\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a client may say first.

    Attributes:
        kind: For people.
        data: The bytes; none for one who says nothing.
        facts: What is known of that client besides.
    """

    kind: str
    data: bytes
    facts: ConnectionFacts = _SOMEBODY


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a probe ends.

    Attributes:
        probe: Which.
        route: Whose it is; ``None``: it is refused.
        waits: What it waits for before: ``"silence"``, or ``"deadline"`` where its bytes leave the matter open.
    """

    probe: Probe
    route: Route | None
    waits: str | None = None


def probe(port: Port) -> list[Reached]:
    """Where the usual first bytes end on this port, and those that its routes name as their own."""
    return [_reach(port, each) for each in dict.fromkeys(_probes(port))]


def _reach(port: Port, probe: Probe) -> Reached:
    found = port.decide(probe.data, probe.facts)
    if found is not NEED_MORE:
        return Reached(probe, found)
    if not probe.data and port.silence is not None:
        found = port.decide(b"", replace(probe.facts, silent=True))
        if found is not NEED_MORE:
            return Reached(probe, found, "silence")
    found = port.decide(probe.data, probe.facts, final=True)
    assert found is not NEED_MORE
    return Reached(probe, found, "deadline")


def _probes(port: Port) -> Iterator[Probe]:
    hellos = [Probe("TLS", format_client_hello()), Probe("TLS for example.com", format_client_hello("example.com"))]
    own = [
        Probe(f"as {route.name}: {_shown(sample)}", sample)
        for route in port.routes
        if route.match is not None
        for sample in route.match.samples[:1]
    ]
    named = [Probe(f"TLS, {each.kind.partition(':')[0]}", each.data) for each in own if _hello(each.data)]
    plain = [
        Probe("silence", b""),
        Probe("a line of text", b"hello\r\n"),
        Probe("HTTP", http("GET", path="/").samples[0]),
        Probe("HTTP, two hosts", _HOSTS_TWICE),
        Probe("WebSocket", websocket("/").samples[0]),
        Probe("SSH", ssh().samples[0] + b"client\r\n"),
        Probe("64 bytes unknown", b"\xff" * 64),
        *(each for each in own if not _hello(each.data)),
    ]
    if not port.endpoint.is_tls:
        yield from plain
        if not port.proxy_networks:  # where it is believed, it is taken off, and what follows decides
            yield Probe("PROXY header", b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 7000\r\n")
    if not port.tls:
        yield from hellos + named
        return
    for hello in hellos + named:
        yield Probe(f"{hello.kind}, then a line", b"hello\r\n", _inside(port, hello.data))
    for each in plain:
        yield Probe(f"TLS, then {each.kind}", each.data, _inside(port, format_client_hello()))


def _shown(sample: bytes) -> str:
    text = repr(sample)[1:]
    return text if len(text) <= 24 else f"{text[:20]}...'"


def _hello(data: bytes) -> bool:
    try:
        return read_client_hello(data) is not None
    except MalformedHello:
        return False


def _inside(port: Port, data: bytes) -> ConnectionFacts:
    """What is known once our own TLS is done with the client that said this."""
    hello = read_client_hello(data)
    assert hello is not None
    agreed = next((protocol for protocol in port.alpn if protocol in hello.protocols), None)
    return replace(_SOMEBODY, tls=True, server_name=hello.server_name, alpn=agreed)
