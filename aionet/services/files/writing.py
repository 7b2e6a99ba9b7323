"""The commands that write, for one connection: the upload it is at, and those that wait to be committed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .commands import Options
from .errors import BadRequest, NotFound, TransferError, shown
from .hashing import SHA256, Algorithm
from .manifest import Hashes
from .partial import Upload
from .reading import facts_of
from .store import Claim, Store
from .wire import Reply, Request

__all__ = ["Committing", "Writing"]

_MAX_CLAIMS: Final = 32
"""Uploads that are brought to the disk together. Each holds a descriptor; twice as many gained nothing."""


@dataclass(frozen=True, slots=True)
class Committing:
    """A ``COMMIT`` that was verified, and waits for others to go to the disk with."""

    claim: Claim
    request: Request
    started: float


class Writing:
    """What one connection writes. Blocks; for threads, one at a time.

    Args:
        store: Where to.
        hashes: For what is committed twice.
    """

    def __init__(self, store: Store, hashes: Hashes) -> None:
        self._store = store
        self._hashes = hashes
        self._upload: Upload | None = None
        self._id = ""
        self._at = 0  # where the next bytes of the running PUT belong
        self.waiting: list[Committing] = []

    def close(self) -> None:
        """Let go of everything. What was not committed stays as it is. Idempotent."""
        self._leave()
        while self.waiting:
            self.waiting.pop().claim.upload.close()

    def _leave(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.close()

    # ---- the upload at hand --------------------------------------------------------------------

    def find(self, user: str, name: str, upload: str) -> Upload | None:
        """The upload, if there is one; the connection is at it then.

        Raises:
            TransferError: as :meth:`Store.resume`.
        """
        if not self._is_at(user, name, upload):
            self._leave()
            self._upload, self._id = self._store.resume(user, name, upload), upload
        return self._upload

    def begin(self, user: str, name: str, options: Options) -> None:
        """``PUT``: bytes are coming.

        Raises:
            TransferError: as :meth:`Store.begin`, and BAD_RANGE.
        """
        upload, self._at = options["upload"], options.get("offset", 0)
        if not self._is_at(user, name, upload):
            self._leave()
            self._upload, self._id = self._store.begin(user, name, upload), upload
        assert self._upload is not None
        self._upload.announce(self._at, max(self._at, options.get("total", 0)))
        self._upload.hash_with(options.get("hash", SHA256))

    def heard(self) -> None:
        """Some bytes of a ``PUT`` have come, and wait for more. The one method for the event loop, at any time."""
        upload = self._upload
        if upload is not None:
            upload.heard()

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Some of the bytes of a ``PUT``.

        Raises:
            TransferError: as :meth:`Upload.write`.
        """
        assert self._upload is not None
        self._upload.write(pieces, self._at)
        self._at += sum(map(len, pieces))

    def received(self) -> Reply:
        """What a ``PUT`` is answered."""
        return Reply(0, {"received": str(self._upload.received if self._upload is not None else 0)})

    def _is_at(self, user: str, name: str, upload: str) -> bool:
        found = self._upload
        return found is not None and not found.closed and (found.user, found.name, self._id) == (user, name, upload)

    # ---- the end of an upload ------------------------------------------------------------------

    def verify(self, user: str, request: Request, options: Options, started: float) -> Reply | Committing:
        """``COMMIT``: check what was promised. It is :attr:`waiting` then; a reply: it was committed before.

        Raises:
            TransferError: MISMATCH, NOT_FOUND, or as :meth:`Store.resume`.
        """
        name, total = request.name, options["total"]
        digest, algorithm = options["digest"], options.get("hash", SHA256)
        upload = self.find(user, name, options["upload"])
        if upload is None and not total:
            self.begin(user, name, options)
            upload = self._upload
        if upload is None:
            return self._committed_before(name, total, digest, algorithm)
        upload.verify(total, digest, algorithm)
        self._upload = None  # it belongs to the claim now
        claim = Claim(upload, options.get("mtime"), options.get("tag"), options.get("new", False))
        self.waiting.append(Committing(claim, request, started))
        return self.waiting[-1]

    def must_settle_before(self, request: Request) -> bool:
        """Whether this request cannot be looked at before those that wait are committed."""
        return (
            request.verb not in ("PUT", "COMMIT")
            or len(self.waiting) >= _MAX_CLAIMS
            or any(each.request.name == request.name for each in self.waiting)
        )

    def settle(self) -> list[tuple[Committing, Reply | TransferError]]:
        """Commit all that wait; what each is answered."""
        waiting, self.waiting = self.waiting, []
        settled: list[tuple[Committing, Reply | TransferError]] = []
        for each, outcome in zip(waiting, self._store.commit([each.claim for each in waiting]), strict=True):
            each.claim.upload.close()
            if not isinstance(outcome, TransferError):
                settled.append((each, _committed(outcome.st_size, facts_of(outcome))))
            else:
                settled.append((each, outcome))
        return settled

    def _committed_before(self, name: str, total: int, digest: str, algorithm: Algorithm) -> Reply:
        """Answer a ``COMMIT`` whose first answer was lost with the connection."""
        missing = NotFound(f"nothing was received for this upload of {shown(name)}")
        try:
            with self._store.directory.opened(name) as (descriptor, found):
                if found.st_size == total:
                    *_, last = self._hashes.manifest(descriptor, name, algorithm, chunks=False)
                    if last.whole == digest:
                        return _committed(total, facts_of(found))
        except NotFound:
            raise missing from None
        raise missing

    # ---- other changes -------------------------------------------------------------------------

    def cancel(self, user: str, name: str, upload: str) -> None:
        """``CANCEL``.

        Raises:
            TransferError: as :meth:`Store.resume`.
        """
        if self._is_at(user, name, upload):
            self._leave()
        self._store.cancel(user, name, upload)

    def rename(self, name: str, body: bytes, options: Options) -> None:
        """``RENAME``; the body is the new name.

        Raises:
            TransferError: as :meth:`Store.rename`.
        """
        try:
            new_name = body.removesuffix(b"\n").removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            raise BadRequest("the new name is not UTF-8") from None
        self._store.rename(name, new_name, replace=options.get("replace", False))


def _committed(size: int, facts: dict[str, str]) -> Reply:
    return Reply(0, {"size": str(size)} | facts)
