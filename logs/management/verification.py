"""Whether what is stored is what may be stored: the rules and figures that no constraint checks on every database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter

from django.db import transaction
from django.db.models import Count, Exists, Max, Min, OuterRef, QuerySet, TextField
from django.db.models.functions import Cast

from logs.api.serializers import ActionSerializer, Refusals
from logs.lib import jsontext, times
from logs.lib.jsontext import has_forbidden_character
from logs.lib.transactions import snapshot
from logs.models import Action, ActionType, Log
from logs.store.read import IdRange

LOGS_AT_ONCE = 1000
ROWS_AT_ONCE = 2000

# Times are checked apart: those that were stored under LOGSTORE_ANY_OFFSET are good without it, too.
_ANY_TIME = times.format_time(datetime(2000, 1, 1, tzinfo=UTC))
_COUNTERS = {name: f"{name.lower()}_count" for name in ActionType.values}


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, with its place; log_id is that of a log which repair() may put right."""

    place: str
    what: str
    log_id: int | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


@dataclass
class _Figures:
    """What a log should say of its actions."""

    types: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None

    def add(self, time: datetime | None, action_type: str) -> None:
        self.types[action_type] += 1
        if time is not None:
            self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(self.last, time)

    def as_columns(self) -> dict[str, object]:
        counts = {column: self.types[name] for name, column in _COUNTERS.items()}
        return {**counts, "first_time": self.first, "last_time": self.last}


def verify() -> Iterator[tuple[int, list[Finding]]]:
    """Check everything, some logs at a time; yield how many logs that were and what was found among them.

    Each part is one snapshot, so that writers at work are no findings, and none of them is long.
    """
    last_id = 0
    while True:
        with snapshot():
            logs = list(_columns(Log.objects.filter(id__gt=last_id).order_by("id"))[:LOGS_AT_ONCE])
            if not logs:
                break
            findings = list(_check_logs(logs))
        last_id = logs[-1]["id"]
        yield len(logs), findings
    with snapshot():
        for finding in _strays():
            yield 0, [finding]


def repair(log_id: int) -> bool:
    """Make a log agree with its actions as they are now, or delete one without; return whether that was possible.

    It is not while one of its actions has a time that can't be read.
    """
    with transaction.atomic(durable=True):
        locked = Log.objects.select_for_update().filter(id=log_id).values_list("user_id", "version").first()
        if locked is None:
            return True
        user_id, version = locked
        log = Log.objects.filter(user_id=user_id, id=log_id)
        actions = Action.objects.filter(user_id=user_id, log_id=log_id)
        if not actions.exists():
            log.delete()
            return True
        counts = dict(actions.values_list("type").annotate(count=Count("id")))
        figures = {column: counts.get(name, 0) for name, column in _COUNTERS.items()}
        try:
            times = actions.aggregate(first_time=Min("time"), last_time=Max("time"))
        except ValueError:
            return False
        if None in times.values():
            return False
        log.update(version=max(version, 0) + 1, **figures, **times)
    return True


def _check_logs(logs: Sequence[dict[str, object]]) -> Iterator[Finding]:
    by_id = {log["id"]: log for log in logs}
    ids = IdRange(first=logs[0]["id"], last=logs[-1]["id"])
    actions = Action.objects.in_log_order(log_condition=ids.on("log__id"))
    rows = actions.values_list("log_id", "id", _text("time"), "type", _text("properties"))
    for log_id, group in groupby(rows.iterator(chunk_size=ROWS_AT_ONCE), key=itemgetter(0)):
        log = by_id.pop(log_id)
        figures = _Figures()
        for _, action_id, time_text, action_type, properties in group:
            time = _instant(time_text)
            figures.add(time, action_type)
            yield from _check_action(f"log {log_id}, action {action_id}", time, action_type, properties)
        yield from _check_log(log, figures)
    for log in by_id.values():
        yield Finding(f"log {log['id']}", "it has no actions", log["id"])


def _check_action(place: str, time: datetime | None, action_type: str, properties: str) -> Iterator[Finding]:
    if time is None:
        yield Finding(f"{place}, time", "no instant that the store can hold")
    try:
        value = jsontext.decode(properties)
    except ValueError as error:
        yield Finding(f"{place}, properties", f"not JSON: {error}")
        return
    refusals = Refusals()
    ActionSerializer.read({"time": _ANY_TIME, "type": action_type, "properties": value}, (), refusals)
    for violation in refusals:
        yield Finding(f"{place}, {violation.pointer}", f"{violation.code.name}: {violation.code.sentence}")


def _check_log(log: dict[str, object], figures: _Figures) -> Iterator[Finding]:
    place = f"log {log['id']}"
    for name in ("user_id", "session_id"):
        if not log[name] or has_forbidden_character(log[name]):
            yield Finding(f"{place}, {name}", "empty, or with a character that no answer can hold")
    if log["version"] is None or log["version"] < 1:
        yield Finding(f"{place}, version", f"it is {log['version']}, and can't be below 1", log["id"])
    kept = {**log, "first_time": _instant(log["first_time_text"]), "last_time": _instant(log["last_time_text"])}
    for name, right in figures.as_columns().items():
        if kept[name] != right and right is not None:
            yield Finding(f"{place}, {name}", f"it is {kept[name]}, its actions say {right}", log["id"])


def _strays() -> Iterator[Finding]:
    """Yield the actions whose log is not there, or belongs to another user: on SQLite no foreign key forbids them."""
    own = Log.objects.filter(user_id=OuterRef("user_id"), id=OuterRef("log_id"))
    anybodys = Log.objects.filter(id=OuterRef("log_id"))
    strays = Action.objects.filter(~Exists(own)).annotate(is_of_another=Exists(anybodys)).order_by("id")
    rows = strays.values_list("id", "log_id", "is_of_another")
    for action_id, log_id, is_of_another in rows.iterator(chunk_size=ROWS_AT_ONCE):
        what = "that log is another user's" if is_of_another else "there is no such log"
        yield Finding(f"action {action_id}, log {log_id}", what)


def _columns(logs: QuerySet[Log]) -> QuerySet[Log, dict[str, object]]:
    times = {f"{name}_text": _text(name) for name in ("first_time", "last_time")}
    return logs.annotate(**times).values("id", "user_id", "session_id", "version", *_COUNTERS.values(), *times)


def _text(name: str) -> Cast:
    """A column as the database writes it: one that can't be read would end the whole run."""
    return Cast(name, TextField())


def _instant(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text or "")
        # Both must exist: what is kept, and what is written to an answer.
        (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(times.WIRE_ZONE)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
