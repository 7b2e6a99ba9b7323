"""What stands in a certificate (X.509, RFC 5280), read from its DER.

``ssl`` tells the contents of a certificate only where it was verified; the one that could not be is the one people
want to look at. Only what is shown is read here, and nothing is decided: whether to trust it is OpenSSL's business.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

__all__ = ["CertificateFacts", "parse_certificate"]

_UTC_TIME: Final = 0x17
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_EXTENSIONS: Final = 0xA3
_TEXT: Final = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be", 0x1C: "utf-32-be"}
"""Kinds of strings by tag: UTF8String, PrintableString, T61String, IA5String, BMPString, UniversalString."""
_ATTRIBUTES: Final = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}
_SUBJECT_ALT_NAME: Final = "2.5.29.17"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate. Everything in it was written by the peer: escape it before it meets a terminal.

    Attributes:
        subject: Whose it is: ``"CN=www.example.com, O=Example"``, in the certificate's order.
        issuer: Who signed it.
        names: The hosts it is for (subjectAltName): DNS names and IP addresses.
        not_before: When it begins to hold, UTC.
        not_after: When it ends to hold, UTC.
        serial: Its number, hexadecimal.
        sha256: Fingerprint of the whole, hexadecimal.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    serial: str
    sha256: str

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer are the same: what is called self-signed."""
        return self.subject == self.issuer


def parse_certificate(der: bytes) -> CertificateFacts:
    """Read a certificate.

    Raises:
        ValueError: this is none.
    """
    try:
        ((_, certificate),) = _elements(der)
        tag, body = next(_elements(certificate))
        if tag != _SEQUENCE:
            raise ValueError(f"tag {tag:#x} where a sequence should be")
        fields = [(tag, value) for tag, value in _elements(body) if tag != _VERSION]
        serial, _, issuer, validity, subject = (value for _, value in fields[:5])
        not_before, not_after = (_time(tag, value) for tag, value in _elements(validity))
        extensions = next((value for tag, value in fields[5:] if tag == _EXTENSIONS), b"")
        return CertificateFacts(
            _name(subject),
            _name(issuer),
            tuple(_alternative_names(extensions)),
            not_before,
            not_after,
            serial.lstrip(b"\0").hex() or "00",
            hashlib.sha256(der).hexdigest(),
        )
    except (ValueError, IndexError, StopIteration, OverflowError) as exc:
        raise ValueError(f"this is no X.509 certificate: {exc}") from exc


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and contents of each element, one behind the other (X.690, definite lengths)."""
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length & 0x80:
            width = length & 0x7F
            if not 1 <= width <= 4:
                raise ValueError("a length of no known form")
            length = int.from_bytes(data[position : position + width])
            position += width
        if position + length > len(data):
            raise ValueError("an element longer than what holds it")
        yield tag, data[position : position + length]
        position += length


def _name(data: bytes) -> str:
    parts = []
    for _, attributes in _elements(data):
        for _, attribute in _elements(attributes):
            (_, kind), (tag, value) = _elements(attribute)
            oid = _oid(kind)
            parts.append(f"{_ATTRIBUTES.get(oid, oid)}={value.decode(_TEXT.get(tag, 'latin-1'), 'replace')}")
    return ", ".join(parts)


def _oid(data: bytes) -> str:
    numbers = [0]
    for byte in data:
        numbers[-1] = numbers[-1] << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(0)
    first = numbers[0]
    return ".".join(map(str, (min(first // 40, 2), first - 40 * min(first // 40, 2), *numbers[1:-1])))


def _time(tag: int, data: bytes) -> datetime:
    """UTCTime has two digits of the year, from 1950 on (RFC 5280, section 4.1.2.5.1)."""
    text = data.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _alternative_names(extensions: bytes) -> Iterator[str]:
    for _, listed in _elements(extensions):
        for _, extension in _elements(listed):
            parts = list(_elements(extension))
            if _oid(parts[0][1]) == _SUBJECT_ALT_NAME:
                yield from _general_names(parts[-1][1])


def _general_names(value: bytes) -> Iterator[str]:
    """DNS names, IP addresses; and what else a certificate may be for: mail addresses, URIs."""
    for _, names in _elements(value):
        for tag, name in _elements(names):
            if tag & 0x1F == 7:
                yield str(ipaddress.ip_address(name))
            elif tag & 0x1F in (1, 2, 6):
                yield name.decode("ascii", "replace")
