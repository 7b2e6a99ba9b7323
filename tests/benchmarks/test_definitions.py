from __future__ import annotations

import pytest

from benchmarks.definitions import FIGURES, QUICK, Settings, build_figures, undisturbed
from benchmarks.measuring import WAITED, Figure, Goal, Role, Sample
from benchmarks.processes import Cores


@pytest.fixture(params=[Settings(), QUICK], ids=["full", "quick"])
def figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    monkeypatch.setattr("benchmarks.definitions.wall_seconds", lambda command: 0.0)  # nothing to warm up here
    return build_figures(list(FIGURES), request.param, Cores(0, 1))


def goals(figure: Figure) -> dict[str, Goal]:
    return {subject.key: subject.goal for subject in figure.subjects if subject.goal}


def test_the_goals_are_those_promised(figures: list[Figure]) -> None:
    assert {figure.key: goals(figure) for figure in figures} == {
        "echo": {"aionet": Goal(1.15, ratio=True)},
        "lines": {"aionet": Goal(8, at_least=True, ratio=True)},
        "idle": {"aionet": Goal(2500), "aionet-lines": Goal(2500)},
        "start": {"import": Goal(0.2), "help": Goal(0.3)},
    }


def test_every_figure_is_sound(figures: list[Figure]) -> None:
    for figure in figures:
        keys = [subject.key for subject in figure.subjects]
        assert len(set(keys)) == len(keys)
        assert figure.baseline is None or figure.baseline in keys
        assert {subject.key for subject in figure.subjects if subject.role is Role.OURS} == goals(figure).keys()
        assert figure.rounds >= 3


def test_the_control_is_the_baseline_once_more(figures: list[Figure]) -> None:
    for figure in figures[:2]:
        commands = {subject.key: subject.command for subject in figure.subjects}
        assert figure.baseline is not None
        assert commands["again"] == commands[figure.baseline]
        assert figure.rounds >= 5
        assert figure.rounds % 2 == 0, "each is as often first as last"


def test_a_quick_run_leaves_the_extras_out(figures: list[Figure]) -> None:
    lines = figures[1]
    extras = [subject.key for subject in lines.subjects if subject.extra]
    assert extras in ([], ["drain", "chunks", "by-hand"])


@pytest.mark.parametrize(
    ("waited", "chosen", "made"),
    [((0.0,), 0, 1), ((0.3, 0.04), 1, 2), ((0.2, 0.3), 0, 2)],
    ids=["quiet at once", "quiet later", "never quiet"],
)
def test_a_disturbed_measurement_is_made_again(waited: tuple[float, ...], chosen: int, made: int) -> None:
    samples = [Sample(float(number), {WAITED: share}) for number, share in enumerate(waited)]
    left = iter(samples)
    assert undisturbed(lambda: next(left)) is samples[chosen]
    assert len(list(left)) == len(samples) - made
