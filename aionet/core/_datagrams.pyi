import socket
from collections.abc import Callable, Sequence

from ..events import Address

class ManyACall:
    messages: int

    def allow_merging(self, sock: socket.socket) -> None: ...
    def receive(
        self, sock: socket.socket, slots: int, on_error: Callable[[OSError], object]
    ) -> tuple[list[tuple[bytes, Address]], int, bool]: ...
    def send(
        self,
        sock: socket.socket,
        batch: Sequence[tuple[bytes, Address]],
        largest: int,
        on_error: Callable[[OSError], object],
    ) -> tuple[int, int, bool]: ...
