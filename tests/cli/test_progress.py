"""The bars: only on a terminal, of names that obey nobody, without speed for what was there already."""

from __future__ import annotations

import sys

import pytest

from aionet.cli.progress import progress_bars
from aionet.services.files.client import Progress


def pretend_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("aionet.cli.progress._INTERVAL", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


def test_nothing_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (True, False):
        with progress_bars(shown=shown) as bars:
            assert bars is None
    assert capsys.readouterr().err == ""


def test_one_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pretend_a_terminal(monkeypatch)
    with progress_bars(shown=True) as bars:
        assert bars is not None
        progress = Progress(bars)
        progress.expect(1, 4096)
        file = progress.begin("[red]so\x1bng[/red]", 4096)
        progress.advance(file, 1024, skipped=True)
        progress.advance(file, 1024)
    err = capsys.readouterr().err
    assert "[red]so\\x1bng[/red]" in err
    assert "2.0/4.0 KiB" in err
    assert "files" not in err


def test_several_files_and_all_together(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pretend_a_terminal(monkeypatch)
    with progress_bars(shown=True) as bars:
        progress = Progress(bars)
        progress.expect(20, 20_480)
        progress.finish(10, 10_240, skipped=True)
        one, two = progress.begin("one", 1024), progress.begin("two", 1024)
        progress.advance(one, 1024)
        progress.leave(one, whole=True)
        progress.advance(two, 512)
    err = capsys.readouterr().err
    assert "11 of 20 files" in err
    assert "1.5/10.0 KiB" in err
    assert "two" in err
    with progress_bars(shown=True):  # where nothing ever happened, nothing is shown
        pass
