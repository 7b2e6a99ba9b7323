"""The services that come with aionet. They are ordinary handlers, built on its public names alone."""

from .datagram import DatagramEcho
from .echo import Echo

__all__ = ["DatagramEcho", "Echo"]
