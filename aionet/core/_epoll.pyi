import asyncio
import socket
from collections.abc import Callable
from typing import Any

class Reactor:
    loop: asyncio.AbstractEventLoop
    events: int

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def attach(self, sock: socket.socket, protocol: Any) -> SocketTransport: ...
    def listen(self, sock: socket.socket, make_protocol: Callable[[], Any]) -> Acceptor: ...

class Acceptor(asyncio.AbstractServer):
    def start(self) -> None: ...

class SocketTransport(asyncio.Transport): ...
