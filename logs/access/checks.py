"""A system check that says when nobody can get in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import DatabaseError, OperationalError

from logs.access.models import ApiKey
from logs.lib.database import is_made


@register(Tags.security)
def check_that_there_is_a_key(**kwargs: Any) -> list[CheckMessage]:
    """Warn about a store that requires API keys and has none. Say nothing while the database is away."""
    if settings.DEBUG or settings.LOGSTORE_AUTH != "keys" or _has_a_key():
        return []
    return [
        Warning(
            "No API key was made yet: the API refuses every request.",
            hint="Make one with `python manage.py createapikey NAME --scope SCOPE`, or set LOGSTORE_AUTH=open.",
            id="access.W001",
        )
    ]


def _has_a_key() -> bool:
    if not is_made():
        return False
    try:
        return ApiKey.objects.exists()
    except OperationalError as error:
        # SQLite's word for a table that no migration has made yet; otherwise there is no telling.
        return "no such table" not in str(error)
    except DatabaseError:
        return False
