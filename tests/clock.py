"""A clock that a test turns."""

from __future__ import annotations

from datetime import datetime


class Clock:
    """It stands where it is put, also back."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now
