"""Who looked at stored data, took it out or erased it.

What can't be noted is not shown: whoever could make the database read-only would otherwise look unseen.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from logs.models import AccessKind, AccessRecord
from logs.store import erasures


def note(kind: AccessKind, by: str, selection: str, user_id: str = "", count: int | None = None) -> int:
    """Note an access, and return the record's id.

    by: see AccessRecord.
    selection: which data, but for the user.
    user_id: whose; "" is everybody. Of one who is erased the id is not kept.
    count: how many actions, None where that is not known yet.
    Raises django.db.Error where the database can't be written to: then show nothing.
    """
    with transaction.atomic():
        if user_id:
            erasures.enter_gate()
            if erasures.erased_among([user_id]):
                user_id = ""
        record = AccessRecord.objects.create(kind=kind, by=by, selection=selection, user_id=user_id, count=count)
    return record.pk


def note_count(record: int, count: int) -> None:
    """Note how many actions an access was about, once it is known."""
    AccessRecord.objects.filter(pk=record).update(count=count)


def selection_in_words(filters: Mapping[str, object], user_id: str | None) -> str:
    """Return a selection as a record says it: `one user, from 2018-10-01 00:00:00+00:00, types CLICK, VIEW`.

    filters: values by the names of filters, but for the user's; one without a value chooses nothing.
    """
    words = ["one user" if user_id else "everybody"]
    for name, value in filters.items():
        if value not in (None, False, "", [], ()):
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            words.append(f"{name} {text}")
    return ", ".join(words)


def forget_user(user_id: str) -> None:
    """Blank a user's id in every record."""
    AccessRecord.objects.filter(user_id=user_id).update(user_id="")
