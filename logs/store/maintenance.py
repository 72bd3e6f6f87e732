"""When the store was last taken care of, and what that means on each database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.sessions.models import Session
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from logs.models import Action, Log, Maintenance

# A night, and half of one: it may begin later, and take longer, than the night before.
OVERDUE_AFTER = timedelta(hours=36)
_PAGES_AT_ONCE = 1_000
# SQLite waits so long, in milliseconds, for those who read before it gives a checkpoint up.
_CHECKPOINT_WAIT = 100


@dataclass(frozen=True)
class MaintenanceStatus:
    """When the nightly work was last done without a failure, None for never, and whether it should have been since."""

    succeeded: datetime | None
    is_overdue: bool


def status() -> MaintenanceStatus:
    """Return when the store was last taken care of.

    One that never was is overdue once its tables are old enough. Raises django.db.Error when the database is away.
    """
    succeeded = Maintenance.objects.values_list("succeeded", flat=True).first()
    since = succeeded or MigrationRecorder.Migration.objects.filter(app="logs").earliest("applied").applied
    return MaintenanceStatus(succeeded, timezone.now() - since > OVERDUE_AFTER)


def note_success() -> None:
    """Note that all of the nightly work is done."""
    Maintenance.objects.update_or_create(pk=1, defaults={"succeeded": timezone.now()})


def forget_expired_logins() -> int:
    """Delete the admin's sessions that have expired, and return how many they were."""
    deleted, _ = Session.objects.filter(expire_date__lt=timezone.now()).delete()
    return deleted


def reclaim() -> Iterator[int]:
    """Make the room of deleted rows free for new ones, yielding how many pages of the file that gave back each time.

    On PostgreSQL the tables keep their size and what comes next goes where the old was: autovacuum begins only when a
    fifth of a table is old. On SQLite the file shrinks, and what is in the write-ahead log goes into it. Nobody is held
    up for longer than by a batch.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"VACUUM (ANALYZE, TRUNCATE FALSE) {Action._meta.db_table}, {Log._meta.db_table}")
            return
        while before := _free_pages():
            cursor.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
            # Each row that is fetched gives a page back. https://www.sqlite.org/pragma.html#pragma_incremental_vacuum
            cursor.fetchall()
            freed = before - _free_pages()
            if freed <= 0:
                break
            yield freed
        cursor.execute("PRAGMA busy_timeout")
        [timeout] = cursor.fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_WAIT}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.fetchall()
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {timeout}")


def _free_pages() -> int:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA freelist_count")
        return int(cursor.fetchone()[0])
