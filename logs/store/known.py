"""Which actions the store has already, by what they say: so that what is imported twice is stored once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Max

from logs.lib import jsontext
from logs.lib.jsontext import JSONValue
from logs.models import Action
from logs.store import erasures
from logs.store.rows import ActionRow, LogRow
from logs.store.writing import LogKey, plain_array, sqlite_time, text_array

_LOGS_AT_ONCE = 5_000
_ROWS_AT_ONCE = 2_000
_PAGE_BITS = 1 << 16


class KnownActions:
    """The actions that were stored before this was made, each of which stands for one that is equal to it.

    Equal are two actions of the same user, session, time and type whose properties are the same JSON: neither the order
    of members counts nor how a string is spelled, but how a number is, since that is kept.
    """

    def __init__(self) -> None:
        """Raises django.db.Error when the database is away."""
        # Of an import that was killed PostgreSQL may still be storing the last chunk.
        erasures.wait_for_writers()
        self._newest: int = Action.objects.aggregate(newest=Max("id"))["newest"] or 0
        # Those that stand for one already: a bit for each id, so that memory does not grow with what is imported.
        self._taken: dict[int, bytearray] = {}

    def without_known(self, rows: Sequence[LogRow]) -> Sequence[LogRow]:
        """Return the logs with those of their actions that are not stored yet, and none without any."""
        if not self._newest:
            return rows
        actions: dict[LogKey, list[ActionRow]] = {}
        for row in rows:
            actions.setdefault((row["user_id"], row["session_id"]), []).extend(row["actions"])
        wanted: dict[LogKey, _Wanted] = {}
        keys = iter(actions)
        while some := list(islice(keys, _LOGS_AT_ONCE)):
            logs = _find_logs({key: actions[key] for key in some})
            if logs:
                wanted.update(self._take_stored(logs))
        if not wanted:
            return rows
        rest: list[LogRow] = []
        for row in rows:
            its = wanted.get((row["user_id"], row["session_id"]))
            new = row["actions"] if its is None else its.new_among(row["actions"])
            if new:
                rest.append({**row, "actions": new})
        return rest

    def _take_stored(self, logs: Sequence[_StoredLog]) -> dict[LogKey, _Wanted]:
        """Let stored actions of some logs stand for wanted ones that are equal, and return the logs that have any."""
        found: dict[LogKey, _Wanted] = {}
        unlike: list[tuple[_Wanted, int, ActionRow]] = []
        for action_id, place, action in _stored_actions(logs, self._newest):
            if self._is_taken(action_id):
                continue
            log = logs[place]
            wanted = found.get(log.key)
            if wanted is None:
                wanted = found[log.key] = _Wanted(log.actions)
            if wanted.take(action):
                self._mark_taken(action_id)
            else:
                unlike.append((wanted, action_id, action))
        # Only then: of two that say the same, one may be spelled the same, too.
        for wanted, action_id, action in unlike:
            spelled = wanted.spelled(action)
            if spelled is not None and wanted.take(spelled):
                self._mark_taken(action_id)
        return {key: wanted for key, wanted in found.items() if wanted.is_any_known}

    def _is_taken(self, action_id: int) -> bool:
        page, bit = divmod(action_id, _PAGE_BITS)
        return page in self._taken and bool(self._taken[page][bit >> 3] >> (bit & 7) & 1)

    def _mark_taken(self, action_id: int) -> None:
        page, bit = divmod(action_id, _PAGE_BITS)
        self._taken.setdefault(page, bytearray(_PAGE_BITS >> 3))[bit >> 3] |= 1 << (bit & 7)


class _Wanted:
    """The actions of a log that are to be stored, and for how many of each a stored one stands."""

    def __init__(self, actions: Sequence[ActionRow]) -> None:
        self._counts = Counter(actions)
        self._known: Counter[ActionRow] = Counter()
        self._by_signature: dict[tuple[datetime, str, str], list[ActionRow]] = {}

    @property
    def is_any_known(self) -> bool:
        return bool(self._known)

    def take(self, action: ActionRow) -> bool:
        """Let a stored action stand for one that is written the same, and return whether there is one left."""
        if self._counts[action] <= self._known[action]:
            return False
        self._known[action] += 1
        return True

    def spelled(self, stored: ActionRow) -> ActionRow | None:
        """Return one that is left and says the same as a stored one, None where there is none."""
        if not self._by_signature:
            for action in self._counts:
                self._by_signature.setdefault(_signature(action), []).append(action)
        return next(
            (
                action
                for action in self._by_signature.get(_signature(stored), ())
                if self._counts[action] > self._known[action]
                and _meaning(action.properties) == _meaning(stored.properties)
            ),
            None,
        )

    def new_among(self, actions: Sequence[ActionRow]) -> list[ActionRow]:
        """Return those of the actions for which no stored one stands; each one stands for the first of its equals."""
        new = []
        for action in actions:
            if self._known[action]:
                self._known[action] -= 1
            else:
                new.append(action)
        return new


class _StoredLog(NamedTuple):
    key: LogKey
    id: int
    actions: Sequence[ActionRow]

    @property
    def times(self) -> list[datetime]:
        return sorted({action.time for action in self.actions})


def _signature(action: ActionRow) -> tuple[datetime, str, str]:
    """Return what two actions have in common that say the same, and few others: it takes a third of the time."""
    text = action.properties if "\\" not in action.properties else _meaning(action.properties)
    return action.time, action.type, "".join(sorted(text))


def _meaning(properties: str) -> str:
    """Return the one of all spellings of a JSON text whose members are sorted."""
    return jsontext.encode(_sorted(jsontext.decode(properties)))


def _sorted(value: JSONValue) -> JSONValue:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_sorted(element) for element in value]
    return value


def _find_logs(actions: Mapping[LogKey, Sequence[ActionRow]]) -> list[_StoredLog]:
    """Return the stored logs of some keys whose span of time is touched by that of the key's actions."""
    firsts = [min(action.time for action in its) for its in actions.values()]
    lasts = [max(action.time for action in its) for its in actions.values()]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            users, sessions = map(text_array, zip(*actions, strict=True))
            cursor.execute(_LOGS_POSTGRESQL, [users, sessions, _time_array(firsts), _time_array(lasts)])
        else:
            spans = zip(map(sqlite_time, firsts), map(sqlite_time, lasts), strict=True)
            cursor.execute(
                _LOGS_SQLITE, [json.dumps([(*key, *span) for key, span in zip(actions, spans, strict=True)])]
            )
        found = {(user_id, session_id): log_id for user_id, session_id, log_id in cursor.fetchall()}
    return [_StoredLog(key, log_id, actions[key]) for key, log_id in found.items()]


def _stored_actions(logs: Sequence[_StoredLog], newest: int) -> Iterator[tuple[int, int, ActionRow]]:
    """Yield the stored actions at the times of the wanted ones: the id, the log's place, and what it says."""
    wanted = [(place, time) for place, log in enumerate(logs) for time in log.times]
    if connection.vendor == "postgresql":
        parameters: list[str | int] = [
            text_array(logs[place].key[0] for place, _ in wanted),
            plain_array(str(logs[place].id) for place, _ in wanted),
            plain_array(str(place) for place, _ in wanted),
            _time_array(time for _, time in wanted),
            newest,
        ]
        with transaction.atomic(), connection.chunked_cursor() as cursor:
            cursor.execute(_ACTIONS_POSTGRESQL, parameters)
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                for action_id, place, time, action_type, properties in rows:
                    yield action_id, place, ActionRow(time, action_type, properties)
        return
    given = json.dumps([(logs[place].key[0], logs[place].id, place, sqlite_time(time)) for place, time in wanted])
    with connection.cursor() as cursor:
        cursor.execute(_ACTIONS_SQLITE, [given, newest])
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            for action_id, place, time, action_type, properties in rows:
                # Django has it read as a datetime without a zone.
                yield action_id, place, ActionRow(time.replace(tzinfo=UTC), action_type, properties)


def _time_array(times: Iterable[datetime]) -> str:
    return plain_array(time.isoformat() for time in times)


_LOGS_POSTGRESQL = """
    SELECT logs_log.user_id, logs_log.session_id, logs_log.id
    FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
        AS given (user_id, session_id, first, last)
    JOIN logs_log ON logs_log.user_id = given.user_id AND logs_log.session_id = given.session_id
    WHERE logs_log.first_time <= given.last AND logs_log.last_time >= given.first
"""
_LOGS_SQLITE = """
    SELECT logs_log.user_id, logs_log.session_id, logs_log.id
    FROM json_each(%s) AS given
    JOIN logs_log ON user_id = json_extract(given.value, '$[0]') AND session_id = json_extract(given.value, '$[1]')
    WHERE first_time <= json_extract(given.value, '$[3]') AND last_time >= json_extract(given.value, '$[2]')
"""
_ACTIONS_POSTGRESQL = """
    SELECT logs_action.id, given.place, logs_action.time, logs_action.type, logs_action.properties::text
    FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::timestamptz[]) AS given (user_id, log_id, place, time)
    JOIN logs_action ON logs_action.user_id = given.user_id AND logs_action.log_id = given.log_id
        AND logs_action.time = given.time
    WHERE logs_action.id <= %s
"""
_ACTIONS_SQLITE = """
    SELECT logs_action.id, json_extract(given.value, '$[2]'), time, logs_action.type, properties
    FROM json_each(%s) AS given
    JOIN logs_action ON user_id = json_extract(given.value, '$[0]') AND log_id = json_extract(given.value, '$[1]')
        AND time = json_extract(given.value, '$[3]')
    WHERE logs_action.id <= %s
"""
