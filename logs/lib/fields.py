"""Fields, functions and lookups for models: JSON kept as it was written, JSON of the wire, texts by their beginning."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Cast
from django.db.models.lookups import StartsWith
from django.db.models.sql.compiler import SQLCompiler

# The names that PostgreSQL and SQLite have for the two types that constraints check.
JSON_NUMBER = ("number", "integer", "real")
JSON_STRING = ("string", "text")


class JSONTextField(models.JSONField):
    """A JSONField of the type `json` on PostgreSQL, which keeps the text.

    `jsonb` would reorder members, drop the difference between 1e22 and 10000000000000000000000, and write 1e9999 out
    in full. https://www.postgresql.org/docs/current/datatype-json.html
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        return "json" if connection.vendor == "postgresql" else super().db_type(connection)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        # psycopg2 decodes the type json by itself.
        return super().from_db_value(value, expression, connection) if isinstance(value, str) else value


class JSONText(Cast):
    """The text of a JSONTextField, not decoded."""

    def __init__(self, expression: str) -> None:
        super().__init__(expression, models.TextField())


class WireAction(models.Func):
    """The JSON text of an action of (time, type, properties), its time as logs.lib.times writes it."""

    output_field = models.TextField()
    arity = 3

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        time, action_type, properties = self._columns(compiler)
        local = f"({time} AT TIME ZONE 'UTC' - interval '6 hours')"
        is_whole = f"{time} = date_trunc('second', {time})"
        clock = (
            f"CASE WHEN {is_whole} THEN to_char({local}, 'YYYY-MM-DD\"T\"HH24:MI:SS')"
            f" ELSE to_char({local}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US') END"
        )
        return self._json(clock, action_type, properties), []

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        time, action_type, properties = self._columns(compiler)
        # The fraction apart: SQLite rounds to milliseconds. What Django keeps of it has six digits, as the wire has.
        clock = f"strftime('%%Y-%%m-%%dT%%H:%%M:%%S', substr({time}, 1, 19), '-6 hours') || substr({time}, 20)"
        return self._json(clock, action_type, properties), []

    def _columns(self, compiler: SQLCompiler) -> list[str]:
        return [compiler.compile(expression)[0] for expression in self.get_source_expressions()]

    @staticmethod
    def _json(clock: str, action_type: str, properties: str) -> str:
        # A type is one of three words, and the properties are JSON already: nothing is left to escape.
        return (
            f'\'{{"time":"\' || {clock} || \'-06:00","type":"\' || {action_type} ||'
            f" '\",\"properties\":' || {properties} || '}}'"
        )


class JSONMemberType(models.Func):
    """The database's name for the JSON type of a member, "" where there is no such member."""

    output_field = models.CharField()
    arity = 2

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="COALESCE(json_typeof(%(expressions)s), '')", arg_joiner=" -> "
        )

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="COALESCE(json_type(%(expressions)s), '')", arg_joiner=", '$.' || "
        )


_LAST = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


@models.CharField.register_lookup
class BeginsWith(StartsWith):
    """`field__begins_with="abc"`: as startswith; on SQLite, whose LIKE ignores case and indexes, a range."""

    lookup_name = "begins_with"

    def get_rhs_op(self, connection: BaseDatabaseWrapper, rhs: str) -> str:
        # Each backend has its own; the base class doesn't name them.
        operators: dict[str, str] = getattr(connection, "operators")  # noqa: B009
        return operators["startswith"] % rhs

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
