"""Fixtures of the clients' tests."""

from ..core.conftest import no_leaks

__all__ = ["no_leaks"]
