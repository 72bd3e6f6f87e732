"""Delete old actions, or everything of some users."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.text import get_text_list

from logs.lib.durations import duration_argument
from logs.lib.text import count_of
from logs.management.base import MaintenanceCommand, operator, time_argument, user_argument
from logs.models import AccessRecord
from logs.store.purge import Selection, purge

_HELP = """\
Delete actions that are older than a time, or everything of some users, and the logs that are left empty.

Given together, a time and users choose what meets both. The command says what it will delete and asks first.
Actions are deleted in batches, each a short transaction, so that the store goes on answering and storing meanwhile.

With --user alone nothing that names these users is left in any table, which is what the right to erasure asks for. That
includes the admin's history, and every idempotency key whose text holds a user's id, capitals and small letters being
different. Exports, backups and the database's own log files are out of reach.

From then on nothing of these users is stored: a POST that names one is refused as USER_ERASED, and importlogs rejects
such logs, until forgiveuser lets them in again. The command erasures lists what was erased.
"""
_EXAMPLES = """\
  python manage.py purgelogs --older-than 90d --dry-run
  python manage.py purgelogs --user ABC123XYZ --user DEF456UVW
  python manage.py purgelogs --access-older-than 400d --yes
  0 3 * * *  cd /srv/logstore && .venv/bin/python manage.py purgelogs --older-than 90d --yes    (in a crontab)
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES
    if_interrupted = "Whole batches are deleted; run the same command again to go on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than",
            metavar="AGE",
            type=duration_argument,
            help="delete actions older than this, such as 12h, 90d or 4w",
        )
        parser.add_argument(
            "--before",
            metavar="TIME",
            type=time_argument,
            help="delete actions before this time, written YYYY-MM-DDThh:mm:ss-06:00",
        )
        parser.add_argument(
            "--user", metavar="ID", type=user_argument, nargs="+", action="extend", help="delete actions of these users"
        )
        parser.add_argument(
            "--access-older-than",
            metavar="AGE",
            type=duration_argument,
            help="delete the records of who looked that are older than this, such as 400d, and nothing else",
        )
        parser.add_argument("--yes", action="store_true", help="don't ask first; for cron")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")

    def handle(
        self,
        *,
        older_than: timedelta | None,
        before: datetime | None,
        user: Sequence[str] | None,
        access_older_than: timedelta | None,
        yes: bool,
        dry_run: bool,
        **options: Any,
    ) -> None:
        if access_older_than is not None:
            if older_than or before or user:
                raise CommandError("--access-older-than goes alone.")
            self._purge_access_records(_time_of(access_older_than, "--access-older-than"), yes, dry_run)
            return
        limits = [limit for limit in (before, _time_of(older_than, "--older-than")) if limit is not None]
        if not limits and not user:
            raise CommandError("Say what to delete: --older-than, --before or --user.")
        selection = Selection(min(limits, default=None), list(dict.fromkeys(user or ())))
        actions = selection.actions().count()
        found = {
            ("log left empty", "logs left empty"): selection.whole_logs().count(),
            ("entry of the admin's history", "entries of the admin's history"): selection.history().count(),
            ("idempotency key", "idempotency keys"): selection.idempotency_keys().count(),
        }
        words = [
            f"{count_of(actions, 'action')} from {count_of(selection.logs().count(), 'log')}",
            *(count_of(number, *nouns) for nouns, number in found.items() if number),
        ]
        self.stdout.write(f"{'Would delete' if dry_run else 'To delete'}: {get_text_list(words, 'and')}.")
        if dry_run:
            return
        if selection.is_erasure:
            whose = "this user" if len(selection.users) == 1 else "these users"
            self.stdout.write(f"Nothing of {whose} will be stored from then on.")
        if (actions or any(found.values()) or selection.is_erasure) and not yes:
            self._ask()
        with self.progress("purgelogs", "actions", actions) as progress:
            for count in purge(selection, operator()):
                progress.advance(count)
        self.stdout.write(f"Deleted: {count_of(progress.count, 'action')}.")

    def _purge_access_records(self, before: datetime | None, yes: bool, dry_run: bool) -> None:
        records = AccessRecord.objects.filter(time__lt=before)
        found = records.count()
        self.stdout.write(f"{'Would delete' if dry_run else 'To delete'}: {count_of(found, 'access record')}.")
        if dry_run:
            return
        if found and not yes:
            self._ask()
        deleted, _ = records.delete()
        self.stdout.write(f"Deleted: {count_of(deleted, 'access record')}.")

    def _ask(self) -> None:
        self.stderr.write("Delete them for good? [y/N] ", style_func=str, ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was deleted. Answer y, or give --yes.")


def _time_of(age: timedelta | None, option: str) -> datetime | None:
    try:
        return None if age is None else timezone.now() - age
    except OverflowError:
        raise CommandError(f"{option} goes back to before the year 1.") from None
