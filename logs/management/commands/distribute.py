"""Spread logs and actions over the machines of a cluster."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error

from logs.management.base import MaintenanceCommand, count_argument
from logs.store import distribution

_HELP = """\
Spread logs and actions over the workers of a Citus cluster by their user, in place, whether there are any yet or not.

Each statement is printed. All of them are one transaction: what stops it leaves everything as it was. Nobody reads or
writes meanwhile, and what is stored is copied to the workers. Run again, the command finds nothing to do.

Where the extension, the workers or a right are missing it says so, and changes nothing. docs/scaling.md says when to
move to a cluster, and what to prepare.
"""
_EXAMPLES = """\
  python manage.py distribute --dry-run
  python manage.py distribute --shards 64
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES
    if_interrupted = "Nothing was changed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--shards",
            metavar="N",
            type=count_argument,
            default=distribution.DEFAULT_SHARDS,
            help="cut each table into this many parts, at least one for each worker that there may ever be"
            f" (default: {distribution.DEFAULT_SHARDS})",
        )
        parser.add_argument("--dry-run", action="store_true", help="only print what would be done")

    def handle(self, *, shards: int, dry_run: bool, **options: Any) -> None:
        if shards > distribution.MAX_SHARDS:
            raise CommandError(f"--shards must be at most {distribution.MAX_SHARDS:,}.")
        try:
            statements = distribution.plan(shards) if dry_run else distribution.distribute(shards)
        except distribution.NotDistributableError as error:
            raise CommandError("\n".join([*error.reasons, self.if_interrupted])) from None
        except Error as error:
            # What Citus refuses is for the operator, who can read more than a code.
            raise CommandError(f"{str(error).strip()}\n{self.if_interrupted}") from None
        for statement in statements:
            self.stdout.write(f"{statement};")
        if not statements:
            self.stdout.write("Nothing to do: logs and actions are distributed already.")
        elif not dry_run:
            self.stdout.write("Distributed: logs and actions are spread over the workers.")
