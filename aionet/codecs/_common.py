"""What all codecs share: checks of their settings, of messages to encode, and how a fault shows bytes."""

from __future__ import annotations

from ..errors import ConfigError, EncodeError, FrameTooLarge

__all__ = ["announced_too_large", "excerpt", "refused_too_large", "to_bytes", "whole_number"]

_SHOWN = 32  # bytes of a peer's data that a fault may repeat: enough to recognise the protocol, too few to flood a log


def whole_number(name: str, value: int, least: int = 1) -> int:
    """``value`` itself, if it is a whole number of at least ``least``.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} must be a whole number of bytes, at least {least}, not {value!r}")
    return value


def to_bytes(message: object) -> bytes:
    """An immutable copy of a bytes-like message, so that a later change by the caller cannot alter what is sent.

    Raises:
        EncodeError: it is not bytes-like.
    """
    if isinstance(message, (bytes, bytearray, memoryview)):
        return bytes(message)
    hint = "encode text first: message.encode()" if isinstance(message, str) else None
    raise EncodeError(f"a message must be bytes, not {type(message).__name__}", hint=hint)


def excerpt(data: bytes | bytearray) -> str:
    """The first bytes of what a peer sent, escaped and cut: safe in a log and on a terminal."""
    return ascii(bytes(data[:_SHOWN])) + ("..." if len(data) > _SHOWN else "")


def announced_too_large(size: int, max_size: int) -> FrameTooLarge:
    """The fault of a peer whose header announces more than ``max_size`` bytes."""
    return FrameTooLarge(
        f"a message of {size} bytes was announced, at most {max_size} are allowed", hint="see the codec's max_size"
    )


def refused_too_large(size: int, max_size: int) -> EncodeError:
    """Our side asked for a message that a peer with the same settings would refuse."""
    return EncodeError(
        f"a message of {size} bytes cannot be encoded, at most {max_size} are allowed", hint="see the codec's max_size"
    )
