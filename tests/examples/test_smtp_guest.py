"""A mail server for those who wait to be greeted, beside a handler."""

from __future__ import annotations

import asyncio
import smtplib

import pytest

from examples import smtp_guest
from examples.smtp_guest import Mailbox, make_router

from ..tools import require
from .trying import serving, shell, told


def send(port: int, count: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        for number in range(count):
            client.sendmail("a@example.com", ["b@example.com"], f"Subject: {number}\n\nhello\n")


async def test_smtplib(capsys: pytest.CaptureFixture[str]) -> None:
    mailbox = Mailbox()
    async with serving(make_router(mailbox, "tcp://127.0.0.1:0")) as server:
        await asyncio.to_thread(send, server.addresses[0].port, 3)
        assert mailbox.count == 3
    assert capsys.readouterr().err.count("bytes from a@example.com") == 3


async def test_the_commands_of_the_docstring() -> None:
    require("nc")
    mailbox = Mailbox()
    async with serving(make_router(mailbox, "tcp://127.0.0.1:0")) as server:
        port = {"7025": str(server.addresses[0].port)}
        await shell(told(smtp_guest, "python -c", port))
        assert await shell(told(smtp_guest, "printf", port)) == "1\n"


async def test_a_drain_cuts_who_is_left() -> None:
    async with serving(make_router(Mailbox(), "tcp://127.0.0.1:0")) as server:
        place = server.addresses[0]
        reader, writer = await asyncio.open_connection(place.host, place.port)
        assert (await reader.readline()).startswith(b"220 ")
        assert len((await server.drain(0.05)).cut) == 1
        writer.close()
