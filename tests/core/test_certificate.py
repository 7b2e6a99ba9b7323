"""Read by us and by ``cryptography`` alike; and whatever a peer sends instead is refused, not stumbled over."""

from __future__ import annotations

import datetime

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from aionet.core.certificate import parse_certificate

CA = trustme.CA()


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


LEAF = der(
    CA.issue_cert("a.example", "*.b.example", "127.0.0.1", "::1", common_name="a \x1b[2J").cert_chain_pems[0].bytes()
)


@pytest.mark.parametrize("data", [LEAF, der(CA.cert_pem.bytes())])
def test_it_is_read_as_by_a_library(data: bytes) -> None:
    expected = x509.load_der_x509_certificate(data)
    facts = parse_certificate(data)
    assert facts.not_before == expected.not_valid_before_utc
    assert facts.not_after == expected.not_valid_after_utc
    assert int(facts.serial, 16) == expected.serial_number
    assert facts.sha256 == expected.fingerprint(hashes.SHA256()).hex()
    assert sorted(part.partition("=")[2] for part in facts.subject.split(", ")) == sorted(
        str(attribute.value) for attribute in expected.subject
    )


def test_names_and_who_signed() -> None:
    leaf, ca = parse_certificate(LEAF), parse_certificate(der(CA.cert_pem.bytes()))
    assert leaf.names == ("a.example", "*.b.example", "127.0.0.1", "::1")
    assert "CN=a \x1b[2J" in leaf.subject
    assert leaf.issuer == ca.subject
    assert (leaf.self_issued, ca.self_issued) == (False, True)


def test_an_expired_one_and_a_far_one() -> None:
    for year in (1999, 2049, 2050, 9999):  # UTCTime up to 2049, GeneralizedTime from 2050 on
        when = datetime.datetime(year, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
        issued = CA.issue_cert("a.example", not_after=when, not_before=datetime.datetime(1990, 1, 1))
        facts = parse_certificate(der(issued.cert_chain_pems[0].bytes()))
        assert facts.not_after == when


@given(st.binary())
def test_garbage(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"no X\.509 certificate"):
        parse_certificate(data)


@given(st.integers(0, len(LEAF) - 1), st.integers(0, 255))
def test_a_damaged_one_is_read_or_refused(position: int, byte: int) -> None:
    data = bytearray(LEAF)
    data[position] = byte
    for damaged in (bytes(data), LEAF[:position]):
        try:
            facts = parse_certificate(damaged)
        except ValueError:
            continue
        assert isinstance(facts.subject, str)
