"""Certificates as a line and for programs."""

from datetime import UTC, datetime
from typing import Any

from aionet.cli.certificates import certificate_json, certificate_line
from aionet.handler import TLSFacts

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def facts(**certificate: Any) -> TLSFacts:
    return TLSFacts(version="TLSv1.3", cipher="AES", alpn=None, peer_certificate=certificate)


def name(common: str) -> tuple[Any, ...]:
    return ((("organizationName", "Example"),), (("commonName", common),))


VALID: Any = {
    "subject": name("example.com"),
    "issuer": name("Example CA"),
    "notBefore": "Jan  1 00:00:00 2026 GMT",
    "notAfter": "Jan  1 00:00:00 2027 GMT",
    "subjectAltName": (("DNS", "example.com"), ("IP Address", "127.0.0.1")),
    "serialNumber": "0A",
}


def test_a_line() -> None:
    assert certificate_line(facts(**VALID), NOW) == (
        "TLSv1.3, CN=example.com by CN=Example CA, until 2027-01-01, names: example.com 127.0.0.1"
    )


def test_expired_self_signed_not_yet_valid_and_none() -> None:
    expired = facts(**{**VALID, "notAfter": "Jan  1 00:00:00 2021 GMT", "issuer": name("example.com")})
    said = certificate_line(expired, NOW)
    assert "self-signed by CN=example.com" in said
    assert "EXPIRED 2021-01-01" in said
    assert "NOT VALID before 2028-01-01" in certificate_line(
        facts(**{**VALID, "notBefore": "Jan  1 00:00:00 2028 GMT"}), NOW
    )
    assert certificate_line(facts()) == "TLSv1.3, no certificate"


def test_odd_ones() -> None:
    odd = facts(subject=((("countryName", "XX"),),), notAfter="never")
    assert certificate_line(odd) == "TLSv1.3, countryName=XX by nobody"
    assert certificate_json(odd)["not_after"] is None


def test_for_programs() -> None:
    assert certificate_json(facts(**VALID)) == {
        "version": "TLSv1.3",
        "cipher": "AES",
        "verified": False,
        "subject": "CN=example.com",
        "issuer": "CN=Example CA",
        "names": ["example.com", "127.0.0.1"],
        "not_before": "2026-01-01T00:00:00+00:00",
        "not_after": "2027-01-01T00:00:00+00:00",
        "serial": "0A",
    }
