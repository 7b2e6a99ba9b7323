from __future__ import annotations

from aionet.services.files.client.progress import Progress


def test_the_sums_are_those_of_the_files() -> None:
    calls: list[int] = []
    progress = Progress(lambda seen: calls.append(seen.done))
    progress.expect(3, 600)
    file = progress.begin("a", 300)
    progress.advance(file, 100, skipped=True)
    progress.advance(file, 50)
    assert (file.done, file.skipped, progress.done, progress.skipped) == (150, 100, 150, 100)
    assert progress.under_way == [file]
    progress.leave(file, whole=False)
    assert (progress.files_done, progress.done, progress.skipped, progress.under_way) == (0, 0, 0, [])
    file = progress.begin("a", 300)
    progress.advance(file, 300)
    progress.leave(file, whole=True)
    progress.finish(1, 100)
    progress.finish(1, 200, skipped=True)
    assert (progress.files, progress.files_done, progress.size, progress.done) == (3, 3, 600, 600)
    assert progress.skipped == 200
    assert len(calls) == 10


def test_nobody_has_to_look() -> None:
    progress = Progress()
    progress.leave(progress.begin("a", 5), whole=True)
    assert (progress.files_done, progress.files, progress.size) == (1, 1, 5)
