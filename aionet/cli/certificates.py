"""What a TLS handshake showed, as one line and for programs. Nothing here says that a certificate is to be trusted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..handler import TLSFacts

__all__ = ["certificate_json", "certificate_line"]


def certificate_line(facts: TLSFacts, now: datetime | None = None) -> str:
    """``TLSv1.3, CN=example.com by CN=Example CA, until 2027-01-01, names: example.com``. Escape it for a terminal."""
    certificate = facts.peer_certificate
    if not certificate:
        return f"{facts.version}, no certificate"
    subject, issuer = _name(certificate.get("subject")), _name(certificate.get("issuer"))
    words = [facts.version, "self-signed by " + issuer if subject == issuer else f"{subject} by {issuer}"]
    words += _validity(certificate, now or datetime.now(UTC))
    names = _alternative_names(certificate)
    if names:
        words.append(f"names: {' '.join(names)}")
    return ", ".join(words)


def certificate_json(facts: TLSFacts) -> dict[str, Any]:
    """The same for programs; times in ISO 8601, ``verified`` always false."""
    certificate = facts.peer_certificate
    not_after = _time(certificate.get("notAfter"))
    not_before = _time(certificate.get("notBefore"))
    return {
        "version": facts.version,
        "cipher": facts.cipher,
        "verified": False,
        "subject": _name(certificate.get("subject")),
        "issuer": _name(certificate.get("issuer")),
        "names": _alternative_names(certificate),
        "not_before": not_before.isoformat() if not_before else None,
        "not_after": not_after.isoformat() if not_after else None,
        "serial": certificate.get("serialNumber"),
    }


def _name(name: Any) -> str:
    """An X.501 name as getpeercert gives it: its common name, or all there is."""
    parts = [(str(key), str(value)) for group in name or () for key, value in group]
    common = [f"CN={value}" for key, value in parts if key == "commonName"]
    return ", ".join(common or [f"{key}={value}" for key, value in parts]) or "nobody"


def _alternative_names(certificate: Any) -> list[str]:
    return [str(value) for _, value in certificate.get("subjectAltName", ())]


def _validity(certificate: Any, now: datetime) -> list[str]:
    not_before, not_after = _time(certificate.get("notBefore")), _time(certificate.get("notAfter"))
    words = []
    if not_before is not None and not_before > now:
        words.append(f"NOT VALID before {not_before:%Y-%m-%d}")
    if not_after is not None:
        words.append(f"EXPIRED {not_after:%Y-%m-%d}" if not_after < now else f"until {not_after:%Y-%m-%d}")
    return words


def _time(text: Any) -> datetime | None:
    """``Jan  1 00:00:00 2027 GMT``, OpenSSL's form."""
    try:
        return datetime.strptime(str(text), "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
