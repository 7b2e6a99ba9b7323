"""Where a measurement was made: without it a number says nothing."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.processes import ROOT, Cores

__all__ = ["describe"]

PACKAGES = "uvloop aiofastnet anyio trio twisted tornado gevent websockets picows".split()
PROGRAMS = {
    "go": ("go", "version"),
    "node": ("node", "--version"),
    "nginx": ("nginx", "-v"),
    "redis": ("redis-server", "--version"),
    "nats": ("nats-server", "--version"),
    "mosquitto": ("mosquitto", "-h"),
    "openssl": ("openssl", "version"),
}


def describe(cores: Cores) -> dict[str, str]:
    """What a reader must know of the machine and the versions, in the order to show it."""
    return {
        "cpu": f"{_cpu_model()}, {os.cpu_count()} cores",
        "placement": f"server on core {cores.server}, load on core {cores.load}"
        + (" (the same: no second core)" if cores.shared else ""),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "python peers": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "other peers": ", ".join(f"{name} {_first_number(*command)}" for name, command in PROGRAMS.items()),
        "compiler": _first_line(os.environ.get("CC") or "cc", "--version"),
        "commit": _commit(),
        "load average": "{:.2f} {:.2f} {:.2f}".format(*os.getloadavg()),
        "time": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _first_number(*command: str) -> str:
    """The version in whatever a program says of itself."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=_with_sbin())
    except OSError:
        return "absent"
    found = re.search(r"\d+\.\d+(\.\d+)?", result.stdout + result.stderr)
    return found[0] if found else "unknown"


def _with_sbin() -> dict[str, str]:
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"}


def _first_line(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    except OSError:
        return "absent"
    return result.stdout.partition("\n")[0].strip() if result.returncode == 0 else "unknown"


def _commit() -> str:
    commit = _first_line("git", "rev-parse", "--short", "HEAD")
    if commit in ("absent", "unknown"):
        return "unknown"
    return commit + (" with changes" if _first_line("git", "status", "--porcelain") else "")
