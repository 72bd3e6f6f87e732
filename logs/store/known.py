"""Which actions the store has already, by what they say: so that what is imported twice is stored once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Max

from logs.lib import jsontext
from logs.lib.jsontext import JSONValue
from logs.models import Action
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
        self._newest: int = Action.objects.aggregate(newest=Max("id"))["newest"] or 0
        # Those that stand for one already: a bit for each id, so that memory does not grow with what is imported.
        self._taken: dict[int, bytearray] = {}

    def without_known(self, rows: Sequence[LogRow]) -> Sequence[LogRow]:
        """Return the logs with those of their actions that are not stored yet, and none without any."""
        wanted: dict[LogKey, _Wanted] = {}
        if self._newest:
            for row in rows:
                wanted.setdefault((row["user_id"], row["session_id"]), _Wanted()).add(row["actions"])
        keys = iter(wanted)
        is_any_known = False
        while some := list(islice(keys, _LOGS_AT_ONCE)):
            stored_logs = _find_logs({key: wanted[key] for key in some})
            is_any_known |= bool(stored_logs) and self._take_stored(stored_logs)
        if not is_any_known:
            return rows
        rest: list[LogRow] = []
        for row in rows:
            new = wanted[row["user_id"], row["session_id"]].new_among(row["actions"])
            if new:
                rest.append({**row, "actions": new})
        return rest

    def _take_stored(self, logs: Sequence[_StoredLog]) -> bool:
        """Find stored actions that are equal to wanted ones, and return whether there were any."""
        is_any_known = False
        unlike: list[tuple[_Wanted, int, ActionRow]] = []
        for action_id, place, action in _stored_actions(logs, self._newest):
            wanted = logs[place].wanted
            if self._is_taken(action_id):
                continue
            if wanted.take(action, action.properties):
                self._mark_taken(action_id)
                is_any_known = True
            elif action[:2] in wanted.moments:
                unlike.append((wanted, action_id, action))
        # Only then: of two that say the same, one may be spelled the same, too.
        for wanted, action_id, action in unlike:
            spelling = wanted.spelling_of(action)
            if spelling is not None and wanted.take(action, spelling):
                self._mark_taken(action_id)
                is_any_known = True
        return is_any_known

    def _is_taken(self, action_id: int) -> bool:
        page, bit = divmod(action_id, _PAGE_BITS)
        return page in self._taken and bool(self._taken[page][bit >> 3] >> (bit & 7) & 1)

    def _mark_taken(self, action_id: int) -> None:
        page, bit = divmod(action_id, _PAGE_BITS)
        self._taken.setdefault(page, bytearray(_PAGE_BITS >> 3))[bit >> 3] |= 1 << (bit & 7)


class _Wanted:
    """The actions of a log that are to be stored, and how many of each are stored already."""

    def __init__(self) -> None:
        self._counts: Counter[ActionRow] = Counter()
        self._known: Counter[ActionRow] = Counter()
        self.moments: set[tuple[datetime, str]] = set()
        self._spellings: dict[tuple[datetime, str], dict[str, list[str]]] | None = None

    def add(self, actions: Sequence[ActionRow]) -> None:
        self._counts.update(actions)
        self.moments.update(action[:2] for action in actions)

    @property
    def span(self) -> tuple[datetime, datetime]:
        """The first and the last time."""
        times = [time for time, _ in self.moments]
        return min(times), max(times)

    def take(self, stored: ActionRow, properties: str) -> bool:
        """Let a stored action stand for one that has these properties, and return whether there is one left."""
        action = stored._replace(properties=properties)
        is_left = self._counts[action] > self._known[action]
        self._known[action] += is_left
        return is_left

    def spelling_of(self, stored: ActionRow) -> str | None:
        """Return properties of one that is left and says the same as a stored one, None where there is none."""
        if self._spellings is None:
            self._spellings = {}
            for action in self._counts:
                by_meaning = self._spellings.setdefault(action[:2], {})
                by_meaning.setdefault(_meaning(action.properties), []).append(action.properties)
        alike = self._spellings.get(stored[:2], {}).get(_meaning(stored.properties), [])
        return next((text for text in alike if self._is_left(stored._replace(properties=text))), None)

    def _is_left(self, action: ActionRow) -> bool:
        return self._counts[action] > self._known[action]

    def new_among(self, actions: Sequence[ActionRow]) -> list[ActionRow]:
        """Return those of some of the actions that no stored one stands for."""
        if not self._known:
            return list(actions)
        new = []
        for action in actions:
            if self._known[action]:
                self._known[action] -= 1
            else:
                new.append(action)
        return new


class _StoredLog(NamedTuple):
    user_id: str
    id: int
    wanted: _Wanted


def _meaning(properties: str) -> str:
    return jsontext.encode(_sorted(jsontext.decode(properties)))


def _sorted(value: JSONValue) -> JSONValue:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_sorted(element) for element in value]
    return value


def _find_logs(wanted: dict[LogKey, _Wanted]) -> list[_StoredLog]:
    """Return the logs of some keys that may hold what is wanted of them."""
    users, sessions = zip(*wanted, strict=True)
    spans = [its.span for its in wanted.values()]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            firsts, lasts = (plain_array(time.isoformat() for time in times) for times in zip(*spans, strict=True))
            cursor.execute(_LOGS_POSTGRESQL, [text_array(users), text_array(sessions), firsts, lasts])
        else:
            times = [(sqlite_time(first), sqlite_time(last)) for first, last in spans]
            cursor.execute(_LOGS_SQLITE, [json.dumps([(*key, *its) for key, its in zip(wanted, times, strict=True)])])
        return [_StoredLog(user, log_id, wanted[user, session]) for user, session, log_id in cursor.fetchall()]


def _stored_actions(logs: Sequence[_StoredLog], newest: int) -> Iterator[tuple[int, int, ActionRow]]:
    """Yield the actions of some logs within the times that are wanted: the id, the log's place, what it says."""
    users, ids = [log.user_id for log in logs], [log.id for log in logs]
    spans = [log.wanted.span for log in logs]
    if connection.vendor == "postgresql":
        firsts, lasts = (plain_array(time.isoformat() for time in times) for times in zip(*spans, strict=True))
        with transaction.atomic(), connection.chunked_cursor() as cursor:
            cursor.execute(_ACTIONS_POSTGRESQL, [text_array(users), plain_array(map(str, ids)), firsts, lasts, newest])
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                for action_id, place, time, action_type, properties in rows:
                    yield action_id, place - 1, ActionRow(time, action_type, properties)
        return
    times = [(sqlite_time(first), sqlite_time(last)) for first, last in spans]
    places = json.dumps([(user, log_id, *its) for user, log_id, its in zip(users, ids, times, strict=True)])
    with connection.cursor() as cursor:
        cursor.execute(_ACTIONS_SQLITE, [places, newest])
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            for action_id, place, time, action_type, properties in rows:
                # Django has it read as a datetime without a zone.
                instant = time.replace(tzinfo=UTC)
                yield action_id, place, ActionRow(instant, action_type, properties)


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
    FROM unnest(%s::text[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
        WITH ORDINALITY AS given (user_id, log_id, first, last, place)
    JOIN logs_action ON logs_action.user_id = given.user_id AND logs_action.log_id = given.log_id
        AND logs_action.time BETWEEN given.first AND given.last
    WHERE logs_action.id <= %s
"""
_ACTIONS_SQLITE = """
    SELECT logs_action.id, given.key, time, logs_action.type, properties
    FROM json_each(%s) AS given
    JOIN logs_action ON user_id = json_extract(given.value, '$[0]') AND log_id = json_extract(given.value, '$[1]')
        AND time BETWEEN json_extract(given.value, '$[2]') AND json_extract(given.value, '$[3]')
    WHERE logs_action.id <= %s
"""
