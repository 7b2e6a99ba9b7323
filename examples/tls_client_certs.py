"""TLS with client certificates: only who shows a certificate of our own authority gets in, and is called by its name.

Run it, from the project's directory, by any of::

    python -m examples.tls_client_certs
    python -m aionet serve examples.tls_client_certs:router

The first start makes throwaway certificates in ``tls_example/`` (by trustme: ``pip install trustme``; without that it
says how openssl makes them). Try it::

    cd tls_example
    openssl s_client -quiet -no_ign_eof -connect localhost:7060 -CAfile ca.pem -cert client.pem  # hello ada...
    openssl s_client -quiet -no_ign_eof -connect localhost:7060 -CAfile ca.pem                   # refused

In production the files are your authority's, and the endpoint names them just so:
``tls://0.0.0.0:7060?cert=server.pem&key=server.key&client_ca=clients.pem``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from aionet import Connection, Endpoint, LineCodec, Router, StreamHandler, run
from aionet.errors import TLSConfigError

DIRECTORY: Final = Path("tls_example")
CLIENT: Final = "ada.example.com"

BY_HAND: Final = """pip install trustme, or make them by hand, with OpenSSL 3 or newer:
  (mkdir -p {0} && cd {0} && umask 077
   new="openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7"
   $new -subj /CN=example-ca -keyout ca.key -out ca.pem
   for name in server:localhost client:{1}; do
     $new -CA ca.pem -CAkey ca.key -subj /CN=${{name#*:}} -addext subjectAltName=DNS:${{name#*:}} \\
       -addext basicConstraints=critical,CA:FALSE -keyout key -out cert
     cat key cert > ${{name%:*}}.pem && rm key cert
   done)"""


class Members(StreamHandler[bytes]):
    """Greets each peer by the name in its certificate, and repeats what it says under that name."""

    codec = LineCodec()

    def on_connect(self, conn: Connection[bytes]) -> None:
        """Called after the TLS handshake: who is here has a certificate that the authority signed."""
        conn.state = peer_name(conn)
        facts = conn.tls
        assert facts is not None  # the route is a tls:// one
        conn.write(f"hello {conn.state}, over {facts.version} with {facts.cipher}".encode())

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        """What the peer says."""
        conn.write(conn.state.encode() + b": " + message)


def peer_name(conn: Connection[bytes]) -> str:
    """The common name of the peer's certificate, or else its first alternative name."""
    certificate = conn.tls.peer_certificate if conn.tls is not None else {}
    for attributes in certificate.get("subject", ()):
        for key, value in attributes:
            if key == "commonName":
                return str(value)
    return next((str(value) for _, value in certificate.get("subjectAltName", ())), "somebody without a name")


def make_certificates(directory: Path) -> None:
    """An authority, a server's and a client's certificate, each with its key in the same file; kept if there.

    Raises:
        TLSConfigError: they are not there, and trustme is not, either.
    """
    files = [directory / f"{name}.pem" for name in ("ca", "server", "client")]
    if all(file.exists() for file in files):
        return
    try:
        import trustme
    except ImportError:
        raise TLSConfigError(
            f"no certificates in {directory}, and trustme, which could make some, is not installed",
            hint=BY_HAND.format(directory, CLIENT),
        ) from None
    directory.mkdir(mode=0o700, exist_ok=True)
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1", "::1")
    client = authority.issue_cert(CLIENT, common_name=CLIENT)
    for file, blob in zip(
        files,
        (authority.cert_pem, server.private_key_and_cert_chain_pem, client.private_key_and_cert_chain_pem),
        strict=True,
    ):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as target:
            target.write(blob.bytes())


def make_router(endpoint: str = "tls://localhost:7060", directory: Path = DIRECTORY) -> Router:
    """One route; the certificates' files are options of its endpoint."""
    make_certificates(directory)
    router = Router()
    router.add(
        Endpoint.parse(endpoint).with_options(cert=str(directory / "server.pem"), client_ca=str(directory / "ca.pem")),
        Members(),
    )
    return router


def router() -> Router:
    """For ``python -m aionet serve examples.tls_client_certs:router``: nothing is made at import."""
    return make_router()


def main(arguments: list[str]) -> int:
    """Serve ``[ENDPOINT]``."""
    try:
        return run(make_router(arguments[0]) if arguments else make_router())
    except TLSConfigError as exc:
        print(f"error: {exc}", f"hint: {exc.hint}" if exc.hint else "", sep="\n", file=sys.stderr)
        return 3


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
