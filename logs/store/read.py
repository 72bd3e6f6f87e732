"""Actions in the order of an answer: pages of logs, and short answers by SQL that was compiled once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeAlias, TypeVar, cast

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from logs.lib.replicas import reading_connection
from logs.models import ActionQuerySet, Log

ROWS_AT_ONCE = 2000

Parameter: TypeAlias = str | int | datetime
Row = TypeVar("Row", bound=tuple[Any, ...])

_sql_by_shape: dict[Hashable, str] = {}


@dataclass(frozen=True)
class IdRange:
    """Log ids from first to last, both inclusive; None is no bound."""

    first: int | None = None
    last: int | None = None

    def on(self, path: str) -> Q:
        """Return the condition that a field, named by its path, is within the range."""
        bounds = {f"{path}__gte": self.first, f"{path}__lte": self.last}
        return Q(**{lookup: bound for lookup, bound in bounds.items() if bound is not None})


@dataclass(frozen=True)
class LogPage:
    """A run of logs.

    ids: from the lowest to the highest of its logs.
    versions: the id and version of each.
    last_id: the id of the last log, where others come after it; otherwise None.
    """

    ids: IdRange
    versions: Sequence[tuple[int, int]]
    last_id: int | None


def find_page(actions: ActionQuerySet, logs: QuerySet[Log], newest_first: bool, limit: int | None) -> LogPage:
    """Return the first `limit` of some logs that have one of some actions; without a limit all of them."""
    matching = actions.filter(user_id=OuterRef("user_id"), log_id=OuterRef("id"))
    ordered = logs.filter(Exists(matching)).order_by("-id" if newest_first else "id").values_list("id", "version")
    found = list(ordered if limit is None else ordered[: limit + 1])
    shown = found if limit is None else found[:limit]
    if not shown:
        return LogPage(IdRange(first=1, last=0), [], None)
    ends = shown[0][0], shown[-1][0]
    return LogPage(IdRange(min(ends), max(ends)), shown, shown[-1][0] if len(found) > len(shown) else None)


def stream(rows: QuerySet[Any, Row]) -> Generator[Row]:
    """Yield the rows of a queryset of any length within a transaction, ROWS_AT_ONCE in memory.

    While these are worked on, PostgreSQL is asked for the next ones already, in a thread: it and Python then share two
    processors instead of taking turns. Close the generator before the transaction ends.
    """
    iterator = rows.iterator(chunk_size=ROWS_AT_ONCE)
    if connection.vendor != "postgresql":
        yield from iterator
        return

    def take() -> list[Row]:
        return list(islice(iterator, ROWS_AT_ONCE))

    chunk = take()
    if len(chunk) < ROWS_AT_ONCE:
        yield from chunk
        return
    with ThreadPoolExecutor(max_workers=1) as reader:
        while chunk:
            ahead = reader.submit(take)
            yield from chunk
            chunk = ahead.result()


def fetch(build: Callable[[], QuerySet[Any, Row]], shape: Hashable, parameters: Sequence[Parameter]) -> list[Row]:
    """Return the rows of a queryset, by the SQL that was compiled for the first one of its shape.

    build: makes the queryset, and is called only where its SQL is not known: that takes the ORM longer than a short
    answer takes PostgreSQL.
    shape: the same for two querysets only if they differ in nothing but their parameters.
    parameters: in the order in which the SQL takes them.
    """
    if connection.vendor != "postgresql":
        # Its values need the ORM's conversions, and there is no server to wait for.
        return list(build())
    sql = _sql_by_shape.get(shape)
    if sql is None:
        rows = build()
        sql, compiled = rows.query.sql_with_params()
        if list(compiled) != list(parameters):
            # The ORM puts them in another order, say since an upgrade: it is asked each time.
            return list(rows)
        _sql_by_shape[shape] = sql
    with reading_connection().cursor() as cursor:
        cursor.execute(sql, parameters)
        return cast(list[Row], cursor.fetchall())
