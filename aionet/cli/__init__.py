"""The front door: ``python -m aionet``. One file a command, each imported when it is called."""

from .root import main

__all__ = ["main"]
