"""The project keeps the rules of tests/architecture.py, and each rule catches what it is there for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from .architecture import (
    MAX_LINES,
    Import,
    Sources,
    check_all_declared,
    check_cycles,
    check_lazy_imports,
    check_lengths,
    check_mirrors,
    check_public_names,
    check_rooms,
    check_standard_library,
    check_test_packages,
    check_third_room,
    imports,
    read_sources,
)

ROOT: Final = Path(__file__).parent.parent
Check = Callable[[Sources], list[str]]
CHECKS: Final[list[Check]] = [
    check_all_declared,
    check_cycles,
    check_lazy_imports,
    check_lengths,
    check_mirrors,
    check_public_names,
    check_rooms,
    check_standard_library,
    check_test_packages,
    check_third_room,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_project_keeps_the_rule(check: Check) -> None:
    sources = read_sources(ROOT, "aionet", "tests", "benchmarks", "examples")
    complaints = check(sources)
    assert not complaints, "\n" + "\n".join(complaints)


def test_all_sources_are_read() -> None:
    sources = read_sources(ROOT, "aionet", "tests", "no_such_directory")
    assert {"aionet/__init__.py", "aionet/errors.py", "tests/test_architecture.py"} <= sources.keys()


# ── reading imports ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("aionet/core/stream.py", "import ssl", ("ssl", None)),
        ("aionet/core/stream.py", "import asyncio.transports as t", ("asyncio.transports", None)),
        ("aionet/core/stream.py", "from ..errors import BindError", ("aionet.errors", "BindError")),
        ("aionet/core/stream.py", "from .. import errors", ("aionet.errors", None)),
        ("aionet/core/stream.py", "from . import tls", ("aionet.core", "tls")),
        ("aionet/codecs/__init__.py", "from .line import LineCodec", ("aionet.codecs.line", "LineCodec")),
        ("aionet/server.py", "from .codecs import line", ("aionet.codecs.line", None)),
        ("aionet/server.py", "from aionet import Router", ("aionet", "Router")),
        ("aionet/server.py", "x = importlib.import_module('aionet.core')", ("aionet.core", None)),
    ],
)
def test_imports_are_resolved(path: str, source: str, expected: tuple[str, str | None]) -> None:
    sources = {"aionet/errors.py": "", "aionet/codecs/line.py": "", path: source}
    assert [(found.target, found.name) for found in imports(sources)] == [expected]


def test_imports_know_where_they_stand() -> None:
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import ssl
else:
    import socket
def load():
    if True:
        import select
"""
    assert imports({"a.py": source})[1:] == [
        Import("a.py", 4, "ssl", typing_only=True),
        Import("a.py", 6, "socket"),
        Import("a.py", 9, "select", lazy=True),
    ]


# ── each rule catches what it is there for: (what is wrong, check, path, source, part of the complaint) ──────────────

HOUSE: Final = {
    "aionet/__init__.py": "from .server import Server\n__all__ = ['Server']",
    "aionet/errors.py": "__all__ = ['AionetError']\nclass AionetError(Exception): ...",
    "aionet/limits.py": "from .errors import AionetError",
    "aionet/handler.py": "from anyio.abc import ObjectStream\nfrom .errors import AionetError",
    "aionet/codecs/__init__.py": "from .line import LineCodec\n__all__ = ['LineCodec']",
    "aionet/codecs/base.py": "from ..codec import Codec",
    "aionet/codecs/line.py": "import re\nfrom .base import SizedCodec",
    "aionet/routing.py": "from .handler import StreamHandler",
    "aionet/core/__init__.py": "",
    "aionet/core/stream.py": "import asyncio, socket, ssl\nfrom ..codecs import LineCodec\nfrom ..routing import Route",
    "aionet/server.py": "import asyncio\nimport anyio\nfrom .core.stream import StreamConnection",
    "aionet/supervisor.py": "from .server import Server",
    "aionet/services/__init__.py": "",
    "aionet/services/echo.py": "from aionet import Server\nfrom ..codecs import LineCodec\nfrom .. import errors",
    "aionet/testing/__init__.py": "",
    "aionet/testing/memory.py": "import asyncio\nfrom ..core.stream import StreamConnection\nasyncio.Transport",
    "aionet/cli/__init__.py": "def main():\n    from .serve import serve",
    "aionet/cli/serve.py": "from ..services.echo import Echo\nfrom . import main",
    "aionet/__main__.py": "from .cli import main",
}

WRONG: Final[list[tuple[str, Check, str, str, str]]] = [
    ("codec imports core", check_rooms, "aionet/codecs/line.py", "from ..core.stream import x", "room 3) above"),
    ("core imports server", check_rooms, "aionet/core/stream.py", "from ..server import Server", "room 4) above"),
    ("server imports the package", check_rooms, "aionet/server.py", "from . import __version__", "room 5) above"),
    ("package imports services", check_rooms, "aionet/__init__.py", "from .services import echo", "room 6) above"),
    ("services import cli", check_rooms, "aionet/services/echo.py", "import aionet.cli", "room 7) above"),
    ("codec imports routing", check_rooms, "aionet/codecs/line.py", "from ..routing import Route", "siblings"),
    ("routing imports codec", check_rooms, "aionet/routing.py", "from .codecs import LineCodec", "siblings"),
    ("services import testing", check_rooms, "aionet/services/echo.py", "import aionet.testing", "siblings"),
    ("testing imports services", check_rooms, "aionet/testing/memory.py", "from .. import services", "siblings"),
    (
        "an import for types is an import",
        check_rooms,
        "aionet/handler.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .server import Server",
        "aionet/handler.py:3: handler (room 1) imports server (room 4) above it",
    ),
    ("a module of no room", check_rooms, "aionet/utils.py", "", "utils has no room"),
    ("errors import anyio", check_standard_library, "aionet/errors.py", "import anyio", "not in the standard library"),
    ("limits import time", check_standard_library, "aionet/limits.py", "from time import monotonic", "imports time"),
    ("codec imports asyncio", check_standard_library, "aionet/codecs/line.py", "import asyncio", "imports asyncio"),
    ("codec logs", check_standard_library, "aionet/codecs/line.py", "import logging.handlers", "imports logging"),
    (
        "routing imports socket",
        check_standard_library,
        "aionet/routing.py",
        "def f():\n import socket",
        "socket; rooms",
    ),
    ("server imports ssl", check_third_room, "aionet/server.py", "import ssl", "server imports ssl; only core does"),
    ("client imports socket", check_third_room, "aionet/client/a.py", "from socket import x", "client imports socket"),
    ("services import uvloop", check_third_room, "aionet/services/echo.py", "import uvloop", "imports uvloop"),
    ("testing imports ssl", check_third_room, "aionet/testing/memory.py", "import ssl", "testing imports ssl"),
    ("server imports a transport", check_third_room, "aionet/server.py", "from asyncio import Transport", "Transport"),
    (
        "server imports transports",
        check_third_room,
        "aionet/server.py",
        "import asyncio.transports",
        "asyncio.transports",
    ),
    ("server uses a transport", check_third_room, "aionet/server.py", "import asyncio\nasyncio.Protocol", ":2: server"),
    ("services look inside", check_public_names, "aionet/services/echo.py", "from ..codecs.line import A", "is inside"),
    ("services use core", check_public_names, "aionet/services/echo.py", "from .. import core", "aionet.core, which"),
    ("testing looks inside", check_public_names, "aionet/testing/memory.py", "import aionet.codecs.line", "is inside"),
    ("not exported", check_public_names, "aionet/services/echo.py", "from aionet import run", "does not export"),
    ("private", check_public_names, "aionet/services/echo.py", "from ..limits import _x", "does not export"),
    (
        "cycle",
        check_cycles,
        "aionet/errors.py",
        "from .limits import x",
        "aionet.errors -> aionet.limits -> aionet.errors",
    ),
    ("cycle for types", check_cycles, "aionet/errors.py", "if TYPE_CHECKING:\n    from . import limits", "cycle"),
    ("cycle in cli", check_cycles, "aionet/cli/__init__.py", "from .serve import serve", "cycle"),
    ("cycle with itself", check_cycles, "aionet/limits.py", "from . import limits", "aionet.limits -> aionet.limits"),
    (
        "lazy import",
        check_lazy_imports,
        "aionet/server.py",
        "def f():\n    from .core import stream",
        ":2: aionet.core",
    ),
    (
        "lazy by name",
        check_lazy_imports,
        "aionet/server.py",
        "def f():\n    import_module('aionet.core')",
        ":2: aionet",
    ),
    (
        "lazy attribute",
        check_lazy_imports,
        "aionet/__init__.py",
        "def __getattr__(n):\n import aionet.services",
        "function",
    ),
    ("long file", check_lengths, "aionet/server.py", "x = 1\n" * (MAX_LINES + 1), f"more than {MAX_LINES}"),
    ("no __all__", check_all_declared, "aionet/server.py", "class Server: ...", "no __all__, though it has Server"),
    ("no __all__ with a constant", check_all_declared, "aionet/limits.py", "KIB: Final = 1024", "it has KIB"),
    ("no __all__ in a package", check_all_declared, "aionet/codecs/__init__.py", "from .line import A", "it has A"),
    ("test of nothing", check_mirrors, "tests/core/test_nothing.py", "", "named after no module"),
    ("test in the wrong folder", check_mirrors, "tests/test_stream.py", "", "named after no module"),
    ("module without test", check_mirrors, "aionet/limits.py", "def f(): ...", "no test file tests/test_limits.py"),
    ("no test deeper", check_mirrors, "aionet/core/tls.py", "class A: ...", "no test file tests/core/test_tls.py"),
]


@pytest.mark.parametrize(
    ("check", "path", "source", "complaint"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG]
)
def test_a_rule_catches(check: Check, path: str, source: str, complaint: str) -> None:
    complaints = check(HOUSE | TESTED | {path: source})
    assert len(complaints) == 1
    assert complaints[0].startswith(f"{path}:")
    assert complaint in complaints[0]


def test_a_test_folder_that_is_no_package_is_caught() -> None:
    complaints = check_test_packages({"tests/__init__.py": "", "tests/core/test_tls.py": ""})
    assert complaints == ["tests/core/__init__.py:1: is missing; an empty one will do"]


def test_a_cycle_through_a_package_is_caught() -> None:
    (complaint,) = check_cycles(HOUSE | {"aionet/codecs/base.py": "from . import LineCodec"})
    ring = complaint.partition("cycle: ")[2].split(" -> ")
    assert ring[0] == ring[-1]
    assert sorted(ring[1:]) == ["aionet.codecs", "aionet.codecs.base", "aionet.codecs.line"]


TESTED: Final = {
    "tests/__init__.py": "",
    "tests/cli/__init__.py": "",
    "tests/test_errors.py": "",
    "tests/cli/test_init.py": "",
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_rule_lets_a_right_house_be(check: Check) -> None:
    assert check(HOUSE | TESTED) == []


@pytest.mark.parametrize(
    ("check", "path", "source"),
    [
        (check_standard_library, "aionet/handler.py", "if typing.TYPE_CHECKING:\n    import ssl"),
        (check_third_room, "aionet/server.py", "if TYPE_CHECKING:\n    import ssl"),
        (check_third_room, "aionet/server.py", "from asyncio import Event, timeout"),
        (check_standard_library, "aionet/codecs/json.py", "import msgspec"),
        (check_public_names, "aionet/services/chat/room.py", "from ..echo import Echo\nfrom .wire import x"),
        (check_lazy_imports, "aionet/server.py", "def f():\n    import rich"),
        (check_lazy_imports, "aionet/codecs/__init__.py", "def __getattr__(n):\n    from . import line"),
        (check_all_declared, "aionet/_version.py", "x = 1"),
        (check_lengths, "aionet/server.py", "x = 1\n" * MAX_LINES),
        (check_mirrors, "tests/test_main.py", ""),
        (check_mirrors, "tests/test_cli.py", ""),
        (check_mirrors, "tests/cli/test_cli.py", ""),
        (check_mirrors, "tests/core/test_stream_tls.py", ""),
        (check_mirrors, "tests/test_services.py", ""),
        (check_mirrors, "tests/test_public_api.py", ""),
    ],
)
def test_a_rule_allows(check: Check, path: str, source: str) -> None:
    assert check(HOUSE | TESTED | {path: source}) == []
