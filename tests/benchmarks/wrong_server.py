"""An echo server whose mistakes are chosen by the test, so that a measurement can be seen to notice them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Answer", "answering"]

Answer = Callable[[bytes], bytes | None]
"""What goes back for each chunk that came; ``None`` closes the connection."""


@contextmanager
def answering(answer: Answer) -> Iterator[int]:
    """Serve one connection in a thread; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=_serve, args=(listener, answer))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            thread.join()


def _serve(listener: socket.socket, answer: Answer) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(10)
        try:
            while data := connection.recv(65536):
                reply = answer(data)
                if reply is None:
                    return
                connection.sendall(reply)
        except ConnectionError:
            return
