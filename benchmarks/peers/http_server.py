"""Files: ``http.server`` as ``python -m http.server --protocol HTTP/1.1`` runs it, but for its log.

``--protocol HTTP/1.0`` is its default: a connection a file.
"""

from __future__ import annotations

import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.peers.common import announce, options


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        return  # a client that leaves in the middle of 1 GiB is no fault


if __name__ == "__main__":
    arguments = options("http.server", directory=(), protocol=("HTTP/1.1", "HTTP/1.0"))
    Quiet.protocol_version = arguments.protocol
    handler = functools.partial(Quiet, directory=arguments.directory)
    with Server(("127.0.0.1", arguments.port), handler) as server:
        announce(server.server_port)
        server.serve_forever()
