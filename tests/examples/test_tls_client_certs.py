"""Client certificates, shown by openssl s_client."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest

from aionet import LineCodec, connect
from examples import tls_client_certs
from examples.tls_client_certs import BY_HAND, CLIENT, main, make_certificates, make_router

from ..conftest import TLSFiles
from ..tools import require
from .trying import program, serving, shell, told


async def test_the_commands_of_the_docstring(tmp_path: Path) -> None:
    require("openssl")
    async with serving(make_router("tls://127.0.0.1:0", tmp_path)) as server:
        place = {"localhost:7060": f"127.0.0.1:{server.addresses[0].port}"}
        with_certificate, without = (
            line.strip().partition("  ")[0]
            for line in (tls_client_certs.__doc__ or "").splitlines()
            if "openssl s_client" in line
        )
        for fixed, real in place.items():
            with_certificate, without = (text.replace(fixed, real) for text in (with_certificate, without))
        # s_client leaves when its input ends, so this waits for the answer before it ends the input.
        ask = f"{{ printf 'hi\\n'; sleep 1; }} | {with_certificate} 2>&1"
        said = await shell(ask, cwd=tmp_path)
        assert f"hello {CLIENT}, over TLSv1." in said
        assert f"{CLIENT}: hi" in said
        refused = await shell(f"{without} 2>&1", cwd=tmp_path)
        assert "hello" not in refused


async def test_the_name_is_the_certificates(tmp_path: Path) -> None:
    async with serving(make_router("tls://127.0.0.1:0", tmp_path)) as server:
        place = server.addresses[0]
        options = f"?ca={tmp_path}/ca.pem&cert={tmp_path}/client.pem"
        async with connect(f"{place.location}{options}", codec=LineCodec()) as conn:
            assert (await conn.receive()).startswith(b"hello ada.example.com, over TLSv1.")
            await conn.send(b"hi")
            assert await conn.receive() == b"ada.example.com: hi"


async def test_a_certificate_of_another_authority_is_refused(tmp_path: Path, tls_files: TLSFiles) -> None:
    async with serving(make_router("tls://127.0.0.1:0", tmp_path)) as server:
        options = f"?ca={tmp_path}/ca.pem&cert={tls_files.other_cert}&key={tls_files.other_key}"
        with pytest.raises((ConnectionError, anyio.BrokenResourceError, anyio.EndOfStream)):
            await greeting(f"{server.addresses[0].location}{options}")


async def greeting(endpoint: str) -> bytes:
    async with connect(endpoint) as conn:
        return await conn.receive()


def test_certificates_are_kept_and_private(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    make_certificates(tmp_path)
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(before) == {"ca.pem", "server.pem", "client.pem"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.iterdir())


def test_without_trustme_it_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    monkeypatch.chdir(tmp_path)
    assert main([]) == 3
    said = capsys.readouterr().err
    assert "trustme" in said
    assert "openssl req" in said


async def test_the_certificates_made_by_hand_do_too(tmp_path: Path) -> None:
    require("openssl")
    commands = BY_HAND.format("made", CLIENT).partition("\n")[2]
    await shell(f"set -e; {commands}", cwd=tmp_path)
    made = tmp_path / "made"
    assert {file.name for file in made.glob("*.pem")} == {"ca.pem", "server.pem", "client.pem"}
    async with serving(make_router("tls://localhost:0", made)) as server:
        port = server.addresses[0].port
        endpoint = f"tls://localhost:{port}?ca={made}/ca.pem&cert={made}/client.pem"
        assert (await greeting(endpoint)).startswith(b"hello ada.example.com")


def test_it_is_a_program(tmp_path: Path) -> None:
    with program("-m", "examples.tls_client_certs", "tls://127.0.0.1:0", cwd=tmp_path) as running:
        assert running.endpoints[0].scheme == "tls"
        assert running.stop() == 0
    assert (tmp_path / "tls_example").is_dir()


def test_the_docstring_tells_its_directory() -> None:
    assert told(tls_client_certs, "cd ", {}) == f"cd {tls_client_certs.DIRECTORY}"
