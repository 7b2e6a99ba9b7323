"""Files: a directory served, and its clients. ``docs/files-protocol.md`` is the manual of the protocol between them.

====================  ======================================================================================
:mod:`.wire`          the grammar as one codec with states, for both sides
:mod:`.commands`      the commands, and what belongs to each
:mod:`.errors`        what can go wrong, with a stable code for each
:mod:`.entries`       a line of a listing, and the tag of a version
:mod:`.paths`         what a client's name may open, decided in one place
:mod:`.opening`       how that is opened; :mod:`.memory`: and read at once, if it is small and in memory
:mod:`.disk`          disk work in threads, and who closes what
:mod:`.handler`       :class:`Files`, the server
:mod:`.conversation`  one connection of it, as its threads see it
:mod:`.reading`       the commands that read
:mod:`.writing`       the commands that write
:mod:`.manifest`      hashes of files, and of their chunks
:mod:`.hashing`       SHA-256, and BLAKE3 where it is installed
:mod:`.store`         what clients change on the disk
:mod:`.partial`       files that are being received; :mod:`.incoming`: from the socket, :mod:`.direct`: to the disk
:mod:`.rules`         who may write what
:mod:`.usage`         how much is there, for quotas
:mod:`.syscalls`      what Python's ``os`` lacks
:mod:`.client`        the other side: :func:`fetch`, :func:`upload`, whole trees
====================  ======================================================================================
"""

from .client import (
    Failed,
    Listing,
    Progress,
    Remote,
    Transferred,
    TreeResult,
    fetch,
    fetch_tree,
    list_directory,
    list_tree,
    upload,
    upload_tree,
)
from .entries import Entry
from .errors import TransferError
from .handler import Files
from .paths import Directory
from .wire import ReplyCodec, RequestCodec

__all__ = [
    "Directory",
    "Entry",
    "Failed",
    "Files",
    "Listing",
    "Progress",
    "Remote",
    "ReplyCodec",
    "RequestCodec",
    "TransferError",
    "Transferred",
    "TreeResult",
    "fetch",
    "fetch_tree",
    "list_directory",
    "list_tree",
    "upload",
    "upload_tree",
]
