"""An answer of any length, from one snapshot of the database: a short one at once, a long one in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

from logs.pagination import Page
from logs.query import LogQuery
from logs.renderers import Layout, render
from logs.snapshot import snapshot

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
