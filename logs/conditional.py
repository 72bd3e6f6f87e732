"""ETags of a user's answers, weak ones, since the same answer may come gzipped.

https://www.rfc-editor.org/rfc/rfc9110#name-conditional-requests
"""

from __future__ import annotations

import hashlib

from django.http import HttpRequest
from django.utils.http import parse_etags

from logs.models import Log
from logs.query import LogQuery


def etag_of(query: LogQuery, media_type: str, body: bytes | None) -> str:
    """Return the ETag of an answer to a user's query.

    body: a short answer, whose ETag stays exactly as long as the answer does; None for one too long to be at hand,
    whose ETag stays as long as the versions of the user's logs do.
    """
    if body is None:
        versions = Log.objects.filter(user_id=query.user_id).order_by("id").values_list("id", "version")
        body = repr(list(versions)).encode()
    digest = hashlib.sha256(repr((query.identity, media_type)).encode() + body).hexdigest()
    return f'W/"{digest[:32]}"'


def is_unchanged(request: HttpRequest, etag: str) -> bool:
    """Whether If-None-Match names the ETag, compared weakly."""
    known = parse_etags(request.headers.get("If-None-Match", ""))
    return "*" in known or etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in known]
