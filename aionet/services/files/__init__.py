"""Files: a directory served, read-only, in a protocol that can be typed. ``docs/files-protocol.md`` is its manual.

================  ======================================================================
:mod:`.paths`     what a client's name may open, decided in one place
:mod:`.wire`      the grammar as one codec with states, for both sides
:mod:`.entries`   a line of a listing
:mod:`.errors`    what can go wrong, with a stable code for each
:mod:`.disk`      disk work in threads, and who closes what
:mod:`.handler`   :class:`Files`, the server
:mod:`.part`      a file that is being received, until it is whole
:mod:`.client`    :func:`fetch` and :func:`list_directory`
================  ======================================================================
"""

from .client import Fetched, Listing, fetch, list_directory
from .entries import Entry
from .errors import TransferError
from .handler import Files
from .paths import Directory
from .wire import ReplyCodec, RequestCodec

__all__ = [
    "Directory",
    "Entry",
    "Fetched",
    "Files",
    "Listing",
    "ReplyCodec",
    "RequestCodec",
    "TransferError",
    "fetch",
    "list_directory",
]
