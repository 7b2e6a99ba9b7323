"""The client's side of the file service: fetch, send and compare files and whole trees, list directories.

A file that stands under its final name, on either side, is whole and proven by its hash. Broken connections are made
again and go on where they stopped; so does the next call, after one that failed or was killed.

=========================  ======================================================================
:mod:`.transfer`           what users call
:mod:`.plan`               which files are meant, and where each goes
:mod:`.listing`            what is on the server; :mod:`.local`: what is here
:mod:`.download`           one large file, fetched in ranges; :mod:`.upload`: sent in pieces
:mod:`.small_downloads`    many small ones, fetched ahead of the answers; :mod:`.small_uploads`: sent
:mod:`.verify`             two trees compared
:mod:`.landing`            the destination, which no name leads out of
:mod:`.part`               a file that is being received; :mod:`.original`: one that is being sent
:mod:`.manifest`           what the hashes of chunks prove
:mod:`.remote`             a server: connections, and which failures are borne; :mod:`.channel`: one of them
:mod:`.retry`              ... how often; :mod:`.pace`: a limit of bytes a second
:mod:`.concurrently`       requests ahead of answers, threads beside the loop
:mod:`.progress`           how far it is; :mod:`.results`: what came of it
=========================  ======================================================================
"""

from .listing import Listing
from .progress import FileProgress, OnProgress, Progress
from .remote import Remote
from .results import Failed, OnFile, Transferred, TreeResult
from .transfer import fetch, fetch_tree, list_directory, list_tree, upload, upload_tree

__all__ = [
    "Failed",
    "FileProgress",
    "Listing",
    "OnFile",
    "OnProgress",
    "Progress",
    "Remote",
    "Transferred",
    "TreeResult",
    "fetch",
    "fetch_tree",
    "list_directory",
    "list_tree",
    "upload",
    "upload_tree",
]
