"""An answer of any length, from one snapshot of the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

from logs.pagination import Page
from logs.query import LogQuery
from logs.renderers import Layout, render
from logs.snapshot import snapshot

ROWS_AT_ONCE = 2000


class LogStream:
    """The bytes of an answer to a query, read while they are iterated; their end or close() ends the snapshot.

    The first chunk is read at once: a database that is away raises here, before anything is sent.
    """

    page: Page

    def __init__(self, query: LogQuery, layout: Layout) -> None:
        with ExitStack() as stack:
            stack.enter_context(snapshot())
            self.page = query.page()
            records = query.actions(self.page).records().iterator(chunk_size=ROWS_AT_ONCE)
            self._chunks = stack.enter_context(closing(render(records, layout)))
            self._first = next(self._chunks)
            self.close = stack.pop_all().close

    def __iter__(self) -> Iterator[bytes]:
        # With the last row, not when the client has taken it.
        with closing(self):
            yield self._first
            yield from self._chunks
