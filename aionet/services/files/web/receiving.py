"""What a client may change: files sent, removed, directories made. The store does the work, in threads.

A file is sent whole, by ``PUT`` with a length or in chunks; or in parts, each a ``PUT`` to ``?upload=ID`` with a
``Content-Range: bytes first-last/total`` (RFC 9110, 14.5), of which the last one makes the file. Between two parts, and
after any cut, ``HEAD`` of the same tells in ``Upload-Offset`` how much there is. The ID is the client's choice, as in
the file service's own protocol.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import anyio

from ..disk import Disk, Lease, outcome
from ..entries import tag_of
from ..errors import BadRequest, Conflict, Mismatch, NotFound, TransferError, shown
from ..hashing import SHA256
from ..partial import Upload
from ..store import Claim, Store
from .conditions import etag_matches, may_write
from .exchange import Exchange
from .target import href

__all__ = ["delete", "make_directory", "put", "received"]

_GATHERED: Final = 1024 * 1024
"""Bytes of a body that go to a thread together: a hop costs as much as hashing some 100 KiB."""

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)
_UPLOAD: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DIGEST: Final = re.compile(r"(?:^|[,\s])sha-256\s*=\s*:([A-Za-z0-9+/=]+):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Part:
    """What a PUT brings.

    Attributes:
        upload: Which upload it belongs to.
        offset: Where in the file it begins.
        size: Bytes; ``None``: as many as come.
        total: Bytes of the whole file; ``None``: unknown until it is there.
        resumable: Whether the client knows the upload's name, and can go on with it.
    """

    upload: str
    offset: int
    size: int | None
    total: int | None
    resumable: bool

    @property
    def is_last(self) -> bool:
        """Whether the file is whole with it."""
        return self.size is None or self.offset + self.size == self.total


@dataclass(frozen=True, slots=True)
class _Condition:
    """What the request says of the file that is there."""

    exists: bool
    new: bool = False
    tag: str | None = None


async def put(exchange: Exchange, store: Store, disk: Disk) -> None:
    """``PUT``: 201 for a new file, 204 for a replaced one, 202 for a part behind which another is expected."""
    if not exchange.request.has_body and exchange.request.length is None:
        await exchange.refuse(411, "a PUT says how long its body is", hint="Content-Length: 0 makes an empty file")
        return
    part, name = _part_of(exchange), _name_of(exchange)
    promised = _promised_digest(exchange, "content-range" in exchange.request.fields)
    condition = await disk.run(_check_conditions, exchange, store, name)
    lease: Lease[Upload] = Lease(Upload.close)
    kept = False
    try:
        await disk.run(_begin, lease, store, exchange.user, name, part)
        await exchange.want_body()
        await _receive(exchange, disk, lease, part)
        if not part.is_last:
            kept = True
            await exchange.answer(202, f"Upload-Offset: {part.offset + (part.size or 0)}\r\n")
            return
        info, digest = await lease.run(disk, _commit, promised, store, condition, part.total)
        kept = True
    finally:
        lease.release()
        if not kept and not part.resumable:  # nobody could go on with it
            await disk.run(_drop, store, exchange.user, name, part.upload)
    fields = f'ETag: "{tag_of(info)}"\r\nRepr-Digest: sha-256=:{base64.b64encode(digest).decode()}:\r\n'
    if condition.exists:
        await exchange.answer(204, fields)
    else:
        await exchange.answer(201, f"{fields}Location: {href(name)}\r\n")


async def delete(exchange: Exchange, store: Store, disk: Disk) -> None:
    """``DELETE`` of a file, or of an empty directory; or of an upload that is not to be gone on with."""
    if "upload" in exchange.target.query:
        await disk.run(store.cancel, exchange.user, _name_of(exchange), _upload_of(exchange))
        await exchange.answer(204)
        return
    name = _name_of(exchange, directory=True)
    condition = await disk.run(_check_conditions, exchange, store, name)
    await disk.run(store.delete, name, condition.tag)
    await exchange.answer(204)


async def make_directory(exchange: Exchange, store: Store, disk: Disk) -> None:
    """``MKCOL`` (RFC 4918, 9.3)."""
    name = _name_of(exchange, directory=True)
    await disk.run(store.make_directory, name, exchange.user)
    await exchange.answer(201, f"Location: {href(name, is_directory=True)}\r\n")


async def received(exchange: Exchange, store: Store, disk: Disk) -> int:
    """Bytes there are of the upload that the query names; 0 if there is none."""
    return await disk.run(_received, store, exchange.user, _name_of(exchange), _upload_of(exchange))


# ---- what the request says ---------------------------------------------------------------------


def _name_of(exchange: Exchange, *, directory: bool = False) -> str:
    target = exchange.target
    if target.is_directory and not directory:
        raise BadRequest("a path that ends with a slash is a directory", hint="MKCOL makes one")
    return target.name


def _upload_of(exchange: Exchange) -> str:
    upload = exchange.target.query["upload"]
    if not _UPLOAD.fullmatch(upload):
        raise BadRequest("the name of an upload is 1 to 64 letters, digits, '-' and '_'")
    return upload


def _part_of(exchange: Exchange) -> _Part:
    request = exchange.request
    length = request.length if request.has_body else 0
    resumable = "upload" in exchange.target.query
    upload = _upload_of(exchange) if resumable else f"http-{secrets.token_hex(16)}"
    text = request.fields.get("content-range")
    if text is None:
        return _Part(upload, 0, length, length, resumable)
    match = _CONTENT_RANGE.fullmatch(text.strip())
    if match is None:
        raise BadRequest("a Content-Range is: bytes FIRST-LAST/TOTAL")
    first, last, total = map(int, match.groups())
    if not first <= last < total or (length is not None and length != last - first + 1):
        raise BadRequest("the Content-Range does not fit itself, or the length of the body")
    if not resumable:
        raise BadRequest("a part of a file needs an upload to belong to", hint="PUT NAME?upload=ID, the same for each")
    return _Part(upload, first, last - first + 1, total, resumable)


def _promised_digest(exchange: Exchange, part_of_whole: bool) -> bytes | None:
    """The SHA-256 that the client says the file has (RFC 9530)."""
    fields = exchange.request.fields
    text = fields.get("repr-digest") or ("" if part_of_whole else fields.get("content-digest", ""))
    if "sha-256" not in text.lower():
        return None
    match = _DIGEST.search(text)
    try:
        return base64.b64decode(match[1] if match is not None else "?", validate=True)
    except binascii.Error:
        raise BadRequest("the sha-256 of a digest field is not base64", hint="sha-256=:BASE64:") from None


# ---- the body ----------------------------------------------------------------------------------


async def _receive(exchange: Exchange, disk: Disk, lease: Lease[Upload], part: _Part) -> None:
    """While some of it is written and hashed in a thread, as much again comes in."""
    offset, pieces, gathered = part.offset, list[bytes](), 0
    under_way: list[tuple[asyncio.Future[None], int]] = []

    async def settle() -> None:
        if under_way:
            writing, size = under_way.pop()
            await outcome(writing)
            exchange.moved += size

    while True:
        try:
            piece = await exchange.piece()
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            if gathered and part.resumable:  # what came is right as far as it goes
                with suppress(TransferError):
                    await lease.run(disk, Upload.write, pieces, offset)
            raise
        if part.size is not None and offset + gathered + len(piece) > part.offset + part.size:
            raise BadRequest(f"more than the {part.size} bytes of the Content-Range came")
        pieces.append(piece)
        gathered += len(piece)
        if gathered >= _GATHERED or not piece:
            await settle()
            if gathered:
                under_way.append((lease.start(disk, Upload.write, pieces, offset), gathered))
                offset, pieces, gathered = offset + gathered, [], 0
        if not piece:
            await settle()
            break
    if part.size is not None and offset != part.offset + part.size:
        raise BadRequest(f"{offset - part.offset} bytes came, not {part.size}")


# ---- in threads --------------------------------------------------------------------------------


def _check_conditions(exchange: Exchange, store: Store, name: str) -> _Condition:
    """Look before anything is received; the store looks again when it replaces.

    Raises:
        Conflict: the request is not for what is there.
        TransferError: what stands there is no file that could be replaced.
    """
    fields = exchange.request.fields
    try:
        found = store.directory.stat(name)
    except NotFound:
        found = None
    tag = None if found is None else tag_of(found)
    etag, mtime = (None, 0) if found is None else (f'"{tag}"', int(found.st_mtime))
    unless = fields.get("if-none-match")
    if unless is not None and etag is not None and etag_matches(unless, etag, weakly=True):
        raise Conflict(f"there is {shown(name)} already")
    if not may_write(fields, etag, mtime):
        raise Conflict(f"{shown(name)} is not the version asked for")
    return _Condition(
        exists=found is not None,
        new=unless is not None and unless.strip() == "*",
        tag=tag if "if-match" in fields else None,
    )


def _begin(lease: Lease[Upload], store: Store, user: str, name: str, part: _Part) -> None:
    upload = store.begin(user, name, part.upload)
    lease.put(upload)
    upload.announce(part.offset, max(part.offset, part.total or 0))


def _commit(
    upload: Upload, promised: bytes | None, store: Store, condition: _Condition, total: int | None
) -> tuple[os.stat_result, bytes]:
    if total is not None and upload.received != total:
        raise Mismatch(f"{upload.received} bytes of {shown(upload.name)} were received, not {total}")
    digest = bytes.fromhex(upload.digest(SHA256))
    if promised is not None and promised != digest:
        raise Mismatch(f"the SHA-256 of what was received for {shown(upload.name)} is {digest.hex()}")
    (outcome,) = store.commit([Claim(upload, tag=condition.tag, new=condition.new)])
    if isinstance(outcome, TransferError):
        raise outcome
    return outcome, digest


def _drop(store: Store, user: str, name: str, upload: str) -> None:
    with suppress(TransferError):  # a thread is still at it: it expires
        store.cancel(user, name, upload)


def _received(store: Store, user: str, name: str, upload: str) -> int:
    found = store.resume(user, name, upload)
    if found is None:
        return 0
    try:
        return found.received
    finally:
        found.close()
