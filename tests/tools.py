"""What tests need of the machine: command-line programs (``scripts/install-test-tools.sh`` installs them)."""

from __future__ import annotations

import os
import shutil
from typing import Final

import pytest

__all__ = ["PACKAGES", "in_ci", "in_soak", "require"]

PACKAGES: Final = {
    "aria2c": "aria2",
    "chromium": "chromium",
    "curl": "curl",
    "ip": "iproute2",
    "nc": "netcat-openbsd",
    "openssl": "openssl",
    "redis-cli": "redis-tools",
    "redis-server": "redis-server",
    "socat": "socat",
    "strace": "strace",
    "telnet": "telnet",
    "wget": "wget",
}
"""The Debian package that holds each program. The script installs these, so a test uses no others."""


def in_ci() -> bool:
    """Whether ``CI`` is set, to anything but ``0`` and ``false``: there, what would be skipped is an error."""
    return os.environ.get("CI", "") not in ("", "0", "false")


def in_soak() -> bool:
    """Whether tests that have a long form run it: ``make soak``."""
    return os.environ.get("AIONET_SOAK", "") not in ("", "0", "false")


def require(program: str) -> str:
    """The path of a program a test runs.

    Without it the test is skipped on a developer's machine, and fails where ``CI`` is set.

    Raises:
        KeyError: a program that the script does not install.
    """
    package = PACKAGES[program]
    path = shutil.which(program)
    if path is not None:
        return path
    reason = f"{program} is not installed: make test installs it as root, else: apt-get install {package}"
    if in_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
