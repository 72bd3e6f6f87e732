"""Let the logs of an erased user in again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from logs.management.base import MaintenanceCommand, user_argument
from logs.store import erasures

_HELP = """\
Let the logs of an erased user in again. What was erased does not come back.
"""
_EXAMPLES = """\
  python manage.py forgiveuser ABC123XYZ
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="USER", type=user_argument, help="the user's id")

    def handle(self, *, user: str, **options: Any) -> None:
        if not erasures.forgive(user):
            raise CommandError(
                "This user is not erased, or was with a SECRET_KEY that the store does not have any more."
            )
        self.stdout.write("Logs of this user are stored again.")
