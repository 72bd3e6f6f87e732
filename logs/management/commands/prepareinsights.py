"""Count the days that Insights will be asked for, so that nobody waits for it: say, every night."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from logs.management.base import MaintenanceCommand, count_argument
from logs.store import rollups

MAX_DAYS = 10_000

_HELP = """\
Count the days that are new or changed for Insights, which otherwise does so while somebody waits for it.
"""
_EXAMPLES = """\
  manage.py prepareinsights
  30 3 * * *  cd /srv/logstore && .venv/bin/python manage.py prepareinsights    (in a crontab)
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            metavar="N",
            type=count_argument,
            default=rollups.MAX_DAYS,
            help=f"how many days back from today (default: {rollups.MAX_DAYS})",
        )

    def handle(self, *, days: int, **options: Any) -> None:
        if not 1 <= days <= MAX_DAYS:
            raise CommandError(f"--days must be 1 to {MAX_DAYS:,}.")
        today = timezone.now().date()
        progress = rollups.prepare(rollups.Days(today - timedelta(days=days - 1), today))
        self.stdout.write(f"{'1 day is' if progress.total == 1 else f'{progress.total} days are'} counted.")
