"""Every example runs in each of the ways its docstring tells."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Final

import pytest

from aionet import Router
from aionet.cli.loading import load_router

from .trying import ROOT, program

ENDPOINTS: Final = {
    "asgi_guest": ["tcp://127.0.0.1:0"],
    "browser_chat": ["ws://127.0.0.1:0/chat", "tcp://127.0.0.1:0"],
    "custom_codec": ["tcp://127.0.0.1:0"],
    "embed": ["tcp://127.0.0.1:0"],
    "kv": ["tcp://127.0.0.1:0"],
    "proxy": ["tcp://127.0.0.1:0"],
    "pubsub": ["tcp://127.0.0.1:0"],
    "smtp_guest": ["tcp://127.0.0.1:0"],
    "three_styles": ["tcp://127.0.0.1:0"] * 3,
    "tls_client_certs": ["tls://localhost:0"],
    "udp_time": ["udp://127.0.0.1:0"],
}
ROUTES: Final = {name: len(endpoints) for name, endpoints in ENDPOINTS.items()}
LISTENERS: Final = {name: count for name, count in ROUTES.items() if name != "tls_client_certs"}


def test_every_example_is_run_here() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} - {"__init__"} == set(ENDPOINTS)


@pytest.mark.parametrize("name", LISTENERS)
def test_it_is_a_module_to_run(name: str) -> None:
    with program("-m", f"examples.{name}", *ENDPOINTS[name], routes=ROUTES[name]) as running:
        assert all(endpoint.port for endpoint in running.endpoints)
        assert running.stop() == 0, running.said


@pytest.mark.parametrize("name", ["kv", "embed"])
def test_it_is_a_script_to_run(name: str, tmp_path: Path) -> None:
    with program(str(ROOT / "examples" / f"{name}.py"), *ENDPOINTS[name], cwd=tmp_path) as running:
        assert running.stop() == 0, running.said


@pytest.mark.parametrize("name", ENDPOINTS)
def test_serve_finds_its_router(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # for the certificates
    router = load_router(f"examples.{name}:router", str(ROOT))
    assert isinstance(router, Router)
    assert len(router.ports) == ROUTES[name]


def test_serve_runs_a_router_of_a_module(tmp_path: Path) -> None:
    (tmp_path / "myapp.py").write_text(
        "from examples.kv import make_router\nrouter = make_router('tcp://127.0.0.1:0')\n"
    )
    with program("-m", "aionet", "serve", "--log-level", "info", "myapp:router", cwd=tmp_path) as running:
        assert running.stop() == 0, running.said


@pytest.mark.parametrize("name", ENDPOINTS)
def test_its_docstring_says_how_to_run_and_to_try_it(name: str) -> None:
    module = importlib.import_module(f"examples.{name}")
    doc = inspect.getdoc(module) or ""
    assert f"python -m examples.{name}" in doc
    assert f"python -m aionet serve examples.{name}:router" in doc
    assert "Try it" in doc
    default = load_router_ports(name)
    assert default, name
    for port in default:
        assert re.search(rf"\b{port}\b", doc), f"port {port} is not in the docstring"


def load_router_ports(name: str) -> list[str]:
    source = (ROOT / "examples" / f"{name}.py").read_text()
    return re.findall(r'(?:endpoint|listen|shout|resolve|greet): str = "\w+://[\w.]+:(\d+)[^"]*"', source)
