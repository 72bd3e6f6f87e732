"""Revoke an API key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q

from logs.access import keys
from logs.access.models import ApiKey


class Command(BaseCommand):
    help = "Revoke an API key: from now on it is refused."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "key", help="the prefix of the key, or its name where no other key that works has the same name"
        )

    def handle(self, *, key: str, **options: Any) -> None:
        found = ApiKey.objects.filter(Q(prefix=key) | Q(name=key))
        if not found:
            raise CommandError(f"There is no API key with the prefix or name {key!r}.")
        working = list(found.filter(revoked=None))
        if not working:
            raise CommandError(f"{key!r} is revoked already.")
        if len(working) > 1:
            raise CommandError(f"{key!r} names several keys, say which: {' '.join(one.prefix for one in working)}")
        keys.revoke(ApiKey.objects.filter(pk=working[0].pk))
        self.stderr.write(f"Revoked {working[0]}.")
