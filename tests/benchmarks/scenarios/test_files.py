"""Many small files, received by the clients that people have: each really fetches all of them."""

from __future__ import annotations

import shutil

import pytest

from benchmarks.bench import Bench
from benchmarks.processes import available_cores
from benchmarks.scenarios import files
from benchmarks.settings import QUICK
from benchmarks.workspace import workspace

from ...tools import require


@pytest.mark.parametrize("key", ["nginx", "aionet", "aionet-web", "http.server"])
def test_all_of_many_files_arrive(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MANY", 20)
    if key == "nginx" and shutil.which("nginx", path="/usr/sbin:/usr/bin") is None:
        key = "aionet-web"  # a peer that may be absent, as in the tables
    require("wget")
    with workspace() as places:
        bench = Bench(QUICK, available_cores(), places)
        (case,) = [case for case in files.cases(bench) if case.key == "files-many"]
        (subject,) = [subject for subject in case.subjects if subject.key == key]
        sample = subject.take()
    assert sample["files/s"] > 0
