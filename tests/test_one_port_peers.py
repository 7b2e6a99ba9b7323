"""One port, and whatever there is to reach it with: nc, curl, openssl, smtplib; plain and inside TLS."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import trustme
from aiosmtpd.smtp import SMTP

from aionet import Endpoint, Router, Server
from aionet.routing import http, prefix, silence
from aionet.services.chat import Chat
from aionet.services.echo import Echo
from examples import asgi_guest, smtp_guest

from .serving import quiet
from .tools import require


@contextlib.asynccontextmanager
async def everything(directory: Path) -> AsyncIterator[tuple[Endpoint, smtp_guest.Mailbox]]:
    """Echo, chat, a web application and a mail server; two certificates."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(directory / "ca.pem")
    for name in ("a", "b"):
        leaf = ca.issue_cert(f"{name}.example.com")
        leaf.private_key_and_cert_chain_pem.write_to_path(directory / f"{name}.pem")
    mailbox, guest = smtp_guest.Mailbox(), asgi_guest.ASGIGuest(asgi_guest.app)
    endpoint = f"auto://127.0.0.1:0?cert={directory}/a.pem&cert={directory}/b.pem"
    router = Router()
    router.add(endpoint, protocol=guest, match=http(), name="app")
    router.add(endpoint, protocol=lambda: SMTP(mailbox, hostname="localhost"), match=silence(0.4))
    router.add(endpoint, Chat(), match=prefix(b"/"))
    router.add(endpoint, Echo())
    with quiet():
        async with guest.lifespan(), Server(router) as server:
            try:
                yield server.addresses[0], mailbox
            finally:
                await server.abort()


async def run(*command: str, said: bytes = b"") -> bytes:
    """What a command prints that is told this."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(20):
        heard, _ = await process.communicate(said)
    return heard


async def test_plain(tmp_path: Path) -> None:
    nc, curl = require("nc"), require("curl")
    async with everything(tmp_path) as (place, mailbox):
        host, port = place.host, str(place.port)
        assert await run(nc, "-N", host, port, said=b"hello\n") == b"hello\n"
        chat = await run(nc, "-N", host, port, said=b"/help\nada\n/who\n/quit\n")
        assert b"ada" in chat, chat
        assert b'"hello":"127.0.0.1"' in await run(curl, "-s", f"http://{host}:{port}/")
        await asyncio.to_thread(_send_mail, place)
        assert mailbox.count == 1


async def test_inside_tls(tmp_path: Path) -> None:
    curl, openssl = require("curl"), require("openssl")
    async with everything(tmp_path) as (place, mailbox):
        ca = str(tmp_path / "ca.pem")
        for name in ("a", "b"):
            client = [openssl, "s_client", "-connect", f"{place.host}:{place.port}", "-CAfile", ca]
            named = ["-servername", f"{name}.example.com", "-verify_hostname", f"{name}.example.com"]
            process = await asyncio.create_subprocess_exec(
                *(*client, *named, "-verify_return_error", "-brief", "-quiet", "-no_ign_eof"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"hello\n")
            assert await process.stdout.readline() == b"hello\n"
            process.stdin.close()
            assert await process.wait() == 0
            where = [f"https://{name}.example.com:{place.port}/", "--resolve"]
            heard = await run(curl, "-s", "--cacert", ca, *where, f"{name}.example.com:{place.port}:{place.host}")
            assert b'"hello":"127.0.0.1"' in heard
        await asyncio.to_thread(_send_mail, place, ssl.create_default_context(cafile=ca))
        assert mailbox.count == 1


def _send_mail(place: Endpoint, context: ssl.SSLContext | None = None) -> None:
    if context is None:
        client = smtplib.SMTP(place.host, place.port, timeout=10)
    else:
        context.check_hostname = False  # smtplib asks for the name it connects to
        client = smtplib.SMTP_SSL(place.host, place.port, timeout=10, context=context)
    with client:
        client.sendmail("a@example.com", ["b@example.com"], "Subject: x\n\nhello\n")
