"""What ``serve`` is asked for, as a router: ``ENDPOINT=SERVICE[,SERVICE]...``, a service's own name, ``MODULE:ROUTER``.

Services that share an endpoint are told apart by how their clients begin: each but one has a ``match``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ..endpoint import Endpoint
from ..errors import ConfigError, EndpointError, RouteError
from ..handler import StreamHandler
from ..routing import Router
from .loading import load_handler, load_router
from .options import encode_text

if TYPE_CHECKING:
    from ..services.files.store import Store

__all__ = ["SERVICES", "Plan", "ServiceOptions", "build_plan", "default_endpoint", "service_of", "target_options"]

DEFAULT_DIRECTORY: Final = "shared_files"

F = TypeVar("F", bound=Callable[..., Any])


def target_options(command: F) -> F:
    """The targets, and the options that say what they are, for commands that take what ``serve`` takes."""
    for option in (
        click.option(
            "--app-dir", default=".", metavar="DIR", help="Where MODULE is looked for first.  [default: here]"
        ),
        click.option("--ack", metavar="TEXT", help="What datagram answers, instead of the datagram."),
        click.option("--prefix", metavar="TEXT", help="What echo puts before each chunk."),
        click.option(
            "--web-host", "web_hosts", multiple=True, metavar="NAME", help="What web is called, besides its address."
        ),
        click.option(
            "--token",
            metavar="TOKEN",
            help="What clients of files and web have to show. Arguments can be seen: better by AIONET_TOKEN.",
        ),
        click.option(
            "--writable", is_flag=True, default=None, help="Let clients of files and web send, change and delete."
        ),
        click.option(
            "--directory", metavar="DIR", help="What files and web offer.  [default: shared_files, made if absent]"
        ),
        click.option(
            "--host", default="127.0.0.1", show_default=True, help="For services without an endpoint of their own."
        ),
        click.argument("targets", nargs=-1, metavar="[TARGET]..."),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class ServiceOptions:
    """Options of the built-in services. ``None``: not given.

    Attributes:
        directory: Which ``files`` and ``web`` offer; default: ``shared_files``, made if absent.
        prefix: Put by ``echo`` before each chunk.
        ack: What ``datagram`` answers, instead of the datagram itself.
        writable: Whether ``files`` and ``web`` take files.
        token: What their clients have to show; default: the environment's ``AIONET_TOKEN``, if there is one.
        web_hosts: Names that ``web`` answers to, besides addresses and ``localhost``.
        make_directory: Whether the default directory may be made; if not, this one stands in for it.
    """

    directory: str | None = None
    prefix: str | None = None
    ack: str | None = None
    writable: bool | None = None
    token: str | None = None
    web_hosts: tuple[str, ...] = ()
    make_directory: bool = True

    @property
    def token_wanted(self) -> str | None:
        """The token that is in force."""
        return self.token or os.environ.get("AIONET_TOKEN") or None

    @cached_property
    def store(self) -> Store:
        """The directory, by the same rules for all that serve it."""
        from ..services.files.store import Store

        directory = _directory(self.directory, make=self.make_directory)
        return Store.of(directory, hidden=False, rules={"writable": bool(self.writable)})


@dataclass(frozen=True, slots=True)
class Service:
    """A built-in service: where it listens by default, what it is, and how it is made."""

    scheme: str
    port: int
    about: str
    make: Callable[[ServiceOptions], object]
    by_default: bool = True
    """Whether it is served where nothing is asked for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be served, and which built-in service (or none) each route of the router is, in route order."""

    router: Router
    services: tuple[str | None, ...]


def _make_echo(options: ServiceOptions) -> object:
    from ..services.echo import Echo

    return Echo(prefix=encode_text(options.prefix or ""))


def _make_datagram(options: ServiceOptions) -> object:
    from ..services.datagram import DatagramEcho

    return DatagramEcho(ack=None if options.ack is None else encode_text(options.ack))


def _make_chat(options: ServiceOptions) -> object:
    from ..services.chat import Chat

    return Chat()


def _make_files(options: ServiceOptions) -> object:
    from ..services.files.handler import Files

    return Files(options.store, token=options.token_wanted)


def _make_web(options: ServiceOptions) -> object:
    from ..services.files.web import WebFiles

    return WebFiles(options.store, token=options.token_wanted, hosts=options.web_hosts)


SERVICES: Final = {
    "echo": Service("tcp", 8080, "bytes back as they came", _make_echo),
    "datagram": Service("udp", 8080, "datagrams back to their sender", _make_datagram),
    "chat": Service("tcp", 9999, "a chat room over lines", _make_chat),
    "files": Service("tcp", 5000, "the files of a directory", _make_files),
    "web": Service("tcp", 8000, "the same files over HTTP, for browsers", _make_web, by_default=False),
}


_CLASSES: Final = {
    "aionet.services.echo.Echo": "echo",
    "aionet.services.datagram.DatagramEcho": "datagram",
    "aionet.services.chat.handler.Chat": "chat",
    "aionet.services.files.handler.Files": "files",
    "aionet.services.files.web.handler.WebFiles": "web",
}
"""What a router of the user's own may hold, by name: none of it is imported to be compared with."""


def service_of(handler: object) -> str | None:
    """The built-in service that this handler is; ``None`` of any other, which may speak as it likes."""
    kind = type(handler)
    return _CLASSES.get(f"{kind.__module__}.{kind.__qualname__}")


_OPTIONS_OF: Final = {
    "directory": ("files", "web"),
    "writable": ("files", "web"),
    "token": ("files", "web"),
    "web_hosts": ("web",),
    "prefix": ("echo",),
    "ack": ("datagram",),
}
"""Which services each option is for."""


def default_endpoint(service: str, host: str) -> Endpoint:
    """Where this service listens if nothing else is said."""
    known = SERVICES[service]
    return Endpoint.parse(f"{known.scheme}://{f'[{host}]' if ':' in host else host}:{known.port}")


def build_plan(targets: Sequence[str], host: str, options: ServiceOptions, app_dir: str) -> Plan:
    """The router for these targets; none means the four services at their default endpoints.

    Raises:
        ConfigError: an endpoint, a service or a directory that is wrong.
        LoadError: ``MODULE:ATTR`` could not be loaded.
        click.UsageError: targets that do not go together, or an option of a service that is not served.
    """
    for target in targets:
        _refuse_bare_address(target)
    own = [target for target in targets if _is_module(target)]
    if own:
        if len(targets) > 1:
            raise click.UsageError(f"{own[0]!r} brings its own endpoints: nothing else can be served beside it")
        _refuse_unused(options, [])
        router = load_router(own[0], app_dir)
        if not router.routes:
            raise RouteError(f"{own[0]} has no routes", hint="router.add('tcp://127.0.0.1:7000', handler)")
        return Plan(router, (None,) * len(router.routes))
    asked = [_read(target, host) for target in targets or _by_default()]
    served = [what for _, names in asked for what in names]
    _refuse_unused(options, served)
    router = Router()
    for endpoint, names in asked:
        for what in names:
            _add(router, endpoint, what, options, app_dir, shared=len(names) > 1)
    return Plan(router, tuple(what if what in SERVICES else None for what in served))


def _add(router: Router, endpoint: Endpoint, what: str, options: ServiceOptions, app_dir: str, *, shared: bool) -> None:
    service = SERVICES.get(what)
    handler = load_handler(what, app_dir) if service is None else service.make(options)
    match = handler.match if shared and isinstance(handler, StreamHandler) else None
    router.add(endpoint, handler, match=match, name=None if service is None else _free_name(router, what))


def _is_module(target: str) -> bool:
    return "=" not in target and "://" not in target and target not in SERVICES and (":" in target or "." in target)


def _refuse_bare_address(target: str) -> None:
    """``127.0.0.1:7000`` and ``:7000``: neither endpoint nor module, but plain what is meant."""
    host, colon, port = target.rpartition(":")
    if colon and port.isdigit() and "=" not in target and "://" not in target:
        raise EndpointError(
            f"{target!r} does not say what to serve there",
            hint=f"try tcp://{host or '127.0.0.1'}:{port}=echo; {_known()}",
        )


def _read(target: str, host: str) -> tuple[Endpoint, list[str]]:
    if target in SERVICES:
        return default_endpoint(target, host), [target]
    place, equals, names = target.rpartition("=")
    if not equals:
        if "://" in target:
            raise EndpointError(f"{target!r} does not say what to serve there", hint=f"try {target}=echo; {_known()}")
        raise _unknown_service(target)
    endpoint, whats = Endpoint.parse(place), names.split(",")
    for what in whats:
        _check_served(target, endpoint, what)
    if len(whats) > 1 and endpoint.is_websocket:
        raise RouteError(
            f"{target!r}: a WebSocket endpoint is one handler's: all its clients begin alike",
            hint="a router has WebSocket beside others: auto://, codec=WebSocketCodec(), match=websocket('/path')",
        )
    return endpoint, whats


def _check_served(target: str, endpoint: Endpoint, what: str) -> None:
    if ":" not in what and what not in SERVICES:
        raise _unknown_service(what)
    if what in SERVICES and endpoint.is_datagram is not (SERVICES[what].scheme == "udp"):
        other = "udp" if SERVICES[what].scheme == "udp" else "tcp, tls, ws, wss or unix"
        raise RouteError(
            f"{target!r}: {what} is served over {other}, not over {endpoint.scheme}",
            hint=f"{'datagram is the echo' if endpoint.is_datagram else 'echo is the one'} for {endpoint.scheme}",
        )


def _free_name(router: Router, service: str) -> str:
    taken = {route.name for route in router.routes}
    return next(name for number in count(1) if (name := f"{service}-{number}" if number > 1 else service) not in taken)


def _by_default() -> list[str]:
    return [name for name, service in SERVICES.items() if service.by_default]


def _known() -> str:
    return f"services: {', '.join(SERVICES)}"


def _unknown_service(word: str) -> ConfigError:
    close = difflib.get_close_matches(word, SERVICES, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return RouteError(f"unknown service {word!r}", hint=f"{guess}{_known()}; your own: MODULE:ROUTER")


def _refuse_unused(options: ServiceOptions, served: Sequence[str]) -> None:
    for option, services in _OPTIONS_OF.items():
        if getattr(options, option) not in (None, ()) and not any(service in served for service in services):
            raise click.UsageError(
                f"--{option.replace('_hosts', '-host')} is for the service {services[0]!r}, which is not served here"
            )


def _directory(given: str | None, *, make: bool) -> str:
    """The directory to offer; only the default one is made."""
    if given is None and not os.path.lexists(DEFAULT_DIRECTORY):
        if not make:
            return os.curdir
        os.mkdir(DEFAULT_DIRECTORY)
    directory = DEFAULT_DIRECTORY if given is None else given
    if not os.path.isdir(directory):
        exists = os.path.lexists(directory)
        raise ConfigError(
            f"the directory to serve, {directory!r} {'is not a directory' if exists else 'does not exist'}",
            hint="--directory names another" if exists else f"make it: mkdir -p {directory}",
        )
    return directory
