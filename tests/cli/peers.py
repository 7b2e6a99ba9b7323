"""HTTP servers in a thread, for commands that bring an event loop of their own."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def http_server(*answers: bytes, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Takes as many connections as there are answers, in turn; gives ``host:port``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve() -> None:
            for answer in answers:
                with suppress(OSError):
                    sock, _ = listener.accept()
                    sock.settimeout(10)
                    with sock if context is None else context.wrap_socket(sock, server_side=True) as conn:
                        while b"\r\n\r\n" not in conn.recv(65_536):
                            pass
                        conn.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(10)
