"""Answers of any length: a short one at once, a long one streamed from one snapshot; ETags of a user's answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags
from rest_framework.request import Request

from logs.api.pagination import Cursor
from logs.api.query import LogQuery
from logs.api.renderers import JSONRenderer, render
from logs.lib.transactions import snapshot
from logs.store.read import ROWS_AT_ONCE, stream


def logs_response(request: Request, query: LogQuery, renderer: JSONRenderer) -> HttpResponseBase:
    """Answer a query: 304 where the client has the answer already.

    Raises django.db.Error when the database is away: nothing is sent before the first rows are read.
    """
    headers = {"Cache-Control": "private, no-cache"}
    records = query.short_records(ROWS_AT_ONCE) if query.user_id is not None else None
    if records is not None:
        body = b"".join(render(records, renderer.layout))
        headers["ETag"] = _etag(query, renderer, body)
        if _is_known(request, headers["ETag"]):
            return HttpResponseNotModified(headers=headers)
        return HttpResponse(body, content_type=renderer.media_type, headers=headers)
    answer = SnapshotStream()
    try:
        # All that matches is read without a look ahead, but for one user's, whose versions the ETag is made of.
        page = query.page() if query.limit is not None or query.user_id is not None else None
        if query.user_id is not None:
            headers["ETag"] = _etag(query, renderer, repr(page).encode())
            if _is_known(request, headers["ETag"]):
                answer.close()
                return HttpResponseNotModified(headers=headers)
        if page is not None and page.last_id is not None:
            cursor = Cursor(query.order, page.last_id)
            headers["Link"] = f'<{_with_parameter(request, "cursor", cursor.encode())}>; rel="next"'
        answer.start(query.actions(page).wire_records(), partial(render, layout=renderer.layout))
    except BaseException:
        answer.close()
        raise
    return StreamingHttpResponse(answer, content_type=renderer.media_type, headers=headers)


class SnapshotStream:
    """Bytes made of rows of one snapshot, read while they are iterated; their end or close() ends the snapshot.

    Whatever is read between its making and start() is of the same snapshot.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._stack.enter_context(snapshot())

    def start(self, records: QuerySet[Any, Any], render: Callable[[Iterable[Any]], Generator[bytes]]) -> None:
        """Read the first chunk of what a renderer makes of a queryset's rows.

        Raises django.db.Error when the database is away: then nothing was sent yet, and the snapshot is ended.
        """
        try:
            rows = self._stack.enter_context(closing(stream(records)))
            self._chunks = self._stack.enter_context(closing(render(rows)))
            self._first = next(self._chunks)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[bytes]:
        # With the last row, not when the client has taken it.
        with self._stack:
            yield self._first
            yield from self._chunks


def wants_current(request: HttpRequest | Request) -> bool:
    """Return whether the caller must see all that is stored by now, its own writes among it.

    https://www.rfc-editor.org/rfc/rfc9111#name-no-cache
    """
    directives = request.headers.get("Cache-Control", "").lower().split(",")
    return "no-cache" in map(str.strip, directives)


def without_body(response: HttpResponseBase) -> HttpResponseBase:
    """Return the answer to HEAD from that to GET."""
    if not isinstance(response, StreamingHttpResponse):
        return StreamingHttpResponse((), status=response.status_code, headers=response.headers)
    # The snapshot is closed with the response, which alone may say that the request has ended.
    response.streaming_content = ()
    return response


def _etag(query: LogQuery, renderer: JSONRenderer, content: bytes) -> str:
    """Return a weak ETag, since the same answer may come gzipped.

    content: what an answer is the same with: its bytes, or the versions of its logs where it is too long to be at hand.
    https://www.rfc-editor.org/rfc/rfc9110#name-conditional-requests
    """
    digest = hashlib.sha256(repr((query.identity, renderer.media_type)).encode() + content).hexdigest()
    return f'W/"{digest[:32]}"'


def _is_known(request: HttpRequest | Request, etag: str) -> bool:
    """Return whether If-None-Match names the ETag, compared weakly."""
    given = request.headers.get("If-None-Match")
    if given is None:
        return False
    known = parse_etags(given)
    return "*" in known or etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in known]


def _with_parameter(request: Request, name: str, value: str) -> str:
    parameters = request.query_params.copy()
    parameters[name] = value
    # A cursor stands in it as it is, colon and all: some cut it out, as the links of the OpenAPI document do.
    return request.build_absolute_uri(f"{request.path}?{parameters.urlencode(safe=':')}")
