"""Count the days that Insights will be asked for, so that nobody waits for it: say, every night."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from logs.store import rollups


class Command(BaseCommand):
    # Who may call the API is not the matter of a command.
    requires_system_checks = [Tags.models]
    help = "Count the days that are new or changed for Insights, which otherwise does so when it is asked for them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days", type=int, default=rollups.MAX_DAYS, help=f"how many days back (default: {rollups.MAX_DAYS})"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["days"] <= 10_000:
            raise CommandError("--days must be 1 to 10000.")
        today = timezone.now().date()
        progress = rollups.prepare(rollups.Days(today - timedelta(days=options["days"] - 1), today))
        self.stdout.write(f"{progress.total} days are counted.")
