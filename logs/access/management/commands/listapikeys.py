"""List the API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand

from logs.access.models import ApiKey
from logs.lib.times import format_utc

COLUMNS = ("prefix", "scope", "created", "last_used", "expires", "revoked", "name")


class Command(BaseCommand):
    help = "List the API keys, oldest first, in columns separated by tabs. Times are in UTC; - means never."
    requires_system_checks = []

    def handle(self, **options: Any) -> None:
        self.stdout.write("\t".join(COLUMNS))
        for row in ApiKey.objects.order_by("id").values_list(*COLUMNS):
            self.stdout.write("\t".join(_text(value) for value in row))


def _text(value: str | datetime | None) -> str:
    if isinstance(value, datetime):
        return format_utc(value)
    return value or "-"
