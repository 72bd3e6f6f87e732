"""Whether anything is left of the users who were erased: what names users, in every table, hashed and compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef, QuerySet

from logs.lib.text import count_of
from logs.models import AccessRecord, Action, IdempotencyKey, Log, Rollup, RollupKind
from logs.store import access_records, erasures, purge, rollups

ROWS_AT_ONCE = 2000
# Of a text with more of them, only the first are looked at.
_MAX_WORDS = 16
# Who is logged in, by numbers and hashes that may be like an id by chance.
_OF_THE_LOGIN = (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY)

_words_of = re.compile(r"\w+").finditer


@dataclass(frozen=True)
class Leftover:
    """Something that names a user who was erased.

    remove: deletes it; None where nobody but an operator can say how.
    """

    place: str
    what: str
    remove: Callable[[], object] | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


def leftovers(by: str) -> Iterator[Leftover]:
    """Yield what is left of users who were erased, a finding a row or, in logs, a user.

    by: who removes it, if somebody does: see ErasedUser.
    """
    lost = erasures.unrecognizable().count()
    if lost:
        yield Leftover(
            "erasures",
            f"{count_of(lost, 'erased user')} can't be looked for: put the SECRET_KEY of that time into"
            " SECRET_KEY_FALLBACKS",
        )
    known = erasures.known_digests()
    if not known:
        return
    yield from _unfinished()
    yield from _logs_and_actions(known, by)
    yield from _rollups(known)
    yield from _idempotency_keys(known)
    yield from _history(known)
    yield from _sessions(known)
    for record_id, user_id in AccessRecord.objects.exclude(user_id="").values_list("id", "user_id"):
        if erasures.is_one_of(user_id, known):
            forget = partial(access_records.forget_user, user_id)
            yield Leftover(f"access record {record_id}", "it names a user who was erased", forget)


def parts_of_words(text: str) -> Iterator[str]:
    """Yield every part of a text that begins and ends where a word does: `of`, `ann` and `of ann` of `of ann`.

    It is split at every character that is no letter, digit or underscore.
    """
    words = list(_words_of(text))[:_MAX_WORDS]
    for word in words:
        yield word[0]
    for first, last in combinations(words, 2):
        yield text[first.start() : last.end()]


def _has_erased(texts: Iterable[str], known: Collection[str]) -> bool:
    return any(erasures.is_one_of(text, known) for text in texts)


def _erased_among(user_ids: QuerySet[Any, str], known: Collection[str]) -> list[str]:
    distinct = user_ids.distinct().order_by()
    return [user_id for user_id in distinct.iterator(chunk_size=ROWS_AT_ONCE) if erasures.is_one_of(user_id, known)]


def _unfinished() -> Iterator[Leftover]:
    for erasure in erasures.unfinished():
        yield Leftover(f"erasure {erasure.pk}", "it was not finished: run purgelogs again for this user")


def _logs_and_actions(known: Collection[str], by: str) -> Iterator[Leftover]:
    own = Log.objects.filter(user_id=OuterRef("user_id"), id=OuterRef("log_id"))
    # The users of all other actions have a log.
    strays = Action.objects.filter(~Exists(own))
    for what, rows in (("logs", Log.objects.all()), ("actions without a log", strays)):
        for user_id in _erased_among(rows.values_list("user_id", flat=True), known):
            first = rows.filter(user_id=user_id).order_by("id").values_list("id", flat=True).first()
            yield Leftover(f"{what} from {first} on", "their user was erased", partial(purge.erase_user, user_id, by))


def _rollups(known: Collection[str]) -> Iterator[Leftover]:
    rows = Rollup.objects.filter(kind=RollupKind.USERS)
    erased = _erased_among(rows.values_list("label", flat=True), known)
    days = rows.filter(label__in=erased).values_list("day", flat=True).distinct().order_by("day")
    for day in days if erased else ():
        yield Leftover(f"rollups of {day}", "they count a user who was erased", partial(rollups.forget_day, day))


def _idempotency_keys(known: Collection[str]) -> Iterator[Leftover]:
    for row_id, key in IdempotencyKey.objects.values_list("id", "key").iterator(chunk_size=ROWS_AT_ONCE):
        if _has_erased([key, *parts_of_words(key)], known):
            # Not removed here: a batch that is sent once more under it would be stored twice.
            yield Leftover(
                f"idempotency key {row_id}", "it names a user who was erased: run purgelogs again for this user"
            )


def _history(known: Collection[str]) -> Iterator[Leftover]:
    """Yield the entries of the admin's history of logs and actions, of which an entry names one as `user / session`.

    Of other things a name may be like an id by chance: that of somebody who works in the admin, say.
    """
    entries = LogEntry.objects.filter(content_type__in=ContentType.objects.get_for_models(Log, Action).values())
    texts = entries.values_list("id", "object_repr", "change_message")
    for row_id, name, message in texts.iterator(chunk_size=ROWS_AT_ONCE):
        users = [name[: slash.start()] for slash in re.finditer(" / ", name)]
        if _has_erased([name, message, *users], known):
            remove = entries.filter(id=row_id).delete
            yield Leftover(f"entry {row_id} of the admin's history", "it names a user who was erased", remove)


def _sessions(known: Collection[str]) -> Iterator[Leftover]:
    for number, session in enumerate(Session.objects.iterator(chunk_size=ROWS_AT_ONCE), start=1):
        data = {name: value for name, value in session.get_decoded().items() if name not in _OF_THE_LOGIN}
        if _has_erased(_strings(data), known):
            # Not by its key, which would let in whoever reads it here.
            yield Leftover(f"login session {number}", "it names a user who was erased", session.delete)


def _strings(value: object) -> Iterator[str]:
    """Yield every text within a decoded JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield str(name)
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
