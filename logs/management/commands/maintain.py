"""Do what a store needs every night."""

from __future__ import annotations

import time
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from django.db import Error, connection, transaction

from logs.api.idempotency import forget_old_keys, old_keys
from logs.lib.database import explain
from logs.lib.locks import only_one
from logs.lib.text import count_of
from logs.management.base import EXIT_INTERRUPTED, EXIT_TERMINATED, MaintenanceCommand
from logs.store import maintenance
from logs.transfer.manifests import manifest_path

_HELP = """\
Do what a store needs every night, in this order:

  1. with LOGSTORE_BACKUP_DIR, an export that is proved by verifybackup; with LOGSTORE_BACKUP_DAYS, once the new one is
     good, exports older than so many days are deleted;
  2. with LOGSTORE_RETENTION, actions older than that are deleted, as by purgelogs --older-than;
  3. idempotency keys that are no longer remembered, and the admin's logins that have expired, are deleted;
  4. the days of Insights that are new or stale are rolled up, as by prepareinsights;
  5. the room of what was deleted is made free: on PostgreSQL by VACUUM, on SQLite by giving pages of the file back.

If one fails, the others are done all the same, and the exit code is 1. One maintain runs at a time. Stopped at any
moment, it goes on when it is run again. The store goes on answering and storing meanwhile. `manage.py check`, /metrics
and the admin's first page say when all was last done, and when that is overdue.
"""
_EXAMPLES = """\
  python manage.py maintain
  python manage.py maintain --dry-run
  30 2 * * *  cd /srv/logstore && .venv/bin/python manage.py maintain    (in a crontab)
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--at",
            metavar="hh:mm",
            type=_time_argument,
            help="run each day at this time (UTC) until it is stopped, where no timer is at hand",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, *, at: time_of_day | None, dry_run: bool, **options: Any) -> None:
        while at is not None:
            time.sleep(_seconds_until(at))
            try:
                self._maintain(dry_run)
            except (CommandError, Error) as error:
                if _is_interrupt(error):
                    raise
                self.stderr.write(explain(error) if isinstance(error, Error) else str(error))
            connection.close()
        self._maintain(dry_run)

    def _maintain(self, dry_run: bool) -> None:
        with only_one("maintain") as is_alone:
            if not is_alone:
                raise CommandError("Another maintain is at work on this store: nothing was done.")
            self._failed: list[str] = []
            with self._step("backup"):
                self._back_up(dry_run)
            with self._step("retention"):
                self._purge(dry_run)
            with self._step("old keys"):
                self._forget(dry_run)
            with self._step("insights"):
                self._call("prepareinsights", dry_run=dry_run)
            with self._step("free room"):
                self._reclaim(dry_run)
            if self._failed:
                raise CommandError(f"Not all was done: see above for {', '.join(self._failed)}.")
            if not dry_run:
                maintenance.note_success()

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Say what a step fails at, so that the next ones are tried."""
        try:
            yield
        except (CommandError, Error, OSError) as error:
            if _is_interrupt(error):
                raise
            self.stderr.write(f"{name}: {explain(error) if isinstance(error, Error) else error}")
            self._failed.append(name)

    def _call(self, command: str, *arguments: object, **options: object) -> None:
        call_command(command, *map(str, arguments), **options, stdout=self.stdout, stderr=self.stderr)

    def _back_up(self, dry_run: bool) -> None:
        if not settings.LOGSTORE_BACKUP_DIR:
            return
        folder = Path(settings.LOGSTORE_BACKUP_DIR)
        file = folder / f"logs-{datetime.now(UTC):%Y-%m-%d}.ndjson.gz"
        old = list(_old_backups(folder))
        if dry_run:
            self.stdout.write(f"Would export to {file}, and delete {count_of(len(old), 'older export')}.")
            return
        self._call("exportlogs", output=str(file))
        self._call("verifybackup", file)
        for backup in old:
            manifest_path(backup).unlink(missing_ok=True)
            backup.unlink(missing_ok=True)
        if old:
            self.stdout.write(f"Deleted: {count_of(len(old), 'older export')}.")

    def _purge(self, dry_run: bool) -> None:
        if settings.LOGSTORE_RETENTION:
            self._call("purgelogs", older_than=settings.LOGSTORE_RETENTION, yes=True, dry_run=dry_run)

    def _forget(self, dry_run: bool) -> None:
        if dry_run:
            self.stdout.write(f"Would forget: {count_of(old_keys().count(), 'idempotency key')}.")
            return
        with self.progress("maintain", "idempotency keys", old_keys().count()) as progress:
            while count := _forget_some_keys():
                progress.advance(count)
        self.stdout.write(f"Forgotten: {count_of(progress.count, 'idempotency key')}.")
        maintenance.forget_expired_logins()

    def _reclaim(self, dry_run: bool) -> None:
        if dry_run:
            return
        for _ in maintenance.reclaim():
            # Whoever waits for SQLite's lock asks every 100 ms.
            time.sleep(_PAUSE_SECONDS)


_PAUSE_SECONDS = 0.15


def _forget_some_keys() -> int:
    with transaction.atomic():
        return forget_old_keys()


def _old_backups(folder: Path) -> Iterator[Path]:
    if settings.LOGSTORE_BACKUP_DAYS is None:
        return
    oldest = time.time() - timedelta(days=settings.LOGSTORE_BACKUP_DAYS).total_seconds()
    for file in folder.glob("logs-*.ndjson.gz"):
        if file.stat().st_mtime < oldest:
            yield file


def _is_interrupt(error: Exception) -> bool:
    """Return whether a command within this one was stopped: then this one is, too."""
    return isinstance(error, CommandError) and error.returncode in (EXIT_INTERRUPTED, EXIT_TERMINATED)


def _seconds_until(at: time_of_day) -> float:
    now = datetime.now(UTC)
    next_time = datetime.combine(now, at, UTC)
    if next_time <= now:
        next_time += timedelta(days=1)
    return (next_time - now).total_seconds()


def _time_argument(text: str) -> time_of_day:
    try:
        return time_of_day.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time of the day such as 02:30") from None
