"""Check what is stored, and repair what has one right answer."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from logs.management.base import MaintenanceCommand
from logs.management.verification import repair, verify
from logs.store.statistics import count_of_logs

_HELP = """\
Check what is stored: the properties of every action by the rules of POST /logs/, logs without actions, actions whose
log is missing or another user's, and the figures and versions that each log keeps of its actions.

Each finding is a line on stdout with its place. The exit code is 1 while there are findings that were not repaired.
"""
_EXAMPLES = """\
  manage.py verifylogs
  manage.py verifylogs --fix
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--fix",
            action="store_true",
            help="recount wrong figures and delete logs without actions; what has no one right answer is only reported",
        )

    def handle(self, *, fix: bool, **options: Any) -> None:
        found = repaired = checked = 0
        with self.progress("verifylogs", "logs", count_of_logs().value) as progress:
            for count, findings in verify():
                checked += count
                progress.advance(count)
                log_ids = {finding.log_id for finding in findings if finding.log_id is not None}
                repairs = {log_id: repair(log_id) for log_id in log_ids if fix}
                for finding in findings:
                    found += 1
                    is_repaired = repairs.get(finding.log_id, False)
                    repaired += is_repaired
                    self.stdout.write(f"{finding}{' (repaired)' if is_repaired else ''}")
        self.stdout.write(f"Checked: {checked:,} logs. Findings: {found:,}, repaired: {repaired:,}.")
        if found > repaired:
            hint = "" if fix else " What has one right answer is repaired by --fix."
            raise CommandError(f"{found - repaired:,} findings are not repaired.{hint}")
