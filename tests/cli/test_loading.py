"""``MODULE:ATTR``: what it may name, and what a user reads when it does not."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aionet.cli.loading import load, load_handler, load_router
from aionet.errors import AionetError, ConfigError, LoadError
from aionet.handler import StreamHandler
from aionet.routing import Router

Write = Callable[[str], str]

_numbers = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module under a name never used before, and returns the name."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    path = sys.path[:]

    def write(source: str) -> str:
        name = f"served_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.startswith("served_"):
            del sys.modules[name]


ROUTER = """
from aionet.routing import Router
async def handler(conn): pass
router = Router()
router.add("tcp://127.0.0.1:0", handler)
def make(): return router
def make_with_default(port=0): return router
def make_nothing(): return None
def needs(port): return router
async def later(): return router
class holder: inner = router
"""


@pytest.mark.parametrize("attribute", ["router", "make", "make_with_default", "holder.inner"])
def test_a_router_or_a_function_that_returns_one(module: Write, attribute: str) -> None:
    router = load_router(f"{module(ROUTER)}:{attribute}", ".")
    assert isinstance(router, Router)
    assert [route.endpoint.location for route in router.routes] == ["tcp://127.0.0.1:0"]


@pytest.mark.parametrize(
    ("attribute", "why", "hint"),
    [
        ("routr", "has no 'routr'", "did you mean 'router'?"),
        ("zzz", "has no 'zzz'", "its router is 'router'"),
        ("holder.other", "has no 'holder.other'", "its router is 'router'"),
        ("", "names no attribute", ":router"),
        ("make_nothing", "returned of type NoneType, not a Router", "return router"),
        ("needs", "is the function needs, not a Router", "a function without parameters"),
        ("handler", "is the function handler, not a Router", "serve tcp://127.0.0.1:7000=served_"),
        ("holder", "is the class holder, not a Router", "a Router, or a function"),
    ],
)
def test_what_is_no_router_says_what_to_do(module: Write, attribute: str, why: str, hint: str) -> None:
    with pytest.raises(LoadError) as caught:
        load_router(f"{module(ROUTER)}:{attribute}", ".")
    assert why in str(caught.value)
    assert hint in str(caught.value.hint)


HANDLERS = """
from aionet.handler import StreamHandler
from aionet.routing import Router
class Shout(StreamHandler): pass
class Needs(StreamHandler):
    def __init__(self, word): self.word = word
shout = Shout()
async def greet(conn): pass
router = Router()
number = 7
"""


@pytest.mark.parametrize("attribute", ["Shout", "shout"])
def test_a_handler_or_its_class(module: Write, attribute: str) -> None:
    assert isinstance(load_handler(f"{module(HANDLERS)}:{attribute}", "."), StreamHandler)


def test_a_coroutine_function_is_a_handler(module: Write) -> None:
    assert getattr(load_handler(f"{module(HANDLERS)}:greet", "."), "__name__", None) == "greet"


@pytest.mark.parametrize(
    ("attribute", "why", "hint"),
    [
        ("number", "is of type int, not a handler", "a StreamHandler"),
        ("router", "is of type Router, not a handler", "a whole router is served without an endpoint"),
        ("Needs", "missing 1 required positional argument: 'word'", "None"),
    ],
)
def test_what_is_no_handler_says_what_to_do(module: Write, attribute: str, why: str, hint: str) -> None:
    with pytest.raises(LoadError) as caught:
        load_handler(f"{module(HANDLERS)}:{attribute}", ".")
    assert why in str(caught.value)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\nx.nothing\n", "2: AttributeError: 'int' object has no attribute 'nothing'"),
        ("def f():\n    return {}['k']\nf()\n", "2: KeyError: 'k'"),
        ("x = (\n", "1: SyntaxError: '(' was never closed"),
        ("import json\njson.loads('{')\n", "JSONDecodeError"),
        ("import no_such_thing_here\n", "1: ModuleNotFoundError: No module named 'no_such_thing_here'"),
        ("raise SystemExit(3)\n", "1: the program ends itself (SystemExit)"),
    ],
)
def test_an_exception_at_import_says_file_and_line(module: Write, source: str, said: str) -> None:
    name = module(source)
    with pytest.raises(LoadError) as caught:
        load(f"{name}:router", ".")
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{name}.py:") or "JSON" in said


def test_a_configuration_error_at_import_stays_one_and_keeps_its_hint(module: Write) -> None:
    name = module("from aionet.endpoint import Endpoint\nEndpoint.parse('tpc://127.0.0.1:1')\n")
    with pytest.raises(ConfigError) as caught:
        load(f"{name}:router", ".")
    assert str(caught.value).startswith(f"{name}.py:2: endpoint 'tpc://127.0.0.1:1': unknown scheme")
    assert "did you mean 'tcp'" in str(caught.value.hint)


def test_a_module_that_is_not_there(module: Write, tmp_path: Path) -> None:
    name = module("")
    with pytest.raises(LoadError, match=f"no module named '{name}x'") as caught:
        load(f"{name}x:router", ".")
    assert caught.value.hint == f"did you mean {name!r}?"
    with pytest.raises(LoadError, match="no module named 'qqq'") as caught:
        load("qqq.app:router", ".")
    assert f"looked in {tmp_path}" in str(caught.value.hint)


def test_a_submodule_that_is_not_there(module: Write, tmp_path: Path) -> None:
    package = tmp_path / "served_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "store.py").touch()
    with pytest.raises(LoadError, match=r"'served_package\.stroe'") as caught:
        load("served_package.stroe:router", ".")
    assert caught.value.hint == "did you mean 'served_package.store'?"


def test_another_directory(module: Write, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "served_elsewhere.py").write_text("value = 5\n")
    assert load("served_elsewhere:value", str(elsewhere)) == 5


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("examples/kv.py:router", "try examples.kv:router"),
        ("./kv.py", "try kv:router"),
        ("a b:router", "such as examples.kv:router"),
        (":router", "such as examples.kv:router"),
        ("a..b:router", "such as examples.kv:router"),
    ],
)
def test_a_target_that_names_no_module(target: str, hint: str) -> None:
    with pytest.raises(AionetError) as caught:
        load(target, ".")
    assert caught.value.hint == hint
