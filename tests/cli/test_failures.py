"""Every exception has one exit code, and a user reads no traceback for a mistake of theirs."""

from __future__ import annotations

import click
import pytest

from aionet.cli.failures import CommandError, exit_code, report
from aionet.errors import (
    AionetError,
    BindError,
    ConfigError,
    ConnectError,
    ConnectTimeout,
    EndpointError,
    LoadError,
    MalformedFrame,
    RouteError,
    StartupError,
    TLSConfigError,
)


@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (click.UsageError("no"), 2),
        (click.BadParameter("no"), 2),
        (ConfigError("no"), 4),
        (EndpointError("no"), 4),
        (RouteError("no"), 4),
        (TLSConfigError("no"), 3),
        (StartupError("no"), 3),
        (BindError("no"), 3),
        (LoadError("no"), 3),
        (ConnectError("no"), 3),
        (ConnectTimeout("no"), 3),
        (CommandError("no"), 1),
        (MalformedFrame("no"), 1),
        (AionetError("no"), 1),
        (FileNotFoundError(2, "No such file", "x"), 1),
        (ZeroDivisionError("no"), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (BrokenPipeError(), 141),
    ],
)
def test_exit_code(exc: BaseException, code: int) -> None:
    assert exit_code(exc) == code


@pytest.mark.parametrize(
    ("exc", "said"),
    [
        (BindError("port 80 is taken", hint="take another"), "error: port 80 is taken\nhint: take another\n"),
        (CommandError("no answer"), "error: no answer\n"),
        (ConnectTimeout(), "error: ConnectTimeout\n"),
        (click.UsageError("no such option"), "error: no such option\nhint: see python -m aionet --help\n"),
        (click.ClickException("so it is"), "error: so it is\n"),
        (FileNotFoundError(2, "No such file or directory", "a.pem"), "error: a.pem: No such file or directory\n"),
        (KeyboardInterrupt(), ""),
    ],
)
def test_what_is_said(exc: BaseException, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    report(exc)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", said)


def test_a_task_group_hides_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    wrapped = ExceptionGroup("tasks", [ValueError("other"), ExceptionGroup("inner", [CommandError("no answer")])])
    assert report(wrapped) == 1
    assert capsys.readouterr().err == "error: no answer\n"


def test_a_defect_shows_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(ZeroDivisionError("by zero")) == 1
    said = capsys.readouterr().err
    assert said.startswith("ZeroDivisionError: by zero\nerror: ZeroDivisionError: by zero\nhint: this is a defect")


def test_debug_shows_the_traceback_of_any(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise CommandError("no answer")
    except CommandError as exc:
        report(exc, debug=True)
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last)")
    assert said.endswith("error: no answer\n")
