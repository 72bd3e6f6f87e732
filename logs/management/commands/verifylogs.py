"""Check what is stored, and repair what has one right answer."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from logs.lib.text import count_of
from logs.management.base import MaintenanceCommand, operator
from logs.management.leftovers import leftovers
from logs.management.verification import repair, verify
from logs.store.statistics import count_of_logs

_HELP = """\
Check what is stored: the properties of every action, by the rules of POST /logs/; logs without actions, and actions
without their log; and the counts, times and version that each log keeps. And that nothing is left of users who were
erased, in any table: what names users is hashed and compared with the hashes of the erased. In an idempotency key an id
is found where it begins and ends with a word.

Each finding is a line on stdout with its place. The exit code is 1 while there are findings that were not repaired.
"""
_EXAMPLES = """\
  python manage.py verifylogs
  python manage.py verifylogs --fix
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--fix",
            action="store_true",
            help="correct the counts, times and versions of logs, and delete logs without actions and what is left of"
            " erased users (of a login session all of it); other findings have no single right answer and are only"
            " reported",
        )

    def handle(self, *, fix: bool, **options: Any) -> None:
        found = repaired = checked = 0
        with self.progress("verifylogs", "logs", count_of_logs().value) as progress:
            for count, findings in verify():
                checked += count
                progress.advance(count)
                keys = {finding.repairable for finding in findings if finding.repairable is not None}
                repaired_keys = {key for key in keys if fix and repair(key)}
                for finding in findings:
                    found += 1
                    is_repaired = finding.repairable in repaired_keys
                    repaired += is_repaired
                    self.stdout.write(f"{finding}{' (repaired)' if is_repaired else ''}")
        for leftover in leftovers(operator()):
            found += 1
            remove = leftover.remove if fix else None
            if remove is not None:
                remove()
                repaired += 1
            self.stdout.write(f"{leftover}{' (repaired)' if remove is not None else ''}")
        self.stdout.write(f"Checked: {count_of(checked, 'log')}. Findings: {found:,}, repaired: {repaired:,}.")
        if found > repaired:
            left = f"{count_of(found - repaired, 'finding')} {'is' if found - repaired == 1 else 'are'} not repaired."
            raise CommandError(left if fix else f"{left} Those with one right answer are repaired by --fix.")
