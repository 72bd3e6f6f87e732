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
    """Whole days (UTC) from first to last, both inclusive.

    until: an instant within the last day, right before which that one ends early.
    """

    first: date
    last: date
    until: datetime | None = None

    def __len__(self) -> int:
        return max(0, (self.last - self.first).days + 1)

    @property
    def before(self) -> Days:
        """As many days, right before these; where these go on still, only as far as these have come, to the minute."""
        length = timedelta(days=len(self))
        first, last = self.first - length, self.last - length
        now = timezone.now().replace(second=0, microsecond=0)
        if not self.first <= now.date() <= self.last:
            return Days(first, last)
        return Days(first, (now - length).date(), now - length)

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The first instant of these days, and the first one after them."""
        return start_of(self.first), self.until or start_of(self.last + timedelta(days=1))

    def split(self) -> tuple[Days, Days]:
        """Return the days that are over, whose rollups can be kept, and the rest, which must be counted each time."""
        whole = self.last if self.until is None else self.last - timedelta(days=1)
        over = min(whole, last_day_over())
        return Days(self.first, over), Days(max(self.first, over + timedelta(days=1)), self.last, self.until)


def last_day_over() -> date:
    """Return the last day that has ended, and whose batches are committed."""
    return (timezone.now() - SETTLED_AFTER).date() - timedelta(days=1)


def start_of(day: date) -> datetime:
    """Return the first instant of a day (UTC)."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
