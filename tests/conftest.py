"""What every test shares: both event loops, certificates, hypothesis profiles."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import hypothesis
import pytest
import trustme

from aionet.core.loop import LoopShared

from .swapped import SWAPPED
from .tools import in_ci

# No timing is asserted, and a shared machine has slow moments: no deadline for one example.
hypothesis.settings.register_profile("default", deadline=None)
# The same examples each time, so that a failure can be had again from the commit alone.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if in_ci() else "default")


_OWN_DIRECTORY = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Each run has a directory of its own for ``tmp_path``, and clears away no other.

    pytest's own numbered ones are cleared by later runs, which fail by what a killed one has left in them: a mounted
    tmpfs, for one, cannot be removed, and pytest's warning of that is an error here.
    """
    if config.option.basetemp is None:
        directory = tempfile.mkdtemp(prefix="aionet-tests-")
        config.stash[_OWN_DIRECTORY] = directory
        config.option.basetemp = Path(directory, "run")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What failed can be looked at: then the directory stays, and ``tmp_path`` in the report says where."""
    directory = session.config.stash.get(_OWN_DIRECTORY, None)
    if exitstatus == 0 and directory is not None:
        # Not shutil.rmtree, which recurses: a hostile name of 2,000 components is more than Python's stack holds.
        subprocess.run(["rm", "-rf", directory], check=False, capture_output=True)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each async test runs once on every loop; ``@pytest.mark.asyncio(loop_factories=["asyncio"])`` narrows it.

    On asyncio with the loop's transports, on uvloop with our own where they are built; or the other way round.
    """
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": partial(_new_loop, asyncio.new_event_loop, native=SWAPPED)
    }
    if sys.platform != "win32":
        import uvloop

        factories["uvloop"] = partial(_new_loop, uvloop.new_event_loop, native=not SWAPPED)
    return factories


def _new_loop(make: Callable[[], asyncio.AbstractEventLoop], *, native: bool) -> asyncio.AbstractEventLoop:
    loop = make()
    loop._aionet_shared = LoopShared(loop, native=native)  # type: ignore[attr-defined]
    return loop


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """Paths of PEM files. Certificates name 127.0.0.1, ::1 and localhost."""

    ca: Path
    """The CA that signed ``server_cert`` and ``client_cert``."""

    server_cert: Path
    """The server's chain, without its key."""

    server_key: Path

    client_cert: Path
    """A client's chain, without its key; its subject is client.example.com."""

    client_key: Path

    other_ca: Path
    """A CA that signed neither of them."""

    other_cert: Path
    """Like ``server_cert``, signed by ``other_ca``: valid, and not to be trusted."""

    other_key: Path


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    """A CA with a server's and a client's certificate, and a certificate of another CA; written once a run."""
    directory = tmp_path_factory.mktemp("tls")
    ca, other_ca = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(directory / "ca.pem")
    other_ca.cert_pem.write_to_path(directory / "other_ca.pem")
    names = ("127.0.0.1", "::1", "localhost")
    issued = {
        "server": ca.issue_cert(*names),
        "client": ca.issue_cert("client.example.com", common_name="client.example.com"),
        "other": other_ca.issue_cert(*names),
    }
    for name, leaf in issued.items():
        leaf.private_key_pem.write_to_path(directory / f"{name}_key.pem")
        for position, blob in enumerate(leaf.cert_chain_pems):
            blob.write_to_path(directory / f"{name}_cert.pem", append=position > 0)
    return TLSFiles(
        ca=directory / "ca.pem",
        server_cert=directory / "server_cert.pem",
        server_key=directory / "server_key.pem",
        client_cert=directory / "client_cert.pem",
        client_key=directory / "client_key.pem",
        other_ca=directory / "other_ca.pem",
        other_cert=directory / "other_cert.pem",
        other_key=directory / "other_key.pem",
    )
