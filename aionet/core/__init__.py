"""The non-blocking engine: the only room that touches sockets, transports, TLS and uvloop."""
