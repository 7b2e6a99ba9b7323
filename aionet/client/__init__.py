"""The client side: the same connections, codecs and endpoints, seen from the other end.

Imported where they are needed, so that a server does not pay for them: :func:`aionet.client.http.fetch`,
:func:`aionet.client.sockinfo.inspect`.
"""

from .connecting import connect
from .datagram import open_datagram

__all__ = ["connect", "open_datagram"]
