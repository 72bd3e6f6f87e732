"""ETags of a user's answers, made from the versions of the user's logs and the query.

https://www.rfc-editor.org/rfc/rfc9110#name-conditional-requests
"""

from __future__ import annotations

import hashlib

from django.http import HttpRequest
from django.utils.http import parse_etags

from logs.models import LogSummary
from logs.query import LogQuery


def etag_of(query: LogQuery, logs: list[LogSummary], media_type: str) -> str:
    """Return a weak ETag: the same for as long as the user's logs and the meaning of the query are."""
    versions = [(log.id, log.version) for log in logs]
    digest = hashlib.sha256(repr((query.identity, media_type, versions)).encode()).hexdigest()
    return f'W/"{digest[:32]}"'


def is_unchanged(request: HttpRequest, etag: str) -> bool:
    """Whether If-None-Match names the ETag, compared weakly."""
    known = parse_etags(request.headers.get("If-None-Match", ""))
    return "*" in known or etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in known]
