"""The non-blocking engine: the only room that knows sockets, transports, TLS and the event loop."""
