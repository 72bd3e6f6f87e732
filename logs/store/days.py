"""Ranges of whole days (UTC), and which of them are over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.utils import timezone

# The longest range that may be asked for at once, in days.
MAX_DAYS = 92
# A batch of a day that is not over leaves no mark: it must be committed before that day is rolled up.
SETTLED_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Days:
    """Whole days (UTC) from first to last, both inclusive."""

    first: date
    last: date

    def __len__(self) -> int:
        return max(0, (self.last - self.first).days + 1)

    @property
    def before(self) -> Days:
        """As many days, right before these."""
        length = timedelta(days=len(self))
        return Days(self.first - length, self.last - length)

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The first instant of these days, and the first one after them."""
        return start_of(self.first), start_of(self.last + timedelta(days=1))

    def split(self) -> tuple[Days, Days]:
        """Return the days that are over, whose rollups can be kept, and the rest, which must be counted each time."""
        over = last_day_over()
        return Days(self.first, min(self.last, over)), Days(max(self.first, over + timedelta(days=1)), self.last)


def last_day_over() -> date:
    """Return the last day that has ended, and whose batches are committed."""
    return (timezone.now() - SETTLED_AFTER).date() - timedelta(days=1)


def start_of(day: date) -> datetime:
    """Return the first instant of a day (UTC)."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
