"""Rows named by their pair of (user_id, id), handed to a statement as one parameter, on every database alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from django.db import connection

# The planner takes it for a hundred rows, and so looks each of them up by an index.
_GIVEN_POSTGRESQL = (
    "json_to_recordset(%s) AS given (user_id text, id bigint, click bigint, view bigint, navigate bigint)"
)
_GIVEN_SQLITE = """
    (SELECT json_extract(value, '$.user_id') AS user_id, json_extract(value, '$.id') AS id,
        json_extract(value, '$.click') AS click, json_extract(value, '$.view') AS view,
        json_extract(value, '$.navigate') AS navigate FROM json_each(%s)) AS given
"""


def with_given(statement: str) -> str:
    """Return a statement whose `{given}` is the table of the rows and whose `{greatest}` the database's function."""
    is_postgresql = connection.vendor == "postgresql"
    return statement.format(
        given=_GIVEN_POSTGRESQL if is_postgresql else _GIVEN_SQLITE, greatest="GREATEST" if is_postgresql else "MAX"
    )


def given(rows: Iterable[Mapping[str, str | int]]) -> str:
    """Return the parameter that `{given}` takes.

    rows: user_id and id of each, and its counts of click, view and navigate where the statement asks for them.
    """
    return json.dumps(list(rows))
