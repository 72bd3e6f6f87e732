"""A query whose SQL is compiled once: for a short answer that takes the ORM longer than the answer takes PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from django.db import connection
from django.db.models import QuerySet

from logs.models import Action, ActionRecord

_sql_by_shape: dict[Hashable, str] = {}


def fetch_records(
    build: Callable[[], QuerySet[Action, ActionRecord]], shape: Hashable, parameters: Sequence[object]
) -> list[ActionRecord]:
    """Return the records of a queryset, by the SQL that was compiled for the first one of its shape.

    build: makes the queryset, and is called only where its SQL is not known.
    shape: the same for two querysets only if they differ in nothing but their parameters.
    parameters: in the order in which the SQL takes them.
    """
    if connection.vendor != "postgresql":
        # Its values need the ORM's conversions, and there is no server to wait for.
        return list(build())
    sql = _sql_by_shape.get(shape)
    if sql is None:
        sql, compiled = build().query.sql_with_params()
        if list(compiled) != list(parameters):
            raise AssertionError("the parameters are not in the order in which the SQL takes them")
        _sql_by_shape[shape] = sql
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()
