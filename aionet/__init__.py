"""aionet: the server framework for protocols that are not HTTP."""

from .events import Address
from .handler import Connection, DatagramHandler, DatagramPort, StreamHandler

__version__ = "0.1.0"

__all__ = ["Address", "Connection", "DatagramHandler", "DatagramPort", "StreamHandler"]
