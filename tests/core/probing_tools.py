"""Ports to be probed: one that talks, one that drops what it gets, one where nobody is."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def speaking(
    data: bytes = b"",
    *,
    host: str = "127.0.0.1",
    context: ssl.SSLContext | None = None,
    reply: bytes | None = None,
    leaves: bool = False,
) -> Iterator[int]:
    """A port that says ``data`` to whoever connects, and then waits for them to leave. Over TLS, after its handshake.

    With ``reply`` it says that to the first thing it hears, and closes; if it ``leaves``, it closes at once.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    stopping = threading.Event()
    with socket.create_server((host, 0), family=family) as listener:
        listener.settimeout(0.05)

        def serve() -> None:
            while not stopping.is_set():
                with contextlib.suppress(OSError):  # TimeoutError, and TLS errors, are OSErrors
                    sock, _ = listener.accept()
                    sock.settimeout(5)
                    _speak(sock, data, context, reply, leaves)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopping.set()
            thread.join()


def _speak(sock: socket.socket, data: bytes, context: ssl.SSLContext | None, reply: bytes | None, leaves: bool) -> None:
    with sock if context is None else context.wrap_socket(sock, server_side=True) as stream:
        if data:
            stream.sendall(data)
        while not leaves and stream.recv(4096):
            if reply is not None:
                stream.sendall(reply)
                return


@contextlib.contextmanager
def dropping() -> Iterator[int]:
    """A port that answers nobody, on every loopback address: Linux drops a SYN whose listener's queue is full.

    So ports can be filtered without root, a firewall, or a network namespace.
    """
    with socket.create_server(("0.0.0.0", 0), backlog=0) as listener:
        port: int = listener.getsockname()[1]
        with contextlib.ExitStack() as stack:
            for _ in range(2):  # a queue of 0 holds one; the second finds it full
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", port))
            yield port


def closed_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 where nobody is."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
