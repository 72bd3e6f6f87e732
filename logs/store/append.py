"""The only code that writes logs and actions."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, TypedDict

from django.db import InterfaceError, OperationalError, connection, transaction

from logs.lib import metrics
from logs.lib.database import is_broken_connection
from logs.lib.errors import ErrorCode, LogStoreError
from logs.lib.transactions import limit_transaction, retried
from logs.models import ActionType
from logs.store import rollups


class ActionRow(NamedTuple):
    """A validated action; time is in UTC, properties is JSON text."""

    time: datetime
    type: str
    properties: str


class LogRow(TypedDict):
    """A validated log, its actions in the order received."""

    user_id: str
    session_id: str
    actions: list[ActionRow]


@dataclass(frozen=True)
class Receipt:
    """How many actions a batch stored, and how many it did not because they came before under the same key."""

    stored: int = 0
    duplicates: int = 0


UNKNOWN_OUTCOME = (
    "The database went away while the batch was committed, so that it may be stored or not. "
    "Sent again with the same Idempotency-Key it is stored once."
)


class Token(Protocol):
    """What tells a batch that came before: an idempotency key, or a chunk of an import."""

    def remember(self, action_count: int) -> int | None:
        """Remember a new batch within its transaction and return None; otherwise return how many actions it stored."""


LogKey = tuple[str, str]
ActionsByLog = dict[LogKey, list[ActionRow]]


def append(batch: Sequence[LogRow], token: Token | None = None) -> Receipt:
    """Store a validated batch in one transaction and return how many actions that stored.

    batch: logs in the order received; several may name the same (user_id, session_id).
    token: what the batch is known by; a batch that came before under it is not stored again.
    A deadlock or serialization failure is tried again a few times. Raises what the token raises (LogStoreError for an
    idempotency key that came with another body); LogStoreError when the connection broke during the commit, so that
    nobody knows whether the batch is stored; and django.db.Error when the database is away: then nothing is stored.
    """
    merged = _merge(batch)
    count = sum(len(row["actions"]) for row in batch)
    receipt = retried(lambda: _append_once(merged, count, token))
    metrics.ACTIONS_STORED.inc(receipt.stored)
    return receipt


def _append_once(merged: ActionsByLog, count: int, token: Token | None) -> Receipt:
    is_committing = False
    try:
        with transaction.atomic(durable=True):
            limit_transaction()
            if token is not None:
                duplicates = token.remember(count)
                if duplicates is not None:
                    return Receipt(duplicates=duplicates)
            _insert_actions(merged, _upsert_logs(merged))
            rollups.mark_stale(action.time for actions in merged.values() for action in actions)
            is_committing = True
    except (OperationalError, InterfaceError) as error:
        if is_committing and is_broken_connection(error):
            raise LogStoreError(ErrorCode.STORE_UNAVAILABLE, UNKNOWN_OUTCOME) from error
        raise
    return Receipt(stored=count)


def _merge(batch: Sequence[LogRow]) -> ActionsByLog:
    merged: ActionsByLog = {}
    for row in batch:
        merged.setdefault((row["user_id"], row["session_id"]), []).extend(row["actions"])
    return merged


def _upsert_logs(merged: ActionsByLog) -> dict[LogKey, int]:
    columns = list(zip(*(_log_columns(key, actions) for key, actions in merged.items()), strict=True))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_UPSERT_POSTGRESQL, [list(column) for column in columns])
        else:
            cursor.execute(_UPSERT_SQLITE, [json.dumps(list(zip(*columns, strict=True)))])
        # Matched by key: rows need not come back in the order they went in.
        return {(user_id, session_id): log_id for log_id, user_id, session_id in cursor.fetchall()}


def _log_columns(key: LogKey, actions: Sequence[ActionRow]) -> tuple[str, str, object, object, int, int, int]:
    times, types, _ = zip(*actions, strict=True)
    return (
        *key,
        connection.ops.adapt_datetimefield_value(min(times)),
        connection.ops.adapt_datetimefield_value(max(times)),
        types.count(ActionType.CLICK),
        types.count(ActionType.VIEW),
        types.count(ActionType.NAVIGATE),
    )


def _insert_actions(merged: ActionsByLog, log_ids: dict[LogKey, int]) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            lines = "".join(_copy_lines(merged, log_ids))
            # The cursor's own copy_expert is psycopg2's, whose errors Django does not translate. In large pieces:
            # between two of them it waits for the thread of an import that validates what comes next.
            with connection.wrap_database_errors:
                cursor.copy_expert(_COPY_ACTIONS, io.BytesIO(lines.encode()), size=1 << 20)
        else:
            adapt = connection.ops.adapt_datetimefield_value
            cursor.executemany(
                _INSERT_ACTIONS,
                (
                    (user_id, log_ids[user_id, session_id], adapt(time), action_type, properties)
                    for (user_id, session_id), actions in merged.items()
                    for time, action_type, properties in actions
                ),
            )


def _copy_lines(merged: ActionsByLog, log_ids: dict[LogKey, int]) -> Iterator[str]:
    """Yield the lines of COPY's text format: https://www.postgresql.org/docs/current/sql-copy.html."""
    for (user_id, session_id), actions in merged.items():
        log = f"{user_id.translate(_COPY_ESCAPES)}\t{log_ids[user_id, session_id]}"
        for time, action_type, properties in actions:
            # JSON text has no control characters, but its own backslashes.
            text = properties.replace("\\", "\\\\")
            yield f"{log}\t{time.isoformat()}\t{action_type}\t{text}\n"


_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_COPY_ACTIONS = "COPY logs_action (user_id, log_id, time, type, properties) FROM STDIN"
_INSERT_ACTIONS = "INSERT INTO logs_action (user_id, log_id, time, type, properties) VALUES (%s, %s, %s, %s, %s)"

_LOG_COLUMNS = "user_id, session_id, first_time, last_time, click_count, view_count, navigate_count"
_ON_CONFLICT = """
    ON CONFLICT (user_id, session_id) DO UPDATE SET
        version = logs_log.version + 1,
        first_time = {least}(logs_log.first_time, excluded.first_time),
        last_time = {greatest}(logs_log.last_time, excluded.last_time),
        click_count = logs_log.click_count + excluded.click_count,
        view_count = logs_log.view_count + excluded.view_count,
        navigate_count = logs_log.navigate_count + excluded.navigate_count
    RETURNING id, user_id, session_id
"""
# Ids are dealt in the order of the batch, which is the order of the answer; rows are locked in the order of the key,
# the same in every transaction, so that two batches can't wait for each other.
_UPSERT_POSTGRESQL = f"""
    WITH incoming AS MATERIALIZED (
        SELECT nextval(pg_get_serial_sequence('logs_log', 'id')) AS id, given.*
        FROM unnest(
            %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::bigint[]
        ) AS given ({_LOG_COLUMNS})
    )
    INSERT INTO logs_log (id, version, {_LOG_COLUMNS})
    SELECT id, 1, {_LOG_COLUMNS} FROM incoming ORDER BY user_id, session_id
    {_ON_CONFLICT.format(least="LEAST", greatest="GREATEST")}
"""
_UPSERT_SQLITE = f"""
    INSERT INTO logs_log (version, {_LOG_COLUMNS})
    SELECT 1, {", ".join(f"json_extract(value, '$[{index}]')" for index in range(7))} FROM json_each(%s) WHERE true
    {_ON_CONFLICT.format(least="MIN", greatest="MAX")}
"""
