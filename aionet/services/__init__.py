"""The services that come with aionet. They are ordinary handlers, built on its public names alone."""

from .chat import Chat
from .datagram import DatagramEcho
from .echo import Echo
from .files import Files

__all__ = ["Chat", "DatagramEcho", "Echo", "Files"]
