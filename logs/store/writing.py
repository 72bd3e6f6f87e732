"""The statements that write logs and actions, on PostgreSQL and on SQLite."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import islice
from typing import TypeAlias

from django.db import connection

from logs.lib.database import execute_prepared
from logs.models import ActionType
from logs.store import erasures, rollups
from logs.store.distribution import is_distributed
from logs.store.rows import ActionRow

LogKey: TypeAlias = tuple[str, str]
ActionsByLog: TypeAlias = Mapping[LogKey, Sequence[ActionRow]]

# So many actions go in one statement with their logs. COPY takes less of PostgreSQL's time for an action, but the
# upsert, the COPY and their transaction are five trips to the server instead of one: they break even at about 1,500.
MAX_ACTIONS_IN_STATEMENT = 2_000

_COPY_BYTES = 1 << 20
_ROWS_AT_ONCE = 5_000
_COUNTERS = [action_type.counter for action_type in ActionType]
_LOG_COLUMNS = ", ".join(["user_id", "session_id", "first_time", "last_time", *_COUNTERS])
_ACTION_COLUMNS = "user_id, log_id, time, type, properties"


def fits_one_statement(action_count: int) -> bool:
    """Return whether so many actions can be written by write_at_once().

    On a cluster none: the statement's steps hand each other rows by way of every worker, also one that is away.
    """
    return connection.vendor == "postgresql" and action_count <= MAX_ACTIONS_IN_STATEMENT and not is_distributed()


def write_at_once(actions: ActionsByLog) -> None:
    """Write logs with their actions by one statement, which is a transaction of its own outside of any other.

    actions: those of each (user_id, session_id), in the order received.
    Raises ErasedUsersError, and writes nothing, where one of the users is erased.
    """
    users = _users(actions)
    columns = [text_array(column) for column in zip(*(_log_columns(log) for log in actions.items()), strict=True)]
    flat = [(user, session, action) for (user, session), its in actions.items() for action in its]
    parameters = [
        *columns,
        plain_array(erasures.digests(users)),
        plain_array(day.isoformat() for day in _stale_days(actions)),
        text_array([user for user, _, _ in flat]),
        text_array([session for _, session, _ in flat]),
        plain_array(action.time.isoformat() for _, _, action in flat),
        plain_array(action.type for _, _, action in flat),
        text_array([action.properties for _, _, action in flat]),
    ]
    with connection.cursor() as cursor:
        execute_prepared(cursor, _WRITE_AT_ONCE, parameters, first=erasures.GATE)
        while not cursor.rowcount:
            erasures.require_none_erased(users)
            # Who was erased was forgiven just now.
            execute_prepared(cursor, _WRITE_AT_ONCE, parameters, first=erasures.GATE)


def write(actions: ActionsByLog) -> None:
    """Write logs with their actions within the transaction that is open. Argument and error are write_at_once()'s."""
    if fits_one_statement(sum(map(len, actions.values()))):
        write_at_once(actions)
        return
    log_ids = _upsert_logs(actions)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # The cursor's own copy_expert is psycopg2's, whose errors Django does not translate. In large pieces:
            # between two of them it waits for the thread of an import that validates what comes next.
            with connection.wrap_database_errors:
                cursor.copy_expert(_COPY_ACTIONS, _Pieces(_copy_lines(actions, log_ids)), _COPY_BYTES)
        else:
            # SQLite adds no column to a table whose default is the time.
            now = sqlite_time(datetime.now(UTC))
            rows = (
                (user_id, log_ids[user_id, session_id], sqlite_time(time), action_type, properties, now)
                for (user_id, session_id), its in actions.items()
                for time, action_type, properties in its
            )
            # Django keeps every row that it has read of an iterator.
            while some := list(islice(rows, _ROWS_AT_ONCE)):
                cursor.executemany(_INSERT_ACTIONS, some)
        days = [(day,) for day in _stale_days(actions)]
        if days:
            cursor.executemany("INSERT INTO logs_staleday (day) VALUES (%s)", days)


def _users(actions: ActionsByLog) -> set[str]:
    return {user_id for user_id, _ in actions}


def _upsert_logs(actions: ActionsByLog) -> dict[LogKey, int]:
    rows = [_log_columns(log) for log in actions.items()]
    users = _users(actions)
    with connection.cursor() as cursor:
        if is_distributed():
            # Plain rows, each of which goes to the one machine of its user.
            erasures.enter_gate()
            erasures.require_none_erased(users)
            cursor.execute("SELECT nextval('logs_log_id_seq') FROM generate_series(1, %s)", [len(rows)])
            dealt = [[log_id, 1, *row] for (log_id,), row in zip(cursor.fetchall(), rows, strict=True)]
            places = f"({', '.join(['%s'] * len(dealt[0]))})"
            statement = _UPSERT_VALUES.format(rows=", ".join([places] * len(dealt)))
            cursor.execute(statement, [value for row in dealt for value in row])
        elif connection.vendor == "postgresql":
            columns = [text_array(column) for column in zip(*rows, strict=True)]
            parameters = [*columns, plain_array(erasures.digests(users))]
            cursor.execute(_UPSERT_POSTGRESQL, parameters)
            while not cursor.rowcount:
                erasures.require_none_erased(users)
                # Who was erased was forgiven just now.
                cursor.execute(_UPSERT_POSTGRESQL, parameters)
        else:
            erasures.require_none_erased(users)
            cursor.execute(_UPSERT_SQLITE, [json.dumps(rows)])
        # Matched by key: rows need not come back in the order they went in.
        return {(user_id, session_id): log_id for log_id, user_id, session_id in cursor.fetchall()}


def _log_columns(log: tuple[LogKey, Sequence[ActionRow]]) -> tuple[str | int, ...]:
    (user_id, session_id), actions = log
    times, types, _ = zip(*actions, strict=True)
    write_time = datetime.isoformat if connection.vendor == "postgresql" else sqlite_time
    counts = [types.count(action_type.value) for action_type in ActionType]
    return user_id, session_id, write_time(min(times)), write_time(max(times)), *counts


def _stale_days(actions: ActionsByLog) -> Sequence[date]:
    return rollups.days_made_stale(action.time for its in actions.values() for action in its)


def sqlite_time(time: datetime) -> str:
    """Return an instant as Django keeps it in SQLite: in UTC, a fraction only where there is one."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(" ")


def text_array(values: Iterable[str | int]) -> str:
    """Return the literal of an array: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO"""
    escaped = [str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return '{"' + '","'.join(escaped) + '"}'


def plain_array(values: Iterable[str]) -> str:
    """Return the literal of an array of values that need no quotes."""
    return "{" + ",".join(values) + "}"


def _copy_lines(actions: ActionsByLog, log_ids: Mapping[LogKey, int]) -> Iterator[str]:
    """Yield the lines of COPY's text format: https://www.postgresql.org/docs/current/sql-copy.html."""
    for (user_id, session_id), its in actions.items():
        log = f"{user_id.translate(_COPY_ESCAPES)}\t{log_ids[user_id, session_id]}"
        for time, action_type, properties in its:
            # JSON text has no control characters, but its own backslashes.
            text = properties.replace("\\", "\\\\")
            yield f"{log}\t{time.isoformat()}\t{action_type}\t{text}\n"


class _Pieces:
    """A file of lines that are made while it is read, so that a large batch is not held once more as text."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def read(self, size: int) -> bytes:
        """Return the next lines: at least one, and about `size` bytes at the most; none at the end."""
        piece: list[str] = []
        length = 0
        for line in self._lines:
            piece.append(line)
            length += len(line)
            if length > size // 4:
                break
        return "".join(piece).encode()


_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_COPY_ACTIONS = f"COPY logs_action ({_ACTION_COLUMNS}) FROM STDIN"
_INSERT_ACTIONS = f"INSERT INTO logs_action ({_ACTION_COLUMNS}, received_at) VALUES (%s, %s, %s, %s, %s, %s)"

_ON_CONFLICT = f"""
    ON CONFLICT (user_id, session_id) DO UPDATE SET
        version = logs_log.version + 1,
        first_time = {{least}}(logs_log.first_time, excluded.first_time),
        last_time = {{greatest}}(logs_log.last_time, excluded.last_time),
        {", ".join(f"{name} = logs_log.{name} + excluded.{name}" for name in _COUNTERS)}
    RETURNING id, user_id, session_id
"""
_LOG_ARRAYS = ", ".join(["%s::text[]"] * 2 + ["%s::timestamptz[]"] * 2 + ["%s::bigint[]"] * len(_COUNTERS))
# One user who is erased, and nothing goes any further.
_INCOMING = f"""
    incoming AS MATERIALIZED (
        SELECT nextval('logs_log_id_seq') AS id, given.* FROM unnest({_LOG_ARRAYS}) AS given ({_LOG_COLUMNS})
        WHERE NOT EXISTS (SELECT FROM logs_eraseduser WHERE digest = ANY (%s::text[]))
    )
"""
# Ids are dealt in the order of the batch, which is the order of the answer; rows are locked in the order of the key,
# the same in every transaction, so that two batches can't wait for each other.
_UPSERT = f"""
    INSERT INTO logs_log (id, version, {_LOG_COLUMNS})
    SELECT id, 1, {_LOG_COLUMNS} FROM incoming ORDER BY user_id, session_id
    {_ON_CONFLICT.format(least="LEAST", greatest="GREATEST")}
"""
_UPSERT_POSTGRESQL = f"{erasures.GATE}; WITH {_INCOMING} {_UPSERT}"
_UPSERT_VALUES = f"""
    INSERT INTO logs_log (id, version, {_LOG_COLUMNS}) VALUES {{rows}}
    {_ON_CONFLICT.format(least="LEAST", greatest="GREATEST")}
"""
_WRITE_AT_ONCE = f"""
    WITH {_INCOMING},
    logs AS ({_UPSERT}),
    stale AS (INSERT INTO logs_staleday (day) SELECT unnest(%s::date[]) WHERE EXISTS (SELECT FROM logs))
    INSERT INTO logs_action ({_ACTION_COLUMNS})
    SELECT logs.user_id, logs.id, given.time, given.type, given.properties
    FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::json[])
        WITH ORDINALITY AS given (user_id, session_id, time, type, properties, place)
    JOIN logs USING (user_id, session_id)
    ORDER BY place
"""
_UPSERT_SQLITE = f"""
    INSERT INTO logs_log (version, {_LOG_COLUMNS})
    SELECT 1, {", ".join(f"json_extract(value, '$[{index}]')" for index in range(4 + len(_COUNTERS)))}
    FROM json_each(%s) WHERE true
    {_ON_CONFLICT.format(least="MIN", greatest="MAX")}
"""
