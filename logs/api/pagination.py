"""Pages over logs: a page is a run of logs by id, and a cursor is the place after one log, signed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.core import signing
from django.db.models import Q, QuerySet

from logs.models import Log

MAX_LIMIT = 10_000

_signer = signing.Signer(salt="logs.cursor")


class Order(StrEnum):
    """The order of an answer's logs, by when they were first stored."""

    OLDEST = "oldest"
    NEWEST = "newest"


@dataclass(frozen=True)
class IdRange:
    """Log ids from first to last, both inclusive; None is no bound."""

    first: int | None = None
    last: int | None = None

    def on(self, path: str) -> Q:
        bounds = {f"{path}__gte": self.first, f"{path}__lte": self.last}
        return Q(**{lookup: bound for lookup, bound in bounds.items() if bound is not None})


@dataclass(frozen=True)
class Cursor:
    """The place after one log in one order."""

    order: Order
    log_id: int

    @property
    def rest(self) -> IdRange:
        return IdRange(last=self.log_id - 1) if self.order is Order.NEWEST else IdRange(first=self.log_id + 1)

    def encode(self) -> str:
        return _signer.sign_object([self.order, self.log_id])

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Return the cursor that encode() wrote. Raises ValueError for any other text."""
        try:
            order, log_id = _signer.unsign_object(text)
        except signing.BadSignature:
            raise ValueError("not a cursor of this store") from None
        return cls(Order(order), log_id)


@dataclass(frozen=True)
class Page:
    """A run of logs, and the cursor of the page after it while there is one."""

    ids: IdRange
    next_cursor: Cursor | None = None


def find_page(logs: QuerySet[Log], order: Order, limit: int) -> Page:
    """Return the first `limit` logs as a page. logs: ordered by id, newest first for Order.NEWEST."""
    ids = list(logs.values_list("id", flat=True)[: limit + 1])
    on_page = ids[:limit]
    if not on_page:
        return Page(IdRange(first=1, last=0))
    next_cursor = Cursor(order, on_page[-1]) if len(ids) > limit else None
    return Page(IdRange(first=min(on_page), last=max(on_page)), next_cursor)
