"""The client side: the same connections, codecs and endpoints, seen from the other end."""

from .connecting import connect
from .datagram import open_datagram

__all__ = ["connect", "open_datagram"]
