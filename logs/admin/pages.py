"""Keyset pagination: the rows after or before one row, as fast at the end of a large table as at its beginning."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection, models
from django.db.models import Max, Q, QuerySet
from django.http import QueryDict

# No page searches more rows than this for those that match a filter that no index serves.
MAX_ROWS_SEARCHED = 50_000


@dataclass
class Page:
    """Rows in order, and the query strings of the pages around them, "" where there are none.

    rows_searched: how many rows were searched, where that many did not fill the page; otherwise 0.
    searched_to: the time of the last one of them.
    """

    rows: list[Any]
    first: str = ""
    previous: str = ""
    next: str = ""
    rows_searched: int = 0
    searched_to: datetime | None = None


@dataclass(frozen=True)
class Pager:
    """Cuts querysets into pages.

    keys: the fields of the order, unique together, `-` for falling ones.
    time: the one of them that says how far a search came.
    size: rows a page.
    """

    keys: Sequence[str]
    time: str = "time"
    size: int = 100

    @property
    def names(self) -> list[str]:
        return [key.removeprefix("-") for key in self.keys]

    def page(self, rows: QuerySet[Any], query: QueryDict, sift: Q | None = None) -> Page:
        """Return the page that a query string asks for with `after` or `before`; the first one when it has neither.

        rows: narrowed by what an index serves.
        sift: the conditions that none serves; then a page searches at most MAX_ROWS_SEARCHED rows.
        """
        after, before = self._decode(query.get("after")), self._decode(query.get("before"))
        backward = before is not None and after is None
        keys = [_flipped(key) for key in self.keys] if backward else list(self.keys)
        position = before if backward else after
        ordered = rows.order_by(*keys)
        if position is not None:
            ordered = ordered.filter(_beyond(keys, self.names, position))
        last_searched = None
        if sift is not None:
            edge = list(ordered.values_list(*self.names)[MAX_ROWS_SEARCHED - 1 : MAX_ROWS_SEARCHED + 1])
            if len(edge) == 2:
                last_searched, limit = edge
                ordered = ordered.filter(_beyond([_flipped(key) for key in keys], self.names, limit))
            ordered = ordered.filter(sift)
        found = list(ordered[: self.size + 1])
        shown = found[: self.size]
        page = Page(shown[::-1] if backward else shown)
        ahead, behind = ("before", "after") if backward else ("after", "before")
        links = {}
        if len(found) > self.size:
            links[ahead] = _query_string(query, **{ahead: self.encode(self.position(shown[-1]))})
        elif last_searched is not None:
            page.rows_searched, page.searched_to = MAX_ROWS_SEARCHED, last_searched[self.names.index(self.time)]
            links[ahead] = _query_string(query, **{ahead: self.encode(last_searched)})
        if position is not None:
            near = self.position(shown[0]) if shown else position
            links[behind] = _query_string(query, **{behind: self.encode(near)})
            page.first = _query_string(query)
        page.next, page.previous = links.get("after", ""), links.get("before", "")
        return page

    def position(self, row: models.Model) -> Sequence[Any]:
        """Return where a row stands in the order: its values of the keys."""
        return [getattr(row, name) for name in self.names]

    def encode(self, position: Sequence[Any]) -> str:
        """Return a position as `after` and `before` take it."""
        values = [value.isoformat() if isinstance(value, datetime) else value for value in position]
        return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")

    def _decode(self, text: str | None) -> list[Any] | None:
        # No secret, and so not signed: an altered one is another place in the same list, or its first page.
        try:
            values = json.loads(base64.urlsafe_b64decode((text or "") + "==="))
            if len(values) != len(self.names):
                return None
            return [_read(name, value) for name, value in zip(self.names, values, strict=True)]
        except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
            return None


def about_how_many(model: type[models.Model]) -> int | None:
    """Return about how many rows a table has, without counting them; None when nothing is known yet.

    PostgreSQL: what the last ANALYZE found, -1 before it; https://www.postgresql.org/docs/current/catalog-pg-class.html.
    SQLite: the highest id, more than there are where rows were deleted.
    """
    if connection.vendor != "postgresql":
        highest: int | None = model._default_manager.aggregate(highest=Max("id"))["highest"]
        return highest
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [model._meta.db_table])
        estimate = cursor.fetchone()[0]
    return int(float(f"{estimate:.2e}")) if estimate > 0 else None


def _read(name: str, value: object) -> Any:
    if name.endswith("time"):
        moment = datetime.fromisoformat(str(value))
        if moment.tzinfo is None:
            raise ValueError("a time without its offset")
        return moment.astimezone(UTC)
    if type(value) is not int or abs(value) >= 2**63:
        raise ValueError("not an id")
    return value


def _beyond(keys: Sequence[str], names: Sequence[str], position: Sequence[Any]) -> Q:
    """Return (a, b) > (x, y), spelled so that an index on a serves it: a >= x AND (a > x OR b > y)."""
    name, value = names[0], position[0]
    lookup = "lt" if keys[0].startswith("-") else "gt"
    if len(keys) == 1:
        return Q(**{f"{name}__{lookup}": value})
    rest = _beyond(keys[1:], names[1:], position[1:])
    return Q(**{f"{name}__{lookup}e": value}) & (Q(**{f"{name}__{lookup}": value}) | rest)


def _flipped(key: str) -> str:
    return key.removeprefix("-") if key.startswith("-") else f"-{key}"


def _query_string(query: QueryDict, **changes: str) -> str:
    kept = query.copy()
    for name in ("after", "before"):
        kept.pop(name, None)
    kept.update(changes)
    return f"?{kept.urlencode()}"
