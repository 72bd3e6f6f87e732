"""Make an API key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from logs.access import keys
from logs.access.models import ApiKey, Scope
from logs.lib.durations import duration_argument


class Command(BaseCommand):
    help = "Make an API key. The key is the last line of stdout, and is never shown again."
    # The check for a missing key must not stop the command that makes one.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="who or what the key is for")
        parser.add_argument(
            "--scope",
            required=True,
            choices=Scope.values,
            help="ingest may only POST, read may only GET, both may do both",
        )
        parser.add_argument(
            "--expires",
            type=duration_argument,
            metavar="AGE",
            help="how long the key works, such as 12h, 90d or 4w (default: until it is revoked)",
        )

    def handle(self, *, name: str, scope: str, expires: timedelta | None, **options: Any) -> None:
        try:
            key = ApiKey(name=name, scope=scope, expires=timezone.now() + expires if expires else None)
        except OverflowError:
            raise CommandError("--expires goes past the year 9999.") from None
        try:
            key.clean_fields(exclude=["prefix", "digest"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        text = keys.issue(key)
        self.stderr.write(f"Keep the key of {name!r}: it can't be shown again. Expires: {key.expires or 'never'}.")
        self.stdout.write(text)
