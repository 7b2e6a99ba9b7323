"""The highest rate at which a server keeps a promise, such as ``p99<5ms``.

Doubling finds a rate that does not hold, bisection narrows it down, each by short runs; a rate that fails is tried
again, as a machine has slow moments. Then the rate has to hold in two runs of full length; if it does not, a
lower one has to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from ..errors import ConfigError
from .outcome import Outcome
from .plan import Plan

__all__ = ["Promise", "Search", "Trial", "find_max", "parse_promises"]

START: Final = 1000.0
"""Messages a second to begin with, if nothing else is said."""

LOWEST: Final = 1.0
HIGHEST: Final = 10_000_000.0
CLOSE: Final = 1.05
"""The search ends when the lowest rate that failed is at most so many times the highest that held."""

STEP_BACK: Final = 0.93
"""What a rate is multiplied by that held in a short run and did not in a long one."""

ENOUGH: Final = 0.98
"""Part of the messages that have to be sent, and answered, while that is measured."""

EDGE: Final = 2
"""Messages that may belong to either side of the beginning, and of the end."""

TRIAL: Final = 2.0
"""Seconds of a short run, and TRIAL_WARMUP before it."""
TRIAL_WARMUP: Final = 0.5
CONFIRMATIONS: Final = 2

_UNITS: Final = {"us": 1.0, "ms": 1000.0, "s": 1_000_000.0, "%": 0.01}
_PROMISE: Final = re.compile(r"\s*(mean|max|loss|p\d{1,2}(?:\.\d{1,4})?)\s*<=?\s*(\d+(?:\.\d+)?)\s*(us|ms|s|%)\s*")


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that must stay below a limit.

    Attributes:
        what: ``"p99"``, ``"mean"``, ``"max"``: latency; ``"loss"``: part of the datagrams.
        limit: Microseconds; of a loss, a part of 1.
        text: As it was written.
    """

    what: str
    limit: float
    text: str

    def value(self, outcome: Outcome) -> float:
        """What a run brought of it."""
        if self.what == "loss":
            total = outcome.total()
            return total.lost / total.sent if total.sent else 0.0
        latencies = outcome.latencies()
        if self.what == "mean":
            return latencies.mean
        return latencies.max if self.what == "max" else latencies.percentile(float(self.what[1:]))


def parse_promises(text: str) -> tuple[Promise, ...]:
    """``p99<5ms``, or several: ``p50<1ms, p99.9<20ms, loss<0.1%``.

    Raises:
        ConfigError: with what is wrong.
    """
    promises = []
    for part in text.split(","):
        match = _PROMISE.fullmatch(part)
        if match is None or (match[1] == "loss") is not (match[3] == "%") or not float(match[2]):
            raise ConfigError(
                f"{part.strip()!r} is no limit that a rate could keep",
                hint="such as p99<5ms, mean<500us, max<1s, loss<0.1%; several with commas",
            )
        promises.append(Promise(match[1], float(match[2]) * _UNITS[match[3]], part.strip()))
    return tuple(promises)


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of the search.

    Attributes:
        rate: Messages a second that were due.
        answered: A second.
        values: What came of each promise: microseconds; of a loss, a part of 1.
        held: Whether all was kept.
        why: If not, what was not.
        confirms: Whether it was a long run, to confirm.
        busy: Whether the generator itself had nothing left.
    """

    rate: float
    answered: float
    values: tuple[float, ...]
    held: bool
    why: str
    confirms: bool
    busy: bool


@dataclass(frozen=True, slots=True)
class Search:
    """How it went.

    Attributes:
        promises: What was to hold.
        rate: The highest rate that did, in :data:`CONFIRMATIONS` runs of full length; 0: none.
        trials: All runs, in order.
        outcome: The last confirming run; ``None`` if none held.
    """

    promises: tuple[Promise, ...]
    rate: float
    trials: tuple[Trial, ...]
    outcome: Outcome | None

    @property
    def limited_by_generator(self) -> bool:
        """Whether it was the generator that could do no more, so that the server might."""
        return any(trial.busy and not trial.held for trial in self.trials)

    def facts(self) -> dict[str, Any]:
        """For :attr:`Result.search`."""
        return {
            "promise": ", ".join(promise.text for promise in self.promises),
            "rate": self.rate,
            "limited_by_generator": self.limited_by_generator,
            "trials": [asdict(trial) for trial in self.trials],
        }


def find_max(
    plan: Plan,
    promises: Sequence[Promise],
    run: Callable[[Plan], Outcome],
    watch: Callable[[Trial], object] = lambda trial: None,
) -> Search:
    """Search for the highest rate at which ``promises`` hold.

    Args:
        plan: What to do; its rate, if it has one, is where the search begins, its duration that of a confirming run.
        promises: What is to hold.
        run: Does a plan.
        watch: Called after each run.
    """
    return _Searcher(plan, tuple(promises), run, watch).search()


class _Searcher:
    def __init__(
        self,
        plan: Plan,
        promises: tuple[Promise, ...],
        run: Callable[[Plan], Outcome],
        watch: Callable[[Trial], object],
    ) -> None:
        self._plan = plan
        self._promises = promises
        self._run = run
        self._watch = watch
        self._trials: list[Trial] = []
        self._stopped = False

    def search(self) -> Search:
        low, high = self._bracket(self._plan.rate or START)
        while low and high / low > CLOSE and not self._stopped:
            middle = _rounded((low * high) ** 0.5)
            if not low < middle < high:
                break
            low, high = (middle, high) if self._holds(middle) else (low, middle)
        return self._confirm(low)

    def _bracket(self, rate: float) -> tuple[float, float]:
        """A rate that holds and one, twice as high, that does not; 0 for the first: not even the lowest."""
        if self._holds(rate):
            while rate < HIGHEST and not self._stopped:
                if not self._holds(2 * rate, tries=3):  # nothing above it is looked at again
                    return rate, 2 * rate
                rate *= 2
            return rate, rate
        while rate > LOWEST and not self._stopped:
            if self._holds(rate / 2):
                return rate / 2, rate
            rate /= 2
        return 0.0, rate

    def _confirm(self, rate: float) -> Search:
        confirmed = 0
        outcome: Outcome | None = None
        while rate >= LOWEST and not self._stopped:
            outcome = self._try(rate, confirms=True)
            if self._trials[-1].held:
                confirmed += 1
                if confirmed == CONFIRMATIONS:
                    return Search(self._promises, rate, tuple(self._trials), outcome)
            else:
                confirmed = 0
                rate = _rounded(rate * STEP_BACK)
        return Search(self._promises, 0.0, tuple(self._trials), None)

    def _holds(self, rate: float, tries: int = 2) -> bool:
        for _ in range(tries):
            self._try(rate, confirms=False)
            if self._trials[-1].held or self._stopped:
                break
        return self._trials[-1].held

    def _try(self, rate: float, *, confirms: bool) -> Outcome:
        plan = self._plan
        if confirms:
            plan = plan.with_rate(rate)
        else:
            duration = min(plan.duration or TRIAL, TRIAL)
            plan = plan.with_rate(rate, duration=duration, warmup=min(plan.warmup, TRIAL_WARMUP), ramp=0.0)
        outcome = self._run(plan)
        self._stopped = outcome.interrupted
        values = tuple(promise.value(outcome) for promise in self._promises)
        why = self._why_not(outcome, rate, values)
        self._trials.append(Trial(rate, round(outcome.rate, 1), values, not why, why, confirms, outcome.busy))
        self._watch(self._trials[-1])
        return outcome

    def _why_not(self, outcome: Outcome, rate: float, values: tuple[float, ...]) -> str:
        if outcome.interrupted:
            return "interrupted"
        total, measured = outcome.total(), outcome.phases["measured"]
        if total.wrong or total.failures or total.unanswered:
            return "wrong replies, or connections that failed"
        for promise, value in zip(self._promises, values, strict=True):
            if value > promise.limit:
                return promise.text
        if measured.sent + EDGE < ENOUGH * rate * outcome.seconds:
            return "not all could be sent"
        if measured.answered + measured.lost + EDGE < ENOUGH * measured.sent:
            return "answers fell behind"
        return ""


def _rounded(rate: float) -> float:
    """Three digits are more than the search can tell."""
    return float(f"{rate:.3g}")
