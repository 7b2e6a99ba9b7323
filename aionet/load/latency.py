"""Latencies as an HDR histogram: microseconds to an hour, three digits; the form other tools read and write, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Self

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

from ..errors import ConfigError

__all__ = ["PERCENTILES", "Latencies", "name_of"]

PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9)
_HIGHEST: Final = 3_600_000_000
"""Microseconds. A latency above an hour counts as one hour."""


class Latencies:
    """How often each latency was seen, microseconds."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._histogram = HdrHistogram(1, _HIGHEST, 3)
        for value, count in (counts or {}).items():
            self._histogram.record_value(min(max(value, 1), _HIGHEST), count)

    @classmethod
    def decode(cls, text: str) -> Self:
        """What :meth:`encode` gave.

        Raises:
            ConfigError: it is no histogram.
        """
        decoded = cls()
        try:
            decoded._histogram.decode_and_add(text.encode())
        except Exception as exc:  # the library raises whatever it meets
            raise ConfigError(f"the histogram is none: {exc}") from exc
        return decoded

    def encode(self) -> str:
        """The compressed form, base64, as HdrHistogram's own tools read it."""
        encoded: bytes = self._histogram.encode()
        return encoded.decode()

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._histogram.get_total_count())

    @property
    def mean(self) -> float:
        """Microseconds; 0 of nothing."""
        return float(self._histogram.get_mean_value()) if self.count else 0.0

    @property
    def max(self) -> int:
        """Microseconds; 0 of nothing."""
        return int(self._histogram.get_max_value()) if self.count else 0

    def percentile(self, percent: float) -> int:
        """The latency that so many percent did not exceed, microseconds; 0 of nothing."""
        return int(self._histogram.get_value_at_percentile(percent)) if self.count else 0

    def summary(self) -> dict[str, float]:
        """Mean, percentiles and maximum, microseconds."""
        named = {name_of(percent): self.percentile(percent) for percent in PERCENTILES}
        return {"mean": round(self.mean, 1), **named, "max": self.max}

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Every latency that was seen, as the histogram keeps it, and how often."""
        for item in self._histogram.get_recorded_iterator():
            yield int(item.value_iterated_to), int(item.count_added_in_this_iter_step)


def name_of(percent: float) -> str:
    """``p99.9`` for 99.9."""
    return f"p{percent:g}"
