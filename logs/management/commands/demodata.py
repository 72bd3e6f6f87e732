"""Fill the store with made-up data."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from logs.lib import jsontext, times
from logs.lib.text import count_of
from logs.management.base import MaintenanceCommand, count_argument
from logs.management.demo import demo_logs
from logs.transfer.importing import Importer, ImportResult, OtherImportError, RefusedImportError
from logs.transfer.sources import LogText

MAX_DAYS = 3650

_HELP = """\
Fill the store with realistic data for trying things: people in sessions who go from page to page, click mostly where
buttons are, and sleep at night. The data are stored the same way as those of importlogs.

The same options give the same data: given once more, after Ctrl-C or not, they store nothing twice; another --seed
stores other data beside them. Days are those of the zone -06:00 of the API's times. Today is not over, and no action
is later than now, so the last day is yesterday at the latest; without --end it is yesterday, and tomorrow's run stores
other data beside today's. Users are named demo-user-00001 and so on.
"""
_EXAMPLES = """\
  python manage.py demodata
  python manage.py demodata --users 2000 --actions 1000000 --days 60 --seed 7 --end 2018-10-31
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        for name, default, what in (
            ("users", 200, "at most this many users"),
            ("actions", 20_000, "exactly this many actions"),
            ("days", 30, "spread over this many days"),
        ):
            parser.add_argument(
                f"--{name}", metavar="N", type=count_argument, default=default, help=f"{what} (default: {default:,})"
            )
        parser.add_argument(
            "--seed",
            metavar="S",
            type=int,
            default=1,
            help="any whole number; another one gives other data (default: 1)",
        )
        parser.add_argument(
            "--end",
            metavar="YYYY-MM-DD",
            type=_day_argument,
            help="the last day, a past one (default: yesterday)",
        )

    def handle(self, *, users: int, actions: int, days: int, seed: int, end: date | None, **options: Any) -> None:
        yesterday = timezone.now().astimezone(times.WIRE_ZONE).date() - timedelta(days=1)
        last = end or yesterday
        if last > yesterday:
            raise CommandError(f"--end: {last} is not over yet; the last day may be {yesterday} at the latest.")
        if days > min(MAX_DAYS, last.toordinal() - 1):
            raise CommandError(f"--days must be {min(MAX_DAYS, last.toordinal() - 1):,} or less.")
        with self.progress("demodata", "actions", actions) as progress:

            def show(result: ImportResult) -> None:
                progress.advance(result.actions + result.known_actions - progress.count)

            importer = Importer(on_chunk=show)
            try:
                result = importer.run(_texts(demo_logs(users, actions, days, seed, last)))
            except RefusedImportError:
                # What is made up breaks no other rule.
                raise CommandError("Some of these users were erased: let them in again with forgiveuser.") from None
            except OtherImportError as error:
                raise CommandError(str(error)) from None
        said = f"Stored: {count_of(result.actions, 'action')} in {count_of(result.logs, 'log')}."
        if result.known_actions:
            said += f" There already: {count_of(result.known_actions, 'action')}."
        self.stdout.write(said)


def _texts(logs: Iterator[jsontext.JSONValue]) -> Iterator[LogText]:
    for index, log in enumerate(logs):
        yield LogText(index, index + 1, jsontext.encode(log).encode())


def _day_argument(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day: write YYYY-MM-DD") from None
