"""Fill the store with made-up data."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from logs.lib import jsontext, times
from logs.management.base import MaintenanceCommand, count_argument
from logs.management.demo import demo_logs
from logs.transfer.importing import Importer, ImportResult
from logs.transfer.sources import LogText

MAX_DAYS = 3650

_HELP = """\
Fill the store with realistic data for trying things: people in sessions, on their way through pages, with clicks that
cluster where buttons are, by day rather than by night. It goes the same way as importlogs.

The same options give the same data. Run again, after Ctrl-C or not, nothing of it is stored twice; another --seed gives
other data beside it. Users are named demo-user-00001 and so on.
"""
_EXAMPLES = """\
  manage.py demodata
  manage.py demodata --users 2000 --actions 1000000 --days 60 --seed 7 --end 2018-10-31
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        for name, default, what in (
            ("users", 200, "at most so many people"),
            ("actions", 20_000, "exactly so many actions"),
            ("days", 30, "over so many days"),
        ):
            parser.add_argument(
                f"--{name}", metavar="N", type=count_argument, default=default, help=f"{what} (default: {default:,})"
            )
        parser.add_argument("--seed", metavar="S", type=int, default=1, help="which data (default: 1)")
        parser.add_argument(
            "--end",
            metavar="YYYY-MM-DD",
            type=_day_argument,
            help="the last day (default: today)",
        )

    def handle(self, *, users: int, actions: int, days: int, seed: int, end: date | None, **options: Any) -> None:
        last = end or timezone.now().astimezone(times.WIRE_ZONE).date()
        if days > min(MAX_DAYS, last.toordinal() - 1):
            raise CommandError(f"--days: at most {min(MAX_DAYS, last.toordinal() - 1):,}.")
        with self.progress("demodata", "actions", actions) as progress:

            def show(result: ImportResult) -> None:
                progress.advance(result.actions + result.known_actions - progress.count)

            result = Importer(on_chunk=show, name="demodata").run(_texts(demo_logs(users, actions, days, seed, last)))
        known = f" Stored by an earlier run: {result.known_actions:,} actions." if result.known_actions else ""
        self.stdout.write(f"Stored: {result.actions:,} actions in {result.logs:,} logs.{known}")


def _texts(logs: Iterator[jsontext.JSONValue]) -> Iterator[LogText]:
    for index, log in enumerate(logs):
        yield LogText(index, index + 1, jsontext.encode(log).encode())


def _day_argument(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day; write YYYY-MM-DD") from None
