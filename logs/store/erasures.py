"""Who was erased: a keyed hash of the user's id is what is kept, and lets nothing of theirs in again.

The key is SECRET_KEY, or one of SECRET_KEY_FALLBACKS for what was erased in its time. With neither, nobody can tell any
more whom a hash stands for: whoever steals the database alone can't guess ids, and whoever drops a key drops the
erasures made with it.

An erasure first commits the hash, and for that waits until nobody is writing; then it deletes. Every writer holds the
gate from before it looks the hashes up until it has committed. So what it wrote is there to be deleted, or it has seen
the hash.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from logs.models import ErasedUser

# It comes in the way of the erasure below and of nothing else. PostgreSQL keeps such a lock in the session's own slots,
# so that many take it at once, and the statement after it has a newer snapshot. SQLite has one writer anyway.
# https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
GATE = "LOCK TABLE logs_eraseduser IN ROW SHARE MODE"
_CLOSE_GATE = "LOCK TABLE logs_eraseduser IN EXCLUSIVE MODE"

_SALT = "logs.store.erasures"
_USERS_AT_ONCE = 1000


class ErasedUsersError(Exception):
    """Some of what was to be written is of users who were erased; nothing of it was written."""

    def __init__(self, user_ids: Collection[str]) -> None:
        self.user_ids = user_ids
        super().__init__(f"{len(user_ids)} erased")


class _Key(NamedTuple):
    """One of SECRET_KEY and its fallbacks: what it is told by, and the HMAC to begin with."""

    name: str
    start: hmac.HMAC


def digests(user_ids: Iterable[str]) -> list[str]:
    """Return the hash of each user's id, under each of the keys."""
    return [digest for user_id in user_ids for digest in _digests(user_id)]


def erased_among(user_ids: Iterable[str]) -> set[str]:
    """Return those of some users who are erased."""
    found: set[str] = set()
    distinct = list(set(user_ids))
    for start in range(0, len(distinct), _USERS_AT_ONCE):
        by_digest = {
            digest: user_id for user_id in distinct[start : start + _USERS_AT_ONCE] for digest in _digests(user_id)
        }
        known = ErasedUser.objects.filter(digest__in=list(by_digest)).values_list("digest", flat=True)
        found.update(by_digest[digest] for digest in known)
    return found


def require_none_erased(user_ids: Iterable[str]) -> None:
    """Raise ErasedUsersError if one of some users is erased."""
    erased = erased_among(user_ids)
    if erased:
        raise ErasedUsersError(erased)


def enter_gate() -> None:
    """Hold off erasures until the transaction that is open ends, so that what it looks up of them stays true."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(GATE)


def of_user(user_id: str) -> QuerySet[ErasedUser]:
    """Return the erasure of a user, or nothing; in theory one under each of the keys."""
    return ErasedUser.objects.filter(digest__in=_digests(user_id))


def unrecognizable() -> QuerySet[ErasedUser]:
    """Return the erasures that nobody can be compared with any more, for want of the key they were made with."""
    return ErasedUser.objects.exclude(secret__in=[key.name for key in _keys()])


def unfinished() -> QuerySet[ErasedUser]:
    """Return the erasures that stopped half-way, or are at work."""
    return ErasedUser.objects.filter(finished=None)


def known_digests() -> set[str]:
    """Return the hashes of all erased users."""
    return set(ErasedUser.objects.values_list("digest", flat=True))


def is_one_of(user_id: str, known: Collection[str]) -> bool:
    """Return whether a text is the id of a user whose hash is among some."""
    return any(digest in known for digest in _digests(user_id))


def begin(user_id: str, by: str) -> int:
    """Remember that a user is erased, and return the erasure's id; from here on nothing of theirs is stored.

    One that was begun before is gone on with. Waits for the writers that are at work.
    """
    with transaction.atomic(durable=True):
        _close_gate()
        erasure = of_user(user_id).first()
        if erasure is None:
            key = _keys()[0]
            return ErasedUser.objects.create(digest=_digests(user_id)[0], secret=key.name, by=by).pk
        of_user(user_id).update(finished=None)
        return erasure.pk


def wait_for_writers() -> None:
    """Return when whoever is writing has ended: what they wrote is there to be seen, or will never be."""
    with transaction.atomic():
        _close_gate()


def add(erasure: int, counts: Mapping[str, int]) -> None:
    """Add to the counts of an erasure, in the transaction that deletes what they count.

    counts: numbers by the names of ErasedUser's fields.
    """
    ErasedUser.objects.filter(pk=erasure).update(**{name: F(name) + count for name, count in counts.items()})


def finish(erasure: int) -> None:
    """Note that nothing is left."""
    ErasedUser.objects.filter(pk=erasure).update(finished=timezone.now())


def forgive(user_id: str) -> bool:
    """Let a user's logs in again; return False for one who is not erased."""
    deleted, _ = of_user(user_id).delete()
    return bool(deleted)


def _close_gate() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_CLOSE_GATE)


def _digests(user_id: str) -> list[str]:
    # What is searched for ids may hold half of a surrogate pair, which no id does.
    text = user_id.encode(errors="surrogatepass")
    found = []
    for key in _keys():
        mac = key.start.copy()
        mac.update(text)
        found.append(mac.hexdigest())
    return found


def _keys() -> tuple[_Key, ...]:
    return _keys_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@functools.lru_cache(maxsize=4)
def _keys_of(secrets: tuple[str, ...]) -> tuple[_Key, ...]:
    """Return what Django's salted_hmac begins with: to derive its key again would double the time of a hash."""
    return tuple(
        _Key(
            name=salted_hmac(f"{_SALT}.name", "", secret, algorithm="sha256").hexdigest()[:16],
            start=salted_hmac(_SALT, "", secret, algorithm="sha256"),
        )
        for secret in secrets
    )
