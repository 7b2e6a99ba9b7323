"""What can keep a figure from being measured. Each message says what failed, why, and what to do."""

from __future__ import annotations

__all__ = ["MeasureError", "Unavailable", "WrongReplies"]


class MeasureError(Exception):
    """A measurement that could not be made."""


class Unavailable(MeasureError):
    """A program that is measured, or measures, is not there or does not start. The others go on without it."""


class WrongReplies(MeasureError):
    """A server answered wrongly, too much, too little, or not at all: its speed means nothing."""
