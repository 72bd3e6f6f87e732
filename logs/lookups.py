"""A lookup for the beginning of a text that an index answers on PostgreSQL and SQLite alike."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.lookups import StartsWith
from django.db.models.sql.compiler import SQLCompiler

_LAST = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


@models.CharField.register_lookup
class BeginsWith(StartsWith):
    """`field__begins_with="abc"`: as startswith; on SQLite, whose LIKE ignores case and indexes, a range."""

    lookup_name = "begins_with"

    def get_rhs_op(self, connection: BaseDatabaseWrapper, rhs: str) -> str:
        return connection.operators["startswith"] % rhs

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        column, parameters = self.process_lhs(compiler, connection)
        end = first_after(self.rhs)
        if end is None:
            return f"{column} >= %s", [*parameters, self.rhs]
        return f"({column} >= %s AND {column} < %s)", [*parameters, self.rhs, *parameters, end]


def first_after(prefix: str) -> str | None:
    """Return the least text above all that begin with a prefix, in the order of code points; None for none."""
    stem = prefix.rstrip(chr(_LAST))
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)
