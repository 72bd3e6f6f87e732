"""ETags of a user's answers, weak ones, since the same answer may come gzipped.

https://www.rfc-editor.org/rfc/rfc9110#name-conditional-requests
"""

from __future__ import annotations

import hashlib

from django.http import HttpRequest
from django.utils.http import parse_etags

from logs.models import Log
from logs.query import LogQuery


def etag_of_body(body: bytes) -> str:
    """Return the ETag of an answer that is at hand: it stays exactly as long as the answer does."""
    return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'


def etag_of_query(query: LogQuery, media_type: str) -> str:
    """Return the ETag of an answer too long to be at hand: it stays as long as the versions of the user's logs do."""
    versions = list(Log.objects.filter(user_id=query.user_id).order_by("id").values_list("id", "version"))
    return etag_of_body(repr((query.identity, media_type, versions)).encode())


def is_unchanged(request: HttpRequest, etag: str) -> bool:
    """Whether If-None-Match names the ETag, compared weakly."""
    known = parse_etags(request.headers.get("If-None-Match", ""))
    return "*" in known or etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in known]
