"""Ports become listeners: what each route is served by, and certificates that are read anew."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from aionet import Limits, Router, Server, Timeouts
from aionet.core.admission import Admission
from aionet.core.context import StreamContext
from aionet.core.deadlines import Deadlines
from aionet.core.guests import GuestHost
from aionet.core.ports import PortFactory, timeouts_of
from aionet.core.sniffing import PortContext
from aionet.errors import ConfigError, ServerStateError, TLSConfigError
from aionet.events import Events
from aionet.routing import alpn, prefix

from ..conftest import TLSFiles
from ..serving import quiet
from .port_tools import Named, ask, on_one_port, opened, route, tls_port, trusting


async def made(*routes: dict[str, Any], endpoint: str = "tcp://127.0.0.1:0") -> tuple[PortFactory, Any, Admission]:
    router = Router()
    for settings in routes:
        router.add(endpoint, **settings)
    (port,) = router.ports
    loop = asyncio.get_running_loop()
    factory = PortFactory(loop, Events(), Deadlines(loop, 0.25), Admission(9, 9), Limits(), Timeouts(idle=77), 5)
    listener = factory.make_listener(port)
    return factory, listener.context, listener._admission


async def test_a_plain_route_alone_needs_no_port_context() -> None:
    factory, context, admission = await made(route(Named("a")))
    assert isinstance(context, StreamContext)
    assert factory.contexts == [context]
    assert admission is factory.admission
    assert context.timeouts.idle == 77


async def test_whatever_has_to_find_its_route_has_one(tls_files: TLSFiles) -> None:
    two = [route(Named("a"), match=prefix(b"a")), route(Named("b"))]
    for routes, endpoint in [
        (two, "tcp://127.0.0.1:0"),
        (two[1:], "auto://127.0.0.1:0"),
        (two[1:], tls_port(tls_files, "tls")),
        (two[1:], "tcp://127.0.0.1:0?proxy=::1"),
        ([route(protocol=asyncio.Protocol)], "tcp://127.0.0.1:0"),
    ]:
        factory, context, _ = await made(*routes, endpoint=endpoint)
        assert isinstance(context, PortContext)
        assert len(factory.contexts) == len(context.hosts) == len(routes)
        assert (context.tls is not None) == endpoint.startswith("tls")
    assert isinstance(factory.contexts[0], GuestHost)


async def test_the_limits_of_a_route_alone_stop_accepting_of_one_among_others_refuse() -> None:
    limits = Limits(max_connections=3)
    factory, _, admission = await made(route(Named("a"), limits=limits))
    assert (admission.limit, factory.admission.limit) == (3, 9)
    factory, context, admission = await made(route(Named("a"), limits=limits, match=prefix(b"a")), route(Named("b")))
    assert admission is factory.admission
    assert [host._limit and host._limit.limit for host in context.hosts.values()] == [3, None]


async def test_deadlines_until_the_route_is_known_are_those_of_the_only_one_or_the_servers() -> None:
    own = Timeouts(sniff=1)
    _, context, _ = await made(route(Named("a"), timeouts=own), endpoint="auto://127.0.0.1:0")
    assert context.timeouts is own
    router = Router()
    handler = Named("a")
    handler.timeouts = own
    assert timeouts_of(router.add("tcp://127.0.0.1:1", handler), Timeouts()) is own
    _, context, _ = await made(route(Named("a"), timeouts=own, match=prefix(b"a")), route(Named("b")))
    assert context.timeouts.idle == 77


# ---- certificates --------------------------------------------------------------------------------


async def certificate_shown(place: Any, files: TLSFiles, name: str = "localhost") -> dict[str, Any]:
    context = trusting(files)
    context.check_hostname = False
    _, writer = await opened(place, ssl=context, server_hostname=name)
    shown: dict[str, Any] = writer.get_extra_info("peercert")
    writer.transport.abort()
    return shown


def issue(directory: Path, files: TLSFiles, *names: str) -> tuple[str, TLSFiles]:
    """Certificates of one CA, one for each group of names, with key; and where that CA is."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(directory / "ca.pem")
    options = []
    for number, group in enumerate(names):
        file = directory / f"{number}.pem"
        ca.issue_cert(*group.split()).private_key_and_cert_chain_pem.write_to_path(file)
        options.append(f"cert={file}")
    trusted = TLSFiles(**{name: getattr(files, name) for name in TLSFiles.__slots__} | {"ca": directory / "ca.pem"})
    return "&".join(options), trusted


async def test_a_certificate_for_each_name(tls_files: TLSFiles, tmp_path: Path) -> None:
    options, trusted = issue(tmp_path, tls_files, "a.example.com", "*.b.example.com", "b.example.com c.example.com")
    expected = {
        "a.example.com": "a.example.com",
        "A.EXAMPLE.COM": "a.example.com",
        "x.b.example.com": "*.b.example.com",
        "x.y.b.example.com": "a.example.com",  # a wildcard is for one label; the first is for everybody else
        "b.example.com": "b.example.com",
        "c.example.com": "b.example.com",
        "unknown.example.com": "a.example.com",
    }
    for scheme in ("tls", "auto"):
        async with on_one_port(f"{scheme}://127.0.0.1:0?{options}", route(Named("a"))) as (_, place):
            for name, first in expected.items():
                shown = await certificate_shown(place, trusted, name)
                assert shown["subjectAltName"][0] == ("DNS", first), name
            shown = await certificate_shown(place, trusted, "127.0.0.1")  # a client that sends no name
            assert shown["subjectAltName"][0] == ("DNS", "a.example.com")


@pytest.mark.parametrize(
    ("names", "more", "says"),
    [
        (["a.example.com", "a.example.com"], "", "would never be shown: it is for a.example.com: those before it"),
        (["a.example.com", "b.example.com"], "&key=/nowhere", "2 certificates, but 1 keys"),
    ],
)
async def test_certificates_that_cannot_be_told_apart(
    names: list[str], more: str, says: str, tls_files: TLSFiles, tmp_path: Path
) -> None:
    options, _ = issue(tmp_path, tls_files, *names)
    with pytest.raises(TLSConfigError, match=says):
        await made(route(Named("a")), endpoint=f"tls://127.0.0.1:0?{options}{more}")


async def test_what_the_routes_name_is_offered_by_alpn(tls_files: TLSFiles) -> None:
    routes = [route(Named("two"), match=alpn("h2")), route(Named("x"), match=alpn("x/1") | prefix(b"x"))]
    async with on_one_port(tls_port(tls_files), *routes, route(Named("rest"))) as (_, place):
        for offers, agreed in [(("x/1", "h2"), "h2"), (("x/1",), "x/1"), (("y",), None)]:
            context = trusting(tls_files, *offers)
            _, writer = await opened(place, ssl=context, server_hostname="localhost")
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == agreed
            writer.transport.abort()


async def test_a_context_of_ones_own_keeps_its_sni_callback(tls_files: TLSFiles) -> None:
    asked: list[str | None] = []
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(tls_files.server_cert, tls_files.server_key)
    own.sni_callback = lambda tls, name, context: asked.append(name)
    settings = route(Named("rest"), ssl_context=own)
    for _ in range(2):  # the same context for two servers, one after the other
        async with on_one_port("auto://127.0.0.1:0", settings) as (server, place):
            inside: dict[str, Any] = {"ssl": trusting(tls_files), "server_hostname": "localhost"}
            assert await ask(place, b"x\n", **inside) == b"rest x 127.0.0.1\n"
            server.reload_certificates()
    assert asked == ["localhost", "localhost"]


async def test_certificates_are_read_anew(tls_files: TLSFiles, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(tls_files.server_cert, cert)
    shutil.copy(tls_files.server_key, key)
    endpoint = f"auto://127.0.0.1:0?cert={cert}&key={key}"
    inside: dict[str, Any] = {"ssl": trusting(tls_files), "server_hostname": "localhost"}
    async with on_one_port(endpoint, route(Named("rest"))) as (server, place):
        reader, writer = await opened(place, **inside)
        before = (await certificate_shown(place, tls_files))["serialNumber"]
        # A new certificate with the old key: refused, and what is in use stays in use.
        shutil.copy(tls_files.other_cert, cert)
        with pytest.raises(TLSConfigError, match="does not belong to certificate"):
            server.reload_certificates()
        assert (await certificate_shown(place, tls_files))["serialNumber"] == before
        shutil.copy(tls_files.other_key, key)
        server.reload_certificates()
        other = TLSFiles(**{name: getattr(tls_files, name) for name in TLSFiles.__slots__} | {"ca": tls_files.other_ca})
        assert (await certificate_shown(place, other))["serialNumber"] != before
        writer.write(b"x\n")
        assert await reader.readline() == b"rest x 127.0.0.1\n"  # who was there before goes on
        writer.transport.abort()


async def test_only_a_server_that_serves_has_certificates() -> None:
    router = Router()
    router.add("tcp://127.0.0.1:0", Named("a"))
    with quiet():
        server = Server(router)
        with pytest.raises(ServerStateError, match="a server that is new has no certificates in use"):
            server.reload_certificates()
        async with server:
            server.reload_certificates()


async def test_no_routes_no_server() -> None:
    with pytest.raises(ConfigError, match="the router has no routes"):
        await Server(Router()).start()
