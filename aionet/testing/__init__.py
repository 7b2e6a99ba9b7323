"""What a protocol's own tests can use. Built on aionet's public names only."""

from .codecs import CodecVerificationError, verify_codec

__all__ = ["CodecVerificationError", "verify_codec"]
