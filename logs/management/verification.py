"""Whether what is stored is what may be stored: the rules and counts that no constraint checks on every database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from django.db import transaction
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, TextField
from django.db.models.functions import Cast

from logs.api.serializers import ActionSerializer
from logs.api.violations import violations
from logs.lib import jsontext, times
from logs.lib.errors import ErrorCode
from logs.lib.jsontext import JSONValue, has_forbidden_character
from logs.lib.transactions import snapshot
from logs.models import Action, ActionType, Log

LOGS_AT_ONCE = 1000
ROWS_AT_ONCE = 2000

# Times are checked apart: those that were stored under LOGSTORE_ANY_OFFSET are good without it, too.
_ANY_TIME = times.format_time(datetime(2000, 1, 1, tzinfo=UTC))


def _violations(action: JSONValue) -> list[tuple[str, ErrorCode]]:
    """Return the rules of POST /logs/ that an action breaks, each with its pointer into the action."""
    serializer = ActionSerializer(data=action)
    if serializer.is_valid():
        return []
    return [(violation.pointer or "", violation.code) for violation in violations(serializer.errors)]


class LogKey(NamedTuple):
    """What a log is found by on any database, one that is spread over machines by user_id included."""

    user_id: str
    log_id: int


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, with its place.

    repairable: the log, where repair() may put it right; otherwise None.
    """

    place: str
    what: str
    repairable: LogKey | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


class _StoredLog(NamedTuple):
    """A log as it is stored, its times as the database writes them: one that can't be read would end the whole run."""

    id: int
    user_id: str
    session_id: str
    version: int | None
    click_count: int
    view_count: int
    navigate_count: int
    first_time: str | None
    last_time: str | None

    @property
    def key(self) -> LogKey:
        return LogKey(self.user_id, self.id)


@dataclass
class _Summary:
    """What the actions of a log say that the log should."""

    types: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None

    def add(self, time: datetime | None, action_type: str) -> None:
        self.types[action_type] += 1
        if time is not None:
            self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(self.last, time)


def verify() -> Iterator[tuple[int, list[Finding]]]:
    """Check everything, some logs at a time; yield how many logs that were and what was found among them.

    Each part is one snapshot, so that writers at work are no findings, and none of them is long.
    """
    last_id = 0
    while True:
        with snapshot():
            logs = _stored_logs(after=last_id)
            if not logs:
                break
            findings = list(_check_logs(logs))
        last_id = logs[-1].id
        yield len(logs), findings
    with snapshot():
        for finding in _actions_without_log():
            yield 0, [finding]


def repair(key: LogKey) -> bool:
    """Make a log agree with its actions as they are now, or delete one without; return whether that was possible.

    It is not while one of its actions has a time that can't be read.
    """
    log = Log.objects.filter(user_id=key.user_id, id=key.log_id)
    actions = Action.objects.filter(user_id=key.user_id, log_id=key.log_id)
    with transaction.atomic(durable=True):
        versions = list(log.select_for_update().values_list("version", flat=True))
        if not versions:
            return True
        if not actions.exists():
            log.delete()
            return True
        counts = dict(actions.values_list("type").annotate(count=Count("id")))
        try:
            span = actions.aggregate(first_time=Min("time"), last_time=Max("time"))
        except ValueError:
            return False
        if None in span.values():
            return False
        counters = {action_type.counter: counts.get(action_type.value, 0) for action_type in ActionType}
        log.update(version=max(versions[0], 0) + 1, **counters, **span)
    return True


def _stored_logs(after: int) -> list[_StoredLog]:
    logs = Log.objects.filter(id__gt=after).order_by("id")
    rows = logs.annotate(first_text=_text("first_time"), last_text=_text("last_time")).values_list(
        "id",
        "user_id",
        "session_id",
        "version",
        "click_count",
        "view_count",
        "navigate_count",
        "first_text",
        "last_text",
    )
    return [_StoredLog(*row) for row in rows[:LOGS_AT_ONCE]]


def _check_logs(logs: Sequence[_StoredLog]) -> Iterator[Finding]:
    by_id = {log.id: log for log in logs}
    actions = Action.objects.in_log_order(log_condition=Q(log__id__gte=logs[0].id, log__id__lte=logs[-1].id))
    rows = actions.values_list("log_id", "id", _text("time"), "type", _text("properties"))
    for log_id, group in groupby(rows.iterator(chunk_size=ROWS_AT_ONCE), key=itemgetter(0)):
        summary = _Summary()
        for _, action_id, time_text, action_type, properties in group:
            time = _instant(time_text)
            summary.add(time, action_type)
            yield from _check_action(f"log {log_id}, action {action_id}", time, action_type, properties)
        yield from _check_log(by_id.pop(log_id), summary)
    for log in by_id.values():
        yield Finding(f"log {log.id}", "it has no actions", log.key)


def _check_action(place: str, time: datetime | None, action_type: str, properties: str) -> Iterator[Finding]:
    if time is None:
        yield Finding(f"{place}, time", "it is not a time that the store can hold")
    try:
        value = jsontext.decode(properties)
    except ValueError as error:
        yield Finding(f"{place}, properties", f"not JSON: {error}")
        return
    for pointer, code in _violations({"time": _ANY_TIME, "type": action_type, "properties": value}):
        yield Finding(f"{place}, {pointer}", f"{code.name}: {code.sentence}")


def _check_log(log: _StoredLog, summary: _Summary) -> Iterator[Finding]:
    place = f"log {log.id}"
    for name, text in (("user_id", log.user_id), ("session_id", log.session_id)):
        if not text or has_forbidden_character(text):
            yield Finding(f"{place}, {name}", "it is empty, or has a character that no answer can hold")
    if log.version is None or log.version < 1:
        yield Finding(f"{place}, version", f"it is {log.version}, but must be 1 or more", log.key)
    compared: list[tuple[str, object, object]] = [
        *((each.counter, getattr(log, each.counter), summary.types[each.value]) for each in ActionType),
        ("first_time", _instant(log.first_time), summary.first),
        ("last_time", _instant(log.last_time), summary.last),
    ]
    for name, kept, right in compared:
        if kept != right and right is not None:
            yield Finding(f"{place}, {name}", f"it is {kept}, but its actions say {right}", log.key)


def _actions_without_log() -> Iterator[Finding]:
    """Yield the actions whose user has no log of their log_id: on SQLite no foreign key forbids them."""
    own = Log.objects.filter(user_id=OuterRef("user_id"), id=OuterRef("log_id"))
    rows = Action.objects.filter(~Exists(own)).order_by("id").values_list("id", "log_id")
    for action_id, log_id in rows.iterator(chunk_size=ROWS_AT_ONCE):
        yield Finding(f"action {action_id}, log {log_id}", "its user has no such log")


def _text(name: str) -> Cast:
    return Cast(name, TextField())


def _instant(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text or "")
        # Both must exist: what is kept, and what is written to an answer.
        (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(times.WIRE_ZONE)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
