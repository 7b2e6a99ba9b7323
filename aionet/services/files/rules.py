"""Who may do what with the files of one server, and how much of it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from aionet.errors import ConfigError
from aionet.handler import TLSFacts

from .errors import Code, make_error, shown

__all__ = ["ANYBODY", "Rules", "Tokens", "certificate_name"]

ANYBODY: Final = ""
"""The user where nobody has to say who he is."""

_MIN_TOKEN: Final = 16
"""Characters: what is shorter is guessed, however slowly this server answers."""

_GIB: Final = 1024**3
_COUNTS: Final = ("max_file", "max_partials", "quota_bytes", "quota_files", "user_quota_bytes", "user_quota_files")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What clients may write, and how much.

    Raises:
        ConfigError: a count below 1, a pattern that is none.
    """

    writable: bool = False
    """Whether files are taken at all."""

    max_file: int = 64 * _GIB
    """Bytes of the largest file taken."""

    max_partials: int = 1000
    """Uploads that are not finished, of all users: each holds a place on the disk until it expires."""

    partial_age: float = 24 * 3600.0
    """Seconds after which a partial file that nothing was added to is removed: a laptop comes back the next day."""

    quota_bytes: int | None = None
    """Bytes of all files in the directory, partial ones too. ``None``: what the disk holds."""

    quota_files: int | None = None
    """Number of all files in the directory. ``None``: what the disk holds."""

    user_quota_bytes: int | None = None
    """Bytes of the files that one user has sent. ``None``: as many as all together."""

    user_quota_files: int | None = None
    """Number of the files that one user has sent. ``None``: as many as all together."""

    name_pattern: str | None = None
    """Regular expression that the whole of a name must match to be written. ``None``: any name that can be served."""

    def __post_init__(self) -> None:
        for name in _COUNTS:
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")
        if not self.partial_age > 0:
            raise ConfigError(f"partial_age must be a positive number of seconds, not {self.partial_age!r}")
        try:
            re.compile(self.name_pattern or "")
        except re.error as exc:
            raise ConfigError(f"name_pattern {self.name_pattern!r} is no regular expression: {exc}") from None

    @property
    def has_quota(self) -> bool:
        """Whether anything has to be counted."""
        return self.has_user_quota or self.quota_bytes is not None or self.quota_files is not None

    @property
    def has_user_quota(self) -> bool:
        """Whether it has to be known whose each file is."""
        return self.user_quota_bytes is not None or self.user_quota_files is not None

    def check_writable(self) -> None:
        """Whether anything may be changed here.

        Raises:
            TransferError: FORBIDDEN.
        """
        if not self.writable:
            raise make_error(Code.FORBIDDEN, "this server takes no files")

    def check_writing(self, name: str, size: int = 0) -> None:
        """Whether a file of this name, and of this many bytes, is taken here.

        Raises:
            TransferError: FORBIDDEN, TOO_LARGE.
        """
        self.check_writable()
        if self.name_pattern is not None and not re.fullmatch(self.name_pattern, name):
            raise make_error(Code.FORBIDDEN, f"this server takes no files of such a name as {shown(name)}")
        if size > self.max_file:
            raise make_error(Code.TOO_LARGE, f"{size} bytes are more than the {self.max_file} that a file may have")


class Tokens:
    """The tokens that open a server.

    Args:
        tokens: One for everybody, or each user's by his name.

    Raises:
        ConfigError: a token that could be guessed, or that no line can carry; two users with the same.
    """

    def __init__(self, tokens: str | Mapping[str, str]) -> None:
        by_user = {ANYBODY: tokens} if isinstance(tokens, str) else dict(tokens)
        for user, token in by_user.items():
            if len(token) < _MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
                whose = f"the token of {user!r}" if user else "the token"
                raise ConfigError(
                    f"{whose} must be of at least {_MIN_TOKEN} printable ASCII characters without spaces",
                    hint="make one: python -c 'import secrets; print(secrets.token_urlsafe())'",
                )
        self._users = {_digest(token): user for user, token in by_user.items()}
        if len(self._users) < len(by_user):
            raise ConfigError("two users have the same token")

    def user_of(self, token: str) -> str | None:
        """Whose token this is; ``None``: nobody's. Takes as long whatever is given."""
        given, found = _digest(token), None
        for digest, user in self._users.items():
            if hmac.compare_digest(digest, given):
                found = user
        return found


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def certificate_name(tls: TLSFacts | None) -> str | None:
    """The common name in the certificate that the peer has shown and TLS has verified; ``None``: there is none."""
    for part in (tls.peer_certificate if tls is not None else {}).get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)
    return None
