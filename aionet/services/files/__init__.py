"""Files: a directory served, in a protocol that can be typed. ``docs/files-protocol.md`` is its manual.

====================  ==================================================================
:mod:`.wire`          the grammar as one codec with states, for both sides
:mod:`.commands`      the commands, and what belongs to each
:mod:`.errors`        what can go wrong, with a stable code for each
:mod:`.entries`       a line of a listing, and the tag of a version
:mod:`.paths`         what a client's name may open, decided in one place
:mod:`.opening`       how that is opened
:mod:`.disk`          disk work in threads, and who closes what
:mod:`.handler`       :class:`Files`, the server
:mod:`.conversation`  one connection of it, as its threads see it
:mod:`.reading`       the commands that read
:mod:`.writing`       the commands that write
:mod:`.manifest`      hashes of files, and of their chunks
:mod:`.store`         what clients change on the disk
:mod:`.partial`       files that are being received
:mod:`.rules`         who may write what
:mod:`.usage`         how much is there, for quotas
:mod:`.syscalls`      what Python's ``os`` lacks
:mod:`.part`          a file that is being received, until it is whole
:mod:`.client`        :func:`fetch` and :func:`list_directory`
====================  ==================================================================
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
