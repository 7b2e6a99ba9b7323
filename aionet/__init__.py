"""aionet: the server framework for protocols that are not HTTP."""

__version__ = "0.1.0"
