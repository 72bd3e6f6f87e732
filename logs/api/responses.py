"""An answer of any length, from one snapshot of the database: a short one at once, a long one in chunks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, closing

from django.http import HttpRequest
from django.utils.http import parse_etags

from logs.api.pagination import Page
from logs.api.query import LogQuery
from logs.api.renderers import Layout, render
from logs.lib.transactions import snapshot
from logs.models import Log

ROWS_AT_ONCE = 2000


def render_if_short(query: LogQuery, layout: Layout) -> bytes | None:
    """Return the answer to a query as a whole, None if it comes in pages or has more than ROWS_AT_ONCE actions."""
    records = query.short_records(most=ROWS_AT_ONCE)
    return None if records is None else b"".join(render(records, layout))


class LogStream:
    """The bytes of an answer to a query, read while they are iterated; their end or close() ends the snapshot.

    The first chunk is read at once: a database that is away raises here, before anything is sent.
    """

    page: Page

    def __init__(self, query: LogQuery, layout: Layout) -> None:
        with ExitStack() as stack:
            stack.enter_context(snapshot())
            self.page = query.page()
            records = query.records(self.page).iterator(chunk_size=ROWS_AT_ONCE)
            self._chunks = stack.enter_context(closing(render(records, layout)))
            self._first = next(self._chunks)
            self.close = stack.pop_all().close

    def __iter__(self) -> Iterator[bytes]:
        # With the last row, not when the client has taken it.
        with closing(self):
            yield self._first
            yield from self._chunks


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
