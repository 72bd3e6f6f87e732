"""Make an API key."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from logs.access import keys
from logs.access.models import ApiKey, Scope

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_match_duration = re.compile(r"([1-9][0-9]{0,4})([hdw])").fullmatch


def duration(text: str) -> timedelta:
    match = _match_duration(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a length of time: write 12h, 90d or 4w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


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
            type=duration,
            metavar="AGE",
            help="how long the key works, such as 12h, 90d or 4w (hours, days or weeks; default: until it is revoked)",
        )

    def handle(self, *, name: str, scope: str, expires: timedelta | None, **options: Any) -> None:
        key = ApiKey(name=name, scope=scope, expires=timezone.now() + expires if expires else None)
        try:
            key.clean_fields(exclude=["prefix", "digest"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        text = keys.issue(key)
        self.stderr.write(f"Keep the key of {name!r}: it can't be shown again. Expires: {key.expires or 'never'}.")
        self.stdout.write(text)
