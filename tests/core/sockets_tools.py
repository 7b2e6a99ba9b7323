"""Shared by the tests of the core: binding as users do, and an eye on what stays open."""

import contextlib
import os
import socket

import pytest

from aionet.core.sockets import bind_datagram, bind_stream
from aionet.endpoint import Endpoint
from aionet.errors import BindError


def open_sockets() -> int:
    """How many sockets this process has open. (Not all descriptors: loops open some of their own, once.)"""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the directory's own
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


async def bind(text: str) -> list[socket.socket]:
    endpoint = Endpoint.parse(text)
    return await (bind_datagram(endpoint) if endpoint.is_datagram else bind_stream(endpoint, backlog=16))


async def refused(text: str) -> BindError:
    before = open_sockets()
    with pytest.raises(BindError) as caught:
        await bind(text)
    assert open_sockets() == before, "a refused bind must leave nothing open"
    return caught.value


def accept_one(listener: socket.socket) -> socket.socket:
    with socket.socket(listener.family, socket.SOCK_STREAM) as client:
        client.connect(listener.getsockname())
        return listener.accept()[0]  # loopback: queued by the time connect returns
