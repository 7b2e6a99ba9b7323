"""Every exception aionet raises of its own, in one tree.

::

    AionetError
    ├── ConfigError (ValueError)            what the caller wrote is wrong; nothing was started
    │   ├── EndpointError                   an endpoint string or one of its options
    │   ├── RouteError                      a route that cannot be: twice the same port, no such style
    │   └── TLSConfigError                  certificate, key or CA file: absent, unreadable, not a pair
    ├── StartupError                        right on paper, refused by the system; nothing stays bound
    │   ├── BindError (OSError)             port taken, no such address, no permission
    │   └── LoadError (ImportError)         ``module:name`` could not be imported
    ├── ServerStateError (RuntimeError)     an operation the server's present state does not allow
    ├── ConnectError (ConnectionError)      a client could not reach its peer
    │   ├── ConnectTimeout (TimeoutError)   ... within the time given
    │   └── ResolveError                    a name, an address or a service could not be looked up
    │       └── ResolveTimeout (ConnectTimeout)     ... within the time given
    ├── EncodeError (ValueError)            our side asked a codec to encode what it cannot
    └── ProtocolError (ConnectionError)     the peer broke the grammar
        ├── FrameTooLarge                   announced or sent more than ``max_size``
        ├── MalformedFrame                  bytes that no message can start or go on with
        ├── IncompleteFrame                 the stream ended inside a message
        └── HandshakeError                  it was refused, or refused us, before the first message

What the peer did wrong (:class:`ProtocolError`) is apart from what we did wrong. Each class is also the
builtin that a plain ``except`` would expect. Operations of a connection raise anyio's own exceptions
(``EndOfStream``, ``ClosedResourceError``, ``BrokenResourceError``, ``BusyResourceError``): no synonyms here.

``str(error)`` says what failed and why; :attr:`AionetError.hint` says what to do, where that is known.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AionetError",
    "BindError",
    "ConfigError",
    "ConnectError",
    "ConnectTimeout",
    "EncodeError",
    "EndpointError",
    "FrameTooLarge",
    "HandshakeError",
    "IncompleteFrame",
    "LoadError",
    "MalformedFrame",
    "ProtocolError",
    "ResolveError",
    "ResolveTimeout",
    "RouteError",
    "ServerStateError",
    "StartupError",
    "TLSConfigError",
]


class AionetError(Exception):
    """Base of every exception that aionet raises of its own.

    Attributes:
        hint: What the reader can do about it, or ``None``.
        exit_code: What a program that ends because of it returns to the system.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message  # OSError, a base of some of us, would print only errno and strerror


class ConfigError(AionetError, ValueError):
    """What the caller wrote is wrong: nothing was started."""

    exit_code = 4


class EndpointError(ConfigError):
    """An endpoint string, or one of its options, does not parse."""


class RouteError(ConfigError):
    """A route that cannot be: a port given twice, a handler of no known style."""


class TLSConfigError(ConfigError):
    """A certificate, key or CA file that is absent, unreadable, or does not fit its other half."""

    exit_code = 3


class StartupError(AionetError):
    """The configuration is right on paper, but the system refused it. Nothing stays bound."""

    exit_code = 3


class BindError(StartupError, OSError):
    """An endpoint could not be bound; ``errno`` is the system's."""

    def __init__(self, message: str = "", *, hint: str | None = None, errno: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.errno = errno


class LoadError(StartupError, ImportError):
    """``module:name`` could not be imported, or is not what was asked for."""


class ServerStateError(AionetError, RuntimeError):
    """The server's present state does not allow this operation."""


class ConnectError(AionetError, ConnectionError):
    """A client could not reach its peer."""

    exit_code = 3


class ConnectTimeout(ConnectError, TimeoutError):
    """A client could not reach its peer within the time given."""


class ResolveError(ConnectError):
    """A name, an address or a service could not be looked up.

    Attributes:
        step: The step of the look-up that failed, by the name of the call that takes it: ``"idna"`` (the text is no
            name), ``"getaddrinfo"``, ``"gethostbyaddr"``, ``"getservbyname"``, ``"getservbyport"``.
    """

    def __init__(self, message: str = "", *, hint: str | None = None, step: str = "getaddrinfo") -> None:
        super().__init__(message, hint=hint)
        self.step = step


class ResolveTimeout(ResolveError, ConnectTimeout):
    """A look-up did not end within the time given. It was given up, not ended: no resolver can be interrupted."""


class EncodeError(AionetError, ValueError):
    """Our side asked a codec to encode a message that its grammar cannot carry."""


class ProtocolError(AionetError, ConnectionError):
    """The peer broke the grammar; its connection cannot be read any further."""


class FrameTooLarge(ProtocolError):
    """The peer announced or sent a message larger than the codec's ``max_size``."""


class MalformedFrame(ProtocolError):
    """The peer sent bytes that no message can start or go on with."""


class IncompleteFrame(ProtocolError):
    """The stream ended inside a message."""


class HandshakeError(ProtocolError):
    """A codec's opening handshake failed: no handler has heard of the connection."""
