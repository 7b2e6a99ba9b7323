"""Certificates, TLS, addresses and durations, for people and for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from ..core.certificate import CertificateFacts
from ..core.socket_facts import SocketFacts
from ..core.tcp_info import TCP_STATES
from ..events import Address
from ..handler import TLSFacts
from .options import escape_controls

__all__ = ["address_text", "bars", "duration", "tcp_dict", "tcp_state", "tls_dict", "tls_line", "tls_lines"]

BAR: Final = 40
"""Characters for the whole time."""


def address_text(address: Address) -> str:
    """``127.0.0.1:80``, ``[::1]:80``, a path, or ``-`` for none."""
    if isinstance(address, tuple):
        host = escape_controls(str(address[0]))
        return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"
    if isinstance(address, bytes):  # an abstract Unix address begins with a NUL
        return escape_controls(address.decode("utf-8", "backslashreplace"))
    return escape_controls(address) if address else "-"


def duration(seconds: float) -> str:
    """Three figures and a unit: ``42.1 ms``."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1 or unit == "us":
            return f"{seconds * factor:.3g} {unit}" if seconds * factor < 1000 else f"{seconds * factor:.0f} {unit}"
    raise AssertionError


def bars(phases: list[tuple[str, float]], *, block: str = "\u2588") -> list[str]:
    """Phases that follow one another, seconds each, drawn one below the other: each begins where the last one ended."""
    total = sum(seconds for _, seconds in phases) or 1.0
    width = max(len(name) for name, _ in phases)
    drawn, passed = [], 0.0
    for name, seconds in phases:
        start = min(round(passed / total * BAR), BAR - 1)
        passed += seconds
        length = max(round(passed / total * BAR) - start, 1)
        bar = f"{' ' * start}{block * length}"
        drawn.append(f"{name:<{width}}  {duration(seconds):>8}  |{bar:<{BAR}}|")
    return drawn


def tls_lines(tls: TLSFacts, certificate: CertificateFacts | None) -> list[tuple[str, str]]:
    """Name and value, line by line."""
    said = [("version", tls.version), ("cipher", tls.cipher), ("ALPN", tls.alpn or "none")]
    if certificate is None:
        return [*said, ("certificate", "none that can be read")]
    names = ", ".join(certificate.names) or "none"
    return [
        *said,
        ("subject", escape_controls(certificate.subject) or "empty"),
        ("issuer", escape_controls(certificate.issuer) + (" (self-signed)" if certificate.self_issued else "")),
        ("names", escape_controls(names)),
        ("valid", f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d} ({_days_left(certificate)})"),
        ("checked", "yes" if tls.peer_certificate else "NO: it was not asked to be"),
    ]


def tls_line(tls: TLSFacts, certificate: CertificateFacts | None) -> str:
    """``TLSv1.3, CN=example.com by CN=Example CA, until 2027-01-01, names: example.com``; nobody checked it."""
    if certificate is None:
        return f"{tls.version}, no certificate that can be read"
    subject, issuer = certificate.subject or "nobody", certificate.issuer or "nobody"
    words = [tls.version, f"self-signed by {issuer}" if certificate.self_issued else f"{subject} by {issuer}"]
    now = datetime.now(UTC)
    if certificate.not_before > now:
        words.append(f"NOT VALID before {certificate.not_before:%Y-%m-%d}")
    words.append(f"{'EXPIRED' if certificate.not_after < now else 'until'} {certificate.not_after:%Y-%m-%d}")
    if certificate.names:
        words.append(f"names: {' '.join(certificate.names)}")
    return escape_controls(", ".join(words))


def _days_left(certificate: CertificateFacts) -> str:
    now = datetime.now(UTC)
    if now < certificate.not_before:
        return "NOT YET VALID"
    days = (certificate.not_after - now).days
    return f"{days} days left" if days >= 0 else f"EXPIRED {-days} days ago"


def tls_dict(tls: TLSFacts | None, certificate: CertificateFacts | None) -> dict[str, Any] | None:
    """The same for programs."""
    if tls is None:
        return None
    facts: dict[str, Any] = {"version": tls.version, "cipher": tls.cipher, "alpn": tls.alpn}
    facts["verified"] = bool(tls.peer_certificate)
    facts["certificate"] = certificate and {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": list(certificate.names),
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "serial": certificate.serial,
        "sha256": certificate.sha256,
    }
    return facts


def tcp_state(number: int) -> str:
    """``ESTABLISHED``; a number of no known state is said as it is."""
    return TCP_STATES[number] if 0 < number < len(TCP_STATES) else f"state {number}"


def tcp_dict(facts: SocketFacts) -> dict[str, Any] | None:
    """TCP_INFO for programs; ``None`` where there is none. Times are microseconds."""
    if not facts.tcp:
        return None
    return {name: tcp_state(value) if name == "state" else value for name, value in facts.tcp.items()}
