"""The client side: the same connections, codecs and endpoints, seen from the other end."""

from .connecting import connect
from .datagram import open_datagram
from .resolving import find_services, local_host, resolve
from .scanning import find_targets, scan

__all__ = ["connect", "find_services", "find_targets", "local_host", "open_datagram", "resolve", "scan"]
