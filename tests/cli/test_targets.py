"""What ``serve`` may be asked for, and what it answers to a typo."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from aionet.cli.targets import SERVICES, Plan, ServiceOptions, build_plan, default_endpoint, service_of
from aionet.errors import AionetError, ConfigError, EndpointError, LoadError, RouteError
from aionet.routing import ConnectionFacts, Route
from aionet.services.chat import Chat
from aionet.services.datagram import DatagramEcho
from aionet.services.echo import Echo
from aionet.services.files import Files
from aionet.services.files.web import WebFiles


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", __import__("sys").path[:])


def plan(*targets: str, host: str = "127.0.0.1", options: ServiceOptions | None = None) -> Plan:
    return build_plan(targets, host, options or ServiceOptions(), ".")


def places(made: Plan) -> list[tuple[str | None, str]]:
    return list(zip(made.services, [str(route.endpoint) for route in made.router.routes], strict=True))


def test_nothing_said_is_the_four_services_on_loopback(tmp_path: Path) -> None:
    assert places(plan()) == [
        ("echo", "tcp://127.0.0.1:8080"),
        ("datagram", "udp://127.0.0.1:8080"),
        ("chat", "tcp://127.0.0.1:9999"),
        ("files", "tcp://127.0.0.1:5000"),
    ]
    assert (tmp_path / "shared_files").is_dir()


def test_a_directory_is_only_made_where_files_are_served(tmp_path: Path) -> None:
    plan("echo", "chat")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "host", "place"),
    [
        ("echo", "127.0.0.1", ("echo", "tcp://127.0.0.1:8080")),
        ("echo", "::1", ("echo", "tcp://[::1]:8080")),
        ("datagram", "*", ("datagram", "udp://*:8080")),
        ("tcp://127.0.0.1:7000=chat", "::1", ("chat", "tcp://127.0.0.1:7000")),
        ("unix:///run/app.sock?mode=0600=echo", "::1", ("echo", "unix:///run/app.sock?mode=0600")),
        ("tls://*:7443?cert=a.pem&key=b.pem=echo", "::1", ("echo", "tls://*:7443?cert=a.pem&key=b.pem")),
    ],
)
def test_where_a_service_listens(target: str, host: str, place: tuple[str, str]) -> None:
    assert places(plan(target, host=host)) == [place]


def test_the_same_service_twice_has_two_names() -> None:
    made = plan("tcp://127.0.0.1:1=echo", "tcp://127.0.0.1:2=echo")
    assert [route.name for route in made.router.routes] == ["echo", "echo-2"]


def test_options_reach_their_services(tmp_path: Path) -> None:
    options = ServiceOptions(directory=str(tmp_path), prefix="Echo: ", ack="ACK \udcff")
    echo, datagram, _ = (route.handler for route in plan("echo", "datagram", "files", options=options).router.routes)
    assert isinstance(echo, Echo)
    assert isinstance(datagram, DatagramEcho)
    assert (echo.prefix, datagram.ack) == (b"Echo: ", b"ACK \xff")


def test_files_and_web_serve_one_directory_by_one_set_of_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIONET_TOKEN", "a-token-of-enough-length")
    options = ServiceOptions(directory=str(tmp_path), writable=True, web_hosts=("files.example.com",))
    files, web = (route.handler for route in plan("files", "web", options=options).router.routes)
    assert isinstance(files, Files)
    assert isinstance(web, WebFiles)
    assert files.store is web.store
    assert files.store.rules.writable
    with pytest.raises(ConfigError, match="the token must be"):
        plan("web", options=ServiceOptions(directory=str(tmp_path), token="short"))


@pytest.mark.parametrize(
    ("targets", "kind", "why", "hint"),
    [
        (["ecoh"], RouteError, "unknown service 'ecoh'", "did you mean 'echo'? services: echo, datagram, chat, files"),
        (["tcp://127.0.0.1:1=caht"], RouteError, "unknown service 'caht'", "did you mean 'chat'?"),
        (["tcp://127.0.0.1:1"], EndpointError, "does not say what to serve", "try tcp://127.0.0.1:1=echo"),
        (["127.0.0.1:1"], EndpointError, "does not say what to serve", "try tcp://127.0.0.1:1=echo"),
        ([":7000"], EndpointError, "does not say what to serve", "try tcp://127.0.0.1:7000=echo"),
        (["tcp://127.0.0.1:1="], RouteError, "unknown service ''", "services: echo"),
        (["tpc://127.0.0.1:1=echo"], EndpointError, "unknown scheme 'tpc'", "did you mean 'tcp'?"),
        (["127.0.0.1:1=echo"], EndpointError, "no scheme", "try tcp://127.0.0.1:1"),
        (["tcp://127.0.0.1:1?nodely=1=echo"], EndpointError, "unknown option 'nodely'", "did you mean 'nodelay'?"),
        (
            ["udp://127.0.0.1:1=echo"],
            RouteError,
            "echo is served over tcp, tls, ws, wss or unix, not over udp",
            "datagram",
        ),
        (["tcp://127.0.0.1:1=datagram"], RouteError, "datagram is served over udp, not over tcp", "echo"),
        (["echo", "tcp://127.0.0.1:8080=chat"], RouteError, "is taken by route 'echo'", ""),
        (["no_such_module:router"], LoadError, "no module named 'no_such_module'", "looked in"),
        (["tcp://127.0.0.1:1=no_such_module:handler"], LoadError, "no module named 'no_such_module'", "looked in"),
    ],
)
def test_a_wrong_target_says_what_would_be_right(
    targets: list[str], kind: type[AionetError], why: str, hint: str
) -> None:
    with pytest.raises(kind) as caught:
        plan(*targets)
    assert why in str(caught.value)
    assert hint in (caught.value.hint or "")


def test_a_router_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "served_by_targets.py").write_text(
        "from aionet.routing import Router\nasync def greet(conn): pass\nrouter = Router()\nempty = Router()\n"
        "router.add('tcp://127.0.0.1:0', greet, name='greeter')\n"
    )
    made = plan("served_by_targets:router")
    assert made.services == (None,)
    assert [route.name for route in made.router.routes] == ["greeter"]
    assert places(plan("tcp://127.0.0.1:0=served_by_targets:greet")) == [(None, "tcp://127.0.0.1:0")]
    with pytest.raises(RouteError, match="has no routes"):
        plan("served_by_targets:empty")
    with pytest.raises(click.UsageError, match="nothing else can be served beside it"):
        plan("served_by_targets:router", "echo")


@pytest.mark.parametrize(
    ("targets", "options", "option"),
    [
        (["chat"], ServiceOptions(prefix="x"), "--prefix"),
        (["echo"], ServiceOptions(ack="x"), "--ack"),
        (["echo"], ServiceOptions(directory="."), "--directory"),
        (["echo"], ServiceOptions(writable=True), "--writable"),
        (["echo"], ServiceOptions(token="x"), "--token"),
        (["files"], ServiceOptions(web_hosts=("a",)), "--web-host"),
        (["app:router"], ServiceOptions(prefix="x"), "--prefix"),
    ],
)
def test_an_option_without_its_service_is_refused(targets: list[str], options: ServiceOptions, option: str) -> None:
    with pytest.raises(click.UsageError, match=f"{option} is for the service"):
        plan(*targets, options=options)


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'gone' does not exist") as caught:
        plan("files", options=ServiceOptions(directory="gone"))
    assert caught.value.hint == "make it: mkdir -p gone"
    (tmp_path / "a_file").touch()
    with pytest.raises(ConfigError, match="'a_file' is not a directory"):
        plan("files", options=ServiceOptions(directory="a_file"))
    (tmp_path / "shared_files").touch()
    with pytest.raises(ConfigError, match="'shared_files' is not a directory"):
        plan("files")


def test_default_endpoints_match_the_schemes_of_the_services() -> None:
    assert all(default_endpoint(name, "*").scheme == service.scheme for name, service in SERVICES.items())


def test_services_that_share_a_port_are_told_apart_by_how_their_clients_begin() -> None:
    router = plan("tcp://127.0.0.1:4000=echo,chat,files").router
    (port,) = router.ports
    reached = {}
    for data in (
        b"hello\n",
        b"/who\n",
        b"GET song\n",
        b"LIST\r\n",
        b"GET / HTTP/1.1\r\n",
        b"GET http://a/ HTTP/1.1\r\n",
    ):
        found = port.decide(data, ConnectionFacts(peer=None))
        reached[data] = found.name if isinstance(found, Route) else found
    assert list(reached.values()) == ["echo", "chat", "files", "files", "echo", "echo"]
    assert port.silent is router.routes[1]
    assert [route.match for route in router.routes] == [None, Chat.match, Files.match]


def test_alone_on_a_port_nothing_is_asked() -> None:
    assert [port.sniffs for port in plan("tcp://127.0.0.1:1=chat", "tcp://127.0.0.1:2=files").router.ports] == [
        False
    ] * 2


def test_a_handler_of_ones_own_may_share_a_port(tmp_path: Path) -> None:
    (tmp_path / "sharing.py").write_text(
        "from aionet import StreamHandler\nfrom aionet.routing import ssh\n"
        "class Secure(StreamHandler):\n    match = ssh()\nasync def rest(conn): pass\n"
    )
    made = plan("tcp://127.0.0.1:4000=sharing:Secure,sharing:rest", "tcp://127.0.0.1:4001=echo,sharing:Secure")
    assert [[route.name for route in port.routes] for port in made.router.ports] == [
        ["secure", "rest"],
        ["echo", "secure-2"],
    ]
    assert made.services == (None, None, "echo", None)


@pytest.mark.parametrize(
    ("target", "why", "hint"),
    [
        ("tcp://127.0.0.1:1=echo,echo", "is taken by route 'echo'", "all but one need match="),
        ("tcp://127.0.0.1:1=chat,chat", "two routes for silence: 'chat' by silence(1)", "speak first"),
        ("tcp://127.0.0.1:1=files,files", "can never be reached: 'files' by", "narrower"),
        ("tcp://127.0.0.1:1=echo,", "unknown service ''", "services: echo"),
        ("tcp://127.0.0.1:1=echo,datagram", "datagram is served over udp", "echo is the one"),
        ("ws://127.0.0.1:1/chat=chat,echo", "a WebSocket endpoint is one handler's", "match=websocket('/path')"),
        ("udp://127.0.0.1:1=datagram,datagram", "is taken by route 'datagram'", "no first bytes"),
    ],
)
def test_services_that_cannot_share_a_port(target: str, why: str, hint: str) -> None:
    with pytest.raises(RouteError) as caught:
        plan(target)
    assert why in str(caught.value)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_known_by_its_handler_too(service: str) -> None:
    made = plan(service).router.routes[0].handler
    assert service_of(made) == service
    mine = type("Mine", (type(made),), {})  # a class of the user's own, which may speak as it likes
    assert service_of(object.__new__(mine)) is None
