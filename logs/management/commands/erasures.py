"""List what was erased, when and by whom."""

from __future__ import annotations

import json
from typing import Any, TypedDict

from django.core.management.base import CommandError, CommandParser

from logs.lib.text import count_of
from logs.lib.times import format_utc
from logs.management.base import MaintenanceCommand, user_argument
from logs.models import ErasedUser
from logs.store import erasures

_HELP = """\
List the erasures of users, oldest first: when, by whom and how much, but not whose. The store does not know that: it
keeps a hash, by which it recognizes a user who comes again. With --user the one of that user is shown: a certificate.

A user whom forgiveuser has let in again is not listed any more.
"""
_EXAMPLES = """\
  python manage.py erasures
  python manage.py erasures --user ABC123XYZ --json
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", metavar="ID", type=user_argument, help="only this user's")
        parser.add_argument("--json", action="store_true", help="write an array of JSON objects")

    def handle(self, *, user: str | None, **options: Any) -> None:
        listed = ErasedUser.objects.all() if user is None else erasures.of_user(user)
        certificates = [_certificate(erasure) for erasure in listed.order_by("id")]
        if options["json"]:
            self.stdout.write(json.dumps(certificates))
        elif user is not None and not certificates:
            raise CommandError("No erasure of this user is on record.")
        else:
            for certificate in certificates:
                self.stdout.write(_line(certificate))
        lost = erasures.unrecognizable().count()
        if lost:
            self.stderr.write(
                f"{count_of(lost, 'erased user')} can't be recognized: SECRET_KEY has changed. Put the old one into"
                " SECRET_KEY_FALLBACKS."
            )


class _Certificate(TypedDict):
    erased: str
    finished: str | None
    by: str
    actions: int
    logs: int
    idempotencyKeys: int
    historyEntries: int


def _certificate(erasure: ErasedUser) -> _Certificate:
    return {
        "erased": format_utc(erasure.time),
        "finished": None if erasure.finished is None else format_utc(erasure.finished),
        "by": erasure.by,
        "actions": erasure.action_count,
        "logs": erasure.log_count,
        "idempotencyKeys": erasure.key_count,
        "historyEntries": erasure.history_count,
    }


def _line(certificate: _Certificate) -> str:
    counts = ", ".join(
        [
            count_of(certificate["actions"], "action"),
            count_of(certificate["logs"], "log"),
            count_of(certificate["idempotencyKeys"], "idempotency key"),
            count_of(certificate["historyEntries"], "entry of the admin's history", "entries of the admin's history"),
        ]
    )
    state = "" if certificate["finished"] else " Not finished: run purgelogs again."
    return f"{certificate['erased']} by {certificate['by']}: {counts}.{state}"
