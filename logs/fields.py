"""A model field for JSON kept as it was written, and the type of one of its members inside the database."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Cast
from django.db.models.sql.compiler import SQLCompiler

# What PostgreSQL and SQLite call the two types that the store asks about.
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


class JSONMemberType(models.Func):
    """What the database calls the JSON type of a member, "" where there is no such member."""

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
