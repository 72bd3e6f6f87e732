"""System checks of the database, which `manage.py check` and `migrate` run."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.db import DatabaseError

from logs.lib import database


# Not with Tags.database: Django leaves such checks out of a plain `check`. So it is silent while the database is away.
@register
def check_encoding(**kwargs: Any) -> list[CheckMessage]:
    """Refuse a database that can't hold every text: SQL_ASCII and LATIN1 fail only when one comes."""
    if not database.is_made():
        return []
    try:
        encoding = database.encoding()
    except DatabaseError:
        return []
    if encoding in ("UTF8", "UTF-8"):
        return []
    return [
        Error(
            f"The database keeps text in {encoding}, which can't hold every log: create it with the encoding UTF8.",
            id="logs.E001",
        )
    ]
