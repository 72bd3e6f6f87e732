"""Roll up days ahead, so that nobody who opens Insights waits for it."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from logs.lib.text import count_of
from logs.management.base import MaintenanceCommand, count_argument
from logs.store import rollups
from logs.store.days import MAX_DAYS, Days

_LONGEST = 10_000

_HELP = """\
Roll up the days that are new or stale, so that Insights shows them at once. Without this the first
person who opens Insights waits for it.

Run it every night, after 01:00 UTC, when yesterday is over. Stale days before those of --days are brought up to date,
too. Each day is a transaction of its own.
"""
_EXAMPLES = """\
  python manage.py prepareinsights
  python manage.py prepareinsights --days 365
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            type=_days_argument,
            default=MAX_DAYS,
            metavar="N",
            help=f"how many days back, 1 to {_LONGEST:,} (default: {MAX_DAYS})",
        )

        parser.add_argument("--dry-run", action="store_true", help="only say how many days would be rolled up")

    def handle(self, *args: Any, **options: Any) -> None:
        today = timezone.now().date()
        due = rollups.due_days(Days(today - timedelta(days=options["days"] - 1), today))
        older = [day for day in rollups.stale_days() if day not in set(due)]
        if options["dry_run"]:
            self.stdout.write(f"Would roll up: {count_of(len(due) + len(older), 'day')}.")
            return
        with self.progress("prepareinsights", "days", len(due) + len(older)) as progress:
            for day in due:
                rollups.roll_up(day)
                progress.advance()
            for day in older:
                rollups.refresh(day)
                progress.advance()
        self.stdout.write(f"Rolled up: {count_of(progress.count, 'day')}.")


def _days_argument(text: str) -> int:
    days = count_argument(text)
    if days > _LONGEST:
        raise ArgumentTypeError(f"at most {_LONGEST:,} days")
    return days
