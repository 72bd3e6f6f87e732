"""API keys as text: made, found again, and noted as used.

A key is `ls_PREFIX_SECRET`. The secret has 256 random bits, which nobody can guess however fast a guess is checked: a
single SHA-256 keeps it as safe as a slow hash made for passwords would, and costs a request nothing.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import Error, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from logs.access.models import ApiKey

SECRET_BYTES = 32
USE_NOTED_EVERY = timedelta(minutes=1)
# For so long a process takes a key for live without asking the database again.
REMEMBERED_SECONDS = 1.0
_MOST_REMEMBERED = 10_000

_match_key = re.compile(r"(ls_[0-9a-f]{12})_[A-Za-z0-9_-]{43}").fullmatch
_NO_DIGEST = "0" * hashlib.sha256().digest_size * 2

# The keys that were looked up a moment ago, by their digest, each with the end of that moment.
_remembered: dict[str, tuple[ApiKey, float]] = {}

logger = logging.getLogger(__name__)


def issue(key: ApiKey) -> str:
    """Give an ApiKey a new secret, and a new one its prefix too; save it, and return the text of the key.

    Nobody can ever read the text again. One that the key had before is refused from then on.
    """
    key.prefix = key.prefix or f"ls_{secrets.token_hex(6)}"
    text = f"{key.prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
    key.digest = _digest(text)
    key.save()
    return text


def find(text: str) -> ApiKey | None:
    """Return the live ApiKey of a key's text, None for one that is malformed, unknown, revoked or expired."""
    match = _match_key(text)
    if match is None:
        return None
    digest = _digest(text)
    key, until = _remembered.get(digest, (None, 0.0))
    if key is None or until < time.monotonic():
        key = ApiKey.objects.filter(prefix=match[1]).first()
        # The same work whether there is such a prefix or not.
        if not secrets.compare_digest(key.digest if key else _NO_DIGEST, digest) or key is None:
            return None
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        _remembered[digest] = key, time.monotonic() + REMEMBERED_SECONDS
    return key if key.is_live else None


def revoke(keys: QuerySet[ApiKey]) -> int:
    """Revoke the keys that are not revoked yet, and return how many those are.

    This process refuses them from now on, any other REMEMBERED_SECONDS later at the latest.
    """
    count = keys.filter(revoked=None).update(revoked=timezone.now())
    _remembered.clear()
    return count


def note_use(key: ApiKey) -> None:
    """Save the time at which a key was used, once a minute at the most.

    Never waits for a lock: where it would have to, and where the database can't be written to, the use is not saved.
    """
    now = timezone.now()
    if key.last_used is not None and now - key.last_used < USE_NOTED_EVERY:
        return
    due = ApiKey.objects.filter(Q(last_used=None) | Q(last_used__lte=now - USE_NOTED_EVERY), pk=key.pk)
    try:
        with _without_waiting(), transaction.atomic():
            if connection.vendor == "postgresql":
                # No wait for the disk or a replica either: the last minute's use may be lost in a crash.
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL synchronous_commit = off")
            unlocked = due.select_for_update(skip_locked=True).values_list("pk", flat=True)
            ApiKey.objects.filter(pk__in=list(unlocked)).update(last_used=now)
        key.last_used = now
    except Error as error:
        logger.info("the use of an API key was not noted: %s", type(error).__name__)


@contextmanager
def _without_waiting() -> Iterator[None]:
    """Make SQLite give up at once where another writer is at work. On PostgreSQL a locked row is skipped."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        timeout = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
        cursor.execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {timeout}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
